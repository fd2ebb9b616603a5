"""`rnntrace exercise`."""

from pathlib import Path
from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.choices import ExerciseAction
from rnntrace.cli.groups import OutputFlags, grouped
from rnntrace.errors import ExitCode, UsageError


@grouped
def exercise(
    action: Annotated[
        ExerciseAction,
        typer.Argument(metavar="new|check", help="Write a new exercise, or check one.", show_default=False),
    ],
    what: Annotated[
        str | None, typer.Argument(metavar="[KIND|FILE]", help="new: rnn, lstm or gru. check: the file.", show_default=False)
    ] = None,
    *,
    cell: options.CellFile = None,
    backward: options.Backward = False,
    written: OutputFlags,
) -> int:
    """Write a new exercise, exercise.toml and its secret; or check whether one would show the mistakes that people make.

    A check ends with 2 if the exercise cannot be used. With `new`, --output names the exercise.
    """
    from dataclasses import replace

    from rnntrace.cli.output import emit

    if action is ExerciseAction.NEW:
        from rnntrace.course.new import new_exercise

        path = written.output or Path("exercise.toml")
        emit(new_exercise(what, cell=cell, backward=backward, output=path).report(), replace(written, output=None))
        return ExitCode.AGREES
    from rnntrace.course.check import check_exercise

    if cell is not None or backward:
        raise UsageError(f"`{'cell' if cell is not None else 'backward'}` is said by the exercise: leave it out")
    checked = check_exercise(what or "exercise.toml")
    emit(checked.report(), written, read=[what])
    checked.require_usable()
    return ExitCode.AGREES
