"""`rnntrace compare`."""

from typing import Annotated

import typer

from rnntrace.cli import judging_options, options
from rnntrace.cli.choices import Capture, Distribution, Format, ReplayMode, When
from rnntrace.cli.diagnose import diagnose
from rnntrace.cli.given import keywords, typed
from rnntrace.cli.options import JUDGING, MODULE
from rnntrace.errors import ExitCode, UsageError


def compare(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Weights (a state_dict, .onnx, .keras, .h5), or a saved trace.", show_default=False
        ),
    ],
    other: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="A second file of the same sort.", show_default=False)
    ] = None,
    expected: Annotated[
        str | None,
        typer.Option(
            "--expected",
            metavar="FILE|JSON",
            help="Judge the replay by these outputs, gates and states (output, h_n, c_n, i, 0.forward.i) instead of torch's, "
            "which is not run.",
            rich_help_panel=JUDGING,
        ),
    ] = None,
    require: Annotated[
        str | None,
        typer.Option(
            "--require",
            metavar="NAMES",
            help="What --expected has to hold, such as output,h_n,i: what lacks any of it is refused.",
            show_default=False,
            rich_help_panel=JUDGING,
        ),
    ] = None,
    framework: Annotated[
        str | None,
        typer.Option(
            "--framework",
            metavar="NAME",
            help="The framework beside which weights are judged: torch, keras or onnxruntime. With --expected: run it as well, "
            "and pass if both agree.",
            show_default="torch",
            rich_help_panel=JUDGING,
        ),
    ] = None,
    module: Annotated[
        str | None,
        typer.Option("--module", metavar="NAME", help="The module of this prefix.", show_default="all", rich_help_panel=MODULE),
    ] = None,
    names: options.Names = None,
    ignore: options.Ignore = None,
    nonlinearity: options.NonlinearityOption = None,
    batch_first: options.BatchFirst = False,
    go_backwards: options.GoBackwards = False,
    recurrent_activation: options.RecurrentActivation = None,
    dropout: options.Dropout = 0.0,
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
    no_rounded: judging_options.NoRounded = False,
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
    plot: options.Plot = None,
    quiet: options.Quiet = False,
    color: options.Color = When.AUTO,
    timeout: options.Timeout = None,
    max_memory: options.MaxMemory = None,
) -> int:
    """Replay saved weights beside torch, or judge them by given outputs; or find where two files differ.

    Two files are saved traces, or weights that are replayed on the same input.

    Kind and sizes are told from the file. What it cannot tell has a flag: --nonlinearity, --batch-first, --dropout.
    """
    values = locals()
    from dataclasses import replace

    from rnntrace.cli.output import OutputOptions, emit
    from rnntrace.engine.judge.result import Result
    from rnntrace.engine.judge.verdict import Verdict
    from rnntrace.files import label
    from rnntrace.report.compare import compare_report
    from rnntrace.report.select import parse_parts, parse_view
    from rnntrace.verbs.compare import compare as compare_weights
    from rnntrace.verbs.plot import check_drawable, drawn

    if plot:
        check_drawable(plot)
    values["keep"] = "terms" if "terms" in parse_parts(show) else "gates"
    compared = compare_weights(file, **keywords(compare_weights, values))
    results = {compared.name: compared} if isinstance(compared, Result) else compared
    first = next(iter(results.values()))
    view = parse_view(show, first.spec, first.inputs.steps, first.inputs.batch, layer=layer, time=time, unit=unit, item=item)
    if plot and len(results) > 1:
        raise UsageError(f"--plot draws one module, and there are {len(results)}: choose with --module")
    others = [(plot, drawn(first, plot, view=view))] if plot else []
    report = compare_report(label(file), results, view)
    failed = any(result.verdict is Verdict.FAIL for result in results.values())
    if expected is not None and failed and not mistake:
        report = replace(report, hint=f"to look for the mistake: {typed(diagnose, values)}")
    emit(
        report,
        OutputOptions(format, quiet, color, digits, max_rows),
        output,
        others,
        read=(file, other, expected, input, h0, c0),
    )
    return ExitCode.AGREES if report.passed else ExitCode.DISAGREES
