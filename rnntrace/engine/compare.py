"""The comparison of a replay with a framework, and the verdict.

A verdict is given on the one-step error: the replay is forced with the framework's own state before each step, so that
rounding which the dynamics amplify over many steps (a chaotic network drifts apart with nothing wrong) is not taken for a
mistake, and a mistake is found at the step and gate where it happens. The error of the free-running trajectory is reported
beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.quantities import OUTPUTS, Quantity
from rnntrace.engine.tolerance import Tolerance
from rnntrace.engine.trace import Key
from rnntrace.model.dtypes import Array, Dtype, Flags
from rnntrace.model.spec import REVERSE


class Verdict(StrEnum):
    """What a comparison says."""

    IDENTICAL = "IDENTICAL"
    PASS = "PASS"
    DRIFT = "PASS (drift)"
    FAIL = "FAIL"
    UNDECIDED = "UNDECIDED"

    @property
    def passed(self) -> bool:
        """Whether the two sides agree."""
        return self in (Verdict.IDENTICAL, Verdict.PASS, Verdict.DRIFT)


@dataclass(frozen=True)
class Place:
    """One value in one quantity, and what both sides have there."""

    layer: int
    direction: str
    symbol: str
    t: int
    item: int
    unit: int
    replay: float
    framework: float


@dataclass(frozen=True)
class Difference:
    """How far apart the two sides are in everything of one name.

    `max_eps` counts in units of the format's eps times the largest value of the quantity. `bad` of `of` values are out of
    tolerance on the replay's trajectory, `one_step_bad` in single steps, which is what `passed` goes by.
    """

    name: str
    max_abs: float
    max_rel: float
    max_eps: float
    one_step_max_abs: float
    bad: int
    one_step_bad: int
    of: int
    passed: bool


@dataclass(frozen=True)
class Comparison:
    """The verdict and what it rests on.

    `worst` is the place of the largest difference on the trajectory, `out_of_tolerance` says by (layer, direction, name)
    which values (T, B, H) of the trajectory are out. `not_finite` counts values that are NaN or infinite on both sides, or on
    the framework's alone where part of a sum can overflow its format; `by_rounding` those that agree because rounding can
    explain the difference, and not by rtol and atol.
    """

    verdict: Verdict
    tolerance: Tolerance
    differences: tuple[Difference, ...]
    first_failure: Place | None
    worst: Place | None
    out_of_tolerance: Mapping[Key, Flags]
    not_finite: int
    by_rounding: int = 0


def judge(quantities: Sequence[Quantity], tolerance: Tolerance, dtype: Dtype, *, sound: bool = True) -> Comparison:
    """Compare both sides in every quantity, given in order of computation. Raises ValueError if shapes differ.

    Unless the inputs and weights are `sound`, that is finite, agreement proves nothing: tanh makes 1 of every infinity.
    """
    sides = [_Sides(quantity, tolerance, dtype) for quantity in quantities]
    not_finite = sum(int(side.both_not_finite.sum()) for side in sides)
    judged = sum(int(side.counted.sum()) for side in sides)
    first = _first_failure(sides)
    if first:
        verdict = Verdict.FAIL
    elif not_finite or not judged or not sound:
        verdict = Verdict.UNDECIDED
    elif all(side.identical for side in sides):
        verdict = Verdict.IDENTICAL
    else:
        verdict = Verdict.DRIFT if any(side.bad.any() for side in sides) else Verdict.PASS
    by_name = {
        name: [side for side in sides if side.quantity.name == name] for name in dict.fromkeys(q.name for q in quantities)
    }
    order = [*(name for name in OUTPUTS if name in by_name), *(name for name in by_name if name not in OUTPUTS)]
    differences = tuple(_difference(name, by_name[name]) for name in order)
    worst = max(sides, key=lambda side: side.largest, default=None)
    place = worst.place_of_largest() if worst else None
    out = {(q.layer, q.direction, q.name): side.bad for side in sides for q in [side.quantity]}
    by_rounding = sum(side.by_rounding for side in sides)
    return Comparison(verdict, tolerance, differences, first, place, out, not_finite, by_rounding)


class _Sides:
    """One quantity's two sides in float64, and where they part."""

    def __init__(self, quantity: Quantity, tolerance: Tolerance, dtype: Dtype) -> None:
        self.quantity = quantity
        self.replay, self.framework = as_held(quantity.replay, dtype), quantity.framework.astype(np.float64)
        one_step = as_held(quantity.one_step, dtype)
        if not self.replay.shape == self.framework.shape == one_step.shape:
            raise ValueError(
                f"{quantity.name}: replay {self.replay.shape} and framework {self.framework.shape} differ in shape"
            )
        self.valid = np.ones(self.replay.shape, bool)
        if quantity.valid is not None:
            self.valid &= quantity.valid[..., None]
        bound = quantity.bound
        # An infinite bound: part of a sum can be too large for the format. The framework may have lost the value there; where
        # it has not, sums of that size leave so much rounding.
        overflows = np.zeros((), bool) if bound is None else np.isposinf(bound)
        bound = bound if bound is None else np.where(overflows, dtype.eps * dtype.largest, bound)
        self.both_not_finite = self.valid & ~np.isfinite(self.framework) & (~np.isfinite(one_step) | overflows)
        self.counted = self.valid & ~self.both_not_finite
        allowed = tolerance.allowed(self.framework, bound)
        self.delta, self.bad = self._part(self.replay, allowed)
        self.one_step_delta, self.one_step_bad = self._part(one_step, allowed)
        _, beyond_pair = self._part(one_step, tolerance.allowed(self.framework))
        self.by_rounding = int((beyond_pair & ~self.one_step_bad).sum())
        self.eps = dtype.eps

    def _part(self, replay: NDArray[np.float64], allowed: NDArray[np.float64]) -> tuple[NDArray[np.float64], Flags]:
        """|replay - framework|, and where it is out of tolerance; a value that is finite on one side only always is."""
        with np.errstate(invalid="ignore"):
            delta = np.abs(replay - self.framework)
            agree = (delta <= allowed) & np.isfinite(replay) & np.isfinite(self.framework)
        return np.where(np.isnan(delta), np.inf, delta), self.counted & ~agree

    @property
    def identical(self) -> bool:
        return self.replay[self.valid].tobytes() == self.framework[self.valid].tobytes()

    @property
    def largest(self) -> float:
        return float(self.delta[self.counted].max(initial=-1.0))

    @property
    def relative(self) -> float:
        with np.errstate(all="ignore"):
            ratio = np.where(self.delta == 0, 0.0, self.delta / np.abs(self.framework))
        return float(ratio[self.counted].max(initial=0.0))

    @property
    def in_eps(self) -> float:
        scale = float(np.abs(self.framework[self.counted]).max(initial=0.0))
        return max(self.largest, 0.0) / (self.eps * scale) if scale else (np.inf if self.largest > 0 else 0.0)

    def place_of_largest(self) -> Place | None:
        if self.largest < 0:
            return None
        return self.place(np.argwhere(self.counted & (self.delta == self.largest))[0])

    def place(self, index: NDArray[np.int_], replay: Array | None = None) -> Place:
        row, item, unit = map(int, index)
        quantity = self.quantity
        values = self.replay if replay is None else replay
        return Place(
            quantity.layer,
            quantity.direction,
            quantity.name,
            int(quantity.t[row, item]),
            item,
            unit,
            float(values[row, item, unit]),
            float(self.framework[row, item, unit]),
        )

    def first_failure(self) -> tuple[int, Place] | None:
        """The first value whose single step is out, as time runs in this direction, and its rank in time."""
        rows = np.flatnonzero(self.one_step_bad.any(axis=(1, 2)))
        if not rows.size:
            return None
        row = rows[-1] if self.quantity.direction == REVERSE else rows[0]
        item, unit = np.argwhere(self.one_step_bad[row])[0]
        rank = -int(row) if self.quantity.direction == REVERSE else int(row)
        return rank, self.place(np.array([row, item, unit]), self.quantity.one_step)


def as_held(replay: Array, dtype: Dtype) -> NDArray[np.float64]:
    """The replay's values, infinite where they are too large for the framework's format: the replay's may be wider."""
    values = replay.astype(np.float64)
    return np.where(np.abs(values) > dtype.largest, np.copysign(np.inf, values), values)


def _first_failure(sides: Sequence[_Sides]) -> Place | None:
    """The first value out of tolerance: by layer and direction, then time as the direction runs, then order in the cell."""
    for _, column in groupby(sides, key=lambda side: side.quantity.column):
        found = [failure for side in column if (failure := side.first_failure())]
        if found:
            # Of those at the same time, min keeps the one that is computed first.
            return min(found, key=lambda failure: failure[0])[1]
    return None


def _difference(name: str, sides: Sequence[_Sides]) -> Difference:
    one_step_bad = sum(int(side.one_step_bad.sum()) for side in sides)
    return Difference(
        name=name,
        max_abs=max(max(side.largest, 0.0) for side in sides),
        max_rel=max(side.relative for side in sides),
        max_eps=max(side.in_eps for side in sides),
        one_step_max_abs=max(float(side.one_step_delta[side.counted].max(initial=0.0)) for side in sides),
        bad=sum(int(side.bad.sum()) for side in sides),
        one_step_bad=one_step_bad,
        of=sum(int(side.counted.sum()) for side in sides),
        passed=not one_step_bad and any(side.counted.any() for side in sides),
    )
