"""Arrays as files in every format that is read."""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import safetensors.numpy
import torch

from rnntrace.model.dtypes import Array


def drawn(*shape: int) -> Array:
    """Numbers that float32 holds exactly, always the same."""
    found: Array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return found


def lstm(dtype: torch.dtype = torch.float32, **options: Any) -> torch.nn.LSTM:
    """An LSTM(3, 2), always with the same weights."""
    torch.manual_seed(0)
    return torch.nn.LSTM(3, 2, **options).to(dtype)


def parameters(module: torch.nn.Module) -> dict[str, Array]:
    """Its state_dict as arrays."""
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def pt_bytes(content: Any, **options: Any) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def old_pt_bytes(content: Any) -> bytes:
    """What torch.save wrote before it wrote zip archives."""
    return pt_bytes(content, _use_new_zipfile_serialization=False)


def npy_bytes(array: Any) -> bytes:
    """What numpy.save writes."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz_bytes(arrays: Mapping[str, Any], write: Callable[..., None] = np.savez) -> bytes:
    """What numpy.savez writes."""
    buffer = io.BytesIO()
    write(buffer, **arrays)
    return buffer.getvalue()


def _tensors(arrays: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


NAMED: dict[str, Callable[[Mapping[str, Array]], bytes]] = {
    "pt": lambda arrays: pt_bytes(_tensors(arrays)),
    "old pt": lambda arrays: old_pt_bytes(_tensors(arrays)),
    "safetensors": lambda arrays: safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()}),
    "npz": npz_bytes,
    "compressed npz": lambda arrays: npz_bytes(arrays, np.savez_compressed),
    "json": lambda arrays: json.dumps({name: array.tolist() for name, array in arrays.items()}).encode(),
}
"""Files of arrays with names."""

UNNAMED: dict[str, Callable[[Array], bytes]] = {
    "npy": npy_bytes,
    "npy in Fortran order": lambda array: npy_bytes(np.asfortranarray(array)),
    "big-endian npy": lambda array: npy_bytes(array.astype(array.dtype.newbyteorder(">"))),
    "json list": lambda array: json.dumps(array.tolist()).encode(),
    "pt tensor": lambda array: pt_bytes(torch.from_numpy(array)),
    "csv": lambda array: "".join(",".join(map(repr, row)) + "\n" for row in array.tolist()).encode(),
}
"""Files of one array without a name; .csv holds tables alone."""


def single(how: str, array: Array) -> bytes:
    """A file of one array, under any name where the format has names."""
    return NAMED[how]({"anything": array}) if how in NAMED else UNNAMED[how](array)
