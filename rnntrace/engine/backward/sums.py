"""What parameters and x get of all steps of a backward pass: sums of products, bounds on them, and what each step adds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnntrace.engine.judge.rounding import bound_of
from rnntrace.engine.judge.rules import Bounded, Format
from rnntrace.engine.replay.evaluate import Scope, evaluate
from rnntrace.equations.adjoint import Term
from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Expr, Op
from rnntrace.equations.parameters import TERMS, Parameter, Role, find
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.weights import LayerWeights

NOTHING = np.zeros(())
"""The error of what has no bound."""
AT_ONCE = 2**21
"""So many numbers of products of single steps are held at once."""
MATRICES = (Op.INPUT_TERM, Op.RECURRENT_TERM, Op.PROJECTION)


@dataclass(frozen=True)
class _Share:
    """What a term adds to the block of a gate in a parameter: the sum over steps and items of d, or of d and v.

    Both are (T·B, ·). With a `matrix` each unit of d is multiplied by each of v, otherwise unit by unit.
    """

    parameter: Parameter
    gate: str
    d: Bounded
    v: Bounded | None = None
    matrix: bool = False


@dataclass
class Sums:
    """The sums over all steps of one layer and direction.

    `given` is what the forward pass has left, and `steps` are the gradients of each step, both (T, B, ·), with what they may be
    off by in `given_errors` and `step_errors`. `weigh` (T,) says how much a step counts for parameters.
    """

    cell: Cell
    weights: LayerWeights
    input: Array
    valid: Flags | None
    given: Mapping[str, Array]
    given_errors: Mapping[str, Array]
    steps: Mapping[str, Array]
    step_errors: Mapping[str, Array] | None
    rounding: Format | None
    weigh: Array | None

    def __post_init__(self) -> None:
        self.values = {name: np.zeros_like(array) for name, array in self.weights.arrays.items()}
        self.errors = {name: np.zeros_like(array) for name, array in self.weights.arrays.items()}
        self.of_x: list[Bounded] = []
        self.ones = Bounded(np.ones((len(self.input) * len(self.input[0]), 1), self.input.dtype), NOTHING)
        self.alone: dict[str, Bounded] = {}
        self.scope = Scope(self.cell, self.weights)

    def add(self, term: Term) -> None:
        """Where the forward pass reads a parameter: to its gradient, and to that of x."""
        for share in self._shares(term):
            if share.v is None:
                found = self._over_steps(term.gradient, share.d)
            else:
                found = self._sum(share.d, share.v, _transposed if share.matrix else _products)
            name, where = share.parameter.name, _block(share)
            self.values[name][where] += found.value
            self.errors[name][where] += found.error
        if term.leaf.op is Op.INPUT_TERM:
            W = self.weights.block(self.cell, Role.INPUT_MATRIX, term.leaf.name)
            assert W is not None
            self.of_x.append(self._sum(self._of(term.gradient), Bounded(W, NOTHING), np.matmul, len(W) * len(self.cell.gates)))

    def add_to_x(self, symbol: str) -> None:
        """A gradient of x unit by unit."""
        self.of_x.append(self._of(symbol))

    def norms(self, terms: tuple[Term, ...]) -> dict[str, Array]:
        """‖what each step adds‖ to the gradient of every parameter, (T,), in float64: Frobenius norms, over all items."""
        shares: dict[tuple[str, str], list[_Share]] = {}
        for share in (share for term in terms for share in self._shares(term)):
            shares.setdefault((share.parameter.name, share.gate if share.parameter.gates else ""), []).append(share)
        squares = {name: np.zeros(len(self.input)) for name in self.values}
        for (name, _), found in shares.items():
            squares[name] += self._square(found)
        return {name: np.sqrt(square) for name, square in squares.items()}

    def _square(self, shares: list[_Share]) -> Array:
        """The squared norm of what each step adds to one block, (T,)."""

        def stepwise(rows: Array) -> Array:
            return rows.astype(np.float64).reshape(len(self.input), -1, rows.shape[-1])

        if shares[0].matrix:
            d, v = (
                np.concatenate([stepwise(side.value) for side in sides], axis=1)
                for sides in ([share.d for share in shares], [share.v for share in shares if share.v is not None])
            )
            return _squares_of_products(d, v)
        each = (share.d.value if share.v is None else share.d.value * share.v.value for share in shares)
        total = sum((stepwise(rows).sum(axis=1) for rows in each), np.zeros(()))
        square: Array = (total * total).sum(axis=-1)
        return square

    def _shares(self, term: Term) -> Iterator[_Share]:
        """What a term adds to its matrix and to its bias."""
        leaf, (matrix, bias) = term.leaf, TERMS[term.leaf.op]
        d = self._weighed(self._of(term.gradient))
        if (parameter := self._parameter(matrix, leaf.name)) is not None:
            if leaf.op is Op.INPUT_TERM:
                yield _Share(parameter, leaf.name, d, Bounded(self._rows(self.input), NOTHING), matrix=True)
            elif term.argument is None:
                yield _Share(parameter, leaf.name, d)
            else:
                v = Bounded(self._rows(self._value(term.argument)), self._rows(self._error(term.argument)))
                yield _Share(parameter, leaf.name, d, v, matrix=leaf.op in MATRICES)
        if bias is not None and self.cell.of(bias, leaf.name) and (parameter := self._parameter(bias, leaf.name)) is not None:
            yield _Share(parameter, leaf.name, d)

    def _parameter(self, role: Role | None, gate: str) -> Parameter | None:
        """The parameter of this role, as far as the module has it."""
        parameter = find(self.cell.parameters, role, gate)
        return parameter if parameter is not None and parameter.name in self.values else None

    def _value(self, argument: Expr) -> Array:
        """What a parameter multiplies, as the forward pass has left it."""
        reads_x = any(part.op is Op.INPUT_TERM for part in argument.walk())
        self.scope.enter(self.input, self._input_terms if reads_x else self.input, dict(self.given), {})
        return evaluate(argument, self.scope)

    @cached_property
    def _input_terms(self) -> Array:
        return self.scope.input_terms(self.input)

    def _error(self, argument: Expr) -> Array:
        """What the forward pass may be off by in what a parameter multiplies."""
        if self.rounding is None:
            return NOTHING
        given = {name: Bounded(array, self.given_errors.get(name, np.zeros_like(array))) for name, array in self.given.items()}
        return bound_of(argument, self.cell, self.weights, self.input, given, self.rounding).error

    def _of(self, symbol: str) -> Bounded:
        """A gradient of all steps, (T·B, ·), and the bound on its error."""
        error = NOTHING if self.step_errors is None else self._rows(self.step_errors[symbol])
        return Bounded(self._rows(self.steps[symbol]), error)

    def _weighed(self, d: Bounded) -> Bounded:
        """A gradient of all steps as it counts for parameters."""
        if self.weigh is None:
            return d
        weights = np.repeat(self.weigh, len(d.value) // len(self.weigh))[:, None]
        return Bounded(d.value * weights.astype(d.value.dtype), d.error)

    def _over_steps(self, symbol: str, d: Bounded) -> Bounded:
        """The sum of a gradient over all steps and items."""
        if symbol not in self.alone:
            found = self._sum(self.ones, d, _transposed)
            self.alone[symbol] = Bounded(found.value[0], found.error[0] if found.error.ndim else NOTHING)
        return self.alone[symbol]

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
        error = error + product(size, v.error) if v.error.ndim else error
        # A part of the sum can overflow where the whole does not.
        return Bounded(value, np.where(product(size, largest) > self.rounding.largest, np.inf, error))

    def _rows(self, values: Array) -> Array:
        """(T, B, N) as (T·B, N), and 0 at steps that do not exist; nothing as it is."""
        if not values.ndim:
            return values
        flat = values.reshape(-1, values.shape[-1])
        return flat if self.valid is None else np.where(self.valid.reshape(-1, 1), flat, flat.dtype.type(0))

    @property
    def x(self) -> Bounded:
        """The gradient of x, (T, B, I)."""
        shape = self.input.shape
        if not self.of_x:
            return Bounded(np.zeros(shape, self.input.dtype), np.zeros(shape, self.input.dtype))
        value, error = self.of_x[0].value, self.of_x[0].error
        for part in self.of_x[1:]:
            value, error = value + part.value, error + part.error
        return Bounded(value.reshape(shape), error.reshape(shape) if error.ndim else error)


def _squares_of_products(d: Array, v: Array) -> Array:
    """‖Σ d vᵀ‖² at each step, the sum over items: (T, B, M) and (T, B, N) to (T,).

    Of few items it is Σ (d·d')(v·v') over pairs of them, without any matrix. Where items cancel one another, 1e-8 of what each
    of them adds is lost to that.
    """
    (steps, items, rows), columns = d.shape, v.shape[2]
    found = np.empty(steps)
    of_pairs = items * items <= rows * columns
    length = max(AT_ONCE // (items * items if of_pairs else rows * columns), 1)
    for first in range(0, steps, length):
        piece = slice(first, first + length)
        left, right = d[piece], v[piece]
        if of_pairs:
            products = (left @ left.swapaxes(1, 2)) * (right @ right.swapaxes(1, 2))
            found[piece] = np.maximum(products.sum(axis=(1, 2)), 0)
        else:
            found[piece] = ((left.swapaxes(1, 2) @ right) ** 2).sum(axis=(1, 2))
    return found


def _block(share: _Share) -> int | slice:
    """Where the block of a gate lies in its parameter."""
    return share.parameter.gates.index(share.gate) if share.parameter.gates else slice(None)


def _transposed(d: Array, v: Array) -> Array:
    """Each unit of one with each of the other, summed over all steps and items."""
    found: Array = d.T @ v
    return found


def _products(d: Array, v: Array) -> Array:
    """Unit by unit, summed over all steps and items."""
    found: Array = (d * v).sum(axis=0)
    return found
