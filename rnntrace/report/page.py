"""What an interactive page plays: the numbers of a run over time, and what is needed to compute each of them again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.derivation import Position, step_before
from rnntrace.engine.judge.pairing import Place
from rnntrace.engine.judge.result import Result
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.cell import Cell
from rnntrace.errors import UsageError, show
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights
from rnntrace.report.select import View, numbers_in, selected
from rnntrace.report.table import Scale
from rnntrace.report.trace import scale_of

if TYPE_CHECKING:
    from rnntrace.equations.adjoint import Adjoint

AnyArray = TypeVar("AnyArray", Array, Flags)
LARGEST = 5_000_000
"""Characters of a page that a browser still opens at once."""
FIXED = 60_000
"""Characters that every page has, about."""
IN_TEXT = 4 / 3
"""Characters that a byte takes."""


@dataclass(frozen=True)
class Part:
    """The part of a run that is played: steps t from `first` to `last`, and the numbers of items and units."""

    first: int
    last: int
    items: tuple[int, ...]
    units: NDArray[np.int_]

    @property
    def steps(self) -> slice:
        """Its rows of an array."""
        return slice(self.first - 1, self.last)

    def of(self, values: AnyArray) -> AnyArray:
        """The part of values (T, B, N); units that they do not have are not there."""
        return values[self.steps][:, list(self.items)][..., self.units[self.units < values.shape[2]]]

    def holds(self, place: Place) -> bool:
        """Whether a place is in it."""
        return self.first <= place.t <= self.last and place.item in self.items and place.unit in self.units


@dataclass(frozen=True)
class Strip:
    """One quantity over time: the replay's values (T, B, N), the framework's where they are known, and which are out."""

    symbol: str
    scale: Scale
    values: Array
    beside: Array | None = None
    wrong: Flags | None = None


@dataclass(frozen=True)
class Track:
    """One layer in one direction: its declaration and weights, the states it starts from (B, N), and what is shown of it.

    Colours of signed values end at `limit`. Of a backward pass the declaration is that of its `adjoint`.
    """

    layer: int
    direction: str
    cell: Cell
    weights: LayerWeights
    start: dict[str, Array]
    strips: tuple[Strip, ...]
    limit: float
    adjoint: "Adjoint | None" = None


@dataclass(frozen=True)
class Back:
    """Where a backward pass begins: ∂L/∂output (T, B, width), which changes by `slope` times a change of the output.

    No gradient goes back over a step that is a multiple of `truncate`, if that is not 0, of `total` steps.
    """

    output: Array
    slope: float
    truncate: int
    total: int


@dataclass(frozen=True)
class Play:
    """A run as a page plays it.

    `x` is (T, B, I), `valid` (T, B) where some steps do not count, `merges` how each layer joins its directions. The values of
    its `part` are there; every other value is computed on the page. It opens at `opens`. `other` is who stands beside; where
    the replay was `forced`, each step starts from the other's states.
    """

    name: str
    spec: ModuleSpec
    other: str
    part: Part
    x: Array
    valid: Flags | None
    merges: tuple[str, ...]
    tracks: tuple[Track, ...]
    opens: Place
    forced: bool = False
    back: Back | None = None


def play_of(result: Result, view: View, name: str = "") -> Play:
    """A result as a page plays it, as far as the view selects it: from its first step to its last, without a gap.

    Raises UsageError if the page would be too large, and says what would fit.
    """
    spec, inputs = result.spec, result.inputs
    part = part_of(spec, inputs, view)
    shown = [key for key in result.trace.columns if selected(key[0], view.layers)]
    check_size(result.weights, inputs, part, sum(1 + (key in result.framework_values) for key in shown))
    place, (layer, direction) = result.comparison.first_failure, spec.layer_directions[0]
    start = Place(layer, direction, "", part.first, part.items[0], int(part.units[0]), 0.0, 0.0)
    return Play(
        name=show(name),
        spec=spec,
        other=result.observation.framework,
        part=part,
        x=inputs.x[part.steps][:, part.items],
        valid=None if inputs.valid is None else inputs.valid[part.steps][:, part.items],
        merges=tuple(spec.merge_of(layer) for layer in range(spec.num_layers)),
        tracks=forward_tracks(
            result.trace, result.weights, part, view, result.framework_values, result.comparison.out_of_tolerance
        ),
        opens=place if place and part.holds(place) else start,
        forced=result.replay == "forced",
    )


def play_at(trace: Trace, weights: Weights, place: Place) -> Play:
    """A replay by itself, which opens at a place. Raises UsageError as `play_of` does."""
    spec, inputs, view = trace.spec, trace.inputs, View()
    part = part_of(spec, inputs, view)
    check_size(weights, inputs, part, len(trace.columns), of_views=False)
    merges = tuple(spec.merge_of(layer) for layer in range(spec.num_layers))
    return Play("", spec, "", part, inputs.x, inputs.valid, merges, forward_tracks(trace, weights, part, view), place)


def part_of(spec: ModuleSpec, inputs: Inputs, view: View) -> Part:
    """The part of a run that a view selects. Raises UsageError if there is no step in it."""
    times = range(1, inputs.steps + 1) if view.times is None else [t for t in view.times if t]
    if not times:
        raise UsageError("a page begins with a step that is computed, and t = 0 is the initial state: see `time`")
    items = range(inputs.batch) if view.items is None else view.items
    return Part(min(times), max(times), tuple(items), numbers_in(view.units, np.arange(spec.hidden_size)))


def forward_tracks(
    trace: Trace,
    weights: Weights,
    part: Part,
    view: View,
    beside: Mapping[Key, Array] | None = None,
    wrong: Mapping[Key, Flags] | None = None,
) -> tuple[Track, ...]:
    """Every layer and direction of a forward pass, with the values of those that the view selects."""
    found = []
    for layer, direction in trace.spec.layer_directions:
        cell = trace.spec.cell_of(direction)
        keys = [(layer, direction, symbol) for symbol in cell.symbols if (layer, direction, symbol) in trace.columns]
        strips = [
            Strip(
                key[2],
                scale_of(cell, key[2]),
                part.of(trace.columns[key]),
                part.of(beside[key]) if beside and key in beside else None,
                part.of(wrong[key]) if wrong and key in wrong else None,
            )
            for key in keys
        ]
        limit = max((largest(strip.values) for strip in strips if strip.scale is Scale.SIGNED), default=1.0)
        start = {state: _start(trace, (layer, direction, state), part) for state in cell.states}
        shown = tuple(strips) if selected(layer, view.layers) else ()
        found.append(Track(layer, direction, cell, weights[layer, direction], start, shown, limit))
    return tuple(found)


def largest(values: Array) -> float:
    """The largest absolute value that is finite, or 1."""
    return float(np.max(np.abs(values[np.isfinite(values)]), initial=0.0)) or 1.0


def _start(trace: Trace, key: Key, part: Part) -> Array:
    """The state that each item has before the first step that is played in its direction, (B, N)."""
    layer, direction, state = key
    t = part.last if direction == REVERSE else part.first
    rows = []
    for item in part.items:
        before = step_before(trace, Position(layer, direction, t, item, 0))
        rows.append(trace.columns[key][before - 1, item] if before else trace.initial(state, layer, direction)[item])
    return np.stack(rows)


def check_size(weights: Weights, inputs: Inputs, part: Part, strips: int, *, of_views: bool = True) -> None:
    """Raises UsageError if a page with so many arrays of values would be too large, and says which view of it would fit."""
    steps, items, units = part.last - part.first + 1, len(part.items), len(part.units)
    fixed = FIXED + IN_TEXT * sum(int(array.nbytes) for array in weights.arrays)
    width, features = IN_TEXT * int(inputs.x.itemsize), int(inputs.x.shape[2])

    def each(units: int) -> float:
        """What a step of an item takes."""
        return width * (features + units * strips)

    size, room = fixed + steps * items * each(units), LARGEST - fixed
    if size <= LARGEST:
        return
    fits = {
        "time": (part.first, int(room / (items * each(units))), steps),
        "unit": (0, int((room / (steps * items * width) - features) / max(strips, 1)), units),
        "item": (0, int(room / (steps * each(units))), items),
    }
    ways = [
        f"`{name}={start}:{start + count - 1}`"
        for name, (start, count, there) in fits.items()
        if of_views and 1 <= count < there
    ]
    remedy = f"show less of it, such as {' or '.join(ways)}" if ways else "see `format=html`"
    raise UsageError(f"a page of {size / 1e6:.1f} MB is too much for a browser, which opens {LARGEST / 1e6:.0f} MB: {remedy}")
