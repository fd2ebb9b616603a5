"""How far apart two values may be and still agree."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import UsageError
from rnntrace.model.dtypes import Array


@dataclass(frozen=True)
class Tolerance:
    """Two values agree if |replay - framework| ≤ atol + rtol · |framework|.

    With `rounding` they also agree if rounding alone can explain the difference, by the bound on that value's own error.
    """

    kind: str
    rtol: float
    atol: float
    rounding: bool = False

    def allowed(self, framework: NDArray[np.float64], bound: Array | None = None) -> NDArray[np.float64]:
        """The difference allowed at each value; `bound` is what rounding can do there."""
        with np.errstate(invalid="ignore"):
            result: NDArray[np.float64] = self.atol + self.rtol * np.abs(framework)
        if not self.rounding or bound is None:
            return result
        # Where a weight is infinite there is no bound.
        return np.maximum(result, np.where(np.isnan(bound), np.inf, bound))

    def __str__(self) -> str:
        return "what rounding can explain" if self.kind == "rounding" else f"rtol {self.rtol:.2g}, atol {self.atol:.2g}"


# rtol and atol are those of torch.testing.assert_close for the format. They know nothing of the terms that are summed into a
# gate: terms of 300 in float32, or of 1 in float16, leave more rounding near zero than that. So the bound counts too.
TORCH_TOLERANCES = {
    "float64": Tolerance("torch", 1e-7, 1e-7, rounding=True),
    "float32": Tolerance("torch", 1.3e-6, 1e-5, rounding=True),
    "float16": Tolerance("torch", 1e-3, 1e-5, rounding=True),
    "bfloat16": Tolerance("torch", 1.6e-2, 1e-5, rounding=True),
}
KINDS = ("torch", "rounding", "exact")


def make_tolerance(kind: str, dtype: str, rtol: float | None = None, atol: float | None = None) -> Tolerance:
    """The tolerance of a kind for a number format; rtol and atol replace those of `torch`. Raises UsageError."""
    if kind not in KINDS:
        raise UsageError(f"unknown tolerance {kind!r}: choose one of {', '.join(KINDS)}")
    given = {"rtol": rtol, "atol": atol}
    for name, value in given.items():
        if value is not None and not 0 <= value < np.inf:
            raise UsageError(f"--{name} must be a finite number of 0 or more, not {value}")
        if value is not None and kind != "torch":
            raise UsageError(f"--{name} belongs to --tolerance torch: leave it out of --tolerance {kind}")
    if kind != "torch":
        return Tolerance(kind, 0.0, 0.0, rounding=kind == "rounding")
    default = TORCH_TOLERANCES[dtype]
    return replace(default, rtol=default.rtol if rtol is None else rtol, atol=default.atol if atol is None else atol)
