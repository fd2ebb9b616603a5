"""What is compared: each quantity of a replay paired with the framework's."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.replay.trace import Trace
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key
from rnntrace.model.merges import LAST_OUTPUT, MERGED
from rnntrace.model.spec import FORWARD


@dataclass(frozen=True)
class Place:
    """One value in one quantity, and what both sides have there."""

    layer: int
    direction: str
    symbol: str
    t: int
    item: int
    unit: int
    replay: float
    framework: float


@dataclass(frozen=True)
class Quantity:
    """One quantity from both sides: arrays (T, B, H); `one_step` is the forced replay where `replay` runs free.

    `name` is a symbol of the cell, or output, or a final state such as h_n. `t` (T, B) is the time that each row belongs to.
    `valid` (T, B) is False at steps that do not exist. `bound` is what rounding can do in a single step, where that is known.
    Of values that were typed, `half_unit` is that of each one's last digit, and `carried` what the digits of typed weights and
    inputs leave open.
    """

    name: str
    layer: int
    direction: str
    replay: Array
    one_step: Array
    framework: Array
    t: NDArray[np.int_]
    valid: Flags | None = None
    bound: Array | None = None
    half_unit: Array | None = None
    carried: Array | None = None

    @property
    def key(self) -> Key:
        """(layer, direction, name)."""
        return self.layer, self.direction, self.name

    def is_same(self, other: "Quantity") -> bool:
        """Whether another quantity of the same layer and direction has the same arrays, and not only equal ones."""
        pairs = [(getattr(self, name), getattr(other, name)) for name in ("replay", "one_step", "framework", "bound")]
        rest = (self.valid, self.half_unit, self.carried, other.valid, other.half_unit, other.carried)
        return (
            self.key[:2] == other.key[:2]
            and all(array is None for array in rest)
            and all(mine is theirs or _is_one_array(mine, theirs) for mine, theirs in pairs)
        )

    def part(self, rows: slice) -> "Quantity":
        """Some of its rows."""
        replay = self.replay[rows]
        return replace(
            self,
            replay=replay,
            one_step=replay if self.one_step is self.replay else self.one_step[rows],
            framework=self.framework[rows],
            t=self.t[rows],
            valid=None if self.valid is None else self.valid[rows],
            bound=_part(self.bound, rows),
            half_unit=_part(self.half_unit, rows),
            carried=_part(self.carried, rows),
        )


def _is_one_array(mine: Array | None, theirs: Array | None) -> bool:
    """Whether two views show the same memory in the same way."""
    if mine is None or theirs is None:
        return False
    seen = [(a.ctypes.data, a.shape, a.strides, a.dtype) for a in (mine, theirs)]
    return seen[0] == seen[1]


def _part(values: Array | None, rows: slice) -> Array | None:
    return None if values is None else values[rows]


HalfUnits = Mapping[str | Key, Array]
"""Half a unit of the last digit of values that were typed, by the name of an output, or by key: in the shape of the values."""


def pair_up(shown: Trace, one_step: Trace, own: Mapping[Key, Array]) -> list[Quantity]:
    """Every gate and state that the framework's `own` values hold, in order of computation."""
    quantities = []
    t = times(slice(0, shown.inputs.steps), shown.inputs.batch)
    for key, values in shown.columns.items():
        if key in own:
            layer, direction, symbol = key
            sides = values, one_step.columns[key], own[key]
            quantities.append(Quantity(symbol, layer, direction, *sides, t, shown.inputs.valid))
    return quantities


def pair_outputs(
    shown: Trace,
    one_step: Trace,
    expected: Mapping[str, Array],
    taken: Mapping[str, Array] | None = None,
) -> list[Quantity]:
    """Output and final states, time-major, as far as they are `expected`; each layer and direction is a quantity of its own.

    `taken` is what was taken for the outputs of both traces, where that is not what they are; what it lacks is not paired.
    An expected final state with fewer rows than there are layers and directions holds the last ones.
    """
    spec = shown.spec
    last, t = spec.num_layers - 1, times(slice(0, shown.inputs.steps), shown.inputs.batch)
    quantities = []
    mine, forced = (shown.outputs, one_step.outputs) if taken is None else (taken, taken)
    expected = {name: values for name, values in expected.items() if name in mine}

    def pair(name: str, layer: int, direction: str, part: Any, t: NDArray[np.int_], theirs: Any = None) -> None:
        given = part if theirs is None else theirs
        quantities.append(Quantity(name, layer, direction, mine[name][part], forced[name][part], expected[name][given], t))

    if "output" in expected:
        for whose in spec.output_parts:
            pair("output", last, whose, np.s_[..., spec.output_units(whose)], t)
    if LAST_OUTPUT in expected:
        pair(LAST_OUTPUT, last, MERGED, np.s_[:], shown.final_step(FORWARD)[None])
    for state in spec.cell.states:
        if f"{state}_n" in expected:
            missing = len(spec.layer_directions) - len(expected[f"{state}_n"])
            for row, (layer, direction) in enumerate(spec.layer_directions[missing:]):
                part, theirs = np.s_[row + missing : row + missing + 1], np.s_[row : row + 1]
                pair(f"{state}_n", layer, direction, part, shown.final_step(direction)[None], theirs)
    return quantities


def times(steps: slice, batch: int) -> NDArray[np.int_]:
    """(T, B): t of every row of some steps, the first of all being t = 1."""
    t = np.arange(steps.start + 1, steps.stop + 1)
    return np.broadcast_to(t[:, None], (len(t), batch))
