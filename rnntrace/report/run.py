"""The report of a run: what was built and fed, the tables, the verdict, and the whole as one document."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

import rnntrace
from rnntrace.engine.compare import Comparison, Verdict
from rnntrace.engine.quantities import OUTPUTS, Place
from rnntrace.frameworks import Observation
from rnntrace.model.dtypes import Array
from rnntrace.model.signals import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.vocabulary import output_names
from rnntrace.report.mistakes import blind_document, blind_tables, told
from rnntrace.report.outputs import output_tables, weight_tables
from rnntrace.report.panels import heat
from rnntrace.report.result import Result
from rnntrace.report.select import View
from rnntrace.report.table import SCHEMA, Line, Report
from rnntrace.report.tidy import tidy_rows
from rnntrace.report.trace import trace_tables


def run_report(result: Result, view: View, command: str = "run") -> Report:
    """Everything that `rnntrace run` has to tell of a result."""
    return Report(
        headline=headline(result),
        tables=(
            *weight_tables(result, view),
            *trace_tables(result, view),
            *output_tables(result, view),
            *blind_tables(result),
        ),
        conclusion=conclusion(result),
        passed=result.passed,
        document=document(result, command, weights="weights" in view.parts),
        warnings=result.warnings,
        rows=tidy_rows({"": result}, view),
        panels=heat({"": result}, view),
    )


def headline(result: Result) -> tuple[Line, ...]:
    """The module and the framework's side; the signals; what there is to know of the framework's values."""
    seen = result.observation
    signals = describe_signals(result.spec, result.inputs, result.origin)
    if result.replay == "forced":
        signals.append(f"replay forced with {seen.framework}'s own states")
    lines: list[Line] = [
        (tuple(describe(result.spec, result.seed)), _other_side(seen)),
        (tuple(signals), ()),
    ]
    if seen.captured_path and seen.captured_path != seen.path:
        lines.append(((f"{seen.framework}'s gates and states in the table: captured on its {seen.captured_path} path",), ()))
    elif seen.not_captured:
        lines.append(((f"{seen.framework}'s own gates: not captured ({seen.not_captured})",), ()))
    lines += [((f"replayed with a mistake on purpose: {mistake.id}, {mistake.says}",), ()) for mistake in result.mistakes]
    return tuple(lines)


def describe(spec: ModuleSpec, seed: int | None = None) -> list[str]:
    """The module in words; the seed from which it and its signals were drawn, if any were."""
    size = f"{spec.input_size}, {spec.hidden_size}" + (f", proj_size={spec.proj_size}" if spec.proj_size else "")
    module = [f"{spec.kind}({size})"]
    if not spec.is_cell:
        module.append(f"{spec.num_layers} layer" + ("s" if spec.num_layers > 1 else ""))
    if spec.bidirectional:
        module.append("bidirectional")
    if spec.nonlinearity == "relu":
        module.append("relu")
    if spec.recurrent_activation not in (None, "sigmoid"):
        module.append(f"gates {spec.recurrent_activation}")
    if not spec.bias:
        module.append("no bias")
    if spec.batch_first:
        module.append("batch first")
    module.append(spec.dtype)
    if seed is not None:
        module.append(f"seed {seed}")
    return module


def describe_signals(spec: ModuleSpec, inputs: Inputs, origin: Mapping[str, str]) -> list[str]:
    """Where x, h0 and c0 come from, and how many steps and items there are; `origin` as in a result."""
    sizes = f"T={inputs.steps}" + (", unbatched" if inputs.unbatched else f", B={inputs.batch}")
    signals = [f"x: {origin.get('x', 'given')}, {sizes}"]
    for name in ("h0", "c0") if spec.has_cell_state else ("h0",):
        source = origin.get(name, "given")
        signals.append(f"{name} = 0" if source == "zeros" else f"{name}: {source}")
    if inputs.lengths:
        signals.append("lengths " + ",".join(map(str, inputs.lengths)))
    return signals


def _other_side(seen: Observation) -> tuple[str, ...]:
    """The framework with what decides its bits, or where else the other side's values come from."""
    if not seen.version:
        return (seen.framework, seen.path)
    threads = f"{seen.threads} thread" + ("s" if seen.threads != 1 else "")
    return (f"{seen.framework} {seen.version}", seen.device, seen.path, threads)


def conclusion(result: Result) -> tuple[str, ...]:
    """The verdict and its reasons, in parts, and what it could not have shown, if that was asked."""
    parts = [*_verdict(result), *_of_handed_in(result)]
    if result.mistakes and result.passed:
        parts.append("the mistake does not show in this run")
    if result.blind:
        parts.append(f"blind to {len(result.blind.spots)} of {result.blind.possible} mistakes")
    return tuple(parts)


def _of_handed_in(result: Result) -> tuple[str, ...]:
    """What was judged, and what was not given."""
    if result.handed_in is None or not (result.missing or len(result.judged) > len(output_names(result.spec))):
        return ()
    judged = f"judged: {', '.join(result.judged)}"
    return (judged, f"not given: {', '.join(result.missing)}") if result.missing else (judged,)


def _verdict(result: Result) -> tuple[str, ...]:
    if result.contradictions:
        of_values, *rest = _verdict(replace(result, contradictions=()))
        return (f"{result.verdict}  {'; '.join(result.contradictions)}", f"the values: {of_values.replace('  ', ', ')}", *rest)
    compared, verdict = result.comparison, result.verdict
    tolerance = compared.tolerance
    bounds = str(tolerance)
    worst = _worst(result)
    name = result.observation.framework
    gates = () if result.observation.captured or set(result.spec.cell.symbols) <= {"h"} else ("gates not compared",)
    if verdict is Verdict.IDENTICAL:
        return (f"{verdict}  the same bits in every value", *gates)
    unjudged = _unjudged(compared)
    if verdict is Verdict.PASS:
        return (f"{verdict}  every value within {bounds}", *_by_rounding(compared), *worst, *unjudged, *gates)
    if verdict is Verdict.ROUNDED:
        return (f"{verdict}  every value within {bounds}, or right to {_decimals(compared)}", *worst, *unjudged, *gates)
    if verdict is Verdict.DRIFT:
        return (
            f"{verdict}  every single step within {bounds}",
            *_by_rounding(compared),
            "the trajectory is not: rounding, amplified from step to step",
            *worst,
            *unjudged,
            *gates,
        )
    if verdict is Verdict.UNDECIDED:
        reason = "inputs or weights hold NaN or infinity: agreement proves nothing"
        if compared.not_finite:
            reason = f"{compared.not_finite} values are NaN or infinite, or overflow inside: nothing can be said of them"
        return (f"{verdict}  {compared.doubt or reason}", *worst)
    place = compared.first_failure
    assert place is not None
    # Outputs are hidden states once more: they are counted only where nothing else was compared.
    inside = [difference for difference in compared.differences if difference.name not in OUTPUTS] or compared.differences
    bad, total = sum(difference.one_step_bad for difference in inside), sum(difference.of for difference in inside)
    role = result.spec.cell.roles.get(place.symbol)
    # As many digits as tell any two values of the format apart.
    digits = 17 if result.spec.dtype == "float64" else 9
    steps = "single steps" if result.single_steps else "values"
    return (
        f"{verdict}  first at {place.symbol}{f' ({role})' if role else ''}, {_where(result, place)}: "
        f"replay {place.replay:.{digits}g}, {name} {place.framework:.{digits}g}",
        f"{bad} of {total} {steps} out of tolerance ({bounds})" if bad else _parted(result),
        *([f"agrees to {result.agrees_to} decimals: --tolerance decimals:{result.agrees_to}"] if result.agrees_to else []),
        *worst,
    )


def _parted(result: Result) -> str:
    """Why a trajectory that is out of tolerance is no drift, though every single step is within it."""
    if result.comparison.tolerance.rounding and result.single_steps:
        return "every single step is within tolerance, but rounding does not explain how the trajectory parts"
    return "the trajectory is out of tolerance"


def _unjudged(compared: Comparison) -> tuple[str, ...]:
    """In which quantities agreement says nothing."""
    names = dict.fromkeys(name for *_, name in compared.unjudged)
    return (f"not judged, with a tolerance wider than the values: {', '.join(names)}",) if names else ()


def _decimals(compared: Comparison) -> str:
    """To how many decimals values were typed."""
    found = sorted({difference.decimals for difference in compared.differences if difference.decimals is not None})
    return f"{' and '.join(map(str, found))} decimals, as typed"


def _by_rounding(compared: Comparison) -> tuple[str, ...]:
    """How many values agree by what rounding can explain alone."""
    if not compared.by_rounding or compared.tolerance.kind != "torch":
        return ()
    return (f"{compared.by_rounding} of them by what rounding can explain",)


def _worst(result: Result) -> tuple[str, ...]:
    place = result.comparison.worst
    if place is None:
        return ()
    delta = abs(place.replay - place.framework)
    return (f"worst |Δ| {delta:.1e} ({place.symbol}, {_where(result, place, brief=True)})",)


def _where(result: Result, place: Place, *, brief: bool = False) -> str:
    """The place in words; brief leaves out what there is only one of."""
    words = [
        (len(result.spec.columns) > 1, f"layer {place.layer}, {place.direction}"),
        (True, f"t={place.t}"),
        (result.inputs.batch > 1, f"item {place.item}"),
        (True, f"unit {place.unit}"),
    ]
    return ", ".join(word for needed, word in words if needed or not brief)


def document(result: Result, command: str, *, weights: bool = False) -> dict[str, Any]:
    """The whole result as plain mappings, lists and arrays; the keys are documented in docs/json.md."""
    compared, seen, trace = result.comparison, result.observation, result.trace
    roles = result.spec.cell.roles
    return {
        "schema": SCHEMA,
        "command": command,
        "verdict": str(result.verdict),
        "passed": result.passed,
        "spec": asdict(result.spec),
        "seed": result.seed,
        "environment": {
            "rnntrace": rnntrace.__version__,
            "numpy": np.__version__,
            "framework": seen.framework,
            "version": seen.version,
            "device": seen.device,
            "path": seen.path,
            "threads": seen.threads,
            "captured": seen.captured_path or None,
            "not_captured": seen.not_captured or None,
        },
        "replay": {"mode": result.replay, "dtype": str(next(iter(trace.columns.values())).dtype)},
        "inputs": {
            **dict.fromkeys(("x", "h0", "c0")),
            **result.in_own_layout({"x": result.inputs.x, "h0": result.inputs.h0, "c0": result.inputs.c0}),
            "lengths": result.inputs.lengths,
        },
        **({"weights": _weights(result)} if weights else {}),
        "trace": [
            {
                "layer": layer,
                "direction": direction,
                "symbol": symbol,
                "role": roles.get(symbol, _term_role(roles, symbol)),
                "values": _existing(result, values),
                "framework": _existing(result, result.framework_values.get((layer, direction, symbol))),
            }
            for (layer, direction, symbol), values in (*trace.columns.items(), *trace.terms.items())
        ],
        "outputs": {"output": None, "h_n": None, "c_n": None} | result.outputs,
        "expected": {"output": None, "h_n": None, "c_n": None} | result.expected,
        "differences": [asdict(difference) for difference in compared.differences],
        "not_finite": compared.not_finite,
        "by_rounding": compared.by_rounding,
        "by_digits": compared.by_digits,
        "single_steps": result.single_steps,
        "first_failure": asdict(compared.first_failure) if compared.first_failure else None,
        "worst": asdict(compared.worst) if compared.worst else None,
        "judged": list(result.judged),
        "missing": list(result.missing),
        "unused": list(result.unused),
        "agrees_to": result.agrees_to,
        "contradictions": list(result.contradictions),
        "tolerance": asdict(compared.tolerance),
        "warnings": list(result.warnings),
        **({"mistakes": [told(mistake) for mistake in result.mistakes]} if result.mistakes else {}),
        **({"blind": blind_document(result.blind)} if result.blind else {}),
    }


def _weights(result: Result) -> list[dict[str, Any]]:
    columns = result.weights.columns.items()
    return [{"layer": layer, "direction": direction, **weights.arrays} for (layer, direction), weights in columns]


def _term_role(roles: Mapping[str, str], symbol: str) -> str:
    gate, _, term = symbol.partition(".")
    return f"{term} term of the {roles[gate]}"


def _existing(result: Result, values: Array | None) -> Any:
    """The values (T, B, ·), masked at the steps that do not exist."""
    if values is None or result.inputs.valid is None:
        return values
    return np.ma.array(values, mask=np.broadcast_to(~result.inputs.valid[..., None], values.shape))
