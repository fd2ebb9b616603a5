"""A replay of one layer and direction, a window of steps at a time, so that little of it is in memory at once.

Each window starts from the states that the last one left. A window is so many whole blocks of `replay`, which computes the same
products on the same rows as it does for the sequence as a whole: every value has the same bits.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnntrace.engine.replay.replay import BLOCK, replay
from rnntrace.engine.replay.trace import Trace, side_by_side
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import Key, LayerDirection
from rnntrace.model.signals import Inputs
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.model.weights import Weights

BLOCKS = 16
"""A window has so many blocks: enough that what a window costs by itself does not matter."""

States = dict[str, Array]
"""h and c by symbol, (1, B, ·)."""


@dataclass(frozen=True)
class Window:
    """Some steps of a replay: its trace, of a module of one layer and direction, and its states and their bounds behind it."""

    steps: slice
    trace: Trace
    states: States
    bounds: States


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
    """What a layer and direction reads in a window that starts from these states; `hidden` holds each layer's h, (T, B, R).

    An item that has no steps in the window has length 0.
    """
    lengths = None
    if inputs.lengths is not None:
        lengths = tuple(min(max(length - steps.start, 0), steps.stop - steps.start) for length in inputs.lengths)
    part = Inputs(inputs.x[steps], states["h"], states.get("c"), lengths, inputs.unbatched)
    below = column[0] - 1
    if below < 0:
        return part
    given = {(below, direction, "h"): hidden[below, direction, "h"][steps] for direction in spec.directions}
    return replace(part, x=side_by_side(given, below, spec, part.valid))


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

    `hidden` holds what it reads: h of the layer below, and of this one the states `forced`. `options` are those of `replay`.
    """
    layer, direction = column
    size, backwards = spec.layer_input_size(layer), direction == REVERSE
    single = replace(spec, input_size=size, num_layers=1, bidirectional=False, reverse=backwards)
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
        yield Window(part, trace, states, bounds)


def _behind(before: States, trace: Trace) -> States:
    """The states behind a window; those of items that have no steps in it stay as they were."""
    runs = np.array([length > 0 for length in trace.inputs.lengths or (1,) * trace.inputs.batch])
    finals = {state: trace.final(state) for state in before}
    return {state: np.where(runs[:, None], final, before[state].astype(final.dtype)) for state, final in finals.items()}
