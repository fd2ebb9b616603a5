"""Tensors of a kind that no module has: named where they are needed, and of no matter where they are not."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from commandline import all_in, refused
from formats import lstm, npz_bytes, parameters

import rnntrace

pytestmark = pytest.mark.usefixtures("folder")

EXPECTED = "should hold floats of 16, 32 or 64 bits, and holds"


def quantised(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in 8 bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


STRANGE: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "sparse": (lambda tensor: tensor.to_sparse(), "a sparse tensor"),
    "quantised": (quantised, "a quantised tensor"),
    "complex": (lambda tensor: tensor.to(torch.complex64), "complex numbers"),
    "integer": (lambda tensor: tensor.to(torch.int32), "int32"),
    "boolean": (lambda tensor: tensor > 0, "bool"),
    "meta": (lambda tensor: tensor.to("meta"), "a tensor on the device meta, without values"),
    "float8": (lambda tensor: tensor.to(torch.float8_e4m3fn), "float8_e4m3fn"),
}
IN_SAFETENSORS = {
    "complex64": "a tensor of C64",
    "bool": "a tensor of BOOL",
    "int32": "int32",
    "float8_e4m3fn": "a tensor of F8_E4M3",
    "uint16": "a tensor of U16",
}
IN_NPZ = {
    "complex64": "an array of complex64",
    "int32": "int32",
    "bool": "bool",
    "U5": "an array of <U5",
    "O": "an array of object",
    "i4,f4": "an array of [('f0', '<i4'), ('f1', '<f4')]",
}


@pytest.mark.parametrize("part", ["weight_ih_l0", "weight_hh_l0", "bias_hh_l0"])
@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_parameter_is_refused_by_name(kind: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Sparse, quantised, complex, integer and other such parameters are named, with what they are."""
    make, found = STRANGE[kind]
    state = dict(lstm().state_dict())
    torch.save({**state, part: make(state[part])}, "strange.pt")
    line = refused(capsys, "run", "lstm", "--weights", "strange.pt")
    assert all_in(("strange.pt", f"{part} {EXPECTED} {found}"), line)


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_biases_do_not_make_a_module_without_biases(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read is not passed over: the module in the file has biases."""
    make, found = STRANGE[kind]
    state = {name: make(tensor) if "bias" in name else tensor for name, tensor in lstm().state_dict().items()}
    torch.save(state, "strange.pt")
    line = refused(capsys, "run", "lstm", "--no-bias", "--weights", "strange.pt")
    assert f"bias_ih_l0 {EXPECTED} {found}" in line


@pytest.mark.parametrize("dtype", IN_SAFETENSORS)
def test_a_strange_parameter_in_safetensors_is_refused_by_name(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In this format too biases of another type are named and not passed over, the first of them by name."""
    state = dict(lstm().state_dict())
    strange = {name: torch.ones(8).to(getattr(torch, dtype)) for name in ("bias_ih_l0", "bias_hh_l0")}
    safetensors.torch.save_file(state | strange, "strange.safetensors")
    line = refused(capsys, "run", "lstm", "--no-bias", "--weights", "strange.safetensors")
    assert all_in(("strange.safetensors", f"bias_hh_l0 {EXPECTED} {IN_SAFETENSORS[dtype]}"), line)


@pytest.mark.parametrize("dtype", IN_NPZ)
def test_a_strange_parameter_in_npz_is_refused_by_name(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In this format too, objects and records among them."""
    Path("strange.npz").write_bytes(npz_bytes({**parameters(lstm()), "bias_ih_l0": np.ones(8).astype(dtype)}))
    line = refused(capsys, "run", "lstm", "--weights", "strange.npz")
    assert all_in(("strange.npz", f"bias_ih_l0 {EXPECTED} {IN_NPZ[dtype]}"), line)


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_tensors_of_other_layers_do_not_matter(kind: str) -> None:
    """Beside the module a file may hold anything."""
    make, _ = STRANGE[kind]
    torch.save({**lstm().state_dict(), "embedding.weight": make(torch.ones(3, 3))}, "model.pt")
    assert list(rnntrace.load("model.pt")) == [""]


@pytest.mark.parametrize("dtype", IN_NPZ)
def test_strange_arrays_beside_the_module_do_not_matter(dtype: str) -> None:
    """An .npz may hold names, counts, masks and objects as well as weights."""
    Path("model.npz").write_bytes(npz_bytes({**parameters(lstm()), "names": np.ones(3).astype(dtype)}))
    assert list(rnntrace.load("model.npz")) == [""]
