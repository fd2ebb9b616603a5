"""An expression on arrays, of a single step (B, H) or of a whole sequence (T, B, H): its value, and how a cell's are computed.

`evaluate` works out one expression as it stands. A replay runs the same operators from a program (see `compiled`), in the order
that `schedule` finds from what is known beforehand.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy import add, exp, negative, reciprocal

from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import Expr, Op
from rnntrace.equations.parameters import TERMS, Role
from rnntrace.model.dtypes import Array
from rnntrace.model.weights import LayerWeights


class Scope:
    """What the leaves of an expression stand for: input terms, gates and states of this step, states of the step before."""

    def __init__(self, cell: Cell, weights: LayerWeights) -> None:
        self.cell, self.weights = cell, weights
        self._inputs = _Stack(cell, weights, Op.INPUT_TERM)
        self._recurrent = _Stack(cell, weights, Op.RECURRENT_TERM)

    def enter(self, input_terms: Array, now: dict[str, Array], before: dict[str, Array]) -> None:
        """Set what is known here: input terms (…, G, H), this step's quantities and the states before, each (…, H)."""
        self.inputs, self.now, self.before = input_terms, now, before
        self._argument: Array | None = None

    def input_terms(self, x: Array) -> Array:
        """W_ih·x + b_ih of every gate that has one, at once: (T, B, I) to (T, B, G, H)."""
        return self._inputs.terms(x)

    def input_term(self, gate: str) -> Array:
        """That of one gate."""
        term: Array = self.inputs[..., self._inputs.gates[gate], :]
        return term

    def recurrent_term(self, gate: str, argument: Array) -> Array:
        """W_hg·argument + b_hg; gates that share an argument share one matrix product."""
        if argument is not self._argument:
            self._argument = argument
            self._products = self._recurrent.terms(argument)
        return self._products[..., self._recurrent.gates[gate], :]

    def diagonal(self, gate: str, argument: Array) -> Array:
        """p_g ⊙ argument."""
        p = self.weights.block(self.cell, Role.DIAGONAL, gate)
        assert p is not None
        return p * argument

    def projection(self, argument: Array) -> Array:
        """W_hr·argument."""
        W_hr = self.weights.block(self.cell, Role.PROJECTION)
        assert W_hr is not None
        return argument @ W_hr.T


class _Stack:
    """The matrices and biases of one kind of term, of all gates that have it."""

    def __init__(self, cell: Cell, weights: LayerWeights, op: Op) -> None:
        matrix, bias = TERMS[op]
        gates = [gate for gate in cell.gates if cell.of(matrix, gate)]
        self.gates = {gate: place for place, gate in enumerate(gates)}
        W = weights.stack(cell, matrix, gates) if gates else None
        self.matrix = None if W is None else _stacked(W)
        self.bias = weights.stack(cell, bias, gates) if gates and bias else None

    def terms(self, values: Array) -> Array:
        """Those of all gates, (…, N) to (…, G, H)."""
        return np.empty((*values.shape[:-1], 0, 0)) if self.matrix is None else _affine(values, self.matrix, self.bias)


def _stacked(blocks: Array) -> Array:
    """The blocks (G, H, N) of all gates as one matrix (N, G, H)."""
    return np.ascontiguousarray(np.moveaxis(blocks, 2, 0))


def _affine(values: Array, matrix: Array, bias: Array | None) -> Array:
    """Values (…, N) times a stacked matrix (N, G, H) in one product, plus bias (G, H): (…, G, H)."""
    inner, gates, units = matrix.shape
    product = (values.reshape(-1, inner) @ matrix.reshape(inner, -1)).reshape(*values.shape[:-1], gates, units)
    return product if bias is None else product + bias


def sigmoid(values: Array, out: Array | None = None) -> Array:
    """1 / (1 + exp(-values)), accurate at both ends: exp overflows to infinity and the quotient is 0."""
    out = np.empty_like(values) if out is None else out
    negative(values, out)
    exp(out, out)
    add(out, _ONE[out.dtype], out)
    reciprocal(out, out)
    return out


def relu(values: Array, out: Array | None = None) -> Array:
    """max(0, values); NaN stays NaN."""
    result: Array = np.maximum(values, _ZERO[values.dtype], out=out)
    return result


def hard_sigmoid(values: Array, slope: Array, offset: Array, out: Array | None = None) -> Array:
    """min(max(slope · values + offset, 0), 1); NaN stays NaN."""
    out = np.empty_like(values) if out is None else out
    np.multiply(values, slope, out=out)
    np.add(out, offset, out=out)
    np.maximum(out, _ZERO[out.dtype], out=out)
    np.minimum(out, _ONE[out.dtype], out=out)
    return out


# numpy takes an array of the same format faster than a number.
_FORMATS = [np.dtype(np.float32), np.dtype(np.float64)]
_ONE, _ZERO = ({format: np.full((), number, format) for format in _FORMATS} for number in (1, 0))

OPERATORS: dict[Op, Callable[..., Array]] = {
    Op.ADD: np.add,
    Op.SUBTRACT: np.subtract,
    Op.MULTIPLY: np.multiply,
    Op.SIGMOID: sigmoid,
    Op.TANH: np.tanh,
    Op.RELU: relu,
    Op.HARD_SIGMOID: hard_sigmoid,
}
"""Each operator as numpy's own are called: its arguments, then optionally the array that takes the result."""

LEAVES: dict[Op, Callable[..., Array]] = {
    Op.NOW: lambda scope, leaf: scope.now[leaf.name],
    Op.BEFORE: lambda scope, leaf: scope.before[leaf.name],
    Op.CONSTANT: lambda scope, leaf: leaf.value,
    Op.INPUT_TERM: lambda scope, leaf: scope.input_term(leaf.name),
    Op.RECURRENT_TERM: lambda scope, leaf, argument: scope.recurrent_term(leaf.name, argument),
    Op.DIAGONAL: lambda scope, leaf, argument: scope.diagonal(leaf.name, argument),
    Op.PROJECTION: lambda scope, leaf, argument: scope.projection(argument),
}


def evaluate(expr: Expr, scope: Scope) -> Array:
    """The value of an expression where its leaves stand for what `scope` says."""
    args = [evaluate(arg, scope) for arg in expr.args]
    if expr.op in OPERATORS:
        return OPERATORS[expr.op](*args)
    return LEAVES[expr.op](scope, expr, *args)


@dataclass(frozen=True)
class Schedule:
    """The steps of a cell by how they are computed: at once for all t, then in a scan from t to t + 1, then at once."""

    ahead: tuple[Step, ...]
    scan: tuple[Step, ...]
    behind: tuple[Step, ...]


def schedule(cell: Cell, known: Collection[str]) -> Schedule:
    """How to compute a cell when the sequences of the states `known` are given beforehand.

    The scan runs from the first step that reads an unknown state of the step before to the last one that computes such a
    state: every step when nothing is known, the cell state alone for an LSTM whose h is known.
    """
    carried = [
        {leaf.name for leaf in step.expression.walk() if leaf.op is Op.BEFORE and leaf.name not in known} for step in cell.steps
    ]
    wanted = set().union(*carried)
    scanned = [k for k, step in enumerate(cell.steps) if carried[k] or step.symbol in wanted]
    first, last = (scanned[0], scanned[-1] + 1) if scanned else (len(cell.steps),) * 2
    return Schedule(cell.steps[:first], cell.steps[first:last], cell.steps[last:])


def alike(steps: Sequence[Step]) -> list[tuple[Step, ...]]:
    """Steps that are one expression but for the name of their own gate, together: sets that can be computed one by one."""
    groups: dict[tuple[Expr, str], list[Step]] = {}
    for step in steps:
        form = _nameless(step.expression, step.symbol)
        reads_others = any(leaf.name for leaf in _outside_products(form))
        groups.setdefault((form, step.symbol if reads_others else ""), []).append(step)
    return [tuple(group) for group in groups.values()]


def _nameless(expr: Expr, gate: str) -> Expr:
    """The expression without the name of this gate; what a product is taken of stays."""
    if expr.op in (Op.INPUT_TERM, Op.RECURRENT_TERM):
        return replace(expr, name="") if expr.name == gate else expr
    return replace(expr, args=tuple(_nameless(arg, gate) for arg in expr.args))


def _outside_products(expr: Expr) -> Iterator[Expr]:
    yield expr
    for arg in () if expr.op is Op.RECURRENT_TERM else expr.args:
        yield from _outside_products(arg)
