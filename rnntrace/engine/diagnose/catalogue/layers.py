"""Mistakes with layers: left out, made of another layer's weights, or one of them used again and again."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from rnntrace.engine.diagnose.case import Case, Change, Entry
from rnntrace.engine.replay.trace import Trace
from rnntrace.model.weights import Weights

_STACK = "more than one layer (`layers=2`)"
_AGAIN = "one layer with an input as large as its output (-i 2 -H 2)"
_TIMES = {2: "twice", 3: "three times"}


def layer_mistakes(kind: str) -> Iterator[Entry]:
    """All of a kind."""
    every = "compute every layer, each with its own weights: those of layer 1 end in _l1"
    yield Entry(
        f"{kind}.layers.last-missing",
        "the last layer is missing: the outputs are those of the layer below it",
        every,
        lambda case: _up_to(case, case.spec.num_layers - 1) if case.spec.num_layers > 1 else None,
        needs=_STACK,
    )
    yield Entry(
        f"{kind}.layers.first-alone",
        "all layers but the first are missing",
        every,
        lambda case: _up_to(case, 1) if case.spec.num_layers > 2 else None,
        needs="more than two layers (`layers=3`)",
    )
    yield Entry(
        f"{kind}.layers.same-weights",
        "every layer used the weights of layer 0",
        every,
        _same_weights,
        needs="more than one layer, and an input as large as a layer's output (`layers=2`, `input_size=2`, `hidden=2`)",
    )
    for times, words in _TIMES.items():
        yield Entry(
            f"{kind}.layers.applied-{times}",
            f"the layer was applied {words}: its output was given to it again, from the initial states",
            "apply a module of one layer once; another layer is another module",
            _applied(times, carried=False),
            needs=_AGAIN,
        )
        yield Entry(
            f"{kind}.layers.applied-{times}-carried",
            f"the layer was applied {words}: its output was given to it again, from the states in which it had ended",
            "apply a module of one layer once; another layer is another module",
            _applied(times, carried=True),
            needs=_AGAIN,
            causal=False,
        )


def _up_to(case: Case, layers: int) -> Case:
    """Every layer above shows what the last one that there is has computed."""
    run = case.run

    def some(case: Case) -> Trace:
        trace = run(case)
        columns = dict(trace.columns)
        for layer, direction, symbol in trace.columns:
            if layer >= layers:
                below = trace.columns[layers - 1, direction, symbol]
                columns[layer, direction, symbol] = below if symbol in case.cell.states else np.full_like(below, np.nan)
        return trace.replaced(values=columns)

    return replace(case, run=some)


def _same_weights(case: Case) -> Case | None:
    spec = case.spec
    if spec.num_layers == 1 or spec.input_size != spec.layer_input_size(1):
        return None
    return replace(case, weights=Weights({column: case.weights[0, column[1]] for column in spec.layer_directions}))


def _applied(times: int, *, carried: bool) -> Change:
    """The one layer run on its own output; only the last time is left to see."""

    def change(case: Case) -> Case | None:
        spec, run = case.spec, case.run
        if spec.num_layers > 1 or spec.input_size != spec.layer_input_size(1):
            return None

        def again(case: Case) -> Trace:
            trace = run(case)
            for _ in range(times - 1):
                ended = {state: trace.final(state) for state in case.cell.states}
                trace = run(case.with_inputs(x=trace.output, states=ended if carried else case.inputs.states))
            return trace

        return replace(case, run=again)

    return change
