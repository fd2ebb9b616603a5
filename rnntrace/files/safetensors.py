"""The .safetensors format. Its own library checks what is read; https://huggingface.co/docs/safetensors describes it."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import deserialize, safe_open

from rnntrace.files.tensors import SHORT, Tensors, Total, check_distinct, check_text, mapping, reading, stays_in_file
from rnntrace.files.writing import pieces_of
from rnntrace.model.dtypes import Array

METADATA = "rnntrace"
"""Key under which a file that we write holds its metadata."""
_FORMATS = {
    "I64": ("int64", "<i8"),
    "F64": ("float64", "<f8"),
    "F32": ("float32", "<f4"),
    "I32": ("int32", "<i4"),
    "BF16": ("bfloat16", "<u2"),
    "F16": ("float16", "<f2"),
    "I16": ("int16", "<i2"),
    "I8": ("int8", "|i1"),
    "U8": ("uint8", "|u1"),
}
"""In the order in which the library lays tensors in a file, so that each starts at a multiple of its numbers' size."""

Entry = tuple[str, Mapping[str, Any]]
"""A tensor by name: its dtype, its shape and its data."""


def read(path: Path, kind: str, total: Total | None = None) -> Tensors:
    """Every tensor by name; float16 and bfloat16 become float32, integers float64. All count against `total`."""
    text = metadata(path, kind)
    with reading(kind):
        entries: list[Entry] = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
        # The library gives them in another order each time.
        return _gathered(sorted(entries, key=itemgetter(0)), text, total)


def mapped(path: Path, kind: str) -> Tensors:
    """As `read`, with long tensors left in the file."""
    text = metadata(path, kind)
    with reading(kind), path.open("rb") as file:
        return _gathered(_placed(file), text)


def metadata(path: Path, kind: str) -> str:
    """The metadata, empty where there are none. The library refuses a header that does not describe the file to its end."""
    with reading(kind):
        with path.open("rb") as file:
            check_text(int.from_bytes(file.read(8), "little"), "its header")
        with safe_open(path, framework="numpy") as opened:
            text: str = (opened.metadata() or {}).get(METADATA, "")
        with path.open("rb") as file:
            # The library takes the last of two entries of one name.
            json.loads(file.read(int.from_bytes(file.read(8), "little")), object_pairs_hook=_distinct)
        return text


def write(file: BinaryIO, arrays: Mapping[str, Array], metadata: str) -> None:
    """Write the bytes that the library would, with no more in memory than a piece of an array.

    First the length of the header, in 8 bytes; the header, JSON and blanks up to a multiple of 8; then all data, without gaps.
    """
    codes = {np.dtype(code).str: code_name for code_name, (name, code) in _FORMATS.items() if name != "bfloat16"}
    ranks = list(_FORMATS)
    header: dict[str, Any] = {"__metadata__": {METADATA: metadata}}
    order = sorted(arrays, key=lambda name: (ranks.index(codes[arrays[name].dtype.str]), name))
    at = 0
    for name in order:
        array = arrays[name]
        header[name] = {
            "dtype": codes[array.dtype.str],
            "shape": array.shape,
            "data_offsets": (at, at := at + array.nbytes),
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        for piece in pieces_of(arrays[name]):
            file.write(piece)


def _distinct(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises FileError if a name stands in it twice."""
    check_distinct(name for name, _ in entries)
    return dict(entries)


def _placed(file: BinaryIO) -> Iterator[Entry]:
    """The tensors of a file whose header was checked: slices of the mapped file."""
    content = mapping(file)
    start = 8 + int.from_bytes(content[:8].tobytes(), "little")
    header: dict[str, Any] = json.loads(content[8:start].tobytes())
    header.pop("__metadata__", None)
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        yield name, {**entry, "data": content[start + first : start + last]}


def _gathered(entries: Iterable[Entry], metadata: str, total: Total | None = None) -> Tensors:
    arrays: dict[str, Array] = {}
    dtypes: dict[str, str] = {}
    refused: dict[str, str] = {}
    total = total or Total()
    for name, entry in entries:
        dtype, shape, data = entry["dtype"], entry["shape"], entry["data"]
        if dtype not in _FORMATS:
            refused[name] = f"a tensor of {dtype}"
            continue
        dtypes[name], code = _FORMATS[dtype]
        if len(data) >= SHORT and stays_in_file(data, code):
            arrays[name] = data.view(code).reshape(shape)
        else:
            # Small integers become eight times as large.
            total.add(math.prod(shape), name)
            arrays[name] = _as_float(np.frombuffer(data, code).reshape(shape), dtype)
    return Tensors(arrays, dtypes, refused, metadata)


def _as_float(values: NDArray[Any], dtype: str) -> Array:
    if dtype == "BF16":
        # A bfloat16 is the upper half of a float32.
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32 if dtype in ("F32", "F16") else np.float64)
