"""Where gradients come from and what each step adds: beside autograd with a copy of every value for each use, and by laws."""

from typing import Any

import numpy as np
import pytest
import torch
from commandline import ask
from torch import nn

import rnntrace
from rnntrace.engine.backward.backward import backward
from rnntrace.engine.backward.flow import added, parts_of
from rnntrace.engine.backward.norms import back_of
from rnntrace.engine.replay.replay import replay
from rnntrace.model.inputs import Inputs
from rnntrace.model.layouts import parameters_of
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

STEPS, BATCH, HIDDEN = 4, 2, 3
RIGHT = {"rtol": 1e-12, "atol": 1e-14}


class Copies:
    """A copy of a value for each use, whose gradient is what comes back by this use alone."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str, int], torch.Tensor] = {}

    def of(self, value: torch.Tensor, symbol: str, use: str, t: int) -> torch.Tensor:
        """A copy for this use."""
        copy = value.clone()
        copy.retain_grad()
        self.made[symbol, use, t] = copy
        return copy

    def gradients(self, symbol: str, use: str, times: range) -> np.ndarray:
        """(T, B, H) of one use."""
        found = [self.made[symbol, use, t].grad for t in times]
        return np.stack([np.zeros((BATCH, HIDDEN)) if one is None else one.numpy() for one in found])


def lstm_by_uses(module: nn.LSTM, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, upstream: torch.Tensor) -> Copies:
    """An LSTM in a loop; weights, h and c are copied for each use, so that autograd keeps the uses apart."""
    copies, outputs = Copies(), []
    for t in range(STEPS):
        a = {}
        for place, gate in enumerate("ifgo"):
            rows = slice(place * HIDDEN, (place + 1) * HIDDEN)
            W = copies.of(module.weight_ih_l0, "W_ih", gate, t)[rows], copies.of(module.weight_hh_l0, "W_hh", gate, t)[rows]
            b = copies.of(module.bias_ih_l0, "b_ih", gate, t)[rows] + module.bias_hh_l0[rows]
            # What comes back through this copy is the part of the gate in what is handed on.
            a[gate] = x[t] @ W[0].T + copies.of(h, "h before", gate, t) @ W[1].T + b
        i, f, g, o = torch.sigmoid(a["i"]), torch.sigmoid(a["f"]), torch.tanh(a["g"]), torch.sigmoid(a["o"])
        c = f * copies.of(c, "c", "t+1", t - 1) + i * g
        h_now = o * torch.tanh(copies.of(c, "c", "∂h", t))
        outputs.append(copies.of(h_now, "h", "output", t))
        h = copies.of(h_now, "h", "t+1", t)
    (torch.stack(outputs) * upstream).sum().backward()
    return copies


@pytest.fixture
def lstm() -> tuple[nn.LSTM, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    module = nn.LSTM(2, HIDDEN).double()
    h0, c0 = torch.randn(2, BATCH, HIDDEN, dtype=torch.float64).requires_grad_()
    x, upstream = torch.randn(STEPS, BATCH, 2).double(), torch.randn(STEPS, BATCH, HIDDEN).double()
    return module, x, h0, c0, upstream


def test_parts_are_those_of_autograd(lstm: Any) -> None:
    """From the output, from h and c of the step after, through each gate to h of the step before."""
    module, x, h0, c0, upstream = lstm
    result = rnntrace.backward(module, x, (h0[None], c0[None]), grad=upstream.numpy(), check="fd")
    found = parts_of(result.trace, result.weights, result.gradients, result.loss.gradients, (0, "forward"))
    copies, every = lstm_by_uses(module, x, h0, c0, upstream), range(STEPS)
    assert {symbol: {*parts} for symbol, parts in found.items()} == {
        "∂h": {"∂h.before", "∂output"},
        "∂c": {"∂c.before", "∂h"},
        "∂h.before": {"∂i.pre", "∂f.pre", "∂g.pre", "∂o.pre"},
    }
    np.testing.assert_allclose(found["∂h"]["∂output"], copies.gradients("h", "output", every), **RIGHT)
    np.testing.assert_allclose(found["∂h"]["∂h.before"], copies.gradients("h", "t+1", every), **RIGHT)
    np.testing.assert_allclose(found["∂c"]["∂c.before"][:-1], copies.gradients("c", "t+1", range(STEPS - 1)), **RIGHT)
    np.testing.assert_allclose(found["∂c"]["∂c.before"][-1], 0)
    np.testing.assert_allclose(found["∂c"]["∂h"], copies.gradients("c", "∂h", every), **RIGHT)
    for gate in "ifgo":
        by_gate = copies.gradients("h before", gate, every)
        np.testing.assert_allclose(found["∂h.before"][f"∂{gate}.pre"], by_gate, **RIGHT)
        assert np.abs(by_gate).max() > 1e-3


def test_what_a_step_adds_is_autograds(lstm: Any) -> None:
    """A step's own copy of the weights gets it, over all items."""
    module, x, h0, c0, upstream = lstm
    result = rnntrace.backward(module, x, (h0[None], c0[None]), grad=upstream.numpy(), check="fd")
    copies = lstm_by_uses(module, x, h0, c0, upstream)
    for t in range(1, STEPS + 1):
        mine = result.added(t)
        for name, part in (("weight_ih_l0", "W_ih"), ("weight_hh_l0", "W_hh"), ("bias_ih_l0", "b_ih")):
            theirs = sum(copies.made[part, gate, t - 1].grad.numpy() for gate in "ifgo")  # type: ignore[union-attr]
            np.testing.assert_allclose(mine[name], theirs, **RIGHT)


MODULES: list[dict[str, Any]] = [
    {"kind": "RNN"},
    {"kind": "LSTM", "proj_size": 2, "bidirectional": True},
    {"kind": "LSTM", "peepholes": True},
    {"kind": "GRU", "num_layers": 2, "bidirectional": True},
    {"kind": "GRU", "reset_after": False},
]


@pytest.mark.parametrize("options", MODULES, ids=lambda options: "-".join(map(str, options.values())))
@pytest.mark.parametrize("truncate", [None, 2])
@pytest.mark.parametrize("mask", [None, [[1, 1, 0, 1, 1], [0, 1, 1, 1, 0]]], ids=["all", "masked"])
def test_parts_and_steps_add_up(options: dict[str, Any], truncate: int | None, mask: Any) -> None:
    """To the gradients of the states, to what is handed on, and over the steps to those of the parameters."""
    spec = ModuleSpec(**{"input_size": 2, "hidden_size": HIDDEN, "dtype": "float64", **options})
    rng = np.random.default_rng(1)
    weights = Weights(
        {
            column: LayerWeights(arrays={name: rng.normal(size=shape) for name, shape in spec.shapes(column[0]).items()})
            for column in spec.layer_directions
        }
    )
    states = {name: rng.normal(size=(len(spec.layer_directions), 2, spec.size_of(name))) for name in spec.cell.states}
    there = None if mask is None else np.array(mask, bool).T
    inputs = Inputs(rng.normal(size=(5, 2, 2)), states=states, mask=there)
    trace = replay(spec, weights, inputs)
    loss = {"output": rng.normal(size=trace.output.shape)}
    loss |= {f"{name}_n": rng.normal(size=array.shape) for name, array in states.items()}
    gradients = backward(trace, weights, loss, truncate=truncate)
    valid = np.ones((5, 2), bool) if there is None else there
    for column in spec.layer_directions:
        found = parts_of(trace, weights, gradients, loss, column, truncate)
        assert {"∂h"} <= {*found} <= {*gradients.steps(*column)}
        for symbol, parts in found.items():
            total = sum(parts.values())
            np.testing.assert_allclose(total[valid], gradients.columns[*column, symbol][valid], rtol=1e-12, atol=1e-13)  # type: ignore[index]
        back, own = back_of(trace, weights, *column), gradients.steps(*column)
        steps = [added(back, own, t) for t in range(1, 6)]
        for name, array in gradients.parameters[column].arrays.items():
            np.testing.assert_allclose(sum(step[name] for step in steps), array, rtol=1e-11, atol=1e-13)


def test_the_tables_of_a_reverse_direction_and_a_lower_layer(capsys: pytest.CaptureFixture[str]) -> None:
    """They say where what comes back is from; what a step adds has its own rows."""
    out = ask(
        capsys, "backward", "gru", "-b", "-l", "2", "-T", "2", "--seed", "1", "--show", "terms", "-f", "plain", "--layer", "0"
    ).out
    assert "layer 0 · reverse · item 0 · ∂h → t+1, and where it comes from" in out
    forward, reverse = (
        out[out.index(f"layer 0 · {direction} · item 0 · ∂h, and") :].splitlines()[1] for direction in ("forward", "reverse")
    )
    assert ("from_t+1" in forward, "from_t-1" in reverse, "from_layer_1" in forward) == (True, True, True)
    assert out.count("what each step adds to ∂L/∂W_hh") == 2
    one = ask(
        capsys, "backward", "lstm", "-T", "3", "--seed", "1", "--show", "terms", "--time", "2", "--unit", "1", "-f", "plain"
    )
    rows = one.out[one.out.index("adds to ∂L/∂W_ih") :].split("\n\n")[0].splitlines()[2:]
    assert [row.split()[:3] for row in rows] == [["2", f"W_i{gate}", "1"] for gate in "ifgo"]


def test_a_deliberate_mistake_has_no_right_parts(capsys: pytest.CaptureFixture[str]) -> None:
    """Parts that do not add up to what is shown are left out, and that is said."""
    answer = ask(capsys, "backward", "lstm", "--seed", "1", "--mistake", "c-not-carried", "--show", "terms")
    assert "where it comes from" not in answer.out
    assert "what adds up to gradients is left out" in answer.err
    assert "left out" not in ask(capsys, "backward", "lstm", "--seed", "1", "--show", "terms").err


def test_added_steps_are_under_torchs_names() -> None:
    """In the shapes of the parameters."""
    result = rnntrace.backward("gru", seed=1, steps=3, hidden=4)
    total = sum(result.added(t)["weight_hh_l0"] for t in (1, 2, 3))
    np.testing.assert_allclose(total, parameters_of(result.spec, result.gradients.parameters)["weight_hh_l0"], rtol=1e-5)
    with pytest.raises(rnntrace.errors.UsageError, match="a step from 1 to 3"):
        result.added(0)
