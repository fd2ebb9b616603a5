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

from rnntrace.engine.quantities import OUTPUTS, Place, Quantity
from rnntrace.engine.tally import Tally
from rnntrace.engine.tolerance import Tolerance
from rnntrace.engine.trace import Key
from rnntrace.model.dtypes import Dtype, Flags


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
    """Compare both sides in every quantity, given in order of computation. Raises ValueError if shapes differ."""
    tallies = [Tally(quantity.name, quantity.layer, quantity.direction, tolerance, dtype) for quantity in quantities]
    out = {tally.key: tally.add(quantity) for tally, quantity in zip(tallies, quantities, strict=True)}
    return concluded(tallies, tolerance, out, sound=sound)


def concluded(tallies: Sequence[Tally], tolerance: Tolerance, out: Mapping[Key, Flags], *, sound: bool = True) -> Comparison:
    """The verdict on what was counted, quantity by quantity in order of computation; `out` is as in a comparison.

    Unless the inputs and weights are `sound`, that is finite, agreement proves nothing: tanh makes 1 of every infinity.
    """
    not_finite = sum(tally.both_not_finite for tally in tallies)
    first = _first_failure(tallies)
    if first:
        verdict = Verdict.FAIL
    elif not_finite or not any(tally.of for tally in tallies) or not sound:
        verdict = Verdict.UNDECIDED
    elif all(tally.identical for tally in tallies):
        verdict = Verdict.IDENTICAL
    else:
        verdict = Verdict.DRIFT if any(tally.bad for tally in tallies) else Verdict.PASS
    by_name = {name: [tally for tally in tallies if tally.name == name] for name in dict.fromkeys(t.name for t in tallies)}
    order = [*(name for name in OUTPUTS if name in by_name), *(name for name in by_name if name not in OUTPUTS)]
    worst = max(tallies, key=lambda tally: tally.largest, default=None)
    return Comparison(
        verdict,
        tolerance,
        tuple(_difference(name, by_name[name]) for name in order),
        first,
        worst.worst if worst else None,
        out,
        not_finite,
        sum(tally.by_rounding for tally in tallies),
    )


def _first_failure(tallies: Sequence[Tally]) -> Place | None:
    """The first value out of tolerance: by layer and direction, then time as the direction runs, then order in the cell."""
    for _, column in groupby(tallies, key=lambda tally: tally.column):
        found = [(tally.rank, tally.first_failure) for tally in column if tally.first_failure]
        if found:
            # Of those at the same time, min keeps the one that is computed first.
            return min(found, key=lambda failure: failure[0])[1]
    return None


def _difference(name: str, tallies: Sequence[Tally]) -> Difference:
    one_step_bad, of = sum(tally.one_step_bad for tally in tallies), sum(tally.of for tally in tallies)
    return Difference(
        name=name,
        max_abs=max(max(tally.largest, 0.0) for tally in tallies),
        max_rel=max(tally.relative for tally in tallies),
        max_eps=max(tally.in_eps for tally in tallies),
        one_step_max_abs=max(tally.one_step_largest for tally in tallies),
        bad=sum(tally.bad for tally in tallies),
        one_step_bad=one_step_bad,
        of=of,
        passed=not one_step_bad and bool(of),
    )
