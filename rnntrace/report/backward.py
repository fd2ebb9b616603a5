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
from rnntrace.equations.parameters import Parameter
from rnntrace.model.backward import HANDED_IN, NOTHING_GIVEN
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key, LayerDirection
from rnntrace.model.layouts import parameters_of
from rnntrace.model.spec import REVERSE
from rnntrace.report.beside import Pair, differences, marked
from rnntrace.report.excerpt import excerpt
from rnntrace.report.mistakes import blind_document, blind_tables, told
from rnntrace.report.norms import flow, norm_tables, norms_document, norms_per_step
from rnntrace.report.run import describe, describe_signals
from rnntrace.report.select import View, numbers_in, selected
from rnntrace.report.table import SCHEMA, Column, Line, Report, Scale, Table
from rnntrace.report.trace import place
from rnntrace.version import __version__

if TYPE_CHECKING:
    from rnntrace.report.page import Play

GRADIENT_PARTS = ("gradients", "states", "parameters", "norms", "terms")
"""What `--show` may name: gates with what stands before their activations, states, parameters with x and h0, norms over time,
and what is handed on from step to step."""


def backward_report(result: BackwardResult, view: View) -> Report:
    """Everything that `rnntrace backward` has to tell of a result."""
    norms = norms_of(result.trace, result.weights, result.gradients)
    blind = blind_tables(result.blind, "these gradients")
    return Report(
        headline=headline(result),
        tables=(*_step_tables(result, view), *norm_tables(result, norms, view), *_parameter_tables(result, view), *blind),
        conclusion=(*_conclusion(result), *_asked(result)),
        passed=result.passed,
        document=document(result, norms),
        warnings=(*result.warnings, *flow(result, norms, view)),
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


def heading(symbol: str) -> str:
    """How a table calls a gradient: `∂f`, before its activation `∂a_f`, handed on to the step before `∂h → t-1`."""
    name = symbol.removeprefix("∂")
    if name.endswith(".pre"):
        return f"∂a_{name.removesuffix('.pre')}"
    return f"∂{name.removesuffix('.before')} → t-1" if name.endswith(".before") else symbol


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
    spec, inputs = result.spec, result.inputs
    units = numbers_in(view.units, np.arange(spec.hidden_size))
    times = numbers_in(view.times, inputs.counted(item))
    times = times if direction == REVERSE else times[::-1]

    def column(values: Array | Flags) -> Any:
        """The values of this item, a row per step and unit; a projected state has fewer units."""
        there = units < values.shape[2]
        found = np.zeros((len(times), len(units)))
        found[:, there] = values[times - 1, item][:, units[there]]
        return np.ma.array(found, mask=np.broadcast_to(~there, found.shape)).ravel()

    columns = [
        Column("t", np.repeat(times, len(units)), Scale.INDEX),
        Column("unit", np.tile(units, len(times)), Scale.INDEX),
    ]
    seen, name = result.observation.columns, result.observation.framework
    pairs: list[Pair] = []
    symbols = [*_symbols(result, view, direction)]
    for group in dict.fromkeys(group for group, _ in symbols):
        beside = []
        for symbol in (symbol for other, symbol in symbols if other == group):
            key: Key = (layer, direction, symbol)
            mine = Column(heading(symbol), column(result.gradients.columns[key]), Scale.SIGNED, group, group)
            if key in seen:
                other_side = Column(f"{name} {mine.heading}", column(seen[key]), Scale.SIGNED, group, f"framework {group}")
                flags = column(result.comparison.out_of_tolerance[key]).filled(0).astype(bool)
                pairs.append(marked(Pair(mine.heading, mine, other_side, flags), name))
                mine = pairs[-1].mine
                beside.append(pairs[-1].theirs)
            columns.append(mine)
        columns.extend(beside)
    columns += differences(pairs, np.zeros(len(times) * len(units), bool), columns[-1].section)
    title = f"{place(layer, direction, item)} · ∂L/∂ of each gate and state, back from the last step"
    if (length := len(inputs.counted(item))) < inputs.steps:
        title += f" · {length} of {inputs.steps} steps"
    return excerpt(title, columns, np.arange(len(times)), len(units), (), REVERSE if direction == REVERSE else "forward")


def _parameter_tables(result: BackwardResult, view: View) -> Iterator[Table]:
    """The gradients of each parameter, a row per gate and unit, with the largest difference in the row."""
    if "parameters" not in view.parts:
        return
    for layer, direction in result.spec.layer_directions:
        cell = result.spec.cell_of(direction)
        for parameter in cell.parameters:
            array = result.gradients.parameters[layer, direction].arrays.get(parameter.name)
            if array is not None and selected(layer, view.layers):
                yield _parameter(result, (layer, direction), parameter, array)
    for name, values in result.gradients.signals.items():
        if name != "x":
            rows = values.reshape(-1, values.shape[-1])
            index = Column("row", np.arange(len(rows)), Scale.INDEX)
            yield Table(f"∂L/∂{name}", (index, *_numbered(name, rows)))


def _parameter(result: BackwardResult, column: tuple[int, str], parameter: Parameter, array: Array) -> Table:
    rows = array.reshape(-1, array.shape[-1]) if array.ndim > 2 or not parameter.gates else array.reshape(-1, 1)
    units = len(rows) // max(len(parameter.gates), 1)
    gates = np.repeat([parameter.block(gate) for gate in parameter.gates] or [parameter.name], units).astype(object)
    columns = [
        Column("of", gates, Scale.NAME),
        Column("unit", np.tile(np.arange(units), max(len(parameter.gates), 1)), Scale.INDEX),
        *_numbered(f"∂{parameter.name}", rows),
    ]
    theirs = result.observation.parameters
    theirs_array = None if theirs is None else theirs[column].arrays.get(parameter.name)
    if theirs_array is not None:
        apart = difference(rows, theirs_array.reshape(rows.shape)).max(axis=1)
        out = result.comparison.out_of_tolerance.get((*column, gradient(parameter.name)))
        flags = None if out is None else np.asarray(out.reshape(rows.shape).any(axis=1))
        columns.append(Column("|Δ|", apart, Scale.DIFFERENCE, "values", "difference", flags))
    return Table(f"layer {column[0]} · {column[1]} · ∂L/∂{parameter.name}", tuple(columns))


def _numbered(name: str, rows: Array) -> Iterator[Column]:
    for number in range(rows.shape[1]):
        yield Column(f"[{number}]" if rows.shape[1] > 1 else name, rows[:, number], Scale.SIGNED, "values", "values")


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
                "values": _existing(result, values),
                "framework": _existing(result, seen.columns.get((layer, direction, symbol))),
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


def _existing(result: BackwardResult, values: Array | None) -> Any:
    """The values (T, B, ·), masked at the steps that do not exist."""
    if values is None or result.inputs.valid is None:
        return values
    return np.ma.array(values, mask=np.broadcast_to(~result.inputs.valid[..., None], values.shape))
