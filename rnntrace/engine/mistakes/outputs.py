"""Mistakes in reading what a module returns."""

from collections.abc import Callable, Iterator

import numpy as np

from rnntrace.engine.mistakes.mistake import Case, Change, Mistake, Outputs, Read
from rnntrace.model.dtypes import Array

_ROWS = "take row 0 for layer 0 forward, row 1 for layer 0 reverse, then layer 1: one row for each layer and direction"
_BOTH_WAYS = "two directions (--bidirectional)"


def output_mistakes(kind: str, states: tuple[str, ...]) -> Iterator[Mistake]:
    """All of a kind with these states."""

    def where(applies: Callable[[Case], bool]) -> Change:
        return lambda case: case if applies(case) else None

    both_ways = where(lambda case: case.spec.bidirectional)
    yield Mistake(
        f"{kind}.reading.reverse-not-flipped",
        "the reverse half of the output was left in the order in which it was computed",
        "flip it back in time: output[t] belongs to x[t] in both directions",
        where(lambda case: case.spec.bidirectional and case.inputs.steps > 1),
        _reverse_not_flipped,
        frameworks=("Keras go_backwards",),
        needs=f"{_BOTH_WAYS} and more than one step",
        causal=False,
    )
    yield Mistake(
        f"{kind}.reading.halves-swapped",
        "the forward and the reverse half of the output were exchanged",
        "put the forward half first",
        both_ways,
        lambda case, outputs: {**outputs, "output": np.roll(outputs["output"], case.spec.output_size, axis=2)},
        needs=_BOTH_WAYS,
    )
    yield Mistake(
        f"{kind}.reading.last-output-as-h_n",
        "output[-1] was taken for the final states: the reverse direction ends at t = 1, and output[-1] is its first step",
        "take h_n itself, or output[0] for the reverse half",
        both_ways,
        _last_output_as_h_n,
        needs=_BOTH_WAYS,
    )
    yield Mistake(
        f"{kind}.reading.directions-first",
        "the final states were taken for all forward layers, then all reverse ones",
        _ROWS,
        where(lambda case: case.spec.bidirectional and case.spec.num_layers > 1),
        _states(lambda rows: rows.reshape(-1, 2, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)),
        needs="several layers in two directions (--layers 2 --bidirectional)",
    )
    yield Mistake(
        f"{kind}.reading.layers-reversed",
        "the final states were taken from the last layer to the first",
        _ROWS,
        where(lambda case: len(case.spec.columns) > 1),
        _states(lambda rows: rows[::-1]),
        needs="several layers or directions (--layers 2)",
    )
    yield Mistake(
        f"{kind}.reading.viewed",
        "the final states were viewed as (batch, …) without exchanging the axes first, which mixes the items",
        "write h_n.transpose(0, 1).reshape(batch, -1)",
        where(lambda case: len(case.spec.columns) > 1 and case.inputs.batch > 1),
        _states(lambda rows: rows.reshape(rows.shape[1], rows.shape[0], -1).swapaxes(0, 1)),
        needs="several layers or directions, and items (--layers 2 --batch 2)",
        itemwise=False,
    )
    if "c" in states:
        yield Mistake(
            f"{kind}.reading.c_n-as-h_n",
            "h_n and c_n were exchanged",
            "take the pair as (h, c), as torch and Keras give it; TF1 and flax give (c, h)",
            where(lambda case: not case.spec.proj_size),
            lambda case, outputs: {**outputs, "h_n": outputs["c_n"], "c_n": outputs["h_n"]},
            frameworks=("flax linen", "TF1 BasicLSTMCell"),
            needs="an LSTM without a projection",
        )


def _states(order: Callable[[Array], Array]) -> Read:
    """h_n and c_n with their rows, one for each layer and direction, in another order."""
    return lambda case, outputs: {name: values if name == "output" else order(values) for name, values in outputs.items()}


def _reverse_not_flipped(case: Case, outputs: Outputs) -> Outputs:
    forward, reverse = np.split(outputs["output"], 2, axis=2)
    return {**outputs, "output": np.concatenate([forward, reverse[::-1]], axis=2)}


def _last_output_as_h_n(case: Case, outputs: Outputs) -> Outputs:
    last = np.stack(np.split(outputs["output"][-1], 2, axis=1))
    return {**outputs, "h_n": np.concatenate([outputs["h_n"][:-2], last])}
