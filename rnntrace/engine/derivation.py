"""One value of a trace, derived from its equation with the numbers put in."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from rnntrace.engine.replay.evaluate import Scope, evaluate
from rnntrace.engine.replay.operators import OPERATORS
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import Expr, Op
from rnntrace.equations.notation import UNICODE, Notation, spell
from rnntrace.equations.parameters import TERMS, Role
from rnntrace.model.dtypes import Array
from rnntrace.model.spec import REVERSE
from rnntrace.model.weights import LayerWeights, Weights

ALL_SHOWN = 8
"""With at most so many terms in a step every one is written out."""
ENDS = 2
"""Of a longer sum as many terms are written out at its head, and as many at its tail."""

_AFFINE = (Op.INPUT_TERM, Op.RECURRENT_TERM, Op.DIAGONAL, Op.GAIN, Op.PROJECTION, Op.TRANSPOSED)
_ARITHMETIC = (Op.ADD, Op.SUBTRACT, Op.MULTIPLY, Op.DIVIDE, Op.NEGATE)
_OF_ALL_UNITS = (Op.LAYER_NORM, Op.NORM_SLOPE)
_FUNCTIONS = tuple(op for op in OPERATORS if op not in (*_ARITHMETIC, *_OF_ALL_UNITS))


@dataclass(frozen=True)
class Position:
    """One unit of one layer and direction at one step of one item; t counts from 1, everything else from 0."""

    layer: int
    direction: str
    t: int
    item: int
    unit: int


@dataclass(frozen=True)
class Term:
    """One summand: a weight times what it multiplies; for a bias that is 1, for a gate the state that it lets through.

    `factor` multiplies the product where it is summed up: the reset gate in the recurrent term of a GRU's candidate. It is
    None where there is no such gate.
    """

    name: str
    weight: float
    value: float
    factor: float | None = None
    is_bias: bool = False

    @property
    def product(self) -> float:
        """weight · value."""
        return self.weight * self.value

    @property
    def contribution(self) -> float:
        """What it adds to the sum: factor · product."""
        return self.product if self.factor is None else self.factor * self.product


@dataclass(frozen=True)
class Derivation:
    """How a quantity comes about at a position.

    `stages` are its equation with every number put in, then shorter and shorter, and last its value in the trace, which is
    `value`. `pre_activation` is what the activation is applied to, or None where the equation has none outermost: the
    contributions of `terms` then add up to the value itself. All but `value` are computed in float64. `left` is what stands on
    the left of the equation, where that is not the symbol of the step.
    """

    position: Position
    before: int
    step: Step
    terms: tuple[Term, ...]
    stages: tuple[Expr, ...]
    pre_activation: float | None
    value: float
    left: Expr | None = None


@dataclass(frozen=True)
class Moment:
    """What there was to read at a position, the layer's input x and the states before, and what was derived from it."""

    position: Position
    before_t: int
    x: Array
    before: Mapping[str, Array]
    derivations: tuple[Derivation, ...]


class Scene:
    """What can be read at a position: the layer's input x, all units of this step and of the states before, all in float64."""

    def __init__(
        self,
        cell: Cell,
        weights: LayerWeights,
        position: Position,
        before_t: int,
        x: Array,
        now: Mapping[str, Array],
        before: Mapping[str, Array],
    ) -> None:
        self.cell, self.position, self.before_t = cell, position, before_t
        self.weights = weights.astype(np.dtype(np.float64))
        self._parameters = [one for one in cell.parameters if one.name in weights.arrays]
        self.x: Array = x.astype(np.float64)
        self.now: dict[str, Array] = {symbol: array.astype(np.float64) for symbol, array in now.items()}
        self.before: dict[str, Array] = {symbol: array.astype(np.float64) for symbol, array in before.items()}
        self._scope = Scope(self.cell, self.weights)
        self._scope.enter(self.x, self._scope.input_terms(self.x), self.now, self.before)

    @classmethod
    def of(cls, trace: Trace, weights: Weights, position: Position) -> "Scene":
        """A position of a trace."""
        cell = trace.spec.cell_of(position.direction)
        x, now, before, before_t = forward_values(trace, position)
        return cls(cell, weights[position.layer, position.direction], position, before_t, x, now, before)

    def moment(self, derivations: Sequence[Derivation]) -> Moment:
        """The derivations with what they read; the weights, which may be large, are not kept."""
        return Moment(self.position, self.before_t, self.x, self.before, tuple(derivations))

    def derive(self, step: Step, top: int | None = None, left: Expr | None = None) -> Derivation:
        """One step of the cell at this position; on the `left` of its equation may stand another name.

        `top` terms, those that contribute most, are written out, or all for 0; without it a long sum keeps its ends.
        """
        with np.errstate(all="ignore"):
            expr = step.expression
            activated = expr.op in _FUNCTIONS and all(arg.op is Op.CONSTANT for arg in expr.args[1:])
            terms = tuple(self._terms(expr.args[0] if activated else expr))
            shown = self._written_out(expr, terms, top)
            value = float(self.now[step.symbol][self.position.unit])
            written = [self._put_in(expr, lambda leaf: self._sum(leaf, shown)), self._put_in(expr, self._total)]
            while written[-1].op is not Op.CONSTANT:
                written.append(_shorter(written[-1]))
            # As text NaN equals itself.
            stages = [stage for k, stage in enumerate(written[:-1]) if k == 0 or repr(stage) != repr(written[k - 1])]
            return Derivation(
                position=self.position,
                before=self.before_t,
                step=step,
                terms=terms,
                stages=(*stages, _constant(value)),
                pre_activation=self._value(expr.args[0]) if activated else None,
                value=value,
                left=left,
            )

    def _value(self, expr: Expr) -> float:
        """An expression at this unit."""
        found = np.asarray(evaluate(expr, self._scope))
        return float(found if found.ndim == 0 else found[self.position.unit])

    def _terms(self, expr: Expr, factor: float | None = None) -> Iterator[Term]:
        """The summands of an expression, the affine terms product by product."""
        if expr.op is Op.ADD:
            for arg in expr.args:
                yield from self._terms(arg, factor)
        elif expr.op in _AFFINE:
            yield from (replace(term, factor=factor) for term in self._products(expr))
        elif expr.op is Op.MULTIPLY:
            left, right = expr.args
            if right.op in _AFFINE:
                yield from self._terms(right, self._value(left) * (1.0 if factor is None else factor))
            else:
                yield Term(spell(expr, self._names, self._parameters), self._value(left), self._value(right), factor)
        else:
            yield Term(spell(expr, self._names, self._parameters), self._value(expr), 1.0, factor)

    def _products(self, leaf: Expr) -> list[Term]:
        """The products of a term that reads parameters, and last its bias."""
        unit = self.position.unit
        if leaf.op is Op.TRANSPOSED:
            return self._back(leaf)
        role, bias_role = TERMS[leaf.op]
        parameter, block = self.cell.of(role, leaf.name), self.weights.block(self.cell, role, leaf.name)
        bias = self.cell.of(bias_role, leaf.name) if bias_role else None
        biases = self.weights.block(self.cell, bias_role, leaf.name) if bias_role else None
        assert parameter is not None
        assert block is not None
        name = parameter.block(leaf.name)
        if leaf.op in (Op.DIAGONAL, Op.GAIN):
            value = self._value(leaf.args[0])
            what = spell(leaf.args[0], self._names, self._parameters)
            return [Term(f"{name}[{unit}]·{what if not leaf.args[0].args else f'({what})'}", float(block[unit]), value)]
        if leaf.op is Op.INPUT_TERM:
            values, names = self.x, "x"
        else:
            values = np.asarray(evaluate(leaf.args[0], self._scope))
            names = spell(leaf.args[0], self._names.whole, self._parameters)
            names = names if leaf.args[0].op is Op.BEFORE else f"({names})"
        terms = [
            Term(f"{name}[{unit},{k}]·{names}[{k}]", float(weight), float(value))
            for k, (weight, value) in enumerate(zip(block[unit], values, strict=True))
        ]
        if bias is not None and biases is not None:
            terms.append(Term(f"{bias.block(leaf.name)}[{unit}]", float(biases[unit]), 1.0, is_bias=True))
        return terms

    def _back(self, leaf: Expr) -> list[Term]:
        """The products of a gradient with a column of a matrix."""
        unit, role = self.position.unit, Role.RECURRENT_MATRIX if leaf.name else Role.PROJECTION
        parameter, block = self.cell.of(role, leaf.name), self.weights.block(self.cell, role, leaf.name)
        assert parameter is not None
        assert block is not None
        values = np.asarray(evaluate(leaf.args[0], self._scope))
        names = spell(leaf.args[0], self._names.whole, self._parameters)
        return [
            Term(f"{parameter.block(leaf.name)}[{k},{unit}]·{names}[{k}]", float(weight), float(value))
            for k, (weight, value) in enumerate(zip(block[:, unit], values, strict=True))
        ]

    def _written_out(self, expr: Expr, terms: Sequence[Term], top: int | None) -> set[str]:
        """The names of the terms that a sum shows one by one."""
        if top:
            terms = largest(terms, top)
        if top is not None or len(terms) <= ALL_SHOWN:
            return {term.name for term in terms}
        names = [[term.name for term in self._products(leaf)] for leaf in expr.walk() if leaf.op in _AFFINE]
        # Nothing is gained by leaving out a single term.
        return {name for group in names for name in (group if len(group) <= 2 * ENDS + 1 else group[:ENDS] + group[-ENDS:])}

    @property
    def _names(self) -> Notation:
        """Terms are named in one way for all steps: `f[1]·c_prev[1]`."""
        return replace(UNICODE, now="", before="_prev", unit=self.position.unit)

    def _put_in(self, expr: Expr, affine: Callable[[Expr], Expr]) -> Expr:
        """The expression at this unit with numbers for its leaves; `affine` says what becomes of an affine term."""
        if expr.op in _AFFINE:
            return affine(expr)
        if not expr.args or expr.op in _OF_ALL_UNITS:
            # A layer norm is taken over all units, and this is one.
            return _constant(self._value(expr))
        return Expr(expr.op, tuple(self._put_in(arg, affine) for arg in expr.args))

    def _total(self, leaf: Expr) -> Expr:
        return _constant(self._value(leaf))

    def _sum(self, leaf: Expr, shown: Collection[str]) -> Expr:
        """The products and bias of an affine term as a sum; those that are not shown are one number."""
        summands: list[Expr] = []
        products = self._products(leaf)
        left_out = [term for term in products if term.name not in shown]
        for term in products:
            if term.name in shown:
                weight = _constant(term.weight)
                summands.append(weight if term.is_bias else weight * _constant(term.value))
            elif term is left_out[0]:
                count = f"{len(left_out)} term" + ("s" if len(left_out) > 1 else "")
                summands.append(Expr(Op.CONSTANT, name=count, value=sum(term.product for term in left_out)))
        return summands[0] if len(summands) == 1 else Expr(Op.ADD, tuple(summands))


def largest(terms: Sequence[Term], count: int) -> list[Term]:
    """The terms that contribute most, the largest first; NaN before all, since it decides everything."""
    return sorted(terms, key=lambda term: -np.nan_to_num(abs(term.contribution), nan=np.inf, posinf=np.inf))[:count]


def forward_values(trace: Trace, position: Position) -> tuple[Array, dict[str, Array], dict[str, Array], int]:
    """Of one item at a position: the layer's input (I,), gates and states (H,), the states before, and the t of these."""
    layer, direction, row, item = position.layer, position.direction, position.t - 1, position.item
    x = trace.inputs.x if layer == 0 else trace.hidden(layer - 1)
    cell, before_t = trace.spec.cell_of(direction), step_before(trace, position)
    now = {symbol: trace[symbol, layer, direction][row, item] for symbol in cell.symbols}
    before = {
        state: trace.initial(state, layer, direction)[item]
        if before_t == 0
        else trace[state, layer, direction][before_t - 1, item]
        for state in cell.states
    }
    return x[row, item], now, before, before_t


def step_before(trace: Trace, position: Position) -> int:
    """The t from which the states come: in its direction the last one before that counts, and 0 for the initial state."""
    t = trace.inputs.counted(position.item)
    before = t[t > position.t][:1] if position.direction == REVERSE else t[t < position.t][-1:]
    return int(before[0]) if len(before) else 0


def _constant(value: float) -> Expr:
    return Expr(Op.CONSTANT, value=value)


def _shorter(expr: Expr) -> Expr:
    """The next stage: every sum and product of numbers worked out, or where there is none, every function of a number."""
    shorter = _worked_out(expr, _ARITHMETIC)
    return _worked_out(expr, _FUNCTIONS) if shorter == expr else shorter


def _worked_out(expr: Expr, operators: Collection[Op]) -> Expr:
    args = tuple(_worked_out(arg, operators) for arg in expr.args)
    if expr.op in operators and all(arg.op is Op.CONSTANT for arg in args):
        # Operators write into arrays, which a number by itself is none.
        function, numbers = OPERATORS[expr.op], [np.array([arg.value]) for arg in args]
        result = reduce(function, numbers) if len(numbers) > 1 and expr.op in _ARITHMETIC else function(*numbers)
        return _constant(float(result.item()))
    return replace(expr, args=args)
