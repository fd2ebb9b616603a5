"""How many digits typed numbers have, and so how far each may lie from the number that was meant.

A dump drops trailing zeros, so digits are told of an array and not of a value: 0.5 beside 0.1234 has four decimals. It writes a
float32 of 0.1234 in full, as 0.12340000271797180: such a number has the digits of the shortest text that means this float32.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rnntrace.model.dtypes import Array

OUTPUTS, SIGNALS = 2, 3
"""Fewest decimals from which outputs, or weights and inputs, count as rounded: an exercise gives 0.25 and means it."""
_FLOAT32 = 12
"""No shortest text of a float32 is longer, without its sign, exponent and zeros in front."""
_MOST = 400
"""Decimals beyond which a float is 0."""


def half_units(texts: Sequence[str], values: Array, fewest: int) -> Array | None:
    """Half a unit of the last digit of each value, in the shape of the values; None if they are taken for exact.

    `texts` are the numbers as they were typed, in order. What counts is the array's largest number of decimals or, where small
    values have more decimals than large ones, as %g writes them, of significant digits: whichever of the two leaves fewer
    zeros that must have been dropped. An array with decimals fewer than `fewest` is exact.
    """
    finite = np.isfinite(values).ravel()
    counted = [_counted(_shortest(text, value)) for text, value in zip(texts, values.ravel().tolist(), strict=True)]
    decimals, significant = np.array(counted, int).reshape(-1, 2).T
    if not finite.any() or (most := int(decimals[finite].max())) < fewest:
        return None
    places = np.full(len(counted), most)
    # A whole number without an exponent says nothing: 1.0 may stand for 1.0000 or for 1.000.
    whole = values.ravel() == np.trunc(np.where(finite, values.ravel(), 0))
    telling = finite & ~(whole & np.array(["e" not in text.lower() for text in texts], bool))
    digits = int(significant[telling].max(initial=0))
    if digits >= fewest:
        # No value has fewer decimals than it was typed with: 562 has three digits where others have two.
        by_digits = np.where(values.ravel() == 0, most, np.maximum(decimals + digits - significant, decimals))
        dropped, dropped_so = np.sum(most - decimals[telling]), np.sum(digits - significant[telling])
        if dropped_so < dropped:
            places = by_digits
        elif dropped_so == dropped > 0:
            # Neither is likelier: each value may be off by what either leaves open. A dump writes 1.0 either way.
            dumped = whole & np.array(["." in text for text in texts], bool)
            places = np.where(finite & ~dumped, np.minimum(places, by_digits), places)
    half: NDArray[np.float64] = 0.5 * 10.0 ** -places.clip(-_MOST, _MOST).astype(float)
    return half.reshape(values.shape)


def _shortest(text: str, value: float) -> str:
    """The text, or that of the float32 which it gives in full."""
    return str(np.float32(value)) if len(text) > _FLOAT32 and float(np.float32(value)) == value else text


def _counted(text: str) -> tuple[int, int]:
    """Decimals and significant digits of a number as it was typed; decimals are below 0 if its last digit is tens or more."""
    mantissa, _, exponent = text.strip().lower().replace("_", "").partition("e")
    whole, _, fraction = mantissa.lstrip("+-").partition(".")
    size = exponent.lstrip("+-0")
    shift = int(size or 0) * (-1 if exponent.startswith("-") else 1) if len(size) <= len(str(_MOST)) else 0
    return len(fraction) - shift, len((whole + fraction).lstrip("0"))
