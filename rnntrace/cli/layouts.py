"""`rnntrace layouts`."""

from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.choices import Format, When
from rnntrace.errors import ExitCode


def layouts(
    framework: Annotated[
        str | None, typer.Argument(metavar="[FRAMEWORK]", help="One framework, such as keras.", show_default=False)
    ] = None,
    format: options.FormatOption = Format.TABLE,
    output: options.OutputFile = None,
    color: options.Color = When.AUTO,
) -> int:
    """Gate orders, biases and conventions of each framework; for one of them the way from its arrays to torch's."""
    from rnntrace.cli.output import OutputOptions, emit
    from rnntrace.verbs.layouts import layouts as find

    emit(find(framework).report(), OutputOptions(format, quiet=False, color=color, digits=4, max_rows=0), output)
    return ExitCode.AGREES
