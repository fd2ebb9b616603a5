"""Mistakes with sequences: time, batch and lengths."""

from collections.abc import Callable, Iterator

import numpy as np

from rnntrace.engine.diagnose.case import Case, Change, Entry, Outputs
from rnntrace.model.dtypes import Array
from rnntrace.model.masks import held

_STEPS = "more than one step"
_PADDED = "sequences of unequal lengths (`batch=2`, `lengths=4,2`)"


def sequence_mistakes(kind: str) -> Iterator[Entry]:
    """All of a kind."""
    yield from _time(kind)
    yield from _lengths(kind)


def _time(kind: str) -> Iterator[Entry]:
    def x_as(change: Callable[[Array], Array]) -> Change:
        def changed(case: Case) -> Case | None:
            x = change(case.inputs.x)
            return None if np.array_equal(x, case.inputs.x) else case.with_inputs(x=np.ascontiguousarray(x))

        return changed

    yield Entry(
        f"{kind}.time.reversed",
        "the sequence was read from its last step to its first",
        "read x from t = 1 to t = T",
        x_as(lambda x: x[::-1]),
        needs=_STEPS,
        causal=False,
    )
    yield Entry(
        f"{kind}.time.reversed-and-back",
        "the sequence was read from its last step to its first, and the output flipped back",
        "read x from t = 1 to t = T",
        x_as(lambda x: x[::-1]),
        lambda case, outputs: {name: values[::-1] if name == "output" else values for name, values in outputs.items()},
        frameworks=("Keras go_backwards",),
        needs=_STEPS,
        causal=False,
    )
    yield Entry(
        f"{kind}.time.features-flipped",
        "the inputs of a step were read from the last to the first: x was flipped along its features, not in time",
        "flip axis 0 of x, time, where x is to be reversed, or axis 1 with batch_first=True",
        x_as(lambda x: x[..., ::-1]),
        needs="more than one input (-i 2)",
    )
    yield Entry(
        f"{kind}.time.batch-swapped",
        "batch and time were exchanged: the items of the batch were read as the steps of a sequence",
        "give x as (time, batch, input), or as (batch, time, input) with batch_first=True",
        _batch_as_time,
        _back_from_batch_as_time,
        lambda sequence: sequence.swapaxes(0, 1),
        needs="more than one step or item, no `lengths`, and initial states of zero unless there are as many items as steps",
        causal=False,
        itemwise=False,
    )
    zero = np.zeros_like
    shifts = {
        "one-ahead": (
            lambda x: np.concatenate([x[1:], zero(x[:1])]),
            "the input was one step ahead: step t read x_{t+1}",
            False,
        ),
        "one-behind": (
            lambda x: np.concatenate([zero(x[:1]), x[:-1]]),
            "the input was one step behind: step t read x_{t-1}",
            True,
        ),
    }
    for name, (change, says, causal) in shifts.items():
        yield Entry(
            f"{kind}.time.{name}", says, "use x_t at step t", x_as(change), causal=causal, needs="an x that is not zero"
        )
    yield Entry(
        f"{kind}.time.output-late",
        "the output was one step behind: h before each step was stored, not h after it",
        "store h after the step",
        lambda case: case if case.spec.directions == ("forward",) else None,
        _output_late,
        needs="the forward direction alone",
    )


def _batch_as_time(case: Case) -> Case | None:
    inputs = case.inputs
    if inputs.batch == inputs.steps == 1 or inputs.valid is not None:
        return None
    states = inputs.states
    if inputs.batch != inputs.steps:
        if any(rows.any() for rows in states.values()):
            return None
        states = {state: np.zeros((len(rows), inputs.steps, rows.shape[2]), rows.dtype) for state, rows in states.items()}
    x = np.ascontiguousarray(inputs.x.swapaxes(0, 1))
    return case.with_inputs(x=x, states=states)


def _back_from_batch_as_time(case: Case, outputs: Outputs) -> Outputs:
    """The output on its own axes; final states are of other items, and of none unless there are as many items as steps."""
    output = outputs["output"].swapaxes(0, 1)
    items = output.shape[1]
    states = {
        name: rows if rows.shape[1] == items else np.full((len(rows), items, rows.shape[2]), np.nan, rows.dtype)
        for name, rows in outputs.items()
        if name != "output"
    }
    return {"output": output, **states}


def _output_late(case: Case, outputs: Outputs) -> Outputs:
    first = case.inputs.initial(case.cell.output)[-1:].astype(outputs["output"].dtype)
    return {**outputs, "output": np.concatenate([first, outputs["output"][:-1]])}


def _lengths(kind: str) -> Iterator[Entry]:
    def no_lengths(case: Case) -> Case | None:
        inputs = case.inputs
        counts = inputs.valid
        return None if counts is None or counts.all() else case.with_inputs(lengths=None, mask=None)

    yield Entry(
        f"{kind}.lengths.ignored",
        "lengths or mask were ignored: padded steps were computed like all others",
        "pack the batch, stop each sequence at its length, or hand the states on where a step is masked",
        no_lengths,
        needs=_PADDED,
        causal=False,
    )

    yield Entry(
        f"{kind}.lengths.repeated",
        "the last output of a sequence was repeated at its padded steps, as Keras' masks do",
        "put zeros at padded steps",
        lambda case: case if no_lengths(case) else None,
        lambda case, outputs: {**outputs, "output": _last_repeated(case, outputs["output"])},
        frameworks=("Keras mask",),
        needs=_PADDED,
    )


def _last_repeated(case: Case, output: Array) -> Array:
    assert case.inputs.valid is not None
    return held(output, case.inputs.valid)
