"""What each operator does to arrays, called as numpy's own are: its arguments, then optionally the array that takes the result.

That array may be one of the arguments.
"""

from collections.abc import Callable

import numpy as np
from numpy import add, exp, negative, reciprocal

from rnntrace.equations.expression import Op
from rnntrace.model.dtypes import Array

EPSILON = 1e-5
"""What a layer norm adds to the variance."""

# numpy takes an array of the same format faster than a number.
_FORMATS = [np.dtype(np.float32), np.dtype(np.float64)]
_ONE, _ZERO = ({format: np.full((), number, format) for format in _FORMATS} for number in (1, 0))


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


def maximum(a: Array, b: Array, out: Array | None = None) -> Array:
    """The larger of two; numpy's own takes the third argument by name alone."""
    result: Array = np.maximum(a, b, out=out)
    return result


def minimum(a: Array, b: Array, out: Array | None = None) -> Array:
    """The smaller of two."""
    result: Array = np.minimum(a, b, out=out)
    return result


def clip(values: Array, low: Array, high: Array, out: Array | None = None) -> Array:
    """min(max(values, low), high); NaN stays NaN."""
    out = np.maximum(values, low, out=out)
    np.minimum(out, high, out=out)
    return out


def softplus(values: Array, out: Array | None = None) -> Array:
    """log(1 + exp(values)), accurate at both ends."""
    result: Array = np.logaddexp(values, _ZERO[values.dtype], out=out)
    return result


def softsign(values: Array, out: Array | None = None) -> Array:
    """values / (1 + |values|)."""
    size = np.abs(values)
    np.add(size, _ONE[values.dtype], out=size)
    result: Array = np.divide(values, size, out=out)
    return result


def elu(values: Array, alpha: Array, out: Array | None = None) -> Array:
    """values above 0, alpha · (exp(values) - 1) elsewhere."""
    below = alpha * np.expm1(np.minimum(values, _ZERO[values.dtype]))
    out = relu(values, out)
    np.add(out, below, out=out)
    return out


def leaky_relu(values: Array, alpha: Array, out: Array | None = None) -> Array:
    """values above 0, alpha · values elsewhere."""
    below = alpha * np.minimum(values, _ZERO[values.dtype])
    out = relu(values, out)
    np.add(out, below, out=out)
    return out


def thresholded_relu(values: Array, alpha: Array, out: Array | None = None) -> Array:
    """values above alpha, 0 elsewhere; NaN stays NaN."""
    found = np.where(values <= alpha, _ZERO[values.dtype], values)
    if out is None:
        return found
    np.copyto(out, found)
    return out


def layer_norm(values: Array, out: Array | None = None, units: int | None = None) -> Array:
    """(values - mean) / √(variance + EPSILON), over the last axis; or over each `units` of it, of gates side by side."""
    out = np.empty_like(values) if out is None else out
    shape = (*values.shape[:-1], -1, units or values.shape[-1])
    off = values.reshape(shape)
    off = off - _mean(off)
    spread = _mean(np.multiply(off, off))
    np.add(spread, spread.dtype.type(EPSILON), out=spread)
    np.sqrt(spread, out=spread)
    np.divide(off, spread, out=off)
    np.copyto(out, off.reshape(values.shape))
    return out


def step(values: Array, out: Array | None = None) -> Array:
    """1 where values are above 0, and 0 elsewhere; NaN stays NaN."""
    result: Array = np.heaviside(values, _ZERO[values.dtype], out=out)
    return result


def norm_slope(gradient: Array, argument: Array, out: Array | None = None, units: int | None = None) -> Array:
    """(d - mean(d) - y · mean(d · y)) / √(variance + EPSILON), with y = layer_norm(argument); over the same axis."""
    shape = (*argument.shape[:-1], -1, units or argument.shape[-1])
    d, off = gradient.reshape(shape), argument.reshape(shape)
    off = off - _mean(off)
    deviation = np.sqrt(_mean(off * off) + off.dtype.type(EPSILON))
    y = off / deviation
    found: Array = ((d - _mean(d) - y * _mean(d * y)) / deviation).reshape(argument.shape)
    if out is None:
        return found
    np.copyto(out, found)
    return out


def _mean(values: Array) -> Array:
    """Over the last axis, which stays: what numpy's own does, without its checks."""
    mean: Array = np.add.reduce(values, axis=-1, keepdims=True)
    np.divide(mean, values.dtype.type(values.shape[-1]), out=mean)
    return mean


OPERATORS: dict[Op, Callable[..., Array]] = {
    Op.ADD: np.add,
    Op.SUBTRACT: np.subtract,
    Op.MULTIPLY: np.multiply,
    Op.DIVIDE: np.divide,
    Op.NEGATE: np.negative,
    Op.ABS: np.abs,
    Op.EXP: np.exp,
    Op.MAXIMUM: maximum,
    Op.MINIMUM: minimum,
    Op.CLIP: clip,
    Op.SIGMOID: sigmoid,
    Op.TANH: np.tanh,
    Op.RELU: relu,
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
"""By operator: all but the leaves."""
