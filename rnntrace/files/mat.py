"""MATLAB's .mat: plain matrices of numbers, and structs of them one level deep.

Version 5 is read by scipy, once its sizes are known to be those of what it holds; version 7.3 is HDF5, with every matrix
transposed. https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf describes version 5.
"""

import io
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rnntrace.errors import FileError
from rnntrace.files.sniff import ANY_GROWTH, MAX_GROWTH
from rnntrace.files.tensors import Tensors, Total, check_distinct, reading
from rnntrace.model.dtypes import Array
from rnntrace.model.extras import optional
from rnntrace.model.limits import MAX_BYTES, MAX_MEMBERS, over

HEADER = 128
"""Bytes in front of the first element of version 5."""
MATRIX, COMPRESSED = 14, 15
"""Types of elements that hold others."""
CLASSES = {"double", "single", "logical", "struct", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
"""MATLAB's classes that are read."""
NUMBERS = "fiub"
"""numpy's kinds of dtype that are read: floats, integers, truth values."""
DEEPEST = 4
"""Matrices inside one another that are looked into."""


def read(path: Path, kind: str) -> Tensors:
    """Every matrix by name, that of a field as `net.InputWeights`; what is no matrix of numbers is refused by itself."""
    content = path.read_bytes()
    if content[512:516] == b"\x89HDF":
        hdf5 = optional("rnntrace.files.hdf5")
        with reading(kind):
            return _version_7(hdf5.Hdf5(content))
    scipy = optional("scipy.io")
    with reading(kind):
        _check(content)
        return _version_5(content, scipy)


def _version_5(content: bytes, scipy: Any) -> Tensors:
    arrays: dict[str, Array] = {}
    dtypes: dict[str, str] = {}
    refused: dict[str, str] = {}
    classes = {name: told for name, _, told in scipy.whosmat(io.BytesIO(content))}
    wanted = [name for name, told in classes.items() if told in CLASSES]
    # As MATLAB's class is, complex numbers lose a part; as they are stored, whole numbers of a class of floats are no floats.
    of_class, as_stored = (
        scipy.loadmat(io.BytesIO(content), variable_names=wanted, mat_dtype=by_class) if wanted else {}
        for by_class in (True, False)
    )
    for name, told in classes.items():
        if name not in as_stored:
            refused[name] = f"a {told} of MATLAB"
            continue
        values = dict(_fields(name, of_class[name]))
        for own, stored in _fields(name, as_stored[name]):
            if isinstance(stored, np.ndarray) and stored.dtype.kind in NUMBERS:
                dtypes[own] = values[own].dtype.name
                arrays[own] = values[own].astype(np.float32 if dtypes[own] == "float32" else np.float64)
            else:
                refused[own] = f"an array of {getattr(stored, 'dtype', 'another kind')}"
    check_distinct([*arrays, *refused])
    return Tensors(arrays, dtypes, refused)


def _fields(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A matrix, or each of a struct's fields, by its full name; an array of several structs as it is."""
    if not value.dtype.names or value.shape != (1, 1):
        yield name, value
    else:
        for field in value.dtype.names:
            yield f"{name}.{field}", value[0, 0][field]


def _version_7(content: Any) -> Tensors:
    arrays: dict[str, Array] = {}
    dtypes: dict[str, str] = {}
    refused: dict[str, str] = {}
    for path in content.names:
        owner, _, _ = path.rpartition("/")
        name = path.replace("/", ".")
        if path.startswith("#"):
            # What cells and objects refer to.
            continue
        if "/" in owner or (owner and content.attribute(owner, "MATLAB_sparse") is not None):
            refused[name] = "a part of what is no matrix of numbers"
            continue
        try:
            array, dtypes[name] = content.array(path, most_axes=3)
        except FileError as error:
            refused[name] = f"no matrix of floats ({error})"
            continue
        arrays[name] = np.ascontiguousarray(array.T)
    check_distinct([*arrays, *refused])
    return Tensors(arrays, dtypes, refused)


def _check(content: bytes) -> None:
    """Raises FileError unless the file is as small as it looks: what it unpacks to, and what its matrices say they hold."""
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise FileError("its header does not tell the order of bytes: expected IM or MI at its end")
    total, values = 0, Total()
    for count, (kind, start, size) in enumerate(_elements(content, HEADER, len(content), order, padded=False)):
        if count >= MAX_MEMBERS:
            raise FileError(f"its variables are {over('MAX_MEMBERS', MAX_MEMBERS)}")
        packed = content[start : start + size]
        element = _inflated(packed, max(MAX_GROWTH * len(content), ANY_GROWTH) - total) if kind == COMPRESSED else b""
        total += len(element) or size
        if total > MAX_BYTES:
            raise FileError(f"it unpacks to {total:,} bytes, {over('MAX_BYTES', MAX_BYTES)}")
        if kind == COMPRESSED:
            for inner, begin, length in _elements(element, 0, len(element), order):
                if inner == MATRIX:
                    _check_matrix(element, begin, begin + length, order, values)
        elif kind == MATRIX:
            _check_matrix(content, start, start + size, order, values)


def _check_matrix(content: bytes, start: int, end: int, order: str, values: Total, depth: int = 0) -> None:
    """Raises FileError if a matrix, or one inside it, says that it has more entries than it has bytes."""
    if depth > DEEPEST:
        raise FileError(f"it has over {DEEPEST} matrices inside one another, which is the limit")
    for number, (kind, begin, size) in enumerate(_elements(content, start, end, order)):
        if number == 1:
            # After the flags come the dimensions.
            entries = math.prod(struct.unpack(f"{order}{size // 4}I", content[begin : begin + size // 4 * 4]))
            if entries > max(end - start, 0):
                raise FileError(f"a matrix of {entries:,} entries has no more than {end - start:,} bytes")
            values.add(entries)
        elif kind == MATRIX:
            _check_matrix(content, begin, begin + size, order, values, depth + 1)


def _elements(content: bytes, at: int, end: int, order: str, *, padded: bool = True) -> Iterator[tuple[int, int, int]]:
    """The elements one behind another: type, where the data begin, and how many bytes they are."""
    while at + 8 <= end:
        kind, size = struct.unpack_from(f"{order}2I", content, at)
        if kind >> 16:
            # A small one: type and size in four bytes, and the data in the other four.
            yield kind & 0xFFFF, at + 4, min(kind >> 16, 4)
            at += 8
            continue
        if at + 8 + size > end:
            raise FileError("it is cut off, or not as long as it says")
        yield kind, at + 8, size
        at += 8 + size + (-size % 8 if padded or kind != COMPRESSED else 0)


def _inflated(packed: bytes, most: int) -> bytes:
    """What is packed; FileError if it is more than so many bytes, before it is unpacked."""
    unpack = zlib.decompressobj()
    found = unpack.decompress(packed, max(most, 1))
    if unpack.unconsumed_tail:
        raise FileError(f"it unpacks to over {MAX_GROWTH} times its size, which is the limit")
    return found
