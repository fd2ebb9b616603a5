"""How few digits given values have: those of a coarser format, of decimals as print shows them, or of a grid as int8 leaves it.

Values are taken to have fewer digits than their format only where chance would hardly give that: every digit that is missing
from a value counts as evidence, and there must be a lot of it. A format has finer steps for smaller values, a grid has not, so
the two are told apart by the small values.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnntrace.model.dtypes import DTYPES, Array, Dtype, rounded

FORMATS = ("bfloat16", "float16", "float32")
DECIMALS = (2, 3, 4, 5, 6)
"""How many decimals print shows."""
ENOUGH = 24.0
"""Bits that must be missing from the different values together; by chance that happens once in 2²⁴. Half of it tells a grid
from a format that holds the values as well."""
FEWEST = 8
"""Of fewer values nothing is said: whole halves and quarters are common among them."""
LEVELS, PARTS = 2**15, 4
"""A grid of any step has at most so many levels, and the smallest gap between values is at most so many steps."""
FLOAT32 = DTYPES["float32"].eps

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Digits:
    """What digits values have: those of a `format`, or a step of `unit` between any two of them.

    `name` says it in words, `id` is the name of the mistake that leaves them so.
    """

    name: str
    id: str
    unit: float = 0.0
    format: Dtype | None = None

    @property
    def is_printed(self) -> bool:
        """Whether they are decimals."""
        return self.id.startswith("printed")

    @property
    def half_unit(self) -> float:
        """How far off a value may be for its digits; a little more, since the middle between two may go either way."""
        return 0.51 * self.unit


def digits_of(given: Array, right: Array, dtype: Dtype) -> Digits | None:
    """The digits of given values where they are fewer than those of the format; None if they are not.

    What the `right` values have as well, such as whole numbers behind a ReLU, says nothing.
    """
    eps = dtype.eps
    values, rights = _distinct(given), _distinct(right)
    if len(values) < 2 or given.size < FEWEST:
        return None
    format = next((found for found in map(DTYPES.get, FORMATS) if found and found.eps > eps and _held(values, found)), None)
    if format and (_held(rights, format) or len(values) * np.log2(format.eps / eps) < ENOUGH):
        format = None
    step = _step(values, format.eps if format else eps, ENOUGH / 2 if format else ENOUGH)
    if step:
        digits, error = step
        return None if _on(rights, digits.unit, error) else digits
    return Digits(format.name, format.name, format=format) if format else None


def _distinct(array: Array) -> Values:
    values = array.astype(np.float64).ravel()
    return np.unique(values[np.isfinite(values) & (values != 0)])


def _held(values: Values, format: Dtype) -> bool:
    return np.array_equal(rounded(values, format), values)


def _step(values: Values, eps: float, enough: float) -> tuple[Digits, float] | None:
    """The step between values of a format, and the relative error with which they hold it; None if there is none."""
    exponents = np.frexp(values)[1]
    # A value of 53 bits is a whole number of 2^(exponent - 53); its lowest bit that is set tells the step.
    whole = np.abs(np.ldexp(values, 53 - exponents)).astype(np.int64)
    lowest = int((exponents - 53 + np.log2(whole & -whole).astype(int)).min())
    if np.maximum(lowest - (np.log2(eps) + exponents - 1), 0).sum() >= enough:
        unit = 2.0**lowest
        name, id = (f"a grid of 1/{1 / unit:.0f}", f"grid-{1 / unit:.0f}") if lowest < 0 else (f"a grid of {unit:g}", "grid")
        return Digits(name, id, unit), 0.0
    # A float32 holds a multiple of a decimal step to within half an eps.
    error = max(eps, FLOAT32 if _held(values, DTYPES["float32"]) else 2 * DTYPES["float64"].eps)
    for decimals in DECIMALS:
        unit = 10.0**-decimals
        if _on(values, unit, error) and _missing(values, unit, error) >= enough:
            return Digits(f"{decimals} decimals", f"printed-{decimals}", unit), error
    gap = _gap(values, error, enough)
    return (Digits(f"a grid of {gap:.4g}", "grid", gap), error) if gap else None


def _on(values: Values, step: float, error: float) -> bool:
    return bool((np.abs(values - np.round(values / step) * step) <= error * np.abs(values)).all())


def _missing(values: Values, step: float, error: float) -> float:
    """How many bits are missing where values are multiples of a step to within this relative error."""
    return float(np.maximum(np.log2(step / (2 * error * np.abs(values))), 0).sum())


def _gap(values: Values, error: float, enough: float) -> float:
    """The step of which all values are multiples, as a part of their smallest gap; 0 if there is none."""
    sizes = np.unique(np.abs(values))
    gaps = np.diff(sizes, prepend=0.0)
    gaps = gaps[gaps > 4 * error * sizes[-1]]
    if not len(gaps):
        return 0.0
    for part in range(1, PARTS + 1):
        step = float(gaps.min()) / part
        if sizes[-1] / step > LEVELS:
            break
        # A gap of rounded values is off by their error: the largest multiple tells the step best.
        for size in (*sizes[sizes <= 32 * step][-1:], sizes[-1]):
            step = float(size / max(np.round(size / step), 1.0))
        if _on(values, step, 2 * error) and _missing(values, step, 2 * error) >= enough:
            return step
    return 0.0
