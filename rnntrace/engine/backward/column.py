"""The backward pass of one layer in one direction: its adjoint, step by step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rnntrace.engine.backward.sums import Sums
from rnntrace.engine.judge.rules import Bounded, Format
from rnntrace.engine.replay.replay import Column
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.adjoint import OUTPUT, Adjoint, adjoint, given, handed_on, previous, started
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import Key
from rnntrace.model.masks import latest
from rnntrace.model.spec import FORWARD, REVERSE
from rnntrace.model.weights import LayerWeights, Weights

OPPOSITE = {FORWARD: REVERSE, REVERSE: FORWARD}


@dataclass(frozen=True)
class Found:
    """Gradients of a layer and direction: of each step (T, B, ·), parameters, x (T, B, I) and initial states (B, ·).

    `entering` (T, B, R) is that of its output, from outside or from the layer above.
    """

    steps: Mapping[str, Array]
    parameters: LayerWeights
    x: Array
    initial: Mapping[str, Array]
    entering: Array
    bounds: "Found | None" = None


class Back:
    """The adjoint of one layer in one direction, on what its forward pass has left in a trace."""

    def __init__(
        self,
        trace: Trace,
        weights: Weights,
        layer: int,
        direction: str,
        x: Array,
        dtype: np.dtype[np.floating],
        other: Adjoint | None = None,
        weigh: Array | None = None,
    ) -> None:
        self.trace, self.spec, self.dtype, self.direction = trace, trace.spec, dtype, direction
        self.cell, self.weights = trace.spec.cell_of(direction), weights[layer, direction].astype(dtype)
        self.adjoint, self.weigh = other or adjoint(self.cell), weigh
        self.x, self.valid = x.astype(dtype, copy=False), trace.inputs.valid
        self.initial = {state: trace.initial(state, layer, direction) for state in self.cell.states}
        self.given = self._forward(trace.columns, layer, self.initial)
        nothing = {state: np.zeros_like(values) for state, values in self.initial.items()}
        self.errors = self._forward(trace.bounds.columns, layer, nothing) if trace.bounds else {}

    def _forward(self, columns: Mapping[Key, Array], layer: int, initial: Mapping[str, Array]) -> dict[str, Array]:
        """What the forward pass has left, (T, B, ·): gates and states, and each state a step before."""
        found = {symbol: columns[layer, self.direction, symbol] for symbol in self.cell.symbols}
        return found | {previous(state): self._before(found[state], initial[state]) for state in self.cell.states}

    def _before(self, sequence: Array, initial: Array) -> Array:
        """A state before each step, (T, B, ·): that of the last step before it that counts, at first the initial one."""
        order = slice(None, None, -1 if self.direction == REVERSE else 1)
        ordered, before = sequence[order], np.empty_like(sequence)
        before[0] = initial
        if self.valid is None:
            before[1:] = ordered[:-1]
        else:
            rows = latest(self.valid[order])[:-1]
            before[1:] = np.where((rows < 0)[..., None], initial, ordered[rows, np.arange(rows.shape[1])])
        found: Array = before[order]
        return found

    def run(
        self,
        of_output: Bounded,
        ends: Mapping[str, Array],
        known: Mapping[str, Array],
        truncate: int | None,
        rounding: Format | None,
    ) -> Found:
        """Everything, from the gradients of the output (T, B, R) and of the states behind the last step (B, ·)."""
        cell = started(self.adjoint.cell, tuple(known)) if known else self.adjoint.cell
        sequences = {**self.given, OUTPUT: of_output.value, **{given(symbol): array for symbol, array in known.items()}}
        off = self.errors | ({OUTPUT: of_output.error} if of_output.error.ndim else {})
        steps: list[dict[str, Array]] = []
        errors: list[dict[str, Array]] = []
        at_end = ends
        for piece in self._pieces(truncate):
            valid = None if self.valid is None else self.valid[piece]
            column = Column(
                self.spec, cell, self.weights, self.x[piece], valid, OPPOSITE[self.direction], self.dtype, keep=None
            )
            for name, sequence in sequences.items():
                column.give(name, sequence[piece], off[name][piece] if name in off else None)
            for state in self.cell.states:
                nothing = np.zeros((len(self.x[0]), self.given[state].shape[2]), self.dtype)
                column.start(handed_on(state), at_end.get(state, nothing), None)
            column.run()
            if rounding is not None:
                errors.append(column.bounds(rounding, None, {}, None, limited=False))
            steps.append(column.quantities())
            at_end = self._detached(ends, piece)
        whole = self._together(steps)
        return self._found(whole, of_output, ends, self._together(errors) if errors else None, rounding)

    def _pieces(self, truncate: int | None) -> Iterator[slice]:
        """What is gone through at once, from the last step of the forward pass to the first."""
        steps = len(self.x)
        length = truncate or steps
        for first in reversed(range(0, steps, length)):
            last = min(first + length, steps)
            yield slice(steps - last, steps - first) if self.direction == REVERSE else slice(first, last)

    def _detached(self, ends: Mapping[str, Array], piece: slice) -> dict[str, Array]:
        """What goes back over the start of a piece: only what enters at the ends of sequences that have not begun yet."""
        if self.valid is None:
            return {}
        gone_through = self.valid[: piece.stop] if self.direction == REVERSE else self.valid[piece.start :]
        waits = ~np.any(gone_through, axis=0, keepdims=True).T
        return {state: np.where(waits, values, values.dtype.type(0)) for state, values in ends.items()}

    def _together(self, parts: list[dict[str, Array]]) -> dict[str, Array]:
        """Pieces, the last one first, as one in input-time order."""
        if len(parts) == 1:
            return parts[0]
        ordered = parts if self.direction == REVERSE else parts[::-1]
        return {symbol: np.concatenate([part[symbol] for part in ordered]) for symbol in parts[0]}

    def _found(
        self,
        steps: Mapping[str, Array],
        of_output: Bounded,
        ends: Mapping[str, Array],
        errors: Mapping[str, Array] | None,
        rounding: Format | None,
    ) -> Found:
        """The sums over all steps, and bounds on them."""
        sums = self.sums(steps, errors, rounding)
        for term in self.adjoint.terms:
            sums.add(term)
        for symbol in self.adjoint.on_x:
            sums.add_to_x(symbol)
        initial = {state: self._at_start(steps[handed_on(state)], ends.get(state)) for state in self.cell.states}
        bounds = None
        if errors is not None:
            starts = {state: self._at_start(errors[handed_on(state)], None) for state in self.cell.states}
            bounds = Found(errors, LayerWeights(arrays=sums.errors), sums.x.error, starts, of_output.error)
        return Found(steps, LayerWeights(arrays=sums.values), sums.x.value, initial, of_output.value, bounds)

    def sums(
        self, steps: Mapping[str, Array], errors: Mapping[str, Array] | None = None, rounding: Format | None = None
    ) -> Sums:
        """What the gradients of all steps add up to; nothing is added yet."""
        return Sums(self.cell, self.weights, self.x, self.valid, self.given, self.errors, steps, errors, rounding, self.weigh)

    def _at_start(self, handed: Array, end: Array | None) -> Array:
        """What the first step hands on to the initial state (B, ·); of a sequence without steps, what came to its end."""
        order = slice(None, None, -1 if self.direction == REVERSE else 1)
        counts = np.ones(handed.shape[:2], bool) if self.valid is None else self.valid[order]
        first: Array = handed[order][counts.argmax(axis=0), np.arange(handed.shape[1])]
        there = np.any(counts, axis=0, keepdims=True).T
        return np.where(there, first, first.dtype.type(0) if end is None else end)
