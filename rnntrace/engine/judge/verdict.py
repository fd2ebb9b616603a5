"""The comparison of a replay with a framework, and the verdict.

A verdict is given on the one-step error: the replay is forced with the framework's own state before each step, so that
rounding which the dynamics amplify over many steps (a chaotic network drifts apart with nothing wrong) is not taken for a
mistake, and a mistake is found at the step and gate where it happens. The error of the free-running trajectory is reported
beside it. Agreement counts only if it says something: see `evidence`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import groupby
from operator import attrgetter

from rnntrace.engine.judge import evidence
from rnntrace.engine.judge.pairing import Place, Quantity
from rnntrace.engine.judge.tally import First, Tally
from rnntrace.engine.judge.tolerance import Tolerance
from rnntrace.model.dtypes import Dtype, Flags
from rnntrace.model.keys import Key
from rnntrace.model.vocabulary import is_output, output_rank


class Verdict(StrEnum):
    """What a comparison says."""

    IDENTICAL = "IDENTICAL"
    PASS = "PASS"
    ROUNDED = "PASS (rounded)"
    DRIFT = "PASS (drift)"
    FAIL = "FAIL"
    UNDECIDED = "UNDECIDED"

    @property
    def passed(self) -> bool:
        """Whether the two sides agree."""
        return self in (Verdict.IDENTICAL, Verdict.PASS, Verdict.ROUNDED, Verdict.DRIFT)


@dataclass(frozen=True)
class Difference:
    """How far apart the two sides are in everything of one name.

    `max_eps` counts in units of the format's eps times the largest value of the quantity. `bad` of `of` values are out of
    tolerance on the replay's trajectory, `one_step_bad` in single steps, which is what `passed` goes by. The tolerance of
    `uninformative` ones is too wide, compared with the values, to say anything. `decimals` is how many were typed, None for
    numbers that were not.
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
    uninformative: int = 0
    decimals: int | None = None


ALONE = "no framework that is installed has this cell: give outputs to judge it by, as `expected` of compare"
"""Why nothing can be said of a replay that stands alone."""


@dataclass(frozen=True)
class Comparison:
    """The verdict and what it rests on.

    `counted` are the differences as they were counted for the verdict, `differences` those with the figures of single steps.
    `worst` is the place of the largest difference on the trajectory, `out_of_tolerance` says by (layer, direction, name)
    which values (T, B, H) of the trajectory are out. `not_finite` counts values that are NaN or infinite on both sides, or on
    the framework's alone where part of a sum can overflow its format; `by_rounding` those that agree because rounding can
    explain the difference, and not by rtol and atol, and `by_digits` those that agree because of the digits they were typed
    with. `unjudged` are quantities in which agreement says nothing, and `doubt` is the sentence why it does in none;
    `remarks` are sentences on what the values could not show.
    """

    verdict: Verdict
    tolerance: Tolerance
    counted: tuple[Difference, ...]
    first_failure: Place | None
    worst: Place | None
    out_of_tolerance: Mapping[Key, Flags]
    not_finite: int
    by_rounding: int = 0
    by_digits: int = 0
    unjudged: tuple[Key, ...] = ()
    doubt: str = ""
    remarks: tuple[str, ...] = ()
    in_single_steps: Callable[[], Sequence[Difference]] | None = field(default=None, compare=False, repr=False)

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """How far apart the two sides are, name by name; where all agreed at once, single steps are only now replayed."""
        return self.counted if self.in_single_steps is None else tuple(self.in_single_steps())

    @property
    def passed(self) -> bool:
        """Whether the two sides agree."""
        return self.verdict.passed


def compare(
    quantities: Sequence[Quantity], tolerance: Tolerance, dtype: Dtype, *, sound: bool = True, drift: bool = True
) -> Comparison:
    """Compare both sides in every quantity, given in order of computation. Raises ValueError if shapes differ."""
    tallies = [Tally(*quantity.key, tolerance, dtype) for quantity in quantities]
    out = {tally.key: tally.add(quantity) for tally, quantity in zip(tallies, quantities, strict=True)}
    return concluded(tallies, tolerance, out, sound=sound, drift=drift)


def concluded(
    tallies: Sequence[Tally], tolerance: Tolerance, out: Mapping[Key, Flags], *, sound: bool = True, drift: bool = True
) -> Comparison:
    """The verdict on what was counted, quantity by quantity in order of computation; `out` is as in a comparison.

    Unless the inputs and weights are `sound`, that is finite, agreement proves nothing: tanh makes 1 of every infinity. A
    trajectory that is out where every single step is not is `drift`, if that is accepted and rounding alone explains each step.
    """
    not_finite = sum(tally.both_not_finite for tally in tallies)
    first, drifts = _first(tallies, attrgetter("step")), any(tally.bad for tally in tallies)
    if not first and drifts:
        first = _first(tallies, attrgetter("unexplained" if drift else "trajectory"))
    evident = [tally.evidence for tally in tallies if tally.of]
    doubt = ""
    if first:
        verdict = Verdict.FAIL
    elif not tallies:
        verdict, doubt = Verdict.UNDECIDED, ALONE
    elif not_finite or not evident or not sound:
        verdict = Verdict.UNDECIDED
    elif all(tally.identical for tally in tallies):
        verdict = Verdict.IDENTICAL
    elif doubt := _doubt(tallies, tolerance):
        verdict = Verdict.UNDECIDED
    elif drifts:
        verdict = Verdict.DRIFT
    else:
        verdict = Verdict.ROUNDED if any(tally.by_digits for tally in tallies) else Verdict.PASS
    by_name = {name: [tally for tally in tallies if tally.name == name] for name in dict.fromkeys(t.name for t in tallies)}
    order = sorted(by_name, key=lambda name: (not is_output(name), output_rank(name)))
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
        sum(tally.by_digits for tally in tallies),
        tuple(tally.key for tally in tallies if tally.of and not tally.evidence.is_judged),
        doubt,
        evidence.remarks(evident) if verdict.passed else (),
    )


def _first(tallies: Sequence[Tally], of: Callable[[Tally], First]) -> Place | None:
    """The first place that is out: by layer and direction, then time as the direction runs, then order in the cell."""
    for _, column in groupby(tallies, key=lambda tally: tally.column):
        found = [first for tally in column if (first := of(tally)).place]
        if found:
            # Of those at the same time, min keeps the one that is computed first.
            return min(found, key=lambda first: first.rank).place
    return None


def _doubt(tallies: Sequence[Tally], tolerance: Tolerance) -> str:
    """Why agreement says nothing, if it does not."""
    return evidence.doubt(
        [tally.evidence for tally in tallies if tally.of],
        tolerance,
        bounded=any(tally.bounded for tally in tallies),
        decimals=max((tally.decimals for tally in tallies if tally.by_digits and tally.decimals is not None), default=None),
    )


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
        uninformative=sum(tally.evidence.uninformative for tally in tallies),
        decimals=max((tally.decimals for tally in tallies if tally.decimals is not None), default=None),
    )
