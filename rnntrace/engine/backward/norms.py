"""Norms over time: what each step adds to a parameter's gradient, what of the first state reaches each step, and why.

A change of the state behind the first step reaches step t through the product of the Jacobians of all steps in between. Where
its norm falls off, gradients vanish on their way back, and where it grows they explode (Pascanu, Mikolov & Bengio 2013). A step
hands a state on in two ways: unit by unit, as c = f ⊙ c₋₁ + … does, and through the recurrent weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnntrace.engine.backward.column import Back
from rnntrace.engine.backward.gradients import Gradients
from rnntrace.engine.replay.evaluate import Scope, evaluate
from rnntrace.engine.replay.replay import Column
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.adjoint import OUTPUT, gradient, handed_on, pre_activation
from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Expr, Op
from rnntrace.equations.parameters import Role
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import LayerDirection
from rnntrace.model.spec import FORWARD
from rnntrace.model.weights import Weights

FLOAT64 = np.dtype(np.float64)
MOST = 2**31
"""Multiplications that products of Jacobians may take: a fraction of a second."""
AT_ONCE = 2**21
"""So many numbers of Jacobians are held at once."""


@dataclass(frozen=True)
class Norms:
    """Those of one layer and direction, at each step (T,).

    `gradients` are ‖∂L/∂s_t‖ of each state s over all items and units, `reach` ‖∂s_t/∂s_1‖, None where that would take long,
    and `parameters` ‖what step t adds‖ to the gradient of each parameter, before any clipping.
    """

    gradients: dict[str, Array]
    reach: dict[str, Array] | None
    parameters: dict[str, Array]


def norms_of(trace: Trace, weights: Weights, gradients: Gradients) -> dict[LayerDirection, Norms]:
    """The norms of a backward pass, by layer and direction."""
    found = {}
    for column in trace.spec.layer_directions:
        back = back_of(trace, weights, *column)
        with np.errstate(all="ignore"):
            added = back.sums(gradients.steps(*column)).norms(back.adjoint.terms)
        of_states = {state: gradients.norms(state, *column) for state in back.cell.states}
        found[column] = Norms(of_states, reach(trace, weights, *column), added)
    return found


def back_of(trace: Trace, weights: Weights, layer: int, direction: str) -> Back:
    """A layer in one direction, as a backward pass in float64 goes through it."""
    x = trace.inputs.x if layer == 0 else trace.hidden(layer - 1)
    return Back(trace, weights, layer, direction, x, FLOAT64)


def reach(trace: Trace, weights: Weights, layer: int, direction: str) -> dict[str, Array] | None:
    """By state s, ‖∂s_t/∂s_1‖ at each step, (T,): spectral norms of the product of the steps' Jacobians, in float64.

    A norm is by how much the change of s behind an item's first step that grows most has grown at step t. It is that of the
    item where it is largest, 1 at the first step, and NaN where no item has such a step. A reverse direction begins at its own
    first step, the last of the input. What is above the range of float64 is inf. Where that would take long there is nothing.
    """
    cell = trace.spec.cell_of(direction)
    sizes = [trace.spec.size_of(state) for state in cell.states]
    total, (steps, batch) = sum(sizes), trace.inputs.x.shape[:2]
    weighed = sum(array.size for array in weights[layer, direction].arrays.values() if array.ndim > 1)
    if steps * batch * (total * weighed + 4 * total**3) > MOST:
        return None
    back = back_of(trace, weights, layer, direction)
    blocks = np.split(np.arange(total), np.cumsum(sizes)[:-1])
    found = {state: np.full((steps, batch), np.nan) for state in cell.states}
    product = np.broadcast_to(np.eye(total), (batch, total, total)).copy()
    scale, begun = np.zeros((batch, 1, 1), int), np.zeros(batch, bool)
    valid = np.ones((steps, batch), bool) if back.valid is None else back.valid
    with np.errstate(all="ignore"):
        for t, jacobian in _jacobians(back, direction, total):
            there = valid[t]
            onward = there & begun
            product[onward] = jacobian[onward] @ product[onward]
            # Products leave the range of float64 long before their ratio does: powers of two are kept apart.
            _, exponent = np.frexp(np.abs(product).max(axis=(1, 2), keepdims=True))
            product, scale = np.ldexp(product, -exponent), scale + exponent
            for state, block in zip(cell.states, blocks, strict=True):
                norms = np.ldexp(_spectral(product[:, block[:, None], block]), scale[:, 0, 0])
                found[state][t, there] = norms[there]
            begun |= there
    return {state: _largest(norms) for state, norms in found.items()}


def _jacobians(back: Back, direction: str, total: int) -> Iterator[tuple[int, Array]]:
    """(t, Jacobian of each item's states by those before), (B, S, S), in the order of the forward pass.

    The rows are what the adjoint hands on from a gradient that is 1 for one unit of one state: all steps and units at once.
    """
    cell, (steps, batch) = back.adjoint.cell, back.x.shape[:2]
    length = max(AT_ONCE // (batch * total * total), 1)
    pieces = [slice(first, min(first + length, steps)) for first in range(0, steps, length)]
    for piece in pieces if direction == FORWARD else pieces[::-1]:

        def rows(values: Array, piece: slice = piece) -> Array:
            """Those of the piece, each once for every unit of a state, as items of one step."""
            each = np.nan_to_num(values[piece]) if back.valid is not None else values[piece]
            return np.repeat(each.reshape(-1, values.shape[2]), total, axis=0)[None]

        column = Column(back.spec, cell, back.weights, rows(back.x), None, FORWARD, FLOAT64, keep=())
        for name, values in back.given.items():
            column.give(name, rows(values))
        column.give(OUTPUT, np.zeros((1, column.batch, back.given[back.cell.output].shape[2])))
        units, first = np.tile(np.eye(total), (column.batch // total, 1)), 0
        for state in back.cell.states:
            last = first + back.given[state].shape[2]
            column.start(handed_on(state), units[:, first:last], None)
            first = last
        column.run()
        found = np.concatenate([column.now[handed_on(state)][0] for state in back.cell.states], axis=1)
        jacobians = found.reshape(-1, batch, total, total)
        order = range(len(jacobians)) if direction == FORWARD else reversed(range(len(jacobians)))
        yield from ((piece.start + t, jacobians[t]) for t in order)


def _spectral(matrices: Array) -> Array:
    """The largest singular value of each matrix, NaN where one is not finite."""
    finite = np.asarray(np.isfinite(matrices).all(axis=(1, 2)))
    found: Array = np.linalg.norm(np.where(finite[:, None, None], matrices, 0), ord=2, axis=(1, 2))
    return np.where(finite, found, np.nan)


def _largest(norms: Array) -> Array:
    """Over the items, (T, B) to (T,); a NaN counts only where there is nothing else."""
    found: Array = np.fmax.reduce(norms, axis=1)
    return found


@dataclass(frozen=True)
class Way:
    """How a step hands gradients on to the one before.

    Unit by unit: `state` is multiplied by `factor`, an expression of the forward pass, whose size is `mean` over steps, items
    and units. Or through the recurrent block of a `gate`: `radius` is the spectral radius of its matrix, or the largest weight
    where there is one for each unit, and `mean` that of the activation's slope.
    """

    mean: float
    state: str = ""
    factor: Expr | None = None
    gate: str = ""
    radius: float = 0.0


def ways(trace: Trace, weights: Weights, column: LayerDirection) -> tuple[Way, ...]:
    """All of them, of one layer and direction: those unit by unit first."""
    back = back_of(trace, weights, *column)
    scope = Scope(back.cell, back.weights)
    scope.enter(back.x, scope.input_terms(back.x), dict(back.given), {})

    def mean(factor: Expr) -> float:
        size = np.abs(evaluate(factor, scope))
        return float(np.nanmean(size)) if np.isfinite(size).any() else float("nan")

    direct = [
        Way(mean(factor), state, factor)
        for state in back.cell.states
        for factor in _factors(back.adjoint.cell, handed_on(state), gradient(state))
    ]
    through = []
    for gate in back.cell.gates:
        W = back.weights.block(back.cell, Role.RECURRENT_MATRIX, gate)
        u = None if W is not None else back.weights.block(back.cell, Role.DIAGONAL, gate)
        slopes = [*_factors(back.adjoint.cell, pre_activation(gate), gradient(gate))]
        if slopes and W is not None and W.shape[0] == W.shape[1]:
            through.append(Way(mean(slopes[0]), gate=gate, radius=_radius(W)))
        elif slopes and u is not None:
            through.append(Way(mean(slopes[0]), gate=gate, radius=float(np.abs(u).max())))
    return (*direct, *through)


def _radius(W: Any) -> float:
    """The largest absolute value of an eigenvalue."""
    return float(np.abs(np.linalg.eigvals(W)).max()) if np.isfinite(W).all() else float("nan")


def _factors(adjoint: Cell, of: str, source: str) -> Iterator[Expr]:
    """What a gradient is multiplied by, unit by unit, on its way into another of the same step."""
    for step in adjoint.steps:
        if step.symbol == of:
            yield from (part.args[1] for part in _parts(step.expression) if _is_of(part, source))


def _is_of(part: Expr, source: str) -> bool:
    return part.op is Op.MULTIPLY and part.args[0].op is Op.NOW and part.args[0].name == source


def _parts(expr: Expr) -> Iterator[Expr]:
    """The terms of a sum."""
    if expr.op is Op.ADD:
        for arg in expr.args:
            yield from _parts(arg)
    else:
        yield expr
