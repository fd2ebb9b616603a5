"""The tables of a trace: for each layer, direction and item a row per step and unit, the framework's values beside."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.trace import Key, input_term_symbol, recurrent_term_symbol
from rnntrace.equations.cells import Cell
from rnntrace.equations.expression import Op
from rnntrace.equations.notation import UNICODE, spell
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.signals import to_own_layout
from rnntrace.model.spec import REVERSE
from rnntrace.report.result import Result
from rnntrace.report.select import PARTS, View
from rnntrace.report.table import Column, Scale, Table

Masked = np.ma.MaskedArray[tuple[int, ...], np.dtype[np.float64]]


def trace_tables(result: Result, view: View) -> Iterator[Table]:
    """The steps of a trace, as far as `view` selects them."""
    symbols = shown_symbols(result, view)
    if not symbols:
        return
    for layer, direction in result.spec.columns:
        for item in range(result.inputs.batch):
            if selected(layer, view.layers) and selected(item, view.items):
                yield _steps(result, view, symbols, layer, direction, item)


def shown_symbols(result: Result, view: View) -> list[tuple[str, str]]:
    """(group, symbol) of the columns, in order: what a gate sees, the gates, the states.

    Raises UsageError if terms are asked for by name and a saved trace does not have them.
    """
    cell = result.spec.cell
    if not result.trace.terms and "terms" in view.parts:
        if view.parts < frozenset(PARTS):
            raise UsageError("the trace was saved without its terms: save it with `--show terms`, or leave terms out of --show")
        view = replace(view, parts=view.parts - {"terms"})
    terms = [("terms", symbol) for gate in cell.gates for symbol in (input_term_symbol(gate), recurrent_term_symbol(gate))]
    gates = [("gates", symbol) for symbol in cell.symbols if symbol not in cell.states]
    states = [("states", symbol) for symbol in cell.symbols if symbol in cell.states]
    return [entry for entry in (*terms, *gates, *states) if entry[0] in view.parts]


def _steps(result: Result, view: View, symbols: Sequence[tuple[str, str]], layer: int, direction: str, item: int) -> Table:
    trace, spec = result.trace, result.spec
    length = result.inputs.lengths[item] if result.inputs.lengths else result.inputs.steps
    times = times_in_view(view, direction, length)
    units = [unit for unit in range(spec.hidden_size) if selected(unit, view.units)]

    def column(values: Array | Flags, symbol: str) -> Masked:
        """The values of this item, a row per step and unit."""
        chosen: Masked = item_values(result, values, (layer, direction, symbol), item)[np.ix_(times, units)].ravel()
        return chosen

    given = np.repeat(times, len(units)) == 0
    columns = [
        Column("t", np.repeat(times, len(units)), Scale.INDEX),
        Column("unit", np.tile(units, len(times)), Scale.INDEX),
    ]
    differences: list[Masked] = []
    flags: list[Masked] = []
    for group in dict.fromkeys(group for group, _ in symbols):
        beside = []
        for symbol in (symbol for other, symbol in symbols if other == group):
            key = (layer, direction, symbol)
            mine = column(trace[symbol, layer, direction], symbol)
            columns.append(Column(_heading(result, symbol), mine, scale_of(spec.cell, symbol), group, group))
            if key in result.framework_values:
                theirs = column(result.framework_values[key], symbol)
                name = f"{result.observation.framework} {symbol}"
                beside.append(Column(name, theirs, scale_of(spec.cell, symbol), group, f"framework {group}"))
                # At t = 0 there is nothing to compare: both sides are given the same state.
                differences.append(np.ma.masked_where(given, np.ma.abs(mine - theirs)))
                flags.append(column(result.comparison.out_of_tolerance[key], ""))
        columns.extend(beside)
    if differences:
        columns.append(
            Column(
                "|Δ|",
                np.ma.stack(differences).max(axis=0),
                Scale.DIFFERENCE,
                columns[-1].section,
                "difference",
                np.ma.stack(flags).max(axis=0).filled(0).astype(bool),
            )
        )
    return Table(_title(result, layer, direction, item, length), tuple(columns))


def times_in_view(view: View, direction: str, last: int) -> list[int]:
    """The selected times from 0 to `last`; 0 stands where its direction starts, before t = 1 or behind the last step."""
    times = [*range(1, last + 1), 0] if direction == REVERSE else range(last + 1)
    return [t for t in times if selected(t, view.times)]


def item_values(result: Result, values: Array | Flags, key: Key, item: int) -> Masked:
    """One item of `values` (T, B, ·) as (T + 1, H), a state from t = 0 on; masked where there is no such step or unit."""
    layer, direction, symbol = key
    length = result.inputs.lengths[item] if result.inputs.lengths else result.inputs.steps
    shape = (result.inputs.steps + 1, result.spec.hidden_size)
    grid: Masked = np.ma.array(np.zeros(shape), mask=np.ones(shape, bool))
    grid[1 : length + 1, : values.shape[2]] = values[:length, item]
    if symbol in result.spec.cell.states:
        initial = result.trace.initial(symbol, layer, direction)[item]
        grid[0, : len(initial)] = initial
    return grid


def _title(result: Result, layer: int, direction: str, item: int, length: int) -> str:
    title = place(layer, direction, item)
    if length < result.inputs.steps:
        title += f" · {length} of {result.inputs.steps} steps"
    return title + (" · starts at the last step, from t = 0 below it" if direction == REVERSE else "")


def place(layer: int, direction: str, item: int) -> str:
    """The words for one layer, direction and item."""
    return f"layer {layer} · {direction} · item {item}"


def _heading(result: Result, symbol: str) -> str:
    """The symbol, or for a term its formula: `W_if xₜ + b_if`."""
    gate, _, term = symbol.partition(".")
    if not term:
        return symbol
    op = Op.INPUT_TERM if symbol == input_term_symbol(gate) else Op.RECURRENT_TERM
    leaves = (leaf for step in result.spec.cell.steps for leaf in step.expression.walk())
    return spell(next(leaf for leaf in leaves if leaf.op is op and leaf.name == gate), UNICODE, bias=result.spec.bias)


def scale_of(cell: Cell, symbol: str) -> Scale:
    """Sigmoid gates lie between 0 and 1; everything else has a sign."""
    return Scale.UNIT if symbol in cell.sigmoids else Scale.SIGNED


def selected(number: int, chosen: Sequence[int] | None) -> bool:
    """Whether a view that chooses these has this number; None chooses all."""
    return chosen is None or number in chosen


def output_tables(result: Result, view: View) -> Iterator[Table]:
    """output, h_n and c_n, a row a value, with the axes of the module's own layout; the framework's beside, as far as known."""
    if "outputs" not in view.parts:
        return
    expected = result.expected
    for name, values in result.outputs.items():
        axes = _axes(result, name)
        index = np.indices(values.shape).reshape(values.ndim, -1)
        mine = values.ravel().astype(np.float64)
        columns = [Column(axis, positions + (axis == "t"), Scale.INDEX) for axis, positions in zip(axes, index, strict=True)]
        columns.append(Column("replay", mine, Scale.SIGNED, "values", "values"))
        if name in expected:
            theirs = _last_rows(values.shape, expected[name].astype(np.float64)).ravel()
            out = _last_rows(values.shape, _out_of_tolerance(result, name)).filled(False).ravel()
            columns += [
                Column(result.observation.framework, theirs, Scale.SIGNED, "values", "values"),
                Column("|Δ|", np.ma.abs(mine - theirs), Scale.DIFFERENCE, "values", "difference", out),
            ]
        yield Table(f"{name} · shape {values.shape}", tuple(columns))


def _last_rows(shape: tuple[int, ...], values: NDArray[Any]) -> np.ma.MaskedArray[Any, np.dtype[Any]]:
    """The values, masked in front where the other side gave the last rows alone."""
    missing = shape[0] - len(values)
    whole = np.concatenate([np.zeros((missing, *shape[1:]), values.dtype), values])
    return np.ma.array(whole, mask=np.broadcast_to((np.arange(shape[0]) < missing).reshape(-1, *[1] * (len(shape) - 1)), shape))


def _out_of_tolerance(result: Result, name: str) -> Flags:
    """Which values of output, h_n or c_n are out, in the module's own layout."""
    parts = [flags for (_, _, other), flags in result.comparison.out_of_tolerance.items() if other == name]
    whole = np.concatenate(parts, axis=2 if name == "output" else 0)
    flags: Flags = to_own_layout(result.spec, name, whole, result.inputs.unbatched)
    return flags


def _axes(result: Result, name: str) -> tuple[str, ...]:
    spec, unbatched = result.spec, result.inputs.unbatched
    if name == "output":
        both = ("item", "t") if spec.batch_first else ("t", "item")
        return (*(("t",) if unbatched else both), "unit")
    return (*(() if spec.is_cell else ("row",)), *(() if unbatched else ("item",)), "unit")


def weight_tables(result: Result, view: View) -> Iterator[Table]:
    """The weights of each gate, a row per unit: what multiplies x, its bias, what multiplies h, its bias."""
    if "weights" not in view.parts:
        return
    for (layer, direction), weights in result.weights.columns.items():
        if not selected(layer, view.layers):
            continue
        where = f"layer {layer} · {direction}"
        for position, gate in enumerate(result.spec.cell.gates):
            columns = [Column("unit", np.arange(result.spec.hidden_size), Scale.INDEX)]
            for name, matrix, bias in (
                (f"W_i{gate}", weights.W_ih[position], weights.b_ih),
                (f"W_h{gate}", weights.W_hh[position], weights.b_hh),
            ):
                columns += _matrix_columns(name, matrix)
                if bias is not None:
                    columns.append(Column(name.replace("W", "b"), bias[position], section=name, group=name))
            role = result.spec.cell.roles[gate]
            yield Table(f"{where} · weights of {gate} ({role})", tuple(columns))
        if weights.W_hr is not None:
            rows = Column("unit", np.arange(len(weights.W_hr)), Scale.INDEX)
            yield Table(f"{where} · projection of h", (rows, *_matrix_columns("W_hr", weights.W_hr)))


def _matrix_columns(name: str, matrix: Array) -> list[Column]:
    return [Column(f"{name}[{k}]", matrix[:, k], section=name, group=name) for k in range(matrix.shape[1])]
