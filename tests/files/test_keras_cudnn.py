"""CuDNNLSTM and CuDNNGRU of Keras 2, in files written by hand from torch's weights, which lie as cuDNN's own do.

torch hands its parameters to cuDNN as they are: gate by gate, each matrix (H, I) row after row. Keras 2 kept the numbers of
each gate in this order, in an array that is shaped as its own kernel.
"""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused
from torch import nn

from rnntrace.model.dtypes import Array

pytestmark = pytest.mark.usefixtures("folder")
ORDER = {"LSTM": "ifgo", "GRU": "zrn"}
TORCH = {"LSTM": "ifgo", "GRU": "rzn"}


def blocks_of(kind: str, array: Array) -> list[Array]:
    """torch's blocks in Keras' order."""
    by_gate = dict(zip(TORCH[kind], np.split(array, len(TORCH[kind])), strict=True))
    return [by_gate[gate] for gate in ORDER[kind]]


def stored(module: Any, suffix: str = "") -> dict[str, Array]:
    """The arrays of one direction as Keras 2 writes them."""
    kind = type(module).__name__
    state = {name: value.detach().numpy() for name, value in module.named_parameters()}
    kernel, recurrent = (
        np.hstack([block.reshape(block.shape[::-1]) for block in blocks_of(kind, state[f"weight_{part}_l0{suffix}"])])
        for part in ("ih", "hh")
    )
    biases = [block for part in ("ih", "hh") for block in blocks_of(kind, state[f"bias_{part}_l0{suffix}"])]
    return {"kernel:0": kernel, "recurrent_kernel:0": recurrent, "bias:0": np.concatenate(biases)}


def written(module: Any, *, whole: bool = True, **options: Any) -> Path:
    """A model of one layer as Keras 2.2.4 wrote it."""
    kind, owner = type(module).__name__, f"cu_dnn{type(module).__name__.lower()}_1"
    layer = {"class_name": f"CuDNN{kind}", "config": {"name": owner, "units": 4, "return_sequences": True, **options}}
    arrays = {f"{owner}/{name}": array for name, array in stored(module).items()}
    if module.bidirectional:
        layer = {
            "class_name": "Bidirectional",
            "config": {"name": "bidirectional_1", "merge_mode": "concat", "layer": layer, "return_sequences": True},
        }
        ways = (("forward", ""), ("backward", "_reverse"))
        arrays = {
            f"bidirectional_1/{way}_{owner}/{name}": array
            for way, suffix in ways
            for name, array in stored(module, suffix).items()
        }
    name = layer["config"]["name"]
    with h5py.File("cudnn.h5", "w") as file:
        file.attrs["keras_version"] = "2.2.4"
        if whole:
            file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [layer]})
        root = file.create_group("model_weights") if whole else file
        root.attrs["layer_names"] = [name.encode()]
        group = root.create_group(name)
        group.attrs["weight_names"] = [key.encode() for key in arrays]
        for key, array in arrays.items():
            group[key] = array
    return Path("cudnn.h5")


@pytest.mark.parametrize("whole", [True, False], ids=["model", "weights alone"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both directions"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_torchs_weights_as_cudnn_has_them(
    kind: str, bidirectional: bool, whole: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The outputs of torch PASS, one that is wrong fails, and the layer is said to be cuDNN's."""
    torch.manual_seed(1)
    module = getattr(nn, kind)(3, 4, batch_first=True, bidirectional=bidirectional)
    x = torch.randn(2, 5, 3)
    output = module(x)[0].detach().numpy()
    path = written(module, whole=whole)
    np.savez("x.npz", x=x.numpy())
    for wrong in (0, 0.01):
        output[1, 3, 2] += wrong
        np.savez("y.npz", output=output)
        answer = ask(capsys, "compare", path, "--input", "x.npz", "--expected", "y.npz", "-q")
        assert answer.code == bool(wrong), answer.err
        assert "a CuDNN layer" in answer.err
        assert not wrong or "t=4, item 1, unit 2" in answer.out


def test_it_has_the_gates_of_cudnn(capsys: pytest.CaptureFixture[str]) -> None:
    """Sigmoid ones, whatever that Keras' plain layers have, and the reset gate behind the product; inspect says so."""
    path = written(nn.GRU(3, 4), whole=False)
    found = json.loads(ask(capsys, "inspect", path, "-f", "json").out)["modules"][0]
    assert (found["spec"]["reset_after"], found["spec"]["recurrent_activation"], found["parameters"]) == (True, "sigmoid", 108)
    assert "a CuDNN layer" in ask(capsys, "inspect", path).out


def test_arrays_that_are_not_cudnns_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A GRU that is declared to reset before the product has no two biases in one vector."""
    path = written(nn.GRU(3, 4))
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"][0]["class_name"] = "GRU"
        config["config"][0]["config"]["reset_after"] = False
        file.attrs["model_config"] = json.dumps(config)
    assert all_in(("bias should have shape (12,), and has shape (24,)",), refused(capsys, "compare", path, "--seed", "1"))
