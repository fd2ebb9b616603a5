"""Integers of fixed-point arithmetic as numbers: scale · (integer - zero point), each known to half a step of the grid."""

import math
import re
from dataclasses import dataclass, field, replace

from rnntrace.errors import UsageError, show
from rnntrace.files.tensors import Tensors
from rnntrace.model.dtypes import Array

_Q = re.compile(r"[Qq]?(?P<whole>\d{1,3})\.(?P<fraction>\d{1,3})")
_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class Grid:
    """Numbers that lie `scale` apart, with 0 at the integer `zero_point`. It remembers whether it met integers at all."""

    scale: float
    zero_point: int = 0
    _met: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def __call__(self, tensors: Tensors) -> Tensors:
        """The arrays of a file with numbers in place of integers; arrays of floats are left alone.

        Integers of a text are those without a point or an exponent in any value of their array.
        """
        found: dict[str, Array] = {}
        for name, array in tensors.arrays.items():
            texts = tensors.typed.get(name)
            typed = texts is not None and all(map(_INTEGER.fullmatch, map(str.strip, texts)))
            if array.ndim and (typed or tensors.dtypes[name].startswith(("int", "uint"))):
                found[name] = self.scale * (array.astype(float) - self.zero_point)
        self._met.extend(found)
        return replace(
            tensors,
            arrays={**tensors.arrays, **found},
            dtypes={**tensors.dtypes, **dict.fromkeys(found, "float64")},
            typed={name: texts for name, texts in tensors.typed.items() if name not in found},
            steps={**tensors.steps, **dict.fromkeys(found, self.scale)},
        )

    def check(self) -> None:
        """To be called when every file was read. Raises UsageError if nothing was on the grid."""
        if not self._met:
            raise UsageError("`scale` and `q` turn integers into numbers, and no array of integers is there: leave them out")


def grid(scale: str | float | None = None, zero_point: int = 0, q: str | None = None) -> Grid | None:
    """The grid that is asked for: a scale such as 1/128 or 0.0078125, or q such as 1.15 for 2^-15. Raises UsageError."""
    if scale is not None and q is not None:
        raise UsageError("`scale` and `q` both say how far apart numbers are: leave one of them out")
    if scale is None and q is None:
        if zero_point:
            raise UsageError("`zero_point` belongs to a grid of numbers: give `scale` or `q` too, or leave it out")
        return None
    if q is not None:
        match = _Q.fullmatch(q.strip())
        if match is None:
            raise UsageError(f"`q` gives the bits before and behind the point, such as 1.15, and not {show(q)[:40]!r}")
        return Grid(2.0 ** -int(match["fraction"]), zero_point)
    return Grid(_number(str(scale)), zero_point)


def _number(text: str) -> float:
    over, _, under = text.partition("/")
    try:
        value = float(over) / float(under or "1")
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"`scale` is a number above 0, such as 1/128, and not {show(text)[:40]!r}")
    return value
