"""numpy's .npy and .npz. Never unpickled, and headers are checked against what the file really holds."""

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import FileError
from rnntrace.files.tensors import Tensors, check_size, reading
from rnntrace.model.dtypes import Array

METADATA = "metadata.json"
"""Key under which an .npz that we write holds its metadata, as the bytes of a JSON text."""
NUMBERS = "fiub"
"""numpy's kinds of dtype that are read: floats, integers, truth values."""
VERSIONS = ((1, 0), (2, 0), (3, 0))
"""Those of the .npy format that there are."""


def read(path: Path, kind: str) -> Tensors:
    """The arrays of an .npz by key, or the one of an .npy under the empty name."""
    arrays: dict[str, Array] = {}
    dtypes: dict[str, str] = {}
    refused: dict[str, str] = {}
    metadata = ""
    total = 0
    with reading(kind):
        for name, content in _members(path, kind):
            dtype = _checked_header(content)
            if dtype.kind in NUMBERS:
                array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
                if name == METADATA:
                    metadata = array.tobytes().decode()
                    continue
                # Small integers become eight times as large.
                total += array.size
                check_size(total, "everything together")
                arrays[name], dtypes[name] = _as_float(array), dtype.name
            else:
                refused[name] = f"an array of {dtype}"[:60]
    return Tensors(arrays, dtypes, refused, metadata)


def dump(arrays: Mapping[str, Array], metadata: str) -> bytes:
    """The content of an .npz."""
    buffer = io.BytesIO()
    text = np.frombuffer(metadata.encode(), np.uint8)
    np.savez(buffer, allow_pickle=False, **{METADATA: text}, **arrays)
    return buffer.getvalue()


def _members(path: Path, kind: str) -> Iterator[tuple[str, bytes]]:
    if kind == "npy":
        yield "", path.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            yield member.filename.removesuffix(".npy"), archive.read(member)


def _checked_header(content: bytes) -> np.dtype[Any]:
    """The dtype of an array, once its header promises no more than the content has."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in VERSIONS:
        raise FileError("version {}.{} of the .npy format is unknown: save it in version 1.0 to 3.0".format(*version))
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    values = math.prod(shape)
    check_size(values)
    if dtype.kind in NUMBERS and values * dtype.itemsize > len(content):
        raise FileError(f"an array of {values:,} values is announced, and {len(content):,} bytes are there")
    return dtype


def _as_float(array: NDArray[Any]) -> Array:
    """Floats of up to 4 bytes as float32, which holds them exactly; everything else as float64."""
    narrow = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    return np.array(array, np.float32 if narrow else np.float64)
