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

from rnntrace.engine.judge.pairing import Place, pair_outputs, pair_up
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.rounding import Format
from rnntrace.engine.judge.tolerance import make_tolerance
from rnntrace.engine.judge.verdict import Comparison, Verdict, judge
from rnntrace.engine.replay.replay import replay
from rnntrace.model.dtypes import Array, rounded
from rnntrace.model.signals import trace_size
from rnntrace.model.windows import pieces, release
from rnntrace.verbs.judging import JudgeOptions, judged, not_finite
from rnntrace.verbs.storage import Storage
from rnntrace.verbs.sweeps import Sweeps

LONG = 2**22
"""A trace of so many values is gone through in windows, unless the framework's gates are in it or a flag needed it whole."""
_APART = "the {} in it is not the states that it comes from: first t={}, unit {}"


def rejudged(result: Result, judging: JudgeOptions, said: Verdict) -> Result:
    """A trace that was read, with its verdict; `judging` is how it was judged when it was made, and `said` what came of it."""
    dtype = next(iter(result.trace.columns.values())).dtype
    judging = replace(judging, replay_dtype=dtype.name)
    spec, inputs = result.spec, result.inputs
    unsound = not_finite(inputs, result.weights)
    if result.mistakes:
        comparison, single_steps, contradictions = _with_mistakes(result, judging, sound=not unsound)
    elif _is_long(result) and not (result.observation.captured or judging.needs_all):
        comparison, single_steps, contradictions = _in_windows(result, judging, said, sound=not unsound)
    else:
        again = judged(spec, result.weights, inputs, result.observation, judging, shown=result.trace)
        comparison, single_steps = again.comparison, again.single_steps
        contradictions = [*_made_up(result, judging), *_outputs_apart(result, again.replayed_outputs)]
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


def _is_long(result: Result) -> bool:
    kept = {symbol for *_, symbol in result.trace.columns}
    return trace_size(result.spec, result.inputs.steps, result.inputs.batch, len(kept)) >= LONG


def _in_windows(result: Result, judging: JudgeOptions, said: Verdict, *, sound: bool) -> tuple[Comparison, bool, list[str]]:
    """The verdict on a long trace, of which little is in memory at once.

    Where the trajectory is within tolerance, and follows from itself, single steps are; they are gone through only for a pass
    that needs them. A file that says that it failed is taken at its word.
    """
    spec, trace, theirs = result.spec, result.trace, result.observation
    shape = (result.inputs.steps, result.inputs.batch, spec.output_size)
    last = [column for column in spec.layer_directions if column[0] == spec.num_layers - 1]
    # Zeros that nobody writes to take no memory.
    out = {(*column, "h"): np.zeros(shape, bool) for column in spec.layer_directions}
    out |= {(*column, "output"): np.zeros(shape, bool) for column in last}
    outputs = {"replay": result.replayed_outputs, "framework": theirs.outputs}
    stored = Storage(dict(trace.columns), dict(theirs.hidden), out, {side: found["output"] for side, found in outputs.items()})
    has_gates = {symbol for *_, symbol in trace.columns} > {*spec.cell.states}
    judging = replace(judging, keep="gates" if has_gates else "states")
    sweeps = Sweeps(spec, result.weights, result.inputs, judging, stored, judging.numpy_dtype(spec))
    for side, found in outputs.items():
        for row, column in enumerate(spec.layer_directions):
            sweeps.finals[side][column] = {state: found[f"{state}_n"][row : row + 1] for state in spec.cell.states}
    apart = _states_apart(result)
    if sweeps.free and not sweeps.follows_from_itself():
        rounding = Format.of(spec.precision, sweeps.dtype, sweeps.tolerance.lam)
        apart += _made_up_at(sweeps.compared_with_itself(rounding).first_failure)
    comparison = sweeps.trajectory(sound=sound)
    if comparison.passed or (comparison.verdict is Verdict.FAIL and not said.passed):
        return comparison, False, apart
    return sweeps.judged(sound=sound), sweeps.single_steps, apart


def _states_apart(result: Result) -> list[str]:
    """As `_outputs_apart`, bit by bit and a piece at a time."""
    trace, valid = result.trace, result.inputs.valid
    for direction in result.spec.directions:
        h = trace.columns[result.spec.num_layers - 1, direction, "h"]
        output = result.replayed_outputs["output"][..., result.spec.output_units(direction)]
        for rows in pieces(h.shape):
            there = h[rows] if valid is None else np.where(valid[rows, :, None], h[rows], 0)
            apart = (there != output[rows]) & ~(np.isnan(there) & np.isnan(output[rows]))
            if apart.any():
                step, _, unit = np.argwhere(apart)[0]
                return [_APART.format("output", rows.start + step + 1, unit)]
            release(h, output)
    for state in result.spec.cell.states:
        final = trace.final(state)
        if not np.array_equal(final, result.replayed_outputs[f"{state}_n"], equal_nan=True):
            return [_APART.format(f"{state}_n", result.inputs.steps, 0)]
    return []


def _made_up(result: Result, judging: JudgeOptions) -> list[str]:
    """A sentence if the replay is none: a step does not follow from the states before it."""
    trace, spec = result.trace, result.spec
    states = {key: values for key, values in trace.columns.items() if key[2] in spec.cell.states}
    known = states if judging.replay == "free" else result.framework_values
    keep = {symbol for *_, symbol in trace.columns}

    def steps(rounding: Format | None) -> Comparison:
        dtype = judging.numpy_dtype(spec)
        again = replay(spec, result.weights, result.inputs, known=known, dtype=dtype, keep=keep, rounding=rounding)
        return judge(pair_up(again, again, trace.columns), make_tolerance("torch", spec.dtype), spec.precision)

    found = steps(None)
    if found.verdict is Verdict.FAIL:
        found = steps(Format.of(spec.precision, judging.numpy_dtype(spec)))
    return _made_up_at(found.first_failure)


def _made_up_at(place: Place | None) -> list[str]:
    if place is None:
        return []
    where = f"{place.symbol}, layer {place.layer}, {place.direction}, t={place.t}, item {place.item}, unit {place.unit}"
    return [f"the replay in it does not follow from its weights and input: first {where}"]


def _outputs_apart(result: Result, right: Mapping[str, Array]) -> list[str]:
    """A sentence if the replay's outputs are not `right`."""
    trace, spec = result.trace, result.spec
    quantities = pair_outputs(trace, trace, result.replayed_outputs, right)
    place = judge(quantities, make_tolerance("torch", spec.dtype), spec.precision).first_failure
    return [_APART.format(place.symbol, place.t, place.unit)] if place else []


def _with_mistakes(result: Result, judging: JudgeOptions, *, sound: bool) -> tuple[Comparison, bool, list[str]]:
    """As `judging` does where mistakes were made on purpose: the trajectory, by rtol and atol."""
    from rnntrace.verbs.mistaken import with_mistakes

    spec, tolerance = result.spec, judging.tolerance_of_mistakes(result.spec)
    again = with_mistakes(result, [mistake.id for mistake in result.mistakes], tolerance)
    place = judge(pair_up(again.trace, again.trace, result.trace.columns), tolerance, spec.precision).first_failure
    made_up = [f"the replay in it is not the one with these mistakes: first {place.symbol}, t={place.t}"] if place else []
    return again.comparison, False, [*made_up, *_outputs_apart(result, again.replayed_outputs)]
