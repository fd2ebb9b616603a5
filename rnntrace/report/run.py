"""The report of a run: what was built and fed, the tables, the verdict, and the whole as one document."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from rnntrace.engine.judge.result import Result
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.inputs import Inputs
from rnntrace.model.observation import Observation
from rnntrace.model.signals import to_own_layout
from rnntrace.model.spec import ModuleSpec
from rnntrace.report.conclusion import conclusion
from rnntrace.report.mistakes import blind_document, blind_tables, told
from rnntrace.report.outputs import input_tables, output_tables, weight_tables
from rnntrace.report.panels import heat
from rnntrace.report.select import View
from rnntrace.report.table import SCHEMA, Line, Report
from rnntrace.report.tidy import tidy_rows
from rnntrace.report.trace import trace_tables
from rnntrace.report.variant import variant
from rnntrace.version import __version__

if TYPE_CHECKING:
    from rnntrace.report.page import Play


def run_report(result: Result, view: View, command: str = "run") -> Report:
    """Everything that `rnntrace run` has to tell of a result."""
    return Report(
        headline=headline(result),
        tables=(
            *input_tables(result, view),
            *weight_tables(result, view),
            *trace_tables(result, view),
            *output_tables(result, view),
            *blind_tables(result.blind),
        ),
        conclusion=conclusion(result),
        passed=result.passed,
        document=document(result, command, weights="weights" in view.parts),
        warnings=result.warnings,
        rows=tidy_rows({"": result}, view),
        panels=heat({"": result}, view),
        plays=lambda: plays({"": result}, view),
    )


def plays(results: Mapping[str, Result], view: View) -> "list[Play]":
    """What a page plays of each module, by prefix. Raises UsageError for more than fits in one."""
    # Few reports become a page.
    from rnntrace.report.page import play_of

    return [play_of(result, view, prefix) for prefix, result in results.items()]


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
    if seen.on_two_paths:
        lines.append(((f"{seen.framework}'s gates and states in the table: captured on its {seen.captured_path} path",), ()))
    elif seen.not_captured:
        lines.append(((f"{seen.framework}'s own gates: not captured ({seen.not_captured})",), ()))
    lines += [((f"deliberate mistake: {mistake.id}, {mistake.says}",), ()) for mistake in result.mistakes]
    return tuple(lines)


def describe(spec: ModuleSpec, seed: int | None = None) -> list[str]:
    """The module in words; the seed from which it and its signals were drawn, if any were."""
    size = f"{spec.input_size}, {spec.hidden_size}" + (f", proj_size={spec.proj_size}" if spec.proj_size else "")
    module = [f"{spec.kind}({size})"]
    if not spec.is_cell:
        module.append(f"{spec.num_layers} layer" + ("s" if spec.num_layers > 1 else ""))
    if spec.bidirectional:
        module.append("bidirectional")
    module += variant(spec)
    if not spec.bias:
        module.append("no bias")
    if spec.batch_first:
        module.append("batch first")
    module.append(spec.dtype)
    if seed is not None:
        module.append(f"seed {seed}")
    return module


def describe_signals(spec: ModuleSpec, inputs: Inputs, origin: Mapping[str, str]) -> list[str]:
    """Where x, h0 and other states come from, and how many steps and items there are; `origin` as in a result."""
    sizes = f"T={inputs.steps}" + (", unbatched" if inputs.unbatched else f", B={inputs.batch}")
    signals = [f"x: {origin.get('x', 'given')}, {sizes}"]
    for name in (f"{state}0" for state in spec.cell.states):
        source = origin.get(name, "given")
        signals.append(f"{name} = 0" if source == "zeros" else f"{name}: {source}")
    if inputs.lengths:
        signals.append("lengths " + ",".join(map(str, inputs.lengths)))
    if inputs.mask is not None:
        left_out = int(inputs.mask.size - inputs.mask.sum())
        signals.append(f"{left_out} step{'s' * (left_out != 1)} masked")
    return signals


def _other_side(seen: Observation) -> tuple[str, ...]:
    """The framework with what decides its bits, or where else the other side's values come from."""
    if seen == Observation.of_nothing():
        return ("the replay alone",)
    if not seen.version:
        return (seen.framework, seen.path)
    threads = f"{seen.threads} thread" + ("s" if seen.threads != 1 else "")
    return (f"{seen.framework} {seen.version}", seen.device, seen.path, threads)


def document(result: Result, command: str, *, weights: bool = False) -> dict[str, Any]:
    """The whole result as plain mappings, lists and arrays; the keys are documented in docs/json.md."""
    compared, seen, trace = result.comparison, result.observation, result.trace
    roles = result.spec.cell.roles
    return {
        "schema": SCHEMA,
        "command": command,
        "verdict": str(result.verdict),
        "passed": result.passed,
        "spec": result.spec.document(),
        "seed": result.seed,
        "environment": {
            "rnntrace": __version__,
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
            **result.in_own_layout(result.inputs.signals),
            "lengths": result.inputs.lengths,
            **({} if result.inputs.mask is None else {"mask": _mask(result, result.inputs.mask)}),
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


def _mask(result: Result, mask: Flags) -> Any:
    """1 at steps that count and 0 at those that are masked, in the module's own layout."""
    return to_own_layout(result.spec, "x", mask.view("uint8"), result.inputs.unbatched)


def _weights(result: Result) -> list[dict[str, Any]]:
    columns = result.weights.columns.items()
    return [{"layer": layer, "direction": direction, **weights.arrays} for (layer, direction), weights in columns]


def _term_role(roles: Mapping[str, str], symbol: str) -> str:
    gate, _, term = symbol.partition(".")
    return f"{term} term of the {roles[gate]}"


def _existing(result: Result, values: Array | None) -> Any:
    """The values (T, B, ·), masked at the steps that do not count."""
    if values is None or result.inputs.valid is None:
        return values
    return np.ma.array(values, mask=np.broadcast_to(~result.inputs.valid[..., None], values.shape))
