"""How far rounding alone can put two honest computations of a step apart: running error analysis over the same expressions.

Beside each value goes a bound on its error, one rule per operator, to first order in the unit roundoff u:

- a projection of n terms and a bias is off by at most γ·(Σ|w||v| + |b|) with γ = λ·√(n+1)·u (Higham & Mary 2019, "A new
  approach to probabilistic rounding error analysis", theorem 2.4), and by |w| times the error of what it projects;
- a sum or difference adds its parts' errors, a product each part's error times the other part, and both round once;
- other operators: see `rules`.

The same rules, with u = 0, carry what the missing digits of typed weights and inputs leave open.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from rnntrace.engine.judge.rules import Bounded, Format, rules
from rnntrace.engine.replay.evaluate import schedule
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import Expr, Op
from rnntrace.equations.parameters import TERMS, Role
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.weights import LayerWeights, Weights


@dataclass(frozen=True)
class Typed:
    """Half a unit of the last digit of each number that was typed: of weights, x (T, B, I), states at t = 0 (L·D, B, ·).

    0 stands for numbers that are exact, None where all are.
    """

    weights: Weights | None = None
    x: Array | None = None
    states: Mapping[str, Array] = field(default_factory=dict)

    def initial(self, row: int) -> dict[str, Array]:
        """Those of the initial states (B, ·) of a row."""
        return {state: values[row] for state, values in self.states.items()}


class _Bounds:
    """The bounds of one layer in one direction; leaves are looked up here, as in `evaluate.Scope`."""

    def __init__(self, cell: Cell, weights: LayerWeights, x: Bounded, format: Format, half_units: LayerWeights | None) -> None:
        self.cell, self.weights, self.format, self.rules = cell, weights, format, rules(format)
        self.x, self.half_units = x, half_units
        self.now: dict[str, Bounded] = {}
        self.before: dict[str, Bounded] = {}

    def evaluate(self, expr: Expr) -> Bounded:
        args = [self.evaluate(arg) for arg in expr.args]
        if expr.op in self.rules:
            return self.rules[expr.op](*args)
        match expr.op:
            case Op.NOW:
                return self.now[expr.name]
            case Op.BEFORE:
                return self.before[expr.name]
            case Op.CONSTANT:
                return Bounded(np.float64(expr.value), np.float64(0))  # type: ignore[arg-type]
            case Op.INPUT:
                return self.x
            case Op.SHIFT:
                return self._vector(expr)
            case Op.DIAGONAL | Op.GAIN:
                return self.rules[Op.MULTIPLY](self._vector(expr), args[0])
            case Op.TRANSPOSED:
                return self._back(expr, args[0])
        return self._affine(expr, self.x if expr.op is Op.INPUT_TERM else args[0])

    def _affine(self, leaf: Expr, v: Bounded) -> Bounded:
        matrix, biases = TERMS[leaf.op]
        W, b = (self.weights.block(self.cell, role, leaf.name) for role in (matrix, biases))
        assert W is not None
        gamma = self.format.lam * np.sqrt(W.shape[1] + 1) * self.format.u
        bias = np.zeros(len(W), W.dtype) if b is None else b
        size = np.abs(v.value) @ np.abs(W).T + np.abs(bias)
        error = gamma * size + v.error @ np.abs(W).T + self.format.underflow
        if self.half_units:
            W_open, b_open = (self.half_units.block(self.cell, role, leaf.name) for role in (matrix, biases))
            assert W_open is not None
            error = error + (np.abs(v.value) + v.error) @ W_open.T + (0.0 if b_open is None else b_open)
        # A part of the sum can overflow where the whole does not: anything may come of that.
        return Bounded(v.value @ W.T + bias, np.where(size > self.format.largest, np.inf, error))

    def _back(self, leaf: Expr, v: Bounded) -> Bounded:
        """A gradient times a transposed matrix."""
        W = self.weights.block(self.cell, Role.RECURRENT_MATRIX if leaf.name else Role.PROJECTION, leaf.name)
        assert W is not None
        gamma = self.format.lam * np.sqrt(len(W) + 1) * self.format.u
        size = np.abs(v.value) @ np.abs(W)
        error = gamma * size + v.error @ np.abs(W) + self.format.underflow
        return Bounded(v.value @ W, np.where(size > self.format.largest, np.inf, error))

    def _vector(self, leaf: Expr) -> Bounded:
        """Weights for each unit: exact, or off by half a unit of their last digit."""
        role = TERMS[leaf.op][0]
        p = self.weights.block(self.cell, role, leaf.name)
        p_open = self.half_units.block(self.cell, role, leaf.name) if self.half_units else None
        assert p is not None
        return Bounded(p, np.zeros_like(p) if p_open is None else p_open)

    def at_once(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            self.now[step.symbol] = self.evaluate(step.expression)


def error_bounds(
    cell: Cell,
    weights: LayerWeights,
    x: Bounded,
    before: Mapping[str, Array],
    known: Collection[str],
    valid: Flags | None,
    format: Format,
    errors: Mapping[str, Array],
    half_units: LayerWeights | None = None,
    given: Mapping[str, Bounded] | None = None,
) -> dict[str, Array]:
    """A bound on the rounding error of each gate and state of one layer and direction, (T, B, ·), in the order of computation.

    `x` (T, B, I) is what the layer reads and `before` each state a step before; those in `known` are given and exact, the
    others carry the error of the steps before, as far as these exist by `valid` (T, B), and at first that in `errors` (B, ·).
    `half_units` are those of the weights, where these were typed, and what is `given`, (T, B, ·), has bounds of its own.
    """
    bounds = _Bounds(cell, weights, x, format, half_units)
    bounds.now = dict(given or {})
    bounds.before = {state: Bounded(before[state], np.zeros_like(before[state])) for state in known}
    plan = schedule(cell, known)
    bounds.at_once(plan.ahead)
    if plan.scan:
        carried = {state: before[state] for state in cell.states if state not in known}
        first = {state: errors.get(state, np.zeros_like(values[0])) for state, values in carried.items()}
        _scan(bounds, plan.scan, carried, first, valid)
    bounds.at_once(plan.behind)
    return {symbol: bounds.now[symbol].error for symbol in cell.symbols}


def _scan(
    bounds: _Bounds, steps: tuple[Step, ...], carried: Mapping[str, Array], errors: dict[str, Array], valid: Flags | None
) -> None:
    """Step by step, each starting from the values that are known and the errors of the step before, at first `errors`."""
    ready, given, x = bounds.now, bounds.before, bounds.x
    found: dict[str, list[Bounded]] = {step.symbol: [] for step in steps}
    for t in range(len(x.value)):
        bounds.x = x[t]
        bounds.now = {symbol: bounded[t] for symbol, bounded in ready.items()}
        bounds.before = {state: bounded[t] for state, bounded in given.items()}
        bounds.before |= {state: Bounded(values[t], errors[state]) for state, values in carried.items()}
        bounds.at_once(steps)
        for state, previous in errors.items():
            error = bounds.now[state].error
            errors[state] = error if valid is None else np.where(valid[t, :, None], error, previous)
        for symbol, entries in found.items():
            entries.append(bounds.now[symbol])
    bounds.x, bounds.before = x, given
    bounds.now = ready | {
        symbol: Bounded(np.stack([entry.value for entry in entries]), np.stack([entry.error for entry in entries]))
        for symbol, entries in found.items()
    }
