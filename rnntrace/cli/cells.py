"""`rnntrace cells`."""

from typing import Annotated

import typer

from rnntrace.cli.groups import OutputFlags, grouped
from rnntrace.errors import ExitCode


@grouped
def cells(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One cell, such as lstm: its text.", show_default=False)
    ] = None,
    *,
    written: OutputFlags,
) -> int:
    """List the built-in cells; of one of them the text, as `--cell` reads it: save it, change a line, and run that."""
    from rnntrace.cli.output import emit
    from rnntrace.verbs.cells import cells as find

    emit(find(name).report(), written)
    return ExitCode.AGREES
