"""The backward pass: the adjoint of every layer and direction, from the last layer to the first and from the last step back.

A layer's adjoint is replayed as a cell is; what it gives are gradients of gates and states. Those of parameters are sums over
all steps, one product for each gate.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnntrace.engine.backward.gradients import Gradients
from rnntrace.engine.replay.evaluate import Scope, evaluate
from rnntrace.engine.replay.replay import Column
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.adjoint import OUTPUT, Adjoint, Term, adjoint, handed_on, previous
from rnntrace.equations.expression import Op
from rnntrace.equations.parameters import TERMS, find
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key
from rnntrace.model.merges import CONCAT
from rnntrace.model.spec import FORWARD, REVERSE
from rnntrace.model.weights import LayerWeights, Weights

OPPOSITE = {FORWARD: REVERSE, REVERSE: FORWARD}


def backward(
    trace: Trace,
    weights: Weights,
    loss: Mapping[str, Array],
    *,
    truncate: int | None = None,
    dtype: np.dtype[np.floating] | None = None,
) -> Gradients:
    """The gradients of a loss by everything in a module, whose forward pass is `trace`, with all its gates and states.

    `loss` is ∂L/∂output (T, B, width) and ∂L/∂ of final states such as h_n (L·D, B, R); what it does not hold is zero. With
    `truncate` no gradient goes back over a step that is a multiple of it, as if the states were detached there. `dtype` is the
    format to compute in, by default that of a replay.
    """
    spec, inputs = trace.spec, trace.inputs
    dtype = np.dtype(dtype or spec.precision.replay)
    columns: dict[Key, Array] = {}
    parameters: dict[tuple[int, str], LayerWeights] = {}
    initial = {f"{state}0": np.zeros_like(values, dtype) for state, values in inputs.states.items()}
    of_output = loss.get("output")
    if of_output is None:
        of_output = np.zeros((inputs.steps, inputs.batch, spec.width), dtype)
    with np.errstate(all="ignore"):
        for layer in reversed(range(spec.num_layers)):
            x = inputs.x if layer == 0 else trace.hidden(layer - 1)
            of_x = np.zeros(x.shape, dtype)
            shares = _shares(trace, layer, _existing(of_output, inputs.valid))
            for direction in spec.directions:
                row = spec.layer_directions.index((layer, direction))
                ends = {state: loss[f"{state}_n"][row] for state in spec.cell.states if f"{state}_n" in loss}
                one = _Back(trace, weights, layer, direction, x, dtype)
                found, starts = one.run(shares[direction], ends, truncate)
                columns |= {(layer, direction, symbol): array for symbol, array in found.items()}
                parameters[layer, direction] = one.of_parameters(found)
                of_x += one.of_x(found)
                for state, values in starts.items():
                    initial[f"{state}0"][row] = values
            of_output = of_x
    return Gradients(spec, inputs, columns, Weights(parameters), {"x": of_output, **initial})


def _existing(values: Array, valid: Flags | None) -> Array:
    """The values, and 0 at steps that do not exist."""
    return values if valid is None else np.where(valid[..., None], values, values.dtype.type(0))


def _shares(trace: Trace, layer: int, of_output: Array) -> dict[str, Array]:
    """The gradient of each direction's own output, from that of a layer's output (T, B, width)."""
    spec = trace.spec
    if len(spec.directions) == 1:
        return {spec.directions[0]: of_output}
    merge, (forward, reverse) = spec.merge_of(layer), spec.directions
    if merge == CONCAT:
        half = of_output.shape[2] // 2
        return {forward: of_output[..., :half], reverse: of_output[..., half:]}
    if merge == "mul":
        h = {d: _existing(trace.columns[layer, d, spec.cell.output], trace.inputs.valid) for d in spec.directions}
        return {forward: of_output * h[reverse], reverse: of_output * h[forward]}
    return dict.fromkeys(spec.directions, of_output / 2 if merge == "ave" else of_output)


class _Back:
    """The adjoint of one layer in one direction."""

    def __init__(
        self, trace: Trace, weights: Weights, layer: int, direction: str, x: Array, dtype: np.dtype[np.floating]
    ) -> None:
        self.trace, self.spec, self.dtype, self.x, self.direction = trace, trace.spec, dtype, x, direction
        self.cell, self.weights = trace.spec.cell_of(direction), weights[layer, direction].astype(dtype)
        self.adjoint: Adjoint = adjoint(self.cell)
        self.valid = trace.inputs.valid
        self.initial = {state: trace.initial(state, layer, direction) for state in self.cell.states}
        self.given = {symbol: trace.columns[layer, direction, symbol] for symbol in self.cell.symbols}
        self.given |= {previous(state): self._before(state) for state in self.cell.states}

    def _before(self, state: str) -> Array:
        """A state before each step, (T, B, ·): its initial value at first, and where the step before does not exist."""
        sequence, backwards = self.given[state], self.direction == REVERSE
        before = np.empty_like(sequence)
        here, there = (np.s_[:-1], np.s_[1:]) if backwards else (np.s_[1:], np.s_[:-1])
        before[-1 if backwards else 0] = self.initial[state]
        before[here] = sequence[there]
        if self.valid is not None:
            np.copyto(before[here], self.initial[state], where=~self.valid[there][..., None])
        return before

    def run(
        self, of_output: Array, ends: Mapping[str, Array], truncate: int | None
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Every gradient of a step, (T, B, ·), and those of the initial states (B, ·)."""
        steps, batch = self.x.shape[:2]
        length = truncate or steps
        pieces = [slice(first, min(first + length, steps)) for first in range(0, steps, length)]
        if self.direction == REVERSE:
            pieces = [slice(steps - piece.stop, steps - piece.start) for piece in pieces]
        found: list[dict[str, Array]] = []
        at_end = ends
        for piece in reversed(pieces):
            column = Column(
                self.spec,
                self.adjoint.cell,
                self.weights,
                self.x[piece],
                None if self.valid is None else self.valid[piece],
                OPPOSITE[self.direction],
                self.dtype,
                None,
            )
            for name, sequence in {**self.given, OUTPUT: of_output}.items():
                column.give(name, sequence[piece])
            for state in self.cell.states:
                size = self.given[state].shape[2]
                column.start(handed_on(state), at_end.get(state, np.zeros((batch, size), self.dtype)), None)
            column.run()
            found.append(column.quantities())
            at_end = self._detached(ends, piece)
        whole = {symbol: np.concatenate([part[symbol] for part in self._in_order(found)]) for symbol in found[0]}
        return whole, {state: self._at_start(whole[handed_on(state)], ends.get(state)) for state in self.cell.states}

    def _detached(self, ends: Mapping[str, Array], piece: slice) -> dict[str, Array]:
        """What goes back over the start of a piece: only what enters at the ends of sequences that have not begun yet."""
        if self.valid is None or self.direction == REVERSE:
            return {}
        ended = ~self.valid[piece.start, :, None]
        return {state: np.where(ended, values, values.dtype.type(0)) for state, values in ends.items()}

    def _in_order(self, parts: list[Any]) -> list[Any]:
        return parts if self.direction == REVERSE else parts[::-1]

    def _at_start(self, handed: Array, end: Array | None) -> Array:
        """What the first step hands on to the initial state (B, ·); of a sequence without steps, what came to its end."""
        items = np.arange(handed.shape[1])
        lengths = np.full(len(items), len(handed)) if self.valid is None else self.valid.sum(axis=0)
        first: Array = handed[0] if self.direction == FORWARD else handed[lengths - 1, items]
        if lengths.all():
            return first
        empty = (lengths == 0)[:, None]
        return np.where(empty, first.dtype.type(0) if end is None else end, first)

    def of_parameters(self, found: Mapping[str, Array]) -> LayerWeights:
        """The gradients of the parameters, in their shapes."""
        arrays = {name: np.zeros_like(array) for name, array in self.weights.arrays.items()}
        scope = Scope(self.cell, self.weights)
        for term in self.adjoint.terms:
            argument = self.x if term.leaf.op is Op.INPUT_TERM else self._argument(term, scope)
            d = _rows(found[term.gradient])
            matrix, bias = TERMS[term.leaf.op]
            if argument is not None:
                values = _rows(argument.astype(self.dtype, copy=False))
                is_matrix = term.leaf.op in (Op.INPUT_TERM, Op.RECURRENT_TERM, Op.PROJECTION)
                self._add(arrays, matrix, term.leaf.name, d.T @ values if is_matrix else (d * values).sum(axis=0))
            else:
                self._add(arrays, matrix, term.leaf.name, d.sum(axis=0))
            self._add(arrays, bias, term.leaf.name, d.sum(axis=0))
        return LayerWeights(arrays=arrays)

    def _argument(self, term: Term, scope: Scope) -> Array | None:
        if term.argument is None:
            return None
        scope.enter(self.x, scope.input_terms(self.x) if _reads_x(term) else self.x, dict(self.given), {})
        return evaluate(term.argument, scope)

    def _add(self, arrays: dict[str, Array], role: Any, gate: str, values: Array) -> None:
        parameter = find(self.cell.parameters, role, gate)
        if parameter is not None and parameter.name in arrays:
            whole = arrays[parameter.name]
            part = whole[parameter.gates.index(gate)] if parameter.gates else whole
            part += values

    def of_x(self, found: Mapping[str, Array]) -> Array:
        """The gradient of what the layer reads, (T, B, I)."""
        total = np.zeros(self.x.shape, self.dtype)
        for term in self.adjoint.terms:
            if term.leaf.op is Op.INPUT_TERM:
                W = self.weights.block(self.cell, TERMS[Op.INPUT_TERM][0], term.leaf.name)
                assert W is not None
                total += np.nan_to_num(found[term.gradient]) @ W
        for symbol in self.adjoint.on_x:
            total += np.nan_to_num(found[symbol])
        return total


def _rows(values: Array) -> Array:
    """(T, B, N) as (T·B, N), and 0 at steps that do not exist."""
    flat = values.reshape(-1, values.shape[-1])
    return np.where(np.isnan(flat), flat.dtype.type(0), flat)


def _reads_x(term: Term) -> bool:
    return term.argument is not None and any(part.op is Op.INPUT_TERM for part in term.argument.walk())
