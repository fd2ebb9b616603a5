"""Where a tensor of an ONNX graph comes from, and what stands in a model instead of recurrent nodes."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import numpy as np
import onnx

from rnntrace.files.onnx_graph import STANDARD, Scope, Value
from rnntrace.files.onnx_stack import RECURRENT

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
    """Follows values back through the graphs of a model, remembering what was found."""

    def __init__(self) -> None:
        self._known: dict[Value, Origin] = {}

    def of(self, wanted: Value) -> Origin:
        """Where a value comes from; shapes alone, such as the size of the batch, are not followed."""
        pending, entered = [wanted], set[Value]()
        while pending:
            current = pending[-1]
            if current in self._known:
                pending.pop()
                continue
            sources = _sources(current)
            if current not in entered:
                entered.add(current)
                pending += [source for source in sources if source not in entered]
                continue
            # What is still unknown waits for this: a graph that reads itself is none, and nothing is given to it.
            self._known[current] = _origin(current, [self._known.get(source, Origin.STORED) for source in sources])
        return self._known[wanted]


def _sources(value: Value) -> list[Value]:
    maker = value.maker
    if maker is None or maker.op_type in ("ConstantOfShape", *RECURRENT):
        return []
    only_first = maker.op_type in MOVING and maker.op_type != "Concat" and maker.domain in STANDARD
    return [source for source in value.sources if source is not None][: 1 if only_first else None]


def _origin(value: Value, sources: Sequence[Origin]) -> Origin:
    maker = value.maker
    if value.tensor is not None:
        return Origin.ZERO if is_zero(value.whole) else Origin.STORED
    if maker is not None and maker.op_type == "ConstantOfShape":
        filled = value.scope.values_of(maker).get("value")
        return Origin.ZERO if filled is None or is_zero(filled) else Origin.STORED
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


def spelled_out(scopes: Iterable[Scope]) -> str:
    """In what kind of body an equation is that multiplies and squashes, as a cell does; empty if in none."""
    found: dict[str, set[str]] = {}
    for scope in scopes:
        found.setdefault(scope.where, set()).update(node.op_type for node in scope.nodes)
    return next((where for where, ops in found.items() if where and ops & _MULTIPLYING and ops & _SQUASHING), "")
