"""Other equations in place of a declaration's own: what a mistake changes in them, and nothing else."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

from rnntrace.engine.diagnose.case import Case, Change
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import CURVES, Expr, Op
from rnntrace.errors import SpecError

FUNCTIONS = (*CURVES, Op.EXP)
"""What an activation is made of."""

Rewrite = Callable[[Cell], Mapping[str, Expr]]
"""Other expressions for some steps of a cell, by their symbols."""


def rewritten(rewrite: Rewrite) -> Change:
    """Each direction's cell with steps rewritten that the module declares for it; None where none of them becomes another."""
    of = cache(rewrite)

    def change(case: Case) -> Case | None:
        cells = {direction: with_steps(cell, of(case.spec.cell_of(direction))) for direction, cell in case.cells.items()}
        found = {direction: cell for direction, cell in cells.items() if cell is not None}
        return replace(case, cells=found) if len(found) == len(cells) and found != case.cells else None

    return change


def with_steps(cell: Cell, expressions: Mapping[str, Expr]) -> Cell | None:
    """The cell with these steps; None where they cannot be computed."""
    if not set(expressions) <= set(cell.symbols):
        return None
    new = {symbol: _projected(cell, symbol, expression) for symbol, expression in expressions.items()}
    steps = tuple(Step(step.symbol, step.role, new.get(step.symbol, step.expression)) for step in cell.steps)
    try:
        return cell if steps == cell.steps else replace(cell, steps=tuple(_in_order(steps)))
    except SpecError:
        # A step reads what is computed from it.
        return None


def _projected(cell: Cell, symbol: str, expression: Expr) -> Expr:
    """The expression, projected where the cell projects this step."""
    own = next(step.expression for step in cell.steps if step.symbol == symbol)
    bare = own.op is Op.PROJECTION and expression.op is not Op.PROJECTION
    return Expr(Op.PROJECTION, (expression,)) if bare else expression


def _in_order(steps: Sequence[Step]) -> Iterator[Step]:
    """Each after those that it reads, and else as they stand; those that wait for each other come last."""
    waiting = list(steps)
    while waiting:
        missing = {step.symbol for step in waiting}
        ready = (step for step in waiting if missing.isdisjoint(_read(step)))
        first = next(ready, waiting[0])
        waiting.remove(first)
        yield first


def _read(step: Step) -> set[str]:
    return {leaf.name for leaf in step.expression.walk() if leaf.op is Op.NOW}


def expressions(cell: Cell) -> dict[str, Expr]:
    """By symbol what a step computes, before it is projected."""
    return {
        step.symbol: step.expression.args[0] if step.expression.op is Op.PROJECTION else step.expression for step in cell.steps
    }


def substituted(expr: Expr, others: Mapping[Expr, Expr]) -> Expr:
    """The expression with others for some of its parts."""
    if expr in others:
        return others[expr]
    return replace(expr, args=tuple(substituted(arg, others) for arg in expr.args))


def everywhere(change: Callable[[Expr], Expr]) -> Rewrite:
    """A change of parts of expressions, innermost first, wherever they stand."""

    def rewrite(cell: Cell) -> dict[str, Expr]:
        found = {step.symbol: changed(step.expression, change) for step in cell.steps}
        return {step.symbol: found[step.symbol] for step in cell.steps if found[step.symbol] != step.expression}

    return rewrite


def changed(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The expression with each of its parts changed, innermost first."""
    return change(replace(expr, args=tuple(changed(arg, change) for arg in expr.args)))


def activated(expr: Expr) -> Expr | None:
    """What the outermost activation of an expression is taken of; None where there is none."""
    inside = _unscaled(expr)
    if inside.op in FUNCTIONS or inside.op is Op.CLIP:
        return _unscaled(inside.args[0]) if inside is not expr else inside.args[0]
    # a · σ(a)
    if inside.op is Op.MULTIPLY and inside.args[1].op in FUNCTIONS and inside.args[1].args[0] == inside.args[0]:
        return inside.args[0]
    return inside if inside is not expr else None


def _unscaled(expr: Expr) -> Expr:
    """Without the numbers that it is multiplied by, or added to."""
    while expr.op in (Op.ADD, Op.MULTIPLY) and Op.CONSTANT in (expr.args[0].op, expr.args[1].op):
        expr = expr.args[1] if expr.args[0].op is Op.CONSTANT else expr.args[0]
    return expr
