"""`rnntrace worksheet`."""

from pathlib import Path
from typing import Annotated

import typer

from rnntrace.cli.choices import SheetFormat, When
from rnntrace.cli.groups import OutputFlags, grouped
from rnntrace.cli.options import CLASS, OUTPUT
from rnntrace.errors import ExitCode


@grouped
def worksheet(
    exercise: Annotated[str, typer.Argument(metavar="EXERCISE", help="The exercise.toml.", show_default=False)],
    *,
    roster: Annotated[
        str | None,
        typer.Option(
            "--roster",
            metavar="CSV",
            help="A sheet for everybody in it; a CSV with a column id.",
            show_default=False,
            rich_help_panel=CLASS,
        ),
    ] = None,
    key: Annotated[bool, typer.Option("--key", help="Write all right values too, to DIR.key.", rich_help_panel=CLASS)] = False,
    format: Annotated[
        SheetFormat, typer.Option("--format", "-f", help="How to write the sheets.", rich_help_panel=OUTPUT)
    ] = SheetFormat.HTML,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write them.", rich_help_panel=OUTPUT)
    ] = Path("sheets"),
) -> int:
    """Write a worksheet for each student: weights, input and blanks, and the same numbers as .npz and .json."""
    from rnntrace.cli.choices import Format
    from rnntrace.cli.output import emit
    from rnntrace.cli.progress import tell
    from rnntrace.course.worksheet import worksheet as write

    written = write(exercise, output, roster=roster, format=format, key=key, tell=tell)
    emit(written.report(), OutputFlags(Format.TABLE, None, When.AUTO))
    return ExitCode.AGREES
