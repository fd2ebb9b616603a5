"""The backward pass of one layer in one direction: its adjoint, step by step, and what parameters and x get of all steps."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rnntrace.engine.judge.rules import Bounded, Format
from rnntrace.engine.replay.evaluate import Scope, evaluate
from rnntrace.engine.replay.replay import Column
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.adjoint import OUTPUT, Adjoint, Term, adjoint, given, handed_on, previous, started
from rnntrace.equations.expression import Op
from rnntrace.equations.parameters import TERMS, Role, find
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import Key
from rnntrace.model.spec import FORWARD, REVERSE
from rnntrace.model.weights import LayerWeights, Weights

OPPOSITE = {FORWARD: REVERSE, REVERSE: FORWARD}
NOTHING = np.zeros(())
"""The error of what has no bound."""
MATRICES = (Op.INPUT_TERM, Op.RECURRENT_TERM, Op.PROJECTION)


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
        """A state before each step, (T, B, ·): its initial value at first, and where the step before does not exist."""
        backwards = self.direction == REVERSE
        before = np.empty_like(sequence)
        here, there = (np.s_[:-1], np.s_[1:]) if backwards else (np.s_[1:], np.s_[:-1])
        before[-1 if backwards else 0] = initial
        before[here] = sequence[there]
        if self.valid is not None:
            np.copyto(before[here], initial, where=~self.valid[there][..., None])
        return before

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
        if self.valid is None or self.direction == REVERSE:
            return {}
        ended = ~self.valid[piece.start, :, None]
        return {state: np.where(ended, values, values.dtype.type(0)) for state, values in ends.items()}

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
        sums = _Sums(self, steps, errors, rounding)
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

    def _at_start(self, handed: Array, end: Array | None) -> Array:
        """What the first step hands on to the initial state (B, ·); of a sequence without steps, what came to its end."""
        items = np.arange(handed.shape[1])
        lengths = np.full(len(items), len(handed)) if self.valid is None else self.valid.sum(axis=0)
        first: Array = handed[0] if self.direction == FORWARD else handed[lengths - 1, items]
        if lengths.all():
            return first
        empty = (lengths == 0)[:, None]
        return np.where(empty, first.dtype.type(0) if end is None else end, first)


class _Sums:
    """What every step adds to the gradients of parameters and of x."""

    def __init__(
        self, back: Back, steps: Mapping[str, Array], errors: Mapping[str, Array] | None, rounding: Format | None
    ) -> None:
        self.back, self.cell, self.weights, self.rounding = back, back.cell, back.weights, rounding
        self.steps, self.step_errors = steps, errors
        self.values = {name: np.zeros_like(array) for name, array in self.weights.arrays.items()}
        self.errors = {name: np.zeros_like(array) for name, array in self.weights.arrays.items()}
        self.of_x: list[Bounded] = []
        self.ones = Bounded(np.ones((len(back.x) * len(back.x[0]), 1), back.dtype), NOTHING)
        self.scope = Scope(self.cell, self.weights)
        reads_x = any(part.op is Op.INPUT_TERM for term in back.adjoint.terms if term.argument for part in term.argument.walk())
        self.scope.enter(back.x, self.scope.input_terms(back.x) if reads_x else back.x, dict(back.given), {})
        self.sums: dict[str, Bounded] = {}

    def add(self, term: Term) -> None:
        """Where the forward pass reads a parameter: to its gradient, and to that of x."""
        leaf, (matrix, bias) = term.leaf, TERMS[term.leaf.op]
        d, argument = self._weighed(self._of(term.gradient)), term.argument
        if leaf.op is Op.INPUT_TERM:
            self._add(matrix, leaf.name, self._sum(d, Bounded(self._rows(self.back.x), NOTHING), _transposed))
        elif argument is None:
            self._add(matrix, leaf.name, self._over_steps(term.gradient, d))
        else:
            off = self.back.errors.get(argument.name, NOTHING)
            v = Bounded(self._rows(evaluate(argument, self.scope)), self._rows(off) if off.ndim else NOTHING)
            self._add(matrix, leaf.name, self._sum(d, v, _transposed if leaf.op in MATRICES else _products))
        if bias is not None and self.cell.of(bias, leaf.name):
            self._add(bias, leaf.name, self._over_steps(term.gradient, d))
        if leaf.op is Op.INPUT_TERM:
            W = self.weights.block(self.cell, Role.INPUT_MATRIX, leaf.name)
            assert W is not None
            self.of_x.append(self._sum(self._of(term.gradient), Bounded(W, NOTHING), np.matmul, len(W) * len(self.cell.gates)))

    def add_to_x(self, symbol: str) -> None:
        """A gradient of x unit by unit."""
        self.of_x.append(self._of(symbol))

    def _of(self, symbol: str) -> Bounded:
        """A gradient of all steps, (T·B, ·), and the bound on its error."""
        error = NOTHING if self.step_errors is None else self._rows(self.step_errors[symbol])
        return Bounded(self._rows(self.steps[symbol]), error)

    def _weighed(self, d: Bounded) -> Bounded:
        """A gradient of all steps as it counts for parameters."""
        if self.back.weigh is None:
            return d
        weights = np.repeat(self.back.weigh, len(d.value) // len(self.back.weigh))[:, None]
        return Bounded(d.value * weights.astype(d.value.dtype), d.error)

    def _over_steps(self, symbol: str, d: Bounded) -> Bounded:
        """The sum of a gradient over all steps and items."""
        if symbol not in self.sums:
            found = self._sum(self.ones, d, _transposed)
            self.sums[symbol] = Bounded(found.value[0], found.error[0] if found.error.ndim else NOTHING)
        return self.sums[symbol]

    def _sum(self, d: Bounded, v: Bounded, product: Callable[[Array, Array], Array], terms: int | None = None) -> Bounded:
        """A sum of products of so many terms: by default of every step and item."""
        value = product(d.value, v.value)
        if self.rounding is None:
            return Bounded(value, NOTHING)
        gamma = self.rounding.lam * float(np.sqrt((terms or len(d.value)) + 1)) * self.rounding.u
        size, largest = np.abs(d.value), np.abs(v.value)
        error = gamma * product(size, largest) + self.rounding.underflow
        if d.error.ndim:
            error = error + product(d.error, largest + v.error)
        return Bounded(value, error + product(size, v.error) if v.error.ndim else error)

    def _rows(self, values: Array) -> Array:
        """(T, B, N) as (T·B, N), and 0 at steps that do not exist."""
        flat = values.reshape(-1, values.shape[-1])
        return flat if self.back.valid is None else np.where(self.back.valid.reshape(-1, 1), flat, flat.dtype.type(0))

    def _add(self, role: Role | None, gate: str, found: Bounded) -> None:
        parameter = find(self.cell.parameters, role, gate)
        if parameter is None or parameter.name not in self.values:
            return
        where = parameter.gates.index(gate) if parameter.gates else slice(None)
        self.values[parameter.name][where] += found.value
        self.errors[parameter.name][where] += found.error

    @property
    def x(self) -> Bounded:
        """The gradient of x, (T, B, I)."""
        shape = self.back.x.shape
        if not self.of_x:
            return Bounded(np.zeros(shape, self.back.dtype), np.zeros(shape, self.back.dtype))
        value, error = self.of_x[0].value, self.of_x[0].error
        for part in self.of_x[1:]:
            value, error = value + part.value, error + part.error
        return Bounded(value.reshape(shape), error.reshape(shape) if error.ndim else error)


def _transposed(d: Array, v: Array) -> Array:
    """Each unit of one with each of the other, summed over all steps and items."""
    found: Array = d.T @ v
    return found


def _products(d: Array, v: Array) -> Array:
    """Unit by unit, summed over all steps and items."""
    found: Array = (d * v).sum(axis=0)
    return found
