"""`rnntrace diagnose`."""

from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.given import keywords, sources_of
from rnntrace.cli.groups import (
    FileFlags,
    GivenSignals,
    GradientFlags,
    GridFlags,
    LimitFlags,
    ToleranceFlags,
    VerdictFlags,
    flags_of,
    grouped,
)
from rnntrace.cli.options import JUDGING
from rnntrace.errors import ExitCode


@grouped
def diagnose(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE", help="Weights (a state_dict, .onnx, .keras, .h5), or a saved trace of a FAIL.", show_default=False
        ),
    ] = None,
    *,
    expected: Annotated[
        str | None,
        typer.Option(
            "--expected",
            metavar="FILE|JSON",
            help="The outputs to explain (output, h_n, c_n), or gradients with --backward; a saved trace holds its own.",
            rich_help_panel=JUDGING,
        ),
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(
            "--time-limit",
            metavar="SECONDS",
            help="Time limit for trying mistakes, reading the files included.",
            rich_help_panel=JUDGING,
        ),
    ] = 10.0,
    module: FileFlags,
    backward: options.Backward = False,
    gradients: GradientFlags,
    signals: GivenSignals,
    tolerance: ToleranceFlags,
    fixed: GridFlags,
    written: VerdictFlags,
    limits: LimitFlags,
) -> int:
    """Find the mistake that explains outputs which do not agree: a gate order, a transposed matrix, a lost bias.

    Every known mistake is applied to the replay and its outputs are compared with those given, then pairs of them: see
    `rnntrace mistakes`. Exit code 0: explained, or nothing to explain; 1: no explanation found.
    """
    values = flags_of(module, signals, tolerance, fixed, gradients) | {"expected": expected, "backward": backward}
    from rnntrace.cli.output import emit
    from rnntrace.verbs.diagnose import diagnose as diagnose_weights

    sources = sources_of(file, module.weights)
    diagnosis = diagnose_weights(**keywords(diagnose_weights, values | sources), seconds=time_limit)
    emit(diagnosis.report(), written)
    return ExitCode.AGREES if diagnosis.explained else ExitCode.DISAGREES
