"""The .safetensors format, through its own library."""

import math
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import deserialize, safe_open
from safetensors.numpy import save

from rnntrace.files.tensors import Tensors, check_size, reading
from rnntrace.model.dtypes import Array

METADATA = "rnntrace"
"""Key under which a file that we write holds its metadata."""
_FORMATS = {
    "F64": ("float64", "<f8"),
    "F32": ("float32", "<f4"),
    "F16": ("float16", "<f2"),
    "BF16": ("bfloat16", "<u2"),
    "I64": ("int64", "<i8"),
    "I32": ("int32", "<i4"),
    "I16": ("int16", "<i2"),
    "I8": ("int8", "i1"),
    "U8": ("uint8", "u1"),
}


def read(path: Path, kind: str) -> Tensors:
    """Every tensor by name; float16 and bfloat16 become float32, integers float64."""
    arrays: dict[str, Array] = {}
    dtypes: dict[str, str] = {}
    refused: dict[str, str] = {}
    total = 0
    with reading(kind):
        entries: list[tuple[str, dict[str, Any]]] = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
        # The library gives them in another order each time.
        for name, entry in sorted(entries, key=itemgetter(0)):
            dtype, shape, data = entry["dtype"], entry["shape"], entry["data"]
            if dtype in _FORMATS:
                # Small integers become eight times as large.
                total += math.prod(shape)
                check_size(total, "everything together")
                dtypes[name], code = _FORMATS[dtype]
                arrays[name] = _as_float(np.frombuffer(data, code).reshape(shape), dtype)
            else:
                refused[name] = f"a tensor of {dtype}"
        with safe_open(path, framework="numpy") as file:
            metadata = (file.metadata() or {}).get(METADATA, "")
    return Tensors(arrays, dtypes, refused, metadata)


def _as_float(values: NDArray[Any], dtype: str) -> Array:
    if dtype == "BF16":
        # A bfloat16 is the upper half of a float32.
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32 if dtype in ("F32", "F16") else np.float64)


def dump(arrays: Mapping[str, Array], metadata: str) -> bytes:
    """The content of a .safetensors file."""
    content: bytes = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {METADATA: metadata})
    return content
