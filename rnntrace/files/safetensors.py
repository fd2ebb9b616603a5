"""The .safetensors format, through its own library."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from rnntrace.errors import FileError
from rnntrace.files import Tensors, show
from rnntrace.model.dtypes import Array

_FORMATS = {"F64": ("float64", "<f8"), "F32": ("float32", "<f4"), "F16": ("float16", "<f2"), "BF16": ("bfloat16", "<u2")}
_INTEGERS = {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}


def read(path: Path, kind: str) -> Tensors:
    """Every tensor by name; float16 and bfloat16 become float32, integers float64."""
    try:
        entries: list[tuple[str, dict[str, Any]]] = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise FileError(f"not a readable .{kind}: {show(str(error))}") from None
    arrays: dict[str, Array] = {}
    dtypes: dict[str, str] = {}
    for name, entry in entries:
        dtype, shape, data = entry["dtype"], entry["shape"], entry["data"]
        if dtype in _FORMATS:
            dtypes[name], code = _FORMATS[dtype]
            values = np.frombuffer(data, code).reshape(shape)
            if dtype == "BF16":
                # A bfloat16 is the upper half of a float32.
                arrays[name] = (values.astype(np.uint32) << 16).view(np.float32)
            else:
                arrays[name] = values.astype(np.float64 if dtype == "F64" else np.float32)
        elif dtype in _INTEGERS:
            dtypes[name] = dtype
            arrays[name] = np.frombuffer(data, _INTEGERS[dtype]).reshape(shape).astype(np.float64)
    return Tensors(arrays, dtypes)


def dump(arrays: Mapping[str, Array], metadata: str) -> bytes:
    """The content of a .safetensors file."""
    content: bytes = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {"rnntrace": metadata})
    return content
