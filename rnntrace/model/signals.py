"""What flows through a network: x, initial states, lengths and a mask; where they come from and which axis means what.

Inside, everything is time-major and batched: x (T, B, I), h0 (L·D, B, R), c0 and other states (L·D, B, H), with L layers, D
directions and R the size of the hidden state. `batch_first` and unbatched signals exist only here, at the edge.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnntrace.equations.cell import listed
from rnntrace.errors import SignalError, show
from rnntrace.model import masks
from rnntrace.model.dtypes import Array, Flags, is_whole
from rnntrace.model.inputs import Inputs, SignalRequest
from rnntrace.model.limits import MAX_VALUES, over
from rnntrace.model.spec import ModuleSpec

AnyArray = TypeVar("AnyArray", Array, Flags)
Draw = Callable[[tuple[int, ...]], Array]
"""Draws an array of a shape from the framework's seeded generator."""


def sizes(spec: ModuleSpec, request: SignalRequest) -> tuple[int, int]:
    """T and B of what is asked for. Raises SignalError for an x that does not fit."""
    return (request.steps, request.batch) if request.x is None else _sizes_of(spec, request.x)[:2]


def assemble(spec: ModuleSpec, request: SignalRequest, draw: Draw, *, quantities: int | None = None) -> Inputs:
    """The signals of a run. Draws x, then the states in the order of the cell (h0, c0), each only if it is to be random.

    Raises SignalError for what does not fit.

    `quantities` says how many gates and states a trace of them will hold in memory, by default all.
    """
    quantities = len(spec.cell.symbols) if quantities is None else quantities
    for name, size in (("number of steps", request.steps), ("batch size", request.batch)):
        if not is_whole(size) or size < 1:
            raise SignalError(f"the {name} must be a whole number of at least 1, not {size}")
    x = request.x
    if x is None:
        shape = x_shape(spec, request.steps, request.batch, request.unbatched)
        _check_size(spec, request.steps, request.batch, quantities)
        x = draw(shape)
    steps, batch, unbatched = _sizes_of(spec, x)
    _check_size(spec, steps, batch, quantities)

    def initial(state: str) -> Array:
        shape, wanted = state_shape(spec, batch, spec.size_of(state), unbatched), request.states.get(state, "zeros")
        if isinstance(wanted, str):
            return draw(shape) if wanted == "random" else np.zeros(shape, x.dtype)
        if _without_ones(wanted.shape) != _without_ones(shape):
            raise SignalError(f"{state}0 should have shape {shape}, and has shape {wanted.shape}")
        # Of one layer, or one item, many write no axis, or one too many: that leaves one reading.
        return wanted.reshape(shape)

    for state in request.states:
        if state not in spec.cell.states:
            raise SignalError(no_state(spec, state))
    states = {state: initial(state) for state in spec.cell.states}
    arranged = arrange(spec, x, states, _lengths(request.lengths, steps, batch, spec, unbatched))
    if request.mask is None:
        return arranged
    return with_mask(spec, arranged, _mask(spec, request.mask, steps, batch, unbatched))


def has_holes(spec: ModuleSpec, request: SignalRequest) -> bool:
    """Whether the mask of what is asked for says more than lengths can. Raises SignalError for one that does not fit."""
    if request.mask is None:
        return False
    unbatched = request.unbatched if request.x is None else request.x.ndim == 2
    return not _is_packed(spec, _mask(spec, request.mask, *sizes(spec, request), unbatched), unbatched)


def _is_packed(spec: ModuleSpec, mask: Flags, unbatched: bool) -> bool:
    """Whether lengths say the same as a mask (T, B): a cell and a single sequence have none."""
    return bool(mask.all()) or not (spec.is_cell or unbatched or masks.as_lengths(mask) is None)


def _mask(spec: ModuleSpec, mask: Array, steps: int, batch: int, unbatched: bool) -> Flags:
    """A mask in the module's own layout as (T, B), checked against x."""
    return to_time_major(spec, "x", masks.flags_of(mask, x_shape(spec, steps, batch, unbatched)[:-1]), unbatched)


def with_mask(spec: ModuleSpec, inputs: Inputs, mask: Flags) -> Inputs:
    """The inputs with a mask (T, B), which is none where every step counts, and lengths where all left out stand at the end.

    What cannot be packed, a cell or a single sequence, keeps its mask, and so does a batch in which no step of an item counts.
    Raises SignalError for lengths that say otherwise.
    """
    if inputs.valid is not None and not np.array_equal(inputs.valid, mask):
        raise SignalError("`mask` and `lengths` leave out other steps: leave one of them out")
    if not mask.any():
        raise SignalError("mask leaves out every step of every item: nothing is left to replay")
    if inputs.lengths is not None or mask.all():
        return inputs
    packed = _is_packed(spec, mask, inputs.unbatched)
    return replace(inputs, lengths=masks.as_lengths(mask)) if packed else replace(inputs, mask=mask)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def no_state(spec: ModuleSpec, state: str) -> str:
    """Why a module does not start from such a state, in a sentence."""
    if state == "c" and not spec.is_custom:
        return f"c0 belongs to an LSTM: {spec.kind} has no cell state, leave `c0` out"
    own = f"states are {listed(spec.cell.states)}" if len(spec.cell.states) > 1 else f"state is {spec.cell.output}"
    return show(
        f"{spec.kind} has no state {state}: its {own}, leave {f'`{state}0`' if state in ('h', 'c') else f'{state}0'} out"
    )


def arrange(spec: ModuleSpec, x: Array, states: Mapping[str, Array], lengths: tuple[int, ...] | None) -> Inputs:
    """Signals in the module's own layout, brought to the time-major form. Shapes were checked before."""
    unbatched = x.ndim == 2
    inside = {state: to_time_major(spec, f"{state}0", array, unbatched) for state, array in states.items()}
    return Inputs(to_time_major(spec, "x", x, unbatched), states=inside, lengths=lengths, unbatched=unbatched)


def x_shape(spec: ModuleSpec, steps: int, batch: int, unbatched: bool) -> tuple[int, ...]:
    """Shape of x in the module's own layout: (T, I), (T, B, I) or, batch first, (B, T, I)."""
    if unbatched:
        return (steps, spec.input_size)
    return (batch, steps, spec.input_size) if spec.batch_first else (steps, batch, spec.input_size)


def state_shape(spec: ModuleSpec, batch: int, size: int, unbatched: bool) -> tuple[int, ...]:
    """Shape of a state at t = 0 or behind the last step in the module's own layout: (L·D, B, size), less what it lacks."""
    rows = () if spec.is_cell else (len(spec.layer_directions),)
    return (*rows, *(() if unbatched else (batch,)), size)


def to_own_layout(spec: ModuleSpec, name: str, array: NDArray[Any], unbatched: bool) -> Any:
    """A time-major signal in the module's own layout; `name` is x, output, or that of a state, such as h0 or h_n."""
    if name in ("x", "output"):
        if unbatched:
            return array[:, 0]
        return array.swapaxes(0, 1) if spec.batch_first else array
    rows = () if spec.is_cell else array.shape[:1]
    return array.reshape(*rows, *(() if unbatched else array.shape[1:2]), array.shape[2])


def to_time_major(spec: ModuleSpec, name: str, array: AnyArray, unbatched: bool) -> AnyArray:
    """The way back from `to_own_layout`."""
    if name in ("x", "output"):
        if unbatched:
            return array[:, None]
        return array.swapaxes(0, 1) if spec.batch_first else array
    return array.reshape(1 if spec.is_cell else len(array), -1, array.shape[-1])


def _sizes_of(spec: ModuleSpec, x: Array) -> tuple[int, int, bool]:
    """T, B and whether x is unbatched."""
    if x.ndim not in (2, 3):
        form = "(batch, time, input)" if spec.batch_first else "(time, batch, input)"
        raise SignalError(f"x should have shape {form}, or (time, input) without a batch, and has shape {x.shape}")
    if x.shape[-1] != spec.input_size:
        raise SignalError(
            f"the last dimension of x should be the input size {spec.input_size}, and x has shape {x.shape}: "
            f"give another x, or run with `input_size={x.shape[-1]}`"
        )
    if 0 in x.shape:
        raise SignalError(f"x should have at least one step and one item, and has shape {x.shape}")
    if x.ndim == 2:
        return x.shape[0], 1, True
    steps, batch = (x.shape[1], x.shape[0]) if spec.batch_first else (x.shape[0], x.shape[1])
    return steps, batch, False


def _check_size(spec: ModuleSpec, steps: int, batch: int, quantities: int) -> None:
    trace = trace_size(spec, steps, batch, quantities)
    for what, values in (("an x", steps * batch * spec.input_size), ("a trace", trace)):
        if values > MAX_VALUES:
            instead = "" if what == "an x" else ", or run it with `save`, in parts unless an option needs it whole"
            limit = over("MAX_VALUES", MAX_VALUES)
            raise SignalError(f"{what} of {values:,} values is {limit}: use fewer steps or items{instead}")


def trace_size(spec: ModuleSpec, steps: int, batch: int, quantities: int) -> int:
    """How many values so many of the gates and states have, in all layers and directions."""
    return steps * batch * spec.hidden_size * quantities * len(spec.layer_directions)


def check_not_empty(lengths: Sequence[int] | None) -> None:
    """Raises SignalError for a sequence without steps, of which ONNX says what comes of it, and others do not."""
    if lengths is not None and 0 in lengths:
        raise SignalError("a length should be at least 1, not 0: only ONNX says what comes of a sequence without steps")


def _lengths(
    lengths: Sequence[int] | None, steps: int, batch: int, spec: ModuleSpec, unbatched: bool
) -> tuple[int, ...] | None:
    """Lengths checked against x; None where they were not given."""
    if lengths is None:
        return None
    if spec.is_cell or unbatched:
        what = spec.kind if spec.is_cell else "an unbatched sequence"
        raise SignalError(f"`lengths` packs a batch of sequences, which {what} cannot take: leave it out")
    if len(lengths) != batch:
        found = len(lengths)
        raise SignalError(
            f"lengths should be {batch}, one for each item of the batch, and there are {found}: "
            f"give as many, or set `batch={found}`"
        )
    for length in lengths:
        if not 0 <= length <= steps:
            raise SignalError(f"a length should be between 1 and the number of steps {steps}, not {length}")
    return tuple(lengths)
