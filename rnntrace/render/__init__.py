"""How it looks: one file per output format, each with `render(report, style)` that yields the text in pieces.

Renderers see the report alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

from rnntrace.errors import UsageError
from rnntrace.report.table import Report

RENDERERS = {
    "table": "rnntrace.render.rich",
    "plain": "rnntrace.render.plain",
    "json": "rnntrace.render.json",
    "jsonl": "rnntrace.render.jsonl",
    "csv": "rnntrace.render.csv",
    "markdown": "rnntrace.render.markdown",
    "latex": "rnntrace.render.latex",
    "html": "rnntrace.render.html",
    "page": "rnntrace.render.page",
}
DATA = ("json", "jsonl", "csv")
"""Formats for programs: they are whole or not there, however little a person wants to see."""

DRAWN = ("table", "plain", "json")
"""Formats that can hold panels; JSON holds every value whatever is shown."""


@dataclass(frozen=True)
class Style:
    """What a renderer may do. `width` None stands for no limit; `max_rows` 0 for all rows."""

    width: int | None = None
    color: bool = False
    digits: int = 4
    max_rows: int = 40


def pieces(report: Report, format: str, style: Style) -> Iterator[str]:
    """The report as text in one of the formats, piece by piece, ending in a newline. Raises UsageError."""
    if format not in RENDERERS:
        raise UsageError(f"unknown format {format!r}: choose one of {', '.join(RENDERERS)}")
    if report.panels and format not in DRAWN:
        raise UsageError(
            f"`show=heat` is drawn as {' or '.join(DRAWN[:2])}, not as {format}: leave one of them out, or see `plot`"
        )
    found: Iterator[str] = import_module(RENDERERS[format]).render(report, style)
    return found


def render(report: Report, format: str, style: Style) -> str:
    """The report as one text."""
    return "".join(pieces(report, format, style))
