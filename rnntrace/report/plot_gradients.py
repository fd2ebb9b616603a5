"""What a picture of a backward pass shows: every gradient by unit and step, and how their norms grow or fade with time."""

from collections.abc import Iterator

import numpy as np

from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.equations.adjoint import gradient
from rnntrace.errors import UsageError
from rnntrace.model.keys import Key
from rnntrace.report.backward import headline
from rnntrace.report.panels import items_in, on_one_scale, steps_together, time_axis
from rnntrace.report.plot import MAX_PANELS, Picture
from rnntrace.report.select import View, numbers_in, selected
from rnntrace.report.table import Panel, Scale
from rnntrace.report.trace import place

KIND = "gradients"


def gradient_picture(result: BackwardResult, view: View, *, paged: bool = False) -> Picture:
    """Gates and states of the layers, times, units and items of `view`, without items in it of item 0, and the states' norms.

    Raises UsageError if there is more than fits on a sheet and the picture is not `paged`.
    """
    panels = (*on_one_scale([*_panels(result, view)]), *_norms(result, view))
    if len(panels) > MAX_PANELS and not paged:
        raise UsageError(
            f"a sheet holds {MAX_PANELS} panels, and these layers, directions and items have {len(panels)}: "
            "choose fewer with `layer` and `item`, or write a .pdf, which has pages"
        )
    module, signals, loss = (parts for parts, _ in headline(result)[:3])
    which = "item " + ", ".join(map(str, items_in(view)))
    verdict = f"{result.verdict}  {result.comparison.tolerance}" if result.passed else str(result.verdict)
    return Picture(KIND, (module, signals, loss, ("gradients", which), (verdict,)), panels)


def _panels(result: BackwardResult, view: View) -> Iterator[Panel]:
    """∂L/∂ of each gate and state, (units, t), with what is out of tolerance flagged."""
    for layer, direction in result.spec.layer_directions:
        if not selected(layer, view.layers):
            continue
        cell = result.spec.cell_of(direction)
        for item in items_in(view):
            for symbol in cell.symbols:
                key = (layer, direction, gradient(symbol))
                if key in result.gradients.columns:
                    yield _panel(result, view, key, item, cell.roles[symbol])


def _panel(result: BackwardResult, view: View, key: Key, item: int, role: str) -> Panel:
    column = result.gradients.columns[key]
    times = numbers_in(view.times, np.arange(1, result.inputs.steps + 1))
    together = steps_together(len(times))
    times, units = times[::together], numbers_in(view.units, np.arange(column.shape[2]))
    counted = np.isin(times, result.inputs.counted(item))
    grid = np.ix_(times - 1, np.array([item]), units)
    values = np.ma.array(column[grid][:, 0].astype(np.float64).T, mask=np.broadcast_to(~counted, (len(units), len(times))))
    out = result.comparison.out_of_tolerance.get(key)
    flagged = None if out is None else (out[grid][:, 0].T & counted)
    wrong = 0 if flagged is None else int(flagged.sum())
    return Panel(
        place(key[0], key[1], item),
        key[2],
        role,
        Scale.SIGNED,
        tuple(map(str, units.tolist())),
        tuple(times.tolist()),
        values,
        x_name=time_axis(key[1]) + (f", one in {together}" if together > 1 else ""),
        flagged=flagged if wrong else None,
        note=f"{wrong} of {values.count()} out of tolerance" if wrong else "",
    )


def _norms(result: BackwardResult, view: View) -> Iterator[Panel]:
    """‖∂L/∂ of each state‖ over all items and units, (1, t)."""
    times = numbers_in(view.times, np.arange(1, result.inputs.steps + 1))
    times = times[:: steps_together(len(times))]
    for layer, direction in result.spec.layer_directions:
        for state in result.spec.cell.states if selected(layer, view.layers) else ():
            norms = result.gradients.norms(state, layer, direction)[times - 1]
            yield Panel(
                f"layer {layer} · {direction}",
                f"‖∂{state}‖",
                "over all items and units",
                Scale.DIFFERENCE,
                ("norm",),
                tuple(times.tolist()),
                np.ma.array(norms[None], mask=np.zeros((1, len(times)), bool)),
                row_name="norm",
                x_name=time_axis(direction),
            )
