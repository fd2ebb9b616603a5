"""From what a framework did to a result: replay, and judge the replay by it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.protocol import Judgement
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.rounding import Typed
from rnntrace.engine.judge.saturation import remarks
from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import Trace
from rnntrace.engine.replay.windows import Whole
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key
from rnntrace.model.observation import Observation
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.vocabulary import is_output
from rnntrace.model.weights import Weights

AnyArray = TypeVar("AnyArray", Array, Flags)


def judge(
    spec: ModuleSpec,
    weights: Weights,
    inputs: Inputs,
    observation: Observation,
    options: JudgeOptions | None = None,
    *,
    seed: int | None = None,
    origin: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    typed: Typed | None = None,
    shown: Trace | None = None,
) -> Result:
    """Replay a module, and judge the replay by what was observed: see `protocol`.

    `typed` says which digits of weights and inputs are missing; it counts where those of the outputs are too. A replay that
    there is already can be `shown`, and is what is judged. The rest stands in the result as it is. Raises UsageError for
    options that are none.
    """
    options = options or JudgeOptions()
    dtype, kept = options.numpy_dtype(spec), options.kept(spec.cell)
    # What is not kept is held as long as it is compared.
    held = {*kept, *(symbol for *_, symbol in observation.values)}
    known, terms = (None if options.free else observation.values), options.keep == "terms"
    shown = shown or replay(spec, weights, inputs, known=known, dtype=dtype, keep_terms=terms, keep=held)
    behind = behind_outputs(shown, weights, observation, options)
    unsound = not_finite(inputs, weights)
    judgement = Judgement(
        shown,
        behind.outputs,
        observation,
        options,
        Whole(spec, weights, inputs, dtype),
        behind=behind,
        typed=typed,
        sound=not unsound,
    )
    result = judged(judgement, weights, shown, options, seed=seed, origin=origin, warnings=(*warnings, *unsound))
    return _of_what_is_kept(result, kept) if held > {*kept} else result


def behind_outputs(shown: Trace, weights: Weights, observation: Observation, options: JudgeOptions) -> Trace:
    """The replay that outputs come from: that which is `shown`, unless it is forced with the states of another path."""
    if options.free or not observation.on_two_paths:
        return shown
    dtype = options.numpy_dtype(shown.spec)
    return replay(shown.spec, weights, shown.inputs, known=observation.hidden, dtype=dtype, keep=())


def judged(
    judgement: Judgement,
    weights: Weights,
    trace: Trace,
    options: JudgeOptions,
    *,
    seed: int | None = None,
    origin: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> Result:
    """The result of a judgement, with its `trace` and with remarks on what stands out in it."""
    comparison, single_steps = judgement.judged()
    spec, observation = judgement.spec, judgement.observation
    found = (*notes(spec, options, observation), *comparison.remarks, *(remarks(trace) if judgement.sound else ()))
    return Result(
        spec,
        weights,
        judgement.inputs,
        trace,
        judgement.outputs,
        observation,
        comparison,
        options.replay,
        seed,
        dict(origin or {}),
        (*warnings, *found),
        single_steps=single_steps,
    )


def _of_what_is_kept(result: Result, kept: Collection[str]) -> Result:
    """The result without the gates that were compared and are not kept, on either side."""

    def of_kept(arrays: Mapping[Key, AnyArray]) -> dict[Key, AnyArray]:
        return {key: array for key, array in arrays.items() if key[2] in kept or is_output(key[2])}

    comparison = result.comparison
    return replace(
        result,
        trace=result.trace.replaced(values=of_kept(result.trace.columns)),
        observation=replace(result.observation, captured=of_kept(result.observation.captured)),
        comparison=replace(
            comparison,
            out_of_tolerance=of_kept(comparison.out_of_tolerance),
            # What single steps would be compared with goes.
            counted=comparison.differences,
            in_single_steps=None,
        ),
    )


def not_finite(inputs: Inputs, weights: Weights) -> list[str]:
    """What holds NaN or infinity, in sentences."""
    names = [*inputs.not_finite, *([] if all(np.isfinite(array).all() for array in weights.arrays) else ["a weight"])]
    return [f"{name} holds NaN or infinity" for name in names]


def notes(spec: ModuleSpec, options: JudgeOptions, observation: Observation) -> list[str]:
    """Sentences on what was asked for and does nothing, or could not be done."""
    found = []
    if spec.dropout and spec.num_layers > 1:
        found.append(f"dropout {spec.dropout:g} acts between layers in training alone, and has no effect in eval mode")
    elif spec.dropout:
        found.append(f"dropout {spec.dropout:g} has no effect with one layer")
    if options.capture == "on" and observation.not_captured:
        found.append(f"{observation.framework}'s gates could not be captured: {observation.not_captured}")
    return found
