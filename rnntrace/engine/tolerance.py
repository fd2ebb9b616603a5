"""How far apart two values may be and still agree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import UsageError


@dataclass(frozen=True)
class Tolerance:
    """Two values agree if |replay - framework| ≤ atol + rtol · max(|framework|, scale)."""

    kind: str
    rtol: float
    atol: float
    scale: float = 0.0

    def allowed(self, framework: NDArray[np.float64]) -> NDArray[np.float64]:
        """The difference allowed at each value."""
        result: NDArray[np.float64] = self.atol + self.rtol * np.maximum(np.abs(framework), self.scale)
        return result


# rtol and atol are those of torch.testing.assert_close for the format. Gates and hidden states live on a scale of 1 and are
# sums of terms of that size: in a half type the terms' rounding remains where the sum comes near zero, so there rtol counts
# from 1. (In float32 and float64 atol covers that.)
TORCH_TOLERANCES = {
    "float64": Tolerance("torch", 1e-7, 1e-7),
    "float32": Tolerance("torch", 1.3e-6, 1e-5),
    "float16": Tolerance("torch", 1e-3, 1e-5, scale=1.0),
    "bfloat16": Tolerance("torch", 1.6e-2, 1e-5, scale=1.0),
}


def tolerance(kind: str, dtype: str, rtol: float | None = None, atol: float | None = None) -> Tolerance:
    """The tolerance `torch` for a number format, or `exact`; rtol and atol replace single values of `torch`."""
    if kind == "exact":
        if rtol or atol:
            raise UsageError("--tolerance exact allows no difference: leave --rtol and --atol out, or choose torch")
        return Tolerance("exact", 0.0, 0.0)
    if kind != "torch":
        raise UsageError(f"unknown tolerance {kind!r}: choose torch or exact")
    for name, value in (("--rtol", rtol), ("--atol", atol)):
        if value is not None and not value >= 0:
            raise UsageError(f"{name} must be 0 or more, not {value}")
    default = TORCH_TOLERANCES[dtype]
    return Tolerance(
        kind,
        default.rtol if rtol is None else rtol,
        default.atol if atol is None else atol,
        default.scale if rtol is None else 0.0,
    )
