"""The gates and states of a trace as panels: for each layer, direction, item and symbol a grid of units by t."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.judge.result import Result
from rnntrace.errors import show
from rnntrace.model.dtypes import Flags
from rnntrace.model.keys import Key
from rnntrace.model.spec import REVERSE
from rnntrace.report.select import HEAT, View, numbers_in, selected, times_in_view
from rnntrace.report.table import Panel, Scale
from rnntrace.report.trace import Masked, item_values, kept_symbols, place, scale_of

MAX_COLUMNS = 2_000
"""More columns of a panel cannot be told apart."""


def heat(results: Mapping[str, Result], view: View) -> tuple[Panel, ...]:
    """What a view with `heat` draws of each module, by prefix: every item that the view selects, on one scale."""
    if HEAT not in view.parts:
        return ()
    found: list[Panel] = []
    for prefix, result in results.items():
        items = range(result.inputs.batch) if view.items is None else view.items
        name = f"{show(prefix)} · " if prefix else ""
        found += [replace(panel, where=name + panel.where) for panel in panels_of(result, replace(view, items=items))]
    return on_one_scale(found)


def heatmap(result: Result, view: View) -> tuple[Panel, ...]:
    """Every gate and state, (units, t); a state from t = 0 on."""
    return on_one_scale([*panels_of(result, view)])


def on_one_scale(panels: Sequence[Panel]) -> tuple[Panel, ...]:
    """The panels, those of signed values with the largest of all as their limit."""
    signed = [np.abs(finite(panel)).max(initial=0.0) for panel in panels if panel.scale is Scale.SIGNED]
    limit = float(max(signed, default=0.0)) or 1.0
    return tuple(replace(panel, limit=limit) if panel.scale is Scale.SIGNED else panel for panel in panels)


def items_in(view: View) -> list[int]:
    """The items that are drawn: item 0 unless others are selected."""
    return [0] if view.items is None else list(view.items)


def panels_of(result: Result, view: View) -> Iterator[Panel]:
    """The replay's values of every symbol in the view, with those flagged that are out of tolerance."""
    for key, item in keys_of(result, view):
        yield _panel(result, view, key, item)


def keys_of(result: Result, view: View) -> Iterator[tuple[Key, int]]:
    """What the panels are of: symbols of a layer, direction and item."""
    for layer, direction in result.spec.layer_directions:
        for item in items_in(view):
            for symbol in kept_symbols(result):
                key = layer, direction, symbol
                # A projected hidden state has fewer units than there are gates.
                if selected(layer, view.layers) and len(grid_of(result, view, key)[1]):
                    yield key, item


def blank_panel(result: Result, key: Key, item: int) -> Panel:
    """A panel that has no values yet."""
    layer, direction, symbol = key
    role, scale = result.spec.cell.roles[symbol], scale_of(result.spec.cell, symbol)
    return Panel(place(layer, direction, item), symbol, role, scale, (), (), np.ma.array(np.zeros((0, 0))))


def _panel(result: Result, view: View, key: Key, item: int) -> Panel:
    """One symbol of the replay, (units, t); of a long time one step in so many."""
    times, units = grid_of(result, view, key)
    together = steps_together(len(times))
    times = times[::together]
    values = item_values(result, result.trace.columns[key], key, item, times, units).T
    broken = int((~np.isfinite(values.compressed())).sum())
    thinned = f", one in {together}" if together > 1 else ""
    flagged = flags_of(result, key, item, times, units).T
    wrong = int(flagged.sum())
    notes = [f"{broken} NaN or infinite"] if broken else []
    notes += [f"{wrong} of {values.count()} out of tolerance"] if wrong else []
    return replace(
        blank_panel(result, key, item),
        rows=tuple(map(str, units.tolist())),
        x=tuple(times.tolist()),
        values=values,
        x_name=time_axis(key[1]) + thinned,
        flagged=flagged if wrong else None,
        note=" · ".join(notes) + (" of those drawn" if thinned and notes else ""),
    )


def flags_of(result: Result, key: Key, item: int, times: NDArray[np.int_], units: NDArray[np.int_]) -> Flags:
    """(times, units) of one item: which values are out of tolerance. What the initial state is, is given."""
    if key not in result.comparison.out_of_tolerance:
        return np.zeros((len(times), len(units)), bool)
    flags = item_values(result, result.comparison.out_of_tolerance[key], (*key[:2], ""), item, times, units)
    found: Flags = flags.filled(0).astype(bool)
    return found


def grid_of(result: Result, view: View, key: Key) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """The times and the units that the view selects of a symbol."""
    times = times_in_view(view, key[1], result.inputs.steps)
    return times, numbers_in(view.units, np.arange(result.trace.columns[key].shape[2]))


def steps_together(times: int) -> int:
    """How many times share a column of a panel."""
    return max(-(-times // MAX_COLUMNS), 1)


def time_axis(direction: str) -> str:
    """The name of the axis, and which way it runs."""
    return "t, from right to left" if direction == REVERSE else "t"


def without_initial(panel: Panel) -> Panel:
    """The panel from t = 1 on."""
    steps = [column for column, t in enumerate(panel.x) if t > 0]
    flagged = None if panel.flagged is None else panel.flagged[:, steps]
    return replace(panel, x=tuple(panel.x[column] for column in steps), values=panel.values[:, steps], flagged=flagged)


def finite(panel: Panel) -> Masked:
    """The values that exist and are finite, in one row."""
    values = panel.values.compressed()
    finite: Masked = values[np.isfinite(values)]
    return finite
