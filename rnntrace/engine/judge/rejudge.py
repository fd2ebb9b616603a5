"""The verdict on a saved trace, worked out anew from its arrays.

Whoever can write a file can write a verdict into it. What it holds is judged as it was when it was made: the replay beside the
framework's values, in single steps that start from the framework's states. And the replay must be one: every step follows
from the weights, the input and the states before it, and the outputs are the states that they come from. A trace with made-up
numbers on both sides is a FAIL.

That takes another replay. A long trace is gone through window by window; of it the hidden states are judged, as they were when
it was made, and gates that have no partner on the framework's side are shown as they stand there.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from rnntrace.engine.judge.judge import behind_outputs, not_finite
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.pairing import pair_outputs, pair_up
from rnntrace.engine.judge.protocol import Judgement
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.tolerance import make_tolerance
from rnntrace.engine.judge.verdict import Comparison, Verdict, compare
from rnntrace.engine.replay.trace import Trace
from rnntrace.engine.replay.windows import InWindows, Replays, Whole
from rnntrace.model.dtypes import Array, rounded
from rnntrace.model.signals import trace_size
from rnntrace.model.windows import pieces, release

LONG = 2**22
"""A trace of so many values is gone through in windows, unless the framework's gates are in it or a flag needed it whole."""
_APART = "the {} in it is not the states that it comes from: first t={}, unit {}"


def rejudged(result: Result, options: JudgeOptions, said: Verdict) -> Result:
    """A trace that was read, with its verdict; `options` say how it was judged when it was made, and `said` what came of it."""
    dtype = next(iter(result.trace.columns.values())).dtype
    options = replace(options, replay_dtype=dtype.name)
    unsound = not_finite(result.inputs, result.weights)
    if result.mistakes:
        comparison, single_steps, contradictions = _with_mistakes(result, options)
    else:
        comparison, single_steps, contradictions = _as_made(result, options, said, sound=not unsound)
    return replace(
        result,
        comparison=comparison,
        single_steps=single_steps,
        contradictions=(*contradictions, *_too_fine(result)),
        warnings=tuple(dict.fromkeys((*result.warnings, *unsound))),
    )


def _too_fine(result: Result) -> list[str]:
    """A sentence if the weights are not of the number format that decides the tolerance."""
    dtype = result.spec.precision
    held = all(np.array_equal(rounded(array, dtype), array, equal_nan=True) for array in result.weights.arrays)
    return [] if held else [f"it is said to be {dtype.name}, and its weights have more digits"]


def _as_made(result: Result, options: JudgeOptions, said: Verdict, *, sound: bool) -> tuple[Comparison, bool, list[str]]:
    """The verdict as it was reached, whether it is one of single steps, and what is wrong with the replay itself."""
    spec, inputs, seen = result.spec, result.inputs, result.observation
    kept = {symbol for *_, symbol in result.trace.columns}
    dtype = options.numpy_dtype(spec)
    size, at_once = trace_size(spec, inputs.steps, inputs.batch, len(kept)), seen.captured or options.needs_all or spec.merges
    long = size >= LONG and not at_once
    replays: Replays = Whole(spec, result.weights, inputs, dtype)
    if long:
        # Any array will do: all lie in one file, which is let go of as a whole.
        replays = InWindows(spec, result.weights, inputs, dtype, mapped=[result.replayed_outputs["output"]])
    behind = behind_outputs(result.trace, result.weights, seen, options)
    judgement = Judgement(result.trace, result.replayed_outputs, seen, options, replays, behind=behind, sound=sound)
    contradictions = [*_made_up(judgement), *_outputs_apart(result, behind)]
    if long and not said.passed and (trajectory := judgement.compared(None)).verdict is Verdict.FAIL:
        # A file that says that it failed is taken at its word.
        return trajectory, False, contradictions
    return (*judgement.judged(), contradictions)


def _made_up(judgement: Judgement) -> list[str]:
    """A sentence if the replay is none: a step does not follow from the states before it."""
    tolerance = make_tolerance("torch", judgement.spec.dtype)
    found = judgement.by_itself(None, tolerance)
    if found.verdict is Verdict.FAIL:
        found = judgement.by_itself(judgement.rounding, tolerance)
    place = found.first_failure
    if place is None:
        return []
    where = f"{place.symbol}, layer {place.layer}, {place.direction}, t={place.t}, item {place.item}, unit {place.unit}"
    return [f"the replay in it does not follow from its weights and input: first {where}"]


def _outputs_apart(result: Result, behind: Trace) -> list[str]:
    """A sentence if the replay's outputs are not the states that they come from: bit by bit, and a piece at a time."""
    if behind is not result.trace or result.spec.merges:
        return _outputs_differ(result, behind.outputs)
    valid = result.inputs.valid
    for direction in result.spec.directions:
        h = behind.columns[result.spec.num_layers - 1, direction, result.spec.cell.output]
        output = result.replayed_outputs["output"][..., result.spec.output_units(direction)]
        for rows in pieces(h.shape):
            there = h[rows] if valid is None else np.where(valid[rows, :, None], h[rows], 0)
            apart = (there != output[rows]) & ~(np.isnan(there) & np.isnan(output[rows]))
            if apart.any():
                step, _, unit = np.argwhere(apart)[0]
                return [_APART.format("output", rows.start + step + 1, unit)]
            release(h, output)
    for state in result.spec.cell.states:
        if not np.array_equal(behind.final(state), result.replayed_outputs[f"{state}_n"], equal_nan=True):
            return [_APART.format(f"{state}_n", result.inputs.steps, 0)]
    return []


def _outputs_differ(result: Result, right: Mapping[str, Array]) -> list[str]:
    """A sentence if the replay's outputs are not the right ones, within tolerance."""
    trace, spec = result.trace, result.spec
    quantities = pair_outputs(trace, trace, result.replayed_outputs, right)
    place = compare(quantities, make_tolerance("torch", spec.dtype), spec.precision).first_failure
    return [_APART.format(place.symbol, place.t, place.unit)] if place else []


def _with_mistakes(result: Result, options: JudgeOptions) -> tuple[Comparison, bool, list[str]]:
    """With mistakes that were made on purpose: the trajectory, by rtol and atol."""
    from rnntrace.engine.diagnose.deliberate import with_mistakes

    spec, tolerance = result.spec, options.tolerance_of_mistakes(result.spec)
    again = with_mistakes(result, [mistake.id for mistake in result.mistakes], tolerance)
    place = compare(pair_up(again.trace, again.trace, result.trace.columns), tolerance, spec.precision).first_failure
    made_up = [f"the replay in it is not the one with these mistakes: first {place.symbol}, t={place.t}"] if place else []
    return again.comparison, False, [*made_up, *_outputs_differ(result, again.replayed_outputs)]
