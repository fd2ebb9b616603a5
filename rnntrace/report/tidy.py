"""The values of results on rows of their own: tidy data for a data frame or a spreadsheet."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.judge.difference import difference
from rnntrace.engine.judge.result import Result
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key
from rnntrace.model.merges import LAST_OUTPUT
from rnntrace.model.windows import pieces, release
from rnntrace.report.select import View, are_selected, numbers_in, selected
from rnntrace.report.table import Column, Rows, Scale, Table
from rnntrace.report.trace import shown_symbols

_SCALES = {
    "module": Scale.NAME,
    "layer": Scale.INDEX,
    "direction": Scale.NAME,
    "t": Scale.INDEX,
    "item": Scale.INDEX,
    "unit": Scale.INDEX,
    "symbol": Scale.NAME,
    "replay": Scale.SIGNED,
    "framework": Scale.SIGNED,
    "difference": Scale.DIFFERENCE,
}


def tidy_rows(results: Mapping[str, Result], view: View) -> Rows:
    """Every value that `view` selects, by module; the module is named where there are several.

    `replay` and `framework` have the dtypes of the traces, `difference` is |replay - framework| in float64. A framework's value
    that is not known does not exist here, nor does the difference at t = 0, where both sides are given the same state. Weights
    have neither t nor item; those of matrices are called by row and column as in the tables, unit 1 of `W_if[2]`. Steps
    behind the end of a shorter sequence have no row.
    """
    headings = tuple(_SCALES) if len(results) > 1 else tuple(_SCALES)[1:]

    def blocks() -> Iterator[Table]:
        for module, result in results.items():
            for block in chain(_weights(result, view), _input(result, view), _steps(result, view), _outputs(result, view)):
                columns = {"module": module, **block}
                yield Table(module, tuple(_column(heading, columns[heading], len(block["unit"])) for heading in headings))

    return Rows(headings, blocks)


def _column(heading: str, values: Any, rows: int) -> Column:
    """A column of an array, of one value in every row, or of None: values that do not exist."""
    if values is None:
        values = np.ma.array(np.zeros(rows), mask=True)
    elif not isinstance(values, np.ndarray):
        values = np.full(rows, values, object if isinstance(values, str) else None)
    return Column(heading, values, _SCALES[heading])


@dataclass(frozen=True)
class _Place:
    """Of which layer, direction and symbol values are, and by row and item the t they belong to and whether they exist."""

    layer: int
    direction: str
    symbol: str
    t: NDArray[np.int_]
    exists: Flags


def _rows(view: View, place: _Place, replay: Array, framework: Array | None) -> dict[str, Any]:
    """The columns for both sides (rows, B, ·), as far as they are selected."""
    _, items, units = replay.shape
    chosen = place.exists[..., None] & are_selected(np.arange(items), view.items)[:, None]
    row, item, unit = np.nonzero(chosen & are_selected(np.arange(units), view.units))
    t, mine = place.t[row, item], replay[row, item, unit]
    theirs, apart = None, None
    if framework is not None:
        theirs = framework[row, item, unit]
        apart = np.ma.masked_where(t == 0, difference(mine, theirs))
    return {
        "layer": place.layer,
        "direction": place.direction,
        "t": t,
        "item": item,
        "unit": unit,
        "symbol": place.symbol,
        "replay": mine,
        "framework": theirs,
        "difference": apart,
    }


class _Steps:
    """The steps of a result that a view selects, to be walked through a part at a time."""

    def __init__(self, result: Result, view: View) -> None:
        self.view = view
        self.chosen = are_selected(np.arange(result.inputs.steps + 1), view.times)

    def rows(self, where: Key, replay: Array, framework: Array | None, valid: Flags | None = None) -> Iterator[dict[str, Any]]:
        """The columns for t = 1 … T of both sides (T, B, ·), where they are `valid` (T, B)."""
        for part in pieces(replay.shape):
            t = np.arange(part.start + 1, part.stop + 1)
            if self.chosen[t].any():
                there = np.ones((1, replay.shape[1]), bool) if valid is None else valid[part]
                exists = self.chosen[t][:, None] & there
                place = _Place(*where, np.broadcast_to(t[:, None], exists.shape), exists)
                yield _rows(self.view, place, replay[part], None if framework is None else framework[part])
                release(replay, framework)

    def initial(self, where: Key, state: Array, replay: Array, framework: Array | None) -> Iterator[dict[str, Any]]:
        """The columns for t = 0, where both sides (T, B, ·) are given the same state (B, ·)."""
        if self.chosen[0]:
            t = np.zeros((1, len(state)), int)
            mine, theirs = (None if side is None else state[None].astype(side.dtype) for side in (replay, framework))
            assert mine is not None
            yield _rows(self.view, _Place(*where, t, t == 0), mine, theirs)


def _steps(result: Result, view: View) -> Iterator[dict[str, Any]]:
    """Terms, gates and states of every layer and direction, for states from t = 0."""
    steps, trace, valid = _Steps(result, view), result.trace, result.inputs.valid
    for layer, direction in _columns(result, view):
        for _, symbol in shown_symbols(result, view):
            where = layer, direction, symbol
            mine, theirs = trace[symbol, layer, direction], result.framework_values.get(where)
            if symbol in result.spec.cell.states:
                yield from steps.initial(where, trace.initial(symbol, layer, direction), mine, theirs)
            yield from steps.rows(where, mine, theirs, valid)


def _outputs(result: Result, view: View) -> Iterator[dict[str, Any]]:
    """Output and final states by the layer and direction that they come from; t of a final state is an item's last step."""
    if "outputs" not in view.parts:
        return
    spec, steps, last = result.spec, _Steps(result, view), result.spec.num_layers - 1
    parts = spec.output_parts if selected(last, view.layers) else ()
    for name, values in result.replayed_outputs.items():
        expected = result.observation.outputs.get(name)
        if name == "output":
            for part in parts:
                units = np.s_[..., spec.output_units(part)]
                yield from steps.rows((last, part, name), values[units], None if expected is None else expected[units])
            continue
        for layer, direction in [(last, part) for part in parts] if name == LAST_OUTPUT else _columns(result, view):
            t = result.trace.final_step(direction)[None]
            # From behind: the other side may have given the last rows alone.
            row = -1 if name == LAST_OUTPUT else spec.layer_directions.index((layer, direction)) - len(spec.layer_directions)
            mine = values[row][None]
            theirs = expected[row][None] if expected is not None and len(expected) >= -row else None
            yield _rows(view, _Place(layer, direction, name, t, steps.chosen[t]), mine, theirs)


def _weights(result: Result, view: View) -> Iterator[dict[str, Any]]:
    """The weights of each gate; both sides have the same, so that they stand once."""
    if "weights" not in view.parts:
        return
    for layer, direction in _columns(result, view):
        for name, block in result.weights[layer, direction].by_gate(result.spec.cell):
            rows = numbers_in(view.units, np.arange(len(block)))
            names = [f"{name}[{k}]" for k in range(block.shape[1])] if block.ndim == 2 else [name]
            yield {
                "layer": layer,
                "direction": direction,
                "t": None,
                "item": None,
                "unit": rows.repeat(len(names)),
                "symbol": np.tile(np.array(names, object), len(rows)),
                "replay": block[rows].ravel(),
                "framework": None,
                "difference": None,
            }


def _input(result: Result, view: View) -> Iterator[dict[str, Any]]:
    """x of layer 0, which both sides have and which stands once; its units are features, and are all there."""
    if "input" not in view.parts or not selected(0, view.layers):
        return
    steps = _Steps(result, replace(view, units=None))
    yield from steps.rows((*result.spec.layer_directions[0], "x"), result.inputs.x, None, result.inputs.valid)


def _columns(result: Result, view: View) -> list[tuple[int, str]]:
    """The layers and directions that are selected."""
    return [column for column in result.spec.layer_directions if selected(column[0], view.layers)]
