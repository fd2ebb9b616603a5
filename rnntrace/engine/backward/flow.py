"""The sums of a backward pass taken apart: where each gradient comes from, and what each step adds to that of a parameter."""

from collections.abc import Iterator, Mapping

import numpy as np

from rnntrace.engine.backward.column import Back
from rnntrace.engine.backward.gradients import Gradients
from rnntrace.engine.backward.norms import back_of
from rnntrace.engine.backward.sums import Sums
from rnntrace.engine.replay.evaluate import Scope, evaluate
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.adjoint import OUTPUT, handed_on
from rnntrace.equations.expression import Expr, Op
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import LayerDirection
from rnntrace.model.masks import latest
from rnntrace.model.spec import REVERSE
from rnntrace.model.weights import Weights

Parts = dict[str, Array]
"""The parts of one gradient, (T, B, ·) in float64, by the gradient that each comes of."""


def parts_of(
    trace: Trace,
    weights: Weights,
    gradients: Gradients,
    loss: Mapping[str, Array],
    column: LayerDirection,
    truncate: int | None = None,
) -> dict[str, Parts]:
    """The parts of every gradient of a layer and direction that is a sum, by its symbol in the adjoint.

    What comes back from the step after is called as that step hands it on, `∂h.before`; what comes from outside or from the
    layer above `∂output`.
    """
    back = back_of(trace, weights, *column)
    scope = Scope(back.adjoint.cell, back.weights)
    now = {**back.given, **gradients.steps(*column), OUTPUT: gradients.entering[column]}
    before = {handed_on(state): came for state, came in handed_back(trace, gradients, loss, column, truncate).items()}
    scope.enter(back.x, scope.input_terms(back.x), now, before)
    sources = {OUTPUT, *back.adjoint.cell.symbols}
    found: dict[str, Parts] = {}
    with np.errstate(all="ignore"):
        for step in back.adjoint.cell.steps:
            summands = [*_summands(step.expression)]
            for summand in summands if len(summands) > 1 else ():
                source, parts = _source(summand, sources), found.setdefault(step.symbol, {})
                value = np.asarray(evaluate(summand, scope), np.float64)
                parts[source] = parts[source] + value if source in parts else value
    return found


def added(back: Back, steps: Mapping[str, Array], t: int) -> Mapping[str, Array]:
    """What step t adds to the gradient of every parameter: the sum over all items, before any clipping."""
    at = slice(t - 1, t)
    valid = None if back.valid is None else back.valid[at]
    given, here = ({name: array[at] for name, array in arrays.items()} for arrays in (back.given, steps))
    sums = Sums(back.cell, back.weights, back.x[at], valid, given, {}, here, None, None, None)
    for term in back.adjoint.terms:
        sums.add(term)
    return sums.values


def handed_back(
    trace: Trace, gradients: Gradients, loss: Mapping[str, Array], column: LayerDirection, truncate: int | None = None
) -> dict[str, Array]:
    """What comes back to each state from the step after, (T, B, ·), by state.

    Behind the last step of an item it is what the loss has of the final state, and over a cut, at a step that is a multiple of
    `truncate` in the direction's order, nothing.
    """
    spec, inputs = trace.spec, trace.inputs
    rows, there = _rows_after(trace, column[1], truncate)
    items = np.arange(inputs.batch)
    found = {}
    for state in spec.cell.states:
        handed = gradients.columns[*column, handed_on(state)]
        end = loss.get(f"{state}_n")
        last = handed.dtype.type(0) if end is None else end[spec.layer_directions.index(column)]
        came = np.where((rows >= 0)[..., None], handed[rows, items], last)
        found[state] = np.where(there[..., None], came, handed.dtype.type(0))
    return found


def _rows_after(trace: Trace, direction: str, truncate: int | None) -> tuple[Array, Array]:
    """The row of the step after that counts, (T, B), negative where there is none; and whether anything comes back from it."""
    inputs = trace.inputs
    valid = np.ones((inputs.steps, inputs.batch), bool) if inputs.valid is None else inputs.valid
    # Backwards in the direction's order the step after is the one before.
    order = slice(None, None, 1 if direction == REVERSE else -1)
    before = np.full(valid.shape, -1)
    before[1:] = latest(valid[order])[:-1]
    rows = np.where(before < 0, -1, before if direction == REVERSE else inputs.steps - 1 - before)[order]
    if not truncate:
        return rows, np.ones(valid.shape, bool)
    own = np.arange(inputs.steps)[:, None]
    first = inputs.steps - 1 if direction == REVERSE else 0
    return rows, (rows < 0) | (abs(rows - first) // truncate == abs(own - first) // truncate)


def _summands(expr: Expr) -> Iterator[Expr]:
    if expr.op is Op.ADD:
        for arg in expr.args:
            yield from _summands(arg)
    else:
        yield expr


def _source(summand: Expr, sources: set[str]) -> str:
    """The gradient that a part comes of: the first that it reads."""
    return next(part.name for part in summand.walk() if part.name in sources and part.op in (Op.NOW, Op.BEFORE))
