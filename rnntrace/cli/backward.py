"""`rnntrace backward`."""

from typing import Annotated

import typer

from rnntrace.cli import judging_options, options
from rnntrace.cli.choices import Capture, Check
from rnntrace.cli.diagnose import diagnose
from rnntrace.cli.given import keywords, typed
from rnntrace.cli.groups import (
    GradientFlags,
    LimitFlags,
    ModuleFlags,
    SignalFlags,
    TableFlags,
    ToleranceFlags,
    VariantFlags,
    VerdictFlags,
    flags_of,
    grouped,
)
from rnntrace.cli.options import JUDGING, VIEW
from rnntrace.errors import ExitCode


@grouped
def backward(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND|FILE",
            help="rnn, lstm, gru, rnn-cell, lstm-cell or gru-cell, or saved weights; none with --cell.",
            show_default=False,
        ),
    ] = None,
    sizes: options.Sizes = None,
    *,
    gradients: GradientFlags,
    expected: Annotated[
        str | None,
        typer.Option(
            "--expected",
            metavar="FILE|JSON",
            help="Judge by these gradients (weight_ih_l0, x, h0, d_f, d_a_f) in place of torch's, which is not run.",
            rich_help_panel=JUDGING,
        ),
    ] = None,
    cell: options.CellFile = None,
    flags: ModuleFlags,
    variant: VariantFlags,
    module: options.Module = None,
    names: options.Names = None,
    config: options.ConfigFile = None,
    ignore: options.Ignore = None,
    go_backwards: options.GoBackwards = False,
    reset: options.ResetOfFile = None,
    signals: SignalFlags,
    judging: ToleranceFlags,
    capture: judging_options.CaptureOption = Capture.AUTO,
    no_drift: judging_options.NoDrift = False,
    replay_dtype: judging_options.ReplayDtypeOption = None,
    check: Annotated[
        Check | None,
        typer.Option(
            "--check",
            help="Judge by finite differences in float64 (fd) in place of torch's gradients.",
            show_default=False,
            rich_help_panel=JUDGING,
        ),
    ] = None,
    mistake: Annotated[
        list[str] | None,
        typer.Option(
            "--mistake",
            metavar="ID",
            help="Go back with a deliberate mistake: an id of `rnntrace mistakes --backward`; several joined by +.",
            rich_help_panel=JUDGING,
        ),
    ] = None,
    blind: Annotated[
        bool,
        typer.Option(
            "--blind",
            help="List the mistakes these gradients could not reveal, and what would reveal them.",
            rich_help_panel=JUDGING,
        ),
    ] = False,
    show: Annotated[
        str,
        typer.Option(
            "--show",
            help="What to show: gradients, states, parameters, norms, terms or all.",
            rich_help_panel=VIEW,
        ),
    ] = "gradients,states,parameters",
    layer: options.Layer = None,
    time: options.Time = None,
    unit: options.Unit = None,
    item: options.Item = None,
    plot: options.Plot = None,
    table: TableFlags,
    written: VerdictFlags,
    limits: LimitFlags,
) -> int:
    """Replay a module forward and backward, and print every gradient, gate by gate and step by step, beside autograd's."""
    from dataclasses import replace

    from rnntrace.cli.constructor import with_sizes
    from rnntrace.cli.groups import ViewFlags
    from rnntrace.cli.output import emit
    from rnntrace.cli.syntax import parse_view, states_in
    from rnntrace.engine.judge.verdict import Verdict
    from rnntrace.report.backward import GRADIENT_PARTS, backward_report
    from rnntrace.verbs.backward import backward as go_back
    from rnntrace.verbs.plot import check_drawable, drawn

    shown = ViewFlags(show=show, layer=layer, time=time, unit=unit, item=item)
    values = flags_of(flags, variant, signals, judging, gradients) | {
        "expected": expected,
        "cell": cell,
        "module": module,
        "names": names,
        "config": config,
        "ignore": ignore,
        "go_backwards": go_backwards,
        "reset": reset,
        "capture": capture,
        "no_drift": no_drift,
        "replay_dtype": replay_dtype,
        "check": check or "",
        "mistake": mistake or (),
        "blind": blind,
    }
    if plot:
        check_drawable(plot)
    values = with_sizes(source, sizes, values)
    values["source"] = values.pop("kind")
    result = go_back(**keywords(go_back, values))
    view = parse_view(shown, result.spec, result.inputs.steps, result.inputs.batch, parts=GRADIENT_PARTS)
    read = [source, config, cell, flags.weights, gradients.target, gradients.grad, expected]
    read += [signals.input, signals.h0, signals.c0, *(states_in(signals.states) or {}).values()]
    report = backward_report(result, view)
    if expected is not None and result.verdict is Verdict.FAIL:
        report = replace(
            report, hint=f"to look for the mistake: {typed(diagnose, values | {'file': source, 'backward': True})}"
        )
    others = [(plot, drawn(result, plot, view=view))] if plot else []
    emit(report, written, table, others, read=read)
    return ExitCode.AGREES if result.passed else ExitCode.DISAGREES
