"""torch's .pt and .pth: a state_dict, a tensor, or a mapping that holds one. Only weights are ever loaded, never code."""

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from rnntrace.errors import FileError
from rnntrace.files.tensors import Tensors, check_size, reading
from rnntrace.model.dtypes import Array
from rnntrace.model.limits import MAX_MEMBERS

DEEPEST = 8
"""Mappings inside mappings that are looked into."""
MAX_ENTRIES = 10 * MAX_MEMBERS
"""Most entries of all mappings together; one that stands in several places, or in itself, counts each time."""


def read(path: Path, kind: str) -> Tensors:
    """Every dense tensor by name; names of nested mappings are joined by dots."""
    with reading(kind):
        try:
            # From an open file: given a name, torch.load goes by it.
            with path.open("rb") as file:
                content = torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            raise FileError(
                "it holds more than weights (a whole module?), and loading that would run its code: "
                "save module.state_dict() instead"
            ) from None
        tensors = list(_tensors(content))
    arrays: dict[str, Array] = {}
    dtypes: dict[str, str] = {}
    refused: dict[str, str] = {}
    total = 0
    for name, tensor in tensors:
        if strange := _strange(tensor):
            refused[name] = strange
            continue
        # A tensor of stride 0 is tiny on disk and huge as an array.
        total += tensor.numel()
        check_size(total, "everything together")
        dtype = str(tensor.dtype).removeprefix("torch.")
        try:
            arrays[name], dtypes[name] = _array(tensor), dtype
        except NotImplementedError:
            refused[name] = f"a tensor of {dtype}"
    if not tensors:
        raise FileError("expected tensors, as module.state_dict() has them, and found none")
    return Tensors(arrays, dtypes, refused)


def _tensors(content: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor with its name, in order."""
    pending = [("", content, 0)]
    entries = 0
    while pending:
        prefix, found, depth = pending.pop()
        if isinstance(found, torch.Tensor):
            yield prefix, found
        elif isinstance(found, Mapping) and depth < DEEPEST:
            entries += len(found)
            if entries > MAX_ENTRIES:
                raise FileError(f"it has {entries:,} entries or more, over the limit of {MAX_ENTRIES:,}")
            inside = [(f"{prefix}.{key}" if prefix else str(key), value, depth + 1) for key, value in found.items()]
            pending += reversed(inside)


def _array(tensor: torch.Tensor) -> Array:
    """The numbers of a tensor; NotImplementedError if torch itself cannot turn this dtype into another."""
    keep = tensor.dtype in (torch.float32, torch.float64)
    wide = torch.float32 if tensor.dtype.is_floating_point else torch.float64
    array: Array = (tensor if keep else tensor.to(wide)).detach().resolve_neg().contiguous().numpy()
    return array


def _strange(tensor: torch.Tensor) -> str:
    """What a tensor is if it is no dense array of real numbers in memory; empty for an ordinary one."""
    if tensor.is_quantized:
        return "a quantised tensor"
    if tensor.layout != torch.strided:
        return "a sparse tensor"
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.is_complex():
        return "complex numbers"
    return "" if tensor.device.type == "cpu" else f"a tensor on the device {tensor.device.type}, without values"
