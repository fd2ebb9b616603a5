"""What flows where in a backward pass: every gradient that is a sum, with its parts."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from rnntrace.engine.backward.flow import Parts, parts_of
from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.equations.adjoint import OUTPUT, handed_on
from rnntrace.model.keys import LayerDirection
from rnntrace.model.spec import REVERSE
from rnntrace.report.excerpt import excerpt
from rnntrace.report.gradient_rows import GradientRows, existing, heading
from rnntrace.report.select import View, selected
from rnntrace.report.table import Column, Scale, Table
from rnntrace.report.trace import place

PART = "terms"
"""What `--show` calls it."""


def has_flow(result: BackwardResult, view: View) -> bool:
    """Whether a view has it. With a deliberate mistake the parts, which are those of the right equations, add up to nothing."""
    return PART in view.parts and not result.mistakes


def flow(result: BackwardResult, column: LayerDirection) -> dict[str, Parts]:
    """The parts of every gradient of a layer and direction that is a sum, by its symbol."""
    return parts_of(result.trace, result.weights, result.gradients, result.loss.gradients, column, result.truncate)


def flow_tables(result: BackwardResult, view: View) -> Iterator[Table]:
    """Where every gradient that is a sum comes from, a table for each of them."""
    if not has_flow(result, view):
        return
    for layer in reversed(range(result.spec.num_layers)):
        for direction in result.spec.directions if selected(layer, view.layers) else ():
            found = flow(result, (layer, direction))
            for item in range(result.inputs.batch):
                for symbol, parts in found.items() if selected(item, view.items) else ():
                    yield _sum(result, view, (layer, direction), item, symbol, parts)


def _sum(result: BackwardResult, view: View, column: LayerDirection, item: int, symbol: str, parts: Parts) -> Table:
    rows = GradientRows.of(result, view, column[1], item)
    columns = rows.index
    for source, values in parts.items():
        name = f"from {source_name(result, source, column)}"
        columns.append(Column(name, rows.column(values), Scale.SIGNED, "parts", "parts"))
    total = heading(symbol, column[1])
    columns.append(Column(total, rows.column(result.gradients.columns[*column, symbol]), Scale.SIGNED, "sum", "sum"))
    title = f"{place(*column, item)} · {total}, and where it comes from"
    return excerpt(title, columns, np.arange(len(rows.times)), len(rows.units), (), column[1])


def source_name(result: BackwardResult, source: str, column: LayerDirection) -> str:
    """Where a part of a gradient comes from: the output or the layer above, the step after, a gradient of the same step."""
    layer, direction = column
    if source == OUTPUT:
        return "output" if layer == result.spec.num_layers - 1 else f"layer {layer + 1}"
    if source in map(handed_on, result.spec.cell.states):
        return "t-1" if direction == REVERSE else "t+1"
    return heading(source)


def flow_document(result: BackwardResult) -> list[dict[str, Any]]:
    """The same for the JSON: one entry for each gradient that is a sum."""
    return [
        {
            "layer": layer,
            "direction": direction,
            "sum": heading(symbol, direction),
            "parts": [
                {"from": source_name(result, source, (layer, direction)), "values": existing(result.inputs, values)}
                for source, values in parts.items()
            ],
        }
        for layer, direction in result.spec.layer_directions
        for symbol, parts in flow(result, (layer, direction)).items()
    ]
