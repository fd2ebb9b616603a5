"""Files beside the grades: each student's feedback, a file a student of a format that is of one, and gradebooks filled in."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from html import escape
from pathlib import Path

from rnntrace.course.exercise import points
from rnntrace.course.grades import Grade, Grades
from rnntrace.course.platforms import writer
from rnntrace.course.platforms.gradebook import BOM, filled
from rnntrace.course.roster import file_name, read_roster
from rnntrace.errors import FileError, UsageError, show
from rnntrace.render.html_style import PAGE
from rnntrace.render.markdown import escape as escape_markdown

Files = list[tuple[Path, bytes]]


def folder(path: Path) -> Path:
    """A folder, made if it is not there. Raises FileError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make the folder {show(str(path))}: {error.strerror or error}") from None
    return path


def feedback_files(grades: Grades, path: Path, *, html: bool) -> Files:
    """A file a student, in Markdown or HTML, by the students' ids."""
    text, suffix = (_html, ".html") if html else (_markdown, ".md")
    return [(folder(path) / f"{file_name(grade.id)}{suffix}", text(grade, grades).encode()) for grade in grades.found]


def platform_files(grades: Grades, format: str, path: Path) -> Files:
    """A file a student of a format that is of one."""
    found = writer(format)
    each = ((grade, found.text(replace(grades, found=(grade,)))) for grade in grades.found)
    return [(folder(path) / f"{file_name(grade.id)}{found.suffix}", text.encode()) for grade, text in each]


def platform_text(grades: Grades, format: str) -> str:
    """The grades in a platform's format. Raises UsageError for more than one grade in a format of one."""
    found = writer(format)
    if found.of_one and len(grades) != 1:
        raise UsageError(
            f"`format={format}` is of one student, and there are {len(grades)}: name a folder with `output` for a file each"
        )
    return found.text(grades)


def gradebook_file(path: Path, grades: Grades, roster: str | Path | None) -> tuple[Files, list[str]]:
    """A platform's gradebook with the grades in it, and sentences on who is not there. Raises FileError and UsageError."""
    text, warnings = filled(path, grades, None if roster is None else read_roster(roster))
    assert text.startswith(BOM) == path.read_bytes().startswith(BOM.encode())
    return [(path, text.encode())], warnings


def _lines(grade: Grade) -> Iterator[str]:
    yield f"{points(grade.score)} of {points(grade.max_score)} points"
    yield from map(show, grade.feedback.splitlines())


def _markdown(grade: Grade, grades: Grades) -> str:
    def listed(lines: Iterable[str]) -> list[str]:
        return [f"- {escape_markdown(line)}" for line in lines]

    rule = [] if grade.full else ["", "How points are given:", "", *listed(grades.rule)]
    return "\n".join([f"# {escape_markdown(show(grades.title))}", "", *listed(_lines(grade)), *rule]) + "\n"


def _html(grade: Grade, grades: Grades) -> str:
    def listed(lines: Iterable[str]) -> str:
        return "<ul>\n" + "".join(f"<li>{escape(line)}</li>\n" for line in lines) + "</ul>\n"

    title = escape(show(grades.title))
    rule = "" if grade.full else f"<p>How points are given:</p>\n{listed(grades.rule)}"
    return (
        f'<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n<style>\n{PAGE}</style>\n</head>\n'
        f"<body>\n<main>\n<h1>{title}</h1>\n{listed(_lines(grade))}{rule}</main>\n</body>\n</html>\n"
    )
