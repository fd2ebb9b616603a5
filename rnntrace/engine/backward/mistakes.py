"""The catalogue of mistakes that people make in a backward pass written by hand."""

from functools import cache

from rnntrace.engine.backward.calculation import GradientMistake
from rnntrace.engine.backward.chain_mistakes import flow_mistakes, slope_mistakes, step_mistakes
from rnntrace.engine.backward.sum_mistakes import order_mistakes, sum_mistakes
from rnntrace.equations.adjoint import adjoint
from rnntrace.equations.cell import Cell


@cache
def gradient_mistakes(cell: Cell) -> tuple[GradientMistake, ...]:
    """Every one that can be made with a cell: what changes nothing in its adjoint is none."""
    of_equations = [
        mistake
        for mistake in (*flow_mistakes(cell), *slope_mistakes(cell), *step_mistakes(cell))
        if mistake.changes(adjoint(cell))
    ]
    return (*of_equations, *sum_mistakes(cell), *order_mistakes(cell))
