"""Long initializers of an ONNX model, which stay in the file while its graph is read.

protobuf gives back no part of a message: a model with all its numbers would be there as long as the weights that are made of
them.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import onnx

from rnntrace.files.onnx_graph import GRAPH, INITIALIZER, INSIDE, MODEL, check_counts
from rnntrace.files.protobuf import BYTES, GROUPS, fields, written
from rnntrace.files.tensors import SHORT

RAW_DATA = 9
"""The field of a tensor that holds its numbers as bytes; https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3."""

Long = Mapping[str, Callable[[], Any]]
"""Initializers by name: each gives the tensor with its numbers."""


class _Unusual(Exception):
    """A field that is not written as protobuf's own writers do."""


def opened(path: Path) -> tuple[Any, Long]:
    """A model, and those initializers of its graph that stand in it without their numbers. Raises FileError."""
    places: list[tuple[int, int]] = []
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        check_counts(content)
        try:
            short = b"".join(_shortened(content, 0, len(content), MODEL, places))
        except _Unusual:
            return onnx.load_model_from_string(content[:]), {}
    model = onnx.load_model_from_string(short)
    found = zip(model.graph.initializer, places, strict=True)
    return model, {
        tensor.name: partial(_whole, path, tensor.name, *place) for tensor, place in found if place[1] - place[0] >= SHORT
    }


def _shortened(content: mmap, start: int, end: int, message: str, places: list[tuple[int, int]]) -> Iterator[bytes]:
    """The message once more, without the numbers of long initializers; `places` are where each initializer starts and ends."""
    at = start
    for number, first, last in fields(content, start, end):
        inner = INSIDE[message].get(number) if message in (MODEL, GRAPH) else None
        wanted = inner in (GRAPH, INITIALIZER)
        # In a group, or where its length is not that of what follows, other readers find other fields.
        if content[at] & 7 in GROUPS or (wanted and content[at:first] != written(number, last - first)):
            raise _Unusual
        if inner == INITIALIZER:
            places.append((first, last))
        if inner == GRAPH or (inner == INITIALIZER and last - first >= SHORT):
            piece = b"".join(_shortened(content, first, last, str(inner), places))
            yield written(number, len(piece)) + piece
        elif message != INITIALIZER or number != RAW_DATA or content[at] & 7 != BYTES:
            yield content[at:last]
        at = last
    yield content[at:end]


def _whole(path: Path, name: str, start: int, end: int) -> Any:
    """A tensor with its numbers."""
    with path.open("rb") as file:
        file.seek(start)
        tensor = onnx.TensorProto.FromString(file.read(end - start))
    if tensor.name != name:
        raise ValueError("it was changed while it was read")
    return tensor
