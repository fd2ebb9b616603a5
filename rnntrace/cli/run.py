"""`rnntrace run`."""

from typing import Annotated

import typer

from rnntrace.cli import judging_options, options
from rnntrace.cli.choices import Capture, Distribution, DtypeName, Format, ReplayMode, When
from rnntrace.cli.given import keywords
from rnntrace.errors import ExitCode


def run(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="rnn, lstm, gru, rnn-cell, lstm-cell or gru-cell.", show_default=False)
    ],
    input_size: options.InputSize = None,
    hidden: options.Hidden = 2,
    layers: options.Layers = 1,
    bidirectional: options.Bidirectional = False,
    no_bias: options.NoBias = False,
    nonlinearity: options.NonlinearityOption = None,
    proj_size: options.ProjSize = 0,
    dropout: options.Dropout = 0.0,
    batch_first: options.BatchFirst = False,
    weights: options.WeightsSource = None,
    dtype: options.Dtype = DtypeName.FLOAT32,
    framework: options.Framework = "torch",
    device: options.Device = "cpu",
    steps: options.Steps = None,
    batch: options.Batch = None,
    unbatched: options.Unbatched = False,
    input: options.Input = None,
    text: options.Text = None,
    alphabet: options.Alphabet = None,
    h0: options.H0 = None,
    c0: options.C0 = None,
    lengths: options.Lengths = None,
    dist: options.Dist = Distribution.NORMAL,
    seed: options.Seed = None,
    capture: judging_options.CaptureOption = Capture.AUTO,
    tolerance: judging_options.Tolerance = "torch",
    rtol: judging_options.Rtol = None,
    atol: judging_options.Atol = None,
    lam: judging_options.Lambda = None,
    no_drift: judging_options.NoDrift = False,
    mistake: judging_options.MistakeOption = None,
    blind: judging_options.Blind = False,
    replay: judging_options.Replay = ReplayMode.FREE,
    replay_dtype: judging_options.ReplayDtypeOption = None,
    show: options.Show = "gates,states",
    layer: options.Layer = None,
    time: options.Time = None,
    unit: options.Unit = None,
    item: options.Item = None,
    digits: options.Digits = 4,
    max_rows: options.MaxRows = 40,
    format: options.FormatOption = Format.TABLE,
    output: options.OutputFile = None,
    save: options.Save = None,
    keep: options.KeepOption = None,
    plot: options.Plot = None,
    quiet: options.Quiet = False,
    color: options.Color = When.AUTO,
) -> int:
    """Build a module, feed it, replay it by hand, and print every gate and state beside torch's own, with a verdict."""
    values = locals()
    import shlex
    from dataclasses import replace
    from os.path import realpath
    from pathlib import Path

    from rnntrace.cli.output import OutputOptions, check_targets, emit, warn
    from rnntrace.cli.progress import tell
    from rnntrace.engine.judge.options import JudgeOptions
    from rnntrace.engine.judge.verdict import Verdict
    from rnntrace.files import check_writable
    from rnntrace.model.spec import ModuleSpec
    from rnntrace.report.run import run_report
    from rnntrace.report.select import View, parse_parts, parse_view
    from rnntrace.report.trace import check_shown
    from rnntrace.verbs.plot import check_drawable, drawn
    from rnntrace.verbs.run import run as run_module
    from rnntrace.verbs.save import dump

    if save:
        check_writable(save)
    if plot:
        check_drawable(plot)
    values["keep"] = keep or ("terms" if "terms" in parse_parts(show) else "gates")
    view = View()

    def ready(spec: ModuleSpec, steps: int, batch: int) -> None:
        nonlocal view
        view = parse_view(show, spec, steps, batch, layer=layer, time=time, unit=unit, item=item)
        kept = JudgeOptions(keep=values["keep"])
        check_shown(view.parts, spec.cell, {*kept.kept(spec.cell), *kept.kept_terms(spec.cell)})
        check_targets(output, (save, plot), read=(weights, input, h0, c0))

    # The trace is written with what else there is to write, all files or none of them.
    del values["save"]
    scratch = Path(realpath(save)).parent if save else None
    result = run_module(**keywords(run_module, values), scratch=scratch, ready=ready, tell=tell, warn=warn)
    others = [(save, dump(result, save))] if save else []
    others += [(plot, drawn(result, plot, view=view))] if plot else []
    style = OutputOptions(format, quiet, color, digits, max_rows)
    report = run_report(result, view)
    if result.verdict is Verdict.FAIL and not mistake:
        saved = shlex.quote(str(save or "t.npz"))
        first = "" if save else f"run again with --save {saved}, then "
        report = replace(report, hint=f"to look for the mistake: {first}rnntrace diagnose {saved}")
    emit(report, style, output, others, read=(weights, input, h0, c0))
    return ExitCode.AGREES if result.passed else ExitCode.DISAGREES
