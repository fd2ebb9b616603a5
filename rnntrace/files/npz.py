"""numpy's .npy and .npz. Never unpickled."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import FileError
from rnntrace.files import Tensors
from rnntrace.model.dtypes import Array

METADATA = "metadata.json"
"""Key under which an .npz that we write holds its metadata, as the bytes of a JSON text."""


def read(path: Path, kind: str) -> Tensors:
    """The arrays of an .npz by key, or the one of an .npy under the empty name."""
    try:
        if kind == "npy":
            # Mapped, not read: a header that promises more than the file holds fails here.
            arrays = {"": np.lib.format.open_memmap(path, mode="r")}
        else:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files if name != METADATA}
    except (ValueError, OSError, EOFError, KeyError, SyntaxError, zipfile.BadZipFile) as error:
        raise FileError(f"not a readable .{kind}: {str(error).partition(chr(10))[0]}") from None
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise FileError(f"the array {name!r} holds {array.dtype}, and numbers were expected")
    return Tensors(
        {name: _as_float(array) for name, array in arrays.items()},
        {name: array.dtype.name for name, array in arrays.items()},
    )


def dump(arrays: Mapping[str, Array], metadata: str) -> bytes:
    """The content of an .npz."""
    buffer = io.BytesIO()
    text = np.frombuffer(metadata.encode(), np.uint8)
    np.savez(buffer, allow_pickle=False, **{METADATA: text}, **arrays)
    return buffer.getvalue()


def _as_float(array: NDArray[Any]) -> Array:
    return np.array(array, np.float64 if array.dtype.itemsize > 4 or array.dtype.kind in "iub" else np.float32)
