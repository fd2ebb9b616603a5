"""What an interactive page plays: the numbers of a run over time, and what is needed to compute each of them again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.derivation import Position, step_before
from rnntrace.engine.judge.pairing import Place
from rnntrace.engine.judge.result import Result
from rnntrace.equations.cell import Cell
from rnntrace.errors import UsageError, show
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.model.weights import LayerWeights
from rnntrace.report.select import View, numbers_in, selected
from rnntrace.report.table import Scale
from rnntrace.report.trace import kept_symbols, scale_of

LARGEST = 5_000_000
"""Characters of a page that a browser still opens at once."""
FIXED = 60_000
"""Characters that every page has, about."""
IN_TEXT = 4 / 3
"""Characters that a byte takes."""


@dataclass(frozen=True)
class Strip:
    """One gate or state over time: the replay's values (T, B, N), the framework's where they are known, and which are out."""

    symbol: str
    scale: Scale
    values: Array
    beside: Array | None = None
    wrong: Flags | None = None


@dataclass(frozen=True)
class Track:
    """One layer in one direction: its declaration and weights, the states it starts from (B, N), and what is shown of it."""

    layer: int
    direction: str
    cell: Cell
    weights: LayerWeights
    start: dict[str, Array]
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class Play:
    """A run as a page plays it, from t = `first` on.

    `x` is (T, B, I), `valid` (T, B) where some steps do not count, `merges` how each layer joins its directions. `items` are
    the numbers of the items, and `units` those of the units whose values are there; every other value is computed on the page.
    It opens at `opens`. `other` is who stands beside; where the replay was `forced`, each step starts from the other's states.
    """

    name: str
    spec: ModuleSpec
    other: str
    first: int
    items: tuple[int, ...]
    units: NDArray[np.int_]
    x: Array
    valid: Flags | None
    merges: tuple[str, ...]
    limit: float
    tracks: tuple[Track, ...]
    opens: Place
    forced: bool = False

    @property
    def steps(self) -> int:
        """How many steps are played."""
        return len(self.x)


def play_of(result: Result, view: View, name: str = "") -> Play:
    """A result as a page plays it, as far as the view selects it: from its first step to its last, without a gap.

    Raises UsageError if the page would be too large, and says what would fit.
    """
    spec, inputs = result.spec, result.inputs
    times = np.arange(1, inputs.steps + 1) if view.times is None else np.array([t for t in view.times if t], int)
    if not len(times):
        raise UsageError("a page begins with a step that is computed, and t = 0 is the initial state: see `time`")
    first, last = int(times.min()), int(times.max())
    items = range(inputs.batch) if view.items is None else view.items
    units = numbers_in(view.units, np.arange(spec.hidden_size))
    _check_size(result, view, first, last, len(items), len(units))
    steps, rows = slice(first - 1, last), list(items)
    tracks = tuple(
        Track(
            layer,
            direction,
            spec.cell_of(direction),
            result.weights[layer, direction],
            {
                state: _start(result, (layer, direction, state), last if direction == REVERSE else first, rows)
                for state in spec.cell.states
            },
            tuple(_strips(result, layer, direction, steps, rows, units)) if selected(layer, view.layers) else (),
        )
        for layer, direction in spec.layer_directions
    )
    signed = [strip.values for track in tracks for strip in track.strips if strip.scale is Scale.SIGNED]
    largest = max((float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) for values in signed), default=0.0)
    return Play(
        name=show(name),
        spec=spec,
        other=result.observation.framework,
        first=first,
        items=tuple(items),
        units=units,
        x=inputs.x[steps][:, rows],
        valid=None if inputs.valid is None else inputs.valid[steps][:, rows],
        merges=tuple(spec.merge_of(layer) for layer in range(spec.num_layers)),
        limit=largest or 1.0,
        tracks=tracks,
        opens=_opens(result, first, last, items, units),
        forced=result.replay == "forced",
    )


def _strips(
    result: Result, layer: int, direction: str, steps: slice, items: Sequence[int], units: NDArray[np.int_]
) -> Iterator[Strip]:
    for symbol in kept_symbols(result):
        key = layer, direction, symbol
        own = units[units < result.spec.size_of(symbol)]

        def part(values: Array, own: NDArray[np.int_] = own) -> Array:
            found: Array = values[steps][:, items][..., own]
            return found

        theirs, wrong = result.framework_values.get(key), result.comparison.out_of_tolerance.get(key)
        yield Strip(
            symbol,
            scale_of(result.spec.cell, symbol),
            part(result.trace.columns[key]),
            None if theirs is None else part(theirs),
            None if wrong is None else part(wrong.view("uint8")).astype(bool),
        )


def _start(result: Result, key: Key, t: int, items: Sequence[int]) -> Array:
    """The state that each item has before step t in its direction, (B, N)."""
    layer, direction, state = key
    rows = []
    for item in items:
        before = step_before(result.trace, Position(layer, direction, t, item, 0))
        initial = result.trace.initial(state, layer, direction)
        rows.append(result.trace.columns[key][before - 1, item] if before else initial[item])
    return np.stack(rows)


def _opens(result: Result, first: int, last: int, items: Sequence[int], units: NDArray[np.int_]) -> Place:
    """Where the first failure is, if it is shown, or else the first step."""
    layer, direction = result.spec.layer_directions[0]
    failure = result.comparison.first_failure
    if failure and first <= failure.t <= last and failure.item in items and failure.unit in units:
        return failure
    return Place(layer, direction, "", first, items[0], int(units[0]), 0.0, 0.0)


def _check_size(result: Result, view: View, first: int, last: int, items: int, units: int) -> None:
    """Raises UsageError if the page would be too large, with what would fit."""
    steps = last - first + 1
    weights = FIXED + IN_TEXT * sum(array.nbytes for array in result.weights.arrays)
    shown = [key for key in result.trace.columns if selected(key[0], view.layers)]
    sides = sum(1 + (key in result.framework_values) for key in shown)
    width = IN_TEXT * result.inputs.x.itemsize

    def each(units: int) -> float:
        """What a step of an item takes."""
        return width * (result.spec.input_size + units * sides)

    size, room = weights + steps * items * each(units), LARGEST - weights
    if size <= LARGEST:
        return
    inside = room / (steps * items * width) - result.spec.input_size
    fits = {
        "time": (first, int(room / (items * each(units))), steps),
        "unit": (0, int(inside / sides), units),
        "item": (0, int(room / (steps * each(units))), items),
    }
    ways = [f"`{name}={start}:{start + count - 1}`" for name, (start, count, there) in fits.items() if 1 <= count < there]
    remedy = f"show less of it, such as {' or '.join(ways)}" if ways else "its weights alone do not fit, see `format=html`"
    raise UsageError(f"a page of {size / 1e6:.1f} MB is too much for a browser, which opens {LARGEST / 1e6:.0f} MB: {remedy}")
