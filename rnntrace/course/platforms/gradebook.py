"""Moodle's grading worksheet and Canvas' gradebook: the file that a teacher exported, filled in.

Headings are in the teacher's language, so columns are found by where they stand and by what they hold: the students' by their
ids, e-mail addresses or names. In Moodle's file the grade stands to the left of the maximum grade, the same number in every
row, and the feedback is the last column; in Canvas' the heading of an assignment ends in its number, `Homework 1 (4711)`.
Nothing but grades and feedback is touched: all else is the same byte for byte.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rnntrace.course.exercise import points
from rnntrace.course.grades import Grade, Grades, Status
from rnntrace.course.numbers import normalized
from rnntrace.course.platforms.rows import guarded
from rnntrace.course.roster import LARGEST, Roster
from rnntrace.errors import FileError, UsageError, show

BOM = "\ufeff"
_NUMBER = re.compile(r"\d+([.,]\d+)?")
_ASSIGNMENT = re.compile(r"(?P<title>.*) \(\d+\)")
_PARTICIPANT = re.compile(r"\D*?(\d+)")


@dataclass(frozen=True)
class _Cell:
    """A cell of the text: where it stands, and what it holds."""

    start: int
    end: int
    value: str


def filled(path: Path, grades: Grades, roster: Roster | None = None) -> tuple[str, list[str]]:
    """The text of the file with the grades in it, and sentences on who was not found.

    A student who handed in nothing, or something that could not be judged, is left as it is. Raises FileError for a file that
    is no such one, and UsageError if nobody or nothing is found in it.
    """
    name = show(str(path))
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST else b""
        text = content.decode("utf-8")
    except OSError as error:
        raise FileError(f"{name}: {error.strerror or error}: expected a grading worksheet of Moodle or Canvas") from None
    except UnicodeDecodeError:
        raise FileError(f"{name} is no text in UTF-8: expected a grading worksheet of Moodle or Canvas") from None
    separator = max(",;\t", key=text.partition("\n")[0].count)
    rows = [*_rows(text, separator)]
    if len(rows) < 2 or len(rows[0]) < 3:
        raise FileError(f"{name} should be a grading worksheet of Moodle or Canvas, with a row for every student")
    known = {student.id: student.id for student in roster or ()} | {grade.id: grade.id for grade in grades.found}
    owners, whose = _owners(rows, known, roster)
    if not owners:
        raise UsageError(f"{name} names none of the students: give a roster with their e-mail addresses or names as well")
    grade_at, feedback_at = _columns(rows, owners, whose, grades.title, name)
    changes: list[tuple[_Cell, str]] = []
    comma = any(re.fullmatch(r"\d+,\d+", row[at].value) for row in rows[1:] for at in range(len(row))) and separator != ","
    for number, id in owners.items():
        grade, row = {grade.id: grade for grade in grades.found}.get(id), rows[number]
        if grade is None or grade.status is not Status.GRADED or len(row) <= grade_at:
            continue
        score = points(grade.score)
        changes.append((row[grade_at], score.replace(".", ",") if comma else score))
        if feedback_at is not None and len(row) > feedback_at:
            changes.append((row[feedback_at], _quoted(guarded(_one_line(grade)), separator)))
    for cell, value in sorted(changes, key=lambda change: -change[0].start):
        text = text[: cell.start] + value + text[cell.end :]
    missing = [grade.id for grade in grades.found if grade.status is Status.GRADED and grade.id not in owners.values()]
    warnings = [f"{name} has no row for {show(id)[:80]}: the grade is not in it" for id in missing[:20]]
    return text, warnings + ([f"nor for {len(missing) - 20} more"] if len(missing) > 20 else [])


def _rows(text: str, separator: str) -> Iterator[list[_Cell]]:
    """The cells of a CSV by the rules of RFC 4180, each with its place; quotes belong to the place, not to what it holds."""
    at, row = len(BOM) if text.startswith(BOM) else 0, list[_Cell]()
    while at < len(text):
        start = at
        if text[at] == '"':
            at += 1
            while at < len(text) and (text[at] != '"' or text[at + 1 : at + 2] == '"'):
                at += 2 if text[at] == '"' else 1
            at += 1
        while at < len(text) and text[at] not in (separator, "\r", "\n"):
            at += 1
        raw = text[start:at]
        value = raw[1:-1].replace('""', '"') if raw[:1] == '"' == raw[-1:] and len(raw) > 1 else raw
        row.append(_Cell(start, at, value))
        if at >= len(text) or text[at] != separator:
            yield row
            row = []
            at += 2 if text[at : at + 2] == "\r\n" else 1
        else:
            at += 1
            if at >= len(text):
                row.append(_Cell(at, at, ""))
                yield row
                return


def _owners(rows: Sequence[Sequence[_Cell]], ids: dict[str, str], roster: Roster | None) -> tuple[dict[int, str], int]:
    """The student of each row by its number, by the column that tells most of them, and that column."""
    folded = {normalized(id).casefold(): id for id in ids}

    def find(value: str) -> str | None:
        if student := (roster.find(value) or roster.named(value)) if roster and value else None:
            return student.id
        own = folded.get(normalized(value).casefold())
        participant = _PARTICIPANT.fullmatch(value.strip())
        return own or (folded.get(participant[1]) if participant and not value.strip().isdigit() else None)

    best: dict[int, str] = {}
    column = 0
    for at in range(max(map(len, rows))):
        found = {
            number: id
            for number, row in enumerate(rows)
            if number and at < len(row) and (id := find(row[at].value)) is not None
        }
        # Whoever stands there twice is not told by this column.
        if len({*found.values()}) == len(found) > len(best):
            best, column = found, at
    return best, column


def _columns(
    rows: Sequence[Sequence[_Cell]], owners: dict[int, str], whose: int, title: str, name: str
) -> tuple[int, int | None]:
    """Where grades and feedback stand. Raises UsageError."""
    headings = [cell.value.strip() for cell in rows[0]]
    assignments = {at: match["title"] for at, heading in enumerate(headings) if (match := _ASSIGNMENT.fullmatch(heading))}
    if assignments:
        named = [at for at, own in assignments.items() if own.strip().casefold() == title.strip().casefold()]
        found = named or [*assignments]
        if len(found) != 1:
            there = ", ".join(show(own)[:40] for own in assignments.values())
            raise UsageError(f"{name} has the assignments {there}: give the exercise the title of one of them")
        return found[0], None
    students = [rows[number] for number in owners]

    def constant(at: int) -> bool:
        values = {row[at].value.strip() for row in students if at < len(row)}
        return len(values) == 1 and bool(_NUMBER.fullmatch(next(iter(values))))

    maxima = [at for at in range(1, len(headings)) if at != whose and constant(at) and _may_be_grades(students, at - 1, whose)]
    if not maxima:
        raise UsageError(f"{name} has no column of grades beside one of the maximum grade, the same number in every row")
    # With one student, or grades that are all the same, the maximum is the last of them.
    feedback = len(headings) - 1
    return maxima[-1] - 1, feedback if feedback > maxima[-1] else None


def _may_be_grades(students: Sequence[Sequence[_Cell]], at: int, whose: int) -> bool:
    """Whether a column holds nothing but grades, or what stands for none."""
    values = (row[at].value.strip() for row in students if at < len(row))
    return at != whose and all(value in ("", "-") or bool(_NUMBER.fullmatch(value)) for value in values)


def _one_line(grade: Grade) -> str:
    return " | ".join(line for line in grade.feedback.splitlines() if line.strip())


def _quoted(value: str, separator: str) -> str:
    return f'"{value.replace(chr(34), chr(34) * 2)}"' if any(char in value for char in (separator, '"', "\r", "\n")) else value
