"""Grades as a report: a row a student, the rule below, and everything in the document."""

from rnntrace.course.exercise import points
from rnntrace.course.grades import Grades, Status
from rnntrace.errors import show
from rnntrace.report.table import SCHEMA, Report, Table, word_table


def grades_report(grades: Grades) -> Report:
    """What `rnntrace grade` prints."""
    columns = {
        "student": [show(grade.id) for grade in grades.found],
        "status": [str(grade.status) for grade in grades.found],
        "points": [f"{points(grade.score)} of {points(grade.max_score)}" for grade in grades.found],
        "parts": [
            ", ".join(f"{part.name} {points(part.score)}" for part in grade.parts) or show(grade.feedback)[:100]
            for grade in grades.found
        ],
    }
    if any(grade.mistakes for grade in grades.found):
        columns["mistakes"] = [", ".join(grade.mistakes) for grade in grades.found]
    counts = {status: sum(grade.status is status for grade in grades.found) for status in Status}
    told = [f"{count} {status}" for status, count in counts.items() if count]
    scores = [grade.score for grade in grades.found if grade.status is Status.GRADED]
    mean = [f"mean {sum(scores) / len(scores):.2f} of {points(grades.max_score)}"] if scores else []
    return Report(
        headline=(((show(grades.title),), (f"{points(grades.max_score)} points",)),),
        tables=(word_table("grades", *columns.items()), _rule(grades)),
        conclusion=(f"{'GRADED' if grades.complete else 'INCOMPLETE'}  {told[0]}", *told[1:], *mean),
        passed=grades.complete,
        document=grades_document(grades),
        warnings=grades.warnings,
    )


def _rule(grades: Grades) -> Table:
    numbers = [f"{number}." for number in range(1, len(grades.rule) + 1)]
    return word_table("how points are given", ("rule", numbers), ("", list(grades.rule)))


def grades_document(grades: Grades) -> dict[str, object]:
    """As JSON has it."""
    return {
        "schema": SCHEMA,
        "command": "grade",
        "title": grades.title,
        "max_score": grades.max_score,
        "rule": list(grades.rule),
        "students": [grade.document for grade in grades.found],
        "warnings": list(grades.warnings),
    }
