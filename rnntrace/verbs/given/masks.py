"""Masks of Keras' models: which steps of an input a layer leaves out, and the outputs that stand there."""

from dataclasses import dataclass, replace

import numpy as np

from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.module import Mask, Module
from rnntrace.model.signals import Inputs
from rnntrace.model.spec import ModuleSpec

LENGTHS = "give `lengths`, the steps that count"


@dataclass(frozen=True)
class Masked:
    """The inputs without the steps that a mask leaves out; a remark on them; or why that cannot be done, in words."""

    inputs: Inputs
    remark: str = ""
    doubt: str = ""


def masked(module: Module, inputs: Inputs) -> Masked:
    """The inputs as a layer behind a mask takes them. Steps left out at the end are the lengths of the sequences."""
    mask = module.mask
    if mask is None:
        return Masked(inputs)
    if module.spec.merges and not mask.zeros:
        doubt = f"{mask.source} masks steps, and what Keras repeats there is merged with the other direction"
        return Masked(inputs, doubt=doubt)
    if mask.value is None:
        if inputs.lengths is not None:
            return Masked(inputs, f"{mask.source} masks steps: those behind the lengths given")
        return Masked(inputs, doubt=f"{mask.source} masks steps, and this input does not show which: {LENGTHS}")
    counts = ~(inputs.x == np.asarray(mask.value, inputs.x.dtype)).all(axis=2)
    if counts.all():
        # A mask leaves zeros where it was: x may be what comes behind it.
        if mask.value and not inputs.x.any(axis=2).all() and inputs.lengths is None:
            doubt = f"{mask.source} masks steps that are {mask.value:g}, and this input has steps of zeros, as stand behind it"
            return Masked(inputs, doubt=f"{doubt}: {LENGTHS}")
        if inputs.lengths is None:
            return Masked(inputs, f"{mask.source} masks no step of this input")
    lengths = counts.sum(axis=0)
    at_the_end = np.array_equal(counts, np.arange(inputs.steps)[:, None] < lengths)
    if inputs.valid is not None and not np.array_equal(counts, inputs.valid):
        return Masked(inputs, doubt=f"{mask.source} masks other steps of this input than those behind the lengths given")
    if not at_the_end or not lengths.all():
        where = "in front or in between" if not at_the_end else "of a whole sequence"
        doubt = f"{mask.source} masks steps {where}, which cannot be replayed: give the steps that count alone"
        return Masked(inputs, doubt=doubt)
    shown = ",".join(map(str, lengths[:8])) + ("…" if len(lengths) > 8 else "")
    remark = f"{mask.source} masks steps at the end of this input: replayed with `lengths={shown}`"
    return Masked(replace(inputs, lengths=tuple(map(int, lengths))), remark)


def unmasked(module: Module) -> tuple[str, ...]:
    """A remark where a module is replayed as if nothing masked its input, if something does."""
    return (f"{module.mask.source} masks steps: none is masked here",) if module.mask else ()


def without_repeats(spec: ModuleSpec, mask: Mask | None, inputs: Inputs, output: Array) -> Array:
    """An output (T, B, width) of Keras with zeros at masked steps, as a replay has it, where they repeat the step before.

    The reverse direction starts with the steps that are masked at the end, and gives zeros there anyway.
    """
    if mask is None or mask.zeros or inputs.valid is None or spec.reverse:
        return output
    forward = spec.output_units(spec.directions[0])
    last = output[np.asarray(inputs.lengths) - 1, np.arange(inputs.batch), forward]
    repeats: Flags = ~inputs.valid & (output[..., forward] == last).all(axis=2)
    found = output.copy()
    found[..., forward][repeats] = 0
    return found


def undecided(result: Result, doubt: str) -> Result:
    """The result without a verdict, and the sentence why; as it is if there is none."""
    if not doubt:
        return result
    comparison = replace(result.comparison, verdict=Verdict.UNDECIDED, first_failure=None, doubt=doubt)
    return replace(result, comparison=comparison)
