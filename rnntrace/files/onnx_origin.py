"""Where a tensor of an ONNX graph comes from, and recurrent nodes that stand where they are not read."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

import numpy as np
import onnx

from rnntrace.errors import FileError, show
from rnntrace.files.onnx_stack import RECURRENT, STANDARD
from rnntrace.model.limits import MAX_MEMBERS, over
from rnntrace.model.module import Refused

QUANTISED = {"DynamicQuantizeLSTM"}
"""Recurrent operators of ONNX Runtime's own domain whose weights are integers."""
MOVING = {
    *("Identity", "Cast", "Expand", "Tile", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Gather"),
    *("Split", "Concat"),
}
"""Operators of whose values there is none that their inputs do not have; all but Concat read one, and its shape from others."""
_SQUASHING = {"Tanh", "Sigmoid", "Relu"}
_MULTIPLYING = {"MatMul", "Gemm"}


class Origin(Enum):
    """What a value is when the model runs."""

    ZERO = "zero"
    STORED = "stored"
    """The model holds it, or works it out from what it holds."""
    GIVEN = "given"
    """It hangs on the inputs of the model."""


class Origins:
    """Follows tensors back through a graph. `constants` are its stored tensors by name."""

    def __init__(self, nodes: Sequence[Any], constants: Mapping[str, Any]) -> None:
        self._makers = {output: node for node in nodes for output in node.output if output}
        self._constants = constants
        self._known: dict[str, Origin] = {}

    def operator(self, name: str) -> str:
        """The operator that makes the values; empty for what is stored or an input."""
        maker = self._makers.get(name)
        return "" if maker is None or name in self._constants else str(maker.op_type)

    def of(self, name: str) -> Origin:
        """Where the values come from; shapes alone, such as the size of the batch, are not followed."""
        pending, entered = [name], set[str]()
        while pending:
            current = pending[-1]
            if current in self._known:
                pending.pop()
                continue
            sources = self._sources(current)
            if current not in entered:
                entered.add(current)
                pending += [source for source in sources if source not in entered]
                continue
            # What is still unknown waits for this: a graph that reads itself is none, and nothing is given to it.
            self._known[current] = self._origin(current, [self._known.get(source, Origin.STORED) for source in sources])
        return self._known[name]

    def _sources(self, name: str) -> list[str]:
        maker = self._makers.get(name)
        if name in self._constants or maker is None or maker.op_type in ("ConstantOfShape", *RECURRENT):
            return []
        only_first = maker.op_type in MOVING and maker.op_type != "Concat" and maker.domain in STANDARD
        return [source for source in maker.input if source][: 1 if only_first else None]

    def _origin(self, name: str, sources: Sequence[Origin]) -> Origin:
        maker = self._makers.get(name)
        if name in self._constants:
            return Origin.ZERO if is_zero(self._constants[name]) else Origin.STORED
        if maker is not None and maker.op_type == "ConstantOfShape":
            value = next((attribute.t for attribute in maker.attribute if attribute.name == "value"), None)
            return Origin.ZERO if value is None or is_zero(value) else Origin.STORED
        if not sources or Origin.GIVEN in sources:
            # An operator without inputs draws its values, or holds them in a way that is not read.
            stored = maker is not None and not sources and maker.op_type not in RECURRENT
            return Origin.STORED if stored else Origin.GIVEN
        moved = maker is not None and maker.op_type in MOVING and maker.domain in STANDARD
        return Origin.ZERO if moved and set(sources) == {Origin.ZERO} else Origin.STORED


def is_zero(tensor: Any) -> bool:
    """Whether all values stored in a tensor are zeros; False if they lie in another file."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return False
    typed = (tensor.float_data, tensor.double_data, tensor.int32_data, tensor.int64_data, tensor.uint64_data)
    return not np.frombuffer(tensor.raw_data, np.uint8).any() and not any(map(any, typed))


def elsewhere(model: Any) -> Iterator[tuple[str, Refused]]:
    """Recurrent nodes in branches, loops and functions of a model, and those of quantised weights, by name."""
    for where, path, node in _bodies(model):
        name = "/".join((*path, node.name or node.op_type))
        if node.op_type in RECURRENT and node.domain in STANDARD and where:
            yield name, Refused(f"{node.op_type} node {show(name)}", f"it stands in {where}, where nodes are not read")
        elif node.op_type in QUANTISED:
            reason = "its weights are quantised, which is not read: give the model as it was before quantisation"
            yield name, Refused(f"{node.op_type} node {show(name)}", reason, "quantisation")


def spelled_out(model: Any) -> str:
    """In what kind of body an equation is that multiplies and squashes, as a cell does; empty if in none."""
    found: dict[str, set[str]] = {}
    for where, _, node in _bodies(model):
        found.setdefault(where, set()).add(node.op_type)
    return next((where for where, ops in found.items() if where and ops & _MULTIPLYING and ops & _SQUASHING), "")


def _bodies(model: Any) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Every node of a model, with the body in which it stands, in words and by the names that lead there."""
    pending: list[tuple[str, tuple[str, ...], Any]] = [("", (), model.graph.node)]
    pending += [(f"the function {show(function.name)}", (function.name,), function.node) for function in model.functions]
    count = 0
    while pending:
        where, path, nodes = pending.pop()
        count += len(nodes)
        if count > MAX_MEMBERS:
            raise FileError(f"the nodes of it and of its branches are {over('MAX_MEMBERS', MAX_MEMBERS)}")
        for node in nodes:
            yield where, path, node
            for attribute in node.attribute:
                for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                    inside = f"the {show(attribute.name)} of {'an' if node.op_type == 'If' else 'a'} {show(node.op_type)}"
                    pending.append((inside, (*path, node.name or node.op_type, attribute.name), body.node))
