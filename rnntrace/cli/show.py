"""`rnntrace show`."""

from pathlib import Path
from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.choices import Format, When
from rnntrace.errors import ExitCode


def show(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="A file that `run --save` has written.", show_default=False)],
    show: options.Show = "gates,states",
    layer: options.Layer = None,
    time: options.Time = None,
    unit: options.Unit = None,
    item: options.Item = None,
    digits: options.Digits = 4,
    max_rows: options.MaxRows = 40,
    format: options.FormatOption = Format.TABLE,
    output: options.OutputFile = None,
    quiet: options.Quiet = False,
    color: options.Color = When.AUTO,
    timeout: options.Timeout = None,
    max_memory: options.MaxMemory = None,
) -> int:
    """Show a saved trace again, in any format and any view, without torch. The exit code is that of its verdict."""
    from rnntrace.cli.output import OutputOptions, emit
    from rnntrace.report.run import run_report
    from rnntrace.report.select import parse_view
    from rnntrace.verbs.open_trace import open_trace

    result = open_trace(trace)
    view = parse_view(show, result.spec, result.inputs.steps, result.inputs.batch, layer=layer, time=time, unit=unit, item=item)
    emit(run_report(result, view, "show"), OutputOptions(format, quiet, color, digits, max_rows), output, read=(str(trace),))
    return ExitCode.AGREES if result.passed else ExitCode.DISAGREES
