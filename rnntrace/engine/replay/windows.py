"""A replay of one layer and direction, a window of steps at a time, so that little of it is in memory at once.

Each window starts from the states that the last one left. A window is so many whole blocks of `replay`, which computes the same
products on the same rows as it does for the sequence as a whole: every value has the same bits.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from rnntrace.engine.judge.merging import merged_bounds
from rnntrace.engine.judge.rounding import Typed
from rnntrace.engine.judge.rules import Bounded, Format
from rnntrace.engine.replay.replay import BLOCK, replay
from rnntrace.engine.replay.trace import BOUNDS, TERMS, VALUES, Trace, joined
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key, LayerDirection
from rnntrace.model.merges import MERGES
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.model.windows import release

BLOCKS = 16
"""A window has so many blocks: enough that what a window costs by itself does not matter."""

States = dict[str, Array]
"""h and c by symbol, (1, B, ·)."""
Tell = Callable[[str, float], None]
"""Is told what is being done, and how far that is, from 0 to 1."""


@dataclass(frozen=True)
class Window:
    """Some steps of one layer and direction.

    `values` are the gates and states of a replay, (T, B, ·) by symbol, `terms` the affine terms and `bounds` what rounding can
    do to each value, as far as they were asked for. `final` are the states behind these steps, `final_bounds` their bounds.
    """

    steps: slice
    values: Mapping[str, Array] = field(default_factory=dict)
    terms: Mapping[str, Array] = field(default_factory=dict)
    bounds: Mapping[str, Array] = field(default_factory=dict)
    final: States = field(default_factory=dict)
    final_bounds: States = field(default_factory=dict)


Run = Callable[[LayerDirection], Iterator[Window]]
"""Goes through the windows of a layer and direction, in the order of computation; one is asked for after the other."""


class Replays(Protocol):
    """In which windows a sequence is gone through, with a replay or without. `doing` says in words what for."""

    def none(self, doing: str) -> Run:
        """The steps of each window alone."""

    def again(
        self,
        doing: str,
        known: Mapping[Key, Array] | None,
        keep: Collection[str],
        rounding: Format | None = None,
        typed: Typed | None = None,
    ) -> Run:
        """A replay, forced with the states in `known` if there are any; `keep`, `rounding` and `typed` as in `replay`."""


@dataclass(frozen=True)
class Whole:
    """A sequence in memory: one window."""

    spec: ModuleSpec
    weights: Weights
    inputs: Inputs
    dtype: np.dtype[np.floating]

    def none(self, doing: str) -> Run:
        """See `Replays`."""
        return lambda column: iter([Window(slice(0, self.inputs.steps))])

    def again(
        self,
        doing: str,
        known: Mapping[Key, Array] | None,
        keep: Collection[str],
        rounding: Format | None = None,
        typed: Typed | None = None,
    ) -> Run:
        """See `Replays`."""
        trace = replay(
            self.spec, self.weights, self.inputs, known=known, dtype=self.dtype, keep=keep, rounding=rounding, typed=typed
        )
        return lambda column: iter([_window(trace, column, slice(0, self.inputs.steps))])


@dataclass
class InWindows:
    """A sequence in files, a window of steps at a time; the memory of the `mapped` arrays is let go of after each.

    `tell` is told what is being done, and how far that is. A replay is always forced here.
    """

    spec: ModuleSpec
    weights: Weights
    inputs: Inputs
    dtype: np.dtype[np.floating]
    tell: Tell | None = None
    mapped: Sequence[Array] = ()
    # How often all steps of a layer and direction are gone through, as far as is known, and how often they have been.
    sweeps: int = 0
    swept: int = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "tell": None}

    def none(self, doing: str) -> Run:
        """See `Replays`."""
        return lambda column: (Window(steps) for steps in self.steps(doing, column))

    def again(
        self,
        doing: str,
        known: Mapping[Key, Array] | None,
        keep: Collection[str],
        rounding: Format | None = None,
        typed: Typed | None = None,
    ) -> Run:
        """See `Replays`; what was typed is never so long."""
        assert known is not None
        assert typed is None

        def run(column: LayerDirection) -> Iterator[Window]:
            forced = [state for state in self.spec.cell.states if (*column, state) in known]
            steps = self.steps(doing, column)
            options = {"dtype": self.dtype, "keep": keep, "rounding": rounding}
            return replay_windows(self.spec, self.weights, self.inputs, column, steps, known, forced, **options)

        return run

    def steps(self, doing: str, column: LayerDirection) -> Iterator[slice]:
        """Windows in the order of computation."""
        layer, direction = column
        done = 0
        if self.swept >= self.sweeps:
            self.sweeps += len(self.spec.layer_directions)
        for steps in windows(self.inputs, direction):
            if self.tell:
                self.tell(f"{doing}: layer {layer}, {direction}", (self.swept + done / self.inputs.steps) / self.sweeps)
            yield steps
            done += steps.stop - steps.start
            release(*self.mapped)
        self.swept += 1


def windows(inputs: Inputs, direction: str) -> Iterator[slice]:
    """The steps of each window, in the order of computation: for the reverse direction from the end.

    None is short, the last one takes what is left over: torch may choose other operators for a handful of steps.
    """
    length = max(BLOCK // inputs.batch, 1) * BLOCKS
    number = max(inputs.steps // length, 1)
    for first in range(0, number * length, length):
        last = first + length if first + length < number * length else inputs.steps
        yield slice(inputs.steps - last, inputs.steps - first) if direction == REVERSE else slice(first, last)


def initial_states(spec: ModuleSpec, inputs: Inputs, column: LayerDirection) -> States:
    """The states at t = 0."""
    row = spec.layer_directions.index(column)
    return {state: inputs.initial(state)[row : row + 1] for state in spec.cell.states}


def window_inputs(
    spec: ModuleSpec, inputs: Inputs, column: LayerDirection, steps: slice, hidden: Mapping[Key, Array], states: States
) -> Inputs:
    """What a layer and direction reads in a window that starts from these states; `hidden` holds layers' outputs, (T, B, R).

    An item that has no steps in the window has length 0.
    """
    lengths = None
    if inputs.lengths is not None:
        lengths = tuple(min(max(length - steps.start, 0), steps.stop - steps.start) for length in inputs.lengths)
    mask = None if inputs.mask is None else inputs.mask[steps]
    part = Inputs(inputs.x[steps], states=states, lengths=lengths, unbatched=inputs.unbatched, mask=mask)
    below = column[0] - 1
    if below < 0:
        return part
    columns = [(below, direction, spec.cell.output) for direction in spec.directions]
    given = {column: hidden[column][steps] for column in columns}
    return replace(part, x=joined(given, below, spec, part.valid))


def replay_windows(
    spec: ModuleSpec,
    weights: Weights,
    inputs: Inputs,
    column: LayerDirection,
    steps: Iterable[slice],
    hidden: Mapping[Key, Array],
    forced: Collection[str] = (),
    **options: Any,
) -> Iterator[Window]:
    """The replay of one layer and direction on all windows, which come in the order of computation.

    `hidden` holds what it reads: the output of the layer below, and of this one the states `forced`. `options` are those of
    `replay`.
    """
    layer, direction = column
    single = spec.one_way(direction, input_size=spec.layer_input_size(layer), num_layers=1)
    own = Weights({(0, direction): weights[column]})
    states = carried = initial_states(spec, inputs, column)
    bounds = {state: np.zeros_like(values) for state, values in states.items()}
    for part in steps:
        known = {(0, direction, state): hidden[*column, state][part] for state in forced}
        errors = {state: bound[0] for state, bound in bounds.items()}
        read = window_inputs(spec, inputs, column, part, hidden, carried)
        trace = replay(single, own, read, known=known, errors=errors, **options)
        states = _behind(states, trace)
        carried = _behind(carried, trace.replaced(values={**trace.columns, **known}))
        bounds = _behind(bounds, trace.bounds) if trace.bounds else bounds
        yield replace(_window(trace, (0, direction), part), final=states, final_bounds=bounds if trace.bounds else {})


def _window(trace: Trace, column: LayerDirection, steps: slice) -> Window:
    """One layer and direction of a trace, which is of these steps."""
    channels = {
        name: {symbol: array for (*of, symbol), array in arrays.items() if (*of,) == column}
        for name, arrays in trace.channels.items()
    }
    row, states = trace.spec.layer_directions.index(column), trace.spec.cell.states
    ends = [None if whole is None else {s: whole.final(s)[row : row + 1] for s in states} for whole in (trace, trace.bounds)]
    return Window(steps, channels[VALUES], channels.get(TERMS, {}), channels.get(BOUNDS, {}), ends[0] or {}, ends[1] or {})


def merged(spec: ModuleSpec, forward: Window, reverse: Window, rounding: Format | None) -> Window:
    """What both directions of a layer give together, where their output is merged: at every step, and behind them."""
    h, join = spec.cell.output, MERGES[spec.merge]
    ends = [(forward.values, reverse.values, forward.bounds, reverse.bounds)]
    ends += [(forward.final, reverse.final, forward.final_bounds, reverse.final_bounds)]
    joined = [{h: join(one[h], other[h])} if h in one else {} for one, other, _, _ in ends]
    bounds: list[dict[str, Array]] = [{}, {}]
    if rounding is not None:
        sides = [(Bounded(one[h], off[h]), Bounded(other[h], apart[h])) for one, other, off, apart in ends]
        bounds = [{h: merged_bounds(spec.merge, *both, rounding)} for both in sides]
    return Window(forward.steps, joined[0], {}, bounds[0], joined[1], bounds[1])


def _behind(before: States, trace: Trace) -> States:
    """The states behind a window; those of items that have no steps in it stay as they were."""
    runs = trace.inputs.ends > 0
    finals = {state: trace.final(state) for state in before}
    return {state: np.where(runs[:, None], final, before[state].astype(final.dtype)) for state, final in finals.items()}
