"""Masks of Keras' models: which steps of an input a layer leaves out, and the outputs that stand there."""

from dataclasses import replace

import numpy as np

from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.inputs import Inputs
from rnntrace.model.masks import as_lengths, held
from rnntrace.model.module import Module
from rnntrace.model.signals import assemble, to_own_layout
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.verbs.given.sources import Sources


def as_masked(module: Module, sources: Sources) -> tuple[Sources, str]:
    """The signals as a layer behind a mask takes them, masked where x shows it; and why that cannot be told, in a sentence.

    Raises SignalError for signals that do not fit.
    """
    mask, request, spec = module.mask, sources.request, module.spec
    if mask is None or request.x is None:
        return _remarked(sources, *unmasked(module, sources)), ""
    inputs = assemble(spec, replace(request, states={}), np.zeros, quantities=0).rounded(spec.precision)
    if mask.value is None:
        if is_said(sources):
            return _remarked(sources, f"{mask.source} masks steps: those that were given"), ""
        return sources, f"{mask.source} masks steps, and this input does not show which: give `mask`, or `lengths`"
    counts: Flags = ~(inputs.x == np.asarray(mask.value, inputs.x.dtype)).all(axis=2)
    # A mask leaves zeros where it was: x may be what comes behind it.
    zeros = ~inputs.x.any(axis=2) & counts.all()
    if is_said(sources):
        given = np.ones_like(counts) if inputs.valid is None else inputs.valid
        if np.array_equal(counts, given) or (not given.all() and (given | zeros).all()):
            return sources, ""
        return sources, f"{mask.source} masks other steps of this input than those that were given"
    if zeros.any():
        doubt = f"{mask.source} masks steps that are {mask.value:g}, and this input has steps of zeros, as stand behind it"
        return sources, f"{doubt}: give `mask`, or `lengths`"
    if counts.all():
        return _remarked(sources, f"{mask.source} masks no step of this input"), ""
    own = to_own_layout(spec, "x", counts, inputs.unbatched)
    masked = replace(sources, request=replace(request, mask=own))
    return _remarked(masked, f"{mask.source} masks {_described(counts)}"), ""


def as_masked_aloud(module: Module, sources: Sources) -> Sources:
    """The same where no outputs were given: both sides are run on these signals, and what is open is a remark."""
    masked, doubt = as_masked(module, sources)
    return _remarked(masked, *([doubt] if doubt else []))


def is_said(sources: Sources) -> bool:
    """Whether somebody gave the steps that count."""
    return sources.request.mask is not None or sources.request.lengths is not None


def unmasked(module: Module, sources: Sources) -> tuple[str, ...]:
    """A remark where a module is replayed as if nothing masked its input, if something does."""
    return (f"{module.mask.source} masks steps: none is masked here",) if module.mask and not is_said(sources) else ()


def _remarked(sources: Sources, *remarks: str) -> Sources:
    return replace(sources, warnings=(*sources.warnings, *remarks))


def _described(counts: Flags) -> str:
    """Which steps a mask leaves out, and how they are replayed."""
    lengths = as_lengths(counts)
    if lengths is None:
        left_out = int(counts.size - counts.sum())
        return f"{left_out} step{'s' * (left_out != 1)} of this input, where states are handed on"
    shown = ",".join(map(str, lengths[:8])) + ("…" if len(lengths) > 8 else "")
    return f"steps at the end of this input: replayed with `lengths={shown}`"


def repeats(module: Module, sources: Sources) -> bool:
    """Whether the output at masked steps may be that of the step before: that of Keras is, but for both directions."""
    if module.mask is None:
        return sources.request.mask is not None and not module.spec.bidirectional
    return not module.mask.zeros


def without_repeats(spec: ModuleSpec, inputs: Inputs, output: Array) -> Array:
    """An output (T, B, width) of Keras with zeros at masked steps, as a replay has it, where they repeat the step before."""
    if (valid := inputs.valid) is None or spec.merges:
        return output
    found = output.copy()
    for direction in spec.directions:
        order = np.s_[:: -1 if direction == REVERSE else 1]
        part = found[order, :, spec.output_units(direction)]
        counts = valid[order]
        part[~counts & (part == held(part, counts)).all(axis=2)] = 0
    return found


def undecided(result: Result, doubt: str) -> Result:
    """The result without a verdict, and the sentence why; as it is if there is none."""
    if not doubt:
        return result
    comparison = replace(result.comparison, verdict=Verdict.UNDECIDED, first_failure=None, doubt=doubt)
    return replace(result, comparison=comparison)
