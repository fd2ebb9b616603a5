"""Gradients that a user gives: those that everything starts from, and those to be judged."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnntrace.engine.backward.loss import LOSSES, Loss, loss_of
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.adjoint import adjoint, gradient, pre_activation
from rnntrace.errors import FileError, SignalError, UsageError, show
from rnntrace.files import digits
from rnntrace.files.ignored import Ignored
from rnntrace.model.backward import HANDED_IN, BackwardObservation
from rnntrace.model.conventions import TORCH
from rnntrace.model.dtypes import Array, rounded
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key
from rnntrace.model.layouts import parameter_name, part_shapes
from rnntrace.model.signals import state_shape, to_time_major, x_shape
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights
from rnntrace.verbs.given.arrays import label_of, tensors_of
from rnntrace.verbs.given.gradient_words import GradientWords, bare
from rnntrace.verbs.given.naming import listed


def check_loss(options: Mapping[str, Any], loss: str) -> None:
    """Raises UsageError where what is said of a loss means nothing, or does not go together."""
    if loss not in LOSSES:
        raise UsageError(f"unknown loss {loss!r}: choose one of {', '.join(LOSSES)}, or give `grad`")
    if "grad" in options and {"loss", "target"} & options.keys():
        raise UsageError("`grad` gives the gradients that a loss comes down to: leave `loss` and `target` out")
    if ("target" in options) != (loss == "mse"):
        raise UsageError("the loss mse needs a `target`" if loss == "mse" else "`target` belongs to `loss=mse`")


def loss_in(spec: ModuleSpec, trace: Trace, loss: str, grad: Any, target: Any, layout: str = TORCH) -> Loss:
    """The loss as a user says it: by its name and a target, or by the gradients that everything starts from.

    Both may be in the notation of the `layout`, and so may what is judged, see `GradientWords`.
    """
    if grad is not None:
        found = Loss("given", read_loss(spec, trace.inputs, grad, layout))
    else:
        found = loss_of(loss, trace, None if target is None else target_of(spec, trace.inputs, target, layout))
    # As the module's format holds them: the framework is given the same.
    return replace(found, gradients={name: rounded(array, spec.precision) for name, array in found.gradients.items()})


def read_loss(spec: ModuleSpec, inputs: Inputs, source: Any, layout: str = TORCH) -> dict[str, Array]:
    """∂L/∂output and those of final states, time-major, of a file, JSON or arrays; one array alone is that of the output.

    Raises FileError for other names, and SignalError for shapes that do not fit.
    """
    tensors = GradientWords(spec, layout, inputs.unbatched).given(tensors_of(source), source)
    shapes = {"output": _sequence(spec, inputs, spec.width)}
    shapes |= {f"{state}_n": _state(spec, inputs, state) for state in spec.cell.states}
    found: dict[str, Array] = {}
    for own, array in tensors.arrays.items():
        name = "output" if len(tensors.arrays) == 1 and not own else bare(own, shapes)
        if name not in shapes:
            known = ", ".join(shapes)
            raise FileError(f"{label_of(source)}: {show(own)[:60]} is no output of the module: expected gradients of {known}")
        if array.shape != shapes[name]:
            raise SignalError(f"{label_of(source)}: {name} should have shape {shapes[name]}, and has shape {array.shape}")
        found[name] = to_time_major(spec, name, array, inputs.unbatched)
    if not found:
        raise FileError(f"{label_of(source)} should hold gradients of {', '.join(shapes)}, and holds none")
    return found


def read_gradients(
    spec: ModuleSpec, inputs: Inputs, source: Any, ignored: Ignored | None = None, layout: str = TORCH
) -> tuple[BackwardObservation, tuple[str, ...]]:
    """Gradients to be judged, and sentences on what else there is.

    Their names are those of torch's parameters, of x, h0 and c0, and of gates and states (`f`, `0.forward.f`, before the
    activation `a_f`), each with or without a word in front that says that it is a gradient. Raises FileError if there is
    none, and SignalError for a shape that does not fit.
    """
    whole = (ignored or Ignored()).without(tensors_of(source))
    tensors, aside = GradientWords(spec, layout, inputs.unbatched).handed_in(whole, source)
    words = dict(_words(spec, inputs))
    found = {own: words[name] for own in tensors.arrays if (name := bare(own, words)) in words}
    if not found:
        holds = listed([*tensors.arrays, *tensors.refused]) or "nothing"
        raise FileError(f"{label_of(source)} should hold gradients, such as weight_ih_l0, x or d_f, and holds {holds}")
    parameters: dict[tuple[int, str], dict[str, Array]] = {column: {} for column in spec.layer_directions}
    signals: dict[str, Array] = {}
    columns: dict[Key, Array] = {}
    half_units: dict[Key, Array] = {}
    for own, meant in found.items():
        array, half = tensors.arrays[own], tensors.half_units(own, digits.OUTPUTS)
        if array.shape != meant.shape:
            where = f"{label_of(source)}: {show(own)[:60]}"
            raise SignalError(f"{where} should have shape {meant.shape}, and has shape {array.shape}")
        layer, direction, name = meant.key
        if meant.what == PARAMETER:
            parameters[layer, direction][name] = meant.inside(spec, inputs, array)
        elif meant.what == SIGNAL:
            signals[name] = meant.inside(spec, inputs, array)
        else:
            columns[meant.key] = meant.inside(spec, inputs, array)
        if half is not None:
            judged = name if meant.what == STEP else gradient(name)
            half_units[layer, direction, judged] = meant.inside(spec, inputs, half)
    given = Weights({column: LayerWeights(arrays=arrays) for column, arrays in parameters.items()})
    observation = BackwardObservation(
        HANDED_IN, "", label_of(source), given, signals, columns, half_units=half_units, not_captured="given"
    )
    unused = [own for own in (*tensors.arrays, *tensors.refused) if own not in found]
    notes = {
        f"not read: {listed(unused)}": unused,
        f"what a backward pass is given is not judged: {listed(aside)}": aside,
    }
    return observation, tuple(note for note, there in notes.items() if there)


PARAMETER, SIGNAL, STEP = "parameter", "signal", "step"
"""What a gradient may be of: a parameter, x or an initial state, or a gate or state of each step."""


@dataclass(frozen=True)
class _Meaning:
    """What a name means: (layer, direction, parameter, signal or symbol of the adjoint), and the shape of its array."""

    what: str
    key: Key
    shape: tuple[int, ...]

    def inside(self, spec: ModuleSpec, inputs: Inputs, values: Array) -> Array:
        """An array of this as it is inside: in gate blocks, or time-major."""
        layer, _, name = self.key
        if self.what == PARAMETER:
            return values.reshape(spec.shapes(layer)[name])
        return to_time_major(spec, name if self.what == SIGNAL else "x", values, inputs.unbatched)


def _words(spec: ModuleSpec, inputs: Inputs) -> Iterator[tuple[str, _Meaning]]:
    """What each name means."""
    alone, first = len(spec.layer_directions) == 1, spec.layer_directions[0]
    yield "x", _Meaning(SIGNAL, (*first, "x"), x_shape(spec, inputs.steps, inputs.batch, inputs.unbatched))
    for state in spec.cell.states:
        yield f"{state}0", _Meaning(SIGNAL, (*first, f"{state}0"), _state(spec, inputs, state))
    for column in spec.layer_directions:
        layer, direction = column
        for name, (part, shape) in zip(spec.shapes(layer), part_shapes(spec, layer).items(), strict=True):
            meaning = _Meaning(PARAMETER, (*column, name), shape)
            yield parameter_name(spec, part, layer, direction), meaning
            if alone:
                yield name, meaning
        symbols = adjoint(spec.cell_of(direction)).cell.symbols
        for symbol in spec.cell.symbols:
            shape = _sequence(spec, inputs, spec.size_of(symbol))
            for word, inner in ((symbol, gradient(symbol)), (f"a_{symbol}", pre_activation(symbol))):
                if inner in symbols:
                    meaning = _Meaning(STEP, (*column, inner), shape)
                    yield f"{layer}.{direction}.{word}", meaning
                    if alone:
                        yield word, meaning


def _sequence(spec: ModuleSpec, inputs: Inputs, size: int) -> tuple[int, ...]:
    return (*x_shape(spec, inputs.steps, inputs.batch, inputs.unbatched)[:-1], size)


def _state(spec: ModuleSpec, inputs: Inputs, state: str) -> tuple[int, ...]:
    return state_shape(spec, inputs.batch, spec.size_of(state), inputs.unbatched)


def target_of(spec: ModuleSpec, inputs: Inputs, source: Any, layout: str = TORCH) -> Array:
    """A target of the output's shape, time-major. Raises FileError and SignalError."""
    arrays = GradientWords(spec, layout, inputs.unbatched).given(tensors_of(source), source).arrays
    shape = _sequence(spec, inputs, spec.width)
    if len(arrays) != 1:
        raise FileError(f"{label_of(source)} should hold one array, the target, and holds {listed([*arrays]) or 'none'}")
    (array,) = arrays.values()
    if array.shape != shape:
        raise SignalError(f"{label_of(source)}: the target should have the output's shape {shape}, and has shape {array.shape}")
    return np.asarray(to_time_major(spec, "output", array, inputs.unbatched))
