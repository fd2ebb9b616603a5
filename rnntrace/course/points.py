"""Which values of a hand-in are right.

A value is right if it has the decimals that were asked for. It is also right if it follows from the student's own values of the
step before: the replay is then forced with these, so that one error is counted once. Values that follow may be off by what the
rounding of the student's own values does to them, and never by more than three units of the last decimal.

Nobody earns points by chance: of a quantity in which no whole step is right, in which the right steps tell too little, or in
which every step has the same values, no value counts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.tolerance import CARRIED
from rnntrace.engine.replay.replay import replay
from rnntrace.equations import cells
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.model.vocabulary import Name, required

CHANCE = 10.0
"""Bits that right steps must tell: noise tells as many once in a thousand tries."""
IN_STEP = 3.0
"""Half units that a value may be off because what it is made of in its own step was rounded before."""


@dataclass(frozen=True)
class Wrong:
    """The first wrong value: where it is, what was handed in, and how far that is off."""

    key: Key
    t: int
    item: int
    unit: int
    value: float
    apart: float


@dataclass(frozen=True)
class Mark:
    """What is right of one quantity: so many values `of` all; `given` is False if nothing of it was handed in."""

    name: str
    right: int
    of: int
    given: bool = True
    wrong: Wrong | None = None

    @property
    def full(self) -> bool:
        """Whether everything is right."""
        return self.given and self.right == self.of


@dataclass(frozen=True)
class _Side:
    """A quantity of both sides, (T, B, H), of a final state (1, B, H): what is right, what was given, where that is right."""

    key: Key
    right: Array
    given: Array | None
    good: Flags
    t: NDArray[np.int_]


def marks(result: Result, names: tuple[str, ...], decimals: int, *, first_error_only: bool) -> dict[str, Mark]:
    """What is right of each quantity by the word that an exercise has for it."""
    half = 0.5 * 10.0**-decimals
    sides = _Sides(result, half, first_error_only=first_error_only)
    found = {}
    for word, meanings in required(result.spec, names).items():
        parts = [side for name in meanings for side in sides.of(name)]
        of = sum(side.right.size for side in parts)
        # The h of the last layer is known from the output, and an optional h is not handed in by that.
        named = any(isinstance(name, str) or name in (result.handed_in or ()) for name in meanings)
        if not named or all(side.given is None for side in parts):
            found[word] = Mark(word, 0, of, given=False)
            continue
        right = sum(counted(side.good, side.right, side.given, half) for side in parts if side.given is not None)
        wrongs = [wrong for side in parts if (wrong := _first_wrong(side))]
        found[word] = Mark(word, right, of, wrong=min(wrongs, key=lambda wrong: wrong.t, default=None))
    return found


def counted(good: Flags, right: Array, given: Array, half: float) -> int:
    """How many values (T, B, H) count as right: all that are `good`, unless chance would do as well, or a constant."""
    if good.all():
        return good.size
    if len(given) > 1 and (given == given[:1]).all():
        return 0
    size = float(np.sqrt(np.square(right).mean()))
    bits = max(float(np.log2(size / half)), 0.0) if size else 0.0
    whole = int(np.count_nonzero(good.all(axis=2))) * good.shape[2]
    return int(np.count_nonzero(good)) if whole and bits * whole >= min(CHANCE, bits * good.size) else 0


def _first_wrong(side: _Side) -> Wrong | None:
    if side.given is None or side.good.all():
        return None
    ranks = -side.t if side.key[1] == REVERSE else side.t
    rows = np.argwhere(~side.good)
    row, item, unit = min(rows.tolist(), key=lambda place: (ranks[place[0]], place[1:]))
    value = float(side.given[row, item, unit])
    return Wrong(side.key, int(side.t[row]), item, unit, value, abs(value - float(side.right[row, item, unit])))


class _Sides:
    """Both sides of every quantity, as they were handed in or follow from what was."""

    def __init__(self, result: Result, half: float, *, first_error_only: bool) -> None:
        self.result, self.spec = result, result.spec
        self.out = result.comparison.out_of_tolerance
        self.given = result.observation.values
        self.follows = follows(result, half) if first_error_only else {}

    def of(self, name: Name) -> list[_Side]:
        """The quantities that a name stands for, one for each layer and direction."""
        spec = self.spec
        if not isinstance(name, str):
            return [self._sequence(name)]
        if name == "output":
            return [self._output(direction) for direction in spec.directions]
        state = name.removesuffix("_n")
        return [self._final(state, row, key) for row, key in enumerate(spec.layer_directions)]

    def _sequence(self, key: Key) -> _Side:
        right, given = self.result.trace.columns[key], self.given.get(key)
        good = np.zeros(right.shape, bool) if given is None else ~self.out[key] | self.follows.get(key, np.zeros((), bool))
        return _Side(key, right, given, good, np.arange(1, len(right) + 1))

    def _output(self, direction: str) -> _Side:
        """What a direction of the last layer gives to the output; without an output, its hidden state is."""
        layer, h = self.spec.num_layers - 1, self.spec.cell.output
        side = self._sequence((layer, direction, h))
        if "output" not in self.result.observation.outputs:
            return side
        given = self.result.observation.outputs["output"][..., self.spec.output_units(direction)]
        good: Flags = ~self.out[layer, direction, "output"]
        if side.given is not None and np.array_equal(given, side.given):
            good = good | side.good
        return replace(side, given=given, good=good)

    def _final(self, state: str, row: int, column: tuple[int, str]) -> _Side:
        """A final state of one layer and direction; where it was not handed in, the state of every step holds it."""
        side, name = self._sequence((*column, state)), f"{state}_n"
        at = self.result.trace.final_step(column[1]) - 1
        last = int(np.max(at))
        rows = slice(last, last + 1)
        ended = _Side(
            (*column, state), side.right[rows], None if side.given is None else side.given[rows], side.good[rows], side.t[rows]
        )
        theirs = self.result.observation.outputs.get(name)
        if theirs is None:
            return ended
        row -= len(self.spec.layer_directions) - len(theirs)
        if row < 0:
            return replace(ended, given=None)
        given, good = theirs[row : row + 1], ~self.out[(*column, name)]
        if side.given is not None and np.array_equal(given, side.given[rows]):
            good = good | side.good[rows]
        elif (followed := self.follows.get((*column, state))) is not None and side.given is None:
            good = good | followed[rows]
        return replace(ended, given=given, good=good)


def follows(result: Result, half: float) -> Mapping[Key, Flags]:
    """Where gates and states follow from the student's own states of the step before, as far as these were handed in.

    Of a state that was not handed in, what the replay makes of the others is taken, or what the student's output tells of it,
    whichever is better for the student. Empty where everything is right as it stands, or the output of a layer is not known.
    """
    spec, given = result.spec, result.observation.values
    known = {key: values for key, values in given.items() if key[2] in spec.cell.states}
    complete = all((*column, spec.cell.output) in known for column in spec.layer_directions)
    if not complete or not any(flags.any() for flags in result.comparison.out_of_tolerance.values()):
        return {}
    known = {key: np.where(np.isfinite(values), values, 0.0).astype(np.float64) for key, values in known.items()}
    found: dict[Key, Flags] = {}
    for copies in _forced(result, known, half):
        for key, values in copies.items():
            theirs = _known_of(result, key)
            if theirs is not None:
                right = values[:, 0]
                spread = np.abs(values[:, 1:] - values[:, :1]).sum(axis=1)
                with np.errstate(invalid="ignore"):
                    flags = np.abs(right - theirs) <= np.minimum(half * IN_STEP + spread, CARRIED * half)
                found[key] = flags | found.get(key, np.zeros((), bool))
    return found


def _known_of(result: Result, key: Key) -> Array | None:
    """What was handed in of a gate or state, (T, B, H); of a final state that is all of it, NaN before."""
    given = result.observation.values.get(key)
    finals = result.observation.outputs.get(f"{key[2]}_n")
    if given is not None or finals is None or len(finals) != len(result.spec.layer_directions):
        return given
    found = np.full(result.trace.columns[key].shape, np.nan)
    found[int(np.max(result.trace.final_step(key[1]))) - 1] = finals[result.spec.layer_directions.index(key[:2])]
    return found


def _forced(result: Result, known: Mapping[Key, Array], half: float) -> Iterator[dict[Key, Array]]:
    """Every gate and state as it follows from the student's own, (T, copies, B, H), in each way to fill in what is not known.

    In the first copy that is as they are; in each of the others a unit of a state is half a unit of the last decimal larger.
    """
    inputs, B, spec = result.inputs, result.inputs.batch, result.spec
    moves = [(key, unit) for key in known for unit in range(known[key].shape[2])]
    copies = len(moves) + 1

    def several(array: Array) -> Array:
        return np.concatenate([array] * copies, axis=1)

    def forced(states: Mapping[Key, Array]) -> dict[Key, Array]:
        trace = replay(spec, result.weights, many, known=states, dtype=np.dtype(np.float64))
        return {key: column.reshape(len(column), copies, B, -1) for key, column in trace.columns.items()}

    many = replace(inputs, x=several(inputs.x), states={state: several(values) for state, values in inputs.states.items()})
    moved = {key: several(values) for key, values in known.items()}
    for number, (key, unit) in enumerate(moves, 1):
        moved[key][:, number * B : (number + 1) * B, unit] += half
    first = forced(moved)
    yield first
    if told := _told_by_output(spec, first, moved):
        yield forced({**moved, **told})


def _told_by_output(spec: ModuleSpec, values: Mapping[Key, Array], known: Mapping[Key, Array]) -> dict[Key, Array]:
    """The cell state of an LSTM as the student's h = o ⊙ tanh(c) tells it, where it was not handed in."""
    lstm, own = ({step.symbol: step.expression for step in cell.steps} for cell in (cells.LSTM, spec.cell))
    if any(own.get(symbol) != lstm[symbol] for symbol in ("o", "h")):
        return {}
    found = {}
    for column in spec.layer_directions:
        if (*column, "c") not in known:
            h = known[*column, "h"]
            o, c = (values[*column, symbol].reshape(h.shape) for symbol in ("o", "c"))
            with np.errstate(divide="ignore", invalid="ignore"):
                told = np.arctanh(h / o)
            found[*column, "c"] = np.where(np.isfinite(told), told, c)
    return found
