"""Which known mistake explains the values that somebody else computed.

Every mistake of the catalogue is made on purpose and its values are compared with the given ones; if no single one explains
them, pairs of different families are tried. A cheap trial on the first steps of one item sorts out nearly all of them. What
explains a difference agrees, in as many digits as were given, and leaves clearly less than there was. Too few digits are an
answer of their own, where nothing else is.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import log2

import numpy as np

from rnntrace.engine.diagnose.agreement import Distance, Target, Values
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.coarse import coarse
from rnntrace.engine.diagnose.digits import Digits, digits_of
from rnntrace.engine.diagnose.distinguish import Distinction, distinguish
from rnntrace.engine.diagnose.likeness import OPEN, likenesses
from rnntrace.engine.diagnose.mistake import Applied, Mistake, apply, catalogue
from rnntrace.engine.diagnose.screening import Screening
from rnntrace.engine.judge.pairing import Place, pair_outputs, pair_up
from rnntrace.engine.judge.tolerance import Tolerance, make_tolerance
from rnntrace.engine.judge.verdict import compare

NEAREST = 8
"""So many of those that came nearest in the trial are tried in full where nothing explains it."""
AS_GOOD, AS_GOOD_COARSE = 64, 1.5
"""An answer that leaves so many times more than the best one, and more than rounding, is not as good; of coarse values, in the
root mean square."""
MARGIN = 5.0
"""Agreement must tell so many bits more than it takes to choose one of all hypotheses."""

Hypothesis = tuple[Mistake, ...]


@dataclass(frozen=True)
class Answer:
    """One or two mistakes, the largest difference that they leave, and the first place that they do not explain, if any."""

    mistakes: Hypothesis
    after: float
    unexplained: Place | None = None
    rms: float = 0.0

    @property
    def id(self) -> str:
        """The mistakes' ids, joined by +."""
        return "+".join(mistake.id for mistake in self.mistakes)


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    `before` is the largest difference without any mistake, infinite where shapes differ. `answers` explain it equally well, the
    commoner first, and `apart` is a change of the input under which some of them would differ. `nearest` is the single mistake
    that comes nearest where none explains it, if it explains more than half of the difference; `may_be` says what else it looks
    like, and `first` is the first place that differs. `tried` counts hypotheses, and `exhausted` is False if the time was over
    before every pair was tried. `coarse` says what digits the given values have where these are fewer than the module's.
    """

    before: float
    answers: tuple[Answer, ...] = ()
    apart: Distinction | None = None
    nearest: Answer | None = None
    tried: int = 0
    exhausted: bool = True
    coarse: str = ""
    may_be: tuple[str, ...] = ()
    first: Place | None = None

    @classmethod
    def of_nothing(cls) -> "Diagnosis":
        """Nothing was tried: there is nothing to explain."""
        return cls(0.0)

    @property
    def distinguishing_run(self) -> str:
        """The change of the input in words; empty if none of ours tells answers apart."""
        return self.apart.change.says if self.apart else ""


def diagnose(
    case: Case,
    expected: Values,
    tolerance: Tolerance,
    *,
    seconds: float = 10.0,
    half_units: Values | None = None,
    paired: Callable[[Mistake], bool] = lambda mistake: True,
) -> Diagnosis:
    """The mistakes that explain `expected`, single ones first, and pairs if there are none; all within some seconds.

    `expected` holds output, h_n or c_n, time-major, and gates and states by key, as far as they are known; `half_units` are
    half a unit of the last digit of values that were typed, in their shape. Pairs are made of mistakes that may be `paired`.
    """
    end = time.monotonic() + seconds
    plain = Target.of(case, expected, tolerance, half_units=half_units)
    right = plain.values_of(case) or {}
    digits = _digits(case, expected, right)
    # Of values that were typed, each one's last digit is known.
    fit = Target.of(case, expected, tolerance, digits) if digits and not half_units else plain
    before = fit.off(right)
    search = _Search(case, fit, before, lambda: time.monotonic() > end)
    # To change the weights of a large module takes time too.
    possible = [mistake for mistake in catalogue(case.cell) if not search.is_over() and mistake.change(case)]
    search.late = search.is_over()
    # A commoner mistake is one that the conventions of more frameworks invite.
    mistakes = sorted(possible, key=lambda mistake: (mistake.rare, -len(mistake.frameworks)))
    search.try_all((mistake,) for mistake in mistakes)
    nearest: Answer | None = None
    may_be: tuple[str, ...] = ()
    if not search.answers and not search.is_over():
        # Pairs may take all the time that there is.
        nearest, may_be = search.nearest(), likenesses(case, right, fit, before)
    place = {mistake.id: number for number, mistake in enumerate(possible)}
    for rare in range(3):
        if not (before.agrees or search.answers):
            search.try_all(_pairs([*filter(paired, mistakes)], place, rare=rare))
    answers = search.answers_of(plain)
    found = Diagnosis(before.largest, tried=search.tried, exhausted=not search.late, coarse=digits.name if digits else "")
    if not answers and before.agrees and digits:
        answers = (Answer((coarse(case.cell, digits),), before.largest),)
    if answers:
        hypotheses = [answer.mistakes for answer in answers]
        several = len(answers) > 1 and not search.is_over()
        return replace(found, answers=answers, apart=distinguish(case, hypotheses, tolerance, digits) if several else None)
    if nearest:
        may_be = tuple(kind for kind in may_be if kind != OPEN)
    return replace(found, nearest=nearest, may_be=may_be, first=_first(apply(case), fit))


def _digits(case: Case, expected: Values, right: Values) -> Digits | None:
    def joined(values: Values) -> np.ndarray:
        return np.concatenate([np.ravel(array) for array in values.values()]) if values else np.zeros(0)

    return digits_of(joined(expected), joined({name: right[name] for name in expected if name in right}), case.spec.precision)


def _pairs(mistakes: Sequence[Mistake], place: Mapping[str, int], *, rare: int) -> Iterator[Hypothesis]:
    """Pairs of two families, so many of the two mistakes being rare, each in the order in which they act."""
    for first, second in combinations([(mistake, mistake.family) for mistake in mistakes], 2):
        if first[1] != second[1] and first[0].rare + second[0].rare == rare:
            both = first[0], second[0]
            yield both if place[both[0].id] < place[both[1].id] else both[::-1]


class _Search:
    """Hypotheses that are tried on a case until the time is over, and what came of them."""

    def __init__(self, case: Case, fit: Target, before: Distance, is_over: Callable[[], bool]) -> None:
        self.case, self.fit, self.before, self.is_over = case, fit, before, is_over
        self.answers: list[Answer] = []
        self.hopes: list[tuple[float, Hypothesis]] = []
        self.tried, self.late = 0, False
        self.trial = Screening(case, fit)

    def try_all(self, hypotheses: Iterable[Hypothesis]) -> None:
        """Try them one after the other."""
        for hypothesis in hypotheses:
            if self.is_over():
                self.late = True
                return
            self.tried += 1
            off = self.trial.off(hypothesis)
            if off is None:
                off = self.fit.off(self.fit.values_of(self.case, hypothesis))
                if off.explains(self.before):
                    self.answers.append(Answer(hypothesis, off.largest, rms=off.rms))
            if len(hypothesis) == 1:
                self.hopes.append((off.largest, hypothesis))

    def answers_of(self, plain: Target) -> tuple[Answer, ...]:
        """Those that leave about as little as the best one, in the order in which they came, unless chance would give them.

        `plain` knows of no digits that are missing: what agrees by that is sure to be no chance.
        """
        answers, choice = self.answers, log2(max(self.tried, 1)) + MARGIN
        if self.fit.bits < choice:
            agree = [plain.off(plain.values_of(self.case, found.mistakes)).agrees for found in answers]
            answers = [found for found, sure in zip(answers, agree, strict=True) if sure and plain.bits >= choice]
        if self.fit is not plain:
            enough = AS_GOOD_COARSE * min((answer.rms for answer in answers), default=0.0)
            return tuple(answer for answer in answers if answer.rms <= max(enough, _rounding(self.fit)))
        enough = max(AS_GOOD * min((answer.after for answer in answers), default=0.0), _rounding(self.fit))
        return tuple(answer for answer in answers if answer.after <= enough)

    def nearest(self) -> Answer | None:
        """The single mistake that leaves least, if that is less than half of what there was before."""
        best: Answer | None = None
        for _, hypothesis in sorted(self.hopes, key=lambda found: found[0])[:NEAREST]:
            if self.is_over():
                break
            off = self.fit.off(self.fit.values_of(self.case, hypothesis))
            half = off.is_clearly_less(self.before) and off.largest < self.before.largest / 2
            if half and (best is None or off.largest < best.after):
                best = Answer(hypothesis, off.largest, rms=off.rms)
        return best and replace(best, unexplained=_first(apply(self.case, best.mistakes), self.fit))


def _rounding(fit: Target) -> float:
    """What float32 does to the largest value."""
    largest = max(float(np.abs(values).max(initial=0.0, where=np.isfinite(values))) for values in fit.expected.values())
    return float(np.finfo(np.float32).eps) * largest


def _first(found: Applied | None, fit: Target) -> Place | None:
    """The first place where what somebody computes is not what was given."""
    if found is None:
        return None
    names = {name: fit.expected[name] for name in fit.expected if isinstance(name, str)}
    columns = {name: fit.expected[name] for name in fit.expected if not isinstance(name, str)}

    def paired(outputs: Mapping, gates: Mapping) -> list:  # type: ignore[type-arg]
        fitting = {name: values for name, values in outputs.items() if values.shape[1:] == found.outputs[name].shape[1:]}
        return [*pair_up(found.trace, found.trace, gates), *pair_outputs(found.trace, found.trace, fitting, found.outputs)]

    allowed = paired({name: fit.allowed[name] for name in names}, {name: fit.allowed[name] for name in columns})
    pairs = [replace(pair, bound=bound.framework) for pair, bound in zip(paired(names, columns), allowed, strict=True)]
    return compare(pairs, make_tolerance("rounding", found.trace.spec.dtype), found.trace.spec.precision).first_failure
