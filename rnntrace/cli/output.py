"""Where a report goes: the terminal, a pipe or a file."""

import errno
import math
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rnntrace.cli.flags import in_flags, spelled
from rnntrace.cli.groups import OutputFlags, TableFlags, VerdictFlags
from rnntrace.cli.progress import clear, tell
from rnntrace.cli.stderr import give_up, say
from rnntrace.errors import FileError, UsageError, show
from rnntrace.files import check_no_arrays
from rnntrace.files.atomic import replace_files
from rnntrace.files.writing import Content
from rnntrace.render import DATA, Style, pieces
from rnntrace.render.layout import DOT
from rnntrace.report.table import Report

FOR_SCREENS = ("table", "plain")
"""Formats behind which a person is told what to type next."""
_ASCII = str.maketrans(
    {"·": "*", "⊙": "*", "σ": "sigmoid", "│": "|", "Δ": "d", "✗": "!", "✓": "+", "…": "...", "ₜ": "_t", "₋": "-"}
    | {"∂": "d", "δ": "delta ", "ᵀ": "^T", "‖": "||", "→": "->", "Σ": "sum"}
    | {chr(0x2080 + digit): str(digit) for digit in range(10)}
)


WHOLE_TABLES = TableFlags(max_rows=0)
"""Where no flag says how long a table may be."""


def emit(
    report: Report,
    written: OutputFlags,
    table: TableFlags = WHOLE_TABLES,
    others: Sequence[tuple[Path, Content]] = (),
    read: Sequence[str | None] = (),
    instead: str | None = None,
) -> None:
    """Write the report to stdout or a file, its warnings to stderr, and other files; all files or none of them.

    A format that no renderer has comes as the text `instead`.

    Raises UsageError as `check_targets` does.
    """
    output, format = written.output, written.format
    quiet = isinstance(written, VerdictFlags) and written.quiet
    check_targets(output, [path for path, _ in others], read)
    to_terminal = output is None and sys.stdout is not None and sys.stdout.isatty()
    style = Style(
        width=_width(to_terminal) if output is None else None,
        color=written.color == "always" or (written.color == "auto" and _wants_color(to_terminal)),
        digits=table.digits,
        max_rows=table.max_rows,
    )
    verdict_alone = quiet and format not in DATA
    report = spelled(report)
    dashes = "-{}-" if format == "latex" else "--"
    if instead is None:
        text = [DOT.join(report.conclusion) + "\n"] if verdict_alone else pieces(report, format, style)
        text = (in_flags(piece, dashes) for piece in text)
    else:
        text = iter([instead])
    if others:
        tell("writing " + " and ".join(path.name for path, _ in others), math.nan)
    replace_files([*others, *([(output, lambda file: file.writelines(piece.encode() for piece in text))] if output else [])])
    clear()
    for warning in report.warnings:
        warn(warning)
    if output is None and sys.stdout is not None:
        _write(text)
    if report.hint and not quiet and format in FOR_SCREENS:
        say(report.hint)


def check_targets(output: Path | None, others: Sequence[Path | None], read: Sequence[str | None] = ()) -> None:
    """Whether files can be written, as far as that can be known before there is anything to write.

    Raises UsageError where two are one, or would replace one of those that were `read`, and FileError without a folder.
    """
    targets = [path for path in others if path]
    if output and not output.name:
        raise UsageError(f"--output needs the name of a file, not {str(output)!r}")
    everything = [*targets, *filter(None, [output])]
    for path in everything:
        _check_place(path)
        if any(_are_one(path, source) for source in read if source):
            raise UsageError(f"{show(str(path))} was read for this and would be replaced: give the result another name")
    for path in targets:
        if output and path.resolve() == output.resolve():
            raise UsageError(f"--output and another flag both name {show(str(path))}: give them different files")
    if output:
        check_no_arrays(output)


def _check_place(path: Path) -> None:
    """Raises FileError for a folder, and for a file whose folder is not there; where a link leads to is what counts."""
    try:
        target = path.resolve()
        problem = errno.EISDIR if target.is_dir() else 0 if target.parent.is_dir() else errno.ENOENT
    except (OSError, RuntimeError):
        # Of links that lead back to themselves.
        problem = errno.ELOOP
    if problem:
        raise FileError(f"cannot write {show(str(path))}: {os.strerror(problem)}")


def warn(warning: str) -> None:
    """Say something of a run that is no result."""
    say(f"warning: {warning}")


def _are_one(path: Path, source: str) -> bool:
    """Whether both name the same file; JSON, and names that no file can have, name none."""
    try:
        return path.samefile(source)
    except (OSError, ValueError):
        return False


def _write(text: Iterable[str]) -> None:
    """Write to stdout, each piece as soon as it is there.

    Whoever reads it may stop before the end: the exit code is the verdict's all the same.
    """
    try:
        for piece in text:
            sys.stdout.write(_encodable(piece))
        sys.stdout.flush()
    except BrokenPipeError:
        give_up(sys.stdout)
    except OSError as error:
        give_up(sys.stdout)
        raise FileError(f"cannot write to stdout: {error.strerror}") from None


def _width(to_terminal: bool) -> int | None:
    """Columns of the terminal; COLUMNS goes first, and off a terminal there is no limit without it."""
    columns = os.environ.get("COLUMNS", "")
    if re.fullmatch("0*[1-9][0-9]{0,5}", columns):
        return int(columns)
    return os.get_terminal_size(sys.stdout.fileno()).columns or 80 if to_terminal else None


def _wants_color(to_terminal: bool) -> bool:
    """NO_COLOR and FORCE_COLOR count when they are not empty; https://no-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (to_terminal and os.environ.get("TERM") != "dumb")


def _encodable(text: str) -> str:
    """The text in characters that stdout can write."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.replace(DOT, " - ").translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text
