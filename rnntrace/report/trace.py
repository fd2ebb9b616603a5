"""The tables of a trace: for each layer, direction and item a row per step and unit, the framework's values beside."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.judge.result import Result
from rnntrace.engine.replay.trace import input_term_symbol, term_symbols
from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Op
from rnntrace.equations.notation import UNICODE, spell
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key
from rnntrace.model.spec import REVERSE
from rnntrace.model.windows import release
from rnntrace.report.beside import Pair, differences, marked
from rnntrace.report.excerpt import excerpt, far_apart, is_long, part_of, span
from rnntrace.report.select import PARTS, View, numbers_in, selected, times_in_view
from rnntrace.report.table import Column, Scale, Table

AT_ONCE = 2**9
"""Steps that are read at once: where they lie far apart in a file, a page is read for each."""
NAMED = 8
"""Masked steps that a heading names."""

Masked = np.ma.MaskedArray[tuple[int, ...], np.dtype[np.float64]]


def trace_tables(result: Result, view: View) -> Iterator[Table]:
    """The steps of a trace, as far as `view` selects them."""
    symbols = shown_symbols(result, view)
    if not symbols:
        return
    for layer, direction in result.spec.layer_directions:
        for item in range(result.inputs.batch):
            if selected(layer, view.layers) and selected(item, view.items):
                yield _steps(result, view, symbols, layer, direction, item)


def shown_symbols(result: Result, view: View) -> list[tuple[str, str]]:
    """(group, symbol) of the columns, in order: what a gate sees, the gates, the states. Raises UsageError as `check_shown`."""
    cell, kept = result.spec.cell, kept_symbols(result)
    check_shown(view.parts, cell, {*kept, *(symbol for *_, symbol in result.trace.terms)})
    if not result.trace.terms:
        view = replace(view, parts=view.parts - {"terms"})
    terms = [("terms", symbol) for symbol in term_symbols(cell)]
    gates = [("gates", symbol) for symbol in kept if symbol not in cell.states]
    states = [("states", symbol) for symbol in kept if symbol in cell.states]
    return [entry for entry in (*terms, *gates, *states) if entry[0] in view.parts]


def check_shown(parts: frozenset[str], cell: Cell, held: Collection[str]) -> None:
    """Raises UsageError if terms or gates are asked for by name, and a trace that holds these symbols does not have them."""
    asked = {
        "terms": "terms" in parts and parts < frozenset(PARTS) and term_symbols(cell),
        "gates": "gates" in parts
        and "states" not in parts
        and [symbol for symbol in cell.symbols if symbol not in cell.states],
    }
    for part, symbols in asked.items():
        if symbols and not set(symbols) <= {*held}:
            raise UsageError(f"the trace was kept without its {part}: run with `keep={part}`, or leave {part} out of `show`")


def kept_symbols(result: Result) -> list[str]:
    """The symbols of the cell that the trace holds, in order of computation."""
    held = {symbol for *_, symbol in result.trace.columns}
    return [symbol for symbol in result.spec.cell.symbols if symbol in held]


def _steps(result: Result, view: View, symbols: Sequence[tuple[str, str]], layer: int, direction: str, item: int) -> Table:
    trace, spec = result.trace, result.spec
    length = result.inputs.lengths[item] if result.inputs.lengths else result.inputs.steps
    units = numbers_in(view.units, np.arange(spec.hidden_size))
    every = times_in_view(view, direction, length)
    places = [
        (int(np.flatnonzero(every == place.t)[0]), int(np.flatnonzero(units == place.unit)[0]))
        for place in (result.comparison.first_failure, result.comparison.worst)
        if place and (place.layer, place.direction, place.item) == (layer, direction, item)
        if place.t in every and place.unit in units
    ]
    at_hand = np.arange(len(every))
    if is_long(len(every) * len(units)):
        far = [step for _, symbol in symbols for step in _far_apart(result, (layer, direction, symbol), item, every, units)]
        at_hand = part_of(len(every), len(units), [*far, *(step for step, _ in places)])
    times = every[at_hand]

    def column(values: Array | Flags, symbol: str) -> Masked:
        """The values of this item, a row per step and unit."""
        chosen: Masked = item_values(result, values, (layer, direction, symbol), item, times, units).ravel()
        return chosen

    given = np.repeat(times, len(units)) == 0
    columns = [
        Column("t", np.repeat(times, len(units)), Scale.INDEX),
        Column("unit", np.tile(units, len(times)), Scale.INDEX),
    ]
    pairs: list[Pair] = []
    framework = result.observation.framework
    for group in dict.fromkeys(group for group, _ in symbols):
        beside = []
        for symbol in (symbol for other, symbol in symbols if other == group):
            key = (layer, direction, symbol)
            scale = scale_of(spec.cell, symbol)
            mine = Column(_heading(result, symbol), column(trace[symbol, layer, direction], symbol), scale, group, group)
            if key in result.framework_values:
                theirs = column(result.framework_values[key], symbol)
                out = result.comparison.out_of_tolerance.get(key)
                flags = None if out is None else column(out, "").filled(0).astype(bool)
                other_side = Column(f"{framework} {symbol}", theirs, scale, group, f"framework {group}")
                pairs.append(marked(Pair(symbol, mine, other_side, flags), framework))
                mine = pairs[-1].mine
                beside.append(pairs[-1].theirs)
            columns.append(mine)
        columns.extend(beside)
    # At t = 0 there is nothing to compare: both sides are given the same state.
    columns += differences(pairs, given, columns[-1].section)
    rows = [int(np.flatnonzero(at_hand == step)[0]) * len(units) + unit for step, unit in places]
    return excerpt(_title(result, layer, direction, item, length), columns, at_hand, len(units), rows, direction)


def _far_apart(result: Result, key: Key, item: int, times: NDArray[np.int_], units: NDArray[np.int_]) -> Iterator[int]:
    """Which of the times have the largest |Δ| of one item in these units, and the first value out of tolerance."""
    if key in result.framework_values:
        mine, theirs = result.trace.columns[key][:, item], result.framework_values[key][:, item]
        flags = result.comparison.out_of_tolerance.get(key)
        flags = None if flags is None else flags[:, item]
        there = np.sort(times[times > 0]) - 1
        for t, _ in far_apart(mine, theirs, flags, there, units[units < mine.shape[1]], key[1]):
            yield int(np.flatnonzero(times == t + 1)[0])


def item_values(
    result: Result, values: NDArray[Any], key: Key, item: int, times: NDArray[np.int_], units: NDArray[np.int_]
) -> Masked:
    """(times, units) of one item of `values` (T, B, ·), a state from t = 0 on; masked where there is no such step or unit.

    Nothing else is read, and what lies in files is let go of.
    """
    layer, direction, symbol = key
    length = result.inputs.lengths[item] if result.inputs.lengths else result.inputs.steps
    found, missing = np.zeros((len(times), len(units))), np.ones((len(times), len(units)), bool)
    within = int(np.count_nonzero(units < values.shape[2]))
    of_item, columns = values[:, item], span(units[:within])
    steps = np.flatnonzero((times >= 1) & (times <= length))
    if result.inputs.mask is not None:
        steps = steps[result.inputs.mask[times[steps] - 1, item]]
    for start in range(0, len(steps), AT_ONCE):
        rows = span(steps[start : start + AT_ONCE])
        found[rows, :within] = of_item[span(times[rows] - 1)][:, columns]
        missing[rows, :within] = False
        release(values)
    if symbol in result.spec.cell.states:
        start_state = result.trace.initial(symbol, layer, direction)[item]
        found[times == 0, :within], missing[times == 0, :within] = start_state[columns], False
    return np.ma.array(found, mask=missing)


def _title(result: Result, layer: int, direction: str, item: int, length: int) -> str:
    title = place(layer, direction, item)
    if length < result.inputs.steps:
        title += f" · {length} of {result.inputs.steps} steps"
    if result.inputs.mask is not None and not result.inputs.mask[:, item].all():
        t = [str(t + 1) for t in np.flatnonzero(~result.inputs.mask[:, item])]
        title += f" · masked: t={','.join(t[:NAMED])}" + (",…" if len(t) > NAMED else "")
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
    return spell(next(leaf for leaf in leaves if leaf.op is op and leaf.name == gate), UNICODE, result.spec.declared)


def scale_of(cell: Cell, symbol: str) -> Scale:
    """Sigmoid gates lie between 0 and 1; everything else has a sign."""
    return Scale.UNIT if symbol in cell.sigmoids else Scale.SIGNED
