"""torch's own gradients of gates and states: found for every step, near those of the replay, and nothing is left behind."""

from typing import Any

import numpy as np
import pytest
import torch

from rnntrace.engine.backward.backward import backward
from rnntrace.engine.backward.judge import judge_backward
from rnntrace.engine.backward.loss import Loss
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.engine.replay.replay import replay
from rnntrace.equations.adjoint import gradient, pre_activation
from rnntrace.frameworks.torch.backward import observe_backward
from rnntrace.frameworks.torch.modules import build, parameters
from rnntrace.model.backward import BackwardObservation
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.layouts import weights_from_torch
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights

Problem = tuple[Any, ModuleSpec, Weights, Inputs, dict[str, Array]]
STEPS, BATCH, LENGTHS = 6, 3, (6, 2, 4)
MODULES = {
    "rnn": {"kind": "RNN"},
    "relu, stacked": {"kind": "RNN", "nonlinearity": "relu", "num_layers": 2},
    "lstm, both directions, stacked": {"kind": "LSTM", "bidirectional": True, "num_layers": 2},
    "lstm, projected": {"kind": "LSTM", "proj_size": 2},
    "gru, both directions": {"kind": "GRU", "bidirectional": True},
    "lstm-cell": {"kind": "LSTMCell"},
    "gru-cell": {"kind": "GRUCell"},
}
ALL = [(name, packed) for name in MODULES for packed in (False, True) if not (packed and name.endswith("cell"))]


def problem(name: str, *, packed: bool, scale: float = 1.0, seed: int = 0, steps: int = STEPS) -> Problem:
    spec = ModuleSpec(**{"input_size": 3, "hidden_size": 4, **MODULES[name]})
    torch.manual_seed(seed)
    module = build(spec)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(scale)
    generator = np.random.default_rng(seed)

    def drawn(*shape: int) -> Array:
        return generator.normal(size=shape).astype(np.float32)

    rows = len(spec.layer_directions)
    states = {state: drawn(rows, BATCH, spec.size_of(state)) for state in spec.cell.states}
    inputs = Inputs(drawn(steps, BATCH, 3), states=states, lengths=LENGTHS if packed else None)
    loss = {"output": drawn(steps, BATCH, spec.width), "h_n": drawn(rows, BATCH, spec.output_size)}
    return module, spec, weights_from_torch(spec, parameters(module, spec)), inputs, loss


@pytest.mark.parametrize(("name", "packed"), ALL)
def test_every_gate_has_its_gradient(name: str, packed: bool) -> None:
    """Before and behind its activation, at every step that exists, within a few eps of our own in float64."""
    module, spec, weights, inputs, loss = problem(name, packed=packed)
    observed = observe_backward(module, spec, inputs, loss)
    assert observed.not_captured == ""
    symbols = [symbol for symbol in spec.cell.symbols if symbol not in spec.cell.states] or ["h"]
    expected = {(*c, of(s)) for c in spec.layer_directions for s in symbols for of in (gradient, pre_activation)}
    assert expected <= observed.columns.keys()
    mine = backward(replay(spec, weights, inputs, dtype=np.dtype(np.float64)), weights, loss, dtype=np.dtype(np.float64))
    for key, theirs in observed.columns.items():
        np.testing.assert_array_equal(np.isnan(theirs), np.isnan(mine.columns[key]))
        largest = float(np.nanmax(np.abs(theirs)))
        assert np.nanmax(np.abs(theirs - mine.columns[key])) < 1e-6 * largest, key


@pytest.mark.parametrize("capture", ["on", "off"])
def test_nothing_is_left_behind(capture: str) -> None:
    """Neither gradients nor hooks, and the mode and the parameters are as they were."""
    module, spec, _, inputs, loss = problem("lstm, projected", packed=False)
    module.train()
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    observe_backward(module, spec, inputs, loss, capture)
    assert module.training
    for name, parameter in module.named_parameters():
        assert parameter.grad is None
        assert parameter.requires_grad
        assert not parameter._backward_hooks
        assert torch.equal(parameter, before[name])


@pytest.mark.parametrize("capture", ["on", "off"])
@pytest.mark.parametrize("seed", range(12))
def test_honest_gradients_pass(seed: int, capture: str) -> None:
    """Of small and of wild weights, which amplify rounding from step to step."""
    name, scale = list(MODULES)[seed % 5], 1 + seed % 4
    module, spec, weights, inputs, loss = problem(
        name, packed=seed % 2 == 0, scale=scale, seed=seed, steps=(6, 40, 90)[seed % 3]
    )
    observed = observe_backward(module, spec, inputs, loss, capture)
    result = judge_backward(spec, weights, inputs, Loss("given", loss), observed)
    assert result.verdict in (Verdict.PASS, Verdict.DRIFT), result.comparison.first_failure


def changed(observed: BackwardObservation, name: str) -> BackwardObservation:
    """The gradients with one value of each parameter, of x, or of a gate off by a thousandth of the largest."""
    array: Array = {
        "x": lambda: observed.signals["x"],
        "h0": lambda: observed.signals["h0"],
        "W_hh": lambda: observed.parameters[0, "forward"].arrays["W_hh"],  # type: ignore[index]
        "b_ih": lambda: observed.parameters[0, "forward"].arrays["b_ih"],  # type: ignore[index]
        "a gate": lambda: observed.columns[0, "forward", "∂z.pre"],
    }[name]()
    array.flat[array.size // 2] += 1e-3 * np.abs(array).max()
    return observed


@pytest.mark.parametrize("capture", ["on", "off"])
@pytest.mark.parametrize("name", ["x", "h0", "W_hh", "b_ih", "a gate"])
def test_one_wrong_value_fails_where_it_is(name: str, capture: str) -> None:
    """Beside captured gates and without."""
    if (name, capture) == ("a gate", "off"):
        pytest.skip("gates are not captured")
    module, spec, weights, inputs, loss = problem("gru, both directions", packed=False)
    observed = changed(observe_backward(module, spec, inputs, loss, capture), name)
    result = judge_backward(spec, weights, inputs, Loss("given", loss), observed)
    place = result.comparison.first_failure
    assert result.verdict is Verdict.FAIL
    assert place is not None
    assert place.symbol == ("∂z.pre" if name == "a gate" else f"∂{name}")
    assert place.direction == ("reverse" if name == "h0" else "forward")
    assert bool(place.t) == (name in ("x", "a gate"))


def test_the_first_place_is_the_last_step() -> None:
    """A wrong gate at two steps of a forward direction: the later one comes first, as gradients flow."""
    module, spec, weights, inputs, loss = problem("lstm, projected", packed=False)
    observed = observe_backward(module, spec, inputs, loss)
    for t in (1, 4):
        observed.columns[0, "forward", "∂f"][t] += 0.5
    place = judge_backward(spec, weights, inputs, Loss("given", loss), observed).comparison.first_failure
    assert place is not None
    assert (place.symbol, place.t) == ("∂f", 5)


def test_truncated_pieces_are_one_forward_pass() -> None:
    """c of the first step of each piece is made of the c that the piece before has left, to the last bits."""
    spec = ModuleSpec(kind="LSTM", input_size=3, hidden_size=16)
    torch.manual_seed(0)
    module = build(spec)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter *= 4.5
    x = np.random.default_rng(0).normal(size=(40, 2, 3)).astype(np.float32)
    start = {state: np.zeros((1, 2, 16), np.float32) for state in spec.cell.states}
    loss = {"output": np.ones((40, 2, 16), np.float32)}
    seen = observe_backward(module, spec, Inputs(x, states=start), loss, truncate=10).forward
    i, f, g, c = (seen[0, "forward", symbol].astype(np.float64) for symbol in "ifgc")
    before, eps = np.concatenate([np.zeros((1, 2, 16)), c[:-1]]), np.finfo(np.float32).eps
    assert np.all(np.abs(c - (f * before + i * g)) <= 2 * eps * (np.abs(f * before) + np.abs(i * g)))
