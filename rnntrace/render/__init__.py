"""How it looks: one file per output format, each with `render(report, style) -> str`. Renderers see the report alone."""

from dataclasses import dataclass
from importlib import import_module

from rnntrace.errors import UsageError
from rnntrace.report.table import Report

RENDERERS = {
    "table": "rnntrace.render.rich",
    "plain": "rnntrace.render.plain",
    "json": "rnntrace.render.json",
}


@dataclass(frozen=True)
class Style:
    """What a renderer may do. `width` None stands for no limit; `max_rows` 0 for all rows."""

    width: int | None = None
    color: bool = False
    digits: int = 4
    max_rows: int = 40


def render(report: Report, format: str, style: Style) -> str:
    """The report as text in one of the formats, ending in a newline."""
    if format not in RENDERERS:
        raise UsageError(f"unknown format {format!r}: choose one of {', '.join(RENDERERS)}")
    text: str = import_module(RENDERERS[format]).render(report, style)
    return text
