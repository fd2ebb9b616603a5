"""Modules of 8-bit weights: what they give is explained by how they round, and nothing else is."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from commandline import all_in, ask, refused
from onnx import TensorProto, helper, numpy_helper

import rnntrace
from rnntrace.engine.judge.verdict import Verdict

pytestmark = [pytest.mark.usefixtures("folder"), pytest.mark.slow]


def quantised(module: torch.nn.Module) -> Any:
    """As torch quantises it dynamically, with its state_dict as q.pt."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = torch.ao.quantization.quantize_dynamic(
            torch.nn.ModuleDict({"rnn": module}).eval(), {type(module)}, dtype=torch.qint8
        )
        torch.save(found.state_dict(), "q.pt")
    return found["rnn"]


@pytest.mark.parametrize("seed", range(8))
def test_what_torchs_quantised_module_gives(seed: int) -> None:
    """Passes as rounded; beside it nothing does: a value that is off, the second half lost, another order of steps."""
    torch.manual_seed(seed)
    kind = (torch.nn.LSTM, torch.nn.GRU)[seed % 2]
    module = quantised(kind(5, (3, 8, 16, 32)[seed % 4], 1 + seed % 3, bidirectional=seed % 4 == 1))
    x = torch.randn(12, 2, 5) * (1, 0.3)[seed % 2]
    with torch.no_grad():
        output = module(x)[0].numpy()
    result = rnntrace.compare("q.pt", input=x.numpy(), expected=output)
    assert result.verdict is Verdict.ROUNDED, result.comparison.first_failure
    assert "integers of 8 bits" in " ".join(result.warnings)
    off, lost = output.copy(), output.copy()
    off[5, 1, 0] += 0.2
    lost[6:] = 0
    for wrong in (off, lost, np.roll(output, 1, 0)):
        assert rnntrace.compare("q.pt", input=x.numpy(), expected=wrong).verdict is Verdict.FAIL


def test_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """In the verdict, in inspect, and with --no-rounded."""
    torch.manual_seed(0)
    module = quantised(torch.nn.LSTM(3, 4))
    x = torch.randn(6, 1, 3)
    np.savez("x.npz", x=x.numpy())
    np.savez("y.npz", output=module(x)[0].detach().numpy())
    flags = ["compare", "q.pt", "--input", "x.npz", "--expected", "y.npz", "-q"]
    assert all_in(("PASS (rounded)", "or what activations of 7 bits explain"), ask(capsys, *flags).out)
    assert ask(capsys, *flags, "--no-rounded").code == 1
    assert "integers of 8 bits" in ask(capsys, "inspect", "q.pt").out
    assert ask(capsys, "compare", "q.pt", "-q", "--seed", "1").code == 0


def test_two_layers_or_two_directions(capsys: pytest.CaptureFixture[str]) -> None:
    """Of equal sizes the file does not tell."""
    quantised(torch.nn.LSTM(4, 4, 2))
    assert all_in(("two layers, or of two directions", "before they were quantised"), refused(capsys, "inspect", "q.pt"))


def saved(directions: int, hidden: int, *, columns: bool, scale: float = 0.01) -> Path:
    """A DynamicQuantizeLSTM of random integers, with one scale for each direction or for each column."""
    random = np.random.default_rng(0)
    shape = (directions, 4 * hidden) if columns else (directions,)
    arrays = {
        "W": random.integers(-100, 100, (directions, 3, 4 * hidden)).astype(np.int8),
        "R": random.integers(-100, 100, (directions, hidden, 4 * hidden)).astype(np.int8),
        "B": random.normal(size=(directions, 8 * hidden)).astype("f"),
        **{f"{name}_scale": (scale * random.uniform(0.5, 1, shape)).astype("f") for name in "WR"},
        **{f"{name}_zero": np.zeros(shape, np.int8) for name in "WR"},
    }
    inputs = ["X", "W", "R", "B", "", "", "", "", "W_scale", "W_zero", "R_scale", "R_zero"]
    node = helper.make_node(
        "DynamicQuantizeLSTM",
        inputs,
        ["Y"],
        name="lstm",
        domain="com.microsoft",
        hidden_size=hidden,
        direction="bidirectional" if directions == 2 else "forward",
    )
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in (("X", ("t", "b", 3)), ("Y", None))
    ]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [numpy_helper.from_array(a, name) for name, a in arrays.items()])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    Path("q.onnx").write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return Path("q.onnx")


@pytest.mark.parametrize(("directions", "columns"), [(1, False), (2, False), (1, True), (2, True)])
def test_what_onnx_runtimes_quantised_lstm_gives(directions: int, columns: bool) -> None:
    """Passes as rounded, and nothing beside it."""
    path = saved(directions, 6, columns=columns, scale=0.005)
    x = np.random.default_rng(1).normal(size=(7, 2, 3)).astype("f")
    Y = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"X": x})[0]
    result = rnntrace.compare(path, input=x, expected={"Y": Y})
    assert result.verdict is Verdict.ROUNDED, result.comparison
    wrong = Y.copy()
    wrong[3, 0, 1, 2] += 0.3
    for other in (wrong, np.zeros_like(Y), np.roll(Y, 1, 0)):
        assert rnntrace.compare(path, input=x, expected={"Y": other}).verdict is Verdict.FAIL


def test_a_quantised_node_without_its_scales_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what is missing."""
    node = helper.make_node("DynamicQuantizeLSTM", ["X", "W", "R"], ["Y"], domain="com.microsoft", name="q", hidden_size=2)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "XY"]
    stored = [
        numpy_helper.from_array(np.ones((1, 3, 8), np.int8), "W"),
        numpy_helper.from_array(np.ones((1, 2, 8), np.int8), "R"),
    ]
    Path("q.onnx").write_bytes(
        helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], stored)).SerializeToString()
    )
    assert all_in(("DynamicQuantizeLSTM node q", "it has no W_scale"), refused(capsys, "compare", "q.onnx"))
