"""Expressions: the operators in which every cell is declared.

The leaves are a quantity of this step, a state of the step before, a constant, and the terms that read parameters:

- `input_term(g)`         W_ig·x_t + b_ig
- `recurrent_term(g, v)`  W_hg·v + b_hg
- `diagonal(g, v)`        p_g ⊙ v
- `projection(v)`         W_hr·v

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

    NOW = "now"
    BEFORE = "before"
    CONSTANT = "constant"
    INPUT_TERM = "input term"
    RECURRENT_TERM = "recurrent term"
    DIAGONAL = "diagonal"
    PROJECTION = "projection"
    ADD = "add"
    SUBTRACT = "subtract"
    MULTIPLY = "multiply"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    RELU = "relu"
    HARD_SIGMOID = "hard_sigmoid"


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


def input_term(gate: str) -> Expr:
    """W_ig·x_t + b_ig for the gate g."""
    return Expr(Op.INPUT_TERM, name=gate)


def recurrent_term(gate: str, argument: Expr) -> Expr:
    """W_hg·argument + b_hg for the gate g."""
    return Expr(Op.RECURRENT_TERM, (argument,), name=gate)


def diagonal(gate: str, argument: Expr) -> Expr:
    """p_g ⊙ argument for the gate g: a weight for each unit, as in peepholes."""
    return Expr(Op.DIAGONAL, (argument,), name=gate)


def projection(argument: Expr) -> Expr:
    """W_hr·argument, from hidden_size to proj_size."""
    return Expr(Op.PROJECTION, (argument,))


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
