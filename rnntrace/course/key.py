"""The key: every right value of an exercise, by the words in which it is handed in."""

import numpy as np

from rnntrace.course.exercise import Exercise
from rnntrace.course.gradients import gradient_words
from rnntrace.course.numbers import Numbers
from rnntrace.engine.backward.backward import backward
from rnntrace.engine.backward.diagnose import values_of
from rnntrace.engine.backward.loss import loss_of
from rnntrace.engine.replay.replay import replay
from rnntrace.model.dtypes import Array
from rnntrace.model.layouts import parameter_shapes
from rnntrace.model.signals import arrange, to_own_layout
from rnntrace.model.vocabulary import of_results, required


def names_of(exercise: Exercise, word: str) -> tuple[str, ...]:
    """What the key calls a quantity: a gate of several layers or directions has a name in each."""
    spec = exercise.spec
    if exercise.backward:
        keys = dict(gradient_words(spec))[word]
        return (word,) if len(keys) == 1 else tuple(f"{word}.{layer}.{direction}" for layer, direction, _ in keys)
    canonical = of_results(spec).canonical
    return tuple(canonical[name] for name in required(spec, (word,))[word])


def key_of(exercise: Exercise, numbers: Numbers) -> dict[str, Array]:
    """Outputs, gates and states, in a backward exercise gradients too, in the module's own layout, in float64.

    A gate of one layer and direction is called by its symbol, of several `0.forward.f`.
    """
    spec, states = numbers.spec, {state: numbers.signals[f"{state}0"] for state in numbers.spec.cell.states}
    inputs = arrange(spec, numbers.signals["x"], states, None)
    trace = replay(spec, numbers.weights, inputs, dtype=np.dtype(np.float64))
    words, unbatched = of_results(spec).canonical, inputs.unbatched
    found = {name: to_own_layout(spec, name, array, unbatched) for name, array in trace.outputs.items()}
    found |= {words[key]: to_own_layout(spec, "output", array, unbatched) for key, array in trace.columns.items()}
    if not exercise.backward:
        return found
    gradients = values_of(backward(trace, numbers.weights, loss_of(exercise.loss, trace, None).gradients))
    shapes = parameter_shapes(spec)
    for word, keys in gradient_words(spec):
        for name, key in zip(names_of(exercise, word), keys, strict=True):
            array = gradients[key]
            if word in shapes:
                found[name] = array.reshape(shapes[word])
            else:
                signal = "x" if word == "x" else word if word.endswith("0") else "output"
                found[name] = to_own_layout(spec, signal, array, unbatched)
    return found
