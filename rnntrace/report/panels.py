"""The gates and states of a trace as panels: for each layer, direction, item and symbol a grid of units by t."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rnntrace.engine.trace import Key
from rnntrace.errors import show
from rnntrace.model.spec import REVERSE
from rnntrace.report.result import Result
from rnntrace.report.select import HEAT, View
from rnntrace.report.table import Panel, Scale
from rnntrace.report.trace import Masked, item_values, place, scale_of, selected, times_in_view


def heat(results: Mapping[str, Result], view: View) -> tuple[Panel, ...]:
    """What `--show heat` draws of each module, by prefix: every item that the view selects, on one scale."""
    if HEAT not in view.parts:
        return ()
    found: list[Panel] = []
    for prefix, result in results.items():
        items = range(result.inputs.batch) if view.items is None else view.items
        name = f"{show(prefix)} · " if prefix else ""
        found += [replace(panel, where=name + panel.where) for _, _, panel in panels_of(result, replace(view, items=items))]
    return on_one_scale(found)


def heatmap(result: Result, view: View) -> tuple[Panel, ...]:
    """Every gate and state, (units, t); a state from t = 0 on."""
    return on_one_scale([panel for _, _, panel in panels_of(result, view)])


def on_one_scale(panels: Sequence[Panel]) -> tuple[Panel, ...]:
    """The panels, those of signed values with the largest of all as their limit."""
    signed = [np.abs(finite(panel)).max(initial=0.0) for panel in panels if panel.scale is Scale.SIGNED]
    limit = float(max(signed, default=0.0)) or 1.0
    return tuple(replace(panel, limit=limit) if panel.scale is Scale.SIGNED else panel for panel in panels)


def items_in(view: View) -> list[int]:
    """The items that are drawn: item 0 unless others are selected."""
    return [0] if view.items is None else list(view.items)


def panels_of(result: Result, view: View) -> Iterator[tuple[Key, int, Panel]]:
    """The replay's values of every symbol in the view."""
    for layer, direction in result.spec.columns:
        for item in items_in(view):
            for symbol in result.spec.cell.symbols:
                if selected(layer, view.layers):
                    panel = _panel(result, view, (layer, direction, symbol), item)
                    # A projected hidden state has fewer units than there are gates.
                    if panel.rows:
                        yield (layer, direction, symbol), item, panel


def _panel(result: Result, view: View, key: Key, item: int) -> Panel:
    """One symbol of the replay, (units, t)."""
    layer, direction, symbol = key
    size = result.trace[symbol, layer, direction].shape[2]
    times = times_in_view(view, direction, result.inputs.steps)
    units = [unit for unit in range(size) if selected(unit, view.units)]
    values = item_values(result, result.trace[symbol, layer, direction], key, item)[np.ix_(times, units)].T
    broken = int((~np.isfinite(values.compressed())).sum())
    return Panel(
        where=place(layer, direction, item),
        symbol=symbol,
        role=result.spec.cell.roles[symbol],
        scale=scale_of(result.spec.cell, symbol),
        rows=tuple(map(str, units)),
        x=tuple(times),
        values=values,
        x_name="t, from right to left" if direction == REVERSE else "t",
        note=f"{broken} NaN or infinite" if broken else "",
    )


def without_initial(panel: Panel) -> Panel:
    """The panel from t = 1 on."""
    steps = [column for column, t in enumerate(panel.x) if t > 0]
    return replace(panel, x=tuple(panel.x[column] for column in steps), values=panel.values[:, steps])


def finite(panel: Panel) -> Masked:
    """The values that exist and are finite, in one row."""
    values = panel.values.compressed()
    finite: Masked = values[np.isfinite(values)]
    return finite
