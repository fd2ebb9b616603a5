"""Bad and strange .mat: of version 5, written by scipy and by hand, and of version 7.3, which is HDF5."""

import io
import struct
import zlib
from typing import Any

import h5py
import numpy as np
import scipy.io
from commandline import EVIL
from hostile import Entry, flipped, loads, unfit, unreadable

ARRAYS = {
    "InputWeights": np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3),
    "RecurrentWeights": np.linspace(-1, 1, 16, dtype=np.float32).reshape(8, 2),
    "Bias": np.zeros((8, 1), np.float32),
}
"""An LSTM of 3 inputs and 2 units."""


def mat(*, packed: bool = False, **variables: Any) -> bytes:
    """A file of version 5."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, variables, do_compression=packed)
    return buffer.getvalue()


def mat73(**variables: Any) -> bytes:
    """A file of version 7.3: matrices transposed, and a dictionary as a group, which a struct is."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=512) as file:
        for name, value in variables.items():
            for own, array in (value if isinstance(value, dict) else {"": value}).items():
                file[f"{name}/{own}".rstrip("/")] = array.T if isinstance(array, np.ndarray) else array
    content = bytearray(buffer.getvalue())
    content[: len(HEAD)] = HEAD
    return bytes(content)


HEAD = b"MATLAB 7.3 MAT-file, Platform: GLNXA64"


def element(kind: int, data: bytes) -> bytes:
    """An element of version 5: type, size and data, filled up to a multiple of 8 bytes."""
    return struct.pack("<2I", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(number: int, shape: tuple[int, ...], *inside: bytes, name: bytes = b"InputWeights") -> bytes:
    """A matrix of a class that says it has a shape."""
    dimensions = struct.pack(f"<{len(shape)}i", *shape)
    return element(14, element(6, struct.pack("<2I", number, 0)) + element(5, dimensions) + element(1, name) + b"".join(inside))


def by_hand(*elements: bytes) -> bytes:
    """A file of version 5 of these elements."""
    return mat(a=1.0)[:128] + b"".join(elements)


CELL, DOUBLE = 1, 6
MORE = "a matrix of [0-9,]+ entries has no more than [0-9,]+ bytes"
MATLAB: dict[str, Entry] = {
    "mat as scipy writes it": loads(lambda: mat(**ARRAYS)),
    "mat that is packed": loads(lambda: mat(packed=True, **ARRAYS)),
    "mat of a struct": loads(lambda: mat(net=ARRAYS)),
    "mat with more than numbers": loads(
        lambda: mat(**ARRAYS, cells=np.array(["a", 1.0], object), text="text", z=np.array([1j]), inside={"a": {"b": 1.0}})
    ),
    "mat of version 7.3": loads(lambda: mat73(net=ARRAYS)),
    "mat of cells": unfit(
        "InputWeights should hold floats of 16, 32 or 64 bits, and holds a cell of MATLAB",
        lambda: mat(**ARRAYS | {"InputWeights": np.array([[1.0, "a"]], object)}),
    ),
    "mat of complex weights": unfit(
        "InputWeights should hold floats of 16, 32 or 64 bits, and holds an array of complex64",
        lambda: mat(**ARRAYS | {"InputWeights": ARRAYS["InputWeights"] * 1j}),
    ),
    "mat of whole numbers": unfit(
        "Bias should hold floats of 16, 32 or 64 bits, and holds int8", lambda: mat(**ARRAYS | {"Bias": np.zeros((8, 1), "i1")})
    ),
    "mat of version 7.3 with a link": unreadable(
        "links are not followed", lambda: mat73(**ARRAYS, link=h5py.ExternalLink("other.h5", "/x"))
    ),
    "mat that is cut off": unreadable("it is cut off, or not as long as it says", lambda: mat(**ARRAYS)[:-20]),
    "mat of no order of bytes": unreadable("does not tell the order of bytes", lambda: flipped(mat(**ARRAYS), 126)),
    "mat of two billion cells": unreadable(MORE, lambda: by_hand(matrix(CELL, (2**16, 2**15)))),
    "mat of a shape that is not there": unreadable(MORE, lambda: by_hand(matrix(DOUBLE, (2**16, 2**15), element(9, bytes(8))))),
    "mat of two billion cells in a struct": unreadable(
        MORE,
        lambda: by_hand(
            matrix(2, (1, 1), element(5, struct.pack("<i", 8)), element(1, b"field\0\0\0"), matrix(CELL, (2**31 - 1, 1)))
        ),
    ),
    "mat that is packed and shapeless": unreadable(
        MORE, lambda: by_hand(struct.pack("<2I", 15, len(packed := zlib.compress(matrix(CELL, (2**16, 2**15))))) + packed)
    ),
    "mat that unpacks to 80 MB": unreadable(
        "it unpacks to over 200 times its size", lambda: by_hand(struct.pack("<2I", 15, len(ZEROS)) + ZEROS)
    ),
    "mat of matrices in matrices": unreadable("matrices inside one another", lambda: by_hand(nested(40))),
    "mat of evil names": unfit(
        "holds no recurrent module", lambda: by_hand(matrix(DOUBLE, (1, 3), element(9, bytes(24)), name=EVIL.encode()))
    ),
}
ZEROS = zlib.compress(bytes(80 * 10**6))


def nested(depth: int) -> bytes:
    """Cells in cells."""
    return matrix(CELL, (1, 1), *([nested(depth - 1)] if depth else []))
