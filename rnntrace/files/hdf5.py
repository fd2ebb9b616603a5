"""HDF5 files, read so that nothing in them leads anywhere else: plain groups and plain datasets of numbers, and no links."""

import io
import math
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from rnntrace.errors import FileError, show
from rnntrace.files.tensors import Total, check_text
from rnntrace.model.dtypes import Array
from rnntrace.model.limits import MAX_BYTES, MAX_MEMBERS, over

DEEPEST = 32
"""Groups inside groups that are looked into."""
MAX_ENTRIES = 10 * MAX_MEMBERS
"""Most entries of all lists together that are read as attributes."""
FILTERS = {"gzip", "lzf", None}
"""Compressions that come with h5py; any other would load a plug-in."""


class Hdf5:
    """The content of an HDF5 file: `arrays` by path, and attributes.

    Raises FileError for links, for datasets that lie elsewhere or are computed from others, and for what is over the limits.
    """

    def __init__(self, content: bytes) -> None:
        # From memory, the library has no folder in which it could look for another file.
        self._file = h5py.File(io.BytesIO(content), "r")
        self._size = len(content)
        self._values = Total()
        self._entries = 0
        self._datasets = dict(self._walk(self._file, 0))

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of all datasets."""
        return tuple(self._datasets)

    def size(self, name: str) -> int:
        """How many values a dataset has."""
        return math.prod(self._datasets[name].shape)

    def array(self, name: str, *, most_axes: int = 2) -> tuple[Array, str]:
        """The values of a dataset as float32, or float64 where they are that, and the name of its own format."""
        dataset = self._datasets[name]
        dtype = dataset.dtype
        # HDF5 has no bfloat16; Keras writes two bytes a number and says what they are.
        is_bfloat16 = dtype.kind == "V" and dtype.itemsize == 2 and self._attribute(dataset, "dtype") == "bfloat16"
        if not is_bfloat16 and (dtype.kind != "f" or dtype.itemsize not in (2, 4, 8)):
            raise FileError(f"{show(name)} should hold floats of 16, 32 or 64 bits, and holds {show(str(dtype))[:60]}")
        if dataset.ndim > most_axes or 0 in dataset.shape:
            some = "one or two" if most_axes == 2 else f"one to {most_axes}"
            raise FileError(f"{show(name)} should have {some} dimensions above 0, and has shape {dataset.shape}")
        # Chunks that were never written take no space in the file.
        self._values.add(math.prod(dataset.shape), name)
        if is_bfloat16:
            return (dataset[()].view(np.uint16).astype(np.uint32) << 16).view(np.float32), "bfloat16"
        return np.asarray(dataset[()]).astype(np.float64 if dtype.itemsize == 8 else np.float32), dtype.name

    def attribute(self, path: str, name: str) -> Any:
        """An attribute of a group, None if there is none; text as str, an array as a list."""
        if path and path not in self._groups:
            return None
        return self._attribute(self._groups.get(path, self._file), name)

    def _attribute(self, owner: Any, name: str) -> Any:
        if name not in owner.attrs:
            return None
        found = owner.attrs.get_id(name)
        entries = math.prod(found.shape)
        # A group may stand in many places, and with it the list that it has.
        self._entries += entries
        if entries > MAX_MEMBERS or self._entries > MAX_ENTRIES:
            raise FileError(f"the entries of the attribute {show(name)[:60]} are {over('MAX_MEMBERS', MAX_MEMBERS)}")
        if not found.dtype.hasobject:
            check_text(entries * found.dtype.itemsize, f"its attribute {show(name)[:60]}")
        elif entries > 1 and entries * self._size > MAX_BYTES:
            # Each may be as long as the file, and all of them the same bytes of it.
            raise FileError(f"the attribute {show(name)[:60]} is a list of texts of any length: expected texts of one length")
        value = owner.attrs[name]
        if isinstance(value, str | bytes):
            check_text(len(value), f"its attribute {show(name)[:60]}")
        return [_text(entry) for entry in value] if isinstance(value, np.ndarray) else _text(value)

    def _walk(self, group: Any, depth: int) -> Iterator[tuple[str, Any]]:
        if depth == 0:
            self._groups: dict[str, Any] = {}
            self._seen = 0
        if depth > DEEPEST:
            raise FileError(f"it has over {DEEPEST} groups inside one another, which is the limit")
        for key in group:
            self._seen += 1
            if self._seen > MAX_MEMBERS:
                raise FileError(f"its groups and datasets are {over('MAX_MEMBERS', MAX_MEMBERS)}")
            name = f"{group.name.strip('/')}/{key}".lstrip("/")
            # Asked for by name, a link would be followed before anyone could look at it.
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise FileError(f"{show(name)} is a link to another place, and links are not followed")
            entry = group[key]
            if isinstance(entry, h5py.Group):
                self._groups[name] = entry
                yield from self._walk(entry, depth + 1)
            elif isinstance(entry, h5py.Dataset):
                yield name, _plain(name, entry)


def _plain(name: str, dataset: Any) -> Any:
    """The dataset, if its values lie in this file and nothing but h5py is needed to read them."""
    if dataset.external or dataset.is_virtual:
        raise FileError(f"{show(name)} has its values in another file, and no other file is opened")
    if dataset.compression not in FILTERS or dataset.scaleoffset is not None:
        raise FileError(f"{show(name)} is packed by a filter that h5py alone cannot read")
    return dataset


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
