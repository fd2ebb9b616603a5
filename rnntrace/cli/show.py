"""`rnntrace show`."""

from pathlib import Path
from typing import Annotated

import typer

from rnntrace.cli.groups import LimitFlags, VerdictFlags, ViewFlags, grouped
from rnntrace.errors import ExitCode


@grouped
def show(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="A file that `run --save` has written.", show_default=False)],
    shown: ViewFlags,
    written: VerdictFlags,
    limits: LimitFlags,
) -> int:
    """Show a saved trace again, in any format and any view, without torch. The exit code is that of its verdict."""
    from rnntrace.cli.output import emit
    from rnntrace.cli.syntax import parse_view
    from rnntrace.report.run import run_report
    from rnntrace.verbs.open_trace import open_trace

    result = open_trace(trace)
    view = parse_view(shown, result.spec, result.inputs.steps, result.inputs.batch)
    emit(run_report(result, view, "show"), written, shown, read=(str(trace),))
    return ExitCode.AGREES if result.passed else ExitCode.DISAGREES
