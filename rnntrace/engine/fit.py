"""How well outputs agree with those that somebody else gave, in as many digits as these have."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.mistakes import Outputs
from rnntrace.engine.tolerance import Tolerance
from rnntrace.model.dtypes import DTYPES, Array, Dtype, rounded

TELLING = 8
"""From this many different values on, values that a coarse format holds exactly were computed in it."""
ERROR_IN_EPS = {"float16": 2, "bfloat16": 2, "float32": 16}
"""How many eps outputs of a format may be off. Two honest ones in a half format, where sums are taken in float32, differ by up
to 1.7, and in float32 by up to 14 (H ≤ 256, T ≤ 200)."""
DECIMALS = (3, 4, 5, 6)
"""How many decimals print shows."""


@dataclass(frozen=True)
class Fit:
    """Outputs that were given, as float64, and how far others may be from them.

    `coarse` is the format that they have if it is coarser than the module's: float32, float16, bfloat16, or decimals as print
    shows them, such as "4 decimals".
    """

    expected: Mapping[str, NDArray[np.float64]]
    allowed: Mapping[str, NDArray[np.float64]]
    tolerance: Tolerance
    coarse: str = ""

    @classmethod
    def of(cls, expected: Outputs, tolerance: Tolerance, dtype: Dtype) -> "Fit":
        """What the outputs of a module of this format are judged by."""
        given = {name: values.astype(np.float64) for name, values in expected.items()}
        coarse, error = _coarseness(expected.values(), dtype)
        tolerance = replace(tolerance, atol=max(tolerance.atol, error))
        # What is infinite is not within tolerance of everything.
        allowed = {name: np.nan_to_num(tolerance.allowed(values)) for name, values in given.items()}
        return cls(given, allowed, tolerance, coarse)

    def part(self, names: Collection[str], steps: int, items: int) -> "Fit":
        """The first steps of the output, if it is among the names, and the first items of all of them."""

        def first(arrays: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
            return {name: arrays[name][: steps if name == "output" else None, :items] for name in names}

        return replace(self, expected=first(self.expected), allowed=first(self.allowed))

    def difference(self, outputs: Outputs | None) -> float:
        """The largest difference; infinite where one side alone is not finite, or a shape is another one."""
        return max((self._apart(outputs, name)[0] for name in self.expected), default=np.inf)

    def agrees(self, outputs: Outputs | None) -> bool:
        """Whether everything that was given is within tolerance; never if nothing of it is finite."""
        some = any(np.isfinite(values).any() for values in self.expected.values())
        return some and all(self._apart(outputs, name)[1] for name in self.expected)

    def _apart(self, outputs: Outputs | None, name: str) -> tuple[float, bool]:
        expected = self.expected[name]
        found = None if outputs is None else outputs.get(name)
        if found is not None and name != "output":
            # Of a stack, the states of the last layers may have been given alone.
            found = found[len(found) - len(expected) :]
        if found is None or found.shape != expected.shape:
            return np.inf, False
        with np.errstate(invalid="ignore"):
            delta = np.abs(found - expected)
        # The same infinity, or NaN, on both sides is no difference.
        delta = np.where((found == expected) | (np.isnan(found) & np.isnan(expected)), 0.0, delta)
        worst = float(np.where(np.isnan(delta), np.inf, delta).max(initial=0.0))
        return worst, worst < np.inf and bool((delta <= self.allowed[name]).all())


def _coarseness(arrays: Collection[Array], dtype: Dtype) -> tuple[str, float]:
    """The coarser format that holds all values, and the error that it explains; nothing where there are too few to tell."""
    values = np.concatenate([array.ravel() for array in arrays]) if arrays else np.zeros(0)
    values = values[np.isfinite(values)].astype(np.float64)
    own = ERROR_IN_EPS.get(dtype.name, 0) * dtype.eps
    if len(np.unique(values[values != 0])) < TELLING:
        return "", own
    for name in ("bfloat16", "float16", "float32"):
        if DTYPES[name].eps > dtype.eps and np.array_equal(rounded(values, DTYPES[name]), values):
            return name, ERROR_IN_EPS[name] * DTYPES[name].eps
    for decimals in DECIMALS:
        # A float32 holds a decimal to within half an eps.
        if np.allclose(np.round(values, decimals), values, rtol=DTYPES["float32"].eps, atol=0):
            return f"{decimals} decimals", 0.51 * 10.0**-decimals
    return "", own
