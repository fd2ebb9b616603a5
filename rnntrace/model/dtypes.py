"""The number formats a module can have, and the numpy format in which each is replayed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
"""An array of one of numpy's float formats."""

Flags = NDArray[np.bool_]
"""An array of truth values."""


@dataclass(frozen=True)
class Dtype:
    """A floating-point format.

    `eps` is the gap after 1.0, `largest` the largest finite value, `smallest` the gap after 0.0, and `replay` the numpy format
    that the replay computes in.
    """

    name: str
    eps: float
    largest: float
    smallest: float
    replay: np.dtype[np.floating]


DTYPES = {
    dtype.name: dtype
    for dtype in (
        Dtype("float64", 2.0**-52, (2 - 2.0**-52) * 2.0**1023, 2.0**-1074, np.dtype(np.float64)),
        Dtype("float32", 2.0**-23, (2 - 2.0**-23) * 2.0**127, 2.0**-149, np.dtype(np.float32)),
        # numpy multiplies float16 matrices very slowly and has no bfloat16; float32 holds both exactly.
        Dtype("float16", 2.0**-10, (2 - 2.0**-10) * 2.0**15, 2.0**-24, np.dtype(np.float32)),
        Dtype("bfloat16", 2.0**-7, (2 - 2.0**-7) * 2.0**127, 2.0**-133, np.dtype(np.float32)),
    )
}


def rounded(values: Array, dtype: Dtype) -> Array:
    """The values as the format `dtype` holds them, in numpy's format `dtype.replay`; ties go to the even neighbour.

    float64 goes to a half type by way of float32, as in torch. What is too large becomes infinite.
    """
    with np.errstate(over="ignore"):
        array = values.astype(dtype.replay, copy=False)
        if dtype.name == "float16":
            return array.astype(np.float16).astype(dtype.replay)
    if dtype.name != "bfloat16":
        return array
    # A bfloat16 is the upper half of a float32.
    bits = np.ascontiguousarray(array).view(np.uint32).astype(np.uint64)
    kept = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(array), array, kept)


def is_whole(value: object) -> bool:
    """Whether a value is a whole number, Python's or numpy's."""
    return isinstance(value, int | np.integer)
