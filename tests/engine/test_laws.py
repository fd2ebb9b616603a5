"""Laws of the replay on numpy alone: what must hold between one replay and another, and against textbook loops."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Problem, examples, problem, problems

from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import Trace
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

SMALL = {"LSTM": 1e-14, "GRU": 1e-14, "RNN": 1e-13}
"""How far apart two orders of summation in float64 may be, of values around 1; a ReLU's values grow with the steps."""


# --- the textbook, written out ----------------------------------------------------------------------------------------


def logistic(value: Array) -> Array:
    return 1 / (1 + np.exp(-value))


def textbook_step(spec: ModuleSpec, w: LayerWeights, x: Array, h: Array, c: Array | None) -> dict[str, Array]:
    """One step for one item, gate by gate: x (I,), h (R,), c (H,) or None."""

    def input_side(gate: int) -> Array:
        return w.W_ih[gate] @ x + (0 if w.b_ih is None else w.b_ih[gate])

    def hidden_side(gate: int, vector: Array) -> Array:
        return w.W_hh[gate] @ vector + (0 if w.b_hh is None else w.b_hh[gate])

    if spec.family == "RNN":
        total = input_side(0) + hidden_side(0, h)
        return {"h": np.maximum(total, 0) if spec.nonlinearity == "relu" else np.tanh(total)}
    if spec.family == "LSTM":
        i = logistic(input_side(0) + hidden_side(0, h))
        f = logistic(input_side(1) + hidden_side(1, h))
        g = np.tanh(input_side(2) + hidden_side(2, h))
        o = logistic(input_side(3) + hidden_side(3, h))
        c_new = f * c + i * g
        h_new = o * np.tanh(c_new)
        return {"i": i, "f": f, "g": g, "o": o, "c": c_new, "h": h_new if w.W_hr is None else w.W_hr @ h_new}
    r = logistic(input_side(0) + hidden_side(0, h))
    z = logistic(input_side(1) + hidden_side(1, h))
    n = np.tanh(input_side(2) + (r * hidden_side(2, h) if spec.reset_after else hidden_side(2, r * h)))
    return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * h}


def textbook(problem: Problem) -> tuple[dict[Key, Array], Array, dict[str, Array]]:
    """Every gate and state, NaN at steps that do not exist, the output, and h_n (and c_n) by the symbol of the state."""
    spec, weights, inputs = problem.spec, problem.weights, problem.inputs
    steps, batch = inputs.x.shape[:2]
    lengths = inputs.lengths or (steps,) * batch
    directions = ("forward", "reverse")[: 2 if spec.bidirectional else 1]
    found: dict[Key, Array] = {}
    finals: dict[str, list[Array]] = {"h": [], "c": []}
    below = inputs.x
    for layer in range(spec.num_layers):
        output = np.zeros((steps, batch, len(directions) * spec.output_size))
        for half, direction in enumerate(directions):
            row = layer * len(directions) + half
            last: dict[str, list[Array]] = {"h": [], "c": []}
            for item in range(batch):
                h = inputs.h0[row, item]
                c = None if inputs.c0 is None else inputs.c0[row, item]
                times = range(lengths[item])
                for t in reversed(times) if direction == "reverse" else times:
                    values = textbook_step(spec, weights[layer, direction], below[t, item], h, c)
                    h, c = values["h"], values.get("c")
                    for symbol, value in values.items():
                        empty = np.full((steps, batch, len(value)), np.nan)
                        found.setdefault((layer, direction, symbol), empty)[t, item] = value
                    output[t, item, half * spec.output_size : (half + 1) * spec.output_size] = h
                last["h"].append(h)
                if c is not None:
                    last["c"].append(c)
            for state, rows in last.items():
                if rows:
                    finals[state].append(np.stack(rows))
        below = output
    return found, below, {state: np.stack(rows) for state, rows in finals.items() if rows}


# --- comparing --------------------------------------------------------------------------------------------------------


def assert_close(actual: Array, expected: Array, spec: ModuleSpec) -> None:
    """The same shape, the same steps, and values as close as the order of summation allows."""
    assert actual.shape == expected.shape
    small = SMALL[spec.family]
    np.testing.assert_allclose(actual, expected, rtol=small, atol=small, equal_nan=True)


def assert_same_columns(actual: Trace, expected: Trace) -> None:
    """Every gate and state of one trace is that of the other."""
    assert set(actual) == set(expected)
    for key in expected:
        assert_close(actual.columns[key], expected.columns[key], expected.spec)


def replay_of(problem: Problem, **options: object) -> Trace:
    return replay(problem.spec, problem.weights, problem.inputs, **options)


def with_inputs(problem: Problem, **changes: object) -> Problem:
    return replace(problem, inputs=replace(problem.inputs, **changes))


def flipped(x: Array, lengths: tuple[int, ...] | None) -> Array:
    """Each item's own steps in reverse; padding stays behind them."""
    result = x.copy()
    for item in range(x.shape[1]):
        length = x.shape[0] if lengths is None else lengths[item]
        result[:length, item] = x[:length, item][::-1]
    return result


# --- against the textbook ---------------------------------------------------------------------------------------------

STACK = {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True}
CELL = {"input_size": 3, "hidden_size": 4}
LESSONS = {
    "RNN tanh": ModuleSpec(kind="RNN", **STACK),
    "RNN relu": ModuleSpec(kind="RNN", nonlinearity="relu", **STACK),
    "LSTM": ModuleSpec(kind="LSTM", **STACK),
    "LSTM projected": ModuleSpec(kind="LSTM", proj_size=2, **STACK),
    "GRU": ModuleSpec(kind="GRU", **STACK),
    "GRU reset before": ModuleSpec(kind="GRU", reset_after=False, **STACK),
    "RNNCell": ModuleSpec(kind="RNNCell", **CELL),
    "LSTMCell": ModuleSpec(kind="LSTMCell", **CELL),
    "GRUCell": ModuleSpec(kind="GRUCell", **CELL),
}


def assert_textbook(problem: Problem) -> None:
    columns, output, finals = textbook(problem)
    trace = replay_of(problem)
    assert set(trace) == set(columns)
    for key, expected in columns.items():
        assert_close(trace.columns[key], expected, problem.spec)
    assert_close(trace.output, output, problem.spec)
    assert set(trace.outputs) == {"output", *(f"{state}_n" for state in finals)}
    for state, expected in finals.items():
        assert_close(trace.outputs[f"{state}_n"], expected, problem.spec)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("lengths", [None, (2, 5, 4)], ids=["full", "packed"])
@pytest.mark.parametrize("lesson", LESSONS)
def test_replay_is_the_textbook(lesson: str, lengths: tuple[int, ...] | None, bias: bool) -> None:
    """Each cell, in a stack of two directions where there is one, equals plain loops over items, steps and gates."""
    spec = replace(LESSONS[lesson], dtype="float64", bias=bias)
    assert_textbook(problem(spec, steps=5, batch=3, lengths=lengths))


@pytest.mark.slow
@given(problem=problems())
@examples(400)
def test_any_replay_is_the_textbook(problem: Problem) -> None:
    """So does any module on any inputs."""
    assert_textbook(problem)


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(problem=problems(directions=(True,), kinds=("RNN", "LSTM", "GRU")))
@examples(120)
def test_reverse_is_forward_between_two_flips(problem: Problem) -> None:
    """The reverse direction is the forward direction on flipped input, flipped back, item by item."""
    spec, inputs = replace(problem.spec, num_layers=1), problem.inputs
    both = replay(spec, problem.weights, inputs)
    alone = replay(
        replace(spec, bidirectional=False),
        Weights({(0, "forward"): problem.weights[0, "reverse"]}),
        Inputs(
            flipped(inputs.x, inputs.lengths),
            inputs.h0[1:2],
            None if inputs.c0 is None else inputs.c0[1:2],
            inputs.lengths,
        ),
    )
    for symbol in spec.cell.symbols:
        assert_close(both[symbol, 0, "reverse"], flipped(alone[symbol], inputs.lengths), spec)
    for state in spec.cell.states:
        assert_close(both.final(state)[1], alone.final(state)[0], spec)


@pytest.mark.slow
@given(problem=problems(directions=(False,), packed=(False,)), data=st.data())
@examples(120)
def test_state_carries_a_sequence_over_a_cut(problem: Problem, data: st.DataObject) -> None:
    """A sequence cut in two, the final states of the first part given to the second, equals the whole."""
    whole = replay_of(problem)
    cut = data.draw(st.integers(0, problem.inputs.steps - 1), label="cut") + 1
    first = replay_of(with_inputs(problem, x=problem.inputs.x[:cut]))
    parts = [first]
    if cut < problem.inputs.steps:
        c_n = first.final("c") if problem.spec.has_cell_state else None
        parts.append(replay_of(with_inputs(problem, x=problem.inputs.x[cut:], h0=first.final("h"), c0=c_n)))
    for key in whole:
        assert_close(np.concatenate([part.columns[key] for part in parts]), whole.columns[key], problem.spec)
    for state in problem.spec.cell.states:
        assert_close(parts[-1].final(state), whole.final(state), problem.spec)


# --- batch and padding ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(problem=problems())
@examples(120)
def test_items_are_independent(problem: Problem) -> None:
    """An item alone, cut to its own length, has the gates, states and final states that it has in the batch."""
    spec, inputs = problem.spec, problem.inputs
    together = replay_of(problem)
    for item in range(inputs.batch):
        length = inputs.steps if inputs.lengths is None else inputs.lengths[item]
        one = slice(item, item + 1)
        c0 = None if inputs.c0 is None else inputs.c0[:, one]
        alone = replay(spec, problem.weights, Inputs(inputs.x[:length, one], inputs.h0[:, one], c0))
        for key in together:
            assert_close(together.columns[key][:length, one], alone.columns[key], spec)
            assert np.isnan(together.columns[key][length:, item]).all()
        assert_close(together.output[:length, one], alone.output, spec)
        for state in spec.cell.states:
            assert_close(together.final(state)[:, one], alone.final(state), spec)


@pytest.mark.slow
@given(problem=problems(packed=(True,)), filler=st.sampled_from([0.0, 1e6, np.nan, np.inf]), more=st.integers(1, 3))
@examples(120)
def test_padding_changes_nothing(problem: Problem, filler: float, more: int) -> None:
    """Whatever stands behind the end of a sequence reaches no valid step, no output and no final state."""
    inputs = problem.inputs
    x = np.concatenate([inputs.x, np.zeros((more, *inputs.x.shape[1:]))])
    for item, length in enumerate(inputs.lengths or ()):
        x[length:, item] = filler
    plain, padded = replay_of(problem), replay_of(with_inputs(problem, x=x))
    for key in plain:
        assert_close(padded.columns[key][: inputs.steps], plain.columns[key], problem.spec)
        assert np.isnan(padded.columns[key][inputs.steps :]).all()
    assert_close(padded.output[: inputs.steps], plain.output, problem.spec)
    assert not padded.output[inputs.steps :].any()
    for state in problem.spec.cell.states:
        assert_close(padded.final(state), plain.final(state), problem.spec)


@given(problem=problems(packed=(False,)))
@examples(120)
def test_full_lengths_are_no_lengths(problem: Problem) -> None:
    """Lengths that all equal T give the bits that no lengths give."""
    lengths = (problem.inputs.steps,) * problem.inputs.batch
    plain, packed = replay_of(problem), replay_of(with_inputs(problem, lengths=lengths))
    assert set(plain) == set(packed)
    for key in plain:
        np.testing.assert_array_equal(packed.columns[key], plain.columns[key])
    for name, signal in plain.outputs.items():
        np.testing.assert_array_equal(packed.outputs[name], signal)


# --- stacks -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(problem=problems(kinds=("RNN", "LSTM", "GRU")))
@examples(120)
def test_a_stack_is_its_layers_one_after_the_other(problem: Problem) -> None:
    """Each layer alone, given the output of the one below and its own initial states, is that layer of the stack."""
    spec, inputs = problem.spec, problem.inputs
    stack, x, count = replay_of(problem), inputs.x, len(spec.directions)
    for layer in range(spec.num_layers):
        rows = slice(layer * count, (layer + 1) * count)
        alone = replay(
            replace(spec, input_size=x.shape[2], num_layers=1),
            Weights({(0, direction): problem.weights[layer, direction] for direction in spec.directions}),
            Inputs(x, inputs.h0[rows], None if inputs.c0 is None else inputs.c0[rows], inputs.lengths),
        )
        for _, direction, symbol in alone:
            assert_close(alone[symbol, 0, direction], stack[symbol, layer, direction], spec)
        for state in spec.cell.states:
            assert_close(alone.final(state), stack.final(state)[rows], spec)
        x = alone.output
    assert_close(x, stack.output, spec)


# --- forced -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(problem=problems())
@examples(120)
def test_forced_with_its_own_states_is_free(problem: Problem) -> None:
    """A replay forced with the free trace's own h, or h and c, reproduces the free trace."""
    free = replay_of(problem)
    for states in ({"h"}, {"h", "c"}):
        known = {key: free.columns[key] for key in free if key[2] in states}
        forced = replay_of(problem, known=known)
        assert_same_columns(forced, free)
        for name, signal in free.outputs.items():
            assert_close(forced.outputs[name], signal, problem.spec)


@given(problem=problems(kinds=("RNN", "LSTM", "GRU"), packed=(False,)), data=st.data())
@examples(120)
def test_forced_starts_each_step_from_what_is_known(problem: Problem, data: st.DataObject) -> None:
    """Forced with a state that is off at t alone, only the step that reads t differs: all others keep their bits."""
    spec, steps, rows = replace(problem.spec, num_layers=1), problem.inputs.steps, len(problem.spec.directions)
    c0 = None if problem.inputs.c0 is None else problem.inputs.c0[:rows]
    inputs = replace(problem.inputs, h0=problem.inputs.h0[:rows], c0=c0)
    free = replay(spec, problem.weights, inputs)
    known = {key: free.columns[key].copy() for key in free if key[2] in spec.cell.states}
    state = data.draw(st.sampled_from(spec.cell.states), label="state")
    t = data.draw(st.integers(0, steps - 1), label="t")
    right = replay(spec, problem.weights, inputs, known=known)
    for direction in spec.directions:
        known[0, direction, state][t] += 0.5
    off = replay(spec, problem.weights, inputs, known=known)
    for key in free:
        _, direction, symbol = key
        reader = t - 1 if direction == "reverse" else t + 1
        changed = {step for step in range(steps) if not np.array_equal(off.columns[key][step], right.columns[key][step])}
        if state == "c" and symbol in spec.cell.gates:
            assert not changed
        elif spec.nonlinearity == "relu":
            assert changed <= {reader}
        else:
            assert changed == {reader} & set(range(steps))


# --- terms ------------------------------------------------------------------------------------------------------------

ACTIVATIONS: dict[str, dict[str, Callable[[Array], Array]]] = {
    "LSTM": {"i": logistic, "f": logistic, "g": np.tanh, "o": logistic},
    "GRU": {"r": logistic, "z": logistic},
    "RNN": {"h": np.tanh},
}


def previous(trace: Trace, state: str, layer: int, direction: str) -> Array:
    """The state before each step, of sequences without padding."""
    sequence = trace.columns[layer, direction, state]
    first = trace.initial(state, layer, direction)[None]
    if direction == "reverse":
        return np.concatenate([sequence[1:], first])
    return np.concatenate([first, sequence[:-1]])


@pytest.mark.slow
@given(problem=problems(packed=(False,)), forced=st.booleans())
@examples(120)
def test_kept_terms_are_what_gates_are_made_of(problem: Problem, forced: bool) -> None:
    """The input term is W·x + b, the recurrent term W·h + b, and a gate the activation of their sum, free or forced."""
    spec = problem.spec
    free = replay_of(problem)
    known = {key: free.columns[key] for key in free if key[2] == "h"} if forced else None
    trace = replay_of(problem, known=known, keep_terms=True)
    assert_same_columns(trace, free)
    assert set(trace.terms) == {
        (layer, direction, f"{gate}.{side}")
        for layer, direction in spec.layer_directions
        for gate in spec.cell.gates
        for side in ("input", "recurrent")
    }
    for layer, direction in spec.layer_directions:
        w, h = problem.weights[layer, direction], previous(free, "h", layer, direction)
        x = problem.inputs.x if layer == 0 else free.hidden(layer - 1)
        for position, gate in enumerate(spec.cell.gates):
            is_reset_before = gate == "n" and not spec.reset_after
            argument = trace["r", layer, direction] * h if is_reset_before else h
            input_term = x @ w.W_ih[position].T + (0 if w.b_ih is None else w.b_ih[position])
            recurrent_term = argument @ w.W_hh[position].T + (0 if w.b_hh is None else w.b_hh[position])
            assert_close(trace[f"{gate}.input", layer, direction], input_term, spec)
            assert_close(trace[f"{gate}.recurrent", layer, direction], recurrent_term, spec)
        for gate, activation in ACTIVATIONS[spec.family].items():
            if spec.nonlinearity != "relu":
                total = trace[f"{gate}.input", layer, direction] + trace[f"{gate}.recurrent", layer, direction]
                assert_close(activation(total), trace[gate, layer, direction], spec)
        if spec.family == "GRU":
            reset = trace["r", layer, direction] if spec.reset_after else 1
            total = trace["n.input", layer, direction] + reset * trace["n.recurrent", layer, direction]
            assert_close(np.tanh(total), trace["n", layer, direction], spec)


def test_terms_are_kept_only_when_asked() -> None:
    """Without keep_terms a trace holds gates and states alone."""
    assert replay_of(problem(LESSONS["LSTM"], steps=2, batch=1)).terms == {}


@given(problem=problems(), data=st.data())
@examples(60)
def test_what_is_kept_does_not_change_it(problem: Problem, data: st.DataObject) -> None:
    """Gates that are not kept are not there, and everything else has the same bits; states are always kept."""
    cell = problem.spec.cell
    keep = data.draw(st.sets(st.sampled_from(cell.symbols)))
    whole, part = replay_of(problem), replay_of(problem, keep=keep)
    assert {symbol for *_, symbol in part} == keep | set(cell.states)
    for key in part:
        np.testing.assert_array_equal(part.columns[key], whole.columns[key])


# --- what a trace is --------------------------------------------------------------------------------------------------


@given(problem=problems())
@examples(80)
def test_traces_are_read_only_and_inputs_stay_as_they_were(problem: Problem) -> None:
    """No array of a trace can be written to, and no array that was given is changed or locked."""
    given_arrays = [problem.inputs.x, problem.inputs.h0]
    given_arrays += [array for column in problem.weights.columns.values() for array in column.arrays.values()]
    given_arrays += [] if problem.inputs.c0 is None else [problem.inputs.c0]
    copies = [array.copy() for array in given_arrays]
    free = replay_of(problem, keep_terms=True)
    known = {key: free.columns[key].copy() for key in free if key[2] in problem.spec.cell.states}
    forced = replay_of(problem, known=known, keep_terms=True)
    for trace in (free, forced):
        for array in (*trace.columns.values(), *trace.terms.values()):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
    for array, copy in zip(given_arrays, copies, strict=True):
        assert array.flags.writeable
        np.testing.assert_array_equal(array, copy)
    for key, array in known.items():
        assert array.flags.writeable
        np.testing.assert_array_equal(array, free.columns[key])


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_trace_is_in_the_format_of_its_module(lesson: str, dtype: str) -> None:
    """Everything is computed in float64 for float64 and in float32 for smaller formats, unless another one is asked for."""
    task = problem(replace(LESSONS[lesson], dtype=dtype), steps=3, batch=2)
    own, wide = replay_of(task, keep_terms=True), replay_of(task, dtype=np.dtype(np.float64), keep_terms=True)
    expected = np.float64 if dtype == "float64" else np.float32
    assert {array.dtype for array in (*own.columns.values(), *own.terms.values())} == {np.dtype(expected)}
    assert {array.dtype for array in (*wide.columns.values(), *wide.terms.values())} == {np.dtype(np.float64)}


@pytest.mark.parametrize("lesson", ["LSTM", "GRU", "GRU reset before"])
def test_gates_saturate_at_0_and_1(lesson: str) -> None:
    """Far out, a sigmoid is 0 or 1 to the last bit: nothing overflows and nothing becomes NaN."""
    spec = replace(LESSONS[lesson], dtype="float64")
    task = problem(spec, steps=4, batch=3)
    trace = replay_of(with_inputs(task, x=task.inputs.x * 1e6))
    for gate, activation in ACTIVATIONS[spec.family].items():
        if activation is logistic:
            assert set(np.unique(trace[gate, 0, "forward"])) == {0.0, 1.0}
    assert all(np.isfinite(array).all() for array in trace.columns.values())
