"""Writing long arrays: a piece at a time, whether they lie in memory or in files of their own."""

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rnntrace.model.windows import PIECE, pieces, release

Content = bytes | Callable[[BinaryIO], object]
"""What is to be in a file: the bytes, or who writes them to an open file, which may be a pipe."""


def pieces_of(array: NDArray[Any]) -> Iterator[bytes]:
    """The bytes of an array in C order, a piece at a time. Of an array that lies in a file no more stays in memory."""
    array = np.atleast_1d(array)
    if array.ndim > 1 and array.size > PIECE * len(array):
        for entry in array:
            yield from pieces_of(entry)
    else:
        for part in pieces(array.shape):
            yield array[part].tobytes()
            release(array)
