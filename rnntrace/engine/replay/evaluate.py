"""An expression on arrays, of a single step (B, H) or of a whole sequence (T, B, H): its value, and how a cell's are computed.

`evaluate` works out one expression as it stands. A replay runs the same operators from a program (see `compiled`), in the order
that `schedule` finds from what is known beforehand.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnntrace.engine.replay.operators import OPERATORS
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

    def enter(self, x: Array, input_terms: Array, now: dict[str, Array], before: dict[str, Array]) -> None:
        """Set what is known here: x (…, I), input terms (…, G, H), quantities of this step and states before, (…, H)."""
        self.x, self.inputs, self.now, self.before = x, input_terms, now, before
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

    def vector(self, leaf: Expr) -> Array:
        """The weights for each unit that a leaf multiplies by, or adds."""
        block = self.weights.block(self.cell, TERMS[leaf.op][0], leaf.name)
        assert block is not None
        return block

    def projection(self, argument: Array) -> Array:
        """W_hr·argument."""
        return argument @ self._matrix("").T

    def transposed(self, gate: str, argument: Array) -> Array:
        """W_hgᵀ·argument, or W_hrᵀ·argument where there is no gate."""
        return argument @ self._matrix(gate)

    def _matrix(self, gate: str) -> Array:
        """The matrix on a state of the gate, or the projection."""
        W = self.weights.block(self.cell, Role.RECURRENT_MATRIX if gate else Role.PROJECTION, gate)
        assert W is not None
        return W


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


LEAVES: dict[Op, Callable[..., Array]] = {
    Op.INPUT: lambda scope, leaf: scope.x,
    Op.NOW: lambda scope, leaf: scope.now[leaf.name],
    Op.BEFORE: lambda scope, leaf: scope.before[leaf.name],
    Op.CONSTANT: lambda scope, leaf: leaf.value,
    Op.INPUT_TERM: lambda scope, leaf: scope.input_term(leaf.name),
    Op.RECURRENT_TERM: lambda scope, leaf, argument: scope.recurrent_term(leaf.name, argument),
    Op.DIAGONAL: lambda scope, leaf, argument: scope.vector(leaf) * argument,
    Op.GAIN: lambda scope, leaf, argument: scope.vector(leaf) * argument,
    Op.SHIFT: lambda scope, leaf: scope.vector(leaf),
    Op.PROJECTION: lambda scope, leaf, argument: scope.projection(argument),
    Op.TRANSPOSED: lambda scope, leaf, argument: scope.transposed(leaf.name, argument),
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
    if expr.op in TERMS and expr.name == gate:
        expr = replace(expr, name="")
    if expr.op in (Op.INPUT_TERM, Op.RECURRENT_TERM):
        return expr
    return replace(expr, args=tuple(_nameless(arg, gate) for arg in expr.args))


def _outside_products(expr: Expr) -> Iterator[Expr]:
    yield expr
    for arg in expr.args:
        # A weight for each unit may stand before a single quantity, which is then multiplied by that of every gate.
        if expr.op is not Op.RECURRENT_TERM and not (expr.op is Op.DIAGONAL and not expr.name and not arg.args):
            yield from _outside_products(arg)
