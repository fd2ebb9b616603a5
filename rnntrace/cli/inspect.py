"""`rnntrace inspect`."""

from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.choices import Format, When
from rnntrace.cli.options import VIEW
from rnntrace.errors import ExitCode


def inspect(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A state_dict as .pt, .safetensors, .npz or .json; .onnx; .keras or .h5.", show_default=False
        ),
    ],
    weights: Annotated[
        bool, typer.Option("--weights", help="Show how the weights of each gate are spread.", rich_help_panel=VIEW)
    ] = False,
    names: options.Names = None,
    ignore: options.Ignore = None,
    digits: options.Digits = 4,
    max_rows: options.MaxRows = 40,
    format: options.FormatOption = Format.TABLE,
    output: options.OutputFile = None,
    color: options.Color = When.AUTO,
    timeout: options.Timeout = None,
    max_memory: options.MaxMemory = None,
) -> int:
    """List the recurrent modules in a file of weights: kind, sizes and options, told without running anything."""
    from rnntrace.cli.output import OutputOptions, emit
    from rnntrace.verbs.inspect import inspect as inspect_file

    report = inspect_file(file, weights=weights, names=names or (), ignore=ignore or ()).report()
    emit(report, OutputOptions(format, False, color, digits, max_rows), output)
    return ExitCode.AGREES
