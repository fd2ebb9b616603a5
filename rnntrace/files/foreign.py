"""Formats that are known and not read: what a file is, and what to give instead."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from rnntrace.errors import FileError

HEADS: tuple[tuple[int, bytes, str], ...] = (
    (4, b"TFL3", "a TensorFlow Lite model, which is not read: give the Keras model that it was made from (.keras or .h5)"),
    (
        0,
        b"MATLAB ",
        "a MATLAB file, which is not read: save its arrays as .csv, or as .npz with scipy.io.loadmat and numpy.savez",
    ),
    (512, b"\x89HDF", "HDF5 behind a block of another format, as MATLAB writes it: save its arrays as .csv or .npz"),
    (0, b"GGUF", "a GGUF file, which is not read: give the weights that it was made from (.pt or .safetensors)"),
    (0, b"\x1f\x8b", "compressed by gzip: unpack it first"),
    (0, b"BZh", "compressed by bzip2: unpack it first"),
    (0, b"\xfd7zXZ", "compressed by xz: unpack it first"),
    (0, b"(\xb5/\xfd", "compressed by zstd: unpack it first"),
    (0, b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (257, b"ustar", "a tar archive: unpack it first"),
)
"""By their first bytes: where these stand, the bytes, and what the file is."""
MEMBERS: tuple[tuple[str, str], ...] = (
    (
        r"[^/]*/constants\.pkl",
        "TorchScript, which holds code and is not read: type torch.save(torch.jit.load(f).state_dict(), 'w.pt') in Python",
    ),
    (
        r"(?:[^/]*/)?(?:archive_format|models/[^/]*\.json|serialized_exported_program\.json)",
        "a program of torch.export, which is not read: type torch.save(torch.export.load(f).state_dict, 'w.pt') in Python",
    ),
    (
        r"[^/]*/\.data/extern_modules",
        "a torch.package, which holds code and is not read: save the module's state_dict() with torch.save",
    ),
    (r"(?:.*/)?saved_model\.pb", "a TensorFlow SavedModel, which is not read: save the Keras model as .keras or .h5"),
    (r"(?:.*/)?[^/]*\.mlmodel", "a Core ML package, which is not read: give the model that it was made from"),
)
"""By the name of a member of an archive."""
SAVED_MODEL, CORE_ML = MEMBERS[3][1], MEMBERS[4][1].replace("package", "model")
ONNX_GRAPH = 7
"""The field of an ONNX model that is its graph; https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3."""


def check_head(head: bytes) -> None:
    """Raises FileError for the first bytes of a format that is known and not read."""
    for place, start, what in HEADS:
        if head[place:].startswith(start):
            raise FileError(f"this is {what}")


def check_members(names: Collection[str]) -> None:
    """Raises FileError for an archive that is no file of weights."""
    for pattern, what in MEMBERS:
        if any(re.fullmatch(pattern, name) for name in names):
            raise FileError(f"this is {what}")


def check_folder(path: Path) -> None:
    """Raises FileError for a folder that some framework takes for a model."""
    if (path / "saved_model.pb").is_file():
        raise FileError(f"this is {SAVED_MODEL}")
    if (path / "Manifest.json").is_file() and path.suffix == ".mlpackage":
        raise FileError(f"this is {MEMBERS[4][1]}")


def check_document(content: Mapping[str, Any]) -> None:
    """Raises FileError for a JSON object that describes a model and holds no numbers."""
    keys = content.keys()
    if "modelTopology" in keys or "weightsManifest" in keys:
        what = "a TensorFlow.js model, whose weights lie in .bin files beside it: give the Keras model that it was made from"
    elif "weight_map" in keys:
        what = "the index of weights in several .safetensors, which is not followed: give the one that holds the module"
    elif {"class_name", "config"} <= keys:
        what = "the architecture of a Keras model, without its weights: give the file of the weights (.keras or .h5)"
    else:
        return
    raise FileError(f"this is {what}")


def check_protobuf(file: BinaryIO) -> None:
    """Raises FileError for other models in protobuf than ONNX', by the numbers of their fields; it has no magic bytes.

    A SavedModel has the fields 1 and 2 alone, and Core ML's models are fields from 200 on.
    """
    fields = set(_fields(file))
    if ONNX_GRAPH in fields or not fields:
        return
    if fields == {1, 2}:
        raise FileError(f"this is {SAVED_MODEL}")
    if any(200 <= number < 10_000 for number in fields):
        raise FileError(f"this is {CORE_ML}")


def _fields(file: BinaryIO) -> Iterator[int]:
    """The numbers of the first fields of a message; none if it is no message from its start to its end."""
    size = file.seek(0, 2)
    file.seek(0)
    for _ in range(100):
        if file.tell() == size:
            return
        tag = _number(file)
        width = {0: 0, 1: 8, 2: None, 5: 4}.get(tag & 7, -1)
        skip = _number(file) if width in (None, 0) else width
        if width == -1 or skip is None:
            return
        yield tag >> 3
        end = file.tell() + (0 if width == 0 else skip)
        if end > size:
            return
        file.seek(end)


def _number(file: BinaryIO) -> int:
    """A whole number as protobuf writes it, seven bits a byte."""
    found = 0
    for place in range(10):
        byte = file.read(1)
        if not byte:
            break
        found |= (byte[0] & 127) << 7 * place
        if byte[0] < 128:
            break
    return found
