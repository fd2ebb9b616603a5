"""TAP, version 14: a point a part; https://testanything.org/tap-version-14-specification.html."""

from rnntrace.course.exercise import points
from rnntrace.course.grades import Grade, Grades, Status
from rnntrace.errors import show

SUFFIX = ".tap"


def text(grades: Grades) -> str:
    """A line a part of every student; who is absent is skipped, what cannot be graded is not ok."""
    lines = [line for grade in grades.found for line in _lines(grade)]
    numbered = (f"{ok} {number} - {says}" for number, (ok, says) in enumerate(lines, 1))
    return "\n".join(["TAP version 14", f"1..{len(lines)}", *numbered]) + "\n"


def _lines(grade: Grade) -> list[tuple[str, str]]:
    if grade.status is Status.ABSENT:
        return [("ok", f"{_plain(grade.id)} # SKIP absent")]
    if not grade.parts:
        return [("not ok", f"{_plain(grade.id)} {grade.status}")]
    return [
        (
            "ok" if 0 <= part.score == part.max_score else "not ok",
            f"{_plain(grade.id)} {_plain(part.name)} {points(part.score)} of {points(part.max_score)}",
        )
        for part in grade.parts
    ]


def _plain(text: str) -> str:
    """A text on one line, in which nothing has a meaning for TAP."""
    return show(text).replace("\\", "\\\\").replace("#", "\\#")
