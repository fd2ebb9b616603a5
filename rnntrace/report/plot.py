"""What a picture shows: for each symbol, layer, direction and item a panel of numbers."""

from dataclasses import dataclass, replace

import numpy as np

from rnntrace.engine.trace import Key
from rnntrace.errors import UsageError
from rnntrace.model.spec import REVERSE
from rnntrace.report.panels import finite, heatmap, items_in, panels_of, without_initial
from rnntrace.report.result import Result
from rnntrace.report.run import conclusion, headline
from rnntrace.report.select import View
from rnntrace.report.table import Panel, Scale
from rnntrace.report.trace import Masked, item_values

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
            "choose fewer with --layer and --item, or write a .pdf, which has pages"
        )
    which = "item " + ", ".join(map(str, items)) + (f" of {batch}, from 0" if batch > 1 else "")
    module, signals = (parts for parts, _ in headline(result)[:2])
    return Picture(kind, (module, signals, (kind, which), (conclusion(result)[0],)), panels)


def lines(result: Result, view: View) -> tuple[Panel, ...]:
    """The same numbers, to be drawn as a line for each unit."""
    return heatmap(result, view)


def histogram(result: Result, view: View) -> tuple[Panel, ...]:
    """How often values of each symbol occur, over its units and times: (1, bins)."""
    panels = []
    for panel in heatmap(result, view):
        edges = np.linspace(0.0 if panel.scale is Scale.UNIT else -panel.limit, panel.limit, BINS + 1)
        counts = np.histogram(finite(panel), edges)[0]
        values = np.ma.array(counts[None], mask=np.zeros((1, BINS), bool))
        panels.append(
            replace(panel, rows=("values",), row_name="count", x=tuple(edges.tolist()), x_name="value", values=values)
        )
    return tuple(panels)


def saturation(result: Result, view: View) -> tuple[Panel, ...]:
    """The share of each gate's units that are almost open or almost shut: (2, t). Raises UsageError without gates."""
    gates = [without_initial(panel) for panel in heatmap(result, view) if panel.scale is Scale.UNIT]
    if not gates:
        raise UsageError(f"saturation is that of sigmoid gates, and {result.spec.kind} has none: choose another --kind")
    rows = (f"above {HIGH}", f"below {LOW}")
    return tuple(
        replace(
            panel,
            rows=rows,
            row_name="share of units",
            values=np.ma.stack([(panel.values > HIGH).mean(axis=0), (panel.values < LOW).mean(axis=0)]),
        )
        for panel in gates
    )


def difference(result: Result, view: View) -> tuple[Panel, ...]:
    """The largest |Δ| of the units, replay against framework, (1, t) from t = 1 on, and where one is out of tolerance."""
    # At t = 0 both sides are given the same state.
    return tuple(_difference(result, without_initial(panel), key, item) for key, item, panel in panels_of(result, view))


KINDS = {
    "heatmap": heatmap,
    "lines": lines,
    "histogram": histogram,
    "saturation": saturation,
    "difference": difference,
}


def _difference(result: Result, panel: Panel, key: Key, item: int) -> Panel:
    times = [int(t) for t in panel.x]
    grid = np.ix_(times, [int(row) for row in panel.rows])
    blank = replace(
        panel,
        scale=Scale.DIFFERENCE,
        rows=("largest of the units",),
        row_name="|Δ|",
        values=np.ma.array(np.zeros((1, len(times))), mask=np.ones((1, len(times)), bool)),
        flagged=np.zeros((1, len(times)), bool),
        note=f"{result.observation.framework}'s values are not known",
    )
    if key not in result.framework_values:
        return blank
    mine = item_values(result, result.trace.columns[key], key, item)[grid]
    theirs = item_values(result, result.framework_values[key], key, item)[grid]
    flags = item_values(result, result.comparison.out_of_tolerance[key], (*key[:2], ""), item)[grid]
    # What is finite on one side only is infinitely far off; where neither is, nothing can be said.
    one, other = np.isfinite(mine.data), np.isfinite(theirs.data)
    with np.errstate(invalid="ignore"):
        apart = np.where(one & other, np.abs(mine.data - theirs.data), np.inf)
    delta = np.ma.array(apart, mask=np.ma.getmaskarray(mine) | ~(one | other)).max(axis=1)
    out = np.asarray(flags.filled(0).any(axis=1))
    return replace(
        blank, values=delta[None], flagged=out[None], note=_spoken(delta, [times[k] for k in np.flatnonzero(out)], key)
    )


def _spoken(delta: Masked, out: list[int], key: Key) -> str:
    """What the curve says: where it leaves the tolerance, or that there is none."""
    if not delta.count():
        return "nothing to compare"
    if out:
        return f"out of tolerance from t={max(out) if key[1] == REVERSE else min(out)}"
    return "" if delta.any() else "no difference at any step"
