"""torch's .pt and .pth: a state_dict, a tensor, or a mapping that holds one. Only weights are ever loaded, never code."""

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from rnntrace.errors import FileError
from rnntrace.files import MAX_BYTES, Tensors, show
from rnntrace.model.dtypes import Array


def read(path: Path, kind: str) -> Tensors:
    """Every dense tensor by name; names of nested mappings are joined by dots."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise FileError(
            "it holds more than weights (a whole module?), and loading that would run its code: "
            "save module.state_dict() instead"
        ) from None
    except Exception as error:
        # torch.load raises whatever the damage leads to.
        raise FileError(f"not a readable .{kind}: {show(str(error).partition(chr(10))[0])[:200]}") from None
    arrays: dict[str, Array] = {}
    dtypes: dict[str, str] = {}
    for name, tensor in _tensors("", content):
        if (
            tensor.layout == torch.strided
            and tensor.device.type == "cpu"
            and not tensor.is_quantized
            and not tensor.is_complex()
        ):
            if tensor.numel() * 8 > MAX_BYTES:
                raise FileError(f"{show(name)} has {tensor.numel():,} values, over the limit of {MAX_BYTES // 8:,}")
            keep = tensor.dtype in (torch.float32, torch.float64)
            wide = torch.float32 if tensor.dtype.is_floating_point else torch.float64
            arrays[name] = (tensor if keep else tensor.to(wide)).detach().contiguous().numpy()
            dtypes[name] = str(tensor.dtype).removeprefix("torch.")
    if not arrays:
        raise FileError("expected tensors, as module.state_dict() has them, and found none")
    return Tensors(arrays, dtypes)


def _tensors(prefix: str, content: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(content, torch.Tensor):
        yield prefix, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _tensors(f"{prefix}.{key}" if prefix else str(key), value)
