"""The report of a backward pass: every gradient of every step, those of the parameters, and how they grow or fade with time."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.engine.backward.norms import Norms, norms_of
from rnntrace.engine.judge.difference import difference
from rnntrace.engine.judge.pairing import Place
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.equations.adjoint import adjoint, gradient, handed_on, pre_activation
from rnntrace.model.backward import HANDED_IN, NOTHING_GIVEN
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import Key, LayerDirection
from rnntrace.model.layouts import parameters_of
from rnntrace.report.beside import Pair, differences, marked
from rnntrace.report.excerpt import excerpt
from rnntrace.report.flow import PART, flow_document, flow_tables, has_flow
from rnntrace.report.gradient_parameters import added_tables, parameter_tables
from rnntrace.report.gradient_rows import GradientRows, existing, heading
from rnntrace.report.mistakes import blind_document, blind_tables, told
from rnntrace.report.norms import norm_tables, norms_document, norms_per_step, vanishing_or_exploding
from rnntrace.report.run import describe, describe_signals
from rnntrace.report.select import View, selected
from rnntrace.report.table import SCHEMA, Column, Line, Report, Scale, Table
from rnntrace.report.trace import place
from rnntrace.version import __version__

if TYPE_CHECKING:
    from rnntrace.report.page import Play

GRADIENT_PARTS = ("gradients", "states", "parameters", "norms", "terms")
"""What `--show` may name: gates with what stands before their activations, states, parameters with x and h0, norms over time,
and the terms of every sum: what comes to a gradient and from where, what is handed on, what each step adds to parameters."""


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
        conclusion=(*_conclusion(result), *_asked(result)),
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


def document(result: BackwardResult, norms: Mapping[LayerDirection, Norms]) -> dict[str, Any]:
    """The whole result as plain mappings, lists and arrays; the keys are documented in docs/json.md."""
    compared, seen, spec = result.comparison, result.observation, result.spec
    theirs = {} if seen.parameters is None else _by_name(result, seen.parameters)
    per_step = norms_per_step(spec, norms)
    return {
        "schema": SCHEMA,
        "command": "backward",
        "verdict": str(result.verdict),
        "passed": result.passed,
        "spec": spec.document(),
        "seed": result.seed,
        "environment": {
            "rnntrace": __version__,
            "numpy": np.__version__,
            "framework": seen.framework,
            "version": seen.version,
            "path": seen.path,
            "not_captured": seen.not_captured or None,
        },
        "loss": {"name": result.loss.name, "value": result.loss.value, "gradients": dict(result.loss.gradients)},
        "truncate": result.truncate,
        "clip": {**asdict(result.clipping), "total_norm": result.norm},
        "gradients": [
            {
                "layer": layer,
                "direction": direction,
                "symbol": _plain(symbol),
                "of": _kind(result, symbol),
                "values": existing(result.inputs, values),
                "framework": existing(result.inputs, seen.columns.get((layer, direction, symbol))),
            }
            for (layer, direction, symbol), values in result.gradients.columns.items()
        ],
        "parameters": {
            name: {"values": values, "framework": theirs.get(name), "norm_per_step": per_step[name]}
            for name, values in _by_name(result, result.gradients.parameters).items()
        },
        "signals": {
            name: {"values": values, "framework": seen.signals.get(name)} for name, values in result.gradients.signals.items()
        },
        "norms": norms_document(norms),
        "differences": [{**asdict(found), "name": heading(found.name)} for found in compared.differences],
        "first_failure": place_document(result, compared.first_failure),
        "worst": place_document(result, compared.worst),
        "tolerance": asdict(compared.tolerance),
        "warnings": list(result.warnings),
        **({"mistakes": [told(mistake) for mistake in result.mistakes]} if result.mistakes else {}),
        **({"blind": blind_document(result.blind)} if result.blind else {}),
    }


def place_document(result: BackwardResult, found: Place | None) -> dict[str, Any] | None:
    """A place: `index` is the item and the unit of a gradient at step t, and row and column of one that belongs to no step."""
    if found is None:
        return None
    return {
        "layer": found.layer,
        "direction": found.direction,
        "symbol": _plain(found.symbol) if found.t else found.symbol.removeprefix("∂"),
        "of": _kind(result, found.symbol) if found.t else "whole",
        "t": found.t or None,
        "index": [found.item, found.unit],
        "replay": found.replay,
        "framework": found.framework,
    }


def _plain(symbol: str) -> str:
    """The symbol that a gradient is of: `f` of `∂f` and of `∂f.pre`."""
    return symbol.removeprefix("∂").partition(".")[0]


def _kind(result: BackwardResult, symbol: str) -> str:
    name, states = _plain(symbol), result.spec.cell.states
    if symbol == pre_activation(name):
        return "pre"
    if symbol == gradient(name):
        return "state" if name in states else "gate"
    return "handed on" if symbol == handed_on(name) else "term"


def _by_name(result: BackwardResult, found: Any) -> dict[str, Array]:
    """Gradients of parameters under torch's names, as far as they are all there."""
    whole = all(found[column].arrays.keys() >= result.spec.shapes(column[0]).keys() for column in result.spec.layer_directions)
    return parameters_of(result.spec, found) if whole else {}


def _left_out(result: BackwardResult, view: View) -> tuple[str, ...]:
    """What a view has that the result does not."""
    if PART not in view.parts or has_flow(result, view):
        return ()
    return ("terms are those of the right equations, and a mistake was made on purpose: what adds up to gradients is left out",)
