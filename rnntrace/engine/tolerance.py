"""How far apart two values may be and still agree."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import UsageError
from rnntrace.model.dtypes import Array

LAMBDA = 2.0
"""λ: rounding errors of a sum stay within the bound with probability 1 - 2·exp(-λ²/2) even if each were the worst."""


@dataclass(frozen=True)
class Tolerance:
    """Two values agree if |replay - framework| ≤ atol + rtol · |framework|.

    With `rounding` they also agree if rounding alone can explain the difference, by the bound on that value's own error,
    which grows with `lam`, λ.
    """

    kind: str
    rtol: float
    atol: float
    rounding: bool = False
    lam: float = LAMBDA

    def allowed(self, framework: NDArray[np.float64], bound: Array | None = None) -> NDArray[np.float64]:
        """The difference allowed at each value; `bound` is what rounding can do there."""
        with np.errstate(invalid="ignore"):
            result: NDArray[np.float64] = self.atol + self.rtol * np.abs(framework)
        if not self.rounding or bound is None:
            return result
        # Where a weight is infinite there is no bound.
        return np.maximum(result, np.where(np.isnan(bound), np.inf, bound))

    def __str__(self) -> str:
        given = f"λ = {self.lam:g}" if self.kind == "rounding" or self.lam != LAMBDA else ""
        pair = "what rounding can explain" if self.kind == "rounding" else f"rtol {self.rtol:.2g}, atol {self.atol:.2g}"
        return ", ".join(filter(None, (pair, given)))


# rtol and atol are those of torch.testing.assert_close for the format. They know nothing of the terms that are summed into a
# gate: terms of 300 in float32, or of 1 in float16, leave more rounding near zero than that. So the bound counts too.
TORCH_TOLERANCES = {
    "float64": Tolerance("torch", 1e-7, 1e-7, rounding=True),
    "float32": Tolerance("torch", 1.3e-6, 1e-5, rounding=True),
    "float16": Tolerance("torch", 1e-3, 1e-5, rounding=True),
    "bfloat16": Tolerance("torch", 1.6e-2, 1e-5, rounding=True),
}
KINDS = ("torch", "rounding", "exact")


def make_tolerance(
    kind: str, dtype: str, rtol: float | None = None, atol: float | None = None, lam: float | None = None
) -> Tolerance:
    """The tolerance of a kind for a number format; rtol, atol and λ replace its own. Raises UsageError."""
    if kind not in KINDS:
        raise UsageError(f"unknown tolerance {kind!r}: choose one of {', '.join(KINDS)}")
    given = {"rtol": rtol, "atol": atol}
    for name, value in given.items():
        if value is not None and not 0 <= value < np.inf:
            raise UsageError(f"--{name} must be a finite number of 0 or more, not {value}")
        if value is not None and kind != "torch":
            raise UsageError(f"--{name} belongs to --tolerance torch: leave it out of --tolerance {kind}")
    if lam is not None and kind == "exact":
        raise UsageError("--lambda belongs to what rounding can explain: leave it out of --tolerance exact")
    if lam is not None and not 0 < lam < np.inf:
        raise UsageError(f"--lambda must be a finite number above 0, not {lam}")
    default = TORCH_TOLERANCES[dtype] if kind == "torch" else Tolerance(kind, 0.0, 0.0, rounding=kind == "rounding")
    return replace(
        default,
        rtol=default.rtol if rtol is None else rtol,
        atol=default.atol if atol is None else atol,
        lam=default.lam if lam is None else lam,
    )
