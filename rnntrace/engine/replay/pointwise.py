"""What is made of every vector by itself, outside of recurrent layers: dense layers, activations, embeddings."""

import numpy as np

from rnntrace.engine.replay.operators import OPERATORS
from rnntrace.equations.activations import activated
from rnntrace.equations.expression import Expr, Op, input_
from rnntrace.errors import SignalError
from rnntrace.model.chain import Dense, Lookup
from rnntrace.model.dtypes import Array


def dense(layer: Dense, values: Array) -> Array:
    """The output (…, O) of a dense layer, in the format of the values (…, I). Raises SignalError for another size."""
    if layer.W is not None:
        if values.shape[-1] != len(layer.W):
            raise SignalError(f"{layer.name} takes vectors of {len(layer.W)} numbers, and these have {values.shape[-1]}")
        values = values @ layer.W.astype(values.dtype)
        values = values if layer.b is None else values + layer.b.astype(values.dtype)
    with np.errstate(all="ignore"):
        return softmax(values) if layer.activation == "softmax" else _value(activated(layer.activation, input_()), values)


def softmax(values: Array) -> Array:
    """Over the last axis."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    found: Array = powers / powers.sum(axis=-1, keepdims=True)
    return found


def looked_up(layer: Lookup, tokens: Array) -> Array:
    """The rows of a table for tokens, which are whole numbers. Raises SignalError for any other."""
    if not (np.isfinite(tokens).all() and (tokens == np.floor(tokens)).all()):
        raise SignalError(f"{layer.name} takes tokens, whole numbers, and the input holds others")
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < len(layer.table):
        held = f"{tokens.min():.0f} to {tokens.max():.0f}"
        raise SignalError(f"{layer.name} has the tokens 0 to {len(layer.table) - 1}, and the input holds {held}")
    found: Array = layer.table[tokens.astype(np.int64)]
    return found


def _value(expression: Expr, values: Array) -> Array:
    if expression.op is Op.INPUT:
        return values
    if expression.op is Op.CONSTANT:
        return np.asarray(expression.value, values.dtype)
    return OPERATORS[expression.op](*(_value(part, values) for part in expression.args))
