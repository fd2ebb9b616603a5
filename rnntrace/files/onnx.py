"""ONNX models: the RNN, LSTM and GRU nodes of a graph, their weights as initializers or constants.

The operators: https://onnx.ai/onnx/operators/onnx__LSTM.html and those of GRU and RNN. No other file is ever opened: weights
that lie outside the model are refused.
"""

import math
from collections import Counter
from collections.abc import Mapping
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from rnntrace.errors import FileError, SpecError, WeightsError, show
from rnntrace.files.onnx_origin import Origin, Origins, elsewhere, spelled_out
from rnntrace.files.onnx_stack import STANDARD, Stacking
from rnntrace.files.protobuf import fields
from rnntrace.files.tensors import Tensors, Total, check_distinct, of_model, reading
from rnntrace.model.conventions import BY_NAME, ONNX
from rnntrace.model.dtypes import Array
from rnntrace.model.layouts import from_convention
from rnntrace.model.limits import MAX_MEMBERS, over
from rnntrace.model.module import Contents, Layer, Module, Refused, stacked
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights

ACTIVATIONS = {"RNN": ("tanh",), "LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh")}
"""The default activations of each operator in one direction; an RNN may also have relu."""
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
UNDERSTOOD = {"hidden_size", "direction", "activations", "linear_before_reset", "layout", "input_forget", "output_sequence"}
"""Attributes that are read; output_sequence, of the first version, says only whether Y is returned."""
GRAPH, NODE, INITIALIZER = 7, 1, 5
"""Numbers of fields in ONNX' protobuf: the graph in a model, and these in a graph."""
MOST_FIELDS = 10 * MAX_MEMBERS
"""Things of any other sort in a model, or in its graph."""
FORMATS = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.BFLOAT16: "bfloat16",
}


def read(path: Path, kind: str) -> Tensors:
    """The recurrent nodes of a model by name; nodes that feed one another are layers of one module."""
    with reading(kind):
        content = path.read_bytes()
        _check_counts(content)
        model = onnx.load_model_from_string(content)
        graph = model.graph
        constants = _constants(graph)
        nodes = [node for node in graph.node if node.op_type in ACTIVATIONS and node.domain in STANDARD]
        names = _names(nodes)
        # Nodes are told apart by identity: two may look alike.
        by_identity = dict(zip(map(id, nodes), names, strict=True))
        stacking, origins = Stacking(graph.node, constants), Origins(graph.node, constants)
        refused: dict[str, Refused] = {}
        layers: list[Layer] = []
        used: set[str] = set()
        for name, node in zip(names, nodes, strict=True):
            try:
                module = _module(node, constants, origins)
                layers.append(Layer(name, module, by_identity.get(id(stacking.below(node)))))
            except (WeightsError, SpecError) as error:
                refused[name] = Refused(f"{node.op_type} node {show(name)}", str(error))
            used.update(node.input)
        others = sum(name not in used and tensor.data_type in FORMATS for name, tensor in constants.items())
        modules = stacked(layers)
        inside = dict(elsewhere(model))
        if not modules and not refused and not any(found.nature for found in inside.values()):
            raise FileError(_none_found(model, inside))
    return of_model(Contents(modules, {**inside, **refused}, others))


def _none_found(model: Any, inside: Mapping[str, Refused]) -> str:
    """What to say of a model without a recurrent node in its graph: what it has instead."""
    there = "; ".join(f"{found.where}: {found.reason}" for found in inside.values())
    if not there and (body := spelled_out(model)):
        there = f"a cell is spelled out in {body}"
    there = there or "torch's newer exporter writes nn.RNN, and both write cells, as single operators"
    return (
        f"the model has no RNN, LSTM or GRU node outside of branches and loops ({there}): expected such nodes, or a state_dict"
    )


def _check_counts(content: bytes) -> None:
    """Raises FileError for too many nodes or initializers, before they are made: a node may take two bytes of a file."""
    counts = Counter[int]()
    for field, start, end in islice(fields(content, 0, len(content)), MOST_FIELDS):
        for inner, _, _ in fields(content, start, end) if field == GRAPH else ():
            counts[inner] += 1
            if counts[inner] > (MAX_MEMBERS if inner in (NODE, INITIALIZER) else MOST_FIELDS):
                raise FileError(f"its nodes or initializers are {over('MAX_MEMBERS', MAX_MEMBERS)}")


class _Constants(dict[str, Any]):
    """What a graph holds as constants: name → TensorProto; and how many values of them were read in all."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        super().__init__(tensors)
        self.total = Total()


def _constants(graph: Any) -> _Constants:
    check_distinct(tensor.name for tensor in graph.initializer)
    found = _Constants({tensor.name: tensor for tensor in graph.initializer})
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            found.update((node.output[0], attribute.t) for attribute in node.attribute if attribute.name == "value")
    return found


def _names(nodes: list[Any]) -> list[str]:
    """A name for each node: its own, or its operator with a number where it has none of its own."""
    names: dict[str, None] = {}
    for node in nodes:
        name = node.name or node.op_type
        numbered = (f"{name}_{number}" for number in count(len(names)))
        names[name if name not in names else next(other for other in numbered if other not in names)] = None
    return list(names)


def _module(node: Any, constants: _Constants, origins: Origins) -> Module:
    """One node. Raises WeightsError for what is missing, of the wrong shape or not supported."""
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    inputs = dict(zip(("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"), node.input, strict=False))
    _refuse(node.op_type, attributes, inputs, constants, origins)
    for name in ("W", "R", "B"):
        if operator := origins.operator(inputs.get(name, "")):
            raise WeightsError(f"{name} is no constant of the model but computed by {show(operator)}: expected an initializer")
    tensors = {name: _array(name, inputs[name], constants) for name in ("W", "R", "B") if inputs.get(name)}
    direction = _text(attributes.get("direction", b"forward"))
    count = DIRECTIONS.get(direction)
    if count is None:
        raise WeightsError(f"direction should be one of {', '.join(DIRECTIONS)}, and is {show(direction)}")
    if "W" not in tensors or "R" not in tensors:
        raise WeightsError("it has no W or no R: expected both as initializers or constants")
    W, R, B = (tensors.get(name, (None, ""))[0] for name in "WRB")
    assert W is not None
    assert R is not None
    gates = {"RNN": 1, "LSTM": 4, "GRU": 3}[node.op_type]
    hidden = R.shape[-1]
    expected = {
        "W": (count, gates * hidden, W.shape[-1]),
        "R": (count, gates * hidden, hidden),
        "B": (count, 2 * gates * hidden),
    }
    for name, (array, _) in tensors.items():
        if array.shape != expected[name]:
            raise WeightsError(f"{name} should have shape {expected[name]}, and has shape {array.shape}")
    if attributes.get("hidden_size", hidden) != hidden:
        raise WeightsError(f"hidden_size is {attributes['hidden_size']}, and R has shape {R.shape}")
    formats = {found for _, found in tensors.values()}
    spec = ModuleSpec(
        kind=node.op_type,
        input_size=W.shape[-1],
        hidden_size=hidden,
        bidirectional=count == 2,
        reverse=direction == "reverse",
        bias=B is not None,
        batch_first=bool(attributes.get("layout", 0)),
        nonlinearity=_activations(node.op_type, attributes)[0] if node.op_type == "RNN" else None,
        reset_after=node.op_type != "GRU" or bool(attributes.get("linear_before_reset", 0)),
        dtype=formats.pop() if len(formats) == 1 else "float32",
    )
    biases = [(None, None)] * count if B is None else [np.split(B[d], 2) for d in range(count)]
    columns = zip(spec.directions, W, R, biases, strict=True)
    weights = {(0, name): from_convention(BY_NAME[ONNX], spec.cell, W_ih, W_hh, *both) for name, W_ih, W_hh, both in columns}
    states = {"h0": "initial_h", "c0": "initial_c"}
    taken = tuple(state for state, name in states.items() if inputs.get(name) and origins.of(inputs[name]) is Origin.GIVEN)
    return Module(spec, Weights(weights), ONNX, takes=taken)


def _refuse(
    operator: str, attributes: Mapping[str, Any], inputs: Mapping[str, str], constants: _Constants, origins: Origins
) -> None:
    """Raises WeightsError, by name, for what would change the result and is not supported."""
    for name, value in attributes.items():
        if name not in UNDERSTOOD or (name == "input_forget" and value):
            raise WeightsError(f"the attribute {show(name)} is not supported: expected a node without it")
    supported = {ACTIVATIONS[operator], ("relu",)} if operator == "RNN" else {ACTIVATIONS[operator]}
    if _activations(operator, attributes) not in supported:
        given = ", ".join(_text(word) for word in attributes["activations"])
        raise WeightsError(
            f"the activations {show(given)} are not supported: expected {', '.join(ACTIVATIONS[operator])} in every direction"
        )
    if inputs.get("P") and origins.of(inputs["P"]) is not Origin.ZERO:
        raise WeightsError("its peephole weights P are not supported: expected none, or zeros")
    for name in ("initial_h", "initial_c"):
        if inputs.get(name) and origins.of(inputs[name]) is Origin.STORED:
            raise WeightsError(
                f"{name} is stored in the model or computed from what is, which is not supported: "
                "make it an input and pass it as --h0 or --c0"
            )
    if inputs.get("sequence_lens") and origins.of(inputs["sequence_lens"]) is not Origin.GIVEN:
        raise WeightsError("sequence_lens is stored in the model, which is not supported: make it an input and pass --lengths")


def _activations(operator: str, attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """The activations of one direction, small letters; those of two directions if they differ."""
    given = tuple(_text(word).lower() for word in attributes.get("activations", ())) or ACTIVATIONS[operator]
    count = len(ACTIVATIONS[operator])
    return given[:count] if given[:count] == given[count:] else given


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _array(name: str, tensor_name: str, constants: _Constants) -> tuple[Array, str]:
    """A constant as float32 or float64, and its own format. Raises WeightsError."""
    tensor = constants.get(tensor_name)
    if tensor is None:
        raise WeightsError(f"{name} is no constant of the model: expected an initializer or a Constant node")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise WeightsError(
            f"{name} lies outside the model, in a file that is never opened: save the model with its weights inside, "
            "as torch.onnx.export(…, external_data=False) does"
        )
    if tensor.data_type not in FORMATS:
        raise WeightsError(f"{name} should hold floats of 16, 32 or 64 bits, and holds another type")
    if len(tensor.dims) not in (2, 3) or any(size < 1 for size in tensor.dims):
        raise WeightsError(f"{name} should have two or three dimensions above 0, and has shape {tuple(tensor.dims)}")
    constants.total.add(math.prod(tensor.dims), name)
    _check_content(name, tensor)
    found = FORMATS[tensor.data_type]
    return np.asarray(numpy_helper.to_array(tensor)).astype(np.float64 if found == "float64" else np.float32), found


def _check_content(name: str, tensor: Any) -> None:
    """Raises WeightsError if a tensor holds another number of values than its shape says."""
    wanted = math.prod(tensor.dims)
    size = {onnx.TensorProto.DOUBLE: 8, onnx.TensorProto.FLOAT: 4}.get(tensor.data_type, 2)
    there = len(tensor.raw_data) // size or len(tensor.float_data) or len(tensor.double_data) or len(tensor.int32_data)
    if there != wanted:
        raise WeightsError(f"{name} of shape {tuple(tensor.dims)} should have {wanted:,} values, and {there:,} are there")
