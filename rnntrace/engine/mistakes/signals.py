"""Mistakes with what flows through a network: initial states, time, batch, lengths, directions and layers."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from rnntrace.engine.mistakes.mistake import Case, Change, Mistake, Outputs
from rnntrace.engine.mistakes.weights import directions_swapped
from rnntrace.engine.replay import replay
from rnntrace.engine.trace import Key, Trace
from rnntrace.model.dtypes import Array
from rnntrace.model.signals import Inputs
from rnntrace.model.weights import Weights

_HOLDS = "start from the h0 and c0 that were given, zeros if there are none"


def signal_mistakes(kind: str, states: tuple[str, ...]) -> Iterator[Mistake]:
    """All of a kind with these states."""
    yield from _states(kind, states)
    yield from _recurrence(kind, states)
    yield from _time(kind)
    yield from _lengths(kind)
    yield from _directions(kind)


def _states(kind: str, states: tuple[str, ...]) -> Iterator[Mistake]:
    def initial(change: Callable[[Inputs], dict[str, Array | None]]) -> Change:
        """Other initial states; None where they are the same."""

        def changed(case: Case) -> Case | None:
            new = change(case.inputs)
            same = all(values is None or np.array_equal(values, case.inputs.initial(name[0])) for name, values in new.items())
            return None if same else case.with_inputs(**new)

        return changed

    def zero(*names: str) -> Change:
        return initial(lambda inputs: {name: np.zeros_like(inputs.initial(name[0])) for name in names})

    yield Mistake(f"{kind}.state.h0-ignored", "h0 was ignored: the first step started from zeros", _HOLDS, zero("h0"))
    if "c" in states:
        yield Mistake(f"{kind}.state.c0-ignored", "c0 was ignored: the first step started from zeros", _HOLDS, zero("c0"))
        yield Mistake(f"{kind}.state.both-ignored", "h0 and c0 were both ignored", _HOLDS, zero("h0", "c0"))

        def swapped(inputs: Inputs) -> dict[str, Array | None]:
            assert inputs.c0 is not None
            return {"h0": inputs.c0, "c0": inputs.h0} if inputs.h0.shape == inputs.c0.shape else {}

        yield Mistake(
            f"{kind}.state.swapped",
            "h0 and c0 were exchanged",
            "the state is (h, c) in torch, Keras, equinox; TF1 and flax carry (c, h)",
            initial(swapped),
            frameworks=("flax linen", "TF1 BasicLSTMCell"),
        )
    yield Mistake(
        f"{kind}.state.carried-over",
        "the run started from the final states of a run before it on the same input, as a stateful layer does",
        "reset the states between two sequences",
        _carried_over,
        frameworks=("Keras stateful=True",),
        causal=False,
    )
    for name, order, says in (
        ("rows-reversed", lambda rows: rows[::-1], "initial states of layers and directions were used in the reverse order"),
        ("directions-swapped", lambda rows: rows.reshape(-1, 2, *rows.shape[1:])[:, ::-1].reshape(rows.shape),
         "initial states of the forward and the reverse direction were exchanged"),
        ("directions-first", lambda rows: rows.reshape(2, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape),
         "initial states were read as all forward ones, then all reverse ones"),
    ):  # fmt: skip
        yield Mistake(
            f"{kind}.state.{name}",
            says,
            "rows are l0 forward, l0 reverse, l1 forward and so on",
            _rows(order, both=name != "rows-reversed"),
        )


def _rows(order: Callable[[Array], Array], *, both: bool) -> Change:
    """Initial states with their rows, one for each layer and direction, in another order."""

    def change(case: Case) -> Case | None:
        if len(case.spec.columns) == 1 or (both and not case.spec.bidirectional):
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


def _recurrence(kind: str, states: tuple[str, ...]) -> Iterator[Mistake]:
    def frozen(*names: str) -> Change:
        """States that every step takes from t = 0."""

        def change(case: Case) -> Case | None:
            if case.spec.num_layers > 1 or case.inputs.steps == 1:
                return None
            return replace(case, run=lambda case: _with_frozen(case, names))

        return change

    yield Mistake(
        f"{kind}.recurrence.h-not-updated",
        "every step used h0: the hidden state was not handed on from step to step",
        "assign the new h before the next step",
        frozen(*states),
    )
    if "c" in states:
        yield Mistake(
            f"{kind}.recurrence.h-alone-not-updated",
            "every step used h0, while c was handed on",
            "assign the new h before the next step",
            frozen("h"),
        )
    yield Mistake(
        f"{kind}.recurrence.layer-to-layer",
        "the final states of a layer were taken for the initial states of the layer above",
        "every layer starts from its own rows of h0 and c0",
        _layer_to_layer,
        causal=False,
    )


def _with_frozen(case: Case, states: tuple[str, ...]) -> Trace:
    known = {
        (*column, state): np.broadcast_to(
            case.inputs.initial(state)[row], (case.inputs.steps, *case.inputs.initial(state)[row].shape)
        )
        for row, column in enumerate(case.spec.columns)
        for state in states
    }
    return replay(case.spec, case.weights, case.inputs, known=known, cell=case.cell)


def _layer_to_layer(case: Case) -> Case | None:
    if case.spec.num_layers == 1:
        return None
    directions = len(case.spec.directions)

    def run(case: Case) -> Trace:
        trace = replay(case.spec, case.weights, case.inputs, cell=case.cell)
        for layer in range(1, case.spec.num_layers):
            rows, below = (
                slice(layer * directions, (layer + 1) * directions),
                slice((layer - 1) * directions, layer * directions),
            )
            initial = {f"{state}0": case.inputs.initial(state).copy() for state in case.cell.states}
            for state in case.cell.states:
                initial[f"{state}0"][rows] = trace.final(state)[below]
            case = case.with_inputs(**initial)
            trace = replay(case.spec, case.weights, case.inputs, cell=case.cell)
        return trace

    return replace(case, run=run)


def _time(kind: str) -> Iterator[Mistake]:
    def x_as(change: Callable[[Array], Array]) -> Change:
        def changed(case: Case) -> Case | None:
            x = change(case.inputs.x)
            return None if np.array_equal(x, case.inputs.x) else case.with_inputs(x=np.ascontiguousarray(x))

        return changed

    yield Mistake(
        f"{kind}.time.reversed",
        "the sequence was read from its last step to its first",
        "feed x from t = 1 on, or flip the output back",
        x_as(lambda x: x[::-1]),
        causal=False,
    )
    yield Mistake(
        f"{kind}.time.reversed-and-back",
        "the sequence was read from its last step to its first, and the output flipped back",
        "feed x from t = 1 on",
        x_as(lambda x: x[::-1]),
        lambda case, outputs: {name: values[::-1] if name == "output" else values for name, values in outputs.items()},
        frameworks=("Keras go_backwards",),
        causal=False,
    )
    yield Mistake(
        f"{kind}.time.batch-swapped",
        "batch and time were exchanged: every item was read as a step",
        "give x as (time, batch, input), or say batch_first",
        _batch_as_time,
        lambda case, outputs: {"output": outputs["output"].swapaxes(0, 1)},
        lambda sequence: sequence.swapaxes(0, 1),
        causal=False,
        itemwise=False,
    )
    zero = np.zeros_like
    shifts = {
        "one-ahead": (lambda x: np.concatenate([x[1:], zero(x[:1])]), "x_{t+1} was used at step t", False),
        "one-behind": (lambda x: np.concatenate([zero(x[:1]), x[:-1]]), "x_{t-1} was used at step t", True),
    }
    for name, (change, says, causal) in shifts.items():
        yield Mistake(f"{kind}.time.{name}", says, "use x_t at step t", x_as(change), causal=causal)
    yield Mistake(
        f"{kind}.time.output-late",
        "the state before each step was given as its output",
        "store h after the step, not before it",
        read=_output_late,
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


def _output_late(case: Case, outputs: Outputs) -> Outputs:
    spec = case.spec
    if spec.bidirectional or spec.reverse:
        return outputs
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
        causal=False,
    )

    yield Mistake(
        f"{kind}.lengths.repeated",
        "at padded steps the last output of a sequence was repeated, as Keras' masks do",
        "put zeros at padded steps",
        lambda case: case if no_lengths(case) else None,
        lambda case, outputs: {**outputs, "output": _last_repeated(case, outputs["output"])},
        frameworks=("Keras mask",),
    )


def _last_repeated(case: Case, output: Array) -> Array:
    assert case.inputs.lengths is not None
    last = np.minimum(np.arange(len(output))[:, None], np.asarray(case.inputs.lengths) - 1)
    return np.take_along_axis(output, last[..., None], axis=0)


def _directions(kind: str) -> Iterator[Mistake]:
    def one_way(case: Case) -> Case | None:
        """Both directions computed forward."""
        if not case.spec.bidirectional or case.spec.num_layers > 1:
            return None
        return replace(case, run=_both_forward)

    def same_weights(case: Case) -> Case | None:
        if not case.spec.bidirectional:
            return None
        columns = {column: case.weights[column[0], "forward"] for column in case.spec.columns}
        return replace(case, weights=Weights(columns))

    fix = "run the reverse direction from the last step to the first, with its own weights, and flip its output back"
    yield Mistake(
        f"{kind}.direction.weights-swapped", "the weights of the two directions were exchanged", fix, directions_swapped
    )
    yield Mistake(
        f"{kind}.direction.same-weights", "the reverse direction used the weights of the forward one", fix, same_weights
    )
    yield Mistake(f"{kind}.direction.both-forward", "the reverse direction ran forward", fix, one_way, causal=False)


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
