"""Mistakes with activations: another one, none, or one that only comes near."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from rnntrace.engine.diagnose.case import Entry
from rnntrace.engine.diagnose.catalogue.rewriting import FUNCTIONS, Rewrite, activated, everywhere, rewritten
from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Expr, Op, constant, hard_sigmoid, relu, sigmoid
from rnntrace.equations.notation import UNICODE, formula
from rnntrace.equations.parameters import Role

NAMES = {Op.SIGMOID: "sigmoid", Op.TANH: "tanh", Op.RELU: "relu"}
MATRICES = (Role.INPUT_MATRIX, Role.RECURRENT_MATRIX)
NUMBERS: dict[str, tuple[Op, dict[int, float], str, tuple[str, ...]]] = {
    "elu-1": (Op.ELU, {1: 1.0}, "alpha 1", ("PyTorch", "Keras 3", "ONNX")),
    "leaky-relu-100th": (Op.LEAKY_RELU, {1: 0.01}, "alpha 0.01", ("PyTorch", "ONNX")),
    "leaky-relu-5th": (Op.LEAKY_RELU, {1: 0.2}, "alpha 0.2", ("Keras 3", "TF1")),
    "leaky-relu-third": (Op.LEAKY_RELU, {1: 0.3}, "alpha 0.3", ("Keras LeakyReLU",)),
    "thresholded-relu-1": (Op.THRESHOLDED_RELU, {1: 1.0}, "alpha 1", ("ONNX ThresholdedRelu",)),
    "hard-sigmoid-slope": (Op.HARD_SIGMOID, {1: 0.2}, "the slope 0.2", ("ONNX HardSigmoid",)),
    "hard-sigmoid-offset": (Op.HARD_SIGMOID, {2: 0.5}, "the offset 0.5", ("ONNX HardSigmoid",)),
}
"""Numbers that frameworks give an activation by themselves: the operator, its arguments, what they are, and whose."""
OTHER = "another activation"
"""What is said of one without a name."""
PLAN = ((0.0, 0.5), (1.0, 0.75), (7 / 3, 11 / 12), (5.0, 1.0))
"""Corners of the piecewise linear sigmoid of Amin, Curtis and Hayes-Gill 1997, for positive arguments."""
TABLE = np.arange(-8, 9)
"""Arguments of a table's entries."""

Point = tuple[float, float]
Approximation = Callable[[Expr], Expr]


def activation_mistakes(cell: Cell, kind: str) -> Iterator[Entry]:
    """All of a cell."""
    gates = cell.sigmoids
    hard = {
        "hard-sigmoid-5": (0.2, "0.2·a + 0.5", ("Keras 2", "ONNX HardSigmoid")),
        "hard-sigmoid-6": (1 / 6, "a/6 + 0.5", ("Keras 3",)),
    }
    for name, (slope, line, frameworks) in hard.items() if gates else ():
        yield Entry(
            id=f"{kind}.activation.{name}",
            says=f"the gates were computed with the hard sigmoid, {line} cut off at 0 and 1",
            fix="use the sigmoid 1 / (1 + exp(-a)); in Keras, recurrent_activation='sigmoid'",
            change=rewritten(_of(gates, partial(hard_sigmoid, slope=slope))),
            frameworks=frameworks,
            needs="gates with another activation" if any(part.op is Op.HARD_SIGMOID for part in _parts(cell)) else "",
        )
    if gates:
        yield Entry(
            id=f"{kind}.activation.smooth-sigmoid",
            says="the gates were computed with the sigmoid, where this module has a hard one",
            fix="cut a line off at 0 and 1, as the module does; or set recurrent_activation='sigmoid' in Keras",
            change=rewritten(_of(gates, sigmoid)),
            frameworks=("PyTorch", "Keras 3"),
            needs="gates with a hard sigmoid: weights of Keras or ONNX that have one, or `recurrent_activation`",
        )
    yield from _exchanged(cell, kind)
    yield from _with_other_numbers(cell, kind)
    yield from _approximated(cell, kind)


def _of(symbols: Sequence[str], build: Approximation) -> Rewrite:
    """Steps with another activation, or of a step that has none with one."""

    def rewrite(cell: Cell) -> dict[str, Expr]:
        steps = {step.symbol: step.expression for step in cell.steps if step.symbol in symbols}
        inside = {symbol: activated(expression) for symbol, expression in steps.items()}
        return {symbol: build(inside[symbol] or expression) for symbol, expression in steps.items()}

    return rewrite


def _exchanged(cell: Cell, kind: str) -> Iterator[Entry]:
    for step in cell.steps:
        right, has_one = step.expression.op, activated(step.expression) is not None
        if right not in FUNCTIONS and not any(cell.of(role, step.symbol) for role in MATRICES):
            continue
        called = (NAMES.get(right) or _words(right)) if has_one else "no activation"
        fix = f"use {called} in the {step.role}"
        if called == OTHER:
            fix = f"compute {formula(step, UNICODE, cell.parameters)}"
        for wrong in (op for op in NAMES if op is not right):
            yield Entry(
                id=f"{kind}.activation.{step.symbol}-{NAMES[wrong]}",
                says=f"{NAMES[wrong]} was used where the {step.role} {step.symbol} has {called}",
                fix=fix,
                change=rewritten(_of((step.symbol,), _function(wrong))),
            )
        # A clip that is left out is an entry of its own.
        if has_one and right is not Op.CLIP:
            yield Entry(
                id=f"{kind}.activation.{step.symbol}-none",
                says=f"{'the activation' if called == OTHER else called} was forgotten in the {step.role} {step.symbol}",
                fix=fix,
                change=rewritten(_of((step.symbol,), lambda a: a)),
            )


def _words(op: Op) -> str:
    return str(op).replace("_", " ") if op in (*FUNCTIONS, Op.CLIP) else OTHER


def _function(op: Op) -> Approximation:
    return lambda a: Expr(op, (a,))


def _with_other_numbers(cell: Cell, kind: str) -> Iterator[Entry]:
    """Activations whose numbers were left out, so that a framework took its own."""

    def replaced(op: Op, numbers: Mapping[int, float], part: Expr) -> Expr:
        if part.op is not op:
            return part
        return Expr(op, tuple(constant(numbers[place]) if place in numbers else arg for place, arg in enumerate(part.args)))

    for name, (op, numbers, words, frameworks) in NUMBERS.items():
        own = sorted({tuple(arg.value for arg in part.args[1:]) for part in _parts(cell) if part.op is op})
        new = [tuple(numbers.get(place, number) for place, number in enumerate(values, 1)) for values in own]
        # Gates with both of its numbers are an entry already.
        if own != new and not (op is Op.HARD_SIGMOID and cell.sigmoids and set(new) == {(0.2, 0.5)}):
            called = _words(op)
            right = " and ".join(", ".join(f"{number:g}" for number in values) for values in own)
            yield Entry(
                id=f"{kind}.activation.{name}",
                says=f"{called} was computed with {words}, which is the default of some frameworks",
                fix=f"give {called} the numbers of this module: {right}",
                change=rewritten(everywhere(partial(replaced, op, numbers))),
                frameworks=frameworks,
            )


def _parts(cell: Cell) -> Iterator[Expr]:
    for step in cell.steps:
        yield from step.expression.walk()


def _approximated(cell: Cell, kind: str) -> Iterator[Entry]:
    """Sigmoid and tanh in straight pieces, or read from a table."""
    plan = [*((-a, 1 - y) for a, y in PLAN[:0:-1]), *PLAN]
    forms: dict[str, tuple[dict[Op, Approximation], str]] = {
        "hard": ({Op.TANH: lambda a: clipped(a, 1.0)}, "cut off at -1 and 1 in place of a curve"),
        "piecewise": (_in_pieces(plan), "in straight pieces with corners at 1, 2.33 and 5 (PLAN)"),
        "table": (
            _in_pieces([(float(a), float(1 / (1 + np.exp(-a)))) for a in TABLE], by_table=True),
            "from a table of 17 entries from -8 to 8, in a straight line between two of them",
        ),
    }

    def approximated(by_op: Mapping[Op, Approximation], part: Expr) -> Expr:
        return by_op[part.op](*part.args) if part.op in by_op else part

    used = {part.op for part in _parts(cell)}
    for name, (by_op, how) in forms.items():
        for ops in ((Op.TANH,), (Op.SIGMOID,), (Op.SIGMOID, Op.TANH)):
            if set(ops) <= used and set(ops) <= by_op.keys():
                called = " and ".join(NAMES[op] for op in ops)
                yield Entry(
                    id=f"{kind}.activation.{name}-{'both' if len(ops) > 1 else NAMES[ops[0]]}",
                    says=f"{called} {'were' if len(ops) > 1 else 'was'} computed {how}",
                    fix=f"use the exact {called}, or allow for the difference with `rtol` and `atol`",
                    change=rewritten(everywhere(partial(approximated, {op: by_op[op] for op in ops}))),
                    rare=True,
                )


def _in_pieces(sigmoid: Sequence[Point], *, by_table: bool = False) -> dict[Op, Approximation]:
    """Sigmoid through these points, and tanh: by 2·sigmoid(2a) - 1, or through its own points at the same arguments."""
    tanh = [(a, float(np.tanh(a))) for a, _ in sigmoid] if by_table else [(a / 2, 2 * y - 1) for a, y in sigmoid]
    return {Op.SIGMOID: lambda a: piecewise(a, sigmoid), Op.TANH: lambda a: piecewise(a, tanh)}


def clipped(argument: Expr, limit: float) -> Expr:
    """The argument kept between -limit and limit."""
    return relu(argument + constant(limit)) - relu(argument - constant(limit)) - constant(limit)


def piecewise(argument: Expr, points: Sequence[Point]) -> Expr:
    """Straight lines from point to point, level on either side of them: a sum of ReLUs, one for each corner."""
    slopes = [0.0, *((y - before_y) / (a - before_a) for (before_a, before_y), (a, y) in pairwise(points)), 0.0]
    found = constant(points[0][1])
    for (a, _), (before, behind) in zip(points, pairwise(slopes), strict=True):
        if behind != before:
            found = found + constant(behind - before) * relu(argument - constant(a))
    return found
