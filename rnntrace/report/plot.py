"""What a picture shows: for each symbol, layer, direction and item a panel of numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.judge.difference import difference
from rnntrace.engine.judge.result import Result
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import Flags
from rnntrace.model.keys import Key
from rnntrace.model.spec import REVERSE
from rnntrace.model.windows import pieces
from rnntrace.report.conclusion import conclusion
from rnntrace.report.panels import (
    blank_panel,
    flags_of,
    grid_of,
    heatmap,
    items_in,
    keys_of,
    steps_together,
    time_axis,
    without_initial,
)
from rnntrace.report.run import headline
from rnntrace.report.select import View
from rnntrace.report.table import Panel, Scale
from rnntrace.report.trace import item_values

MAX_PANELS = 48
"""As many panels can be read on one sheet."""
BINS = 20
"""Bars of a histogram."""
HIGH, LOW = 0.9, 0.1
"""A gate above or below these counts as saturated."""


@dataclass(frozen=True)
class Picture:
    """Panels of one kind, and lines of title, each in parts."""

    kind: str
    title: tuple[tuple[str, ...], ...]
    panels: tuple[Panel, ...]


def picture(result: Result, view: View, kind: str = "heatmap", *, paged: bool = False) -> Picture:
    """What to draw of the layers, times, units and items of `view`; without items in it, item 0.

    Raises UsageError for an unknown kind, if there is nothing to draw, and if there is more than fits on a sheet and the
    picture is not `paged`.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind of picture {kind!r}: choose one of {', '.join(KINDS)}")
    items, batch = items_in(view), result.inputs.batch
    panels = KINDS[kind](result, view)
    if len(panels) > MAX_PANELS and not paged:
        raise UsageError(
            f"a sheet holds {MAX_PANELS} panels, and these layers, directions and items have {len(panels)}: "
            "choose fewer with `layer` and `item`, or write a .pdf, which has pages"
        )
    which = "item " + ", ".join(map(str, items)) + (f" of {batch}, from 0" if batch > 1 else "")
    module, signals = (parts for parts, _ in headline(result)[:2])
    return Picture(kind, (module, signals, (kind, which), (conclusion(result)[0],)), panels)


def lines(result: Result, view: View) -> tuple[Panel, ...]:
    """The same numbers, to be drawn as a line for each unit."""
    return heatmap(result, view)


def histogram(result: Result, view: View) -> tuple[Panel, ...]:
    """How often values of each symbol occur, over its units and times, all of them: (1, bins)."""
    found = {place: blank_panel(result, *place) for place in keys_of(result, view)}
    signed = [place for place, panel in found.items() if panel.scale is Scale.SIGNED]
    sizes = (np.abs(values).max(initial=0.0) for place in signed for values, _ in _in_pieces(result, view, *place))
    largest = float(max(sizes, default=0.0)) or 1.0
    panels = []
    for place, panel in found.items():
        low, high = (-largest, largest) if place in signed else (0.0, 1.0)
        counts, broken = np.zeros(BINS, int), 0
        for values, missing in _in_pieces(result, view, *place):
            counts += np.histogram(values, BINS, (low, high))[0]
            broken += missing
        panels.append(
            replace(
                panel,
                rows=("values",),
                row_name="count",
                x=tuple(np.linspace(low, high, BINS + 1).tolist()),
                x_name="value",
                limit=high,
                values=np.ma.array(counts[None], mask=np.zeros((1, BINS), bool)),
                note=f"{broken} NaN or infinite" if broken else "",
            )
        )
    return tuple(panels)


def _in_pieces(result: Result, view: View, key: Key, item: int) -> Iterator[tuple[NDArray[np.float64], int]]:
    """The finite values of a symbol of the replay, some times after others, and how many are not finite."""
    times, units = grid_of(result, view, key)
    for part in pieces((len(times), len(units))):
        values = item_values(result, result.trace.columns[key], key, item, times[part], units).compressed()
        finite = values[np.isfinite(values)]
        yield finite, values.size - finite.size


def saturation(result: Result, view: View) -> tuple[Panel, ...]:
    """The share of each gate's units that are almost open or almost shut: (2, t). Raises UsageError without gates."""
    gates = [without_initial(panel) for panel in heatmap(result, view) if panel.scale is Scale.UNIT]
    if not gates:
        owner = "the trace was kept without them" if result.spec.cell.sigmoids else f"{result.spec.kind} has none"
        raise UsageError(f"saturation is that of sigmoid gates, and {owner}: choose another `kind`")
    rows = (f"above {HIGH}", f"below {LOW}")
    return tuple(
        replace(
            panel,
            rows=rows,
            row_name="share of units",
            flagged=None,
            note="",
            values=np.ma.stack([(panel.values > HIGH).mean(axis=0), (panel.values < LOW).mean(axis=0)]),
        )
        for panel in gates
    )


def differences(result: Result, view: View) -> tuple[Panel, ...]:
    """The largest |Δ| of the units, replay against framework, (1, t) from t = 1 on, and where one is out of tolerance.

    Of a long time a column has the largest of several steps.
    """
    return tuple(_difference(result, view, key, item) for key, item in keys_of(result, view))


KINDS = {
    "heatmap": heatmap,
    "lines": lines,
    "histogram": histogram,
    "saturation": saturation,
    "difference": differences,
}


def _difference(result: Result, view: View, key: Key, item: int) -> Panel:
    every, units = grid_of(result, view, key)
    # At t = 0 both sides are given the same state.
    times = every[every > 0]
    together = steps_together(len(times))
    starts = np.arange(0, len(times), together)
    blank = replace(
        blank_panel(result, key, item),
        scale=Scale.DIFFERENCE,
        rows=("largest of the units",),
        row_name="|Δ|",
        x=tuple(times[starts].tolist()),
        x_name=time_axis(key[1]) + (f", the largest of each {together}" if together > 1 else ""),
        values=np.ma.array(np.zeros((1, len(starts))), mask=np.ones((1, len(starts)), bool)),
        flagged=np.zeros((1, len(starts)), bool),
        note=f"{result.observation.framework}'s values are not known",
    )
    if key not in result.framework_values:
        return blank
    if not len(times):
        return replace(blank, note="nothing to compare")
    parts = [_apart(result, key, item, times[part], units) for part in pieces((len(times), len(units)))]
    # What does not exist is less than nothing.
    delta, out = (np.concatenate(found) for found in zip(*parts, strict=True))
    largest = np.maximum.reduceat(delta, starts)
    return replace(
        blank,
        values=np.ma.array(np.maximum(largest, 0.0), mask=largest < 0)[None],
        flagged=np.logical_or.reduceat(out, starts)[None],
        note=_spoken(delta, times[out].tolist(), key),
    )


def _apart(
    result: Result, key: Key, item: int, times: NDArray[np.int_], units: NDArray[np.int_]
) -> tuple[NDArray[np.float64], Flags]:
    """By time the largest |Δ| of the units, -1 where there is none, and whether one of them is out of tolerance."""
    sides = result.trace.columns[key], result.framework_values[key]
    mine, theirs = (item_values(result, side, key, item, times, units) for side in sides)
    out: Flags = np.asarray(flags_of(result, key, item, times, units).any(axis=1))
    # What is finite on one side only is infinitely far off; where neither is, nothing can be said.
    one, other = np.isfinite(mine.data), np.isfinite(theirs.data)
    apart = difference(mine.data, theirs.data)
    return np.where(np.ma.getmaskarray(mine) | ~(one | other), -1.0, apart).max(axis=1, initial=-1.0), out


def _spoken(delta: NDArray[np.float64], out: list[int], key: Key) -> str:
    """What the curve says: where it leaves the tolerance, or that there is none."""
    if not (delta >= 0).any():
        return "nothing to compare"
    if out:
        return f"out of tolerance from t={max(out) if key[1] == REVERSE else min(out)}"
    return "" if (delta > 0).any() else "no difference at any step"
