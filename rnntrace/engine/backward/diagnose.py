"""Which mistake in a backward pass explains gradients that somebody else worked out: single ones first, then pairs.

Gradients are compared in parts of the largest of each kind, so that it does not matter how large the loss is.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from rnntrace.engine.backward.calculation import Calculation, GradientMistake
from rnntrace.engine.backward.gradients import Gradients
from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.engine.backward.mistakes import gradient_mistakes
from rnntrace.engine.diagnose.search import Answer, Diagnosis
from rnntrace.equations.adjoint import gradient
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import Key

EPS = 256.0
"""Agreement within so many eps of the largest gradient of a kind: many steps, summed in another order."""
CLEARLY = 0.1
"""What explains a difference leaves at most this part of it."""
NEAREST = 0.5
"""… and what is named as the nearest less than this part."""


@dataclass(frozen=True)
class _Target:
    """The gradients that were given, how far off each may be, and how large those of its kind are."""

    values: Mapping[Key, Array]
    allowed: Mapping[Key, Array]
    scale: Mapping[Key, float]

    def off(self, found: Gradients) -> tuple[float, float, bool]:
        """The largest difference, the largest in parts of its kind, and whether all agree."""
        mine = values_of(found)
        largest = part = 0.0
        agrees = True
        for key, theirs in self.values.items():
            if mine[key].shape != theirs.shape:
                return np.inf, np.inf, False
            there = np.isfinite(theirs)
            apart = np.where(np.isfinite(mine[key]), np.abs(mine[key] - theirs), np.inf)[there]
            largest = max(largest, float(apart.max(initial=0.0)))
            part = max(part, float(apart.max(initial=0.0)) / self.scale[key])
            agrees = agrees and bool((apart <= self.allowed[key][there]).all())
        return largest, part, agrees


def diagnose_backward(result: BackwardResult, *, seconds: float = 10.0) -> Diagnosis:
    """The mistakes that explain what the other side of a result gave, all within some seconds."""
    end = time.monotonic() + seconds
    target = _target(result)
    right = Calculation.of(result.trace, result.weights, result.loss.gradients, result.truncate)
    before = target.off(right.run())
    possible = [(mistake, mistake.change(right)) for mistake in gradient_mistakes(result.spec.cell)]
    mistakes = [mistake for mistake, changed in possible if changed is not None]
    answers: list[Answer] = []
    hopes: list[tuple[float, Answer]] = []
    tried, late = 0, False
    for hypothesis in (*((mistake,) for mistake in mistakes), *_pairs(mistakes)):
        if len(hypothesis) == 2 and answers:
            break
        if time.monotonic() > end:
            late = True
            break
        tried += 1
        found = changed(right, hypothesis)
        if found is None:
            continue
        largest, part, agrees = target.off(found.run())
        answer = Answer(hypothesis, largest, rms=part)  # type: ignore[arg-type]
        if agrees and part < CLEARLY * before[1]:
            answers.append(answer)
        elif len(hypothesis) == 1:
            hopes.append((part, answer))
    found_all = Diagnosis(before[0], tried=tried, exhausted=not late, first=result.comparison.first_failure)
    if answers:
        return replace(found_all, answers=tuple(answers), first=None)
    part, nearest = min(hopes, key=lambda hope: hope[0], default=(np.inf, None))
    return replace(found_all, nearest=nearest if part < NEAREST * before[1] else None)


def _pairs(mistakes: Sequence[GradientMistake]) -> Iterable[tuple[GradientMistake, GradientMistake]]:
    return ((a, b) for a, b in combinations(mistakes, 2) if a.family != b.family)


def changed(right: Calculation, mistakes: Sequence[GradientMistake]) -> Calculation | None:
    """The calculation with these mistakes in it; None where one of them makes no difference."""
    found: Calculation | None = right
    for mistake in mistakes:
        found = mistake.change(found) if found is not None else None
    return found


def values_of(found: Gradients) -> dict[Key, Array]:
    """Every gradient by (layer, direction, name), as those that were given are called."""
    values = dict(found.columns)
    for (layer, direction), own in found.parameters.columns.items():
        values |= {(layer, direction, gradient(name)): array for name, array in own.arrays.items()}
    first = found.spec.layer_directions[0]
    return values | {(*first, gradient(name)): array for name, array in found.signals.items()}


def _target(result: BackwardResult) -> _Target:
    seen, spec = result.observation, result.spec
    values = dict(seen.columns)
    for (layer, direction), own in (seen.parameters.columns if seen.parameters else {}).items():
        values |= {(layer, direction, gradient(name)): array for name, array in own.arrays.items()}
    values |= {(*spec.layer_directions[0], gradient(name)): array for name, array in seen.signals.items()}
    kinds = {key: _kind(key[2]) for key in values}
    largest: dict[str, float] = {}
    for key, array in values.items():
        size = float(np.abs(array[np.isfinite(array)]).max(initial=0.0))
        largest[kinds[key]] = max(largest.get(kinds[key], 0.0), size)
    scale = {key: largest[kind] or 1.0 for key, kind in kinds.items()}
    rounding = EPS * max(spec.precision.eps, float(np.finfo(result.trace.output.dtype).eps))
    allowed = {key: np.full(array.shape, rounding * scale[key]) for key, array in values.items()}
    for key, half in seen.half_units.items():
        allowed[key] = allowed[key] + half * (1 + 1e-6)
    return _Target(values, allowed, scale)


def _kind(name: str) -> str:
    """What gradients are compared with one another in size: those of matrices and biases, of steps, of x, of initial states."""
    return name if name in ("∂x", "∂h0", "∂c0") else "parameters" if "_" in name else "steps"
