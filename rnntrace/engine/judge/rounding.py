"""How far rounding alone can put two honest computations of a step apart: running error analysis over the same expressions.

Beside each value goes a bound on its error, one rule per operator, to first order in the unit roundoff u:

- a projection of n terms and a bias is off by at most γ·(Σ|w||v| + |b|) with γ = λ·√(n+1)·u (Higham & Mary 2019, "A new
  approach to probabilistic rounding error analysis", theorem 2.4), and by |w| times the error of what it projects;
- a sum or difference adds its parts' errors, a product each part's error times the other part, and both round once;
- an activation passes its argument's error on by its slope, and is itself accurate to a few u; a hard sigmoid passes on none
  where it is cut off;
- each rounding near zero is off by half the smallest positive number of the format.

The same rules, with u = 0, carry what the missing digits of typed weights and inputs leave open.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from rnntrace.engine.judge.tolerance import LAMBDA
from rnntrace.engine.replay.evaluate import schedule
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import Expr, Op
from rnntrace.equations.parameters import TERMS, Role
from rnntrace.model.dtypes import Array, Dtype, Flags
from rnntrace.model.weights import LayerWeights, Weights

ACTIVATION_ERROR = 4.0
"""Accuracy of sigmoid and tanh in units of u: vectorised implementations are within a few units in the last place."""


@dataclass(frozen=True)
class Format:
    """How two sides round together.

    `u` is the sum of their unit roundoffs, `underflow` that of the errors each makes near zero; `lam` is λ. Beyond `largest`
    one of them overflows.
    """

    u: float
    underflow: float
    lam: float = LAMBDA
    largest: float = np.inf

    @classmethod
    def of(cls, framework: Dtype, replay: np.dtype[np.floating], lam: float = LAMBDA) -> "Format":
        """From the framework's format and numpy's format of the replay."""
        mine = np.finfo(replay)
        u, underflow = (framework.eps + float(mine.eps)) / 2, (framework.smallest + float(mine.smallest_subnormal)) / 2
        return cls(u, underflow, lam, min(framework.largest, float(mine.max)))


EXACT = Format(0.0, 0.0)
"""No rounding at all."""


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


@dataclass(frozen=True)
class Bounded:
    """A value and a bound on its error, arrays of one shape."""

    value: Array
    error: Array

    def __getitem__(self, t: int) -> "Bounded":
        return Bounded(self.value[t], self.error[t])


def _rules(format: Format) -> dict[Op, Callable[..., Bounded]]:
    """What each operator does to values and errors. The largest second derivatives are 0.097 (sigmoid) and 0.77 (tanh)."""
    u, underflow = format.u, format.underflow

    def rounded(value: Array, error: Array) -> Bounded:
        return Bounded(value, error + u * np.abs(value) + underflow)

    def sigmoid(a: Bounded) -> Bounded:
        value = 1 / (1 + np.exp(-a.value))
        slope = np.minimum(value * (1 - value) + 0.097 * a.error, 0.25)
        return Bounded(value, slope * a.error + ACTIVATION_ERROR * u * value + underflow)

    def tanh(a: Bounded) -> Bounded:
        value = np.tanh(a.value)
        slope = np.minimum(1 - value * value + 0.77 * a.error, 1.0)
        return Bounded(value, slope * a.error + ACTIVATION_ERROR * u * np.abs(value) + underflow)

    def hard_sigmoid(a: Bounded, slope: Bounded, offset: Bounded) -> Bounded:
        scaled = slope.value * a.value
        line = scaled + offset.value
        # The slope itself is rounded, or the sum comes first, as in Keras 3's relu6(a + 3) / 6.
        error = np.abs(slope.value) * a.error + 2 * u * (np.abs(scaled) + np.abs(offset.value)) + underflow
        flat = (line < -error) | (line > 1 + error)
        return Bounded(np.clip(line, 0, 1), np.where(flat, 0, error))

    return {
        Op.ADD: lambda a, b: rounded(a.value + b.value, a.error + b.error),
        Op.SUBTRACT: lambda a, b: rounded(a.value - b.value, a.error + b.error),
        Op.MULTIPLY: lambda a, b: rounded(
            a.value * b.value, np.abs(a.value) * b.error + np.abs(b.value) * a.error + a.error * b.error
        ),
        Op.SIGMOID: sigmoid,
        Op.TANH: tanh,
        Op.RELU: lambda a: Bounded(np.maximum(a.value, 0), a.error),
        Op.HARD_SIGMOID: hard_sigmoid,
    }


class _Bounds:
    """The bounds of one layer in one direction; leaves are looked up here, as in `evaluate.Scope`."""

    def __init__(self, cell: Cell, weights: LayerWeights, x: Bounded, format: Format, half_units: LayerWeights | None) -> None:
        self.cell, self.weights, self.format, self.rules = cell, weights, format, _rules(format)
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
            case Op.DIAGONAL:
                return self._diagonal(expr.name, args[0])
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

    def _diagonal(self, gate: str, v: Bounded) -> Bounded:
        """A product of which one factor is a weight: exact, or off by half a unit of its last digit."""
        p = self.weights.block(self.cell, Role.DIAGONAL, gate)
        p_open = self.half_units.block(self.cell, Role.DIAGONAL, gate) if self.half_units else None
        assert p is not None
        return self.rules[Op.MULTIPLY](Bounded(p, np.zeros_like(p) if p_open is None else p_open), v)

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
) -> dict[str, Array]:
    """A bound on the rounding error of each gate and state of one layer and direction, (T, B, ·), in the order of computation.

    `x` (T, B, I) is what the layer reads and `before` each state a step before; those in `known` are given and exact, the
    others carry the error of the steps before, as far as these exist by `valid` (T, B), and at first that in `errors` (B, ·).
    `half_units` are those of the weights, where these were typed.
    """
    bounds = _Bounds(cell, weights, x, format, half_units)
    bounds.before = {state: Bounded(before[state], np.zeros_like(before[state])) for state in known}
    plan = schedule(cell, known)
    bounds.at_once(plan.ahead)
    if plan.scan:
        carried = {state: before[state] for state in cell.states if state not in known}
        first = {state: errors.get(state, np.zeros_like(values[0])) for state, values in carried.items()}
        _scan(bounds, plan.scan, carried, first, valid)
    bounds.at_once(plan.behind)
    return {symbol: bounded.error for symbol, bounded in bounds.now.items()}


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
