"""The one rule of how far apart two values are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def difference(mine: Any, theirs: Any) -> NDArray[np.float64]:
    """|mine - theirs| in float64, value by value; infinite wherever NaN or infinity is on a side, be it on both."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart: NDArray[np.float64] = np.asarray(np.subtract(mine, theirs, dtype=np.float64))
    np.abs(apart, out=apart)
    # A maximum is quicker than a look at each value, and is NaN if one of them is.
    if apart.size and np.isnan(apart.max()):
        apart[np.isnan(apart)] = np.inf
    return apart


def masked_difference(mine: Any, theirs: Any) -> "np.ma.MaskedArray[Any, np.dtype[np.float64]]":
    """The same, masked where one of the sides is."""
    mask = np.ma.getmaskarray(mine) | np.ma.getmaskarray(theirs)
    return np.ma.masked_array(difference(np.ma.getdata(mine), np.ma.getdata(theirs)), mask)
