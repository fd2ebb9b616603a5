"""How far apart two values may be and still agree."""

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import UsageError
from rnntrace.model.dtypes import DTYPES, Array, Dtype

LAMBDA = 2.0
"""λ: rounding errors of a sum stay within the bound with probability 1 - 2·exp(-λ²/2) even if each were the worst."""
MOST_DIGITS = 17
"""No format has more significant digits."""
CARRIED = 6.0
"""What typed weights and inputs leave open, the half unit of a typed output included, in half units of that output."""


@dataclass(frozen=True)
class Tolerance:
    """Two values agree if |replay - framework| ≤ atol + rtol · |framework|.

    With `rounding` they also agree if rounding alone can explain the difference, by the bound on that value's own error,
    which grows with `lam`, λ. Of kind ulp they agree within `n` units in the last place of the format `dtype`, and of kind
    decimals within half a unit of the `n`th decimal and what rounding can do beside that.
    """

    kind: str
    rtol: float
    atol: float
    rounding: bool = False
    lam: float = LAMBDA
    n: int | None = None
    dtype: str = "float32"

    @property
    def of_trajectory(self) -> bool:
        """Whether every value is judged as it was given: single steps that start from rounded states would be off by more."""
        return self.kind in ("ulp", "decimals") or (self.kind == "torch" and not self.rounding)

    def allowed(self, framework: NDArray[np.float64], bound: Array | None = None) -> NDArray[np.float64]:
        """The difference allowed at each value; `bound` is what rounding can do there."""
        with np.errstate(invalid="ignore"):
            result: NDArray[np.float64] = self.atol + self.rtol * np.abs(framework)
        if self.kind == "ulp":
            result = (self.n or 0) * last_place(framework, DTYPES[self.dtype])
        if self.rounding and bound is not None:
            # Where a weight is infinite there is no bound.
            possible = np.where(np.isnan(bound), np.inf, bound)
            result = result + possible if self.kind == "decimals" else np.maximum(result, possible)
        return result

    def __str__(self) -> str:
        given = f"λ = {self.lam:g}" if self.kind == "rounding" or self.lam != LAMBDA else ""
        within = {
            "rounding": "what rounding can explain",
            "ulp": f"{self.n} ulp of {self.dtype}",
            "decimals": f"half a unit of decimal place {self.n}",
        }.get(self.kind, f"rtol {self.rtol:.2g}, atol {self.atol:.2g}")
        return ", ".join(filter(None, (within, given)))


def with_digits(allowed: NDArray[np.float64], half_unit: Array, carried: Array | None) -> NDArray[np.float64]:
    """What is allowed where the value was typed: half a unit of its last digit more.

    `carried` is what digits missing from typed weights and inputs make of the value; that counts too, as far as the whole stays
    within CARRIED half units.
    """
    whole: NDArray[np.float64] = allowed + half_unit
    return whole if carried is None else whole + np.clip(CARRIED * half_unit - whole, 0, carried)


def last_place(values: NDArray[np.float64], dtype: Dtype) -> NDArray[np.float64]:
    """One unit in the last place of each value in a format: the gap to the next larger value of that format."""
    _, exponent = np.frexp(np.where(np.isfinite(values), values, 0.0))
    # frexp counts from 0.5: a value of 1 has exponent 1 and the gap eps.
    gap: NDArray[np.float64] = np.ldexp(dtype.eps, exponent - 1)
    return np.where(values == 0, dtype.smallest, np.maximum(gap, dtype.smallest))


# rtol and atol are those of torch.testing.assert_close for the format. They know nothing of the terms that are summed into a
# gate: terms of 300 in float32, or of 1 in float16, leave more rounding near zero than that. So the bound counts too.
TORCH_TOLERANCES = {
    "float64": Tolerance("torch", 1e-7, 1e-7, rounding=True),
    "float32": Tolerance("torch", 1.3e-6, 1e-5, rounding=True),
    "float16": Tolerance("torch", 1e-3, 1e-5, rounding=True),
    "bfloat16": Tolerance("torch", 1.6e-2, 1e-5, rounding=True),
}
KINDS = ("torch", "rounding", "exact", "ulp:N", "decimals:N")
_COUNTED = re.compile("(ulp|decimals):([0-9]{1,6})")


def make_tolerance(
    kind: str, dtype: str, rtol: float | None = None, atol: float | None = None, lam: float | None = None
) -> Tolerance:
    """The tolerance of a kind for a number format. Raises UsageError.

    `rtol` or `atol` given: this pair alone decides, one that is not given being the format's; λ replaces that of the bound.
    """
    counted = _COUNTED.fullmatch(kind)
    if kind not in KINDS[:3] and not counted:
        if re.fullmatch(r"[0-9.]+(e-?[0-9]+)?", kind):
            raise UsageError(f"`tolerance` is a word: how far apart values may be is `rtol={kind}`, `atol={kind}` or both")
        raise UsageError(
            f"unknown tolerance {kind!r}: choose one of {', '.join(KINDS)}, N a whole number of six digits or fewer"
        )
    pair = {name: value for name, value in (("rtol", rtol), ("atol", atol)) if value is not None}
    for name, value in pair.items():
        if not 0 <= value < np.inf:
            raise UsageError(f"`{name}` must be a finite number of 0 or more, not {value}")
        if kind != "torch":
            raise UsageError(f"`{name}` belongs to `tolerance=torch`: leave it out of `tolerance={kind}`")
    tolerance = _counted(counted[1], int(counted[2]), dtype) if counted else _of_kind(kind, dtype, pair)
    if lam is not None and not tolerance.rounding:
        what = f"`tolerance={kind}`" if kind != "torch" else " and ".join(f"`{name}`" for name in pair)
        raise UsageError(f"`lam` belongs to what rounding can explain: leave it out of {what}")
    if lam is not None and not 0 < lam < np.inf:
        raise UsageError(f"`lam` must be a finite number above 0, not {lam}")
    return replace(tolerance, lam=tolerance.lam if lam is None else lam, dtype=dtype)


def _of_kind(kind: str, dtype: str, pair: dict[str, float]) -> Tolerance:
    if kind != "torch":
        return Tolerance(kind, 0.0, 0.0, rounding=kind == "rounding")
    own = TORCH_TOLERANCES[dtype]
    return replace(own, **pair, rounding=False) if pair else own  # type: ignore[arg-type]


def _counted(kind: str, n: int, dtype: str) -> Tolerance:
    if kind == "ulp":
        return Tolerance(kind, 0.0, 0.0, n=n, dtype=dtype)
    if n > MOST_DIGITS:
        raise UsageError(f"`tolerance=decimals:{n}` asks for more digits than a number has: give 0 to {MOST_DIGITS}")
    return Tolerance(kind, 0.0, 0.5 * 10.0**-n, rounding=True, n=n)
