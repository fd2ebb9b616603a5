"""Mistakes with the two directions of a layer."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from rnntrace.engine.diagnose.case import Case, Change, Entry, by_layer
from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import VALUES, Trace
from rnntrace.equations.cell import Cell
from rnntrace.equations.cells import options_of
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import Key
from rnntrace.model.spec import FORWARD, REVERSE
from rnntrace.model.weights import Weights

_BOTH_WAYS = "two directions (`bidirectional=True`)"


def direction_mistakes(cell: Cell, kind: str) -> Iterator[Entry]:
    """All of a cell."""
    own = "give each direction its own weights: in torch those of the reverse one end in _reverse"
    back = "run the reverse direction from the last step to the first, and flip its output back"
    rows = "start each direction from its own row of the initial states"
    for name, says, fix, change in (
        ("weights-swapped", "the weights of the two directions were exchanged", own, _swapped),
        ("same-weights", "the reverse direction used the weights of the forward one", own, _same_weights),
        ("both-forward", "the reverse direction ran forward like the other", back, _as_played(_both_forward)),
        (
            "reverse-from-forward",
            "the reverse direction started from the final states of the forward one",
            rows,
            _as_played(_reverse_from_forward),
        ),
        (
            "features-flipped",
            "the reverse direction flipped its input and its output along the features, not in time",
            "flip axis 0, time, or axis 1 with batch_first=True",
            _as_played(_features_flipped),
        ),
    ):
        yield Entry(f"{kind}.direction.{name}", says, fix, change, needs=_BOTH_WAYS, causal=False)
    # Of a cell of one's own, both directions are what it declares.
    orders = {
        "same-activations": ("the reverse direction used the activations of the forward one", (FORWARD, FORWARD)),
        "activations-swapped": ("the activations of the two directions were exchanged", (REVERSE, FORWARD)),
    }
    for name, (says, order) in orders.items() if options_of(cell) else ():
        fix = "give each direction its own activations: ONNX lists those of the forward one first"
        needs = "two directions with activations of their own (`reverse_activations`)"
        yield Entry(f"{kind}.direction.{name}", says, fix, _activated(*order), frameworks=("ONNX",), needs=needs)


def _swapped(case: Case) -> Case | None:
    """The weights of the two directions in each other's place."""
    if not case.spec.bidirectional:
        return None
    other = {FORWARD: REVERSE, REVERSE: FORWARD}
    columns = {(layer, direction): case.weights[layer, other[direction]] for layer, direction in case.spec.layer_directions}
    return replace(case, weights=Weights(columns))


def _same_weights(case: Case) -> Case | None:
    if not case.spec.bidirectional:
        return None
    columns = {column: case.weights[column[0], FORWARD] for column in case.spec.layer_directions}
    return replace(case, weights=Weights(columns))


def _activated(forward: str, reverse: str) -> Change:
    """Each direction with the declaration of this one."""

    def change(case: Case) -> Case | None:
        cells = {FORWARD: case.cells[forward], REVERSE: case.cells[reverse]} if case.spec.reverse_activations else case.cells
        return replace(case, cells=cells) if cells != case.cells else None

    return change


def _as_played(play: Callable[[Case], Trace]) -> Change:
    """Every layer played in this way, of a module that has both directions."""
    return lambda case: replace(case, run=play) if case.spec.bidirectional else None


class _RunForward(Trace):
    """A trace whose directions all end at the last step."""

    def final_step(self, direction: str):  # type: ignore[no-untyped-def]
        """That of the forward direction."""
        return super().final_step(FORWARD)


def _both_forward(case: Case) -> Trace:
    return _with_reverse(case, lambda x: x)


def _features_flipped(case: Case) -> Trace:
    return _with_reverse(case, lambda array: array[..., ::-1])


def _with_reverse(case: Case, flip: Callable[[Array], Array]) -> Trace:
    """The reverse direction run forward on what it reads, flipped, and everything of it flipped back."""

    def play(one: Case) -> Trace:
        columns: dict[Key, Array] = {}
        one_way = one.spec.one_way(FORWARD)
        for row, direction in enumerate(one.spec.directions):
            turned = flip if direction == REVERSE else lambda array: array
            initial = {state: values[row : row + 1] for state, values in one.inputs.states.items()}
            inputs = one.with_inputs(x=turned(one.inputs.x), states=initial).inputs
            weights = Weights({(0, FORWARD): one.weights[0, direction]})
            trace = replay(one_way, weights, inputs, cell=one.cells[direction])
            columns |= {(0, direction, symbol): turned(array) for (*_, symbol), array in trace.columns.items()}
        return Trace(one.spec, one.inputs, {VALUES: columns})

    trace = by_layer(case, play)
    return _RunForward(trace.spec, trace.inputs, trace.channels)


def _reverse_from_forward(case: Case) -> Trace:
    def play(one: Case) -> Trace:
        trace = replay(one.spec, one.weights, one.inputs, cell=one.cells)
        initial = {state: values.copy() for state, values in one.inputs.states.items()}
        for state in one.cell.states:
            initial[state][1] = trace.final(state)[0]
        return replay(one.spec, one.weights, one.with_inputs(states=initial).inputs, cell=one.cells)

    return by_layer(case, play)
