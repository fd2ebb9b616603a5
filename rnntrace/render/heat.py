"""Panels as cells of text: units in rows, t in columns. A cell is a digit, so that the colour does not carry it alone."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby

import numpy as np

from rnntrace.render import Style
from rnntrace.render.blocks import MAX_TABLES
from rnntrace.render.layout import DOT
from rnntrace.render.numbers import head_and_tail
from rnntrace.report.table import Panel, Scale

MAX_BLOCKS = 4
"""With `max_rows` on, a long time is shown in this many blocks: the first and the last ones."""
SHADES = 64
STRONG = "bold"
# From dark to light for gates, from blue over white to red for what has a sign; as in the pictures.
_STOPS = {
    Scale.UNIT: ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)),
    Scale.SIGNED: ((33, 102, 172), (146, 197, 222), (247, 247, 247), (244, 165, 130), (178, 24, 43)),
}

Fragment = tuple[str, str]
"""A piece of a line, and its style: "bold", "white on #3b7dd8", or nothing."""


def heat(panels: Sequence[Panel], style: Style) -> Iterator[list[Fragment]]:
    """The lines that draw the panels; a long time is split into blocks that fit the width."""
    if not panels:
        return
    places = [list(found) for _, found in groupby(panels, key=lambda panel: panel.where)]
    shown, left_out = head_and_tail(len(places), MAX_TABLES if style.max_rows else 0)
    for position, number in enumerate(shown):
        if left_out and position == MAX_TABLES // 2:
            yield []
            yield [(f"… {left_out} left out: choose with `layer` and `item`, or `max_rows=0` for all", "")]
        yield from _place(places[number], style)
    yield []
    yield from ([(line, "")] for line in _legend(panels))


def _place(panels: Sequence[Panel], style: Style) -> Iterator[list[Fragment]]:
    """One layer, direction and item: its symbols below one another."""
    times = panels[0].x
    # Behind the end of a shorter sequence there is nothing to show.
    exist = np.any([(~np.ma.getmaskarray(panel.values)).any(axis=0) for panel in panels], axis=0)
    columns: list[int] = np.flatnonzero(exist).tolist()
    label = max(len(row) for panel in panels for row in (*panel.rows, "unit"))
    cell = max(3, len(str(max(times))) + 1)
    room = max((style.width - label) // cell, 1) if style.width else len(times)
    blocks = [columns[start : start + room] for start in range(0, len(columns), room)]
    shown, left_out = head_and_tail(len(blocks), MAX_BLOCKS if style.max_rows else 0)
    for position, number in enumerate(shown):
        if left_out and position == MAX_BLOCKS // 2:
            missing = sum(map(len, blocks)) - sum(len(blocks[k]) for k in shown)
            yield []
            yield [(f"… {missing} of {len(columns)} steps left out: choose with `time`, or `max_rows=0` for all", "")]
        yield []
        direction = "" if panels[0].x_name == "t" else DOT + panels[0].x_name
        yield [(panels[0].where + direction + (" (continued)" if number else ""), STRONG)]
        yield [("t".rjust(label) + "".join(str(times[column]).rjust(cell) for column in blocks[number]), "")]
        for panel in panels:
            yield [(f"{panel.symbol}{DOT}{panel.role}", "")]
            yield from _rows(panel, blocks[number], label, cell, style)


def _rows(panel: Panel, columns: Sequence[int], label: int, cell: int, style: Style) -> Iterator[list[Fragment]]:
    shown, left_out = head_and_tail(len(panel.rows), style.max_rows)
    for position, row in enumerate(shown):
        if left_out and position == (len(shown) + 1) // 2:
            yield [(f"… {left_out} of {len(panel.rows)} units left out: choose with `unit`, or `max_rows=0` for all", "")]
        values = panel.values[row, columns].tolist()
        yield [(panel.rows[row].rjust(label), ""), *(_cell(value, panel, cell) for value in values)]


def _cell(value: float | None, panel: Panel, width: int) -> Fragment:
    if value is None:
        return ".".rjust(width), ""
    if not np.isfinite(value):
        return "?".rjust(width), STRONG
    part = value / panel.limit
    tenths = min(int(abs(part) * 10), 9)
    sign = "" if panel.scale is Scale.UNIT or not tenths else "-" if value < 0 else "+"
    on_scale = part if panel.scale is Scale.UNIT else (part + 1) / 2
    return f"{sign}{tenths}".rjust(width), _colour(round(on_scale * SHADES), panel.scale)


@cache
def _colour(shade: int, scale: Scale) -> str:
    """Letters on ground, for one of the shades of a scale."""
    stops = np.array(_STOPS[scale])
    red, green, blue = (round(np.interp(shade / SHADES, np.linspace(0, 1, len(stops)), stops[:, k])) for k in range(3))
    light = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    return f"{'#000000' if light else '#ffffff'} on #{red:02x}{green:02x}{blue:02x}"


def _legend(panels: Sequence[Panel]) -> Iterator[str]:
    """What the digits mean."""
    for scale in dict.fromkeys(panel.scale for panel in panels):
        found = [panel for panel in panels if panel.scale is scale]
        symbols = ", ".join(dict.fromkeys(panel.symbol for panel in found))
        ends = "0 … 9" if scale is Scale.UNIT else "-9 … +9"
        yield f"{symbols}: {ends} in tenths of {found[0].limit:.3g}"
    if any(np.ma.getmaskarray(panel.values).any() for panel in panels):
        yield ".: no such step"
    if any(panel.note for panel in panels):
        yield "?: NaN or infinite"
