"""The operators with which ONNX models make constants out of what they store, in numpy: https://onnx.ai/onnx/operators.

What a result takes is counted before it is made; a view of what is there, such as a transpose, takes nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from rnntrace.errors import WeightsError
from rnntrace.model.dtypes import Array
from rnntrace.model.limits import MAX_BYTES

WIDTHS = {
    onnx.TensorProto.FLOAT: 32,
    onnx.TensorProto.DOUBLE: 64,
    onnx.TensorProto.FLOAT16: 16,
    onnx.TensorProto.BFLOAT16: 16,
    onnx.TensorProto.INT64: 64,
    onnx.TensorProto.INT32: 32,
    onnx.TensorProto.INT16: 16,
    onnx.TensorProto.UINT16: 16,
    onnx.TensorProto.INT8: 8,
    onnx.TensorProto.UINT8: 8,
    onnx.TensorProto.INT4: 4,
    onnx.TensorProto.UINT4: 4,
    onnx.TensorProto.BOOL: 8,
}
"""Types of numbers that are read, and their bits."""
MOST_AXES = 32


class NotConstant(WeightsError):
    """A value that is not worked out; the message says what it is instead."""


@dataclass(frozen=True)
class Call:
    """A node with what it reads; `take` counts what a result of so many values takes."""

    attributes: Mapping[str, Any]
    inputs: Sequence[Any]
    take: Callable[[int], None]

    def get(self, place: int) -> Any | None:
        """An input, None if it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def integers(self, name: str, place: int) -> list[int] | None:
        """A list of axes or a shape: an attribute in older versions of an operator, later an input; None if left out."""
        found = self.get(place)
        if found is None:
            found = self.attributes.get(name)
        if found is None:
            return None
        array = np.asarray(found)
        if array.dtype.kind not in "iu" or array.ndim > 1 or array.size > MOST_AXES:
            raise ValueError(f"{name} should be up to {MOST_AXES} whole numbers")
        return [int(value) for value in array.reshape(-1)]

    def shape(self, place: int) -> tuple[int, ...]:
        """A shape among the inputs, no larger than what may be read."""
        sizes = self.integers("shape", place)
        if sizes is None or min(sizes, default=0) < 0:
            raise ValueError("its shape should be whole numbers of 0 or more")
        check_size(math.prod(sizes))
        return tuple(sizes)


def check_size(count: int) -> None:
    """Raises NotConstant for more values than may be read."""
    if count > MAX_BYTES // 8:
        raise NotConstant(f"{count:,} values are over the limit of {MAX_BYTES // 8:,}, an eighth of RNNTRACE_MAX_BYTES")


def stored(name: str, tensor: Any) -> Array:
    """A stored tensor in its own format. Raises NotConstant for what lies elsewhere, is of another type, or is not whole."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise NotConstant(
            f"{name} lies outside the model, in a file that is never opened: save the model with its weights inside, "
            "as torch.onnx.export(…, external_data=False) does"
        )
    if tensor.data_type not in WIDTHS:
        raise NotConstant(f"{name} should hold floats of 16, 32 or 64 bits, or whole numbers, and holds another type")
    if any(size < 0 for size in tensor.dims):
        raise NotConstant(f"{name} has shape {tuple(tensor.dims)}: expected sizes of 0 or more")
    count, width = math.prod(tensor.dims), WIDTHS[tensor.data_type]
    check_size(count)
    wanted = -(-count * width // 8) * 8 // width
    if tensor.HasField("raw_data"):
        there = len(tensor.raw_data) * 8 // width
    else:
        there = len(getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type))) * (2 if width == 4 else 1)
    if there != wanted:
        raise NotConstant(f"{name} of shape {tuple(tensor.dims)} should have {count:,} values, and {there:,} are there")
    return np.asarray(numpy_helper.to_array(tensor))


def _reshape(call: Call) -> Array:
    (x, _), wanted = call.inputs, call.integers("shape", 1) or []
    if not call.attributes.get("allowzero"):
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    if not x.flags.c_contiguous:
        call.take(x.size)
    return np.asarray(np.reshape(x, wanted))


def _squeeze(call: Call) -> Array:
    axes = call.integers("axes", 1)
    return np.asarray(np.squeeze(call.inputs[0], None if axes is None else tuple(axes)))


def _slice(call: Call) -> Array:
    x = call.inputs[0]
    starts, ends, axes, steps = (
        call.integers(name, place + 1) for place, name in enumerate(("starts", "ends", "axes", "steps"))
    )
    assert starts is not None
    assert ends is not None
    axes, steps = list(range(len(starts))) if axes is None else axes, steps or [1] * len(starts)
    parts = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        parts[axis] = slice(start, end, step)
    return np.asarray(x[tuple(parts)])


def _concat(call: Call) -> Array:
    if len({x.dtype for x in call.inputs}) > 1:
        raise ValueError("of several types")
    call.take(sum(x.size for x in call.inputs))
    return np.concatenate(call.inputs, int(call.attributes["axis"]))


def _cast(call: Call) -> Array:
    wanted = call.attributes["to"]
    if wanted not in WIDTHS:
        raise ValueError("to another type than numbers of up to 64 bits")
    call.take(call.inputs[0].size)
    return np.asarray(call.inputs[0]).astype(onnx.helper.tensor_dtype_to_np_dtype(wanted))


def _both(function: Callable[[Array, Array], Any]) -> Callable[[Call], Array]:
    """An operator of two inputs of one type, which broadcast."""

    def work_out(call: Call) -> Array:
        a, b = call.inputs
        if a.dtype != b.dtype or (function is np.divide and a.dtype.kind in "iub"):
            raise ValueError(f"of {a.dtype} and {b.dtype}")
        call.take(math.prod(np.broadcast_shapes(a.shape, b.shape)))
        return np.asarray(function(a, b))

    return work_out


def _where(call: Call) -> Array:
    condition, a, b = call.inputs
    if condition.dtype != bool or a.dtype != b.dtype:
        raise ValueError(f"of {condition.dtype}, {a.dtype} and {b.dtype}")
    call.take(math.prod(np.broadcast_shapes(condition.shape, a.shape, b.shape)))
    return np.asarray(np.where(condition, a, b))


def _dequantise(call: Call) -> Array:
    """(x - zero point) · scale, in the format of the scale; both for the whole or for each slice of one axis."""
    x, scale, zero = call.inputs[0], call.inputs[1], call.get(2)
    whole, formats = ("int4", "uint4", "int8", "uint8", "int16", "uint16", "int32"), ("float32", "float16", "bfloat16")
    if x.dtype.name not in whole or scale.dtype.name not in formats or call.attributes.get("block_size"):
        raise ValueError("expected integers, and one scale for all or for each slice")
    if zero is not None and zero.dtype != x.dtype:
        raise ValueError(f"of {x.dtype} with a zero point of {zero.dtype}")
    call.take(x.size)

    def along(values: Array) -> Array:
        if values.size == 1:
            return values.reshape(())
        if values.ndim != 1:
            raise ValueError(f"one scale for each slice in shape {values.shape}")
        axis = int(call.attributes.get("axis", 1)) % x.ndim
        return values.reshape([-1 if place == axis else 1 for place in range(x.ndim)])

    y = x.astype(np.float32)
    if zero is not None:
        y -= along(zero).astype(np.float32)
    y *= along(scale).astype(np.float32)
    return np.asarray(y.astype(scale.dtype, copy=False))


def _constant(call: Call) -> Array:
    """The ways to write one; a tensor is found among what is stored, unless it is an attribute of a function."""
    ((name, value),) = call.attributes.items()
    if name == "value":
        return stored("its value", value)
    formats = {"value_float": "f4", "value_floats": "f4", "value_int": "i8", "value_ints": "i8"}
    return np.asarray(value, formats[name])


def _gather(call: Call) -> Array:
    (x, places), axis = call.inputs, int(call.attributes.get("axis", 0))
    # numpy copies what does not lie together.
    call.take(places.size * (x.size // max(x.shape[axis], 1)) + (0 if x.flags.c_contiguous else x.size))
    return np.asarray(np.take(x, places, axis))


def _constant_of_shape(call: Call) -> Array:
    tensor = call.attributes.get("value")
    value = np.zeros((), np.float32) if tensor is None else stored("its value", tensor)
    return np.broadcast_to(value.reshape(()), call.shape(0))


def _expand(call: Call) -> Array:
    shape = np.broadcast_shapes(call.inputs[0].shape, call.shape(1))
    check_size(math.prod(shape))
    return np.broadcast_to(call.inputs[0], shape)


OPERATORS: dict[str, Callable[[Call], Array]] = {
    "Identity": lambda call: np.asarray(call.inputs[0]),
    "Constant": _constant,
    "Shape": lambda call: np.array(
        call.inputs[0].shape[call.attributes.get("start", 0) : call.attributes.get("end")], np.int64
    ),
    "Transpose": lambda call: np.transpose(call.inputs[0], call.attributes.get("perm")),
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": lambda call: np.expand_dims(call.inputs[0], call.integers("axes", 1) or []),
    "Slice": _slice,
    "Gather": _gather,
    "Concat": _concat,
    "Cast": _cast,
    "Add": _both(np.add),
    "Sub": _both(np.subtract),
    "Mul": _both(np.multiply),
    "Div": _both(np.divide),
    "Equal": _both(np.equal),
    "Where": _where,
    "DequantizeLinear": _dequantise,
    "Expand": _expand,
    "ConstantOfShape": _constant_of_shape,
}
"""All that is worked out, by operator."""
