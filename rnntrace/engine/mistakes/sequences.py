"""Mistakes with sequences: time, batch, lengths, and the two directions."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from rnntrace.engine.mistakes.mistake import Case, Change, Mistake, Outputs, by_layer
from rnntrace.engine.mistakes.weights import directions_swapped
from rnntrace.engine.replay import replay
from rnntrace.engine.trace import Key, Trace
from rnntrace.model.dtypes import Array
from rnntrace.model.weights import Weights

_BOTH_WAYS = "two directions (--bidirectional)"
_STEPS = "more than one step"
_PADDED = "sequences of unequal lengths (--batch 2 --lengths 4,2)"


def sequence_mistakes(kind: str) -> Iterator[Mistake]:
    """All of a kind."""
    yield from _time(kind)
    yield from _lengths(kind)
    yield from _directions(kind)


def _time(kind: str) -> Iterator[Mistake]:
    def x_as(change: Callable[[Array], Array]) -> Change:
        def changed(case: Case) -> Case | None:
            x = change(case.inputs.x)
            return None if np.array_equal(x, case.inputs.x) else case.with_inputs(x=np.ascontiguousarray(x))

        return changed

    yield Mistake(
        f"{kind}.time.reversed",
        "the sequence was read from its last step to its first",
        "read x from t = 1 to t = T",
        x_as(lambda x: x[::-1]),
        needs=_STEPS,
        causal=False,
    )
    yield Mistake(
        f"{kind}.time.reversed-and-back",
        "the sequence was read from its last step to its first, and the output flipped back",
        "read x from t = 1 to t = T",
        x_as(lambda x: x[::-1]),
        lambda case, outputs: {name: values[::-1] if name == "output" else values for name, values in outputs.items()},
        frameworks=("Keras go_backwards",),
        needs=_STEPS,
        causal=False,
    )
    yield Mistake(
        f"{kind}.time.batch-swapped",
        "batch and time were exchanged: the items of the batch were read as the steps of a sequence",
        "give x as (time, batch, input), or as (batch, time, input) with batch_first=True",
        _batch_as_time,
        _back_from_batch_as_time,
        lambda sequence: sequence.swapaxes(0, 1),
        needs="more than one step or item, no --lengths, and initial states of zero unless there are as many items as steps",
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
        yield Mistake(
            f"{kind}.time.{name}", says, "use x_t at step t", x_as(change), causal=causal, needs="an x that is not zero"
        )
    yield Mistake(
        f"{kind}.time.output-late",
        "the output was one step behind: h before each step was stored, not h after it",
        "store h after the step",
        lambda case: case if case.spec.directions == ("forward",) else None,
        _output_late,
        needs="the forward direction alone",
    )


def _batch_as_time(case: Case) -> Case | None:
    inputs = case.inputs
    if inputs.batch == inputs.steps == 1 or inputs.lengths is not None:
        return None
    states = [inputs.h0] if inputs.c0 is None else [inputs.h0, inputs.c0]
    if inputs.batch != inputs.steps:
        if any(state.any() for state in states):
            return None
        states = [np.zeros((len(state), inputs.steps, state.shape[2]), state.dtype) for state in states]
    x = np.ascontiguousarray(inputs.x.swapaxes(0, 1))
    return case.with_inputs(x=x, h0=states[0], c0=states[1] if len(states) > 1 else None)


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
    first = case.inputs.h0[-1:].astype(outputs["output"].dtype)
    return {**outputs, "output": np.concatenate([first, outputs["output"][:-1]])}


def _lengths(kind: str) -> Iterator[Mistake]:
    def no_lengths(case: Case) -> Case | None:
        inputs = case.inputs
        return None if inputs.lengths is None or min(inputs.lengths) == inputs.steps else case.with_inputs(lengths=None)

    yield Mistake(
        f"{kind}.lengths.ignored",
        "lengths were ignored: padded steps were computed like all others",
        "pack the batch, or stop each sequence at its length",
        no_lengths,
        needs=_PADDED,
        causal=False,
    )

    yield Mistake(
        f"{kind}.lengths.repeated",
        "the last output of a sequence was repeated at its padded steps, as Keras' masks do",
        "put zeros at padded steps",
        lambda case: case if no_lengths(case) else None,
        lambda case, outputs: {**outputs, "output": _last_repeated(case, outputs["output"])},
        frameworks=("Keras mask",),
        needs=_PADDED,
    )


def _last_repeated(case: Case, output: Array) -> Array:
    assert case.inputs.lengths is not None
    last = np.minimum(np.arange(len(output))[:, None], np.asarray(case.inputs.lengths) - 1)
    return np.take_along_axis(output, last[..., None], axis=0)


def _directions(kind: str) -> Iterator[Mistake]:
    def one_way(case: Case) -> Case | None:
        """Both directions computed forward."""
        if not case.spec.bidirectional:
            return None
        return replace(case, run=lambda case: by_layer(case, _both_forward))

    def same_weights(case: Case) -> Case | None:
        if not case.spec.bidirectional:
            return None
        columns = {column: case.weights[column[0], "forward"] for column in case.spec.columns}
        return replace(case, weights=Weights(columns))

    own = "give each direction its own weights: in torch those of the reverse one end in _reverse"
    back = "run the reverse direction from the last step to the first, and flip its output back"
    for name, says, fix, change in (
        ("weights-swapped", "the weights of the two directions were exchanged", own, directions_swapped),
        ("same-weights", "the reverse direction used the weights of the forward one", own, same_weights),
        ("both-forward", "the reverse direction ran forward like the other", back, one_way),
    ):
        yield Mistake(f"{kind}.direction.{name}", says, fix, change, needs=_BOTH_WAYS, causal=False)


def _both_forward(case: Case) -> Trace:
    forward = replace(case.spec, bidirectional=False)
    columns: dict[Key, Array] = {}
    for row, (layer, direction) in enumerate(case.spec.columns):
        initial = {f"{state}0": case.inputs.initial(state)[row : row + 1] for state in case.cell.states}
        inputs = case.with_inputs(**initial).inputs
        weights = Weights({(0, "forward"): case.weights[layer, direction]})
        trace = replay(forward, weights, inputs, cell=case.cell)
        columns |= {(layer, direction, symbol): trace.columns[0, "forward", symbol] for symbol in case.cell.symbols}
    return Trace(case.spec, case.inputs, columns)
