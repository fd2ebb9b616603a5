"""The backward pass: the adjoint of every layer and direction, from the last layer to the first and from the last step back.

A layer's adjoint is replayed as a cell is; what it gives are gradients of gates and states. Those of parameters are sums over
all steps, one product for each gate.
"""

from collections.abc import Callable, Mapping
from functools import reduce

import numpy as np

from rnntrace.engine.backward.column import Back, Found
from rnntrace.engine.backward.gradients import Gradients
from rnntrace.engine.backward.sums import NOTHING
from rnntrace.engine.judge.rules import Bounded, Format
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.adjoint import Adjoint
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key, LayerDirection
from rnntrace.model.merges import CONCAT
from rnntrace.model.weights import Weights


def backward(
    trace: Trace,
    weights: Weights,
    loss: Mapping[str, Array],
    *,
    known: Mapping[Key, Array] | None = None,
    truncate: int | None = None,
    dtype: np.dtype[np.floating] | None = None,
    rounding: Format | None = None,
    adjoints: Mapping[str, Adjoint] | None = None,
    weigh: Array | None = None,
) -> Gradients:
    """The gradients of a loss by everything in a module, whose forward pass is `trace`, with all its gates and states.

    `loss` is ∂L/∂output (T, B, width) and ∂L/∂ of final states such as h_n (L·D, B, R); what it does not hold is zero. Of the
    gradients that are `known`, every step starts from the given ones, and not from its own. With `truncate` no gradient goes
    back over a step that is a multiple of it, as if the states were detached there. `dtype` is the format to compute in, by
    default that of a replay; with `rounding` there are bounds too. `adjoints`, by direction, stand in place of those of the
    cells, and `weigh` (T,) says how much each step adds to the gradients of parameters, by default 1.
    Steps that are masked hand gradients on as they are.
    """
    spec, inputs = trace.spec, trace.inputs
    dtype = np.dtype(dtype or spec.precision.replay)
    columns: dict[LayerDirection, Found] = {}
    nothing = np.zeros((inputs.steps, inputs.batch, spec.width), dtype)
    of_output = Bounded(loss.get("output", nothing).astype(dtype, copy=False), NOTHING)
    with np.errstate(all="ignore"):
        for layer in reversed(range(spec.num_layers)):
            x = inputs.x if layer == 0 else trace.hidden(layer - 1)
            below = []
            for direction, share in _shares(trace, layer, of_output).items():
                row = spec.layer_directions.index((layer, direction))
                ends = {state: loss[f"{state}_n"][row] for state in spec.cell.states if f"{state}_n" in loss}
                own = {symbol: array for (*of, symbol), array in (known or {}).items() if (*of,) == (layer, direction)}
                back = Back(trace, weights, layer, direction, x, dtype, (adjoints or {}).get(direction), weigh)
                found = back.run(share, ends, own, truncate, rounding)
                columns[layer, direction] = found
                below.append(Bounded(found.x, NOTHING if found.bounds is None else found.bounds.x))
            of_output = reduce(_sum, below)
    return _joined(trace, columns, of_output)


def _sum(a: Bounded, b: Bounded) -> Bounded:
    return Bounded(a.value + b.value, a.error + b.error)


def _joined(trace: Trace, found: Mapping[LayerDirection, Found], of_x: Bounded) -> Gradients:
    """What was found in every layer and direction, together."""
    spec = trace.spec

    def gradients(parts: Mapping[LayerDirection, Found], of_x: Array, bounds: Gradients | None) -> Gradients:
        rows = [parts[column].initial for column in spec.layer_directions]
        return Gradients(
            spec,
            {(*column, symbol): array for column, part in parts.items() for symbol, array in part.steps.items()},
            Weights({column: parts[column].parameters for column in spec.layer_directions}),
            {"x": of_x, **{f"{state}0": np.stack([row[state] for row in rows]) for state in spec.cell.states}},
            {column: part.entering for column, part in parts.items()},
            bounds,
        )

    errors = {column: part.bounds for column, part in found.items() if part.bounds is not None}
    return gradients(found, of_x.value, gradients(errors, of_x.error, None) if errors else None)


def _shares(trace: Trace, layer: int, of_output: Bounded) -> dict[str, Bounded]:
    """The gradient of each direction's own output, from that of a layer's output (T, B, width); 0 where no step exists."""
    spec, valid = trace.spec, trace.inputs.valid

    def of(values: Array) -> Callable[[Array], Array]:
        return lambda array: array * values if array.ndim else array

    def halved(half: slice) -> Callable[[Array], Array]:
        return lambda array: array[..., half] if array.ndim else array

    each: dict[str, Callable[[Array], Array]] = dict.fromkeys(spec.directions, lambda array: array)
    if len(spec.directions) > 1:
        merge, (forward, reverse), half = spec.merge_of(layer), spec.directions, of_output.value.shape[2] // 2
        if merge == CONCAT:
            each = {forward: halved(slice(half)), reverse: halved(slice(half, None))}
        elif merge == "mul":
            h = {
                direction: _existing(trace.columns[layer, direction, spec.cell.output], valid) for direction in spec.directions
            }
            each = {forward: of(h[reverse]), reverse: of(h[forward])}
        elif merge == "ave":
            each = dict.fromkeys(spec.directions, of(np.array(0.5, of_output.value.dtype)))
    value, error = _existing(of_output.value, valid), of_output.error
    return {direction: Bounded(share(value), np.abs(share(error))) for direction, share in each.items()}


def _existing(values: Array, valid: Flags | None) -> Array:
    """The values, and 0 at steps that do not exist."""
    return values if valid is None else np.where(valid[..., None], values, values.dtype.type(0))
