"""A saved trace is weights, inputs and states at once: outputs that others computed of it are judged beside the trace alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import ask, refused

import rnntrace


def made() -> dict[str, np.ndarray]:
    """t.npz, a trace of an LSTM on a packed batch with random states, and what torch gives for it."""
    result = rnntrace.run("lstm", batch=2, lengths=[4, 2], h0="random", c0="random", seed=3, save="t.npz")
    module = torch.nn.LSTM(3, 2)
    weights = result.weights[0, "forward"]
    for name, own in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), ("W_ih", "W_hh", "b_ih", "b_hh"), strict=True):
        parameter = getattr(module, f"{name}_l0")
        parameter.data = torch.tensor(np.asarray(getattr(weights, own), np.float32)).reshape(parameter.shape)
    inputs = {name: torch.tensor(np.asarray(array, np.float32)) for name, array in result.inputs.signals.items()}
    packed = torch.nn.utils.rnn.pack_padded_sequence(inputs["x"], [4, 2])
    output, (h_n, c_n) = module(packed, (inputs["h0"], inputs["c0"]))
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(output)
    return {name: array.detach().numpy() for name, array in {"output": padded, "h_n": h_n, "c_n": c_n}.items()}


def test_what_is_expected_is_judged_beside_a_trace_alone(capsys: pytest.CaptureFixture[str]) -> None:
    true = made()
    np.savez("y.npz", **true)
    assert ask(capsys, "compare", "t.npz", "--expected", "y.npz", "--quiet").code == 0
    np.savez("turned.npz", **{name: array.transpose(*range(array.ndim - 2), -1, -2) for name, array in true.items()})
    assert ask(capsys, "compare", "t.npz", "--expected", "turned.npz", "--axes", "time,unit,batch", "--quiet").code == 0
    np.savez("wrong.npz", **true | {"c_n": true["c_n"] + 1e-3})
    assert ask(capsys, "compare", "t.npz", "--expected", "wrong.npz", "--quiet").code == 1
    assert rnntrace.compare("t.npz").passed
    # Another input is another run.
    assert not rnntrace.compare("t.npz", np.ones((4, 2, 3)), expected=true).passed


def test_a_mistake_is_explained_beside_a_trace() -> None:
    true = made()
    wrong = {"output": true["output"], "h_n": true["c_n"], "c_n": true["h_n"]}
    found = rnntrace.diagnose("t.npz", expected=wrong)
    assert [answer.id for answer in found.answers] == ["lstm.reading.c_n-as-h_n"]
    assert rnntrace.diagnose("t.npz", expected=true).explained


def test_explain_takes_the_signals_of_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    made()
    assert ask(capsys, "explain", "t.npz", "--at", "t=2,unit=1").code == 0
    assert np.array_equal(rnntrace.explain(Path("t.npz"), t=2).trace.inputs.x, rnntrace.open_trace("t.npz").inputs.x)


def test_what_a_trace_says_by_itself_is_not_said_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    true = made()
    np.savez("y.npz", **true)
    for command in (["compare"], ["diagnose"]):
        told = refused(capsys, *command, "t.npz", "--expected", "y.npz", "--batch-first")
        assert "--batch-first contradicts what the trace says of its own signals" in told


def test_gradients_of_a_trace_are_those_of_its_own_signals() -> None:
    made()
    told = rnntrace.explain("t.npz", t=2, backward=True)
    assert np.array_equal(told.trace.inputs.x, rnntrace.open_trace("t.npz").inputs.x)
