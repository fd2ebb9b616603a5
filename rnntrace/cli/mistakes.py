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
    from rnntrace.cli.output import OutputOptions, emit
    from rnntrace.report.mistakes import mistakes_report
    from rnntrace.verbs.mistaken import mistakes_of

    emit(
        mistakes_report(mistakes_of(kind), family),
        OutputOptions(format, quiet=False, color=color, digits=4, max_rows=0),
        output,
    )
    return ExitCode.AGREES
