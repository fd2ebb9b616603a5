"""`rnntrace mistakes`."""

from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.choices import Format, When
from rnntrace.cli.options import VIEW
from rnntrace.errors import ExitCode


def mistakes(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="rnn, lstm or gru; all of them by default.", show_default=False)
    ] = None,
    family: Annotated[
        str | None,
        typer.Option("--family", metavar="NAME", help="Those of one family, such as gate-order.", rich_help_panel=VIEW),
    ] = None,
    format: options.FormatOption = Format.TABLE,
    output: options.OutputFile = None,
    color: options.Color = When.AUTO,
) -> int:
    """List the mistakes that `diagnose` looks for and `run --mistake` makes: what went wrong, and where it comes from."""
    from dataclasses import replace

    from rnntrace.cli.output import OutputOptions, emit
    from rnntrace.verbs.mistakes import mistakes as find

    report = find(kind, family=family).report()
    report = replace(report, conclusion=(*report.conclusion, "see one with rnntrace run KIND --mistake ID"))
    emit(report, OutputOptions(format, quiet=False, color=color, digits=4, max_rows=0), output)
    return ExitCode.AGREES
