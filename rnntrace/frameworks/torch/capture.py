"""torch's own gates, seen by watching the operators that its native path runs.

Around the native path a dispatch mode sees every operator inside nn.RNN, nn.LSTM, nn.GRU and their cells, and changes no
bit. The order of the operators is that of ATen's RNN.cpp: per layer and direction the projection of the whole input, then
step by step the recurrent projection, the activations and the state update. What was read from that order is checked: the
captured hidden and cell states must equal the module's outputs bit for bit.
"""

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rnntrace.equations import cells
from rnntrace.equations.cell import Cell
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.spec import REVERSE, ModuleSpec

# The element-wise operators of one step, in order, and the symbol whose value each leaves behind.
_GATED = (("add_", ""), ("sigmoid_", "i"), ("sigmoid_", "f"), ("tanh_", "g"), ("sigmoid_", "o"))
_CELL_STATE = (("mul", ""), ("mul", ""), ("add_", "c"), ("tanh", ""))
STEP_OPERATORS: dict[Cell, tuple[tuple[str, str], ...]] = {
    cells.RNN_TANH: (("add_", ""), ("tanh", "h")),
    cells.RNN_RELU: (("add_", ""), ("relu", "h")),
    cells.LSTM: (*_GATED, *_CELL_STATE, ("mul", "h")),
    cells.LSTM_PROJECTED: (*_GATED, *_CELL_STATE, ("mul", ""), ("mm", "h")),
    cells.GRU: (
        ("add_", ""),
        ("sigmoid_", "r"),
        ("add_", ""),
        ("sigmoid_", "z"),
        ("mul_", ""),
        ("add", ""),
        ("tanh_", "n"),
        ("sub", ""),
        ("mul_", ""),
        ("add_", "h"),
    ),
}


class CaptureFailed(Exception):
    """torch ran other operators than expected; the message says what."""


@dataclass(frozen=True)
class Place:
    """Where a value of a step belongs: `running` are the items of the batch that its rows are."""

    layer: int
    direction: str
    symbol: str
    t: int
    running: np.ndarray[tuple[int], np.dtype[np.int_]]


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps a copy of what each watched operator leaves behind, and where that lies in memory."""

    def __init__(self, watched: Collection[str] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.watched = watched
        self.operators: list[tuple[str, torch.Tensor]] = []
        self.addresses: list[int] = []
        self.seen: set[str] = set()
        self._last: Any = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: keeping torch.compile out of a mode loads torch._dynamo, which takes longer than torch itself."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.seen.add(name)
        # Of the matrix products only the projection of h is watched: the one that takes what "mul" has just left.
        is_projection = name == "mm" and self._last is args[0] and self.operators[-1][0] == "mul"
        # What one step leaves behind has two dimensions; a bias added to the whole sequence's products has three.
        if name in self.watched and (name != "mm" or is_projection) and result.dim() == 2:
            self.operators.append((name, result.clone()))
            self.addresses.append(result.data_ptr())
            self._last = result
        return result


def native_path(run: Callable[[], object]) -> bool:
    """Whether what is run takes ATen's native path, and not oneDNN's fused layer."""
    with Recorder() as recorder:
        run()
    return "mkldnn_rnn_layer" not in recorder.seen


@contextmanager
def on_native_path() -> Iterator[None]:
    """While this lasts torch takes its native path."""
    with warnings.catch_warnings():
        # Entering and leaving the context warns about TF32, which has no part in this.
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def capture_gates(
    run: Callable[[], Mapping[str, Array]], spec: ModuleSpec, inputs: Inputs
) -> dict[tuple[int, str, str], Array]:
    """Every gate and state as torch computed it: (layer, direction, symbol) → (T, B, ·), NaN at steps that do not exist.

    `run` runs the module on `inputs` and returns its outputs. Raises CaptureFailed.
    """
    expected = STEP_OPERATORS.get(spec.cell)
    if expected is None:
        raise CaptureFailed(f"the order of torch's operators is not known for {spec.cell.title}")
    with on_native_path(), Recorder({name for name, _ in expected}) as recorder:
        outputs = run()
    captured = _by_step(recorder.operators, spec, inputs)
    _check(captured, outputs, spec, inputs)
    return captured


def places(operators: list[tuple[str, torch.Tensor]], spec: ModuleSpec, inputs: Inputs) -> Iterator[Place]:
    """Where what each operator leaves behind belongs, in their order. Raises CaptureFailed for operators in another order."""
    expected = STEP_OPERATORS[spec.cell]
    lengths = np.asarray(inputs.lengths or (inputs.steps,) * inputs.batch)
    last_step = int(lengths.max())
    if [name for name, _ in operators] != [name for name, _ in expected] * (len(spec.layer_directions) * last_step):
        raise CaptureFailed(_unexpected(spec))
    # A packed batch is sorted by falling length, ties as torch's sort leaves them; at step t its first rows are the items
    # that are still running.
    order = np.arange(inputs.batch)
    if inputs.lengths:
        order = torch.sort(torch.tensor(inputs.lengths), descending=True).indices.numpy()
    for layer, direction in spec.layer_directions:
        for t in range(last_step)[:: -1 if direction == REVERSE else 1]:
            running = order[: int((lengths > t).sum())]
            for _, symbol in expected:
                yield Place(layer, direction, symbol, t, running)


def sequences(spec: ModuleSpec, inputs: Inputs, symbols: Mapping[str, int]) -> dict[tuple[int, str, str], Array]:
    """Arrays (T, B, size) of NaN for these symbols and their sizes, in every layer and direction."""
    return {
        (layer, direction, symbol): np.full((inputs.steps, inputs.batch, size), np.nan, spec.precision.replay)
        for layer, direction in spec.layer_directions
        for symbol, size in symbols.items()
    }


def _by_step(operators: list[tuple[str, torch.Tensor]], spec: ModuleSpec, inputs: Inputs) -> dict[tuple[int, str, str], Array]:
    sizes = {symbol: spec.output_size if symbol == "h" else spec.hidden_size for symbol in spec.cell.symbols}
    captured = sequences(spec, inputs, sizes)
    for place, (_, value) in zip(places(operators, spec, inputs), operators, strict=True):
        if place.symbol:
            target = captured[place.layer, place.direction, place.symbol]
            if value.shape != (len(place.running), target.shape[2]):
                raise CaptureFailed(_unexpected(spec))
            target[place.t, place.running] = as_array(value)
    return captured


def as_array(value: torch.Tensor) -> Array:
    """The values of a tensor, (rows, size), in float64."""
    found: Array = value.detach().cpu().to(torch.float64).numpy()
    return found


def _unexpected(spec: ModuleSpec) -> str:
    return f"torch {torch.__version__} ran other operators than expected for {spec.kind}"


def _check(
    captured: Mapping[tuple[int, str, str], Array], outputs: Mapping[str, Array], spec: ModuleSpec, inputs: Inputs
) -> None:
    """The captured states must be the module's outputs to the last bit."""
    h = np.concatenate([captured[spec.num_layers - 1, direction, "h"] for direction in spec.directions], axis=2)
    h = h if inputs.valid is None else np.where(inputs.valid[..., None], h, 0)
    pairs = [(h, outputs["output"])]
    last = np.asarray(inputs.lengths or (inputs.steps,) * inputs.batch) - 1
    items = np.arange(inputs.batch)
    for state in spec.cell.states:
        for row, (layer, direction) in enumerate(spec.layer_directions):
            final = captured[layer, direction, state][0 if direction == REVERSE else last, items]
            pairs.append((final, outputs[f"{state}_n"][row]))
    if not all(np.array_equal(mine, torchs, equal_nan=True) for mine, torchs in pairs):
        raise CaptureFailed("the captured states are not the module's outputs to the last bit")
