"""CSV: a row a student. A text that a spreadsheet would compute stands behind an apostrophe."""

import csv
import io

from rnntrace.course.exercise import points
from rnntrace.course.grades import Grades

SUFFIX = ".csv"
FORMULA = "=+-@\t\r\n＝＋－＠"
"""What a text begins with that a spreadsheet would compute; https://owasp.org/www-community/attacks/CSV_Injection."""


def text(grades: Grades) -> str:
    """The columns of the JSON; parts and mistakes are put into one cell each."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(("id", "status", "score", "max_score", "parts", "mistakes", "verdict", "feedback"))
    for grade in grades.found:
        parts, mistakes = "; ".join(map(str, grade.parts)), " ".join(grade.mistakes)
        numbers = points(grade.score), points(grade.max_score)
        words = map(guarded, (parts, mistakes, grade.verdict, grade.feedback))
        rows.writerow((guarded(grade.id), grade.status, *numbers, *words))
    return written.getvalue()


def guarded(cell: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in FORMULA and len(cell) > 1 else cell
