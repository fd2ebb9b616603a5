"""The report of a backward pass: every gradient of every step, those of the parameters, and how they grow or fade with time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.engine.backward.norms import norms_of
from rnntrace.engine.judge.difference import difference
from rnntrace.engine.judge.pairing import Place
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.equations.adjoint import adjoint, gradient, pre_activation
from rnntrace.model.backward import HANDED_IN, NOTHING_GIVEN
from rnntrace.model.keys import Key
from rnntrace.report.backward_document import document, missing
from rnntrace.report.beside import Pair, differences, marked
from rnntrace.report.excerpt import excerpt
from rnntrace.report.flow import PART, flow_document, flow_tables, has_flow
from rnntrace.report.gradient_parameters import added_tables, parameter_tables
from rnntrace.report.gradient_rows import GradientRows, heading
from rnntrace.report.mistakes import blind_tables
from rnntrace.report.norms import norm_tables, vanishing_or_exploding
from rnntrace.report.run import describe, describe_signals
from rnntrace.report.select import View, selected
from rnntrace.report.table import Column, Line, Report, Scale, Table
from rnntrace.report.trace import place

if TYPE_CHECKING:
    from rnntrace.report.page import Play

GRADIENT_PARTS = ("gradients", "states", "parameters", "norms", "terms")
"""What `--show` may name: gates with what stands before their activations, states, parameters with x and h0, norms over time,
and the terms of every sum: what comes to a gradient and from where, what is handed on, what each step adds to parameters."""

NAMED = 6
"""So many gradients that were not handed in are named in the last line."""


def backward_report(result: BackwardResult, view: View) -> Report:
    """Everything that `rnntrace backward` has to tell of a result."""
    norms = norms_of(result.trace, result.weights, result.gradients)
    blind = blind_tables(result.blind, "these gradients")
    return Report(
        headline=headline(result),
        tables=(
            *_step_tables(result, view),
            *flow_tables(result, view),
            *norm_tables(result, norms, view),
            *added_tables(result, view),
            *parameter_tables(result, view),
            *blind,
        ),
        conclusion=(*_conclusion(result), *_not_given(result), *_asked(result)),
        passed=result.passed,
        document=document(result, norms) | ({"flow": flow_document(result)} if has_flow(result, view) else {}),
        warnings=(*result.warnings, *vanishing_or_exploding(result, norms, view), *_left_out(result, view)),
        plays=lambda: _plays(result, view),
    )


def _plays(result: BackwardResult, view: View) -> "list[Play]":
    # Few reports become a page.
    from rnntrace.report.page_backward import play_of_gradients

    return [play_of_gradients(result, view)]


def headline(result: BackwardResult) -> tuple[Line, ...]:
    """The module and who stands beside the replay; the signals; the loss, and what is done to gradients."""
    seen, loss = result.observation, result.loss
    left = describe(result.spec, result.seed)
    other: tuple[str, ...] = (f"{seen.framework} {seen.version}".strip(), *filter(None, (seen.path,)))
    if seen.framework == NOTHING_GIVEN:
        other = ("the replay alone",)
    value = "" if loss.value is None else f" = {loss.value:.6g}"
    words = {"sum": "Σ output", "last": "Σ output at the last step", "mse": "mean (output - target)²"}
    said = [f"loss L: {words[loss.name]}{value}" if loss.name in words else "∂L/∂output and the like: given"]
    if result.truncate is not None:
        said.append(f"no gradient goes back over a step that is a multiple of {result.truncate}")
    clipping = result.clipping
    if clipping.norm is not None:
        said.append(f"norm {result.norm:.4g}, clipped at {clipping.norm:g}")
    if clipping.value is not None:
        said.append(f"clipped at ±{clipping.value:g}")
    lines: list[Line] = [
        (tuple(left), other),
        (tuple(describe_signals(result.spec, result.inputs, result.origin or {})), ()),
        (tuple(said), ()),
    ]
    if seen.not_captured and seen.framework not in (HANDED_IN, NOTHING_GIVEN):
        lines.append(((f"{seen.framework}: gradients of gates not captured ({seen.not_captured})",), ()))
    lines += [((f"deliberate mistake: {mistake.id}, {mistake.says}",), ()) for mistake in result.mistakes]
    return tuple(lines)


def _symbols(result: BackwardResult, view: View, direction: str) -> Iterator[tuple[str, str]]:
    """(group, symbol) of the columns, in the order of the equations of the forward pass."""
    cell = result.spec.cell_of(direction)
    there = adjoint(cell).cell.symbols
    groups = {
        "gradients": [gradient(symbol) for symbol in cell.symbols if symbol not in cell.states],
        "before activations": [pre_activation(symbol) for symbol in cell.symbols],
        "states": [gradient(symbol) for symbol in cell.states],
    }
    groups["terms"] = [symbol for symbol in there if symbol not in {name for names in groups.values() for name in names}]
    parts = {"before activations": "gradients"}
    for group, names in groups.items():
        if parts.get(group, group) in view.parts:
            yield from ((group, symbol) for symbol in names if symbol in there)


def _step_tables(result: BackwardResult, view: View) -> Iterator[Table]:
    for layer in reversed(range(result.spec.num_layers)):
        for direction in result.spec.directions:
            for item in range(result.inputs.batch):
                if selected(layer, view.layers) and selected(item, view.items) and [*_symbols(result, view, direction)]:
                    yield _steps(result, view, layer, direction, item)


def _steps(result: BackwardResult, view: View, layer: int, direction: str, item: int) -> Table:
    inputs, rows = result.inputs, GradientRows.of(result, view, direction, item)
    columns = rows.index
    seen, name = result.observation.columns, result.observation.framework
    pairs: list[Pair] = []
    symbols = [*_symbols(result, view, direction)]
    for group in dict.fromkeys(group for group, _ in symbols):
        beside = []
        for symbol in (symbol for other, symbol in symbols if other == group):
            key: Key = (layer, direction, symbol)
            values = rows.column(result.gradients.columns[key])
            mine = Column(heading(symbol, direction), values, Scale.SIGNED, group, group)
            if key in seen:
                other_side = Column(f"{name} {mine.heading}", rows.column(seen[key]), Scale.SIGNED, group, f"framework {group}")
                flags = rows.column(result.comparison.out_of_tolerance[key]).filled(0).astype(bool)
                pairs.append(marked(Pair(mine.heading, mine, other_side, flags), name))
                mine = pairs[-1].mine
                beside.append(pairs[-1].theirs)
            columns.append(mine)
        columns.extend(beside)
    columns += differences(pairs, np.zeros(len(rows), bool), columns[-1].section)
    title = f"{place(layer, direction, item)} · ∂L/∂ of each gate and state, back from the last step"
    if (length := len(inputs.counted(item))) < inputs.steps:
        title += f" · {length} of {inputs.steps} steps"
    return excerpt(title, columns, np.arange(len(rows.times)), len(rows.units), (), direction)


def _not_given(result: BackwardResult) -> tuple[str, ...]:
    names = missing(result)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (f"not given: {', '.join(names[:NAMED])}{more}",) if names else ()


def _asked(result: BackwardResult) -> tuple[str, ...]:
    """What deliberate mistakes and blindness add to the verdict."""
    unseen = ("these gradients do not reveal the mistake",) if result.mistakes and result.passed else ()
    blind = result.blind
    return (*unseen, *((f"blind to {len(blind.spots)} of {blind.possible} mistakes",) if blind else ()))


def _conclusion(result: BackwardResult) -> tuple[str, ...]:
    """The verdict and its reasons."""
    compared, verdict, seen = result.comparison, result.verdict, result.observation
    steps = () if seen.columns or seen.framework == HANDED_IN else ("gradients of gates not compared",)
    worst = _worst(result)
    unjudged = dict.fromkeys(heading(name) for *_, name in compared.unjudged)
    aside = (f"not judged, with a tolerance wider than the values: {', '.join(unjudged)}",) if unjudged else ()
    within = f"{compared.tolerance}"
    match verdict:
        case Verdict.IDENTICAL:
            return (f"{verdict}  the same bits in every gradient", *steps)
        case Verdict.PASS:
            return (f"{verdict}  every gradient within {within}", *worst, *aside, *steps)
        case Verdict.ROUNDED:
            return (f"{verdict}  every gradient within {within}, or right to the digits that were typed", *worst, *aside)
        case Verdict.DRIFT:
            reason = "what flows back over many steps is not: rounding, amplified from step to step"
            return (f"{verdict}  every single step within {within}", reason, *worst, *aside, *steps)
        case Verdict.UNDECIDED:
            return (f"{verdict}  {compared.doubt or 'what is not finite proves nothing'}", *worst)
    first = compared.first_failure
    assert first is not None
    bad, of = (sum(getattr(found, name) for found in compared.differences) for name in ("one_step_bad", "of"))
    digits = 17 if result.spec.dtype == "float64" else 9
    return (
        f"{verdict}  first at {_where(result, first)}: replay {first.replay:.{digits}g}, "
        f"{seen.framework} {first.framework:.{digits}g}",
        f"{bad} of {of} gradients out of tolerance ({within})" if bad else "rounding does not explain how they part",
        *worst,
    )


def _where(result: BackwardResult, found: Place) -> str:
    """A place in words: of a step, or of a parameter."""
    column = f"layer {found.layer}, {found.direction}, " if len(result.spec.layer_directions) > 1 else ""
    if found.t:
        item = f"item {found.item}, " if result.inputs.batch > 1 else ""
        return f"{heading(found.symbol)}, {column}t={found.t}, {item}unit {found.unit}"
    parameters = {gradient(parameter.name): parameter for parameter in result.spec.cell_of(found.direction).parameters}
    parameter = parameters.get(found.symbol)
    if parameter is None:
        return f"{found.symbol}, {column}item {found.item}, unit {found.unit}"
    if not parameter.gates:
        return f"{found.symbol}[{found.item}, {found.unit}]{', ' + column.rstrip(', ') if column else ''}"
    row, place_in = found.item, f", {found.unit}"
    if len(parameter.shape) < 3:
        # A row of a matrix of gates and units.
        gate, unit, place_in = parameter.gates[found.item], found.unit, ""
    else:
        gate, unit = parameter.gates[row // result.spec.hidden_size], row % result.spec.hidden_size
    return f"∂{parameter.block(gate)}[{unit}{place_in}]" + (f", {column.rstrip(', ')}" if column else "")


def _worst(result: BackwardResult) -> tuple[str, ...]:
    found = result.comparison.worst
    if found is None:
        return ()
    return (f"worst |Δ| {float(difference(found.replay, found.framework)):.1e} ({_where(result, found)})",)


def _left_out(result: BackwardResult, view: View) -> tuple[str, ...]:
    """What a view has that the result does not."""
    if PART not in view.parts or has_flow(result, view):
        return ()
    return ("terms are those of the right equations, and a mistake was made on purpose: what adds up to gradients is left out",)
