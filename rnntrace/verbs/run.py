"""`run`: build a module, draw what it needs from a seed, and trace it."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.equations.cell import Cell
from rnntrace.errors import UsageError
from rnntrace.files import check_writable
from rnntrace.model.axes import Axes
from rnntrace.model.dtypes import is_whole, rounded
from rnntrace.model.limits import MAX_VALUES, STREAM_FROM
from rnntrace.model.observation import Observation
from rnntrace.model.signals import assemble, check_not_empty, has_holes, sizes, trace_size
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.verbs import memory
from rnntrace.verbs.given.cells import cell as own_cell
from rnntrace.verbs.given.cells import module_with
from rnntrace.verbs.given.initial import as_held
from rnntrace.verbs.given.keywords import given, pass_on, refuse, several
from rnntrace.verbs.given.masks import as_masked_aloud, undecided
from rnntrace.verbs.given.modules import VARIANTS, module_for, spec_of_kind
from rnntrace.verbs.given.ordered import ordered
from rnntrace.verbs.given.overrides import named_course
from rnntrace.verbs.given.sources import Sources, read_sources
from rnntrace.verbs.judged import judged
from rnntrace.verbs.save import save as save_result

OF_A_KIND = ("input_size", "hidden", "layers", "bidirectional", "dtype", *VARIANTS)
"""What the weights of a cell of one's own say by themselves."""
NO_SUCH_MASK = (
    "no framework that is installed has this cell and takes this mask: give outputs to judge it by, as `expected` of compare"
)
SEEDS = 2**32
"""A seed that was not given is drawn below this."""


def run(
    kind: str | None = None,
    *,
    cell: Cell | str | Path | None = None,
    input_size: int | None = None,
    hidden: int = 2,
    layers: int = 1,
    bidirectional: bool = False,
    bias: bool = True,
    nonlinearity: str | None = None,
    proj_size: int = 0,
    dropout: float = 0.0,
    batch_first: bool = False,
    peepholes: bool = False,
    coupled: bool = False,
    clip: float | None = None,
    reset_before: bool = False,
    activation: str | None = None,
    recurrent_activation: str | None = None,
    cell_activation: str | None = None,
    reverse_activations: str | Sequence[str] = (),
    merge: str | None = None,
    layer_norm: bool = False,
    independent: bool = False,
    weights: Any = None,
    layout: str | None = None,
    dtype: str = "float32",
    framework: str | None = None,
    device: str = "cpu",
    steps: int | None = None,
    batch: int | None = None,
    unbatched: bool = False,
    input: Any = None,
    axes: str | Axes | None = None,
    text: str | Sequence[str] = (),
    alphabet: str | None = None,
    h0: Any = None,
    c0: Any = None,
    states: Mapping[str, Any] | None = None,
    lengths: Sequence[int] | None = None,
    mask: Any = None,
    dist: str = "normal",
    seed: int | None = None,
    capture: str = "auto",
    tolerance: str = "torch",
    rtol: float | None = None,
    atol: float | None = None,
    lam: float | None = None,
    drift: bool = True,
    mistake: str | Sequence[str] = (),
    blind: bool = False,
    replay: str = "free",
    replay_dtype: str | None = None,
    keep: str = "gates",
    save: str | Path | None = None,
    scratch: str | Path | None = None,
    ready: Callable[[ModuleSpec, int, int], None] | None = None,
    tell: Callable[[str, float], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Result:
    """Build a module of a kind ("lstm", "gru-cell"), feed it, replay it by hand, and judge the replay beside the framework's.

    A `cell` of your own, its text or a file of it, stands in place of a kind; its weights have the names of the text, and say
    its sizes. The variants of a kind, from `peepholes` to `independent`, are those of `ModuleSpec`. Beside the replay stands
    `framework`, by default torch or, if that lacks the variant, another one that is installed; if none has it the verdict is
    undecided.

    `input` is x, an array, tensor or nested lists in the module's own layout, a file, or a dictionary of x, h0, c0, lengths and
    mask; `text` gives one-hot vectors instead. h0 and c0, or the same in `states` ({"h0": …}), are arrays, files, "zeros" or
    "random". A `mask` of 1 and 0, in the shape of x without its last axis, is 0 at steps that are left out, where states are
    handed on; it stands beside a framework that takes such a mask. `weights` are a file, a state_dict or a model, or plain
    arrays in a `layout`, see `load`. From `seed` are drawn, in this order: the parameters as the module is built (even if
    `weights` replace them), x, h0, c0; signals only if they are not given. Without a seed one is drawn; the result names it
    unless nothing was drawn at all.

    The trace is saved as `save`. A long one is then kept on disk while it is worked out, in that folder, or in the folder
    `scratch`. `ready` is called with the module's specification, T and B before anything is computed, `tell` with what is done
    and how far it is, and `warn` with a sentence if the run takes much of the memory. Raises RnnTraceError.
    """
    keywords = locals()
    if save is not None:
        check_writable(Path(save))
    declared = None if cell is None else own_cell(cell)
    if layout is not None and (weights is None or declared):
        raise UsageError("`layout` says how `weights` of a kind are laid out: give them, or leave it out")
    course = named_course(layout)
    sources = pass_on(read_sources, keywords, own_states=declared.states if declared else (), course=course)
    loaded = None
    if declared and weights is not None:
        refuse(given(run, keywords), ("kind", *OF_A_KIND), "describes a module, and its weights say it: leave it out")
        loaded = module_with(declared, weights, batch_first=batch_first)
    spec = loaded.spec if loaded else spec_of_kind(kind, sources, keywords)
    if weights is not None or input_size is not None:
        # A size that nobody gave tells no order of axes.
        sources = ordered(spec, sources)
    judging = pass_on(JudgeOptions, keywords, mistakes=several(mistake))
    if ready:
        ready(spec, *sizes(spec, sources.request))
    if weights is not None and loaded is None:
        loaded = module_for(weights, spec, layout)
    if loaded:
        loaded = replace(loaded, spec=spec)
        sources = as_masked_aloud(loaded, as_held(loaded, sources))
    folder = Path(scratch) if scratch is not None else Path(save).resolve().parent if save is not None else None
    result = build_and_trace(
        spec,
        sources,
        judging,
        loaded.weights if loaded else None,
        framework=framework,
        remarks=loaded.remarks if loaded else (),
        distribution=dist,
        seed=seed,
        device=device,
        scratch=folder,
        tell=tell,
        warn=warn,
    )
    if save is not None:
        save_result(result, save)
    return result


def build_and_trace(
    spec: ModuleSpec,
    sources: Sources | None = None,
    judging: JudgeOptions | None = None,
    weights: Weights | None = None,
    *,
    framework: str | None = None,
    remarks: Sequence[str] = (),
    distribution: str = "normal",
    seed: int | None = None,
    device: str = "cpu",
    scratch: Path | None = None,
    tell: Callable[[str, float], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Result:
    """As `run`, with specification, signals and weights themselves, and `remarks` on how these were read.

    With a `scratch` folder, what is long or takes much of the memory is worked out in parts and kept there.
    """
    from rnntrace.frameworks.protocol import DEVICES, EMPTY, MASKS, WINDOWS
    from rnntrace.frameworks.registry import framework_for
    from rnntrace.frameworks.torch import modules as torch

    sources, judging = sources or Sources(), judging or JudgeOptions()
    beside = framework_for(spec, framework, {MASKS} if has_holes(spec, sources.request) else ())
    offers = beside.OFFERS if beside else frozenset()
    if device != "cpu" and DEVICES not in offers:
        raise UsageError(f"{beside.NAME if beside else 'the replay'} runs on the processor here: leave `device` out")
    steps, batch = sizes(spec, sources.request)
    needed, free = _needed(spec, steps, batch, judging), memory.free()
    in_parts = (
        scratch is not None
        and WINDOWS in offers
        and not judging.needs_all
        and not spec.merges
        and (_is_long(spec, steps, batch, judging) or memory.is_short(needed, free))
    )
    draw = torch.drawing(spec, distribution)
    seed = checked_seed(seed)
    torch.seed(seed)
    own = torch.drawn_weights(spec)
    inputs = assemble(spec, sources.request, draw, quantities=0 if in_parts else _arrays(spec, judging)).rounded(spec.precision)
    if weights is not None:
        own = weights.rounded(spec.precision)
        seed = seed if sources.request.draws else None
    if beside is None or EMPTY not in offers:
        check_not_empty(inputs.lengths)
    origin, warnings = sources.described(spec, distribution), [*sources.warnings, *remarks, *_loses(spec, weights)]
    if beside is None:
        alone = judged(spec, own, inputs, Observation.of_nothing(), judging, seed=seed, origin=origin, warnings=warnings)
        return undecided(alone, NO_SUCH_MASK if inputs.mask is not None else "")
    module = beside.build(spec, device)
    beside.load(module, spec, own)
    if scratch is not None and in_parts:
        from rnntrace.verbs.stream import streamed

        return streamed(module, spec, own, inputs, judging, scratch, tell, seed=seed, origin=origin, warnings=warnings)
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
    if not is_whole(seed) or not 0 <= seed < 2**63:
        raise UsageError(f"a seed is a whole number from 0 to 2**63 - 1, not {seed}")
    return seed


def _loses(spec: ModuleSpec, weights: Weights | None) -> list[str]:
    """A warning if the module's format does not hold the weights as they are."""
    arrays = weights.arrays if weights else ()
    exact = all(np.array_equal(rounded(array, spec.precision), array, equal_nan=True) for array in arrays)
    return [] if exact else [f"the weights have more digits than {spec.dtype} holds and were rounded: see `dtype`"]
