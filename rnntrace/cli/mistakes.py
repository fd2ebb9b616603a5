"""`rnntrace mistakes`."""

from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.groups import OutputFlags, grouped
from rnntrace.cli.options import VIEW
from rnntrace.errors import ExitCode


@grouped
def mistakes(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="rnn, lstm or gru; all of them by default.", show_default=False)
    ] = None,
    *,
    family: Annotated[
        str | None,
        typer.Option("--family", metavar="NAME", help="Only mistakes of one family, such as gate-order.", rich_help_panel=VIEW),
    ] = None,
    backward: options.Backward = False,
    written: OutputFlags,
) -> int:
    """List the mistakes that `diagnose` looks for and `run --mistake` applies: what goes wrong, and where it comes from."""
    from dataclasses import replace

    from rnntrace.cli.output import emit
    from rnntrace.verbs.mistakes import mistakes as find

    report = find(kind, family=family, backward=backward).report()
    if not backward:
        report = replace(report, conclusion=(*report.conclusion, "see one with rnntrace run KIND --mistake ID"))
    emit(report, written)
    return ExitCode.AGREES
