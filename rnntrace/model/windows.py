"""Long arrays, a part at a time, so that what is worked out of them stays small."""

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

PIECE = 2**16
"""So many values are worked on at once: few enough to stay in a cache, enough that their number does not matter."""


def pieces(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the first axis, in order, of about PIECE values each; never none of its entries."""
    length = max(PIECE // max(int(np.prod(shape[1:])), 1), 1)
    for first in range(0, shape[0], length):
        yield slice(first, min(first + length, shape[0]))


def release(*arrays: Any) -> None:
    """Let go of the memory behind arrays that lie in files (numpy.memmap and views of one): what is needed again is read again.

    All others stay as they are. Where the system does not take this advice, it frees such memory by itself when it is short.
    """
    for array in arrays:
        while isinstance(array, np.ndarray):
            array = array.base
        if isinstance(array, mmap.mmap) and hasattr(array, "madvise"):
            array.madvise(mmap.MADV_DONTNEED)
