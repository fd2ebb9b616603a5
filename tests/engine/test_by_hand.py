"""Wrong loops as people write them, which share nothing with the catalogue: each is named, and nothing but its equals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from test_diagnose import drawn, explained, sigmoid

from rnntrace.engine.diagnose.case import Case
from rnntrace.model.dtypes import Array

STEPS = 5
Params = dict[str, Array]
State = tuple[Array, Array]
Cell = Callable[[Params, Array, State], State]


@dataclass(frozen=True)
class Given:
    """What a person holds: of each layer and direction the weights as torch stacks them, and the signals."""

    params: dict[tuple[int, str], Params]
    x: Array
    states: list[State]


def given(case: Case) -> Given:
    """Of a case."""
    params = {
        column: {name: array.reshape(-1, *array.shape[2:]) for name, array in weights.arrays.items()}
        for column, weights in case.weights.columns.items()
    }
    inputs = case.inputs
    c0 = inputs.h0 if inputs.c0 is None else inputs.c0
    return Given(params, inputs.x, list(zip(inputs.h0, c0, strict=True)))


def affine(p: Params, x: Array, h: Array) -> Array:
    return x @ p["W_ih"].T + p["b_ih"] + h @ p["W_hh"].T + p["b_hh"]


def rnn(p: Params, x: Array, state: State) -> State:
    return np.tanh(affine(p, x, state[0])), state[1]


def lstm(p: Params, x: Array, state: State) -> State:
    h, c = state
    i, f, g, o = np.split(affine(p, x, h), 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(p: Params, x: Array, state: State, act: Callable[[Array, Array, Array, Array], Array] | None = None) -> State:
    h = state[0]
    x_r, x_z, x_n = np.split(x @ p["W_ih"].T + p["b_ih"], 3, axis=-1)
    h_r, h_z, h_n = np.split(h @ p["W_hh"].T + p["b_hh"], 3, axis=-1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    n = np.tanh(x_n + r * h_n)
    return (act(r, z, n, h) if act else (1 - z) * n + z * h), state[1]


def scan(cell: Cell, p: Params, x: Array, state: State) -> tuple[Array, State]:
    """x from its first row to its last."""
    output = []
    for now in x:
        state = cell(p, now, state)
        output.append(state[0])
    return np.stack(output), state


def output_of(found: tuple[Array, State]) -> dict[str, Array]:
    return {"output": found[0], "h_n": found[1][0][None]}


def one(cell: Cell) -> Callable[[Given], dict[str, Array]]:
    """The only layer."""
    return lambda all: output_of(scan(cell, all.params[0, "forward"], all.x, all.states[0]))


# --- wrong equations ------------------------------------------------------------------------------------------------------


def c_starts_anew(p: Params, x: Array, state: State) -> State:
    """c of every step from c0, which is kept beside it."""
    h, c0 = state
    return lstm(p, x, (h, c0))[0], c0


def without_c_before(p: Params, x: Array, state: State) -> State:
    i, _, g, o = np.split(affine(p, x, state[0]), 4, axis=-1)
    c = sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def h_of_old_c(p: Params, x: Array, state: State) -> State:
    i, f, g, o = np.split(affine(p, x, state[0]), 4, axis=-1)
    h = sigmoid(o) * np.tanh(state[1])
    return h, sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)


def hard_tanh(a: Array) -> Array:
    return np.minimum(1, np.maximum(-1, a))


def lstm_with(squash: Callable[[Array], Array], tanh: Callable[[Array], Array]) -> Cell:
    def cell(p: Params, x: Array, state: State) -> State:
        i, f, g, o = np.split(affine(p, x, state[0]), 4, axis=-1)
        c = squash(f) * state[1] + squash(i) * tanh(g)
        return squash(o) * tanh(c), c

    return cell


def plan(a: Array) -> Array:
    """The smallest of the lines above a convex end; the same, turned, for negative arguments."""
    s = np.abs(a)
    y = np.minimum(np.minimum(0.25 * s + 0.5, 0.125 * s + 0.625), np.minimum(0.03125 * s + 0.84375, 1.0))
    return np.where(a < 0, 1 - y, y)


def from_table(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    entries = np.linspace(-8, 8, 17)
    return lambda a: np.interp(a, entries, function(entries))


def next_units_forget_gate(p: Params, x: Array, state: State) -> State:
    a = affine(p, x, state[0])
    i, f, g, o = np.split(a, 4, axis=-1)
    units = f.shape[-1]
    c = np.stack([sigmoid(f)[:, (k + 1) % units] * state[1][:, k] for k in range(units)], axis=1) + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def units_one_by_one(p: Params, x: Array, state: State) -> State:
    """h written into while it is read."""
    h, c = state[0].copy(), state[1].copy()
    units = h.shape[1]
    for k in range(units):
        rows = [k, units + k, 2 * units + k, 3 * units + k]
        i, f, g, o = (x @ p["W_ih"][row] + p["b_ih"][row] + h @ p["W_hh"][row] + p["b_hh"][row] for row in rows)
        c[:, k] = sigmoid(f) * c[:, k] + sigmoid(i) * np.tanh(g)
        h[:, k] = sigmoid(o) * np.tanh(c[:, k])
    return h, c


# --- wrong weights --------------------------------------------------------------------------------------------------------


def with_params(change: Callable[[Params], Params], cell: Cell) -> Callable[[Given], dict[str, Array]]:
    return lambda all: output_of(scan(cell, change(all.params[0, "forward"]), all.x, all.states[0]))


def cudnn_blocks(p: Params) -> Params:
    """Each block's numbers taken in their order in memory, as cuDNN has them, after somebody had turned the block."""

    def blocks(W: Array) -> Array:
        return np.vstack([np.ravel(block.T).reshape(block.shape) for block in np.split(W, len(W) // 4)])

    return {**p, "W_ih": blocks(p["W_ih"]), "W_hh": blocks(p["W_hh"])}


def whole_turned_back(p: Params) -> Params:
    return {**p, "W_hh": np.ravel(p["W_hh"].T).reshape(p["W_hh"].shape)}


def rows_late(p: Params) -> Params:
    """a[k·H + 1 : (k + 1)·H + 1], and the first row at the end."""
    return {name: np.concatenate([array[1:], array[:1]]) for name, array in p.items()}


# --- wrong layers and directions ------------------------------------------------------------------------------------------


def layers(cell: Cell, of: tuple[int, ...], *, carried: bool = False) -> Callable[[Given], dict[str, Array]]:
    """These layers' weights after one another; `carried` starts each where the one before has ended."""

    def run(all: Given) -> dict[str, Array]:
        x, ends = all.x, []
        for place, layer in enumerate(of):
            start = ends[-1] if carried and ends else all.states[min(place, len(all.states) - 1)]
            x, end = scan(cell, all.params[layer, "forward"], x, start)
            ends.append(end)
        return {"output": x, "h_n": ends[-1][0][None]}

    return run


def both_ways(all: Given, cell: Cell = gru) -> tuple[Array, Array]:
    """The right halves."""
    forward, _ = scan(cell, all.params[0, "forward"], all.x, all.states[0])
    reverse, _ = scan(cell, all.params[0, "reverse"], all.x[::-1], all.states[1])
    return forward, reverse[::-1]


def reverse_from_forward(all: Given) -> dict[str, Array]:
    forward, end = scan(gru, all.params[0, "forward"], all.x, all.states[0])
    reverse, last = scan(gru, all.params[0, "reverse"], all.x[::-1], end)
    return {"output": np.concatenate([forward, reverse[::-1]], axis=2), "h_n": np.stack([end[0], last[0]])}


def wrong_axis_flipped(all: Given) -> dict[str, Array]:
    forward, _ = scan(gru, all.params[0, "forward"], all.x, all.states[0])
    reverse, _ = scan(gru, all.params[0, "reverse"], np.flip(all.x, 2), (np.asarray(all.states[1][0]), all.states[1][1]))
    return {"output": np.concatenate([forward, np.flip(reverse, 2)], axis=2)}


def run_forward(all: Given) -> dict[str, Array]:
    """Both directions from the first step to the last, with the states in which they end."""
    halves = [scan(gru, all.params[0, way], all.x, all.states[row]) for row, way in enumerate(("forward", "reverse"))]
    return {"output": np.concatenate([half[0] for half in halves], axis=2), "h_n": np.stack([half[1][0] for half in halves])}


def stacked(axis: int) -> Callable[[Given], dict[str, Array]]:
    return lambda all: {"output": np.stack(both_ways(all), axis).reshape(STEPS, all.x.shape[1], -1)}


BOTH: dict[str, Any] = {"bidirectional": True}
BY_HAND: dict[str, tuple[str, dict[str, Any], Callable[[Given], dict[str, Array]]]] = {
    "lstm.recurrence.c-alone-not-updated": ("LSTM", {}, one(c_starts_anew)),
    "lstm.equation.c-before-left-out": ("LSTM", {}, one(without_c_before)),
    "lstm.equation.tanh-of-old-c": ("LSTM", {}, one(h_of_old_c)),
    "lstm.activation.hard-tanh": ("LSTM", {}, one(lstm_with(sigmoid, hard_tanh))),
    "lstm.activation.piecewise-sigmoid": ("LSTM", {}, one(lstm_with(plan, np.tanh))),
    "lstm.activation.piecewise-both": ("LSTM", {}, one(lstm_with(plan, lambda a: 2 * plan(2 * a) - 1))),
    "lstm.activation.table-both": ("LSTM", {}, one(lstm_with(from_table(sigmoid), from_table(np.tanh)))),
    "lstm.neighbour.f-next": ("LSTM", {}, one(next_units_forget_gate)),
    "lstm.recurrence.in-place": ("LSTM", {}, one(units_one_by_one)),
    "gru.equation.r-for-z": ("GRU", {}, one(lambda *now: gru(*now, act=lambda r, z, n, h: (1 - r) * n + r * h))),
    "lstm.transpose.reshaped-blocks-back": ("LSTM", {"input_size": 3}, with_params(cudnn_blocks, lstm)),
    "lstm.transpose.reshaped-back-W_hh": ("LSTM", {}, with_params(whole_turned_back, lstm)),
    "lstm.neighbour.rows-next": ("LSTM", {}, with_params(rows_late, lstm)),
    "gru.time.features-flipped": ("GRU", {}, lambda all: one(gru)(Given(all.params, all.x[:, :, ::-1], all.states))),
    "gru.layers.last-missing": ("GRU", {"num_layers": 2}, layers(gru, (0,))),
    "gru.layers.first-alone": ("GRU", {"num_layers": 3}, layers(gru, (0,))),
    "lstm.layers.same-weights": ("LSTM", {"num_layers": 2}, layers(lstm, (0, 0))),
    "rnn.layers.applied-2": ("RNN", {}, layers(rnn, (0, 0))),
    "lstm.layers.applied-3-carried": ("LSTM", {}, layers(lstm, (0, 0, 0), carried=True)),
    "gru.direction.reverse-from-forward": ("GRU", BOTH, reverse_from_forward),
    "gru.direction.features-flipped": ("GRU", BOTH, wrong_axis_flipped),
    "gru.direction.both-forward": ("GRU", BOTH, run_forward),
    "gru.reading.stacked-first": ("GRU", BOTH, stacked(0)),
    "gru.reading.stacked-second": ("GRU", BOTH, stacked(1)),
    "gru.reading.stacked-last": ("GRU", BOTH, stacked(3)),
    "gru.merge.summed": ("GRU", BOTH, lambda all: {"output": np.add(*both_ways(all))}),
    "gru.merge.averaged": ("GRU", BOTH, lambda all: {"output": np.mean(both_ways(all), axis=0)}),
    "gru.merge.multiplied": ("GRU", BOTH, lambda all: {"output": np.prod(both_ways(all), axis=0)}),
}


@pytest.mark.slow
@pytest.mark.parametrize("id", BY_HAND)
def test_a_wrong_loop_is_named(id: str) -> None:
    """The mistake that the loop makes is the one answer, and leaves no more than rounding."""
    kind, options, loop = BY_HAND[id]
    case = drawn(kind, 21, **options)
    found = explained(case, loop(given(case)))
    assert [answer.id for answer in found.answers] == [id]
    assert found.answers[0].after < 1e-12 < found.before


def test_right_loops_are_right() -> None:
    """The loops above differ from these in their mistake alone."""
    for kind, cell in (("RNN", rnn), ("LSTM", lstm), ("GRU", gru)):
        case = drawn(kind, 21)
        assert explained(case, one(cell)(given(case))).before < 1e-14
    case = drawn("GRU", 21, bidirectional=True)
    assert explained(case, {"output": np.concatenate(both_ways(given(case)), axis=2)}).before < 1e-14


def test_axes_of_the_output_exchanged_alone() -> None:
    """As many items as steps: the shape says nothing."""
    case = drawn("LSTM", 22, batch=STEPS)
    output = one(lstm)(given(case))["output"].swapaxes(0, 1)
    assert [answer.id for answer in explained(case, {"output": output}).answers] == ["lstm.reading.axes-swapped"]


@pytest.mark.slow
def test_summed_halves_that_were_not_flipped_are_two_mistakes() -> None:
    """The reverse half added as it was computed."""
    case = drawn("LSTM", 23, bidirectional=True)
    forward, reverse = both_ways(given(case), lstm)
    (answer,) = explained(case, {"output": forward + reverse[::-1]}).answers
    assert answer.id == "lstm.reading.reverse-not-flipped+lstm.merge.summed"


def test_a_smooth_loop_beside_hard_gates() -> None:
    """A Keras layer whose gates are hard, computed by hand with the sigmoid."""
    case = drawn("LSTM", 24, recurrent_activation="hard_sigmoid")
    found = explained(case, one(lstm)(given(case)))
    assert [answer.id for answer in found.answers] == ["lstm.activation.smooth-sigmoid"]


@pytest.mark.slow
def test_one_cell_called_twice_by_an_encoder() -> None:
    """The same weights in both layers, each started from the states in which the one below had ended."""
    case = drawn("GRU", 25, num_layers=2)
    (answer,) = explained(case, {"output": layers(gru, (0, 0), carried=True)(given(case))["output"]}).answers
    assert answer.id == "gru.recurrence.layer-to-layer+gru.layers.same-weights"
