"""`rnntrace backward`."""

from typing import Annotated

import typer

from rnntrace.cli import judging_options, options
from rnntrace.cli.choices import Capture
from rnntrace.cli.given import keywords
from rnntrace.cli.groups import (
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
from rnntrace.cli.options import JUDGING, SIGNALS, VIEW
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
    *,
    loss: Annotated[
        str,
        typer.Option(
            "--loss",
            metavar="sum|last|mse",
            help="The loss: of the output as a whole, of its last step, or beside --target.",
            rich_help_panel=SIGNALS,
        ),
    ] = "sum",
    target: Annotated[
        str | None,
        typer.Option(
            "--target", metavar="FILE|JSON", help="What the output should be, for --loss mse.", rich_help_panel=SIGNALS
        ),
    ] = None,
    grad: Annotated[
        str | None,
        typer.Option(
            "--grad",
            metavar="FILE|JSON",
            help="∂L/∂output, or those of output, h_n and c_n by name, in place of a loss.",
            rich_help_panel=SIGNALS,
        ),
    ] = None,
    truncate: Annotated[
        int | None,
        typer.Option(
            "--truncate",
            metavar="K",
            help="Let no gradient go back over a step that is a multiple of K.",
            show_default=False,
            rich_help_panel=SIGNALS,
        ),
    ] = None,
    clip_norm: Annotated[
        float | None,
        typer.Option(
            "--clip-norm",
            help="Clip the gradients of all parameters by their norm, as torch does.",
            show_default=False,
            rich_help_panel=SIGNALS,
        ),
    ] = None,
    clip_value: Annotated[
        float | None,
        typer.Option("--clip-value", help="Clip them at this value either side.", show_default=False, rich_help_panel=SIGNALS),
    ] = None,
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
    ignore: options.Ignore = None,
    go_backwards: options.GoBackwards = False,
    signals: SignalFlags,
    judging: ToleranceFlags,
    capture: judging_options.CaptureOption = Capture.AUTO,
    no_drift: judging_options.NoDrift = False,
    replay_dtype: judging_options.ReplayDtypeOption = None,
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
    table: TableFlags,
    written: VerdictFlags,
    limits: LimitFlags,
) -> int:
    """Replay a module forward and backward, and print every gradient, gate by gate and step by step, beside autograd's."""
    from rnntrace.cli.groups import ViewFlags
    from rnntrace.cli.output import emit
    from rnntrace.cli.syntax import parse_view, states_in
    from rnntrace.report.backward import GRADIENT_PARTS, backward_report
    from rnntrace.verbs.backward import backward as go_back

    shown = ViewFlags(show=show, layer=layer, time=time, unit=unit, item=item)
    values = flags_of(flags, variant, signals, judging) | {
        "source": source,
        "loss": loss,
        "target": target,
        "grad": grad,
        "truncate": truncate,
        "clip_norm": clip_norm,
        "clip_value": clip_value,
        "expected": expected,
        "cell": cell,
        "module": module,
        "names": names,
        "ignore": ignore,
        "go_backwards": go_backwards,
        "capture": capture,
        "no_drift": no_drift,
        "replay_dtype": replay_dtype,
    }
    result = go_back(**keywords(go_back, values))
    view = parse_view(shown, result.spec, result.inputs.steps, result.inputs.batch, parts=GRADIENT_PARTS)
    read = [source, cell, flags.weights, target, grad, expected, signals.input, signals.h0, signals.c0]
    read += (states_in(signals.states) or {}).values()
    emit(backward_report(result, view), written, table, read=read)
    return ExitCode.AGREES if result.passed else ExitCode.DISAGREES
