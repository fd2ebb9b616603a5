"""Who takes part: a CSV with a column id, and names of files and folders that are safe for ids in any script."""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rnntrace.course.numbers import normalized
from rnntrace.errors import FileError, show

LARGEST = 2**24
"""Bytes of a roster."""
LONGEST_NAME = 100
"""Characters of a folder's name; systems take 255 bytes, and a character of some scripts is four of them."""
ID, EMAIL, NAMES = "id", "email", ("name", "student")
_KEPT = "-_.@+"
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""What Windows opens as a device."""


@dataclass(frozen=True)
class Student:
    """One row of a roster: an id, and what other systems know the student by."""

    id: str
    email: str = ""
    name: str = ""


@dataclass(frozen=True)
class Roster:
    """The students in the order of the file, and how a student is found by what a platform says."""

    students: tuple[Student, ...]
    _known: Mapping[str, Student] = field(init=False, repr=False, compare=False)
    _names: Mapping[str, Student] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # An id goes before an e-mail address.
        object.__setattr__(self, "_known", _by_email(self.students) | _by_id(self.students))
        object.__setattr__(self, "_names", _by_name(self.students))

    def __iter__(self) -> Iterator[Student]:
        return iter(self.students)

    def find(self, *words: str) -> Student | None:
        """The student of whom one of these words is the id, the e-mail address, or a file's name made of the id."""
        found = (self._known.get(_key(word)) for word in words if word)
        return next((student for student in found if student), None)

    def named(self, name: str) -> Student | None:
        """The only student of this name."""
        return self._names.get(_key(name))


def _by_id(students: Sequence[Student]) -> dict[str, Student]:
    return {_key(word): student for student in students for word in (file_name(student.id), student.id)}


def _by_email(students: Sequence[Student]) -> dict[str, Student]:
    return {_key(student.email): student for student in students if student.email}


def _by_name(students: Sequence[Student]) -> dict[str, Student]:
    names = [_key(student.name) for student in students]
    return {name: student for name, student in zip(names, students, strict=True) if name and names.count(name) == 1}


def _key(word: str) -> str:
    return normalized(word).casefold()


class Csv(NamedTuple):
    """A CSV in cells, with what stands between them."""

    rows: list[list[str]]
    separator: str


def parse_csv(text: str) -> Csv:
    """The rows of a CSV whose cells are told apart by commas, semicolons or tabs. Raises csv.Error."""
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    return Csv(list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)), separator)


def read_text(path: Path, what: str) -> str:
    """A text file of a platform or a teacher. Raises FileError."""
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST else None
    except OSError as error:
        raise FileError(f"{show(str(path))}: {error.strerror or error}: expected {what}") from None
    if content is None:
        raise FileError(f"{show(str(path))} is larger than {LARGEST} bytes: expected {what}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileError(f"{show(str(path))} is no text in UTF-8: save it as CSV in UTF-8") from None


def read_roster(path: str | Path) -> Roster:
    """The students of a CSV. Columns have headings, one of them id, in any order. Raises FileError with the line."""
    path = Path(path)
    name = show(str(path))
    try:
        rows = parse_csv(read_text(path, "a CSV with a column id")).rows
    except csv.Error as error:
        raise FileError(f"{name} is no readable CSV: {error}") from None
    headings = [heading.strip().casefold() for heading in rows[0]] if rows else []
    if headings.count(ID) != 1:
        found = ", ".join(map(show, rows[0]))[:100] if rows else "nothing"
        raise FileError(f"{name} should have one column headed id in its first line, and has {found}")
    students: dict[str, Student] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        cells = dict(zip(headings, map(normalized, row), strict=False))
        id = cells.get(ID, "")
        if not id:
            raise FileError(f"{name}, row {number} has no id: give one to every student")
        if _key(id) in students:
            raise FileError(f"{name}, row {number}: the id {show(id)[:60]} is there twice: give everybody one of their own")
        students[_key(id)] = Student(id, cells.get(EMAIL, ""), next(filter(None, map(cells.get, NAMES)), ""))
    if not students:
        raise FileError(f"{name} lists nobody: expected a row for every student")
    return Roster(tuple(students.values()))


def file_name(student: str) -> str:
    """The id as the name of a file or folder on every system: letters and digits of any script stay as they are.

    What had to be changed gets a few digits of a hash, so that two students never share a name.
    """
    id = normalized(student)
    kept = "".join(char if char.isalnum() or char in _KEPT else "_" for char in id).lstrip(".").rstrip(". ")[:LONGEST_NAME]
    if kept == id and kept.partition(".")[0].casefold() not in _RESERVED:
        return kept
    return f"{kept or 'student'}-{hashlib.sha256(id.encode()).hexdigest()[:8]}"
