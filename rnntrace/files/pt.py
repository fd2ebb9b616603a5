"""torch's .pt and .pth: a state_dict, a tensor, or a mapping that holds one. Only weights are ever loaded, never code."""

import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from rnntrace.errors import FileError, show
from rnntrace.files import torch_quantised
from rnntrace.files.pickled import check_old, check_pickle
from rnntrace.files.pt_beside import STAND_INS, StoredArray
from rnntrace.files.tensors import Tensors, Total, check_distinct, reading
from rnntrace.files.unpickled import MORE
from rnntrace.model.dtypes import Array
from rnntrace.model.limits import MAX_MEMBERS, over

FEW = 8
"""Shapes that are listed."""
DEEPEST = 8
"""Mappings inside mappings that are looked into."""
MAX_ENTRIES = 10 * MAX_MEMBERS
"""Most entries of all mappings together; one that stands in several places, or in itself, counts each time."""


def read(path: Path, kind: str) -> Tensors:
    """Every dense tensor by name; names of nested mappings are joined by dots."""
    with reading(kind):
        _check_pickles(path)
        try:
            # From an open file: given a name, torch.load goes by it.
            with path.open("rb") as file, _stand_ins_alone():
                content = torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if "torch.ScriptObject" in str(error) and _mentions(path, b"quantized"):
                with zipfile.ZipFile(path) as archive:
                    return torch_quantised.read(archive, _folder(archive))
            raise FileError(_refusal(path, str(error))) from None
        tensors = list(_tensors(content))
        check_distinct(name for name, _ in tensors)
    arrays: dict[str, Array] = {}
    dtypes: dict[str, str] = {}
    refused: dict[str, str] = {}
    total = Total()
    for name, tensor in tensors:
        if strange := _strange(tensor):
            refused[name] = strange
            continue
        if isinstance(tensor, StoredArray):
            total.add(tensor.count, name)
            arrays[name], dtypes[name] = tensor.values, tensor.dtype
            continue
        # A tensor of stride 0 is tiny on disk and huge as an array.
        total.add(tensor.numel(), name)
        dtype = str(tensor.dtype).removeprefix("torch.")
        try:
            arrays[name], dtypes[name] = _array(tensor), dtype
        except NotImplementedError:
            refused[name] = f"a tensor of {dtype}"
    if not tensors:
        raise FileError(f"expected tensors, as module.state_dict() has them, and found none{_without_names(content)}")
    return Tensors(arrays, dtypes, refused)


@contextmanager
def _stand_ins_alone() -> Iterator[None]:
    """While torch loads: beside weights it builds our stand-ins, and nothing that the process allowed it."""
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(STAND_INS)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed)


def _check_pickles(path: Path) -> None:
    """Raises FileError for instructions that no weights need, and for a key or a member that is there twice."""
    if not zipfile.is_zipfile(path):
        check_old(path.read_bytes())
        return
    with zipfile.ZipFile(path) as archive:
        check_distinct(archive.namelist())
        for name in archive.namelist():
            # torch looks for it whatever its folder is, and in capitals too.
            if name.lower().endswith("data.pkl"):
                check_pickle(archive.read(name))


def _refusal(path: Path, reason: str) -> str:
    """What to say of a file in which torch found more than weights; it names the first thing of the kind."""
    found = re.search(r"GLOBAL ([^\s]{1,200})", reason)
    culprit = show(found[1])[:60] if found else "a whole module?"
    if culprit.startswith("numpy."):
        return f"{MORE.format(f'{culprit}, of numpy')}, and numbers as Python's own or as tensors"
    return MORE.format(culprit)


def _mentions(path: Path, word: bytes) -> bool:
    """Whether the pickle in an archive has a word in it."""
    with zipfile.ZipFile(path) as archive:
        return word in archive.read(f"{_folder(archive)}/data.pkl")


def _folder(archive: zipfile.ZipFile) -> str:
    """That in which everything lies."""
    return next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("/data.pkl")


def _without_names(content: Any) -> str:
    """What there is if tensors have no names: a list of them, as module.parameters() gives it."""
    found = [entry for entry in content if isinstance(entry, torch.Tensor)] if isinstance(content, list | tuple) else []
    if not found:
        return ""
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in found[:FEW]) + (", …" if len(found) > FEW else "")
    return f" by name: a list of {len(found)} without names, of shapes {shapes}"


def _tensors(content: Any) -> Iterator[tuple[str, torch.Tensor | StoredArray]]:
    """Every tensor, and array of numpy's, with its name, in order."""
    pending = [("", content, 0)]
    entries = count = 0
    while pending:
        prefix, found, depth = pending.pop()
        if isinstance(found, torch.Tensor | StoredArray):
            count += 1
            if count > MAX_MEMBERS:
                raise FileError(f"its tensors are {over('MAX_MEMBERS', MAX_MEMBERS)}")
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


def _strange(tensor: torch.Tensor | StoredArray) -> str:
    """What a tensor is if it is no dense array of real numbers in memory; empty for an ordinary one."""
    if isinstance(tensor, StoredArray):
        return tensor.strange
    if tensor.is_quantized:
        return "a quantised tensor"
    if tensor.layout != torch.strided:
        return "a sparse tensor"
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.is_complex():
        return "complex numbers"
    return "" if tensor.device.type == "cpu" else f"a tensor on the device {tensor.device.type}, without values"
