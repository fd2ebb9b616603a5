"""ONNX models: the RNN, LSTM and GRU nodes of their graphs, whose weights are initializers, or constants made of these.

The operators: https://onnx.ai/onnx/operators/onnx__LSTM.html and those of GRU and RNN. No other file is ever opened: weights
that lie outside the model are refused.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from rnntrace.errors import FileError, SpecError, WeightsError, show
from rnntrace.files import onnx_quantised
from rnntrace.files.onnx_around import Around
from rnntrace.files.onnx_attributes import options_of, text
from rnntrace.files.onnx_constants import Constants
from rnntrace.files.onnx_graph import STANDARD, Scope, Value, distinct, scopes
from rnntrace.files.onnx_long import opened
from rnntrace.files.onnx_operators import OPERATORS, NotConstant, stored
from rnntrace.files.onnx_origin import Origin, Origins, spelled_out
from rnntrace.files.onnx_stack import RECURRENT, Stacking
from rnntrace.files.onnx_states import FORMATS, states_of
from rnntrace.files.tensors import Tensors, of_model, reading
from rnntrace.model.conventions import BY_NAME, ONNX
from rnntrace.model.dtypes import Array
from rnntrace.model.layouts import from_convention
from rnntrace.model.module import DEQUANTISED, Contents, Layer, Module, Refused, stacked
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights

DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}


def read(path: Path, kind: str, graph_inputs: Mapping[str, Array] | None = None) -> Tensors:
    """The recurrent nodes of a model by name; nodes that feed one another are layers of one module.

    `graph_inputs` are values, by name, for inputs of the graph that have none of their own. Raises FileError if there is none
    of these names.
    """
    with reading(kind):
        model, long = opened(path)
        remarks = () if graph_inputs is None else _store(model.graph, graph_inputs)
        if own := {one.name for one in model.functions if one.domain in STANDARD} & ({*RECURRENT, *OPERATORS}):
            raise FileError(f"it has a function of its own by the name of {show(min(own))}, which is ONNX' own operator")
        graphs = scopes(model, long)
        found = [(scope, node) for scope in graphs for node in scope.nodes if _is_recurrent(node)]
        names = distinct(".".join((*scope.path, node.name or node.op_type)) for scope, node in found)
        # Nodes are told apart by identity: two may look alike, and those of a function stand in each of its calls.
        by_identity = {(id(scope), id(node)): name for name, (scope, node) in zip(names, found, strict=True)}
        stackings = {id(scope): Stacking(scope) for scope in graphs}
        surroundings = {id(scope): Around(scope) for scope in graphs}
        constants, origins = Constants(), Origins()
        refused: dict[str, Refused] = {}
        layers: list[Layer] = []
        for name, (scope, node) in zip(names, found, strict=True):
            try:
                module = _module(node, scope, constants, origins)
                below = stackings[id(scope)].below(node)
                around = surroundings[id(scope)]
                module = replace(module, before=around.before(node), behind=around.behind(node))
                layers.append(Layer(name, module, by_identity.get((id(scope), id(below)))))
            except (WeightsError, SpecError) as error:
                refused[name] = Refused(f"{node.op_type} node {show(name)}", str(error))
        modules = {prefix: replace(module, remarks=(*remarks, *module.remarks)) for prefix, module in stacked(layers).items()}
        if not modules and not refused:
            raise FileError(_none_found(graphs))
    return of_model(Contents(modules, refused, _others(graphs, found, constants)))


def _store(graph: Any, values: Mapping[str, Array]) -> tuple[str, ...]:
    """Makes values for inputs of a graph initializers of it, in the number format that it declares; says which are for none."""
    stored_already = {tensor.name for tensor in graph.initializer}
    types = {one.name: one.type.tensor_type.elem_type for one in graph.input if one.name not in stored_already}
    free = {name: dtype for name, dtype in types.items() if dtype in (*FLOATS, onnx.TensorProto.INT32)}
    if not free.keys() & values.keys():
        inputs = ", ".join(map(show, free)) or "none"
        raise FileError(f"`graph_inputs` holds {', '.join(map(show, values))}, and the inputs without a value are {inputs}")
    for name in free.keys() & values.keys():
        dtype = onnx.helper.tensor_dtype_to_np_dtype(free[name])
        graph.initializer.append(onnx.numpy_helper.from_array(values[name].astype(dtype), name))
    others = [show(name)[:60] for name in values if name not in free]
    return (f"of `graph_inputs` not read, as the graph has no such input: {', '.join(others)}",) if others else ()


def _is_recurrent(node: Any) -> bool:
    return (node.op_type in RECURRENT and node.domain in STANDARD) or node.op_type == onnx_quantised.NAME


def _none_found(graphs: Sequence[Scope]) -> str:
    """What to say of a model without a recurrent node: what it has instead."""
    body = spelled_out(graphs)
    there = (
        f"a cell is spelled out in {body}"
        if body
        else "torch's newer exporter writes nn.RNN, and both write cells, as single operators"
    )
    return f"the model has no RNN, LSTM or GRU node ({there}): expected such nodes, or a state_dict"


def _others(graphs: Sequence[Scope], nodes: Sequence[tuple[Scope, Any]], constants: Constants) -> int:
    """How many tensors of floats are no recurrent node's."""
    read = [*constants.read, *(scope.find(name) for scope, node in nodes for name in node.input if name)]
    theirs = {id(value.tensor) for value in read}
    tensors = {id(tensor): tensor for scope in graphs for tensor in scope.stored.values()}
    return sum(tensor.data_type in FLOATS and number not in theirs for number, tensor in tensors.items())


def _module(node: Any, scope: Scope, constants: Constants, origins: Origins) -> Module:
    """One node. Raises WeightsError for what is missing, of the wrong shape or not supported."""
    attributes = scope.values_of(node)
    names = (*INPUTS, *onnx_quantised.SCALES)
    inputs = {name: scope.find(source) for name, source in zip(names, node.input, strict=False) if source}
    is_quantised = node.op_type == onnx_quantised.NAME
    kind = "LSTM" if is_quantised else node.op_type
    direction = text(attributes.get("direction", b"forward"))
    count = DIRECTIONS.get(direction)
    if count is None:
        raise WeightsError(f"direction should be one of {', '.join(DIRECTIONS)}, and is {show(direction)}")
    options = options_of(kind, attributes, count)
    peeping = "P" in inputs and origins.of(inputs["P"]) is not Origin.ZERO
    read = [*INPUTS[1:4], *(["P"] if peeping else [])]
    tensors = {
        name: onnx_quantised.dequantised(name, inputs, constants)
        if is_quantised and name in ("W", "R")
        else _array(name, inputs[name], constants)
        for name in read
        if name in inputs
    }
    if "W" not in tensors or "R" not in tensors:
        raise WeightsError("it has no W or no R: expected both as initializers or constants")
    W, R, B, P = (tensors.get(name, (None, ""))[0] for name in "WRBP")
    assert W is not None
    assert R is not None
    gates = {"RNN": 1, "LSTM": 4, "GRU": 3}[kind]
    hidden = R.shape[-1]
    expected = {
        "W": (count, gates * hidden, W.shape[-1]),
        "R": (count, gates * hidden, hidden),
        "B": (count, 2 * gates * hidden),
        "P": (count, 3 * hidden),
    }
    for name, (array, _) in tensors.items():
        if array.shape != expected[name]:
            raise WeightsError(f"{name} should have shape {expected[name]}, and has shape {array.shape}")
    if attributes.get("hidden_size", hidden) != hidden:
        raise WeightsError(f"hidden_size is {attributes['hidden_size']}, and R has shape {R.shape}")
    formats = {found for _, found in tensors.values()}
    spec = ModuleSpec(
        kind=kind,
        input_size=W.shape[-1],
        hidden_size=hidden,
        bidirectional=count == 2,
        reverse=direction == "reverse",
        bias=B is not None,
        batch_first=bool(attributes.get("layout", 0)),
        peepholes=P is not None,
        dtype=formats.pop() if len(formats) == 1 else "float32",
        **options,
    )
    biases = [(None, None)] * count if B is None else [np.split(B[d], 2) for d in range(count)]
    peepholes = [None] * count if P is None else [*P]
    weights = {
        (0, name): from_convention(BY_NAME[ONNX], spec.cell, W_ih, W_hh, *both, p=p)
        for name, W_ih, W_hh, both, p in zip(spec.directions, W, R, biases, peepholes, strict=True)
    }
    held = states_of(spec, inputs, constants, origins)
    if is_quantised:
        held |= {"remarks": (DEQUANTISED, *held.get("remarks", ())), "levels": onnx_quantised.LEVELS}
    return Module(spec, Weights(weights), ONNX, **held)


def _array(name: str, value: Value, constants: Constants) -> tuple[Array, str]:
    """A constant as float32 or float64, and its own format. Raises WeightsError."""
    tensor = value.tensor
    if tensor is None and value.maker is None:
        given = value.name in value.scope.inputs
        expected = "give its values to compare by `graph_inputs`" if given else "expected an initializer or a Constant node"
        raise WeightsError(f"{name} is no constant of the model{', but an input of it' if given else ''}: {expected}")
    try:
        # What is stored is read anew for each node: it is not kept beside the weights.
        shape = constants.value(value).shape if tensor is None else tuple(tensor.dims)
    except NotConstant as error:
        raise WeightsError(f"{name} is no constant of the model but {error}: expected an initializer") from None
    if len(shape) not in (2, 3) or any(size < 1 for size in shape):
        raise WeightsError(f"{name} should have two or three dimensions above 0, and has shape {shape}")
    constants.total.add(math.prod(shape), name)
    array = constants.value(value) if tensor is None else stored(name, value.whole)
    found = array.dtype.name
    if found not in FORMATS:
        raise WeightsError(f"{name} should hold floats of 16, 32 or 64 bits, and holds {found}")
    return array.astype(FORMATS[found], copy=False), found
