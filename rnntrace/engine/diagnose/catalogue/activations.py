"""Mistakes with activations: another one, none, or one that only comes near."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from rnntrace.engine.diagnose.case import Case, Change, Entry
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import Expr, Op, constant, hard_sigmoid, relu, sigmoid
from rnntrace.errors import SpecError

NAMES = {Op.SIGMOID: "sigmoid", Op.TANH: "tanh", Op.RELU: "relu"}
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
            change=with_steps(
                cell,
                **{step.symbol: hard_sigmoid(step.expression.args[0], slope) for step in cell.steps if step.symbol in gates},
            ),
            frameworks=frameworks,
        )
    if gates:
        yield Entry(
            id=f"{kind}.activation.smooth-sigmoid",
            says="the gates were computed with the sigmoid, where this module has a hard one",
            fix="cut a line off at 0 and 1, as the module does; or set recurrent_activation='sigmoid' in Keras",
            change=with_steps(
                cell, **{step.symbol: sigmoid(step.expression.args[0]) for step in cell.steps if step.symbol in gates}
            ),
            frameworks=("PyTorch", "Keras 3"),
            needs="gates with a hard sigmoid: weights of Keras or ONNX that have one, or `recurrent_activation`",
        )
    for step in cell.steps:
        right = step.expression.op
        if right not in NAMES:
            continue
        argument = step.expression.args[0]
        for wrong in (op for op in NAMES if op is not right):
            yield Entry(
                id=f"{kind}.activation.{step.symbol}-{NAMES[wrong]}",
                says=f"{NAMES[wrong]} was used where the {step.role} {step.symbol} has {NAMES[right]}",
                fix=f"use {NAMES[right]} in the {step.role}",
                change=with_steps(cell, **{step.symbol: Expr(wrong, (argument,))}),
            )
        yield Entry(
            id=f"{kind}.activation.{step.symbol}-none",
            says=f"{NAMES[right]} was forgotten in the {step.role} {step.symbol}",
            fix=f"use {NAMES[right]} in the {step.role}",
            change=with_steps(cell, **{step.symbol: argument}),
        )
    yield from _approximated(cell, kind)


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
    used = {part.op for step in cell.steps for part in step.expression.walk()}
    for name, (by_op, how) in forms.items():
        for ops in ((Op.TANH,), (Op.SIGMOID,), (Op.SIGMOID, Op.TANH)):
            steps = {
                step.symbol: _replaced(step.expression, {op: by_op[op] for op in ops if op in by_op}) for step in cell.steps
            }
            changed = {step.symbol: steps[step.symbol] for step in cell.steps if steps[step.symbol] != step.expression}
            used = {part.op for step in cell.steps for part in step.expression.walk()}
            if set(ops) <= used and set(ops) <= by_op.keys():
                called = " and ".join(NAMES[op] for op in ops)
                yield Entry(
                    id=f"{kind}.activation.{name}-{'both' if len(ops) > 1 else NAMES[ops[0]]}",
                    says=f"{called} {'were' if len(ops) > 1 else 'was'} computed {how}",
                    fix=f"use the exact {called}, or allow for the difference with `rtol` and `atol`",
                    change=with_steps(cell, **changed),
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


def _replaced(expr: Expr, others: dict[Op, Approximation]) -> Expr:
    """The expression with other functions for some operators."""
    args = tuple(_replaced(arg, others) for arg in expr.args)
    return others[expr.op](*args) if expr.op in others else replace(expr, args=args)


def with_steps(cell: Cell, **steps: Expr) -> Change:
    """The case's own cell with these steps replaced; None where they are what the cell does already."""

    def change(case: Case) -> Case | None:
        if any(step.symbol not in case.cell.symbols for step in cell.steps):
            return None
        new = {symbol: _projected(case.cell, symbol, expression) for symbol, expression in steps.items()}
        written = tuple(Step(step.symbol, step.role, new.get(step.symbol, step.expression)) for step in case.cell.steps)
        try:
            return None if written == case.cell.steps else replace(case, cell=replace(case.cell, steps=written))
        except SpecError:
            # The cell computes in another order, or has not what these steps read.
            return None

    return change


def _projected(cell: Cell, symbol: str, expression: Expr) -> Expr:
    """The expression, projected where the cell projects this step."""
    own = next(step.expression for step in cell.steps if step.symbol == symbol)
    bare = own.op is Op.PROJECTION and expression.op is not Op.PROJECTION
    return Expr(Op.PROJECTION, (expression,)) if bare else expression
