"""Keras 3, on whichever backend KERAS_BACKEND names: layers built from a specification, with our weights in them.

Outputs come by the path that Keras takes by itself. Its gates are what its cells' activation functions leave behind, recorded
while each layer runs once more without cuDNN, step by step: of an LSTM sigmoid for i and f, tanh for g, sigmoid for o and tanh
for the cell state; of a GRU sigmoid for z and r, and tanh for n. No file is ever loaded by Keras.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from rnntrace.equations.activations import OF_KERAS
from rnntrace.errors import FrameworkError, show
from rnntrace.frameworks.protocol import GATES, MASKS
from rnntrace.model.conventions import BY_NAME, KERAS
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key, LayerDirection
from rnntrace.model.layouts import to_convention
from rnntrace.model.merges import CONCAT
from rnntrace.model.observation import Observation
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.model.spec_checks import ACTIVATIONS_OF
from rnntrace.model.weights import LayerWeights, Weights

os.environ.setdefault("KERAS_BACKEND", "torch")


@contextmanager
def _quietly() -> Iterator[None]:
    """Around Keras at work, which warns of its own ways with numpy and its backend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


with _quietly():
    import keras

NAME = "keras"
OFFERS = frozenset({GATES, MASKS})

_LAYERS = {"RNN": "SimpleRNN", "LSTM": "LSTM", "GRU": "GRU"}
_NAMES = {own: name for name, own in OF_KERAS.items() if name != "swish"} | {"hard_sigmoid_keras3": "hard_sigmoid"}
"""Keras 3's own name for each activation that it has."""
_NUMBERED: dict[str, Callable[..., Any]] = {
    "hard_sigmoid": lambda a, slope=0.2, offset=0.5: keras.ops.clip(slope * a + offset, 0, 1),
    "leaky_relu": lambda a, slope=0.01: keras.ops.leaky_relu(a, slope),
    "elu": lambda a, alpha=1.0: keras.ops.elu(a, alpha),
}
"""Those that take numbers: Keras takes any function for an activation."""
_RECORDED = {"LSTM": ("i", "f", "g", "o", ""), "GRU": ("z", "r", "n")}
"""What each activation of a step leaves behind, in the order in which a cell calls them; the last of an LSTM is tanh(c)."""
LONGEST = 200
"""Characters of Keras' own words that are repeated."""
MAX_RECORDED_STEPS = 2_000
"""`capture="auto"` records Keras' gates up to this many cell steps (layers × directions × T)."""


def lacks(spec: ModuleSpec) -> str:
    """What of this module Keras has no form of."""
    if spec.is_custom:
        return f"{spec.kind}, a cell of your own"
    if spec.is_cell:
        return f"{spec.kind} outside of a layer"
    if spec.proj_size:
        return "LSTM with a projection"
    # On torch, Keras 3.15 multiplies matrices of float64 in float32, but for its fused path.
    one = keras.ops.ones((1, 1), dtype=spec.precision.name)
    if (found := keras.backend.standardize_dtype(keras.ops.matmul(one, one).dtype)) != spec.precision.name:
        return f"{spec.kind} in {spec.dtype}, which it multiplies in {found} on its {keras.backend.backend()} backend"
    if spec.peepholes or spec.coupled or spec.clip is not None or spec.layer_norm or spec.independent:
        return f"{spec.kind} as {spec.cell.title}"
    for activation in (*_own(spec), *spec.reverse_activations):
        if activation not in _NAMES and activation.partition(":")[0] not in _NUMBERED:
            return f"{spec.kind} with {activation}"
    if any(len({*found[1:]}) > 1 for found in (_own(spec), spec.reverse_activations)):
        return "LSTM whose cell state has another activation than the candidate"
    return ""


def _own(spec: ModuleSpec) -> tuple[str, ...]:
    """The activations of the forward direction: of gates, candidate and cell state, or of an RNN."""
    return tuple(getattr(spec, name) for name in ACTIVATIONS_OF[spec.family])


def _layer(spec: ModuleSpec, options: dict[str, Any], activations: tuple[str, ...], *, go_backwards: bool) -> Any:
    """A layer of one direction."""
    names = ("activation",) if spec.family == "RNN" else ("recurrent_activation", "activation")
    own = {name: _activation(activation) for name, activation in zip(names, activations, strict=False)}
    return getattr(keras.layers, _LAYERS[spec.family])(spec.hidden_size, go_backwards=go_backwards, **own, **options)


def _activation(text: str) -> Any:
    """An activation as Keras takes it: by its own name, or as a function with its numbers."""
    if text in _NAMES:
        return _NAMES[text]
    name, *numbers = text.split(":")
    return lambda a: _NUMBERED[name](a, *map(float, numbers))


@_quietly()
def build(spec: ModuleSpec, device: str = "cpu") -> list[Any]:
    """A layer of Keras for each layer of the module, around which Bidirectional stands where it has two directions."""
    layers = []
    for number in range(spec.num_layers):
        options: dict[str, Any] = {
            "use_bias": spec.bias,
            "return_sequences": True,
            "return_state": True,
            "dtype": spec.precision.name,
            # What is drawn is replaced, and in half formats some backends cannot draw it.
            "kernel_initializer": "zeros",
            "recurrent_initializer": "zeros",
        }
        if spec.family == "GRU":
            options["reset_after"] = spec.reset_after
        layer = _layer(spec, options, _own(spec), go_backwards=spec.reverse)
        if spec.bidirectional:
            other = _layer(spec, options, spec.reverse_activations or _own(spec), go_backwards=True)
            layer = keras.layers.Bidirectional(
                layer, backward_layer=other, merge_mode=spec.merge_of(number), dtype=spec.precision.name
            )
        layer.build((None, None, spec.layer_input_size(number)))
        layers.append(layer)
    return layers


@_quietly()
def load(module: list[Any], spec: ModuleSpec, weights: Weights) -> None:
    """Set the weights of every layer; the two biases of a gate that Keras adds as one are added in float64."""
    for column in spec.layer_directions:
        layer = _of(module, spec, column)
        layer.set_weights(_own_weights(spec, weights[column]))


def _own_weights(spec: ModuleSpec, weights: LayerWeights) -> list[Array]:
    """Kernel, recurrent kernel and bias as Keras arranges them; a GRU that resets after the product has both biases."""
    found = to_convention(BY_NAME[KERAS], spec.cell, weights)
    kernel, recurrent = found["W_ih"], found["W_hh"]
    if "b_ih" not in found:
        return [kernel, recurrent]
    b_ih, b_hh = found["b_ih"], found["b_hh"]
    both = spec.family == "GRU" and spec.reset_after
    bias = np.stack([b_ih, b_hh]) if both else (b_ih.astype(np.float64) + b_hh).astype(b_ih.dtype)
    return [kernel, recurrent, bias]


@_quietly()
def observe(module: list[Any], spec: ModuleSpec, inputs: Inputs, capture: str = "auto") -> Observation:
    """Run the layers on the inputs, not in training; `capture` their gates: auto, on or off. Raises FrameworkError."""
    reason = _not_to_record(spec, inputs, capture)
    hidden: dict[Key, Array] = {}
    captured: dict[Key, Array] = {}
    # In the order of Keras' states: h, then c.
    finals: dict[str, list[Array]] = {f"{state}_n": [] for state in _states(spec)}
    x = inputs.x
    try:
        for number in range(spec.num_layers):
            columns = [column for column in spec.layer_directions if column[0] == number]
            for column in [] if reason else columns:
                captured |= _recorded(_of(module, spec, column), spec, inputs, column, x)
            h, states = _run(module[number], spec, inputs, columns, x)
            hidden |= _by_direction(module, spec, inputs, columns, x, h)
            for place, state in enumerate(states):
                finals[[*finals][place % len(finals)]].append(state)
            x = h
    except Exception as error:
        words = " ".join(show(str(error)).split())[:LONGEST]
        raise FrameworkError(f"Keras could not run {spec.kind} in {spec.dtype}: {words}") from error
    return Observation(
        framework=NAME,
        version=keras.__version__,
        device="cpu",
        threads=os.cpu_count() or 1,
        path=f"{keras.backend.backend()} backend",
        outputs={"output": x, **{name: np.stack(rows) for name, rows in finals.items()}},
        hidden=hidden,
        captured=captured,
        captured_path="step-by-step" if captured else "",
        not_captured=reason,
    )


def _states(spec: ModuleSpec) -> tuple[str, ...]:
    """The states in Keras' order."""
    return ("h", "c") if spec.has_cell_state else ("h",)


def _of(module: list[Any], spec: ModuleSpec, column: LayerDirection) -> Any:
    """The layer of Keras that is one layer and direction."""
    layer = module[column[0]]
    if not spec.bidirectional:
        return layer
    return layer.backward_layer if column[1] == REVERSE else layer.forward_layer


def _run(layer: Any, spec: ModuleSpec, inputs: Inputs, columns: list[LayerDirection], x: Array) -> tuple[Array, list[Array]]:
    """h (T, B, ·) of a layer's directions, joined, and the last states (B, ·) of one direction after the other."""
    initial = [inputs.initial(state)[spec.layer_directions.index(column)] for column in columns for state in _states(spec)]
    valid = inputs.valid
    mask = None if valid is None else keras.ops.convert_to_tensor(np.ascontiguousarray(valid.T))
    given = (keras.ops.convert_to_tensor(np.ascontiguousarray(x.swapaxes(0, 1)), dtype=spec.precision.name), mask)
    states = [keras.ops.convert_to_tensor(np.array(state), dtype=spec.precision.name) for state in initial]
    output, *finals = layer(given[0], mask=mask, initial_state=states, training=False)
    h = _numbers(output).swapaxes(0, 1)
    # Without Bidirectional, what runs backwards comes out in the order in which it ran.
    if not spec.bidirectional and columns[0][1] == REVERSE:
        h = h[::-1]
    if valid is not None:
        # At steps that do not exist Keras repeats a state, and the module has none.
        h = np.where(valid[..., None], h, h.dtype.type(0))
    return np.ascontiguousarray(h), [_numbers(final) for final in finals]


def _by_direction(
    module: list[Any], spec: ModuleSpec, inputs: Inputs, columns: list[LayerDirection], x: Array, h: Array
) -> dict[Key, Array]:
    """The h of each direction; where Keras gives them merged, each direction runs once more by itself."""
    if spec.merge_of(columns[0][0]) != CONCAT:
        parts = [_alone(_of(module, spec, column), spec, inputs, column, x) for column in columns]
    else:
        parts = np.split(h, len(columns), 2)
    return {(*column, "h"): part for column, part in zip(columns, parts, strict=True)}


def _alone(layer: Any, spec: ModuleSpec, inputs: Inputs, column: LayerDirection, x: Array) -> Array:
    """The h (T, B, ·) of one direction of a layer."""
    row = spec.layer_directions.index(column)
    own: dict[str, Any] = {f"{state}0": inputs.initial(state)[row : row + 1] for state in spec.cell.states}
    h, _ = _run(layer, spec.one_way(column[1], num_layers=1), replace(inputs, **own), [(0, column[1])], x)
    return h


def _recorded(layer: Any, spec: ModuleSpec, inputs: Inputs, column: LayerDirection, x: Array) -> dict[Key, Array]:
    """Gates and states (T, B, H) of one layer and direction, NaN at steps that do not exist."""
    calls: list[tuple[Any, Any]] = []

    def recorder(activation: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def record(argument: Any) -> Any:
            result = activation(argument)
            calls.append((argument, result))
            return result

        return record

    cell, names = layer.cell, ("activation", "recurrent_activation")
    kept = {name: getattr(cell, name) for name in names if hasattr(cell, name)}
    ways = {name: getattr(layer, name) for name in ("unroll", "use_cudnn") if hasattr(layer, name)}
    try:
        for name, activation in kept.items():
            setattr(cell, name, recorder(activation))
        # What JAX scans it traces, and then there are no numbers.
        layer.unroll = keras.backend.backend() == "jax"
        if "use_cudnn" in ways:
            layer.use_cudnn = False
        h = _alone(layer, spec, inputs, column, x)
    finally:
        for owner, found in ((cell, kept), (layer, ways)):
            for name, value in found.items():
                setattr(owner, name, value)
    symbols = _RECORDED.get(spec.family, ("h",))
    by_step = (calls[first : first + len(symbols)] for first in range(0, len(calls), len(symbols)))
    steps = [dict(zip(symbols, found, strict=True)) for found in by_step]
    # Some backends call a cell once before the first step, to see what it gives.
    steps = steps[len(steps) - inputs.steps :]
    gates = {symbol: np.stack([_numbers(step[symbol][1]) for step in steps]) for symbol in symbols if symbol}
    if spec.has_cell_state:
        gates["c"] = np.stack([_numbers(step[""][0]) for step in steps])
    if column[1] == REVERSE:
        gates = {symbol: values[::-1] for symbol, values in gates.items()}
    gates["h"] = h
    valid = inputs.valid
    exist = (lambda values: values) if valid is None else (lambda values: np.where(valid[..., None], values, np.nan))
    return {(*column, symbol): np.asarray(exist(gates[symbol]), h.dtype) for symbol in spec.cell.symbols}


def _not_to_record(spec: ModuleSpec, inputs: Inputs, wanted: str) -> str:
    """Why Keras' gates are not to be recorded; empty if they are."""
    steps = len(spec.layer_directions) * inputs.steps
    if wanted == "auto" and steps > MAX_RECORDED_STEPS:
        return f"{steps:,} steps are over the limit of {MAX_RECORDED_STEPS:,} steps; `capture=on` records them all the same"
    return "not asked for" if wanted == "off" else ""


def _numbers(tensor: Any) -> Array:
    """The values as numpy holds them: half formats in float32, which holds them exactly."""
    array: Array = keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32") if _is_half(tensor) else tensor)
    return array


def _is_half(tensor: Any) -> bool:
    return keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16")
