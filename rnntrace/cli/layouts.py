"""`rnntrace layouts`."""

from typing import Annotated

import typer

from rnntrace.cli.groups import OutputFlags, grouped
from rnntrace.errors import ExitCode


@grouped
def layouts(
    framework: Annotated[
        str | None, typer.Argument(metavar="[FRAMEWORK]", help="One framework, such as keras.", show_default=False)
    ] = None,
    *,
    written: OutputFlags,
) -> int:
    """Gate orders, biases and conventions of each framework; for one of them the way from its arrays to torch's."""
    from rnntrace.cli.output import emit
    from rnntrace.verbs.layouts import layouts as find

    emit(find(framework).report(), written)
    return ExitCode.AGREES
