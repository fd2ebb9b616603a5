"""Mistakes with states: what they start from, and how they are handed on from step to step and from layer to layer."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from rnntrace.engine.diagnose.case import Case, Change, Entry, by_layer
from rnntrace.engine.diagnose.catalogue.in_place import in_place
from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import Trace
from rnntrace.model.dtypes import Array
from rnntrace.model.signals import Inputs

_HOLDS = "start from the initial states that were given, and from zeros if none were"
_ROWS = "use row 0 for layer 0 forward, row 1 for layer 0 reverse, then layer 1: one row for each layer and direction"
_H0, _C0 = "an h0 that is not zero (`h0=random`)", "a c0 that is not zero (`c0=random`)"
_STEPS = "more than one step"


def state_mistakes(kind: str, states: tuple[str, ...]) -> Iterator[Entry]:
    """All of a kind with these states."""
    yield from _states(kind, states)
    yield from _recurrence(kind, states)


def _states(kind: str, states: tuple[str, ...]) -> Iterator[Entry]:
    def initial(change: Callable[[Inputs], dict[str, Array | None]]) -> Change:
        """Other initial states; None where they are the same."""

        def changed(case: Case) -> Case | None:
            new = change(case.inputs)
            same = all(values is None or np.array_equal(values, case.inputs.initial(name[0])) for name, values in new.items())
            return None if same else case.with_inputs(**new)

        return changed

    def zero(*names: str) -> Change:
        return initial(lambda inputs: {name: np.zeros_like(inputs.initial(name[0])) for name in names})

    def both(case: Case) -> Case | None:
        return zero("h0", "c0")(case) if zero("h0")(case) and zero("c0")(case) else None

    ignored = "was ignored: the first step started from zeros"
    yield Entry(f"{kind}.state.h0-ignored", f"h0 {ignored}", _HOLDS, zero("h0"), needs=_H0)
    if "c" in states:
        yield Entry(f"{kind}.state.c0-ignored", f"c0 {ignored}", _HOLDS, zero("c0"), needs=_C0)
        says = "h0 and c0 were both ignored: the first step started from zeros"
        yield Entry(
            f"{kind}.state.both-ignored",
            says,
            _HOLDS,
            both,
            needs="an h0 and a c0 that are not zero (`h0=random`, `c0=random`)",
        )

        def swapped(inputs: Inputs) -> dict[str, Array | None]:
            assert inputs.c0 is not None
            return {"h0": inputs.c0, "c0": inputs.h0} if inputs.h0.shape == inputs.c0.shape else {}

        yield Entry(
            f"{kind}.state.swapped",
            "h0 and c0 were exchanged",
            "give the pair as (h, c), as torch, Keras and equinox have it; TF1 and flax have (c, h)",
            initial(swapped),
            frameworks=("flax linen", "TF1 BasicLSTMCell"),
            needs="an h0 and a c0 of one size that differ (`h0=random`)",
        )
    yield Entry(
        f"{kind}.state.carried-over",
        "the states were carried over: the run started where a run before it on the same input had ended",
        "start every sequence from h0 and c0 anew; reset a stateful layer in between",
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
        options = "`layers=2`, " * layered + "`bidirectional=True`, " * both_ways + "`h0=random`"
        yield Entry(
            f"{kind}.state.{name}",
            says,
            _ROWS,
            _rows(order, layered=layered, both_ways=both_ways),
            needs=f"rows of initial states that differ ({options})",
        )


def _rows(order: Callable[[Array], Array], *, layered: bool, both_ways: bool) -> Change:
    """Initial states with their rows in another order, in modules that have several layers, or both directions."""

    def change(case: Case) -> Case | None:
        if (layered and case.spec.num_layers == 1) or (both_ways and not case.spec.bidirectional):
            return None
        inputs = case.inputs
        h0 = order(inputs.h0)
        c0 = None if inputs.c0 is None else order(inputs.c0)
        same = np.array_equal(h0, inputs.h0) and (c0 is None or np.array_equal(c0, inputs.c0))  # type: ignore[arg-type]
        return None if same else case.with_inputs(h0=h0, c0=c0)

    return change


def _carried_over(case: Case) -> Case | None:
    final = case.run(case).outputs
    return case.with_inputs(h0=final["h_n"], c0=final.get("c_n"))


def _recurrence(kind: str, states: tuple[str, ...]) -> Iterator[Entry]:
    def frozen(*names: str) -> Change:
        """States that every step takes from t = 0."""

        def change(case: Case) -> Case | None:
            if case.inputs.steps == 1:
                return None
            return replace(case, run=lambda case: by_layer(case, lambda one: _with_frozen(one, names)))

        return change

    yield Entry(
        f"{kind}.recurrence.h-not-updated",
        "every step started from the initial states: nothing was handed on from step to step",
        "hand the new state on to the next step",
        frozen(*states),
        needs=_STEPS,
    )
    if "c" in states:
        yield Entry(
            f"{kind}.recurrence.h-alone-not-updated",
            "every step started from h0, while c was handed on",
            "hand the new h on to the next step",
            frozen("h"),
            needs=_STEPS,
        )
        yield Entry(
            f"{kind}.recurrence.c-alone-not-updated",
            "every step started from c0, while h was handed on: c was not",
            "hand the new c on to the next step: f ⊙ cₜ₋₁ needs it",
            frozen("c"),
            needs=_STEPS,
        )
    yield Entry(
        f"{kind}.recurrence.in-place",
        "h was overwritten unit by unit while later units still read it: they saw this step's h of the units before them",
        "keep h of the step before until every unit is computed: write into a new array",
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
            initial = {f"{state}0": case.inputs.initial(state).copy() for state in case.cell.states}
            for state in case.cell.states:
                initial[f"{state}0"][rows] = trace.final(state)[below]
            case = case.with_inputs(**initial)
            trace = replay(case.spec, case.weights, case.inputs, cell=case.cells)
        return trace

    return replace(case, run=run)
