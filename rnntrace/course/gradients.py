"""Which gradients of a hand-in are right, in a backward exercise: each as it stands."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnntrace.course.exercise import Exercise
from rnntrace.course.numbers import Numbers
from rnntrace.course.points import Mark, Wrong, counted
from rnntrace.engine.backward.diagnose import diagnose_backward, values_of
from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.engine.diagnose.search import Diagnosis
from rnntrace.equations.adjoint import gradient
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key
from rnntrace.model.layouts import parameter_name, part_shapes
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.backward import backward

ROUNDING = 16.0
"""So many eps of the largest value a gradient may be off beside its decimals: it is a sum over all steps, in any order."""


def judged_gradients(exercise: Exercise, numbers: Numbers, given: Any) -> BackwardResult:
    """The gradients that were handed in beside the replay's, to the decimals of the exercise."""
    weights, signals = (exercise.spec, numbers.weights), dict(numbers.signals)
    found = backward(weights, signals, loss=exercise.loss, expected=given, tolerance=exercise.tolerance)
    # The exercise says how many decimals count, whatever was typed.
    half_units = {key: np.full(values.shape, exercise.half) for key, values in _given(found).items()}
    return replace(found, observation=replace(found.observation, half_units=half_units))


def gradient_marks(result: BackwardResult, exercise: Exercise, names: Sequence[str]) -> dict[str, Mark]:
    """What is right of each gradient by the word that an exercise has for it."""
    right, given, words = values_of(result.gradients), _given(result), dict(gradient_words(result.spec))
    found = {}
    for word in names:
        keys = words[word]
        of, count, wrong = sum(right[key].size for key in keys), 0, None
        for key in (key for key in keys if key in given):
            good = _good(given[key], right[key], exercise.half)
            shape = (-1, 1, good.shape[-1])
            count += counted(good.reshape(shape), right[key].reshape(shape), given[key].reshape(shape), exercise.half)
            if key in result.gradients.columns:
                wrong = wrong or _first_wrong(key, good, given[key], right[key])
        found[word] = Mark(word, count, of, given=any(key in given for key in keys), wrong=wrong)
    return found


def gradient_words(spec: ModuleSpec) -> Iterator[tuple[str, tuple[Key, ...]]]:
    """What gradients are called in an exercise, and which they are: those of a gate or state in every layer and direction."""
    first = spec.layer_directions[0]
    for signal in ("x", *(f"{state}0" for state in spec.cell.states)):
        yield signal, ((*first, gradient(signal)),)
    for layer, direction in spec.layer_directions:
        for name, part in zip(spec.shapes(layer), part_shapes(spec, layer), strict=True):
            yield parameter_name(spec, part, layer, direction), ((layer, direction, gradient(name)),)
    for symbol in spec.cell.symbols:
        yield f"d_{symbol}", tuple((*column, gradient(symbol)) for column in spec.layer_directions)


def named_mistakes(result: BackwardResult, seconds: float) -> Diagnosis:
    """The mistakes that explain the gradients."""
    return diagnose_backward(result, seconds=seconds)


def _given(result: BackwardResult) -> Mapping[Key, Array]:
    """What was handed in by (layer, direction, name)."""
    seen, first = result.observation, result.spec.layer_directions[0]
    found = dict(seen.columns) | {(*first, gradient(name)): array for name, array in seen.signals.items()}
    for (layer, direction), own in (seen.parameters.columns if seen.parameters else {}).items():
        found |= {(layer, direction, gradient(name)): array for name, array in own.arrays.items()}
    return found


def _good(given: Array, right: Array, half: float) -> Flags:
    rounding = ROUNDING * float(np.finfo(np.float32).eps) * float(np.abs(right).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        found: Flags = np.abs(given.astype(np.float64) - right) <= half * (1 + 1e-9) + rounding
    return found


def _first_wrong(key: Key, good: Flags, given: Array, right: Array) -> Wrong | None:
    """The first wrong value as gradients are worked out, from the last step on."""
    places = np.argwhere(~good).tolist()
    if not places:
        return None
    row, item, unit = max(places, key=lambda place: (place[0] if key[1] == "forward" else -place[0], -place[1], -place[2]))
    value = float(given[row, item, unit])
    return Wrong(key, row + 1, item, unit, value, abs(value - float(right[row, item, unit])))
