"""The tables of what a module is given, has and gives: its input, weights and outputs."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.judge.result import Result
from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Op
from rnntrace.equations.parameters import TERMS, Role
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.merges import LAST_OUTPUT
from rnntrace.model.weights import LayerWeights
from rnntrace.report.beside import Pair, differences, marked
from rnntrace.report.excerpt import excerpt, far_apart, is_long, part_of
from rnntrace.report.select import View, numbers_in, selected
from rnntrace.report.table import Column, Scale, Table


def output_tables(result: Result, view: View) -> Iterator[Table]:
    """Output and final states, a row a value, with the axes of the module's own layout; the framework's beside, where known."""
    if "outputs" not in view.parts:
        return
    shapes = {name: values.shape for name, values in result.outputs.items()}
    for name, values in result.replayed_outputs.items():
        shape, axes = shapes[name], _axes(result, name)
        worst = [*_worst_places(result, name, axes, shape)]
        rows = int(np.prod(shape))
        at_hand = part_of(rows, 1, worst) if is_long(rows) else np.arange(rows)
        index = dict(zip(axes, np.unravel_index(at_hand, shape), strict=True))
        columns = [Column(axis, positions + (axis == "t"), Scale.INDEX) for axis, positions in index.items()]
        none = np.zeros_like(at_hand)
        places = (index.get("t", index.get("row", none)), index.get("item", none), index["unit"])
        mine = values[places].astype(np.float64)
        columns.append(Column("replay", mine, Scale.SIGNED, "values", "values"))
        if name in result.observation.outputs:
            theirs = _of_last_rows(result.observation.outputs[name], len(values), places)
            side = Column(result.observation.framework, theirs, Scale.SIGNED, "values", "values")
            pair = Pair(name, columns.pop(), side, _out_of_tolerance(result, name, places))
            pair = marked(pair, result.observation.framework)
            columns += [pair.mine, pair.theirs, *differences([pair], np.zeros(len(mine), bool), "values")]
        yield excerpt(f"{name} · shape {shape}", columns, at_hand, 1, np.searchsorted(at_hand, worst).tolist())


def _worst_places(result: Result, name: str, axes: Sequence[str], shape: tuple[int, ...]) -> Iterator[int]:
    """The rows of the largest difference and of the first value out of tolerance in a long output, part by part.

    Of fewer rows the table itself tells which these are.
    """
    expected, size = result.observation.outputs.get(name), result.spec.output_size
    if name != "output" or expected is None or not is_long(int(np.prod(shape))):
        return
    steps = np.arange(result.inputs.steps)
    for part in result.spec.output_parts:
        units = result.spec.output_units(part)
        flags = result.comparison.out_of_tolerance.get((result.spec.num_layers - 1, part, name))
        mine, theirs = result.replayed_outputs[name][..., units], expected[..., units]
        for t, item, unit in far_apart(mine, theirs, flags, steps, np.arange(size), part):
            where = {"t": t, "item": item, "unit": units.start + unit}
            yield int(np.ravel_multi_index([where[axis] for axis in axes], shape))


_Places = tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.int_]]
"""t - 1 or the row of a state at the end, item and unit of values."""


def _of_last_rows(values: Array, rows: int, places: _Places) -> np.ma.MaskedArray[Any, np.dtype[Any]]:
    """The values at the places, masked in front where the other side gave the last of so many rows alone."""
    row = places[0] - (rows - len(values))
    return np.ma.masked_where(row < 0, values[np.maximum(row, 0), *places[1:]].astype(np.float64))


def _out_of_tolerance(result: Result, name: str, places: _Places) -> Flags:
    """Which of the values of an output at the places are out."""
    spec = result.spec
    row, item, unit = places
    out = np.zeros(len(row), bool)
    for (layer, direction, other), flags in result.comparison.out_of_tolerance.items():
        if other == name == "output":
            units = spec.output_units(direction)
            part = (unit >= units.start) & (unit < units.stop)
            out[part] = flags[row[part], item[part], unit[part] - units.start]
        elif other == name == LAST_OUTPUT:
            out = flags[row, item, unit]
        elif other == name:
            part = row == spec.layer_directions.index((layer, direction))
            out[part] = flags[0, item[part], unit[part]]
    return out


def _axes(result: Result, name: str) -> tuple[str, ...]:
    spec, unbatched = result.spec, result.inputs.unbatched
    if name == "output":
        both = ("item", "t") if spec.batch_first else ("t", "item")
        return (*(("t",) if unbatched else both), "unit")
    return (*(() if spec.is_cell else ("row",)), *(() if unbatched else ("item",)), "unit")


def input_tables(result: Result, view: View) -> Iterator[Table]:
    """x of each item, a row per step."""
    if "input" not in view.parts:
        return
    inputs = result.inputs
    for item in range(inputs.batch):
        if selected(item, view.items):
            times = numbers_in(view.times, inputs.counted(item))
            at_hand = part_of(len(times), 1, ()) if is_long(len(times)) else np.arange(len(times))
            times = times[at_hand]
            rows = inputs.x[times - 1, item].astype(np.float64)
            yield excerpt(f"x · item {item}", [Column("t", times, Scale.INDEX), *_matrix_columns("x", rows)], at_hand, 1)


def weight_tables(result: Result, view: View) -> Iterator[Table]:
    """The weights of each gate, a row per unit: what multiplies x, its bias, what multiplies h, its bias."""
    if "weights" not in view.parts:
        return
    for (layer, direction), weights in result.weights.columns.items():
        if not selected(layer, view.layers):
            continue
        where = f"layer {layer} · {direction}"
        cell = result.spec.cell
        for gate in cell.gates:
            columns = [Column("unit", np.arange(result.spec.hidden_size), Scale.INDEX)]
            for matrix, bias in _TERMS:
                columns += _block_columns(cell, weights, matrix, bias, gate)
            role = f" ({cell.roles[gate]})" if gate in cell.roles else ""
            yield Table(f"{where} · weights of {gate}{role}", tuple(columns))
        projection, array = cell.of(Role.PROJECTION), weights.block(cell, Role.PROJECTION)
        if projection is not None and array is not None:
            rows = Column("unit", np.arange(len(array)), Scale.INDEX)
            yield Table(f"{where} · projection of {cell.output}", (rows, *_matrix_columns(projection.name, array)))


_TERMS = tuple(TERMS[op] for op in (Op.INPUT_TERM, Op.RECURRENT_TERM, Op.DIAGONAL, Op.GAIN, Op.SHIFT))


def _block_columns(cell: Cell, weights: LayerWeights, role: Role, bias_role: Role | None, gate: str) -> Iterator[Column]:
    """What a gate multiplies by in one of its terms, and the bias beside it."""
    parameter, block = cell.of(role, gate), weights.block(cell, role, gate)
    if parameter is None or block is None:
        return
    name = parameter.block(gate)
    yield from _matrix_columns(name, block) if block.ndim == 2 else (Column(name, block, section=name, group=name),)
    bias = cell.of(bias_role, gate) if bias_role else None
    values = weights.block(cell, bias_role, gate)
    if bias is not None and values is not None:
        yield Column(bias.block(gate), values, section=name, group=name)


def _matrix_columns(name: str, matrix: Array) -> list[Column]:
    return [Column(f"{name}[{k}]", matrix[:, k], section=name, group=name) for k in range(matrix.shape[1])]
