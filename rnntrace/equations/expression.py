"""Expressions: the operators in which every cell is declared.

The leaves are the input x, a quantity of this step, a state of the step before, a constant, and the terms that read parameters:

- `input_term(g)`         W_ig·x_t + b_ig
- `recurrent_term(g, v)`  W_hg·v + b_hg
- `diagonal(g, v)`        p_g ⊙ v
- `gain(g, v)`            γ_g ⊙ v
- `shift(g)`              β_g
- `projection(v)`         W_hr·v
- `transposed(g, v)`      W_hgᵀ·v, and W_hrᵀ·v where no gate is named: what a gradient goes back by

The names are those that parameters have if a cell does not declare others.

Keeping the terms whole lets the engine compute all input terms of a sequence in one matrix product, while a formula still
prints gate by gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Op(StrEnum):
    """The operators. Every table keyed by operator (evaluation, spelling) covers these and no others."""

    INPUT = "input"
    NOW = "now"
    BEFORE = "before"
    CONSTANT = "constant"
    INPUT_TERM = "input term"
    RECURRENT_TERM = "recurrent term"
    DIAGONAL = "diagonal"
    GAIN = "gain"
    SHIFT = "shift"
    PROJECTION = "projection"
    TRANSPOSED = "transposed"
    ADD = "add"
    SUBTRACT = "subtract"
    MULTIPLY = "multiply"
    DIVIDE = "divide"
    NEGATE = "negate"
    ABS = "abs"
    EXP = "exp"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"
    CLIP = "clip"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    RELU = "relu"
    HARD_SIGMOID = "hard_sigmoid"
    SOFTPLUS = "softplus"
    SOFTSIGN = "softsign"
    ELU = "elu"
    LEAKY_RELU = "leaky_relu"
    THRESHOLDED_RELU = "thresholded_relu"
    LAYER_NORM = "layer_norm"
    STEP = "step"
    NORM_SLOPE = "norm_slope"


ARGUMENTS = {
    **dict.fromkeys((Op.INPUT, Op.NOW, Op.BEFORE, Op.CONSTANT, Op.INPUT_TERM, Op.SHIFT), 0),
    **dict.fromkeys((Op.ADD, Op.SUBTRACT, Op.MULTIPLY, Op.DIVIDE, Op.MAXIMUM, Op.MINIMUM, Op.NORM_SLOPE), 2),
    **dict.fromkeys((Op.ELU, Op.LEAKY_RELU, Op.THRESHOLDED_RELU), 2),
    **dict.fromkeys((Op.CLIP, Op.HARD_SIGMOID), 3),
}
"""How many an operator takes; the others take one."""
CURVES = (
    *(Op.SIGMOID, Op.TANH, Op.RELU, Op.HARD_SIGMOID, Op.SOFTPLUS, Op.SOFTSIGN),
    *(Op.ELU, Op.LEAKY_RELU, Op.THRESHOLDED_RELU),
)
"""The activations: curves of one argument; what else they take are numbers."""


@dataclass(frozen=True, slots=True)
class Expr:
    """An operator applied to arguments; `name` is the symbol or gate of a leaf, `value` that of a constant."""

    op: Op
    args: tuple[Expr, ...] = ()
    name: str = ""
    value: float = 0.0

    def __add__(self, other: Expr) -> Expr:
        return Expr(Op.ADD, (self, other))

    def __sub__(self, other: Expr) -> Expr:
        return Expr(Op.SUBTRACT, (self, other))

    def __rsub__(self, number: float) -> Expr:
        return Expr(Op.SUBTRACT, (constant(number), self))

    def __mul__(self, other: Expr) -> Expr:
        return Expr(Op.MULTIPLY, (self, other))

    def __truediv__(self, other: Expr) -> Expr:
        return Expr(Op.DIVIDE, (self, other))

    def __neg__(self) -> Expr:
        return Expr(Op.NEGATE, (self,))

    def walk(self) -> Iterator[Expr]:
        """Yield this expression and everything inside it, outermost first."""
        yield self
        for arg in self.args:
            yield from arg.walk()


def now(symbol: str) -> Expr:
    """The gate or state `symbol` at this step, t."""
    return Expr(Op.NOW, name=symbol)


def before(symbol: str) -> Expr:
    """The state `symbol` at the step before, t - 1; at t = 1 it is the initial state."""
    return Expr(Op.BEFORE, name=symbol)


def constant(value: float) -> Expr:
    """A number."""
    return Expr(Op.CONSTANT, value=value)


def input_() -> Expr:
    """x_t unit by unit, where it is no matrix's."""
    return Expr(Op.INPUT)


def input_term(gate: str) -> Expr:
    """W_ig·x_t + b_ig for the gate g."""
    return Expr(Op.INPUT_TERM, name=gate)


def recurrent_term(gate: str, argument: Expr) -> Expr:
    """W_hg·argument + b_hg for the gate g."""
    return Expr(Op.RECURRENT_TERM, (argument,), name=gate)


def diagonal(gate: str, argument: Expr) -> Expr:
    """p_g ⊙ argument for the gate g: a weight for each unit, as in peepholes."""
    return Expr(Op.DIAGONAL, (argument,), name=gate)


def gain(gate: str, argument: Expr) -> Expr:
    """γ_g ⊙ argument for the gate g: what a layer norm is scaled by."""
    return Expr(Op.GAIN, (argument,), name=gate)


def shift(gate: str) -> Expr:
    """β_g for the gate g: a vector that stands by itself and is no bias of a term."""
    return Expr(Op.SHIFT, name=gate)


def projection(argument: Expr) -> Expr:
    """W_hr·argument, from hidden_size to proj_size."""
    return Expr(Op.PROJECTION, (argument,))


def transposed(gate: str, argument: Expr) -> Expr:
    """W_hgᵀ·argument for the gate g; W_hrᵀ·argument, of a projection, where the gate has no name."""
    return Expr(Op.TRANSPOSED, (argument,), name=gate)


def sigmoid(argument: Expr) -> Expr:
    """1 / (1 + exp(-argument))."""
    return Expr(Op.SIGMOID, (argument,))


def tanh(argument: Expr) -> Expr:
    """The hyperbolic tangent."""
    return Expr(Op.TANH, (argument,))


def relu(argument: Expr) -> Expr:
    """max(0, argument)."""
    return Expr(Op.RELU, (argument,))


def hard_sigmoid(argument: Expr, slope: float, offset: float = 0.5) -> Expr:
    """min(max(slope · argument + offset, 0), 1): a line for the sigmoid, cut off at both ends."""
    return Expr(Op.HARD_SIGMOID, (argument, constant(slope), constant(offset)))


def clip(argument: Expr, low: float, high: float) -> Expr:
    """min(max(argument, low), high)."""
    return Expr(Op.CLIP, (argument, constant(low), constant(high)))


def exp(argument: Expr) -> Expr:
    """e to the power of the argument."""
    return Expr(Op.EXP, (argument,))


def softplus(argument: Expr) -> Expr:
    """log(1 + exp(argument))."""
    return Expr(Op.SOFTPLUS, (argument,))


def softsign(argument: Expr) -> Expr:
    """argument / (1 + |argument|)."""
    return Expr(Op.SOFTSIGN, (argument,))


def elu(argument: Expr, alpha: float = 1.0) -> Expr:
    """The argument where it is above 0, and alpha · (exp(argument) - 1) elsewhere."""
    return Expr(Op.ELU, (argument, constant(alpha)))


def leaky_relu(argument: Expr, alpha: float = 0.01) -> Expr:
    """The argument where it is above 0, and alpha · argument elsewhere."""
    return Expr(Op.LEAKY_RELU, (argument, constant(alpha)))


def thresholded_relu(argument: Expr, alpha: float = 1.0) -> Expr:
    """The argument where it is above alpha, and 0 elsewhere."""
    return Expr(Op.THRESHOLDED_RELU, (argument, constant(alpha)))


def layer_norm(argument: Expr) -> Expr:
    """(argument - mean) / √(variance + 1e-5), over all units of a step; the variance is that of the population."""
    return Expr(Op.LAYER_NORM, (argument,))


def step(argument: Expr) -> Expr:
    """1 where the argument is above 0, and 0 elsewhere: the slope of a ReLU."""
    return Expr(Op.STEP, (argument,))


def norm_slope(gradient: Expr, argument: Expr) -> Expr:
    """The gradient of a layer norm's argument, from the gradient d of its value y.

    It is (d - mean(d) - y · mean(d · y)) / √(variance + 1e-5).
    """
    return Expr(Op.NORM_SLOPE, (gradient, argument))
