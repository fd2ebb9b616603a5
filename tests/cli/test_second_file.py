"""Two files: the first one and the flags say what is judged and how, and the second decides nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from commandline import all_in, ask, refused
from onnx import TensorProto, helper, numpy_helper
from torch import nn

pytestmark = pytest.mark.usefixtures("folder")


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, dict[str, Any]]:
    """The verdict line, and the JSON answer."""
    line = ask(capsys, "compare", *arguments, "-q")
    found: dict[str, Any] = json.loads(ask(capsys, "compare", *arguments, "-f", "json").out)
    assert line.code == (not found["passed"])
    assert line.out.startswith(f"{found['verdict']}  ")
    return line.out, found


def as_onnx(module: nn.Module, **options: Any) -> None:
    """An RNN or GRU of torch as a node in model.onnx."""
    state = {name.removesuffix("_l0"): value.numpy() for name, value in module.state_dict().items()}
    order = {"RNN": [0], "GRU": [1, 0, 2]}[kind := type(module).__name__]

    def brought(part: str) -> Any:
        return np.concatenate([np.split(state[part], len(order))[block] for block in order])

    arrays = {"W": brought("weight_ih")[None], "R": brought("weight_hh")[None]}
    arrays["B"] = np.concatenate([brought("bias_ih"), brought("bias_hh")])[None]
    node = helper.make_node(kind, ["X", *arrays], ["Y"], hidden_size=4, **options)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "XY"]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    onnx.save(helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], tensors)), "model.onnx")


@pytest.fixture
def rnn() -> nn.RNN:
    """An RNN as rnn.pt."""
    torch.manual_seed(0)
    module = nn.RNN(3, 4)
    torch.save(module.state_dict(), "rnn.pt")
    return module


# --- weights ----------------------------------------------------------------------------------------------------------


def test_another_activation_is_a_fail_by_name(rnn: nn.RNN, capsys: pytest.CaptureFixture[str]) -> None:
    """In either order; the same weights are said to be so; the flag settles what a state_dict does not tell."""
    as_onnx(rnn, activations=["Relu"])
    line, found = answer(capsys, "rnn.pt", "model.onnx", "--seed", "1")
    says = "the activation is tanh in rnn.pt, as no flag says otherwise, and relu in model.onnx"
    assert (found["verdict"], found["contradictions"], found["spec"]["nonlinearity"]) == ("FAIL", [says], "tanh")
    assert all_in((f"FAIL  {says}", "the values: FAIL"), line)
    assert ask(capsys, "compare", "rnn.pt", "model.onnx", "--nonlinearity", "relu", "-q").code == 0
    # A state_dict tells no activation that could differ.
    assert answer(capsys, "model.onnx", "rnn.pt", "--seed", "1")[1]["passed"]


def test_another_reset_is_a_fail_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """The same weights, and another equation."""
    torch.manual_seed(0)
    gru = nn.GRU(3, 4)
    torch.save(gru.state_dict(), "gru.pt")
    as_onnx(gru)
    for files, says in (
        (("gru.pt", "model.onnx"), "after the product in gru.pt, and before the product in model.onnx"),
        (("model.onnx", "gru.pt"), "before the product in model.onnx, and after the product in gru.pt"),
    ):
        line, found = answer(capsys, *files, "--input", "[[1, 2, 3], [3, 2, 1]]")
        assert found["verdict"] == "FAIL"
        assert found["warnings"] == [f"{files[0]} and {files[1]} hold the same weights"]
        assert f"FAIL  the reset gate acts {says}" in line
    as_onnx(gru, linear_before_reset=1)
    assert answer(capsys, "gru.pt", "model.onnx", "--seed", "1")[1]["verdict"] == "IDENTICAL"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_another_number_format_is_a_remark(rnn: nn.RNN, dtype: torch.dtype, capsys: pytest.CaptureFixture[str]) -> None:
    """Values are judged by the first file's tolerance, which a coarser second file does not widen."""
    name = str(dtype).removeprefix("torch.")
    torch.save({key: value.to(dtype) for key, value in rnn.state_dict().items()}, "second.pt")
    _, found = answer(capsys, "rnn.pt", "second.pt", "--seed", "1")
    assert (found["passed"], found["spec"]["dtype"], found["tolerance"]["rtol"]) == (name == "float64", "float32", 1.3e-6)
    assert f"second.pt is {name}, and is judged as float32, which rnn.pt is" in found["warnings"]


def test_nan_in_the_second_weights_is_no_pass(rnn: nn.RNN, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is infinity, which tanh makes 1 of: here in a unit that is saturated anyway."""
    state = rnn.state_dict()
    state["bias_ih_l0"][2] = 100
    torch.save(state, "first.pt")
    for value in (float("nan"), float("inf")):
        state["bias_ih_l0"][2] = value
        torch.save(state, "second.pt")
        for files in (("first.pt", "second.pt"), ("second.pt", "first.pt"), ("second.pt", "second.pt")):
            assert not answer(capsys, *files, "--seed", "1")[1]["passed"], (value, files)


# --- traces -----------------------------------------------------------------------------------------------------------


def traced(path: str, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """A run of an RNN or the kind given, saved."""
    kind = [] if flags and flags[0] in ("gru", "lstm") else ["rnn"]
    assert ask(capsys, "run", *kind, *flags, "--seed", "1", "-q", "--save", path).code == 0
    return path


@pytest.mark.slow
def test_traces_that_keep_other_quantities(capsys: pytest.CaptureFixture[str]) -> None:
    """States alone beside all gates, with and without terms: FAIL by name, in either order."""
    states = traced("states.npz", capsys, "lstm", "--keep", "states")
    gates = traced("gates.npz", capsys, "lstm")
    terms = traced("terms.npz", capsys, "lstm", "--keep", "terms")
    for pair in ((states, gates), (gates, states), (gates, terms), (terms, states)):
        line, found = answer(capsys, *pair)
        assert (found["verdict"], len(found["contradictions"])) == ("FAIL", 1), pair
        assert all_in((f"FAIL  {pair[0]} keeps ", f", and {pair[1]} keeps "), line)
    for path in (states, gates, terms):
        assert answer(capsys, path, path)[1]["verdict"] == "IDENTICAL"


def test_traces_with_other_lengths(capsys: pytest.CaptureFixture[str]) -> None:
    """FAIL by name."""
    first = traced("first.npz", capsys, "--batch", "2", "--lengths", "4,2")
    second = traced("second.npz", capsys, "--batch", "2", "--lengths", "4,3")
    whole = traced("whole.npz", capsys, "--batch", "2")
    full = traced("full.npz", capsys, "--batch", "2", "--lengths", "4,4")
    for pair in ((first, second), (second, first), (first, whole), (whole, first)):
        line, found = answer(capsys, *pair)
        assert (found["verdict"], "FAIL  the lengths of the sequences differ" in line) == ("FAIL", True)
    assert answer(capsys, whole, full)[1]["passed"]


def changed(source: str, target: str, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> str:
    """A copy of a trace with arrays or metadata changed."""
    with np.load(source) as archive:
        arrays = {name: archive[name] for name in archive.files}
    metadata = json.loads(arrays["metadata.json"].tobytes())
    change(arrays, metadata)
    arrays["metadata.json"] = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    np.savez(target, **arrays)
    return target


def test_traces_with_another_activation_or_format(capsys: pytest.CaptureFixture[str]) -> None:
    """The same values under another activation are a FAIL by name; another format is a remark and widens nothing."""
    first = traced("first.npz", capsys)
    relu = changed(first, "relu.npz", lambda _, metadata: metadata["spec"].update(nonlinearity="relu"))
    assert all_in(("FAIL  the activation is tanh in first.npz, and relu in relu.npz",), answer(capsys, first, relu)[0])
    coarse = changed(first, "coarse.npz", lambda _, metadata: metadata["spec"].update(dtype="bfloat16"))
    line, found = answer(capsys, first, coarse)
    # A trace that is said to be what it is not is a FAIL by itself.
    assert (found["verdict"], found["tolerance"]["rtol"]) == ("FAIL", 1.3e-6)
    assert all_in(("FAIL  coarse.npz: it is said to be bfloat16", "the values: IDENTICAL"), line)
    assert "coarse.npz is bfloat16, and is judged as float32, which first.npz is" in found["warnings"]

    def shift(arrays: dict[str, Any], metadata: dict[str, Any]) -> None:
        metadata["spec"]["dtype"] = "bfloat16"
        arrays["replay/0/forward/h"][2] *= 1.001

    assert answer(capsys, first, changed(first, "off.npz", shift))[1]["verdict"] == "FAIL"


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_trace_with_nan_passes(value: float, capsys: pytest.CaptureFixture[str]) -> None:
    """On either side or both, in values, in the input and in weights."""
    first = traced("first.npz", capsys, "lstm")
    for name in ("replay/0/forward/f", "replay/0/forward/h", "inputs/x", "inputs/c0", "weights/0/forward/W_ih"):

        def spoil(arrays: dict[str, Any], _: dict[str, Any], name: str = name) -> None:
            arrays[name] = arrays[name].copy()
            arrays[name].flat[1] = value

        second = changed(first, "second.npz", spoil)
        for pair in ((first, second), (second, first), (second, second)):
            assert not answer(capsys, *pair)[1]["passed"], (name, pair)


def test_terms_are_compared_where_both_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    """FAIL by name where one is another."""
    first = traced("first.npz", capsys, "gru", "--keep", "terms")

    def shift(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        arrays["replay/0/forward/n.recurrent"][1, 0, 1] += 0.1

    line, found = answer(capsys, first, changed(first, "second.npz", shift))
    assert (found["verdict"], "the terms differ, first n.recurrent, layer 0, forward, t=2, unit 1" in line) == ("FAIL", True)


def test_other_modules_are_still_refused(rnn: nn.RNN, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to compare value by value."""
    torch.save(nn.GRU(3, 4).state_dict(), "gru.pt")
    torch.save(nn.RNN(3, 5).state_dict(), "wide.pt")
    for other in ("gru.pt", "wide.pt"):
        assert all_in(("different modules",), refused(capsys, "compare", "rnn.pt", other))
    pair = traced("first.npz", capsys), traced("second.npz", capsys, "gru")
    assert all_in(("a trace of RNN", "one of GRU"), refused(capsys, "compare", *pair))
    assert Path("first.npz").exists()
