"""The comparison can fail: mistakes planted in a declaration, in weights or in the replay are found, and at the right place.

Each fault is judged against what torch really computes; expected is the first wrong (symbol, t).
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

import rnntrace
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.pairing import pair_outputs, pair_up
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.tolerance import make_tolerance
from rnntrace.engine.judge.verdict import Comparison, Verdict, compare
from rnntrace.engine.replay.replay import Column, replay
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.cells import affine, c, c_before, f, g, h_before, i, n, o, r, z
from rnntrace.equations.expression import Expr, input_term, recurrent_term, relu, sigmoid, tanh
from rnntrace.model.inputs import Inputs, SignalRequest
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights
from rnntrace.verbs.given.sources import Sources
from rnntrace.verbs.run import build_and_trace as run

STEPS = 4


def traced(kind: str, *, capture: str = "on", h0: str = "random", **options: object) -> Result:
    """A module of torch on random input, traced; float64, so that nothing but the fault shows."""
    spec = ModuleSpec(kind=kind, input_size=3, hidden_size=3, dtype="float64", **options)
    request = SignalRequest(steps=STEPS, batch=2, h0=h0, c0="random" if spec.has_cell_state and h0 == "random" else "zeros")
    return run(spec, Sources(request), JudgeOptions(capture=capture), seed=5)


def judged(
    result: Result, weights: Weights | None = None, inputs: Inputs | None = None, cell: Cell | None = None
) -> Comparison:
    """Replay with other weights, inputs or equations than torch had, and compare with what torch computed."""
    arguments = result.spec, weights or result.weights, inputs or result.inputs
    forced = replay(*arguments, known=result.framework_values, cell=cell)
    free = replay(*arguments, cell=cell)
    pairs = [*pair_up(free, forced, result.framework_values), *pair_outputs(free, forced, result.observation.outputs)]
    return compare(pairs, make_tolerance("torch", "float64"), result.spec.precision)


def place(comparison: Comparison) -> tuple[str, int, str, int]:
    """Where the comparison first fails: symbol, layer, direction, t."""
    assert comparison.verdict is Verdict.FAIL
    first = comparison.first_failure
    assert first is not None
    return first.symbol, first.layer, first.direction, first.t


def changed(weights: Weights, change: Callable[[LayerWeights], dict[str, np.ndarray]]) -> Weights:
    """The weights with parts of every layer and direction replaced."""
    return Weights({column: replace(layer, **change(layer)) for column, layer in weights.columns.items()})


def with_steps(cell: Cell, **steps: Expr) -> Cell:
    """The cell with the expressions of some symbols replaced."""
    return replace(
        cell, steps=tuple(Step(step.symbol, step.role, steps.get(step.symbol, step.expression)) for step in cell.steps)
    )


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"])
def test_nothing_planted_nothing_found(kind: str) -> None:
    """The harness itself passes with the right weights."""
    assert judged(traced(kind)).verdict.passed


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        (kind, *pair)
        for kind, gates in (("LSTM", "ifgo"), ("GRU", "rzn"), ("LSTMCell", "ifgo"))
        for pair in combinations(gates, 2)
    ],
)
def test_two_gates_swapped(kind: str, first: str, second: str) -> None:
    """Whichever two gate blocks are swapped in the weights, the first of them is named, at t = 1."""
    result = traced(kind)
    gates = result.spec.cell.gates
    order = [gates.index({first: second, second: first}.get(gate, gate)) for gate in gates]
    swapped = changed(result.weights, lambda layer: {name: array[order] for name, array in layer.arrays.items()})
    assert place(judged(result, swapped)) == (first, 0, "forward", 1)


WEIGHT_FAULTS: dict[str, tuple[Callable[[LayerWeights], dict[str, np.ndarray]], int]] = {
    "b_hh dropped": (lambda layer: {"b_hh": np.zeros_like(layer.b_hh)}, 1),
    "b_ih dropped": (lambda layer: {"b_ih": np.zeros_like(layer.b_ih)}, 1),
    "b_hh added twice": (lambda layer: {"b_ih": layer.b_ih + layer.b_hh}, 1),
    "W_ih transposed": (lambda layer: {"W_ih": layer.W_ih.swapaxes(1, 2)}, 1),
    "W_hh transposed": (lambda layer: {"W_hh": layer.W_hh.swapaxes(1, 2)}, 2),
    "W_hh negated": (lambda layer: {"W_hh": -layer.W_hh}, 2),
}


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("fault", WEIGHT_FAULTS)
def test_wrong_weights(kind: str, fault: str) -> None:
    """A bias too few or too many shows at t = 1; a wrong W_hh cannot show before t = 2 if h0 = 0."""
    change, t = WEIGHT_FAULTS[fault]
    result = traced(kind, h0="zeros")
    assert place(judged(result, changed(result.weights, change))) == (result.spec.cell.symbols[0], 0, "forward", t)


def test_one_weight_a_little_off() -> None:
    """A thousandth on a single weight of the forget gate is found in that gate, that unit, at the first step that reads it."""
    result = traced("LSTM", h0="zeros")

    def nudge(layer: LayerWeights) -> dict[str, np.ndarray]:
        W_hh = layer.W_hh.copy()
        W_hh[1, 2, 0] += 1e-3
        return {"W_hh": W_hh}

    comparison = judged(result, changed(result.weights, nudge))
    assert place(comparison) == ("f", 0, "forward", 2)
    assert comparison.first_failure is not None
    assert comparison.first_failure.unit == 2


def test_hidden_bias_of_the_candidate_outside_the_reset_gate() -> None:
    """Folding b_hn into b_in is harmless for an LSTM and wrong for a GRU: the candidate is named."""

    def fold(layer: LayerWeights) -> dict[str, np.ndarray]:
        b_ih, b_hh = layer.b_ih.copy(), layer.b_hh.copy()
        b_ih[-1], b_hh[-1] = b_ih[-1] + b_hh[-1], 0
        return {"b_ih": b_ih, "b_hh": b_hh}

    gru, lstm = traced("GRU"), traced("LSTM")
    assert place(judged(gru, changed(gru.weights, fold))) == ("n", 0, "forward", 1)
    assert judged(lstm, changed(lstm.weights, fold)).verdict.passed


def test_projection_wrong() -> None:
    """A wrong W_hr leaves every gate and c right at t = 1 and makes h wrong."""
    result = traced("LSTM", proj_size=2, h0="zeros")
    scaled = changed(result.weights, lambda layer: {"W_hr": layer.W_hr * 1.01})
    assert place(judged(result, scaled)) == ("h", 0, "forward", 1)


DECLARATION_FAULTS = {
    "tanh of the cell state forgotten": ("LSTM", {"h": o * c}, "h"),
    "output gate forgotten": ("LSTM", {"h": tanh(c)}, "h"),
    "sigmoid where tanh belongs": ("LSTM", {"g": sigmoid(affine("g"))}, "g"),
    "tanh where sigmoid belongs": ("LSTM", {"o": tanh(affine("o"))}, "o"),
    "input and forget gate coupled": ("LSTM", {"c": f * c_before + (1 - f) * g}, "c"),
    "input and forget gate exchanged": ("LSTM", {"c": i * c_before + f * g}, "c"),
    "sign flipped in the cell state": ("LSTM", {"c": f * c_before - i * g}, "c"),
    "cell state not carried": ("LSTM", {"c": f + i * g}, "c"),
    "recurrent term forgotten": ("LSTM", {"f": sigmoid(input_term("f"))}, "f"),
    "reset before the product": ("GRU", {"n": tanh(input_term("n") + recurrent_term("n", r * h_before))}, "n"),
    "reset gate forgotten": ("GRU", {"n": tanh(affine("n"))}, "n"),
    "update gate inverted": ("GRU", {"h": z * n + (1 - z) * h_before}, "h"),
    "state before forgotten": ("GRU", {"h": (1 - z) * n + z * n}, "h"),
    "relu for tanh": ("RNN_TANH", {"h": relu(affine("h"))}, "h"),
    "activation forgotten": ("RNN_TANH", {"h": affine("h")}, "h"),
}


@pytest.mark.parametrize("fault", DECLARATION_FAULTS)
def test_wrong_declaration(fault: str) -> None:
    """A wrong equation is found at t = 1 in the quantity that it computes."""
    name, steps, symbol = DECLARATION_FAULTS[fault]
    result = traced(name.removesuffix("_TANH"))
    assert place(judged(result, cell=with_steps(result.spec.cell, **steps))) == (symbol, 0, "forward", 1)


@pytest.mark.parametrize("fault", DECLARATION_FAULTS)
def test_wrong_declaration_seen_from_outside(fault: str) -> None:
    """Where torch's gates were not captured, the same faults are found in h, at t = 1 still."""
    name, steps, _ = DECLARATION_FAULTS[fault]
    result = traced(name.removesuffix("_TANH"), capture="off")
    assert place(judged(result, cell=with_steps(result.spec.cell, **steps))) == ("h", 0, "forward", 1)


def test_reset_gate_moved_is_blind_at_first_without_states_and_biases() -> None:
    """With h0 = 0 and b_hn = 0 a reset gate on the wrong side shows at t = 2, in the candidate."""
    result = traced("GRU", bias=False, h0="zeros")
    other = replace(result, spec=replace(result.spec, reset_after=False))
    assert place(judged(other)) == ("n", 0, "forward", 2)


def test_reverse_direction_not_run_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reverse direction run forwards is wrong from its first step, which is the last of the input."""
    result = traced("LSTM", bidirectional=True)
    monkeypatch.setattr(Column, "_in_order", lambda self, sequence: sequence)
    assert place(judged(result)) == ("i", 0, "reverse", STEPS)


def test_layer_reads_its_input_halves_in_the_wrong_order() -> None:
    """The two directions exchanged between layers: the first gate of layer 1 is named, layer 0 is right."""
    result = traced("GRU", bidirectional=True, num_layers=2)
    columns = dict(result.weights.columns)
    for direction in result.spec.directions:
        W_ih = columns[1, direction].W_ih
        columns[1, direction] = replace(columns[1, direction], W_ih=np.roll(W_ih, 3, axis=2))
    assert place(judged(result, Weights(columns))) == ("r", 1, "forward", 1)


def test_initial_states_of_layers_mixed_up() -> None:
    """h0 in the order of another layer shows at t = 1 in the first layer."""
    result = traced("RNN", num_layers=2)
    mixed = replace(result.inputs, h0=result.inputs.h0[::-1])
    assert place(judged(result, inputs=mixed)) == ("h", 0, "forward", 1)


def test_initial_state_ignored() -> None:
    """h0 and c0 taken for zero show at t = 1; c0 alone shows in c, with every gate right."""
    result = traced("LSTM")
    zeros = replace(result.inputs, h0=result.inputs.h0 * 0, c0=result.inputs.c0 * 0)
    assert place(judged(result, inputs=zeros)) == ("i", 0, "forward", 1)
    assert place(judged(result, inputs=replace(result.inputs, c0=result.inputs.c0 * 0))) == ("c", 0, "forward", 1)


@pytest.mark.parametrize(
    "order", [[1, 2, 3, 3], [0, 0, 1, 2], [3, 2, 1, 0]], ids=["a step late", "a step early", "time reversed"]
)
def test_input_at_the_wrong_time(order: list[int]) -> None:
    """x shifted or reversed in time is found at the first step whose x is another one."""
    result = traced("LSTM")
    first_wrong = next(t for t, source in enumerate(order, 1) if source != t - 1)
    assert place(judged(result, inputs=replace(result.inputs, x=result.inputs.x[order]))) == ("i", 0, "forward", first_wrong)


def test_items_of_the_batch_exchanged() -> None:
    """Items in another order are found, in item 0."""
    result = traced("GRU")
    comparison = judged(result, inputs=replace(result.inputs, x=result.inputs.x[:, ::-1]))
    assert place(comparison) == ("r", 0, "forward", 1)
    assert comparison.first_failure is not None
    assert comparison.first_failure.item == 0


def test_lengths_ignored() -> None:
    """Padding taken for input: the forward direction is right where the sequence exists, the reverse starts wrong."""
    spec = ModuleSpec(kind="GRU", input_size=3, hidden_size=3, bidirectional=True, dtype="float64")
    request = SignalRequest(steps=STEPS, batch=2, lengths=(4, 2))
    result = run(spec, Sources(request), JudgeOptions(capture="on"), seed=5)
    padded = replay(spec, result.weights, replace(result.inputs, lengths=None))
    # Only where the shorter sequence exists can the two be compared.
    columns = {key: np.where(result.inputs.valid[..., None], values, np.nan) for key, values in padded.columns.items()}
    shown = Trace(spec, result.inputs, {"values": columns})
    comparison = compare(pair_up(shown, shown, result.framework_values), make_tolerance("torch", "float64"), spec.precision)
    assert place(comparison) == ("r", 0, "reverse", 2)
    assert comparison.first_failure is not None
    assert comparison.first_failure.item == 1


def test_output_assembled_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every gate right and the halves of a bidirectional output exchanged: the output is named."""
    result = traced("GRU", bidirectional=True)
    right = Trace.output.fget
    monkeypatch.setattr(Trace, "output", property(lambda self: np.roll(right(self), 3, axis=2)))
    assert place(judged(result)) == ("output", 0, "forward", 1)


def test_a_replay_that_is_wrong_by_itself_names_its_own_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Single steps agree and a step of the free replay does not follow from the one before; "replay" is the trace."""
    key, wrong = (0, "forward", "h"), (3, 0, 1)

    def spoilt(*arguments: Any, known: Any = None, **options: Any) -> Trace:
        trace = replay(*arguments, known=known, **options)
        if known is None:
            h = trace.columns[key].copy()
            h[wrong] += 1e-3
            return trace.replaced(values={**trace.columns, key: h})
        return trace

    monkeypatch.setattr("rnntrace.engine.judge.judge.replay", spoilt)
    torch.manual_seed(0)
    result = rnntrace.trace(torch.nn.RNN(3, 2), torch.randn(6, 1, 3))
    assert result.verdict is Verdict.FAIL
    assert {difference.one_step_bad for difference in result.comparison.differences} == {0}
    place = result.comparison.first_failure
    assert place is not None
    assert (place.t, place.item, place.unit) == (4, 0, 1)
    assert place.replay == result.trace.columns[key][wrong]
    assert place.replay - place.framework == pytest.approx(1e-3, rel=1e-3)
