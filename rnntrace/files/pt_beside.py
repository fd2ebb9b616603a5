"""What people save in a .pt beside tensors: stand-ins that are built where the pickle asks for it, and compute nothing.

numpy's own functions trust what they are told of a dtype and of the shape of an array. Here both are looked at first, as in
a file of .npy; https://github.com/numpy/numpy/blob/main/numpy/_core/src/multiarray/methods.c (array_reduce) and
descriptor.c (arraydescr_reduce) say what numpy writes. Flags of a command line are of no interest.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rnntrace.model.dtypes import Array

PLAIN = {f"{kind}{size}" for kind in "fiu" for size in (1, 2, 4, 8)} - {"f1"} | {"b1"}
"""Codes of the dtypes that are read: floats, integers and truth values."""
ORDERS = ("<", ">", "|")
STATE = (3, None, None, None, -1, -1, 0)
"""What numpy writes of a dtype beside its order of bytes: a version, and that it has no fields, no subarray and no flags."""
MOST_AXES = 32
MOST_EMPTY = 2**31
"""Longest product of the axes of an array without values, those of length 0 left out."""


class StoredDtype:
    """What the pickle says of a dtype; its `code` is empty unless it is a plain one."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        self._plain = code if type(code) is str and code in PLAIN else ""
        self.code = ""

    def __setstate__(self, state: Any) -> None:
        plain = type(state) is tuple and len(state) == 1 + len(STATE) and type(state[1]) is str and state[1] in ORDERS
        # What is of another type is not compared: a tensor would compare all of its values.
        fields = (state[0], *state[2:]) if plain else ()
        same = plain and all(type(found) is type(own) and found == own for found, own in zip(fields, STATE, strict=True))
        self.code = state[1] + self._plain if same and self._plain else ""


class StoredArray:
    """What the pickle says of an array. `strange` says what it is if it is no plain array of numbers, all of them there."""

    def __init__(self, cls: Any = None, shape: Any = None, typecode: Any = None) -> None:
        self.strange = "an array of numpy without its values"
        self._shape: tuple[int, ...] = ()
        self._code, self._content, self._in_columns = "", b"", False

    def __setstate__(self, state: Any) -> None:
        self.strange = "an array of numpy that is not of plain numbers"
        if not (type(state) is tuple and len(state) == 5):
            return
        _, shape, dtype, in_columns, content = state
        if not (type(dtype) is StoredDtype and dtype.code and type(in_columns) is bool and type(content) is bytes):
            return
        self.strange = f"an array of numpy whose {len(content):,} bytes are not what its shape says"
        if type(shape) is not tuple or len(shape) > MOST_AXES:
            return
        if not all(type(length) is int and 0 <= length < MOST_EMPTY for length in shape):
            return
        if math.prod(shape) * np.dtype(dtype.code).itemsize != len(content):
            return
        if not content and math.prod(n or 1 for n in shape) > MOST_EMPTY:
            return
        self._shape, self._code, self._content, self._in_columns = shape, dtype.code, content, in_columns
        self.strange = ""

    @property
    def count(self) -> int:
        """How many values it has."""
        return math.prod(self._shape)

    @property
    def dtype(self) -> str:
        """The name of its dtype."""
        return np.dtype(self._code).name

    @property
    def values(self) -> Array:
        """The numbers: floats of up to 4 bytes as float32, everything else as float64."""
        order: Literal["F", "C"] = "F" if self._in_columns else "C"
        stored: NDArray[Any] = np.ndarray(self._shape, self._code, self._content, order=order)
        narrow = stored.dtype.kind == "f" and stored.dtype.itemsize <= 4
        return np.array(stored, np.float32 if narrow else np.float64)


def stored_number(dtype: Any, content: Any = b"") -> None:
    """A number of numpy's own, which is as little of interest as one of Python's."""


class Flags:
    """An argparse.Namespace, of which nothing is kept."""

    def __setstate__(self, state: Any) -> None:
        """Whatever it holds."""


def no_bytes() -> bytes:
    """What an array without values holds: bytes are written as text, and none as a call of bytes()."""
    return b""


STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (no_bytes, "builtins.bytes"),
    (Flags, "argparse.Namespace"),
    (StoredDtype, "numpy.dtype"),
    (StoredArray, "numpy.ndarray"),
    *((stored_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((StoredArray, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
]
"""By the name in the pickle, as torch.serialization.safe_globals takes them."""
