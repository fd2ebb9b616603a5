"""Outputs that a user gives to judge a replay by, as frameworks write them."""

from collections.abc import Mapping

import numpy as np

from rnntrace.engine.quantities import OUTPUTS
from rnntrace.engine.trace import Key
from rnntrace.errors import FileError, SignalError, show
from rnntrace.files import label, read_source
from rnntrace.files.ignored import Ignored
from rnntrace.model.conventions import KERAS, ONNX
from rnntrace.model.dtypes import Array
from rnntrace.model.module import Module
from rnntrace.model.signals import Inputs, to_own_layout, to_time_major
from rnntrace.model.spec import ModuleSpec

ONNX_NAMES = {"output": "Y", "h_n": "Y_h", "c_n": "Y_c"}
"""What ONNX calls the outputs of a recurrent node; https://onnx.ai/onnx/operators/onnx__LSTM.html."""


def read_expected(
    module: Module, inputs: Inputs, source: str, ignored: Ignored | None = None
) -> tuple[dict[str, Array], list[str]]:
    """The outputs that a source holds, time-major, and sentences on what cannot be judged by them.

    The source has some of output, h_n and c_n (in ONNX's words Y, Y_h, Y_c), or one array, which is the output. Shapes are
    torch's; ONNX's Y (T, D, B, H) is read too, and of a Keras layer, which gives states without the axis of layers and
    may give its last output alone, those forms. Raises FileError and SignalError.
    """
    spec = module.spec
    found, names, in_onnx_words = _named(spec, source, ignored)
    notes = []
    if module.layout == KERAS:
        given, found = found, _from_keras(module, inputs, found)
        if "output" in given and "output" not in found:
            names.remove("output")
            notes.append(f"{label(source)} holds the output of the final step alone: it is judged as h_n")
    rows, directions = len(spec.columns), len(spec.directions)
    shapes = {
        "output": (inputs.steps, inputs.batch, directions * spec.output_size),
        "h_n": (rows, inputs.batch, spec.output_size),
        "c_n": (rows, inputs.batch, spec.hidden_size),
    }
    outputs = {}
    for name, array in found.items():
        if name != "output" and module.layout == KERAS and len(array) == directions:
            # Of a stack, Keras gives the states of the last layer.
            shapes[name] = (directions, *shapes[name][1:])
        shape = to_own_layout(spec, name, np.empty(shapes[name]), inputs.unbatched).shape
        if module.layout == ONNX:
            array = _from_onnx(spec, name, array, in_onnx_words)
        if array.shape != shape:
            raise SignalError(
                f"{label(source)}: {name} should have shape {shape}, and has shape {array.shape}{_hint(spec, array, shape)}"
            )
        outputs[name] = to_time_major(spec, name, array, inputs.unbatched)
    if missing := [name for name in names if name not in found]:
        notes.append(f"not judged, since {label(source)} does not hold it: {', '.join(missing)}")
    return outputs, notes


def known_states(spec: ModuleSpec, outputs: Mapping[str, Array]) -> Mapping[Key, Array]:
    """The hidden states that an output tells: those of the last layer."""
    if "output" not in outputs:
        return {}
    halves = np.split(outputs["output"], len(spec.directions), axis=2)
    last = spec.num_layers - 1
    return {(last, direction, "h"): half for direction, half in zip(spec.directions, halves, strict=True)}


def _named(spec: ModuleSpec, source: str, ignored: Ignored | None) -> tuple[dict[str, Array], list[str], bool]:
    """The arrays by torch's name of the output, the names that there could be, and whether they are named as in ONNX."""
    tensors = (ignored or Ignored()).without(read_source(source))
    names = [name for name in OUTPUTS if name != "c_n" or spec.has_cell_state]
    found = {name: tensors.arrays[key] for name in names for key in (name, ONNX_NAMES[name]) if key in tensors.arrays}
    if not found and len(tensors.arrays) == 1:
        found = {"output": next(iter(tensors.arrays.values()))}
    if not found:
        holds = ", ".join(show(name)[:60] for name in [*tensors.arrays, *tensors.refused][:5]) or "nothing"
        raise FileError(f"{label(source)} should hold one array, or some of {', '.join(names)}, and holds {holds}")
    return found, names, not tensors.arrays.keys().isdisjoint(ONNX_NAMES.values())


def _from_onnx(spec: ModuleSpec, name: str, array: Array, in_onnx_words: bool) -> Array:
    """Y (T, D, B, H), or (B, T, D, H) with layout 1, as torch's output; states with layout 1 as torch's."""
    if name == "output" and array.ndim == 4:
        directions_last = array if spec.batch_first else np.moveaxis(array, 1, 2)
        return directions_last.reshape(*directions_last.shape[:2], -1)
    if name != "output" and spec.batch_first and array.ndim == 3 and array.shape[1] == len(spec.columns):
        # With as many items as rows, only its name tells which axis is which.
        return array.swapaxes(0, 1) if in_onnx_words or array.shape[0] != array.shape[1] else array
    return array


def _from_keras(module: Module, inputs: Inputs, found: Mapping[str, Array]) -> dict[str, Array]:
    """Keras' forms as torch's: states (B, H) of the last layer, and the output of go_backwards in the order of the input.

    What return_sequences=False gives, (B, D·H), is every direction's final hidden state: h_n of the last layer alone.
    """
    spec, outputs = module.spec, dict(found)
    for name in ("h_n", "c_n"):
        if not spec.bidirectional and name in outputs and outputs[name].ndim == 2 and not inputs.unbatched:
            outputs[name] = outputs[name][None]
    output = outputs.get("output")
    width = len(spec.directions) * spec.output_size
    if output is not None and output.shape == (inputs.batch, width) and not inputs.unbatched:
        outputs.setdefault("h_n", np.stack(np.split(output, len(spec.directions), axis=1)))
        del outputs["output"]
    elif output is not None and module.output_reversed:
        outputs["output"] = output[:, ::-1] if output.ndim == 3 and spec.batch_first else output[::-1]
    return outputs


def _hint(spec: ModuleSpec, array: Array, shape: tuple[int, ...]) -> str:
    """What may have happened to an array of the wrong shape."""
    if array.ndim == len(shape) == 3 and array.shape == (shape[1], shape[0], shape[2]):
        return ": batch and time are the other way round" + ("" if spec.batch_first else ", see --batch-first")
    if array.ndim == len(shape) - 1 and tuple(size for size in shape if size != 1) == tuple(s for s in array.shape if s != 1):
        return ": the batch axis is missing"
    return ""
