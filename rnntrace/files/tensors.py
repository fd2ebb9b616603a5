"""What every reader returns, and the rules that every reader keeps with files we did not write.

No file makes us run its code, memory is bounded by what is checked before anything is parsed or copied, and whatever a
damaged file makes a library raise becomes one line.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import FileError, show
from rnntrace.files.digits import half_units
from rnntrace.model.dtypes import Array
from rnntrace.model.limits import MAX_BYTES, MAX_TEXT
from rnntrace.model.module import Contents

LONGEST = 200
"""Characters of a library's message that are repeated."""
NO_MEMORY = ("can't allocate memory", "bad_alloc", "Out of memory", "out of memory", "memory allocation")
"""What libraries say in words of their own where Python has a MemoryError."""
MAPPED = ("<f4", "<f8", "|u1")
"""Formats of numbers, as numpy spells them, in which long arrays may stay in their file."""
SHORT = 2**16
"""Bytes below which an array is read: whoever changes the file later does not change what was read."""


@dataclass(frozen=True)
class Tensors:
    """Named arrays from a file; a single array without a name stands under the empty name.

    `dtypes` are those of the file. `refused` names what is there and is no dense array of real numbers, and what it is
    instead: it matters only to who needs that very name. `metadata` is the JSON text of a trace that we saved.
    Long arrays may be read-only numpy.memmaps, see `files.map_tensors`.
    Where the file is a model that declares its layers, `contents` are the recurrent ones. `typed` are the numbers of an array
    out of text as they stand there, one after the other. `steps` are those of arrays on a grid: see `grid`.
    `levels`, by what stands in front of a module's names, say to how many its activations are rounded: see `Module`.
    """

    arrays: Mapping[str, Array]
    dtypes: Mapping[str, str]
    refused: Mapping[str, str] = field(default_factory=dict)
    metadata: str = ""
    contents: Contents | None = None
    typed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    steps: Mapping[str, float] = field(default_factory=dict)
    levels: Mapping[str, int] = field(default_factory=dict)

    def half_units(self, name: str, fewest: int) -> Array | None:
        """Half a unit of the last digit of each value of an array that was typed, or half a step; None if it is exact."""
        if name in self.steps:
            return np.full(self.arrays[name].shape, self.steps[name] / 2)
        return half_units(self.typed[name], self.arrays[name], fewest) if name in self.typed else None


def of_model(contents: Contents) -> Tensors:
    """What is in a model that declares its layers. Raises FileError if there is nothing but what is wrong with them."""
    if (wrong := contents.only_wrong) is not None:
        raise FileError(str(wrong))
    return Tensors({}, {}, contents=contents)


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Around a library that reads foreign content: there is no end to what damage makes it raise or warn of."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (FileError, MemoryError):
        raise
    except Exception as error:
        if any(words in str(error)[:LONGEST] for words in NO_MEMORY):
            raise MemoryError from None
        reason = show(str(error)[: 4 * LONGEST].strip().partition("\n")[0])[:LONGEST] or type(error).__name__
        raise FileError(f"not a readable .{kind}: {reason}") from None


def stays_in_file(content: Any, dtype: str) -> bool:
    """Whether bytes stay where they are: they were mapped and not read, and are numbers as a trace has them."""
    return isinstance(content, np.memmap) and dtype in MAPPED


def mapping(file: BinaryIO) -> NDArray[np.uint8]:
    """All bytes of an open file, mapped: none is read before it is used, and a slice cannot reach beyond the end."""
    return np.memmap(file, np.uint8, "r")


def check_text(size: int, what: str) -> None:
    """Raises FileError if a text of so many bytes inside a file is more than is read as text."""
    if size > MAX_TEXT:
        raise FileError(f"{what} of {size:,} bytes is text over the limit of {MAX_TEXT:,}, a part of RNNTRACE_MAX_BYTES")


def check_distinct(names: Iterable[str]) -> None:
    """Raises FileError if a file names two things alike: most readers would take the last one in silence."""
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise FileError(f"it holds {show(twice)[:60]!r} twice, and only one of them could be judged: leave the other out")


class Total:
    """The values that are read of a file, all together: what stands in it once and is used many times counts each time."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, count: int, name: str = "") -> None:
        """Raises FileError if this many more are more than MAX_BYTES hold in float64, alone or with those before."""
        self._count += count
        for values, what in ((count, show(name) or "it"), (self._count, "everything together")):
            if values > MAX_BYTES // 8:
                limit = f"over the limit of {MAX_BYTES // 8:,}, an eighth of RNNTRACE_MAX_BYTES"
                raise FileError(f"{what} has {values:,} values, {limit}")
