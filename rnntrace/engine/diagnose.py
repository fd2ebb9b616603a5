"""Which known mistake explains the outputs that somebody else computed.

Every mistake of the catalogue is made on purpose and its outputs are compared with the given ones; if no single one explains
them, pairs of different families are tried. A cheap trial on the first steps of one item sorts out nearly all of them.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rnntrace.engine.blindness import told_apart_by
from rnntrace.engine.compare import judge
from rnntrace.engine.fit import Fit
from rnntrace.engine.mistakes import Case, Mistake, Outputs, catalogue, made, outputs_of
from rnntrace.engine.mistakes.precision import printed
from rnntrace.engine.quantities import Place, pair_outputs
from rnntrace.engine.tolerance import Tolerance
from rnntrace.engine.trial import Trial

NEAREST = 8
"""So many of those that came nearest in the trial are tried in full where nothing explains it."""
AS_GOOD = 64
"""An answer that leaves so many times more than the best one, and more than rounding, is not as good."""

Hypothesis = tuple[Mistake, ...]


@dataclass(frozen=True)
class Answer:
    """One or two mistakes, the largest difference that they leave, and the first place that they do not explain, if any."""

    mistakes: Hypothesis
    after: float
    unexplained: Place | None = None

    @property
    def id(self) -> str:
        """The mistakes' ids, joined by +."""
        return "+".join(mistake.id for mistake in self.mistakes)


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    `before` is the largest difference without any mistake, `answers` explain it equally well, the commoner first, and
    `told_apart_by` is a change of the input under which they would differ. `nearest` is the single mistake that comes nearest
    where none explains it, None if all lead further away. `tried` counts hypotheses, and `exhausted` is False if the time was
    over before every pair was tried. `coarse` is the format of the given outputs where it is coarser than the module's.
    """

    before: float
    answers: tuple[Answer, ...]
    told_apart_by: str
    nearest: Answer | None
    tried: int
    exhausted: bool
    coarse: str

    @classmethod
    def of_nothing(cls) -> "Diagnosis":
        """Nothing was tried: there is nothing to explain."""
        return cls(0.0, (), "", None, 0, True, "")


def diagnose(case: Case, expected: Outputs, tolerance: Tolerance, *, seconds: float = 10.0) -> Diagnosis:
    """The mistakes that explain `expected`, single ones first, and pairs if there are none; all within some seconds.

    `expected` holds output, h_n or c_n, time-major, as far as they are known.
    """
    search = _Search(case, Fit.of(expected, tolerance, case.spec.precision), time.monotonic() + seconds)
    right = outputs_of(case)
    before, coarse = search.fit.difference(right), search.fit.coarse
    if search.fit.agrees(right):
        found = (Answer((_coarse_mistake(case, coarse),), before),) if coarse else ()
        return Diagnosis(before, found, "", None, 1, True, coarse)
    possible = [mistake for mistake in catalogue(case.cell) if mistake.change(case)]
    # A commoner mistake is one that some framework's convention invites.
    mistakes = sorted(possible, key=lambda mistake: not mistake.frameworks)
    search.try_all((mistake,) for mistake in mistakes)
    nearest = None
    if not search.answers:
        nearest = search.nearest(before)
        place = {mistake.id: number for number, mistake in enumerate(possible)}
        pairs = (
            sorted(pair, key=lambda mistake: place[mistake.id])
            for pair in combinations(mistakes, 2)
            if pair[0].family != pair[1].family
        )
        search.try_all(map(tuple, pairs))
    answers = _as_good(search.answers, search.fit)
    apart = told_apart_by(case, [answer.mistakes for answer in answers], tolerance) if len(answers) > 1 else ""
    return Diagnosis(before, answers, apart, None if answers else nearest, search.tried, not search.late, coarse)


class _Search:
    """Hypotheses that are tried on a case until the time is over, and what came of them."""

    def __init__(self, case: Case, fit: Fit, end: float) -> None:
        self.case, self.fit, self.end = case, fit, end
        self.answers: list[Answer] = []
        self.hopes: list[tuple[float, Hypothesis]] = []
        self.tried, self.late = 0, False
        self.trial = Trial(case, fit)

    def try_all(self, hypotheses: Iterable[Hypothesis]) -> None:
        """Try them one after the other."""
        for hypothesis in hypotheses:
            if time.monotonic() > self.end:
                self.late = True
                return
            self.tried += 1
            hope = self.trial.off(hypothesis)
            if hope is None:
                outputs = outputs_of(self.case, hypothesis)
                hope = self.fit.difference(outputs)
                if self.fit.agrees(outputs):
                    self.answers.append(Answer(hypothesis, hope))
            if len(hypothesis) == 1:
                self.hopes.append((hope, hypothesis))

    def nearest(self, before: float) -> Answer | None:
        """The single mistake that leaves least, if it leaves less than there was before."""
        best: Answer | None = None
        for _, hypothesis in sorted(self.hopes, key=lambda found: found[0])[:NEAREST]:
            found = made(self.case, hypothesis)
            if found is None:
                continue
            after = self.fit.difference(found.outputs)
            if after < (best.after if best else before):
                pairs = pair_outputs(found.trace, found.trace, self.fit.expected, found.outputs)
                place = judge(pairs, self.fit.tolerance, self.case.spec.precision).first_failure
                best = Answer(hypothesis, after, place)
        return best


def _as_good(answers: list[Answer], fit: Fit) -> tuple[Answer, ...]:
    """Those that leave about as little as the best one, and no more mistakes than needed, in the order in which they came."""
    largest = max(float(np.abs(values).max(initial=0.0, where=np.isfinite(values))) for values in fit.expected.values())
    digits = fit.tolerance.atol if fit.coarse else float(np.finfo(np.float32).eps) * largest
    enough = max(AS_GOOD * min((answer.after for answer in answers), default=0.0), digits)
    return tuple(answer for answer in answers if answer.after <= enough)


def _coarse_mistake(case: Case, coarse: str) -> Mistake:
    """What explains outputs that are right but for their digits."""
    known: Mapping[str, Mistake] = {mistake.id.rpartition(".")[2]: mistake for mistake in catalogue(case.cell)}
    return known[coarse] if coarse in known else printed(case.cell.kind.lower(), int(coarse.split()[0]))
