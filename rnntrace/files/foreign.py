"""Formats that are known and not read: what a file is, and what to give instead."""

import re
from collections.abc import Collection, Mapping
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from rnntrace.errors import FileError
from rnntrace.files.protobuf import fields

HEADS: tuple[tuple[int, bytes, str], ...] = (
    (4, b"TFL3", "a TensorFlow Lite model, which is not read: give the Keras model that it was made from (.keras or .h5)"),
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
    (r"(?:.*/)?saved_model\.pb", "a TensorFlow SavedModel, which is not read: save the Keras model as .keras or .h5"),
    (r"(?:.*/)?[^/]*\.mlmodel", "a Core ML package, which is not read: give the model that it was made from"),
)
"""By the name of a member of an archive."""
SAVED_MODEL, CORE_ML = MEMBERS[0][1], MEMBERS[1][1].replace("package", "model")
MOST = 100
"""Fields of a message that are looked at."""
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
        raise FileError(f"this is {MEMBERS[1][1]}")


def check_document(content: Mapping[str, Any]) -> None:
    """Raises FileError for a JSON object that describes a model and holds no numbers."""
    keys = content.keys()
    if "modelTopology" in keys or "weightsManifest" in keys:
        what = "a TensorFlow.js model, whose weights lie in .bin files beside it: give the Keras model that it was made from"
    elif "weight_map" in keys:
        what = "the index of weights in several .safetensors, which is followed from a file alone: give its name"
    elif {"class_name", "config"} <= keys:
        what = (
            "the architecture of a Keras model, without its weights: give their file, and this as `config` beside weights alone"
        )
    else:
        return
    raise FileError(f"this is {what}")


def check_protobuf(path: Path) -> None:
    """Raises FileError for other models in protobuf than ONNX', by the numbers of their fields; it has no magic bytes.

    A SavedModel has the fields 1 and 2 alone, and Core ML's models are fields from 200 on.
    """
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        # What is cut off or damaged is for the library to say.
        found = [(number, end) for number, _, end in islice(fields(content, 0, len(content)), MOST)]
        whole = not found or len(found) == MOST or found[-1][1] == len(content)
    numbers = {number for number, _ in found}
    if not whole or ONNX_GRAPH in numbers:
        return
    if numbers == {1, 2}:
        raise FileError(f"this is {SAVED_MODEL}")
    if any(200 <= number < 10_000 for number in numbers):
        raise FileError(f"this is {CORE_ML}")
