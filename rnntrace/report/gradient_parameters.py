"""Tables of what parameters, x and initial states get in a backward pass: all steps together, and what each of them adds."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rnntrace.engine.backward.flow import added
from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.engine.backward.norms import back_of
from rnntrace.engine.judge.difference import difference
from rnntrace.equations.adjoint import gradient
from rnntrace.equations.parameters import Parameter
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import LayerDirection
from rnntrace.model.spec import REVERSE
from rnntrace.report.excerpt import excerpt, is_long, part_of
from rnntrace.report.flow import has_flow
from rnntrace.report.select import View, are_selected, numbers_in, selected
from rnntrace.report.table import Column, Scale, Table


def parameter_tables(result: BackwardResult, view: View) -> Iterator[Table]:
    """The gradients of each parameter, and of initial states: a row per gate and unit, with its largest difference."""
    if "parameters" not in view.parts:
        return
    for layer, direction in result.spec.layer_directions:
        for parameter in result.spec.cell_of(direction).parameters:
            array = result.gradients.parameters[layer, direction].arrays.get(parameter.name)
            if array is not None and selected(layer, view.layers):
                yield _parameter(result, (layer, direction), parameter, array)
    for name, values in result.gradients.signals.items():
        if name != "x":
            rows = values.reshape(-1, values.shape[-1])
            index = Column("row", np.arange(len(rows)), Scale.INDEX)
            yield Table(f"∂L/∂{name}", (index, *_numbered(name, rows)))


def _parameter(result: BackwardResult, column: LayerDirection, parameter: Parameter, array: Array) -> Table:
    rows = _rows(parameter, array)
    gates, units = _index(parameter, len(rows))
    columns = [Column("of", gates, Scale.NAME), Column("unit", units, Scale.INDEX), *_numbered(f"∂{parameter.name}", rows)]
    theirs = result.observation.parameters
    theirs_array = None if theirs is None else theirs[column].arrays.get(parameter.name)
    if theirs_array is not None:
        apart = difference(rows, theirs_array.reshape(rows.shape)).max(axis=1)
        out = result.comparison.out_of_tolerance.get((*column, gradient(parameter.name)))
        flags = None if out is None else np.asarray(out.reshape(rows.shape).any(axis=1))
        columns.append(Column("|Δ|", apart, Scale.DIFFERENCE, "values", "difference", flags))
    return Table(f"layer {column[0]} · {column[1]} · ∂L/∂{parameter.name}", tuple(columns))


def added_tables(result: BackwardResult, view: View) -> Iterator[Table]:
    """What each step adds to the gradients of parameters, a row per step, gate and unit."""
    if not has_flow(result, view):
        return
    for layer, direction in result.spec.layer_directions:
        if selected(layer, view.layers):
            back = back_of(result.trace, result.weights, layer, direction)
            every = numbers_in(view.times, np.arange(1, result.inputs.steps + 1))
            every = every if direction == REVERSE else every[::-1]
            size = sum(array.size // array.shape[-1] for array in back.weights.arrays.values())
            at_hand = part_of(len(every), size, ()) if is_long(len(every) * size) else np.arange(len(every))
            steps = result.gradients.steps(layer, direction)
            with np.errstate(all="ignore"):
                found = {int(t): added(back, steps, int(t)) for t in every[at_hand]}
            for parameter in back.cell.parameters:
                if found and parameter.name in back.weights.arrays:
                    yield _added(result, view, (layer, direction), parameter, found, at_hand)


def _added(
    result: BackwardResult,
    view: View,
    column: LayerDirection,
    parameter: Parameter,
    found: Mapping[int, Mapping[str, Array]],
    at_hand: Any,
) -> Table:
    arrays = [_rows(parameter, step[parameter.name]) for step in found.values()]
    gates, units = _index(parameter, len(arrays[0]))
    there = are_selected(units, view.units) if parameter.gates else np.ones(len(units), bool)
    rows, count = np.concatenate([array[there] for array in arrays]), int(there.sum())
    columns = [
        Column("t", np.repeat([*found], count), Scale.INDEX),
        Column("of", np.tile(gates[there], len(arrays)), Scale.NAME),
        Column("unit", np.tile(units[there], len(arrays)), Scale.INDEX),
        *_numbered(f"∂{parameter.name}", rows),
    ]
    title = f"layer {column[0]} · {column[1]} · what each step adds to ∂L/∂{parameter.name}"
    if result.inputs.batch > 1:
        title += ", over all items"
    if result.clipping:
        title += ", before clipping"
    return excerpt(title, columns, at_hand, count, ())


def _rows(parameter: Parameter, array: Array) -> Array:
    """A parameter as rows, one for each gate and unit."""
    return array.reshape(-1, array.shape[-1]) if array.ndim > 2 or not parameter.gates else array.reshape(-1, 1)


def _index(parameter: Parameter, rows: int) -> tuple[Any, Any]:
    """The block and the unit of every row of a parameter."""
    units = rows // max(len(parameter.gates), 1)
    gates = np.repeat([parameter.block(gate) for gate in parameter.gates] or [parameter.name], units).astype(object)
    return gates, np.tile(np.arange(units), max(len(parameter.gates), 1))


def _numbered(name: str, rows: Array) -> Iterator[Column]:
    """The columns of an array of rows."""
    for number in range(rows.shape[1]):
        yield Column(f"[{number}]" if rows.shape[1] > 1 else name, rows[:, number], Scale.SIGNED, "values", "values")
