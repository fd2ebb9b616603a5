"""A model of several layers that read one another: its input carried up to the last module, and what is made of its output."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np

from rnntrace.engine.judge.judge import not_finite
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.pairing import Quantity, times
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.tolerance import TORCH_TOLERANCES
from rnntrace.engine.judge.verdict import compare
from rnntrace.engine.replay.pointwise import dense, looked_up
from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import Trace
from rnntrace.errors import SignalError, UsageError, show
from rnntrace.files import digits
from rnntrace.model.chain import Dense, Lookup, chain_of
from rnntrace.model.dtypes import Array
from rnntrace.model.masks import held
from rnntrace.model.merges import LAST_OUTPUT
from rnntrace.model.module import Module
from rnntrace.model.observation import Observation
from rnntrace.model.signals import assemble, to_own_layout
from rnntrace.model.spec import FORWARD
from rnntrace.verbs.given.arrays import label_of, tensors_of
from rnntrace.verbs.given.masks import as_masked, is_said
from rnntrace.verbs.given.ordered import ordered
from rnntrace.verbs.given.overrides import Modules
from rnntrace.verbs.given.sources import Sources
from rnntrace.verbs.judged import judged

Judged = Callable[[Modules, Sources], dict[str, Result]]


def in_chain(modules: Modules, sources: Sources) -> dict[str, Sources]:
    """What each module of a chain reads where the model is fed with `sources`; of others, which are fed alike, just these.

    Raises SignalError for an input that does not fit, and UsageError for initial states, which belong to one module.
    """
    order = chain_of(modules)
    alone = len(order) == 1 and (before := modules[order[0]].before) is not None and not before.through
    if not order or alone or sources.request.x is None:
        return dict.fromkeys(modules, sources)
    if len(order) > 1 and (own := sorted({f"{name}0" for name in sources.request.states} & sources.given)):
        raise UsageError(f"`{own[0]}` belongs to one module, and the model has {len(order)}: choose with `module`")
    found: dict[str, Sources] = {}
    for prefix, above in zip_longest(order, order[1:]):
        sources = found[prefix] = _fed(modules[prefix], sources)
        if above:
            sources = _above(modules[above], above, modules[prefix], prefix, sources)
    return found


def _fed(module: Module, sources: Sources) -> Sources:
    """The signals through what stands between a module and the one below, or the input."""
    before = module.before
    assert before is not None
    for layer in before.through:
        x = sources.request.x
        assert x is not None
        if isinstance(layer, Dense):
            sources = _with(sources, dense(layer, x), f"the input goes through {layer}")
        elif x.ndim < 3 and x.shape[-1:] != layer.table.shape[1:]:
            sources = _tokens(module, layer, x, sources)
    return sources


def _tokens(module: Module, layer: Lookup, x: Array, sources: Sources) -> Sources:
    """Tokens (B, T) or (T,) as vectors, masked where the embedding masks the token 0 and nobody gave a mask."""
    masks = ", and masks where they are 0" if layer.masks_zero else ""
    found = _with(sources, looked_up(layer, x), f"the input is tokens, which {layer} looks up{masks}")
    request = found.request
    if layer.masks_zero and not {"mask", "lengths"} & found.given and (x == 0).any():
        mask = (x != 0).astype(np.float64)
        return replace(found, request=replace(request, mask=mask), given=found.given | {"mask"})
    return found


def _above(above: Module, name: str, module: Module, prefix: str, sources: Sources) -> Sources:
    """What the module above gets: the replayed output of a module, in the layout of the one above."""
    masked, doubt = as_masked(module, ordered(module.spec, sources))
    if doubt:
        raise SignalError(f"{show(prefix)}: {doubt}")
    spec = module.spec
    inputs = assemble(spec, masked.request, partial(_none, prefix)).rounded(spec.precision)
    trace = replay(spec, module.weights.astype(spec.precision.replay), inputs)
    output = trace.outputs["output"]
    if inputs.valid is not None and not (module.mask and module.mask.zeros):
        output = held(output, inputs.valid)
    output = output[::-1] if module.output_reversed else output
    x = to_own_layout(above.spec, "x", output.astype(np.float64), inputs.unbatched)
    said = ": the file tells no order, and their sizes fit" if above.before and above.before.assumed else ""
    found = _with(masked, x, f"{show(prefix)} is replayed, and {show(name)} reads what it gives{said}")
    # A mask goes up with the steps it is of; initial states do not.
    request = replace(found.request, states={})
    if above.mask and not is_said(found):
        request = replace(request, mask=np.ones(x.shape[:-1]))
    return replace(found, request=request, half_units={})


def with_behind(judge: Judged, modules: Modules, sources: Sources, judging: JudgeOptions, expected: Any) -> dict[str, Result]:
    """The results beside what is expected of the model: the output of its last module, or of what stands behind it.

    Where both fit, the one that agrees is meant. Raises SignalError if neither fits, and UsageError for several modules.
    """
    order = chain_of(modules)
    if not order:
        _refuse_several(modules)
        return judge(modules, sources)
    last = order[-1]
    module, sources = modules[last], in_chain(modules, sources)[last]
    try:
        results = judge({last: module}, sources)
    except SignalError as error:
        if module.behind.layers:
            return {last: _of_head(module, sources, judging, expected)}
        if not module.behind.unknown:
            raise
        raise SignalError(f"{error}; behind {show(last)} stands {module.behind.unknown}, which is not replayed") from None
    if module.behind.layers and not all(result.passed for result in results.values()):
        with suppress(SignalError, UsageError):
            headed = _of_head(module, sources, judging, expected)
            results = {last: headed} if headed.passed else results
    return results


def _refuse_several(modules: Modules) -> None:
    """Raises UsageError for several modules, with what stands between them."""
    unknown = {prefix: module.before.unknown for prefix, module in modules.items() if module.before}
    between = [f"{show(prefix)} reads {layer}" for prefix, layer in unknown.items() if layer]
    if len(modules) > 1:
        why = f", as {' and '.join(between)}, which is not replayed" if between else ""
        raise UsageError(f"`expected` is for one module, and there are {len(modules)}{why}: choose with `module`")


def _of_head(module: Module, sources: Sources, judging: JudgeOptions, expected: Any) -> Result:
    """The result on the output of the layers behind a module. Raises SignalError for another shape."""
    if judging.mistakes or judging.blind:
        raise UsageError("mistakes are made in one module: give its own output, or leave `mistake` and `blind` out")
    spec, layers = module.spec, module.behind.layers
    masked, doubt = as_masked(module, ordered(spec, sources))
    inputs = assemble(spec, masked.request, partial(_none, "")).rounded(spec.precision)
    weights = module.weights.astype(spec.precision.replay)
    trace = replay(spec, weights, inputs)
    values = _steps_of(module, trace)
    for layer in layers:
        values = dense(layer, values)
    tensors = tensors_of(expected)
    if len(tensors.arrays) != 1:
        raise SignalError(f"{label_of(expected)} should hold one array, the output of {layers[-1]}")
    ((name, array),) = tensors.arrays.items()
    shape = _own(module, values, inputs.unbatched).shape
    if array.shape != shape:
        raise SignalError(f"{label_of(expected)}: the output of {layers[-1]} should have shape {shape}, and has {array.shape}")
    half = tensors.half_units(name, digits.OUTPUTS)
    theirs, half = (None if one is None else _time_major(module, one, inputs.unbatched) for one in (array, half))
    assert theirs is not None
    tolerance = judging.tolerance_for(spec)
    # There is no bound on what rounding does behind a module.
    tolerance = tolerance if tolerance.kind in ("torch", "decimals") else TORCH_TOLERANCES[spec.dtype]
    t = trace.final_step(FORWARD)[None] if module.last_output else times(slice(0, len(values)), inputs.batch)
    quantity = Quantity(
        layers[-1].name, spec.num_layers - 1, spec.directions[0], values, values, theirs.astype(values.dtype), t, half_unit=half
    )
    observation = Observation("expected", "", "", 0, label_of(expected), {}, {})
    remarks = [*module.remarks, f"judged is the output of {layers[-1]}, made of the replayed output"]
    result = judged(
        spec,
        weights,
        inputs,
        observation,
        judging,
        origin=sources.described(spec, "given"),
        warnings=[*masked.warnings, *remarks],
    )
    compared = compare([quantity], tolerance, spec.precision, sound=not not_finite(inputs, weights))
    origin, said = sources.described(spec, "given"), [*masked.warnings, *remarks]
    result = judged(spec, weights, inputs, observation, judging, origin=origin, warnings=said)
    result = replace(result, comparison=compared, handed_in=frozenset({layers[-1].name}), unused=sources.unused)
    return result if not doubt else replace(result, contradictions=(*result.contradictions, doubt))


def _steps_of(module: Module, trace: Trace) -> Array:
    """The output of a module as the layers behind it get it: (T, B, ·), or (1, B, ·) of the final step alone."""
    outputs, spec = trace.outputs, module.spec
    if not module.last_output:
        return outputs["output"][::-1] if module.output_reversed else outputs["output"]
    if spec.merges:
        return outputs[LAST_OUTPUT]
    finals = outputs[f"{spec.cell.output}_n"][-len(spec.directions) :]
    return np.concatenate([*finals], axis=-1)[None]


def _own(module: Module, values: Array, unbatched: bool) -> Array:
    """As the framework gives it: (B, ·) of the final step, or in the module's own layout."""
    found: Array = values[0] if module.last_output else values
    if unbatched:
        return found[..., 0, :]
    return found.swapaxes(0, 1) if module.spec.batch_first and not module.last_output else found


def _time_major(module: Module, values: Array, unbatched: bool) -> Array:
    """(T, B, ·) of what has the shape that `_own` gives."""
    found: Array = values[..., None, :] if unbatched else values
    if module.last_output:
        return found[None]
    return found.swapaxes(0, 1) if module.spec.batch_first and not unbatched else found


def _with(sources: Sources, x: Array, remark: str) -> Sources:
    return replace(sources, request=replace(sources.request, x=x), warnings=(*sources.warnings, remark))


def _none(prefix: str, shape: Sequence[int]) -> Array:
    raise SignalError(f"{show(prefix)}: an initial state of shape {tuple(shape)} is not given")
