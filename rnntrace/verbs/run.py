"""`run`: build a module, draw what it needs from a seed, and trace it."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import rounded
from rnntrace.model.limits import MAX_VALUES, STREAM_FROM
from rnntrace.model.signals import assemble, sizes, trace_size
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.verbs import memory
from rnntrace.verbs.given.initial import as_held
from rnntrace.verbs.given.sources import Sources
from rnntrace.verbs.judged import judged
from rnntrace.verbs.load import load_module
from rnntrace.verbs.trace import quantized

SEEDS = 2**32
"""A seed that was not given is drawn below this."""


def run(
    spec: ModuleSpec,
    sources: Sources | None = None,
    judging: JudgeOptions | None = None,
    *,
    weights: str | None = None,
    framework: str = "torch",
    distribution: str = "normal",
    seed: int | None = None,
    device: str = "cpu",
    save: Path | None = None,
    tell: Callable[[str, float], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Result:
    """Build the module that `spec` describes and trace it on the signals of `sources`.

    `weights` is a file or typed JSON, see `load`. From `seed` are drawn, in this order: the parameters as the module
    is built (even when `weights` then replaces them, as in torch), x, h0, c0; signals only if they are not given. Without a
    seed one is drawn; the result names it unless nothing was drawn at all. A trace that is going to be saved as `save`, and is
    long or takes much of the memory, is kept beside that file; `tell` is told how far that is. `warn` is told beforehand of
    one that takes much of the memory all the same.
    """
    loaded = None if weights is None else load_module(weights, spec)
    if loaded:
        sources = as_held(replace(loaded, spec=spec), sources or Sources())
    return build_and_trace(
        spec,
        sources,
        judging,
        loaded.weights if loaded else None,
        framework=framework,
        remarks=loaded.remarks if loaded else (),
        distribution=distribution,
        seed=seed,
        device=device,
        save=save,
        tell=tell,
        warn=warn,
    )


def build_and_trace(
    spec: ModuleSpec,
    sources: Sources | None = None,
    judging: JudgeOptions | None = None,
    weights: Weights | None = None,
    *,
    framework: str = "torch",
    remarks: Sequence[str] = (),
    distribution: str = "normal",
    seed: int | None = None,
    device: str = "cpu",
    save: Path | None = None,
    tell: Callable[[str, float], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Result:
    """As `run`, with the weights themselves, and `remarks` on how they were read."""
    from rnntrace.frameworks import framework as framework_named
    from rnntrace.frameworks.protocol import DEVICES, WINDOWS
    from rnntrace.frameworks.torch import modules as torch

    beside = framework_named(framework)
    if lack := beside.lacks(spec):
        raise UsageError(f"{framework} has no {lack}: choose another --framework")
    if device != "cpu" and DEVICES not in beside.OFFERS:
        raise UsageError(f"{framework} runs on the processor here: leave --device out")
    sources, judging = sources or Sources(), judging or JudgeOptions()
    steps, batch = sizes(spec, sources.request)
    needed, free = _needed(spec, steps, batch, judging), memory.free()
    in_parts = (
        save is not None
        and WINDOWS in beside.OFFERS
        and not judging.needs_all
        and (_is_long(spec, steps, batch, judging) or memory.is_short(needed, free))
    )
    draw = torch.drawing(spec, distribution)
    seed = checked_seed(seed)
    torch.seed(seed)
    own = torch.drawn_weights(spec)
    inputs = quantized(spec, assemble(spec, sources.request, draw, quantities=0 if in_parts else _arrays(spec, judging)))
    if weights is not None:
        own = weights.rounded(spec.precision)
        seed = seed if sources.request.draws else None
    module = beside.build(spec, device)
    beside.load(module, spec, own)
    origin, warnings = sources.described(distribution), [*sources.warnings, *remarks, *_loses(spec, weights)]
    if save is not None and in_parts:
        from rnntrace.verbs.stream import streamed

        # Where a link leads to, there it will be written.
        folder = save.resolve().parent
        return streamed(module, spec, own, inputs, judging, folder, tell, seed=seed, origin=origin, warnings=warnings)
    if warn and memory.is_short(needed, free):
        warn(memory.warning(needed, free, judging.needs_all))
    observation = beside.observe(module, spec, inputs, judging.capture)
    return judged(spec, own, inputs, observation, judging, seed=seed, origin=origin, warnings=warnings)


def _arrays(spec: ModuleSpec, judging: JudgeOptions) -> int:
    """How many arrays a trace has for each layer and direction."""
    return len(judging.kept(spec.cell)) + len(judging.kept_terms(spec.cell))


def _is_long(spec: ModuleSpec, steps: int, batch: int, judging: JudgeOptions) -> bool:
    return trace_size(spec, steps, batch, _arrays(spec, judging)) >= min(STREAM_FROM, MAX_VALUES)


def _needed(spec: ModuleSpec, steps: int, batch: int, judging: JudgeOptions) -> int:
    """Bytes of memory that a run takes."""
    return memory.needed(
        spec,
        steps,
        batch,
        kept=_arrays(spec, judging),
        itemsize=judging.numpy_dtype(spec).itemsize,
    )


def checked_seed(seed: int | None) -> int:
    """The seed, or one that is drawn. Raises UsageError if torch could not take it."""
    if seed is None:
        return secrets.randbelow(SEEDS)
    if not 0 <= seed < 2**63:
        raise UsageError(f"a seed is a whole number from 0 to 2**63 - 1, not {seed}")
    return seed


def _loses(spec: ModuleSpec, weights: Weights | None) -> list[str]:
    """A warning if the module's format does not hold the weights as they are."""
    arrays = weights.arrays if weights else ()
    exact = all(np.array_equal(rounded(array, spec.precision), array, equal_nan=True) for array in arrays)
    return [] if exact else [f"the weights have more digits than {spec.dtype} holds and were rounded: see --dtype"]
