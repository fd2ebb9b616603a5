"""Every command of the table "my weights are from" in docs/files.md, on such a file: it reads the LSTM that was written."""

import json
import re
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import ask
from torch import nn

from rnntrace.model.dtypes import Array

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("folder")]

I, H, T, B = 3, 4, 5, 2
PAGE = Path(__file__).parents[2] / "docs" / "files.md"


def commands() -> dict[str, str]:
    """The command of each row by what the weights are from; rows without one say what to do first."""
    rows = re.findall(
        r"^\| ([^|]+) \| (.*) \|$", PAGE.read_text().partition("| my weights are from")[2].partition("\n\n")[0], re.M
    )
    found = {where: re.findall(r"`(rnntrace compare [^`]+)`", told) for where, told in rows}
    return {where: line for where, lines in found.items() for line in lines}


def module() -> nn.LSTM:
    """The same for every file."""
    torch.manual_seed(0)
    return nn.LSTM(I, H)


def by_gate() -> dict[str, Array]:
    """Its arrays, one a gate, with one bias: W_ix (H, I), W_ih (H, H), b_i (H,)."""
    W, R, b, c = (array.detach().numpy() for array in module().parameters())
    found: dict[str, Array] = {}
    for number, gate in enumerate("ifgo"):
        rows = slice(number * H, (number + 1) * H)
        found |= {f"W_{gate}x": W[rows], f"W_{gate}h": R[rows], f"b_{gate}": b[rows] + c[rows]}
    return found


def stacked(order: str, axis: int = 0) -> tuple[Array, Array, Array]:
    """Its matrices and its one bias with the gates in this order, below one another or side by side."""
    found = by_gate()
    W, R = (np.concatenate([found[f"W_{gate}{of}"] for gate in order]) for of in "xh")
    return (W.T, R.T, bias(order)) if axis else (W, R, bias(order))


def bias(order: str) -> Array:
    """The one bias."""
    found = by_gate()
    return np.concatenate([found[f"b_{gate}"] for gate in order])


def of_torch() -> None:
    torch.save({"state_dict": {f"model.{name}": array for name, array in module().state_dict().items()}}, "model.pt")


def of_safetensors() -> None:
    from safetensors.torch import save_file

    save_file(module().state_dict(), "model.safetensors")


def of_keras(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras

        keras.utils.clear_session(free_memory=False)
        model = keras.Sequential([keras.layers.Input((T, I)), keras.layers.LSTM(H, return_sequences=True)])
        model.set_weights(stacked("ifgo", 1))
        (model.save if name.startswith("model") else model.save_weights)(name)
        Path("model.json").write_text(model.to_json())


def of_arrays(order: str) -> None:
    kernel, recurrent, b = stacked(order, 1)
    np.savez("w.npz", kernel=kernel, recurrent_kernel=recurrent, bias=b)


def of_onnx() -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    W, R, b = stacked("iofg")
    arrays = {"W": W[None], "R": R[None], "B": np.concatenate([b, np.zeros_like(b)])[None]}
    node = helper.make_node("LSTM", ["X", "W", "R", "B"], ["Y"], hidden_size=H)
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, (T, B, I))
    y = helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in arrays.items()]
    onnx.save(helper.make_model(helper.make_graph([node], "lstm", [x], [y], stored)), "model.onnx")


def of_tf1() -> None:
    kernel, recurrent, b = stacked("igfo", 1)
    # forget_bias is added when it runs.
    b = b - np.repeat(np.array([0, 0, 1, 0], "f"), H)
    np.savez("w.npz", kernel=np.concatenate([kernel, recurrent]), bias=b)


def of_matlab() -> None:
    from scipy.io import savemat

    W, R, b = stacked("ifgo")
    savemat("net.mat", {"InputWeights": W, "RecurrentWeights": R, "Bias": b[:, None]})


def of_a_course() -> None:
    Wx, Wh, b = stacked("ifog", 1)
    np.savez("w.npz", Wx=Wx, Wh=Wh, b=b)


def of_ones_own_names() -> None:
    np.savez("w.npz", **by_gate())


def of_a_port() -> None:
    torch.save(nn.LSTM(I, 8).state_dict(), "w.pt")
    lstm = nn.LSTM(I, 8)
    lstm.load_state_dict(torch.load("w.pt"))
    x = torch.randn(T, I)
    np.savetxt("x.csv", x.numpy(), delimiter=",")
    h = lstm(x)[0].detach().numpy()
    np.savetxt("dump.csv", np.column_stack([np.arange(1, T + 1), h]), delimiter=",")


WRITERS: dict[str, Callable[[], None]] = {
    "torch, a state_dict or a whole checkpoint (Lightning's too)": of_torch,
    "safetensors, in one file or several": of_safetensors,
    "Keras, a model": lambda: of_keras("model.keras"),
    "Keras, weights alone": lambda: of_keras("w.weights.h5"),
    "Keras, `get_weights()` or kernels in .npz": lambda: of_arrays("ifgo"),
    "ONNX": of_onnx,
    "TensorFlow 1's cells": of_tf1,
    "MATLAB": of_matlab,
    "another framework's plain arrays (flax, CNTK, …)": lambda: of_arrays("ifgo"),
    "a course": of_a_course,
    "a matrix for each gate, names of your own": of_ones_own_names,
    "a C port that prints a CSV": of_a_port,
}


def test_every_row_is_tried() -> None:
    """A new row needs a file here."""
    assert [*commands()] == [*WRITERS]


@pytest.mark.parametrize("where", WRITERS)
def test_the_command_reads_the_module(where: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its input, recurrent and bias parameters in the right places: the output is that of torch's module."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    WRITERS[where]()
    words = shlex.split(commands()[where])[1:]
    if "--expected" in words:
        answer = ask(capsys, *words, "--format", "json")
        assert answer.code == 0, answer
        return
    x = np.random.default_rng(0).normal(size=(T, B, I)).astype("f")
    with torch.no_grad():
        output = module()(torch.from_numpy(x))[0].numpy()
    batch_first = words[1].endswith((".keras", ".h5")) or where == "a course"
    for name, array in (("x.npy", x), ("y.npy", output)):
        np.save(name, array.swapaxes(0, 1) if batch_first else array)
    answer = ask(capsys, *words, "--input", "x.npy", "--expected", "y.npy", "--format", "json")
    assert answer.code == 0, answer
    told = json.loads(answer.out)
    assert (told["spec"]["kind"], told["spec"]["input_size"], told["spec"]["hidden_size"]) == ("LSTM", I, H)
