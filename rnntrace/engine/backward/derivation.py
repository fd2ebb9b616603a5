"""One gradient, derived from the chain rule with the numbers put in: an adjoint is a cell, and is derived as one is."""

from collections.abc import Mapping
from dataclasses import replace

from rnntrace.engine.backward.flow import handed_back
from rnntrace.engine.backward.gradients import Gradients
from rnntrace.engine.derivation import Position, Scene, forward_values, step_before
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.adjoint import OUTPUT, adjoint, written
from rnntrace.equations.cell import Step
from rnntrace.equations.expression import Expr
from rnntrace.model.dtypes import Array
from rnntrace.model.spec import FORWARD, REVERSE
from rnntrace.model.weights import Weights


def step_after(trace: Trace, position: Position, truncate: int | None = None) -> int:
    """The t that hands back to this step: t + 1, in the reverse direction t - 1, and 0 where the sequence ends.

    It is 0 too where gradients are truncated in between, at steps that are a multiple of `truncate` in the direction's order.
    """
    forward = position.direction == FORWARD
    after = step_before(trace, replace(position, direction=REVERSE if forward else FORWARD))
    first = 1 if forward else trace.inputs.steps
    if after and truncate and abs(after - first) // truncate != abs(position.t - first) // truncate:
        return 0
    return after


def scene_of(
    trace: Trace,
    gradients: Gradients,
    weights: Weights,
    loss: Mapping[str, Array],
    position: Position,
    truncate: int | None = None,
) -> tuple[Scene, list[tuple[Expr, Step]]]:
    """What can be read at a position of a backward pass, and the equations with their left sides, as `written` names them."""
    spec, column = trace.spec, (position.layer, position.direction)
    found = adjoint(spec.cell_of(position.direction))
    row, item = position.t - 1, position.item
    x, now, before, before_t = forward_values(trace, position)
    now |= {symbol: gradients.columns[*column, symbol][row, item] for symbol in found.cell.symbols}
    now |= {f"∂a_{symbol[1:-4]}": now[symbol] for symbol in found.cell.symbols if symbol.endswith(".pre")}
    now[OUTPUT] = gradients.entering[column][row, item]
    for state, came in handed_back(trace, gradients, loss, column, truncate).items():
        now[f"δ{state}"] = came[row, item]
    return Scene(found.cell, weights[column], position, before_t, x, now, before), list(written(found))
