"""Mistakes in reading what a module returns."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from rnntrace.engine.diagnose.case import Case, Change, Entry, Outputs, Read
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.cell import Cell
from rnntrace.model.dtypes import Array
from rnntrace.model.merges import CONCAT, MERGES

_ROWS = "take row 0 for layer 0 forward, row 1 for layer 0 reverse, then layer 1: one row for each layer and direction"
_BOTH_WAYS = "two directions (`bidirectional=True`)"
_HALVES = "two directions side by side (`bidirectional=True`, not merged)"


_STACKED = (
    ("stacked-first", 0, "a new first axis", " and more than one step or item"),
    ("stacked-second", 1, "a new second axis", " and more than one item (`batch=2`), or step with `batch_first=True`"),
    ("stacked-last", -1, "a new last axis", " and a hidden size above 1"),
)
"""Names, the axis on which halves (T, B, H) are stacked, words, and what it needs."""


def output_mistakes(kind: str, cell: Cell) -> Iterator[Entry]:
    """All of a kind, whose cell this is."""
    h_n = f"{cell.output}_n"

    def where(applies: Callable[[Case], bool]) -> Change:
        return lambda case: case if applies(case) else None

    halves = where(_has_halves)
    yield Entry(
        f"{kind}.reading.reverse-not-flipped",
        "the reverse half of the output was left in the order in which it was computed",
        "flip it back in time: output[t] belongs to x[t] in both directions",
        _not_flipped,
        _reverse_not_flipped,
        frameworks=("Keras go_backwards",),
        needs=f"{_BOTH_WAYS} and more than one step",
        causal=False,
    )
    yield Entry(
        f"{kind}.reading.halves-swapped",
        "the forward and the reverse half of the output were exchanged",
        "put the forward half first",
        halves,
        lambda case, outputs: {**outputs, "output": np.roll(outputs["output"], case.spec.output_size, axis=2)},
        needs=_HALVES,
    )
    for name, axis, says, needs in _STACKED:
        yield Entry(
            f"{kind}.reading.{name}",
            f"the two halves of the output were stacked on {says} and reshaped, where they belong side by side",
            "join them on the last axis: torch.cat([forward, reverse], dim=-1)",
            where(lambda case, axis=axis: _has_halves(case) and _is_another(case, axis)),  # type: ignore[misc]
            lambda case, outputs, axis=axis: {**outputs, "output": _stacked(case, outputs["output"], axis)},  # type: ignore[misc]
            needs=f"{_HALVES}{needs}",
            causal=False,
            itemwise=False,
        )
    yield Entry(
        f"{kind}.reading.axes-swapped",
        "the axes of batch and time were exchanged in the output alone",
        "leave the output as it is, or give x in the same order of axes: see batch_first",
        where(lambda case: case.inputs.batch == case.inputs.steps > 1),
        lambda case, outputs: {**outputs, "output": outputs["output"].swapaxes(0, 1)},
        needs="as many items as steps (`batch=4`)",
        causal=False,
        itemwise=False,
    )
    yield Entry(
        f"{kind}.reading.last-output-as-{h_n}",
        "output[-1] was taken for the final states: the reverse direction ends at t = 1, and output[-1] is its first step",
        f"take {h_n} itself, or output[0] for the reverse half",
        halves,
        _last_output_as_final,
        needs=_HALVES,
    )
    yield Entry(
        f"{kind}.reading.directions-first",
        "the final states were taken for all forward layers, then all reverse ones",
        _ROWS,
        where(lambda case: case.spec.bidirectional and case.spec.num_layers > 1),
        _states(lambda rows: rows.reshape(-1, 2, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)),
        needs="several layers in two directions (`layers=2`, `bidirectional=True`)",
    )
    yield Entry(
        f"{kind}.reading.layers-reversed",
        "the final states were taken from the last layer to the first",
        _ROWS,
        where(lambda case: len(case.spec.layer_directions) > 1),
        _states(lambda rows: rows[::-1]),
        needs="several layers or directions (`layers=2`)",
    )
    yield Entry(
        f"{kind}.reading.viewed",
        "the final states were viewed as (batch, …) without exchanging the axes first, which mixes the items",
        f"write {h_n}.transpose(0, 1).reshape(batch, -1)",
        where(lambda case: len(case.spec.layer_directions) > 1 and case.inputs.batch > 1),
        _states(lambda rows: rows.reshape(rows.shape[1], rows.shape[0], -1).swapaxes(0, 1)),
        needs="several layers or directions, and items (`layers=2`, `batch=2`)",
        itemwise=False,
    )
    for state in cell.states:
        if state == cell.output:
            continue
        is_c, other = state == "c", f"{state}_n"
        yield Entry(
            f"{kind}.reading.{other}-as-{h_n}",
            f"{h_n} and {other} were exchanged",
            "take the pair as (h, c), as torch and Keras give it; TF1 and flax give (c, h)"
            if is_c
            else f"take {h_n} for the states of the output, and {other} for those of {state}",
            where(lambda case: not case.spec.proj_size),
            lambda case, outputs, other=other: {**outputs, h_n: outputs[other], other: outputs[h_n]},  # type: ignore[misc]
            frameworks=("flax linen", "TF1 BasicLSTMCell") if is_c else (),
            needs="an LSTM without a projection" if is_c else "no projection",
        )


def merge_mistakes(kind: str) -> Iterator[Entry]:
    """How else the halves of two directions can be joined; they come last, since side by side they have another shape."""
    for merge, name, did in (
        ("sum", "summed", "added to"),
        ("ave", "averaged", "averaged with"),
        ("mul", "multiplied", "multiplied by"),
    ):
        yield Entry(
            f"{kind}.merge.{name}",
            f"the forward half of the output was {did} the reverse half, which is not how this module joins them",
            "join them as the module does: side by side on the last axis, or as Keras' merge_mode says",
            _merged_otherwise(merge),
            lambda case, outputs, merge=merge: _merged(case, outputs, merge),  # type: ignore[misc]
            frameworks=("Keras merge_mode",),
            needs=f"{_BOTH_WAYS} and given outputs as wide as one of them: it is looked for, and not made on purpose",
            reshapes=True,
        )


def _has_halves(case: Case) -> bool:
    """Whether the output is that of both directions side by side."""
    return len(case.spec.output_parts) > 1


def _merged_otherwise(merge: str) -> Change:
    """A module that merges its directions, with another way to do so; one that does not, as it is."""

    def change(case: Case) -> Case | None:
        if not case.spec.bidirectional or case.spec.merge == merge:
            return None
        return replace(case, spec=replace(case.spec, merge=merge)) if case.spec.merges else case

    return change


def _merged(case: Case, outputs: Outputs, merge: str) -> Outputs:
    """The halves of the output merged, where they are side by side."""
    if case.spec.merges:
        return outputs
    return {**outputs, "output": MERGES[merge](*np.split(outputs["output"], 2, axis=2))}


def _is_another(case: Case, axis: int) -> bool:
    """Whether stacking on this axis of (T, B, H), or of (B, T, H) with batch_first, puts values in other places."""
    steps, batch = case.inputs.steps, case.inputs.batch
    first, second = (batch, steps) if case.spec.batch_first else (steps, batch)
    return case.spec.output_size > 1 if axis == -1 else first * second > 1 if axis == 0 else second > 1


def _stacked(case: Case, output: Array, axis: int) -> Array:
    """The halves stacked on an axis of the user's own layout, and reshaped to that of the output."""
    own = output.swapaxes(0, 1) if case.spec.batch_first else output
    stacked = np.stack(np.split(own, 2, axis=2), axis=axis).reshape(own.shape)
    return stacked.swapaxes(0, 1) if case.spec.batch_first else stacked


def _states(order: Callable[[Array], Array]) -> Read:
    """Final states with their rows, one for each layer and direction, in another order."""
    return lambda case, outputs: {name: values if name == "output" else order(values) for name, values in outputs.items()}


class _NotFlipped(Trace):
    """A trace whose reverse direction is merged in the order in which it was computed."""

    @property
    def output(self) -> Array:
        """The last layer's hidden states, (T, B, R)."""
        side_by_side = Trace(replace(self.spec, merge=CONCAT), self.inputs, self.channels).output
        forward, reverse = np.split(side_by_side, 2, axis=2)
        return MERGES[self.spec.merge](forward, reverse[::-1])


def _not_flipped(case: Case) -> Case | None:
    """The case as it is, where its output has a half to leave unflipped; where halves are merged, that is done before."""
    if not case.spec.bidirectional or case.inputs.steps == 1:
        return None
    if not case.spec.merges:
        return case

    def run(one: Case) -> Trace:
        trace = case.run(one)
        return _NotFlipped(trace.spec, trace.inputs, trace.channels)

    return replace(case, run=run)


def _reverse_not_flipped(case: Case, outputs: Outputs) -> Outputs:
    if case.spec.merges:
        return outputs
    forward, reverse = np.split(outputs["output"], 2, axis=2)
    return {**outputs, "output": np.concatenate([forward, reverse[::-1]], axis=2)}


def _last_output_as_final(case: Case, outputs: Outputs) -> Outputs:
    last = np.stack(np.split(outputs["output"][-1], 2, axis=1))
    h_n = f"{case.cell.output}_n"
    return {**outputs, h_n: np.concatenate([outputs[h_n][:-2], last])}
