"""What each operator does to values and to bounds on their errors, to first order in the unit roundoff u.

An operator passes its arguments' errors on by its slopes. Sums, differences, products and quotients round once; activations and
exp are themselves accurate to a few u. Where a value is cut off, only the error of the number it is cut off at is left. Each
rounding near zero is off by half the smallest positive number of the format.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnntrace.engine.judge.tolerance import LAMBDA
from rnntrace.engine.replay.operators import EPSILON, OPERATORS
from rnntrace.equations.expression import Op
from rnntrace.model.dtypes import Array, Dtype

ACTIVATION_ERROR = 4.0
"""Accuracy of sigmoid, tanh and exp in units of u: vectorised implementations are within a few units in the last place."""


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
class Bounded:
    """A value and a bound on its error, arrays of one shape."""

    value: Array
    error: Array

    def __getitem__(self, t: int) -> "Bounded":
        return Bounded(self.value[t], self.error[t])


def rules(format: Format) -> dict[Op, Callable[..., Bounded]]:
    """By operator: all but the leaves. The largest second derivatives are 0.097 (sigmoid), 0.77 (tanh), 0.25 (softplus)."""
    u, underflow, few = format.u, format.underflow, ACTIVATION_ERROR * format.u

    def rounded(value: Array, error: Array) -> Bounded:
        return Bounded(value, error + u * np.abs(value) + underflow)

    def curved(value: Array, error: Array) -> Bounded:
        return Bounded(value, error + few * np.abs(value) + underflow)

    def divide(a: Bounded, b: Bounded) -> Bounded:
        value, size = a.value / b.value, np.abs(b.value)
        # The quotient of the largest dividend and the smallest divisor; a divisor that may be zero leaves everything open.
        error = (a.error + np.abs(value) * b.error) / np.maximum(size - b.error, 0)
        return rounded(value, np.where(size > b.error, error, np.inf))

    def larger(a: Bounded, b: Bounded) -> Bounded:
        return Bounded(np.maximum(a.value, b.value), _of_one(a, b, a.value - b.value))

    def smaller(a: Bounded, b: Bounded) -> Bounded:
        return Bounded(np.minimum(a.value, b.value), _of_one(a, b, b.value - a.value))

    def clip(a: Bounded, low: Bounded, high: Bounded) -> Bounded:
        value = np.clip(a.value, low.value, high.value)
        flat = (a.value < low.value - a.error) | (a.value > high.value + a.error)
        return Bounded(value, np.where(flat, 0, a.error) + u * np.maximum(np.abs(low.value), np.abs(high.value)))

    def sigmoid(a: Bounded) -> Bounded:
        value = 1 / (1 + np.exp(-a.value))
        slope = np.minimum(value * (1 - value) + 0.097 * a.error, 0.25)
        return curved(value, slope * a.error)

    def tanh(a: Bounded) -> Bounded:
        value = np.tanh(a.value)
        slope = np.minimum(1 - value * value + 0.77 * a.error, 1.0)
        return curved(value, slope * a.error)

    def hard_sigmoid(a: Bounded, slope: Bounded, offset: Bounded) -> Bounded:
        scaled = slope.value * a.value
        line = scaled + offset.value
        # The slope itself is rounded, or the sum comes first, as in Keras 3's relu6(a + 3) / 6.
        error = np.abs(slope.value) * a.error + 2 * u * (np.abs(scaled) + np.abs(offset.value)) + underflow
        flat = (line < -error) | (line > 1 + error)
        return Bounded(np.clip(line, 0, 1), np.where(flat, 0, error))

    def exp(a: Bounded) -> Bounded:
        value = np.exp(a.value)
        return curved(value, value * np.expm1(a.error))

    def softplus(a: Bounded) -> Bounded:
        slope = np.minimum(1 / (1 + np.exp(-a.value)) + 0.25 * a.error, 1.0)
        return curved(np.logaddexp(a.value, 0), slope * a.error)

    def softsign(a: Bounded) -> Bounded:
        nearest = np.maximum(np.abs(a.value) - a.error, 0)
        return curved(a.value / (1 + np.abs(a.value)), a.error / (1 + nearest) ** 2)

    def elu(a: Bounded, alpha: Bounded) -> Bounded:
        below = np.exp(np.minimum(a.value + a.error, 0))
        slope = np.maximum(np.where(a.value + a.error > 0, 1.0, 0.0), np.abs(alpha.value) * below)
        # exp(a) - 1 may be two roundings of numbers near 1.
        own = few * np.abs(alpha.value) * np.where(a.value < a.error, 1 + below, 0)
        return curved(OPERATORS[Op.ELU](a.value, alpha.value), slope * a.error + own)

    def leaky_relu(a: Bounded, alpha: Bounded) -> Bounded:
        steepest = np.where(a.value > a.error, 1.0, np.maximum(np.abs(alpha.value), np.where(a.value < -a.error, 0.0, 1.0)))
        return curved(OPERATORS[Op.LEAKY_RELU](a.value, alpha.value), steepest * a.error)

    def thresholded_relu(a: Bounded, alpha: Bounded) -> Bounded:
        error = a.error + u * np.abs(alpha.value)
        near, above = np.abs(a.value - alpha.value) <= error, a.value > alpha.value
        return Bounded(np.where(above, a.value, 0), np.where(near, np.abs(a.value) + error, np.where(above, a.error, 0)))

    def layer_norm(a: Bounded) -> Bounded:
        def mean(values: Array) -> Array:
            found: Array = values.mean(axis=-1, keepdims=True)
            return found

        gamma = format.lam * np.sqrt(a.value.shape[-1] + 1) * u
        off = a.value - mean(a.value)
        off_error = a.error + mean(a.error) + gamma * mean(np.abs(a.value)) + u * np.abs(a.value)
        variance = mean(off * off) + EPSILON
        variance_error = mean(off_error * (2 * np.abs(off) + off_error)) + gamma * variance
        value = off / np.sqrt(variance)
        # 1/√v is convex: its slope is the steepest at the smallest variance there may be.
        least = np.maximum(variance - variance_error, EPSILON * (1 - gamma))
        return curved(value, off_error / np.sqrt(least) + 0.5 * np.abs(off) * variance_error / least**1.5)

    def multiply(a: Bounded, b: Bounded) -> Bounded:
        return rounded(a.value * b.value, np.abs(a.value) * b.error + np.abs(b.value) * a.error + a.error * b.error)

    def step(a: Bounded) -> Bounded:
        return Bounded(OPERATORS[Op.STEP](a.value), np.where(np.abs(a.value) <= a.error, 1.0, 0.0))

    def norm_slope(d: Bounded, a: Bounded) -> Bounded:
        def mean(of: Bounded) -> Bounded:
            gamma = format.lam * np.sqrt(of.value.shape[-1] + 1) * u
            value = of.value.mean(axis=-1, keepdims=True)
            return Bounded(value, of.error.mean(axis=-1, keepdims=True) + gamma * np.abs(of.value).mean(axis=-1, keepdims=True))

        def less(a: Bounded, b: Bounded) -> Bounded:
            return rounded(a.value - b.value, a.error + b.error)

        y = layer_norm(a)
        deviation = np.sqrt(a.value.var(axis=-1, keepdims=True) + EPSILON)
        # y is off by as much as its divisor is, in parts of it, at the least.
        apart = (y.error / np.maximum(np.abs(y.value), u)).min(axis=-1, keepdims=True) * deviation
        inside = less(less(d, mean(d)), multiply(y, mean(multiply(d, y))))
        return divide(inside, Bounded(deviation, np.minimum(apart, deviation / 2)))

    return {
        Op.ADD: lambda a, b: rounded(a.value + b.value, a.error + b.error),
        Op.SUBTRACT: lambda a, b: rounded(a.value - b.value, a.error + b.error),
        Op.MULTIPLY: multiply,
        Op.DIVIDE: divide,
        Op.NEGATE: lambda a: Bounded(-a.value, a.error),
        Op.ABS: lambda a: Bounded(np.abs(a.value), a.error),
        Op.EXP: exp,
        Op.MAXIMUM: larger,
        Op.MINIMUM: smaller,
        Op.CLIP: clip,
        Op.SIGMOID: sigmoid,
        Op.TANH: tanh,
        Op.RELU: lambda a: Bounded(np.maximum(a.value, 0), a.error),
        Op.HARD_SIGMOID: hard_sigmoid,
        Op.SOFTPLUS: softplus,
        Op.SOFTSIGN: softsign,
        Op.ELU: elu,
        Op.LEAKY_RELU: leaky_relu,
        Op.THRESHOLDED_RELU: thresholded_relu,
        Op.LAYER_NORM: layer_norm,
        Op.STEP: step,
        Op.NORM_SLOPE: norm_slope,
    }


def _of_one(a: Bounded, b: Bounded, lead: Array) -> Array:
    """The error of a where it leads by more than both errors, that of b where b does, and the larger of them between."""
    both = a.error + b.error
    found: Array = np.where(lead > both, a.error, np.where(lead < -both, b.error, np.maximum(a.error, b.error)))
    return found
