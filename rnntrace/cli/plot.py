"""`rnntrace plot`."""

from pathlib import Path
from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.choices import PlotKind, When
from rnntrace.cli.groups import LimitFlags, TableFlags, VerdictFlags, ViewFlags, grouped
from rnntrace.cli.options import OUTPUT, VIEW
from rnntrace.errors import ExitCode, show


@grouped
def plot(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="A file that `run --save` has written.", show_default=False)],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The picture: .png, .svg or .pdf.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ],
    kind: Annotated[
        PlotKind,
        typer.Option(
            "--kind",
            help="heatmap: units by t; lines: each unit over t; histogram: of the values; saturation: share of gates above "
            "0.9 and below 0.1; difference: replay against framework.",
            rich_help_panel=VIEW,
        ),
    ] = PlotKind.HEATMAP,
    layer: options.Layer = None,
    time: options.Time = None,
    unit: options.Unit = None,
    item: Annotated[
        str | None,
        typer.Option("--item", metavar="0", help="Items of the batch to draw, from 0.", show_default="0", rich_help_panel=VIEW),
    ] = None,
    quiet: options.Quiet = False,
    color: options.Color = When.AUTO,
    limits: LimitFlags,
) -> int:
    """Plot the gates and states of a saved trace, without torch. The exit code is that of its verdict."""
    from dataclasses import replace

    from rnntrace.cli.output import check_targets, emit
    from rnntrace.cli.syntax import parse_view
    from rnntrace.report.run import run_report
    from rnntrace.report.select import View
    from rnntrace.verbs.open_trace import open_trace
    from rnntrace.verbs.plot import check_drawable
    from rnntrace.verbs.plot import plot as draw

    check_drawable(output)
    check_targets(None, [output], read=(str(trace),))
    result = open_trace(trace)
    chosen = ViewFlags(layer=layer, time=time, unit=unit, item=item)
    view = parse_view(chosen, result.spec, result.inputs.steps, result.inputs.batch)
    draw(result, output, kind, layer=view.layers, time=view.times, unit=view.units, item=view.items)
    report = run_report(result, View(parts=frozenset()), "plot")
    report = replace(report, headline=(*report.headline, ((f"{kind}: {show(str(output))}",), ())))
    emit(report, VerdictFlags(color=color, quiet=quiet), TableFlags())
    return ExitCode.AGREES if result.passed else ExitCode.DISAGREES
