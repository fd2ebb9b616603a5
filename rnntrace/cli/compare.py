"""`rnntrace compare`."""

from typing import Annotated

import typer

from rnntrace.cli import judging_options, options
from rnntrace.cli.choices import PlotKind
from rnntrace.cli.diagnose import diagnose
from rnntrace.cli.given import keywords, sources_of, typed
from rnntrace.cli.groups import (
    FileFlags,
    GridFlags,
    JudgeFlags,
    LimitFlags,
    SignalFlags,
    VerdictFlags,
    ViewFlags,
    flags_of,
    grouped,
)
from rnntrace.cli.options import JUDGING
from rnntrace.errors import ExitCode, UsageError


@grouped
def compare(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE", help="Weights (a state_dict, .onnx, .keras, .h5), or a saved trace.", show_default=False
        ),
    ] = None,
    other: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="A second file of the same kind.", show_default=False)
    ] = None,
    *,
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
            help="Names that --expected must hold, such as output,h_n,i; refused if one is missing.",
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
    no_rounded: judging_options.NoRounded = False,
    module: FileFlags,
    dropout: options.Dropout = 0.0,
    signals: SignalFlags,
    judging: JudgeFlags,
    fixed: GridFlags,
    shown: ViewFlags,
    written: VerdictFlags,
    save: options.Save = None,
    plot: options.Plot = None,
    plot_kind: options.PlotKindOption = PlotKind.HEATMAP,
    limits: LimitFlags,
) -> int:
    """Replay saved weights beside torch, or judge them by given outputs; or find where two files differ.

    Two files are saved traces, or weights that are replayed on the same input.

    Kind and sizes come from the file. What it does not record has a flag: --nonlinearity, --batch-first, --dropout.
    """
    from dataclasses import replace

    from rnntrace.cli.output import emit
    from rnntrace.cli.syntax import parse_parts, parse_view, states_in
    from rnntrace.engine.judge.result import Result
    from rnntrace.engine.judge.verdict import Verdict
    from rnntrace.files import check_writable, label
    from rnntrace.report.compare import compare_report
    from rnntrace.verbs.compare import compare as compare_weights
    from rnntrace.verbs.plot import check_drawable, drawn
    from rnntrace.verbs.save import dump_compared

    if save:
        check_writable(save)
    if plot:
        check_drawable(plot)
    values = flags_of(module, signals, judging, fixed, shown) | {
        "file": file,
        "other": other,
        "expected": expected,
        "require": require,
        "framework": framework,
        "dropout": dropout,
        "no_rounded": no_rounded,
        "keep": "terms" if "terms" in parse_parts(shown.show) else "gates",
    }
    sources = sources_of(file, module.weights)
    compared = compare_weights(**keywords(compare_weights, values | sources))
    results = {compared.name: compared} if isinstance(compared, Result) else compared
    first = next(iter(results.values()))
    view = parse_view(shown, first.spec, first.inputs.steps, first.inputs.batch)
    if (plot or save) and len(results) > 1:
        what = "--plot draws" if plot else "--save keeps"
        raise UsageError(f"{what} one module, and there are {len(results)}: choose with --module")
    others = [(save, dump_compared(first, save))] if save else []
    others += [(plot, drawn(first, plot, plot_kind, view))] if plot else []
    report = compare_report(label(str(sources["weights"])), results, view)
    failed = any(result.verdict is Verdict.FAIL for result in results.values())
    if expected is not None and failed and not judging.mistake:
        report = replace(report, hint=f"to look for the mistake: {typed(diagnose, values)}")
    read = [str(sources["weights"]), module.weights, module.config, other, expected]
    read += [signals.input, signals.h0, signals.c0, *(states_in(signals.states) or {}).values()]
    emit(report, written, shown, others, read=read)
    return ExitCode.AGREES if report.passed else ExitCode.DISAGREES
