"""Where a report goes: the terminal, a pipe or a file."""

import os
import sys
from pathlib import Path

from rnntrace.files.atomic import replace_file
from rnntrace.render import Style, render
from rnntrace.report.table import Report

_ASCII = str.maketrans({"·": "-", "│": "|", "Δ": "d", "✗": "!", "…": "...", "ₜ": "_t", "₋": "-", "₁": "1"})


def emit(
    report: Report,
    *,
    format: str,
    output: Path | None,
    quiet: bool,
    color: str,
    digits: int,
    max_rows: int,
) -> None:
    """Write the report to stdout or a file, and the warnings to stderr."""
    if not quiet:
        for warning in report.warnings:
            print(f"rnntrace: warning: {warning}", file=sys.stderr)
    to_terminal = output is None and sys.stdout.isatty()
    style = Style(
        width=_width(to_terminal) if output is None else None,
        color=color == "always" or (color == "auto" and _wants_color(to_terminal)),
        digits=digits,
        max_rows=max_rows,
    )
    verdict_alone = quiet and format != "json"
    text = " · ".join(report.conclusion) + "\n" if verdict_alone else render(report, format, style)
    if output is not None:
        replace_file(output, text.encode())
    else:
        sys.stdout.write(_encodable(text))
        sys.stdout.flush()


def _width(to_terminal: bool) -> int | None:
    """Columns of the terminal; COLUMNS goes first, and off a terminal there is no limit without it."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    return os.get_terminal_size(sys.stdout.fileno()).columns or 80 if to_terminal else None


def _wants_color(to_terminal: bool) -> bool:
    """NO_COLOR and FORCE_COLOR count when they are not empty; https://no-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (to_terminal and os.environ.get("TERM") != "dumb")


def _encodable(text: str) -> str:
    """The text in letters that stdout can write."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text
