"""The shapes in which frameworks give outputs and states, and how each becomes time-major.

In a file whose order of axes was named, everything lies in that order alone: see `axes`.

T, B are steps and items, L·D layers times directions, S the size of a state, R that of the output. ONNX gives an axis of
directions (https://onnx.ai/onnx/operators/onnx__LSTM.html); Keras gives states of the last layer alone, without an axis of
layers (keras/src/layers/rnn/lstm.py).
"""

from collections.abc import Callable, Iterator

from rnntrace.model.axes import BATCH, TIME, UNIT, Axes
from rnntrace.model.conventions import ONNX
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.merges import LAST_OUTPUT
from rnntrace.model.module import Module
from rnntrace.model.signals import state_shape
from rnntrace.model.vocabulary import Name

Form = tuple[tuple[int, ...], Callable[[Array], Array], str]
"""A shape, what brings an array of it to the time-major form, and its axes in words if it is not the module's own."""


def forms(
    module: Module, inputs: Inputs, name: Name, *, in_onnx_words: bool = False, axes: Axes | None = None
) -> Iterator[Form]:
    """Of an output, gate or state, the module's own layout first; those in the order of `axes` alone, if there is one."""
    spec = module.spec
    if name == LAST_OUTPUT:
        yield from last_output_forms(module, inputs, axes)
    elif axes and isinstance(name, str) and name != "output":
        yield from _states_in_order(module, inputs, spec.size_of(name.removesuffix("_n")), axes)
    elif axes:
        yield _sequence_in_order(module, inputs, spec.width if isinstance(name, str) else spec.size_of(name[2]), axes)
    elif name == "output":
        yield from _output_forms(module, inputs)
    elif isinstance(name, str):
        yield from _state_forms(module, inputs, spec.size_of(name.removesuffix("_n")), in_onnx_words)
    else:
        yield from _sequence_forms(module, inputs, spec.size_of(name[2]))


def _sequence_forms(module: Module, inputs: Inputs, size: int) -> Iterator[Form]:
    """Of a gate or state at every step, (T, B, S), the module's own layout first; one item goes without the axis of the batch.

    What Keras' go_backwards gives starts with the last step.
    """
    T, B, ends = inputs.steps, inputs.batch, slice(None, None, -1 if module.output_reversed else 1)
    batched: Form = ((T, B, size), lambda array: array[ends], "")
    if module.spec.batch_first:
        batched = ((B, T, size), lambda array: array.swapaxes(0, 1)[ends], "")
    single: Form = ((T, size), lambda array: array[ends, None], "")
    yield single if inputs.unbatched else batched
    yield from (batched, single) if B == 1 else ()


def _output_forms(module: Module, inputs: Inputs) -> Iterator[Form]:
    """Of the output, (T, B, width): as of a sequence, and with ONNX's axis of directions in either of its layouts."""
    spec, T, B, D = module.spec, inputs.steps, inputs.batch, len(module.spec.directions)
    yield from _sequence_forms(module, inputs, spec.width)
    if spec.merges:
        return
    foreign = module.layout != ONNX
    if spec.batch_first:
        words = "(batch, time, directions, unit)" if foreign else ""
        yield (B, T, D, spec.output_size), lambda array: array.swapaxes(0, 1).reshape(T, B, -1), words
    words = "(time, directions, batch, unit)" if foreign else ""
    yield (T, D, B, spec.output_size), lambda array: array.swapaxes(1, 2).reshape(T, B, -1), words


def last_output_forms(module: Module, inputs: Inputs, axes: Axes | None = None) -> Iterator[Form]:
    """Of what Keras' return_sequences=False gives, every direction's last output: h_n (D, B, R) of the last layer.

    Where directions are merged, it is one that has been, (1, B, R).
    """
    yield from _side_by_side(inputs, len(module.spec.output_parts), module.spec.output_size, axes)


def _side_by_side(inputs: Inputs, D: int, size: int, axes: Axes | None) -> Iterator[Form]:
    """Of a state of the last layer (D, B, S) whose directions lie side by side, (B, D·S), or in another order of axes."""

    def apart(array: Array) -> Array:
        return array.reshape(inputs.batch, D, size).swapaxes(0, 1)

    words = "(batch, directions · unit)"
    if axes:
        yield _shape(axes, inputs, D * size, time=False), lambda array: apart(axes.state(array, unbatched=inputs.unbatched)), ""
        return
    yield (inputs.batch, D * size), apart, words
    if inputs.batch == 1:
        yield (D * size,), apart, words


def _state_forms(module: Module, inputs: Inputs, size: int, in_onnx_words: bool) -> Iterator[Form]:
    """Of a final state such as h_n, (L·D, B, S), or the D last rows of it alone; the module's own layout first."""
    spec, B = module.spec, inputs.batch
    rows, D, one_item = len(spec.layer_directions), len(module.spec.directions), inputs.batch == 1

    def with_rows(array: Array) -> Array:
        return array.reshape(-1, B, size)

    onnx_layout_1: Form = ((B, rows, size), lambda array: array.swapaxes(0, 1), "")
    if spec.batch_first and in_onnx_words and module.layout == ONNX:
        # With as many items as rows, only its name tells which axis is which.
        yield onnx_layout_1
    yield state_shape(spec, B, size, inputs.unbatched), with_rows, ""
    yield (rows, B, size), with_rows, ""
    if one_item:
        yield (rows, size), with_rows, ""
    if D == 1:
        yield (B, size), with_rows, ""
    yield (D, B, size), with_rows, ""
    if one_item:
        yield (D, size), with_rows, ""
    if spec.batch_first:
        yield onnx_layout_1
    yield from _side_by_side(inputs, D, size, None)


def _shape(axes: Axes, inputs: Inputs, size: int, *, time: bool) -> tuple[int, ...]:
    """Of a sequence, or of a state without time, in an order of axes."""
    sizes = {**({TIME: inputs.steps} if time else {}), **({} if inputs.unbatched else {BATCH: inputs.batch}), UNIT: size}
    return tuple(sizes[word] for word in axes.order if word in sizes)


def _sequence_in_order(module: Module, inputs: Inputs, size: int, axes: Axes) -> Form:
    """Of an output, gate or state at every step."""
    ends = slice(None, None, -1 if module.output_reversed else 1)
    shape = _shape(axes, inputs, size, time=True)
    return shape, lambda array: axes.sequence(array).reshape(inputs.steps, inputs.batch, size)[ends], ""


def _states_in_order(module: Module, inputs: Inputs, size: int, axes: Axes) -> Iterator[Form]:
    """Of a final state, with all rows (L·D) in front, those of the last layer, or these side by side."""
    D, shape = len(module.spec.directions), _shape(axes, inputs, size, time=False)

    def with_rows(array: Array) -> Array:
        return axes.state(array, unbatched=inputs.unbatched).reshape(-1, inputs.batch, size)

    yield (*(() if module.spec.is_cell else (len(module.spec.layer_directions),)), *shape), with_rows, ""
    yield (D, *shape), with_rows, ""
    if D == 1:
        yield shape, with_rows, ""
    yield from _side_by_side(inputs, D, size, axes)
