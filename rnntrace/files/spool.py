"""Arrays that are larger than memory, in a temporary file for as long as they are used."""

import os
import shutil
import tempfile
from collections.abc import Hashable, Mapping
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import FileError, show
from rnntrace.model.limits import in_bytes

ALIGNED = 64
"""Every array starts at a multiple of so many bytes."""

Name = TypeVar("Name", bound=Hashable)


def spooled(folder: Path, arrays: Mapping[Name, tuple[tuple[int, ...], np.dtype[Any]]]) -> dict[Name, NDArray[Any]]:
    """Arrays of these shapes and formats, full of zeros, in a file of this folder that goes with the last of them.

    The disk must have room for a copy too. What is taken is reserved, so that writing cannot fail later. Raises FileError.
    """
    sizes = [-(-prod(shape) * dtype.itemsize // ALIGNED) * ALIGNED for shape, dtype in arrays.values()]
    total = max(sum(sizes), 1)
    try:
        if (free := shutil.disk_usage(folder).free) < 2 * total:
            raise FileError(
                f"this takes {in_bytes(2 * total)} of disk, half of it for a while, and {show(str(folder))} has "
                f"{in_bytes(free)}: give `save` another folder, or take fewer `steps` or `keep=states`"
            )
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, total)
            memory = np.memmap(file, np.uint8, "r+", shape=(total,))
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot write in {show(str(folder))}: {error.strerror or error}") from None
    starts = accumulate(sizes, initial=0)
    return {
        name: memory[start : start + prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
        for start, (name, (shape, dtype)) in zip(starts, arrays.items(), strict=False)
    }
