"""A new exercise: exercise.toml with comments, and the secret beside it."""

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from rnntrace.course.exercise_file import gradients
from rnntrace.course.numbers import write_secret
from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Op
from rnntrace.errors import UsageError, show
from rnntrace.files.atomic import replace_files
from rnntrace.model.kinds import parse_kind
from rnntrace.model.spec import ModuleSpec
from rnntrace.report.table import SCHEMA, Report
from rnntrace.verbs.given.cells import cell as own_cell
from rnntrace.verbs.shown import Shown

TEMPLATE = """\
# An exercise: `rnntrace exercise check {file}` says whether it can be used, `rnntrace worksheet {file}` writes the sheets,
# and `rnntrace grade {file} HAND-INS` grades what is handed in.
title = "{title}"

[module]                      # the words of `rnntrace run`
{kind}
input_size = {input_size}
hidden = 2

[signals]
steps = 4
{states}decimals = 2                  # of the weights and inputs that are given out: few enough to be typed

[hand_in]
{wanted}decimals = 4                  # judged to so many places, whatever more is handed in
backward = {backward}

[points]
{points}
[rules]
{first_error}feedback = "place"            # verdict | place | mistake | numbers: each tells what those before it tell, and more
# What a mistake costs in place of the wrong values: ids{of_kind}, * for any. The first that fits counts.
mistake = {prices}
"""
FIRST_ERROR = "first_error_only = true       # a value that follows rightly from a wrong one before it is not wrong again\n"


@dataclass(frozen=True, repr=False)
class NewExercise(Shown):
    """The files of a new exercise."""

    exercise: Path
    secret: Path

    def report(self) -> Report:
        """Which files these are, and what to do with them."""
        written = [str(self.exercise), str(self.secret)]
        return Report(
            headline=((("exercise", show(written[0])), ()),),
            tables=(),
            conclusion=(f"wrote {show(written[0])} and {show(written[1])}", "keep the second: all numbers follow from it"),
            passed=None,
            document={"schema": SCHEMA, "command": "exercise", "wrote": written},
            hint=f"to see whether it can be used: {shlex.join(['rnntrace', 'exercise', 'check', written[0]])}",
        )


def new_exercise(
    kind: str | None = None,
    *,
    cell: str | Path | None = None,
    backward: bool = False,
    output: str | Path = "exercise.toml",
) -> NewExercise:
    """Write an exercise of a kind ("lstm"), or of a `cell` of your own in a file, as `output`, and its secret beside it.

    Raises UsageError if there is such a file, FileError if none can be written, and SpecError for an unknown kind.
    """
    path, own = Path(output), None if cell is None else own_cell(Path(cell))
    if (kind is None) == (own is None):
        raise UsageError("expected a kind, such as lstm, or `cell` in its place" + (", and not both" if own else ""))
    spec = ModuleSpec(kind=parse_kind(kind), input_size=3, hidden_size=2) if kind else _of_cell(own)
    if path.exists():
        raise UsageError(f"{show(str(path))} is there already: move it away, or give another name with `output`")
    secret = path.with_suffix(".secret")
    file = None if cell is None else os.path.relpath(Path(cell).resolve(), path.resolve().parent)
    text = _text(spec, path.name, file, backward=backward)
    replace_files([(path, text.encode())])
    write_secret(secret)
    return NewExercise(path, secret)


def _of_cell(own: Cell | None) -> ModuleSpec:
    """A module of a cell; one that takes its input unit by unit has as many inputs as units."""
    assert own is not None
    unit_by_unit = any(part.op is Op.INPUT for step in own.steps for part in step.expression.walk())
    return ModuleSpec(cell=own, input_size=2 if unit_by_unit else 3, hidden_size=2)


def _text(spec: ModuleSpec, file: str, cell: str | None, *, backward: bool) -> str:
    states, family = spec.cell.states, spec.cell.slug
    starts = "".join(
        f'{f"{state}0":<3}= "random"                 # or "zeros", which hide what is done with it\n' for state in states
    )
    gates = [symbol for symbol in spec.cell.symbols if symbol not in states]
    finals = [f"{state}_n" for state in states]
    if backward:
        parameters = [name for name in gradients(spec) if name.startswith(("weight", "bias"))]
        needed, optional = parameters, [f"d_{gate}" for gate in gates]
        worth = [(name, 2) for name in needed]
    else:
        # The cell state of every step tells which step went wrong; h is the output.
        needed, optional = ["output", *finals[1:]], [*gates, *states[1:]]
        worth = [("output", 6), *((name, 2) for name in finals[1:])]
    if any(name in gates or name.removeprefix("d_") in gates for name in optional):
        worth.append(("gates", 2))
    wanted = f"require = {_listed(needed)}\n"
    wanted += f"optional = {_listed(optional)}   # a missing one costs nothing\n" if optional else ""
    wanted += 'loss = "sum"                  # of the whole output; or "last"\n' if backward else ""
    prices = f'{{ "{family}.bias.*" = -1{f""", "{family}.gate-order.*" = -2""" if len(gates) > 1 else ""} }}'
    return TEMPLATE.format(
        file=file,
        title=f"{spec.family}, {'backward' if backward else 'step by step'}",
        kind=f"cell = {json.dumps(cell)}" if cell else f'kind = "{spec.kind.lower().replace("cell", "-cell")}"',
        input_size=spec.input_size,
        states=starts,
        wanted=wanted,
        backward=str(backward).lower(),
        points="".join(f"{name} = {points}\n" for name, points in worth),
        first_error="" if backward else FIRST_ERROR,
        of_kind="" if cell else f" of `rnntrace mistakes {family}`",
        prices="{}" if backward else prices,
    )


def _listed(names: list[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
