"""ONNX Runtime's DynamicQuantizeLSTM: an LSTM with weights of 8 bits, which rounds what it multiplies to 8 bits too.

Its inputs: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.DynamicQuantizeLSTM.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnntrace.errors import WeightsError
from rnntrace.files.onnx_constants import Constants
from rnntrace.files.onnx_graph import Value
from rnntrace.files.onnx_operators import NotConstant
from rnntrace.model.dtypes import Array

NAME = "DynamicQuantizeLSTM"
SCALES = ("W_scale", "W_zero_point", "R_scale", "R_zero_point")
"""Its inputs behind those of LSTM."""
LEVELS = 255
"""Steps of an activation between its smallest and its largest value."""


def dequantised(name: str, inputs: Mapping[str, Value], constants: Constants) -> tuple[Array, str]:
    """W or R as LSTM has it, (D, 4·H, ·), where this has (D, ·, 4·H) of integers. Raises WeightsError."""
    integers = _constant(name, inputs, constants)
    scale, zero = (_constant(f"{name}_{what}", inputs, constants).astype(np.float64) for what in ("scale", "zero_point"))
    if integers.ndim != 3 or integers.dtype.name not in ("int8", "uint8"):
        raise WeightsError(f"{name} should be three axes of 8-bit integers, and is {integers.ndim} of {integers.dtype}")
    if any(one.shape not in ((len(integers),), (len(integers), integers.shape[2])) for one in (scale, zero)):
        raise WeightsError(f"{name}_scale and {name}_zero_point should have a number for each direction, or each column")
    scale, zero = (one.reshape(len(integers), 1, -1) for one in (scale, zero))
    return ((integers - zero) * scale).transpose(0, 2, 1).astype(np.float32), "float32"


def _constant(name: str, inputs: Mapping[str, Value], constants: Constants) -> Any:
    if name not in inputs:
        raise WeightsError(f"it has no {name}: expected it as an initializer or constant")
    try:
        found = constants.value(inputs[name])
    except NotConstant as error:
        raise WeightsError(f"{name} is no constant of the model but {error}: expected an initializer") from None
    constants.total.add(found.size, name)
    return found
