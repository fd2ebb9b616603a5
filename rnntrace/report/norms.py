"""Norms over time: their tables, their part of the JSON, and a word where gradients vanish or explode, with the reason."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.engine.backward.norms import Norms, Way, ways
from rnntrace.equations.adjoint import on_paper
from rnntrace.equations.notation import UNICODE, spell
from rnntrace.equations.parameters import Role, find
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import LayerDirection
from rnntrace.model.layouts import parameter_name, part_shapes
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.report.select import View, numbers_in, selected
from rnntrace.report.table import Column, Scale, Table

FADES, GROWS = 1e-3, 1e3
"""A norm that changes by more than this from the last step to the first is spoken of."""
Found = Mapping[LayerDirection, Norms]


def norm_tables(result: BackwardResult, norms: Found, view: View) -> Iterator[Table]:
    """Of each layer and direction: those of states, and those of what each step adds to the parameters' gradients."""
    if "norms" not in view.parts:
        return
    times = numbers_in(view.times, np.arange(1, result.inputs.steps + 1))
    for (layer, direction), found in norms.items():
        if selected(layer, view.layers):
            first = "T" if direction == REVERSE else "1"
            states = {f"‖∂{state}‖": values for state, values in found.gradients.items()}
            reach = {f"‖∂{state}_t/∂{state}_{first}‖": values for state, values in (found.reach or {}).items()}
            added = {f"‖∂{name}‖": values for name, values in found.parameters.items()}
            place = f"layer {layer} · {direction}"
            yield _table(f"{place} · norms over time", times, states, reach)
            yield _table(f"{place} · norms of what each step adds to the parameters' gradients", times, added)


def _table(title: str, times: Any, *groups: Mapping[str, Array]) -> Table:
    columns = [Column("t", times, Scale.INDEX)]
    for number, group in enumerate(groups):
        for heading, values in group.items():
            there = values[times - 1]
            shown = np.ma.array(there, mask=np.isnan(there))
            columns.append(Column(heading, shown, Scale.MAGNITUDE, "norms", f"norms {number}"))
    return Table(title, tuple(columns))


def norms_document(norms: Found) -> list[dict[str, Any]]:
    """One entry for each state: `values` are ‖∂L/∂s_t‖, `reach` ‖∂s_t/∂s_1‖, null where there is no such step or number."""
    return [
        {
            "layer": layer,
            "direction": direction,
            "state": state,
            "values": values,
            "reach": None if found.reach is None else found.reach[state],
        }
        for (layer, direction), found in norms.items()
        for state, values in found.gradients.items()
    ]


def norms_per_step(spec: ModuleSpec, norms: Found) -> dict[str, Array]:
    """‖what each step adds‖ to the gradient of every parameter, by its name in torch."""
    return {
        parameter_name(spec, part, layer, direction): found.parameters[name]
        for (layer, direction), found in norms.items()
        for name, part in zip(spec.shapes(layer), part_shapes(spec, layer), strict=True)
    }


def vanishing_or_exploding(result: BackwardResult, norms: Found, view: View) -> Iterator[str]:
    """A word where the gradients that flow back fade or grow, and where the norm that shows it is left out."""
    for (layer, direction), found in norms.items():
        state = result.spec.cell.output
        values = found.gradients[state]
        there = np.flatnonzero(values > 0)
        last, first = (there[[0, -1]] if direction == REVERSE else there[[-1, 0]]) if len(there) > 1 else (0, 0)
        with np.errstate(all="ignore"):
            ratio = values[first] / values[last]
        if ratio < FADES or ratio > GROWS:
            why = _reasons(result, (layer, direction), fades=ratio < FADES)
            yield (
                f"layer {layer}, {direction}: ‖∂L/∂{state}‖ {'vanishes' if ratio < FADES else 'explodes'}, "
                f"{values[last]:.1e} at t={last + 1} and {values[first]:.1e} at t={first + 1}{': ' * bool(why)}{why}"
            )
        if found.reach is None and "norms" in view.parts:
            first_step = "T" if direction == REVERSE else "1"
            yield (
                f"layer {layer}, {direction}: ‖∂{state}_t/∂{state}_{first_step}‖ left out: products of so many and so large "
                "Jacobians take too long; a shorter sequence or a smaller module has it"
            )


def _reasons(result: BackwardResult, column: LayerDirection, *, fades: bool) -> str:
    """Why: what a state keeps of itself at each step, or else the recurrent weights, those that weigh most first."""
    found = ways(result.trace, result.weights, column)
    direct = [way for way in found if way.factor is not None and (fades or way.mean > 1)]
    through = [way for way in found if way.factor is None]
    if direct:
        return ", ".join(
            f"∂{way.state} keeps {_spelled(way)} of itself at each step, {way.mean:.3g} on average" for way in direct
        )
    largest = max(through, key=lambda way: way.radius * way.mean, default=None)
    if largest is None:
        return ""
    cell = result.spec.cell_of(column[1])
    parameter = find(cell.parameters, Role.RECURRENT_MATRIX, largest.gate) or find(cell.parameters, Role.DIAGONAL, largest.gate)
    assert parameter is not None
    own = "" if len(through) == 1 else " weighs most of the recurrent weights and"
    radius = "a spectral radius" if parameter.role is Role.RECURRENT_MATRIX else "a largest weight"
    return (
        f"{parameter.block(largest.gate)}{own} has {radius} of {largest.radius:.3g}, "
        f"and the slope of {largest.gate}'s activation is {largest.mean:.3g} on average"
    )


def _spelled(way: Way) -> str:
    assert way.factor is not None
    return spell(on_paper(way.factor), UNICODE)
