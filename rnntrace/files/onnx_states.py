"""What a recurrent node of an ONNX model starts from: initial states and lengths that the model holds, or is given."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnntrace.errors import WeightsError
from rnntrace.files.onnx_constants import Constants
from rnntrace.files.onnx_graph import Value
from rnntrace.files.onnx_operators import NotConstant
from rnntrace.files.onnx_origin import Origin, Origins
from rnntrace.model.dtypes import Array
from rnntrace.model.limits import MAX_MEMBERS, over
from rnntrace.model.spec import ModuleSpec

FORMATS = {"float32": np.float32, "float64": np.float64, "float16": np.float32, "bfloat16": np.float32}
"""Formats of numbers, and those in which they are held."""
STATES = {"h0": "initial_h", "c0": "initial_c"}
FROM_FILE = "make it an input and pass it as"


def states_of(spec: ModuleSpec, inputs: Mapping[str, Value], constants: Constants, origins: Origins) -> dict[str, Any]:
    """The fields of a Module that say where it starts and how it was read. Raises WeightsError for what is not worked out."""
    found = {state: origins.of(inputs[name]) for state, name in STATES.items() if name in inputs}
    states = {
        state: _state(spec, STATES[state], _held(STATES[state], inputs[STATES[state]], constants, f"{FROM_FILE} --{state}"))
        for state, origin in found.items()
        if origin is Origin.STORED
    }
    quantised = [
        name for name in ("W", "R", "B", *STATES.values()) if name in inputs and constants.is_dequantised(inputs[name])
    ]
    lengths = inputs.get("sequence_lens")
    are_given = lengths is not None and origins.of(lengths) is Origin.GIVEN
    return {
        "takes": (*(state for state, origin in found.items() if origin is Origin.GIVEN), *(["lengths"] if are_given else [])),
        "states": states,
        "lengths": None if lengths is None or are_given else _lengths(lengths, constants),
        "remarks": (f"{', '.join(quantised)} dequantised: the model holds integers and a scale",) if quantised else (),
    }


def _held(name: str, value: Value, constants: Constants, instead: str) -> Array:
    try:
        return constants.value(value)
    except NotConstant as error:
        raise WeightsError(
            f"{name} is stored in the model or computed from what is, and cannot be worked out ({error}): {instead}"
        ) from None


def _state(spec: ModuleSpec, name: str, array: Array) -> Array:
    """(D, B, H), which stands as (B, D, H) where the batch is first."""
    rows, size = len(spec.directions), spec.hidden_size
    turned = array.swapaxes(0, 1) if spec.batch_first and array.ndim == 3 else array
    if array.ndim != 3 or (turned.shape[0], turned.shape[2]) != (rows, size) or not array.size:
        wanted = f"(batch, {rows}, {size})" if spec.batch_first else f"({rows}, batch, {size})"
        raise WeightsError(f"{name} should have shape {wanted}, and has shape {array.shape}")
    if array.dtype.name not in FORMATS:
        raise WeightsError(f"{name} should hold floats of 16, 32 or 64 bits, and holds {array.dtype.name}")
    return turned.astype(FORMATS[array.dtype.name])


def _lengths(value: Value, constants: Constants) -> tuple[int, ...]:
    array = _held("sequence_lens", value, constants, f"{FROM_FILE} `lengths`")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise WeightsError(f"sequence_lens should be whole numbers, one for each item, and has shape {array.shape}")
    if array.size > MAX_MEMBERS:
        raise WeightsError(f"the entries of sequence_lens are {over('MAX_MEMBERS', MAX_MEMBERS)}")
    return tuple(map(int, array))
