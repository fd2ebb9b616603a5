"""`rnntrace inspect`."""

from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.groups import LimitFlags, OutputFlags, TableFlags, grouped
from rnntrace.cli.options import VIEW
from rnntrace.errors import ExitCode


@grouped
def inspect(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A state_dict as .pt, .safetensors, .npz or .json; .onnx; .keras or .h5.", show_default=False
        ),
    ],
    *,
    weights: Annotated[
        bool, typer.Option("--weights", help="Show the distribution of each gate's weights.", rich_help_panel=VIEW)
    ] = False,
    names: options.Names = None,
    layout: options.Layout = None,
    config: options.ConfigFile = None,
    ignore: options.Ignore = None,
    table: TableFlags,
    written: OutputFlags,
    limits: LimitFlags,
) -> int:
    """List the recurrent modules in a file of weights: kind, sizes and options, without running anything."""
    from rnntrace.cli.output import emit
    from rnntrace.verbs.inspect import inspect as inspect_file

    found = inspect_file(file, weights=weights, names=names or (), layout=layout, config=config, ignore=ignore or ())
    emit(found.report(), written, table)
    return ExitCode.AGREES
