"""The files that course platforms want: one file a format, each with `text(grades)` and its file's `SUFFIX`."""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from rnntrace.course.grades import Grades


class Writer(NamedTuple):
    """What writes grades in a format, how its files end, and whether it is of one student."""

    text: Callable[[Grades], str]
    suffix: str
    of_one: bool


WRITERS = {
    "csv": "rows",
    "jsonl": "lines",
    "gradescope": "gradescope",
    "classroom": "classroom",
    "junit": "junit",
    "tap": "tap",
}
"""By the name of the format: the module here."""
OF_ONE = ("gradescope", "classroom")
"""Formats of one student's grade."""


def writer(format: str) -> Writer:
    """The writer of a format."""
    home = import_module(f"rnntrace.course.platforms.{WRITERS[format]}")
    return Writer(home.text, home.SUFFIX, format in OF_ONE)
