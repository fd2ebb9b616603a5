"""What agreement proves: whether other values than the right ones would have agreed as well.

A tolerance can be wider than the values that it judges: bounds grow with the format's eps and the size of the sums, and any
tolerance can be asked for. Then zeros agree too, and a pass would say nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.judge.tolerance import Tolerance
from rnntrace.model.dtypes import Dtype, Flags

Values = NDArray[np.float64]

TELLING = 0.2
"""A value tells something if it agrees within this part of the root mean square of its quantity."""
CLEAR = 1e-3
"""Allowances this far below the values are not counted one by one."""
SAME = 4.0
"""A change of so many eps of the largest value is none: units, steps or items that are equal but for rounding."""
FIRST = 16
"""So many steps are looked at before all are."""
_SHIFT = 46
"""Without so many of its last bits a float64 keeps its exponent and 6 bits: allowances are counted to within 1.6 %."""

WRONG: dict[str, tuple[Callable[[Values], Values], int | None]] = {
    "zeros": (np.zeros_like, None),
    "the units in reverse order": (lambda values: values[..., ::-1], 2),
    "the steps in reverse order": (lambda values: values[::-1], 0),
    "the items in reverse order": (lambda values: values[:, ::-1], 1),
}
"""What is put in place of the right values (T, B, ·), and the axis that must be longer than one for it to be anything else."""


@dataclass
class _Trial:
    """One wrong answer: whether it was tried at all, and refuted, and how far it is from the right one at most."""

    tried: bool = False
    refuted: bool = False
    moved: float = 0.0


class Evidence:
    """What agreement in one quantity proves, gathered piece by piece."""

    def __init__(self, dtype: Dtype) -> None:
        self.dtype = dtype
        self.of, self.squares, self.apart, self.largest = 0, 0.0, 0.0, 0.0
        self.trials = {name: _Trial() for name in WRONG}
        self._allowances: dict[int, int] = {}

    def add(self, right: Values, delta: Values, needed: Values, counted: Flags | None) -> None:
        """Some more right values (T, B, ·), how far off the other side is, and what had to be allowed for it to agree.

        Only those that are `counted` say anything; None for all.
        """
        if not (right.size if counted is None else counted.any()):
            return
        values, apart, allowances = (array if counted is None else array[counted] for array in (right, delta, needed))
        squares = float(np.vdot(values, values))
        if not np.isfinite(squares):
            values = np.where(np.isfinite(values), values, 0.0)
            squares = float(np.vdot(values, values))
        self.of += values.size
        self.squares += squares
        self.apart += float(np.vdot(apart, apart))
        self.largest = max(self.largest, float(values.max()), -float(values.min()))
        self._count(allowances, clear=float(allowances.max()) <= CLEAR * (squares / values.size) ** 0.5)
        for name, (wrong, axis) in WRONG.items():
            trial = self.trials[name]
            if not trial.refuted and (axis is None or right.shape[axis] > 1):
                self._try(trial, right, wrong(right), needed, counted)

    def _count(self, allowances: Values, *, clear: bool) -> None:
        """Add to the numbers of allowances by size; those that are `clear` of every limit count as the largest of them."""
        codes = np.atleast_1d(allowances.max() if clear else allowances).ravel().view(np.int64) >> _SHIFT
        lowest = int(codes.min())
        numbers = np.bincount(codes - lowest) * (allowances.size if clear else 1)
        for code in np.flatnonzero(numbers):
            self._allowances[lowest + int(code)] = self._allowances.get(lowest + int(code), 0) + int(numbers[code])

    def _try(self, trial: _Trial, right: Values, other: Values, needed: Values, counted: Flags | None) -> None:
        trial.tried = True
        # A wrong answer is mostly refuted by the first steps.
        for rows in (slice(0, FIRST), slice(None)) if len(right) > FIRST else (slice(None),):
            with np.errstate(invalid="ignore"):
                apart = np.abs(right[rows] - other[rows])
                # Steps that do not exist on one side say nothing.
                compared = np.isfinite(apart) if counted is None else counted[rows] & np.isfinite(apart)
                trial.refuted = bool((compared & ~(apart <= needed[rows])).any())
            if trial.refuted:
                return
        trial.moved = float(apart.max(initial=trial.moved, where=compared))

    @property
    def is_zero(self) -> bool:
        """Whether every right value is 0."""
        return not self.largest

    @property
    def uninformative(self) -> int:
        """Values that agree only by a tolerance of more than a fifth of the root mean square of all of them."""
        if self.is_zero:
            return 0
        limit = np.float64(TELLING * (self.squares / self.of) ** 0.5).view(np.int64) >> _SHIFT
        return sum(number for code, number in self._allowances.items() if code > limit)

    @property
    def is_judged(self) -> bool:
        """Whether at least half of the values tell something, and the two sides are not a fifth of the values apart."""
        return 2 * self.uninformative <= self.of > 0 and self.apart <= TELLING**2 * self.squares < np.inf

    def is_other(self, name: str) -> bool:
        """Whether a wrong answer is another one than the right values, but for rounding."""
        trial = self.trials[name]
        return trial.refuted or trial.moved > SAME * self.dtype.eps * self.largest


def doubt(evidence: Sequence[Evidence], tolerance: Tolerance, *, bounded: bool, decimals: int | None) -> str:
    """Why agreement in all these quantities says nothing, in a sentence; empty if it says something.

    `bounded` says that bounds on rounding were in force, and `decimals` to how many digits values agree that were typed.
    """
    if all(found.is_zero for found in evidence):
        return ""
    wide, advice = f"{tolerance}", "a narrower tolerance"
    if decimals is not None:
        wide, advice = f"half a unit of decimal place {decimals}, as typed", "more decimals"
    elif bounded and tolerance.kind != "decimals":
        dtype = evidence[0].dtype
        wide, advice = f"what rounding in {dtype.name} can explain", "float64" if dtype.eps < 1e-6 else "float32"
    elif tolerance.kind == "torch" and tolerance.rounding:
        advice = "`tolerance=rounding`"
    helps = f"{advice} or other weights would help"
    telling = [found for found in evidence if found.is_judged and not found.is_zero]
    if not telling:
        return f"agreement says nothing: the tolerance ({wide}) is more than a fifth of the values; {helps}"
    for name in WRONG:
        others = [found for found in telling if found.is_other(name)]
        if others and not any(found.trials[name].refuted for found in others):
            return f"agreement says nothing: within the tolerance ({wide}) {name} would agree as well; {helps}"
    return ""


def remarks(evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """What the right values are such that a mistake of that sort would not be seen, in sentences."""
    if not evidence:
        return ()
    if all(found.is_zero for found in evidence):
        return ("every value is 0: a mistake that leaves zeros would not be seen",)
    found = []
    for name in list(WRONG)[1:]:
        tried = [entry for entry in evidence if entry.trials[name].tried and not entry.is_zero]
        if tried and not any(entry.is_other(name) for entry in tried):
            what = name.removeprefix("the ").partition(" ")[0]
            found.append(f"all {what} have the same values: a mistake that mixes up {what} would not be seen")
    return tuple(found)
