"""`compare` with two files: two saved traces, or two files of weights on the same input."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from rnntrace.api.compare_one import Modules
from rnntrace.api.judging import Judging, judged
from rnntrace.api.run import checked_seed
from rnntrace.api.saved import open_trace
from rnntrace.api.sources import Sources
from rnntrace.api.trace import as_seen_by
from rnntrace.engine.compare import judge
from rnntrace.engine.quantities import pair_outputs, pair_up
from rnntrace.engine.replay import replay
from rnntrace.engine.tolerance import make_tolerance
from rnntrace.errors import UsageError, show
from rnntrace.files import label, metadata_of
from rnntrace.frameworks import Observation
from rnntrace.model.dtypes import DTYPES, Array
from rnntrace.model.module import Module
from rnntrace.model.signals import Draw, Inputs, assemble
from rnntrace.model.spec import ModuleSpec, command_line
from rnntrace.model.weights import Weights
from rnntrace.model.windows import pieces, release
from rnntrace.report.result import Result

OTHER = "other"
"""What the second file's values are called."""


def is_trace(source: str) -> bool:
    """Whether a file, or typed JSON, is a saved trace, and not weights; no array is read. Raises FileError."""
    return bool(metadata_of(source))


def compare_traces(first: str, second: str, judging: Judging) -> dict[str, Result]:
    """Two saved traces of the same shape: where the first differs from the second, and which signals and weights do.

    Raises UsageError and FileError.
    """
    mine, theirs = open_trace(first), open_trace(second)
    if _form(mine) != _form(theirs):
        raise UsageError(f"{label(first)} is a trace of {_shape(mine)}, and {label(second)} one of {_shape(theirs)}")
    dtype = _coarser(mine.spec, theirs.spec)
    trace, other = mine.trace, theirs.trace
    quantities = [*pair_up(trace, trace, other.columns), *pair_outputs(trace, trace, other.outputs)]
    tolerance = make_tolerance(judging.tolerance, dtype, judging.rtol, judging.atol, judging.lam)
    return {
        "": replace(
            mine,
            replayed_outputs=trace.outputs,
            observation=Observation(OTHER, "", "", 0, label(second), other.outputs, {}, other.columns),
            comparison=judge(quantities, tolerance, DTYPES[dtype]),
            mistakes=(),
            single_steps=False,
            warnings=(
                *mine.warnings,
                *_kept_alone(label(first), mine, theirs),
                *_kept_alone(label(second), theirs, mine),
                *_made_on_purpose(label(first), mine),
                *_made_on_purpose(label(second), theirs),
                *_inputs_apart(mine.inputs, theirs.inputs),
                *_weights_apart(mine.weights, theirs.weights, mine.spec.cell.gates),
            ),
        )
    }


def compare_weights(
    first: Modules,
    second: Modules,
    sources: Sources,
    judging: Judging,
    names: tuple[str, str],
    *,
    distribution: str = "normal",
    seed: int | None = None,
) -> dict[str, Result]:
    """Modules of two files, by prefix or one of each: every gate and state on the same input, and which weights differ.

    Both are replayed with numpy; torch is loaded only to draw signals that are not given. Raises UsageError.
    """
    if len(first) == len(second) == 1:
        pairs = list(zip(first, second, strict=True))
    else:
        pairs = [(prefix, prefix) for prefix in first if prefix in second]
        if len(pairs) < max(len(first), len(second)):
            mine, theirs = (", ".join(show(prefix) or "(no prefix)" for prefix in modules) for modules in (first, second))
            raise UsageError(f"{names[0]} holds {mine}, and {names[1]} holds {theirs}: choose with --module")
    results: dict[str, Result] = {}
    seed = checked_seed(seed)
    for mine, theirs in pairs:
        spec, other = _agreed(first[mine], second[theirs])
        if replace(other, batch_first=spec.batch_first, dtype=spec.dtype) != spec:
            raise UsageError(
                f"{names[0]} holds {_described(spec)}, and {names[1]} {_described(other)}: they are different modules"
            )
        spec = replace(spec, dtype=_coarser(spec, other))
        inputs = _inputs(spec, sources, distribution, seed)
        weights, changed = (module.weights.astype(spec.precision.replay) for module in (first[mine], second[theirs]))
        trace = replay(spec, changed, inputs)
        observation = Observation(OTHER, "", "", 0, names[1], trace.outputs, {}, trace.columns)
        results[mine] = judged(
            spec,
            weights,
            inputs,
            observation,
            judging,
            seed=seed if sources.request.draws else None,
            origin=sources.described(distribution),
            warnings=[*sources.warnings, *_weights_apart(weights, changed, spec.cell.gates)],
        )
    return results


def _agreed(first: Module, second: Module) -> tuple[ModuleSpec, ModuleSpec]:
    """Both specs; what one file does not tell is taken from the other."""
    mine, theirs = first.spec, second.spec
    for name in ("nonlinearity", "recurrent_activation") if mine.kind == theirs.kind else ():
        if name in first.assumed:
            mine = replace(mine, **{name: getattr(theirs, name)})
        elif name in second.assumed:
            theirs = replace(theirs, **{name: getattr(mine, name)})
    return mine, theirs


def _described(spec: ModuleSpec) -> str:
    words = [command_line(spec), "relu" if spec.nonlinearity == "relu" else "", spec.torch_lacks]
    return ", ".join(filter(None, words))


def _inputs(spec: ModuleSpec, sources: Sources, distribution: str, seed: int) -> Inputs:
    """The signals of both sides; torch is loaded only if some are drawn."""
    draw: Draw = np.zeros
    if sources.request.draws:
        from rnntrace.frameworks import torch as framework

        draw = framework.drawing(spec, distribution)
        framework.seed(seed)
    return as_seen_by(spec, assemble(spec, sources.request, draw))


def _weights_apart(mine: Weights, theirs: Weights, gates: Sequence[str]) -> Iterator[str]:
    """A sentence for each gate's block of weights that is not the same."""
    for (layer, direction), found in mine.columns.items():
        blocks, others = dict(found.by_gate(gates)), dict(theirs[layer, direction].by_gate(gates))
        for name in dict.fromkeys([*blocks, *others]):
            yield from _apart(f"layer {layer}, {direction}: {name}", blocks.get(name), others.get(name))


def _inputs_apart(mine: Inputs, theirs: Inputs) -> Iterator[str]:
    """A sentence for each signal that is not the same."""
    for name in ("x", "h0", "c0"):
        yield from _apart(name, getattr(mine, name), getattr(theirs, name))
    if mine.lengths != theirs.lengths:
        yield "the lengths of the sequences differ"


def _apart(name: str, mine: Array | None, theirs: Array | None) -> Iterator[str]:
    if mine is None or theirs is None:
        if mine is not theirs:
            yield f"{name} is in one of the files alone"
    elif mine.shape != theirs.shape:
        yield f"{name} has shape {mine.shape} in the first file, and {theirs.shape} in the other"
    else:
        yield from _values_apart(name, mine, theirs)


def _values_apart(name: str, mine: Array, theirs: Array) -> Iterator[str]:
    same, largest = True, np.nan
    for part in pieces(mine.shape):
        same = same and np.array_equal(mine[part], theirs[part], equal_nan=True)
        with np.errstate(invalid="ignore", over="ignore"):
            largest = float(np.fmax.reduce(np.abs(mine[part] - theirs[part]), axis=None, initial=largest))
        release(mine, theirs)
    if not same:
        yield f"{name} differs in what is NaN" if np.isnan(largest) else f"{name} differs by up to {largest:.2g}"


def _form(result: Result) -> tuple[object, ...]:
    """What two traces have in common that can be compared: symbols of the cell and shapes of the states."""
    states = {key: values.shape for key, values in result.trace.columns.items() if key[2] in result.spec.cell.states}
    return result.spec.cell.symbols, states


def _kept_alone(name: str, result: Result, other: Result) -> Iterator[str]:
    """A sentence if the other trace keeps gates that this one does not."""
    kept = dict.fromkeys(symbol for *_, symbol in result.trace.columns)
    if not {symbol for *_, symbol in other.trace.columns} <= kept.keys():
        yield f"{name} keeps {', '.join(kept)} alone: nothing else is compared"


def _made_on_purpose(name: str, result: Result) -> Iterator[str]:
    """A sentence for each mistake that a trace was made with."""
    for mistake in result.mistakes:
        yield f"{name} was replayed with a mistake on purpose: {mistake.id}"


def _coarser(first: ModuleSpec, second: ModuleSpec) -> str:
    """The dtype with fewer digits."""
    return max((first, second), key=lambda spec: spec.precision.eps).dtype


def _shape(result: Result) -> str:
    spec, inputs = result.spec, result.inputs
    return f"{command_line(spec)} with T={inputs.steps}, B={inputs.batch}"
