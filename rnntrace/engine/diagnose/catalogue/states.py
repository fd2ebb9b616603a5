"""Mistakes with states: what they start from, and how they are handed on from step to step and from layer to layer."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from rnntrace.engine.diagnose.case import Case, Change, Entry, by_layer
from rnntrace.engine.diagnose.catalogue.in_place import in_place
from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.cell import Cell, listed
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs

_HOLDS = "start from the initial states that were given, and from zeros if none were"
_ROWS = "use row 0 for layer 0 forward, row 1 for layer 0 reverse, then layer 1: one row for each layer and direction"
_STEPS = "more than one step"


def state_mistakes(kind: str, cell: Cell) -> Iterator[Entry]:
    """All of a kind, whose cell this is."""
    yield from _states(kind, cell)
    yield from _recurrence(kind, cell)


def _states(kind: str, cell: Cell) -> Iterator[Entry]:
    def initial(change: Callable[[Inputs], dict[str, Array]]) -> Change:
        """Other initial states; None where they are the same."""

        def changed(case: Case) -> Case | None:
            new = change(case.inputs)
            same = all(np.array_equal(values, case.inputs.initial(state)) for state, values in new.items())
            return None if same else case.with_inputs(states={**case.inputs.states, **new})

        return changed

    def zero(*states: str) -> Change:
        return initial(lambda inputs: {state: np.zeros_like(inputs.initial(state)) for state in states})

    def all_zero(case: Case) -> Case | None:
        return zero(*cell.states)(case) if all(zero(state)(case) for state in cell.states) else None

    names = [f"{state}0" for state in cell.states]
    for state, name in zip(cell.states, names, strict=True):
        yield Entry(
            f"{kind}.state.{name}-ignored",
            f"{name} was ignored: the first step started from zeros",
            _HOLDS,
            zero(state),
            needs=f"{_a(name)} that is not zero{_with(state)}",
        )
    if len(cell.states) > 1:
        both = "both" if len(names) == 2 else "all"
        yield Entry(
            f"{kind}.state.{both}-ignored",
            f"{listed(names)} were {both} ignored: the first step started from zeros",
            _HOLDS,
            all_zero,
            needs=f"{listed([*map(_a, names)])} that are not zero{_with(*cell.states)}",
        )
    for one, other in combinations(cell.states, 2):

        def swapped(inputs: Inputs, one: str = one, other: str = other) -> dict[str, Array]:
            first, second = inputs.initial(one), inputs.initial(other)
            return {one: second, other: first} if first.shape == second.shape else {}

        is_pair = {*cell.states} == {"h", "c"}
        yield Entry(
            f"{kind}.state.swapped" + ("" if is_pair else f"-{one}0-{other}0"),
            f"{one}0 and {other}0 were exchanged",
            "give the pair as (h, c), as torch, Keras and equinox have it; TF1 and flax have (c, h)"
            if is_pair
            else f"give the states in their order: {', '.join(cell.states)}",
            initial(swapped),
            frameworks=("flax linen", "TF1 BasicLSTMCell") if is_pair else (),
            needs=f"{_a(f'{one}0')} and {_a(f'{other}0')} of one size that differ{_with(one)}",
        )
    starts = names if {*cell.states} - {"h", "c"} else ["h0", "c0"]
    yield Entry(
        f"{kind}.state.carried-over",
        "the states were carried over: the run started where a run before it on the same input had ended",
        f"start every sequence from {listed(starts)} anew; reset a stateful layer in between",
        _carried_over,
        frameworks=("Keras stateful=True",),
        causal=False,
    )
    for name, order, says, layered, both_ways in (
        ("first-row", lambda rows: np.broadcast_to(rows[:1], rows.shape).copy(),
         "every layer and direction started from the first row of the initial states", True, False),
        ("rows-reversed", lambda rows: rows[::-1],
         "the rows of the initial states were used in the reverse order", True, False),
        ("directions-swapped", lambda rows: rows.reshape(-1, 2, *rows.shape[1:])[:, ::-1].reshape(rows.shape),
         "the initial states of the forward and the reverse direction were exchanged", False, True),
        ("directions-first", lambda rows: rows.reshape(2, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape),
         "the rows of the initial states were taken for all forward ones, then all reverse ones", True, True),
    ):  # fmt: skip
        options = ["`layers=2`"] * layered + ["`bidirectional=True`"] * both_ways + ["`h0=random`"] * (cell.output == "h")
        yield Entry(
            f"{kind}.state.{name}",
            says,
            _ROWS,
            _rows(order, layered=layered, both_ways=both_ways),
            needs=f"rows of initial states that differ ({', '.join(options)})",
        )


def _a(name: str) -> str:
    """The name with its article."""
    return f"{'an' if name[0] in 'aefhilmnorsx' else 'a'} {name}"


def _with(*states: str) -> str:
    """The keywords that draw the start of torch's states, in brackets."""
    keywords = [f"`{state}0=random`" for state in states if state in ("h", "c")]
    return f" ({', '.join(keywords)})" if keywords else ""


def _rows(order: Callable[[Array], Array], *, layered: bool, both_ways: bool) -> Change:
    """Initial states with their rows in another order, in modules that have several layers, or both directions."""

    def change(case: Case) -> Case | None:
        if (layered and case.spec.num_layers == 1) or (both_ways and not case.spec.bidirectional):
            return None
        states = case.inputs.states
        ordered = {state: order(rows) for state, rows in states.items()}
        same = all(np.array_equal(ordered[state], rows) for state, rows in states.items())
        return None if same else case.with_inputs(states=ordered)

    return change


def _carried_over(case: Case) -> Case | None:
    final = case.run(case).outputs
    return case.with_inputs(states={state: final[f"{state}_n"] for state in case.cell.states})


def _recurrence(kind: str, cell: Cell) -> Iterator[Entry]:
    def frozen(*names: str) -> Change:
        """States that every step takes from t = 0."""

        def change(case: Case) -> Case | None:
            if case.inputs.steps == 1:
                return None
            return replace(case, run=lambda case: by_layer(case, lambda one: _with_frozen(one, names)))

        return change

    yield Entry(
        f"{kind}.recurrence.{cell.output}-not-updated",
        "every step started from the initial states: nothing was handed on from step to step",
        "hand the new state on to the next step",
        frozen(*cell.states),
        needs=_STEPS,
    )
    for state in cell.states if len(cell.states) > 1 else ():
        others = [other for other in cell.states if other != state]
        were = "was" if len(others) == 1 else "were"
        of_lstm = (": c was not", ": f ⊙ cₜ₋₁ needs it") if state == "c" and others == ["h"] else ("", "")
        yield Entry(
            f"{kind}.recurrence.{state}-alone-not-updated",
            f"every step started from {state}0, while {listed(others)} {were} handed on{of_lstm[0]}",
            f"hand the new {state} on to the next step{of_lstm[1]}",
            frozen(state),
            needs=_STEPS,
        )
    h = cell.output
    yield Entry(
        f"{kind}.recurrence.in-place",
        f"{h} was overwritten unit by unit while later units still read it: they saw this step's {h} of the units before them",
        f"keep {h} of the step before until every unit is computed: write into a new array",
        in_place,
        needs="a hidden size above 1, no projection, and a reset after the matrix product",
        rare=True,
    )
    yield Entry(
        f"{kind}.recurrence.layer-to-layer",
        "every layer started from the final states of the layer below it",
        "start every layer from its own rows of the initial states",
        _layer_to_layer,
        needs="more than one layer (`layers=2`)",
        causal=False,
    )


def _with_frozen(case: Case, states: tuple[str, ...]) -> Trace:
    known = {
        (*column, state): np.broadcast_to(
            case.inputs.initial(state)[row], (case.inputs.steps, *case.inputs.initial(state)[row].shape)
        )
        for row, column in enumerate(case.spec.layer_directions)
        for state in states
    }
    return replay(case.spec, case.weights, case.inputs, known=known, cell=case.cells)


def _layer_to_layer(case: Case) -> Case | None:
    if case.spec.num_layers == 1:
        return None
    directions = len(case.spec.directions)

    def run(case: Case) -> Trace:
        trace = replay(case.spec, case.weights, case.inputs, cell=case.cells)
        for layer in range(1, case.spec.num_layers):
            rows, below = (
                slice(layer * directions, (layer + 1) * directions),
                slice((layer - 1) * directions, layer * directions),
            )
            initial = {state: values.copy() for state, values in case.inputs.states.items()}
            for state in case.cell.states:
                initial[state][rows] = trace.final(state)[below]
            case = case.with_inputs(states=initial)
            trace = replay(case.spec, case.weights, case.inputs, cell=case.cells)
        return trace

    return replace(case, run=run)
