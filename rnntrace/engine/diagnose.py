"""Which known mistake explains the outputs that somebody else computed.

Every mistake of the catalogue is made on purpose and its outputs are compared with the given ones; if no single one explains
them, pairs of different families are tried. A cheap trial on the first steps of one item sorts out nearly all pairs.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.mistakes import Case, Mistake, Outputs, catalogue, outputs_of
from rnntrace.engine.mistakes.precision import PRECISIONS, precision_mistake
from rnntrace.engine.tolerance import Tolerance
from rnntrace.model.dtypes import DTYPES, Array, Dtype, rounded

TRIAL_STEPS = 3
"""Steps of the cheap trial."""
TELLING = 8
"""From this many different values on, outputs that a half format holds exactly were computed in it."""
HALF_EPS = 2
"""How many eps of its format outputs that were computed in a half format may be off: two honest ones differ by up to 1.7."""


@dataclass(frozen=True)
class Answer:
    """One or two mistakes that together turn the replay into the given outputs, and the largest difference that is left."""

    mistakes: tuple[Mistake, ...]
    after: float

    @property
    def id(self) -> str:
        """The mistakes' ids, joined by +."""
        return "+".join(mistake.id for mistake in self.mistakes)


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    `before` is the largest difference without any mistake, `answers` explain it equally well, `nearest` is the best that does
    not, `tried` counts hypotheses, `exhausted` is False if the time was over before every pair was tried, and `held` is the
    number format that the given outputs have.
    """

    before: float
    answers: tuple[Answer, ...]
    nearest: Answer | None
    tried: int
    exhausted: bool
    held: str


class Fit:
    """How well outputs agree with those that were given."""

    def __init__(self, expected: Outputs, tolerance: Tolerance, dtype: Dtype) -> None:
        self.expected: dict[str, NDArray[np.float64]] = {name: values.astype(np.float64) for name, values in expected.items()}
        self.held = _held(self.expected.values(), dtype)
        self._allowed = {name: self._limit(values, tolerance) for name, values in self.expected.items()}

    def _limit(self, values: NDArray[np.float64], tolerance: Tolerance) -> NDArray[np.float64]:
        allowed = tolerance.allowed(values)
        half = HALF_EPS * self.held.eps if self.held.name in PRECISIONS else 0.0
        return np.maximum(allowed, half)

    def difference(self, outputs: Outputs | None) -> float:
        """The largest difference; infinite where a value is not finite or a shape is another one."""
        return max((self._apart(outputs, name)[0] for name in self.expected), default=np.inf)

    def agrees(self, outputs: Outputs | None) -> bool:
        """Whether everything that was given is within tolerance."""
        return all(self._apart(outputs, name)[1] for name in self.expected)

    def _apart(self, outputs: Outputs | None, name: str) -> tuple[float, bool]:
        expected = self.expected[name]
        found = None if outputs is None else outputs.get(name)
        if found is not None and name != "output":
            # Of a stack, the states of the last layers may have been given alone.
            found = found[len(found) - len(expected) :]
        if found is None or found.shape != expected.shape:
            return np.inf, False
        delta = np.abs(found - expected)
        worst = float(delta.max(initial=0.0))
        return (worst, bool((delta <= self._allowed[name]).all())) if np.isfinite(worst) else (np.inf, False)


def diagnose(case: Case, expected: Outputs, tolerance: Tolerance, *, seconds: float = 10.0) -> Diagnosis:
    """The mistakes that explain `expected`, single ones first, and pairs if there are none; all within some seconds.

    `expected` holds output, h_n or c_n, time-major, as far as they are known.
    """
    end = time.monotonic() + seconds
    fit = Fit(expected, tolerance, case.spec.precision)
    right = outputs_of(case)
    before = fit.difference(right)
    if fit.agrees(right):
        found = (Answer((precision_mistake(case.cell, fit.held.name),), before),) if fit.held.name in PRECISIONS else ()
        return Diagnosis(before, found, None, 1, True, fit.held.name)
    mistakes = [mistake for mistake in catalogue(case.cell) if mistake.change(case) is not None]
    search = _Search(fit, end)
    search.try_all(case, [(mistake,) for mistake in mistakes])
    if not search.answers:
        pairs = (pair for pair in combinations(mistakes, 2) if pair[0].family != pair[1].family)
        search.try_all(case, _promising(case, fit, pairs))
    answers = tuple(sorted(search.answers, key=lambda answer: len(answer.mistakes)))
    return Diagnosis(before, answers, None if answers else search.nearest, search.tried, not search.late, fit.held.name)


class _Search:
    """Hypotheses that were tried, and what came of them."""

    def __init__(self, fit: Fit, end: float) -> None:
        self.fit, self.end = fit, end
        self.answers: list[Answer] = []
        self.nearest: Answer | None = None
        self.tried, self.late = 0, False

    def try_all(self, case: Case, hypotheses: Iterable[tuple[Mistake, ...] | None]) -> None:
        """Try them one after the other until the time is over; None counts as one that a trial sorted out."""
        for hypothesis in hypotheses:
            if time.monotonic() > self.end:
                self.late = True
                return
            self.tried += 1
            if hypothesis is None:
                continue
            outputs = outputs_of(case, hypothesis)
            answer = Answer(hypothesis, self.fit.difference(outputs))
            if self.fit.agrees(outputs):
                self.answers.append(answer)
            if self.nearest is None or answer.after < self.nearest.after:
                self.nearest = answer


def _promising(case: Case, fit: Fit, pairs: Iterable[tuple[Mistake, ...]]) -> Iterator[tuple[Mistake, ...] | None]:
    """The pairs that also explain a small part of what was given; None for each of the others."""
    trials = {causal: _trial(case, fit, causal=causal) for causal in (True, False)}
    for pair in pairs:
        small, part = trials[all(mistake.causal for mistake in pair)]
        itemwise = all(mistake.itemwise for mistake in pair)
        yield pair if not itemwise or part.agrees(outputs_of(small, pair)) else None


def _trial(case: Case, fit: Fit, *, causal: bool) -> tuple[Case, Fit]:
    """One item of the case and of what was given; the first steps alone where these decide the first outputs."""
    inputs = case.inputs
    if inputs.lengths is not None:
        return case, fit
    one_way = case.spec.directions == ("forward",)
    first = TRIAL_STEPS if causal and one_way and "output" in fit.expected else inputs.steps
    small = case.with_inputs(x=inputs.x[:first, :1], h0=inputs.h0[:, :1], c0=None if inputs.c0 is None else inputs.c0[:, :1])
    part = Fit.__new__(Fit)
    part.held = fit.held
    names = ("output",) if first < inputs.steps else tuple(fit.expected)
    part.expected = {name: fit.expected[name][: first if name == "output" else None, :1] for name in names}
    part._allowed = {name: fit._allowed[name][: first if name == "output" else None, :1] for name in names}
    return small, part


def _held(arrays: Iterable[Array], dtype: Dtype) -> Dtype:
    """The coarsest format that holds all values exactly; that of the module where they are too few to tell."""
    values = np.concatenate([array.ravel() for array in arrays]) if arrays else np.zeros(0)
    if len(np.unique(values[values != 0])) < TELLING:
        return dtype
    for name in ("bfloat16", "float16", "float32"):
        if np.array_equal(rounded(values, DTYPES[name]), values) and DTYPES[name].eps >= dtype.eps:
            return DTYPES[name]
    return dtype


@dataclass(frozen=True)
class Suggestion:
    """Another input that would show more."""

    says: str
    change: Callable[[Case], Case]


def _drawn(case: Case, steps: int | None = None, *, states: bool = False, biases: bool = False) -> Case:
    """The case with x, and perhaps initial states and biases, drawn anew: always the same ones."""
    generator = np.random.default_rng(0)

    def draw(array: Array, *shape: int) -> Array:
        return generator.normal(size=shape or array.shape).astype(array.dtype)

    inputs = case.inputs
    if steps is not None:
        inputs = replace(inputs, x=draw(inputs.x, steps, *inputs.x.shape[1:]), lengths=None)
    if states:
        inputs = replace(inputs, h0=draw(inputs.h0), c0=None if inputs.c0 is None else draw(inputs.c0))
    case = replace(case, inputs=inputs)
    if not biases:
        return case
    return case.with_weights(
        lambda found: (
            found if found.b_ih is None or found.b_hh is None else replace(found, b_ih=draw(found.b_ih), b_hh=draw(found.b_hh))
        )
    )


SUGGESTIONS = (
    Suggestion("initial states that are not zero (--h0 random, --c0 random)", lambda case: _drawn(case, states=True)),
    Suggestion("more steps (--steps 4)", lambda case: _drawn(case, max(4, case.inputs.steps))),
    Suggestion(
        "more steps and initial states that are not zero",
        lambda case: _drawn(case, max(4, case.inputs.steps), states=True),
    ),
    Suggestion(
        "biases that are not zero, more steps and initial states that are not zero",
        lambda case: _drawn(case, max(4, case.inputs.steps), states=True, biases=True),
    ),
)
"""From the smallest change to the largest."""


def told_apart_by(case: Case, hypotheses: Sequence[tuple[Mistake, ...]], tolerance: Tolerance) -> str:
    """The smallest change of the input under which these hypotheses give different outputs; empty if none of ours does."""
    for suggestion in SUGGESTIONS:
        other = suggestion.change(case)
        outputs = [outputs_of(other, hypothesis) for hypothesis in hypotheses]
        first = outputs[0]
        if first is None:
            continue
        fit = Fit(first, tolerance, case.spec.precision)
        if not any(fit.agrees(found) for found in outputs[1:]):
            return suggestion.says
    return ""


@dataclass(frozen=True)
class BlindSpot:
    """A mistake that leaves every output as it is, and the smallest change of the input that would show it."""

    mistake: Mistake
    shown_by: str


def blind_spots(case: Case, tolerance: Tolerance) -> tuple[tuple[BlindSpot, ...], int]:
    """The mistakes that this input, these weights and initial states cannot show, and how many were tried."""
    right = outputs_of(case)
    assert right is not None
    fit = Fit(right, tolerance, case.spec.precision)
    possible = catalogue(case.cell)
    made = {mistake.id: outputs_of(case, (mistake,)) for mistake in possible}
    unseen = [mistake for mistake in possible if made[mistake.id] is None or fit.agrees(made[mistake.id])]
    spots = []
    for mistake in unseen:
        shown_by = told_apart_by(case, [(), (mistake,)], tolerance)
        # What no input shows is no mistake here: another way of writing the same.
        if shown_by:
            spots.append(BlindSpot(mistake, shown_by))
    return tuple(spots), len(possible)
