"""Mistakes in reading what a module returns."""

from collections.abc import Callable, Iterator

import numpy as np

from rnntrace.engine.mistakes.mistake import Case, Change, Mistake, Outputs, Read
from rnntrace.model.dtypes import Array

_ROWS = "rows of h_n are l0 forward, l0 reverse, l1 forward and so on"


def output_mistakes(kind: str, states: tuple[str, ...]) -> Iterator[Mistake]:
    """All of a kind with these states."""

    def where(applies: Callable[[Case], bool]) -> Change:
        return lambda case: case if applies(case) else None

    both_ways = where(lambda case: case.spec.bidirectional)
    yield Mistake(
        f"{kind}.reading.reverse-not-flipped",
        "the reverse half of the output was left in the order in which it was computed",
        "flip it back in time: row t of the output belongs to x_t in both directions",
        where(lambda case: case.spec.bidirectional and case.inputs.steps > 1),
        _reverse_not_flipped,
        frameworks=("Keras go_backwards",),
        causal=False,
    )
    yield Mistake(
        f"{kind}.reading.halves-swapped",
        "the forward and the reverse half of the output were exchanged",
        "the forward half comes first",
        both_ways,
        lambda case, outputs: {**outputs, "output": np.roll(outputs["output"], case.spec.output_size, axis=2)},
    )
    yield Mistake(
        f"{kind}.reading.last-output-as-h_n",
        "output[-1] was taken for h_n: of the reverse direction that is its first step, not its final state",
        "take h_n, or output[0] of the reverse half",
        both_ways,
        _last_output_as_h_n,
    )
    yield Mistake(
        f"{kind}.reading.directions-first",
        "h_n was stacked as all forward layers, then all reverse ones",
        _ROWS,
        where(lambda case: case.spec.bidirectional and case.spec.num_layers > 1),
        _states(lambda rows: rows.reshape(-1, 2, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)),
    )
    yield Mistake(
        f"{kind}.reading.layers-reversed",
        "h_n was stacked from the last layer to the first",
        _ROWS,
        where(lambda case: len(case.spec.columns) > 1),
        _states(lambda rows: rows[::-1]),
    )
    yield Mistake(
        f"{kind}.reading.viewed",
        "h_n was viewed as (batch, …) without exchanging its axes first",
        "h_n.transpose(0, 1).reshape(batch, -1)",
        where(lambda case: len(case.spec.columns) > 1 and case.inputs.batch > 1),
        _states(lambda rows: rows.reshape(rows.shape[1], rows.shape[0], -1).swapaxes(0, 1)),
        itemwise=False,
    )
    if "c" in states:
        yield Mistake(
            f"{kind}.reading.c_n-as-h_n",
            "h_n and c_n were exchanged",
            "the state is (h, c) in torch and Keras; TF1 and flax give (c, h)",
            where(lambda case: not case.spec.proj_size),
            lambda case, outputs: {**outputs, "h_n": outputs["c_n"], "c_n": outputs["h_n"]},
            frameworks=("flax linen", "TF1 BasicLSTMCell"),
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
