"""The shapes in which frameworks give outputs and states, and how each becomes time-major.

T, B are steps and items, L·D layers times directions, S the size of a state, R that of the output. ONNX gives an axis of
directions (https://onnx.ai/onnx/operators/onnx__LSTM.html); Keras gives states of the last layer alone, without an axis of
layers (keras/src/layers/rnn/lstm.py).
"""

from collections.abc import Callable, Iterator

from rnntrace.model.conventions import ONNX
from rnntrace.model.dtypes import Array
from rnntrace.model.merges import LAST_OUTPUT
from rnntrace.model.module import Module
from rnntrace.model.signals import Inputs, state_shape
from rnntrace.model.vocabulary import Name

Form = tuple[tuple[int, ...], Callable[[Array], Array]]
"""A shape, and what brings an array of it to the time-major form."""


def forms(module: Module, inputs: Inputs, name: Name, *, in_onnx_words: bool = False) -> Iterator[Form]:
    """Of an output, gate or state, the module's own layout first."""
    spec = module.spec
    if name == "output":
        yield from _output_forms(module, inputs)
    elif name == LAST_OUTPUT:
        yield last_output_form(module, inputs)
    elif isinstance(name, str):
        yield from _state_forms(module, inputs, spec.size_of(name.removesuffix("_n")), in_onnx_words)
    else:
        yield from _sequence_forms(module, inputs, spec.size_of(name[2]))


def _sequence_forms(module: Module, inputs: Inputs, size: int) -> Iterator[Form]:
    """Of a gate or state at every step, (T, B, S), the module's own layout first; one item goes without the axis of the batch.

    What Keras' go_backwards gives starts with the last step.
    """
    T, B, ends = inputs.steps, inputs.batch, slice(None, None, -1 if module.output_reversed else 1)
    batched: Form = ((T, B, size), lambda array: array[ends])
    if module.spec.batch_first:
        batched = ((B, T, size), lambda array: array.swapaxes(0, 1)[ends])
    single: Form = ((T, size), lambda array: array[ends, None])
    yield single if inputs.unbatched else batched
    yield from (batched, single) if B == 1 else ()


def _output_forms(module: Module, inputs: Inputs) -> Iterator[Form]:
    """Of the output, (T, B, width): as of a sequence, and with ONNX's axis of directions in either of its layouts."""
    spec, T, B, D = module.spec, inputs.steps, inputs.batch, len(module.spec.directions)
    yield from _sequence_forms(module, inputs, spec.width)
    if spec.merges:
        return
    if spec.batch_first:
        yield (B, T, D, spec.output_size), lambda array: array.swapaxes(0, 1).reshape(T, B, -1)
    yield (T, D, B, spec.output_size), lambda array: array.swapaxes(1, 2).reshape(T, B, -1)


def last_output_form(module: Module, inputs: Inputs) -> Form:
    """Of what Keras' return_sequences=False gives, every direction's last output: h_n (D, B, R) of the last layer.

    Where directions are merged, it is one that has been, (1, B, R).
    """
    B, D, R = inputs.batch, len(module.spec.output_parts), module.spec.output_size
    return (B, D * R), lambda array: array.reshape(B, D, R).swapaxes(0, 1)


def _state_forms(module: Module, inputs: Inputs, size: int, in_onnx_words: bool) -> Iterator[Form]:
    """Of a final state such as h_n, (L·D, B, S), or the D last rows of it alone; the module's own layout first."""
    spec, B = module.spec, inputs.batch
    rows, D, one_item = len(spec.layer_directions), len(module.spec.directions), inputs.batch == 1

    def with_rows(array: Array) -> Array:
        return array.reshape(-1, B, size)

    onnx_layout_1: Form = ((B, rows, size), lambda array: array.swapaxes(0, 1))
    if spec.batch_first and in_onnx_words and module.layout == ONNX:
        # With as many items as rows, only its name tells which axis is which.
        yield onnx_layout_1
    yield state_shape(spec, B, size, inputs.unbatched), with_rows
    yield (rows, B, size), with_rows
    if one_item:
        yield (rows, size), with_rows
    if D == 1 and not inputs.unbatched:
        yield (B, size), with_rows
    yield (D, B, size), with_rows
    if one_item:
        yield (D, size), with_rows
    if spec.batch_first:
        yield onnx_layout_1
