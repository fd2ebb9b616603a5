"""`rnntrace run`."""

from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.choices import PlotKind
from rnntrace.cli.given import keywords
from rnntrace.cli.groups import JudgeFlags, ModuleFlags, SignalFlags, VariantFlags, VerdictFlags, ViewFlags, flags_of, grouped
from rnntrace.errors import ExitCode, UsageError, show


@grouped
def run(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help="rnn, lstm, gru, rnn-cell, lstm-cell or gru-cell; none with --cell.", show_default=False
        ),
    ] = None,
    sizes: options.Sizes = None,
    *,
    cell: options.CellFile = None,
    module: ModuleFlags,
    variant: VariantFlags,
    signals: SignalFlags,
    judging: JudgeFlags,
    shown: ViewFlags,
    written: VerdictFlags,
    framework: options.Framework = None,
    save: options.Save = None,
    keep: options.KeepOption = None,
    plot: options.Plot = None,
    plot_kind: options.PlotKindOption = PlotKind.HEATMAP,
) -> int:
    """Build a module, feed it, replay it by hand, and print every gate and state beside the framework's own, with a verdict."""
    import shlex
    from dataclasses import replace
    from os.path import realpath
    from pathlib import Path

    from rnntrace.cli.constructor import with_sizes
    from rnntrace.cli.output import check_targets, emit, warn
    from rnntrace.cli.progress import tell
    from rnntrace.cli.syntax import parse_parts, parse_view, states_in
    from rnntrace.engine.judge.options import JudgeOptions
    from rnntrace.engine.judge.verdict import Verdict
    from rnntrace.files import check_writable
    from rnntrace.model.kinds import is_kind, parse_constructor
    from rnntrace.model.spec import ModuleSpec
    from rnntrace.report.run import run_report
    from rnntrace.report.select import View
    from rnntrace.report.trace import check_shown
    from rnntrace.verbs.plot import check_drawable, drawn
    from rnntrace.verbs.run import run as run_module
    from rnntrace.verbs.save import dump

    if kind and Path(kind).suffix and not (is_kind(kind) or parse_constructor(kind)):
        raise UsageError(
            f"run builds a module, and {show(kind)} is a file: try rnntrace compare FILE, or run lstm --weights FILE"
        )
    if save:
        check_writable(save)
    if plot:
        check_drawable(plot)
    kept = keep or ("terms" if "terms" in parse_parts(shown.show) else "gates")
    read = (cell, module.weights, signals.input, signals.h0, signals.c0, *(states_in(signals.states) or {}).values())
    view = View()

    def ready(spec: ModuleSpec, steps: int, batch: int) -> None:
        nonlocal view
        view = parse_view(shown, spec, steps, batch)
        keeps = JudgeOptions(keep=kept)
        check_shown(view.parts, spec.cell, {*keeps.kept(spec.cell), *keeps.kept_terms(spec.cell)})
        check_targets(written.output, (save, plot), read=read)

    # The trace is written with what else there is to write, all files or none of them.
    values = flags_of(module, variant, signals, judging) | {"cell": cell, "framework": framework, "keep": kept}
    values = with_sizes(kind, sizes, values)
    scratch = Path(realpath(save)).parent if save else None
    result = run_module(**keywords(run_module, values), scratch=scratch, ready=ready, tell=tell, warn=warn)
    others = [(save, dump(result, save))] if save else []
    others += [(plot, drawn(result, plot, plot_kind, view))] if plot else []
    report = run_report(result, view)
    if result.verdict is Verdict.FAIL and not judging.mistake:
        saved = shlex.quote(str(save or "t.npz"))
        first = "" if save else f"run again with --save {saved}, then "
        report = replace(report, hint=f"to look for the mistake: {first}rnntrace diagnose {saved}")
    emit(report, written, shown, others, read=read)
    return ExitCode.AGREES if result.passed else ExitCode.DISAGREES
