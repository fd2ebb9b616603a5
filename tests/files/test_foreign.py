"""Formats that are known and not read: each is called by its name, with what to give instead."""

import argparse
import gzip
import io
import json
import pickle
import struct
import tarfile
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from commandline import all_in, ask, refused
from onnx import TensorProto, helper

pytestmark = [pytest.mark.usefixtures("folder"), pytest.mark.slow]


def varint(number: int) -> bytes:
    """A whole number as protobuf writes it."""
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """A message of protobuf: numbers and byte strings by the numbers of their fields."""
    parts = []
    for number, value in fields:
        whole = isinstance(value, int)
        parts.append(varint(number << 3 | (0 if whole else 2)))
        parts.append(varint(value) if isinstance(value, int) else varint(len(value)) + value)
    return b"".join(parts)


def torch_bytes(content: Any) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def archive(*names: str) -> bytes:
    """A zip archive of empty members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name in names:
            opened.writestr(name, b"")
    return buffer.getvalue()


def tarred() -> bytes:
    """A tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as opened:
        opened.addfile(tarfile.TarInfo("w.npz"))
    return buffer.getvalue()


STATE = torch.nn.LSTM(3, 2).state_dict()
MORE = "more than weights"
FILES: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "TensorFlow Lite": (lambda: struct.pack("<I", 28) + b"TFL3" + bytes(100), ("TensorFlow Lite", ".keras or .h5")),
    "TensorFlow.js": (
        lambda: json.dumps({"format": "layers-model", "modelTopology": {"a": 1}, "weightsManifest": []}).encode(),
        ("TensorFlow.js", ".bin"),
    ),
    "Keras' architecture": (
        lambda: json.dumps({"class_name": "Sequential", "config": {"layers": []}, "keras_version": "2.2.0"}).encode(),
        ("architecture of a Keras model", "without its weights"),
    ),
    "a SavedModel": (lambda: message((1, 1), (2, message((1, b"graph"))), (2, b"more")), ("TensorFlow SavedModel",)),
    "a SavedModel in an archive": (lambda: archive("m/saved_model.pb", "m/variables/variables.index"), ("SavedModel",)),
    "Core ML": (lambda: message((1, 4), (2, message((1, b"in"))), (500, b"network")), ("Core ML",)),
    "Core ML of one layer": (lambda: message((1, 1), (2, b""), (10, 1), (300, b"")), ("Core ML",)),
    "gzip": (lambda: gzip.compress(b"weights"), ("gzip", "unpack")),
    "tar": (tarred, ("tar archive", "unpack")),
    "a pickle of an older protocol": (lambda: pickle.dumps([1.0], 2), ("it is a pickle", "numpy.savez")),
    "a path": (lambda: torch_bytes({"model": STATE, "args": argparse.Namespace(a=Path("a"))}), (MORE, "pathlib.")),
    "a namespace": (lambda: torch_bytes({"model": STATE, "args": types.SimpleNamespace(a=1)}), (MORE, "types.SimpleNamespace")),
    "numpy's generator": (
        lambda: torch_bytes({"model": STATE, "rng": np.random.default_rng(0)}),
        (MORE, "numpy.random._pickle", "of numpy"),
    ),
    "a whole module": (lambda: torch_bytes(torch.nn.LSTM(3, 2)), (MORE, "torch.nn.modules.rnn.LSTM", "state_dict()")),
    "a list of parameters": (
        lambda: torch_bytes([*STATE.values()]),
        ("found none by name", "a list of 4 without names", "(8, 3), (8, 2), (8,), (8,)"),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_format_that_is_not_read_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As weights, as an input and as outputs; the name of the file says nothing of it."""
    content, fragments = FILES[name]
    Path("file.bin").write_bytes(content())
    assert all_in(("file.bin", *fragments), refused(capsys, "compare", "file.bin"))
    assert all_in(fragments, refused(capsys, "inspect", "file.bin"))
    np.savez("w.npz", **{key: tensor.numpy() for key, tensor in STATE.items()})
    if name != "a list of parameters":
        assert all_in(fragments, refused(capsys, "compare", "w.npz", "--input", "file.bin", "--expected", "[[[1, 2]]]"))


@pytest.mark.parametrize(("member", "name", "says"), [
    ("saved_model.pb", "model", "TensorFlow SavedModel"),
    ("Manifest.json", "model.mlpackage", "Core ML package"),
    ("other.txt", "empty", "found a directory"),
])  # fmt: skip
def test_a_folder_that_is_a_model_is_named(member: str, name: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Frameworks save models as folders too."""
    Path(name).mkdir()
    Path(name, member).write_bytes(b"")
    assert says in refused(capsys, "inspect", name)


def test_onnx_is_still_onnx(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever fields its model has, among them one whose name is long, and those in another order."""
    graph = helper.make_graph([], "g", [], [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, producer_name="p" * 300, doc_string="d")
    model.metadata_props.add(key="k", value="v")
    content = model.SerializeToString()
    Path("m.onnx").write_bytes(content)
    assert "the model has no RNN, LSTM or GRU node" in refused(capsys, "inspect", "m.onnx")
    assert onnx.load("m.onnx").doc_string == "d"
    # What is damaged is for the library to say.
    for broken in (
        content[:-1],
        content[: len(content) // 2],
        b"\x08",
        b"\x08\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ):
        Path("m.onnx").write_bytes(broken)
        assert "Core ML" not in refused(capsys, "inspect", "m.onnx")


def test_objects_of_numbers_are_read_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    """A key named like one of a configuration is no configuration."""
    typed = {name: tensor.tolist() for name, tensor in STATE.items()} | {"config": [1.0]}
    assert ask(capsys, "compare", json.dumps(typed), "--seed", "1", "-q").code == 0
