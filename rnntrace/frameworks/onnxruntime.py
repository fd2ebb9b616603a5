"""ONNX Runtime on the processor: a model of one operator for each layer, made in memory, with our weights in it.

It shows no gates: an operator is opaque. Every layer's own h is known, since each layer is an output of the model.
"""

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from rnntrace.equations.activations import ACTIVATIONS
from rnntrace.errors import FrameworkError
from rnntrace.frameworks.protocol import EMPTY
from rnntrace.model.conventions import BY_NAME, ONNX
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.layouts import to_convention
from rnntrace.model.observation import Observation
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.spec_checks import ACTIVATIONS_OF
from rnntrace.model.weights import Weights

NAME = "onnxruntime"
OFFERS = frozenset({EMPTY})

OPSET, IR = 17, 8
_ACTIVATIONS = {
    "affine": "Affine",
    "elu": "Elu",
    "hard_sigmoid": "HardSigmoid",
    "leaky_relu": "LeakyRelu",
    "linear": "Affine",
    "relu": "Relu",
    "scaled_tanh": "ScaledTanh",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
    "thresholded_relu": "ThresholdedRelu",
}
"""ONNX' name for each activation that it has."""
_LINEAR = (1.0, 0.0)
"""The numbers with which Affine does nothing."""
_NUMBERS = {"float32": TensorProto.FLOAT}
"""Formats in which its operators compute on the processor."""
NO_GATES = "ONNX Runtime shows no gates"


def lacks(spec: ModuleSpec) -> str:
    """What of this module ONNX Runtime has no form of."""
    if spec.is_custom:
        return f"{spec.kind}, a cell of your own"
    if spec.proj_size:
        return "LSTM with a projection"
    if spec.layer_norm or spec.independent:
        return f"{spec.kind} with {'a layer norm' if spec.layer_norm else 'independent units'}"
    if spec.merges:
        return f"{spec.kind} whose directions are merged"
    for activation in _activations(spec):
        if activation.partition(":")[0] not in _ACTIVATIONS:
            return f"{spec.kind} with {activation}"
    if spec.dtype not in _NUMBERS:
        return f"{spec.kind} in {spec.dtype}"
    return ""


def build(spec: ModuleSpec, device: str = "cpu") -> dict[str, Any]:
    """Room for the model: it is made when its weights are there, and they are part of it."""
    return {}


def load(module: dict[str, Any], spec: ModuleSpec, weights: Weights) -> None:
    """Make the model with these weights, and a session that runs it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = _model(spec, weights).SerializeToString()
    module["session"] = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def observe(module: dict[str, Any], spec: ModuleSpec, inputs: Inputs, capture: str = "auto") -> Observation:
    """Run the model on the inputs. Raises FrameworkError where it cannot."""
    lengths = inputs.lengths or (inputs.steps,) * inputs.batch
    feeds = {**inputs.signals, "lengths": np.array(lengths, np.int32)}
    try:
        found = module["session"].run(None, {name: np.ascontiguousarray(values) for name, values in feeds.items()})
    except Exception as error:
        words = str(error).strip().partition("\n")[0]
        raise FrameworkError(f"ONNX Runtime could not run {spec.kind} in {spec.dtype}: {words}") from error
    by_layer, finals = found[: spec.num_layers], found[spec.num_layers :]
    hidden = {
        (layer, direction, "h"): by_layer[layer][:, row]
        for layer in range(spec.num_layers)
        for row, direction in enumerate(spec.directions)
    }
    output = np.concatenate([hidden[spec.num_layers - 1, direction, "h"] for direction in spec.directions], axis=2)
    states = len(spec.cell.states)
    # Finals come layer by layer: h and, of an LSTM, c.
    outputs = {f"{state}_n": np.concatenate(finals[place::states]) for place, state in enumerate(("h", "c")[:states])}
    return Observation(
        framework=NAME,
        version=onnxruntime.__version__,
        device="cpu",
        threads=1,
        path="CPUExecutionProvider",
        outputs={"output": output, **outputs},
        hidden=hidden,
        not_captured=NO_GATES,
    )


def _model(spec: ModuleSpec, weights: Weights) -> Any:
    """x (T, B, I), lengths (B,), h0 and c0 (L·D, B, H) → of each layer (T, D, B, H), and then its last states (D, B, H)."""
    number, directions = _NUMBERS[spec.dtype], len(spec.directions)
    states = ("h", "c") if spec.has_cell_state else ("h",)
    nodes, constants, by_layer, finals = [], [], [], []

    def constant(name: str, values: NDArray[Any]) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    x = "x"
    for layer in range(spec.num_layers):
        W, R, B, P = _arrays(spec, weights, layer)
        rows = slice(layer * directions, (layer + 1) * directions)
        bounds = [constant(f"{end}_{layer}", np.array([getattr(rows, end)])) for end in ("start", "stop")]
        initial = []
        for state in states:
            nodes.append(helper.make_node("Slice", [f"{state}0", *bounds], [f"{state}0_{layer}"]))
            initial.append(f"{state}0_{layer}")
        given = [x, constant(f"W_{layer}", W), constant(f"R_{layer}", R), "" if B is None else constant(f"B_{layer}", B)]
        made = [f"y_{layer}", *(f"{state}_n_{layer}" for state in states)]
        last = [] if P is None else [constant(f"P_{layer}", P)]
        nodes.append(helper.make_node(spec.family, [*given, "lengths", *initial, *last], made, **_attributes(spec)))
        by_layer.append(made[0])
        finals += made[1:]
        # (T, D, B, H) as the layer above reads it, (T, B, D·H).
        nodes.append(helper.make_node("Transpose", [made[0]], [f"turned_{layer}"], perm=[0, 2, 1, 3]))
        shape = constant(f"shape_{layer}", np.array([0, 0, -1], np.int64))
        nodes.append(helper.make_node("Reshape", [f"turned_{layer}", shape], [f"x_{layer + 1}"]))
        x = f"x_{layer + 1}"
    signals: list[tuple[str, Any, list[Any]]] = [
        ("x", number, [None, None, spec.input_size]),
        ("lengths", TensorProto.INT32, [None]),
    ]
    signals += [(f"{state}0", number, [len(spec.layer_directions), None, spec.hidden_size]) for state in states]
    shapes = {name: [None, directions, None, spec.hidden_size] for name in by_layer}
    shapes |= {name: [directions, None, spec.hidden_size] for name in finals}
    graph = helper.make_graph(
        nodes,
        "module",
        [helper.make_tensor_value_info(*signal) for signal in signals],
        [helper.make_tensor_value_info(name, number, shape) for name, shape in shapes.items()],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


def _arrays(spec: ModuleSpec, weights: Weights, layer: int) -> tuple[Array, Array, Array | None, Array | None]:
    """W (D, G·H, I), R (D, G·H, H), B (D, 2·G·H) and P (D, 3·H) of a layer, as ONNX arranges them."""
    found = [to_convention(BY_NAME[ONNX], spec.cell, weights[layer, direction]) for direction in spec.directions]
    W, R = (np.stack([arrays[name] for arrays in found]) for name in ("W_ih", "W_hh"))
    biases = [np.concatenate([arrays["b_ih"], arrays["b_hh"]]) for arrays in found if "b_ih" in arrays]
    peepholes = [arrays["p"] for arrays in found if "p" in arrays]
    return W, R, np.stack(biases) if biases else None, np.stack(peepholes) if peepholes else None


def _activations(spec: ModuleSpec) -> tuple[str, ...]:
    """Those of every direction, in ONNX' order."""
    own = tuple(getattr(spec, name) for name in ACTIVATIONS_OF[spec.family])
    return own if len(spec.directions) == 1 else own + (spec.reverse_activations or own)


def _attributes(spec: ModuleSpec) -> dict[str, Any]:
    """Sizes, direction and functions of the operator."""
    direction = "bidirectional" if spec.bidirectional else "reverse" if spec.reverse else "forward"
    words, numbers = zip(*(_with_numbers(activation) for activation in _activations(spec)), strict=True)
    attributes: dict[str, Any] = {
        "hidden_size": spec.hidden_size,
        "direction": direction,
        "activations": [_ACTIVATIONS[word] for word in words],
        "activation_alpha": [given[0] for given in numbers if given],
        "activation_beta": [given[1] for given in numbers if len(given) > 1],
    }
    if spec.family == "GRU":
        attributes["linear_before_reset"] = int(spec.reset_after)
    if spec.coupled:
        attributes["input_forget"] = 1
    if spec.clip is not None:
        attributes["clip"] = spec.clip
    return {name: value for name, value in attributes.items() if value != []}


def _with_numbers(activation: str) -> tuple[str, tuple[float, ...]]:
    """Its name and all its numbers, those that go without saying too."""
    word, *given = activation.split(":")
    if word == "linear":
        return word, _LINEAR
    defaults = ACTIVATIONS[word].defaults[len(given) :]
    return word, (*map(float, given), *(number for number in defaults if number is not None))


__all__ = ["NAME", "OFFERS", "build", "lacks", "load", "observe"]
