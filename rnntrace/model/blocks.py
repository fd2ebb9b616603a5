"""Which part of a framework's arrays of weights belongs to which gate."""

from collections.abc import Iterator
from dataclasses import dataclass

from rnntrace.errors import UsageError
from rnntrace.model.conventions import KERAS, ONNX, Convention
from rnntrace.model.layouts import parameter_name, part_shapes
from rnntrace.model.spec import REVERSE, ModuleSpec

_ONE_ARRAY_A_GATE = ("cuDNN", "flax linen", "TFLite")
_INTERLEAVED = ("Chainer",)
_TORCHS_NAMES = ("PyTorch", "candle", "tinygrad")
_NAMES = {KERAS: ("kernel", "recurrent_kernel"), ONNX: ("W", "R")}
_MATRICES = ("input matrix", "recurrent matrix")


@dataclass(frozen=True)
class Block:
    """What a gate has of one array: `name` in formulas, `W_if`, is this part of the framework's `parameter`, `weight_ih_l0`.

    It is what lies from `start` to `stop`, in steps of `step`, along `axis`: rows, columns or, where it is not known which of
    them, gates. With `axis` None it is the whole array. `gate` is a symbol of the cell, and `shape` that of the block where it
    lies, or torch's where that is not known.
    """

    layer: int
    direction: str
    gate: str
    name: str
    parameter: str
    axis: str | None
    start: int
    stop: int
    step: int
    shape: tuple[int, ...]

    @property
    def is_projection(self) -> bool:
        """Whether this is the W_hr of a projected LSTM; that of a GRU is the reset gate's."""
        return self.gate == "h" and self.name == "W_hr"

    @property
    def slice(self) -> str:
        """The part as Python writes it: `[2:4]`, of columns `[:, 2:4]`."""
        if self.axis is None:
            return "all of it"
        part = f"{self.start}:{self.stop}" + (f":{self.step}" if self.step > 1 else "")
        return {"rows": f"[{part}]", "columns": f"[:, {part}]"}.get(self.axis, part)


def gate_order(spec: ModuleSpec, convention: Convention) -> str:
    """The gates in the framework's order. Raises UsageError if it has no module of this kind."""
    order = convention.order(spec.family)
    if not order:
        raise UsageError(f"{convention.framework} has no {spec.family}: `rnntrace layouts` lists who has")
    return order


def blocks(spec: ModuleSpec, convention: Convention) -> Iterator[Block]:
    """Every block of every layer and direction, gate by gate in the framework's order, and last the projection of each.

    Raises UsageError if the framework has no module of this kind.
    """
    order = gate_order(spec, convention)
    for layer, direction in spec.layer_directions:
        parts = part_shapes(spec, layer)
        projection = parts.pop("weight_hr", None)
        names = _parameters(spec, convention, layer, direction)
        for place, gate in enumerate(order):
            for part, (rows, *others) in parts.items():
                if part not in names:
                    continue
                parameter, offset = names[part]
                axis: str | None = "rows"
                size = rows // len(order)
                start, stop, step, shape = offset + place * size, offset + (place + 1) * size, 1, (size, *others)
                if convention.framework in _ONE_ARRAY_A_GATE:
                    axis = None
                elif convention.framework in _INTERLEAVED:
                    start, stop, step = place, rows, len(order)
                if convention.transposed and others:
                    axis, shape = axis and "columns", shape[::-1]
                elif convention.transposed is None and others:
                    axis = "gates"
                symbol = ("W_" if others else "b_") + part[-2] + gate
                yield Block(layer, direction, gate, symbol, parameter, axis, start, stop, step, shape)
        if projection:
            parameter, _ = names["weight_hr"]
            yield Block(layer, direction, "h", "W_hr", parameter, None, 0, projection[0], 1, projection)


def biases_a_gate(spec: ModuleSpec, convention: Convention) -> int | None:
    """1 or 2, or None where it is not known; a Keras GRU that resets before the product has 1, its default 2."""
    if spec.family != "GRU":
        return convention.lstm_biases
    return 1 if convention.framework == KERAS and not spec.reset_after else convention.gru_biases


def _parameters(spec: ModuleSpec, convention: Convention, layer: int, direction: str) -> dict[str, tuple[str, int]]:
    """The framework's array for each of torch's, and where in it that one starts; a framework with one bias has no bias_hh."""
    framework = convention.framework
    if framework in _TORCHS_NAMES:
        return {part: (parameter_name(spec, part, layer, direction), 0) for part in part_shapes(spec, layer)}
    W_ih, W_hh = _NAMES.get(framework, _MATRICES)
    names = {"weight_ih": (W_ih, 0), "weight_hh": (W_hh, 0), "weight_hr": ("projection matrix", 0)}
    if framework == ONNX:
        row = f"[{int(direction == REVERSE)}]" if spec.bidirectional else "[0]"
        # B is the input biases of all gates and behind them the recurrent ones.
        biases = {"bias_ih": ("B", 0), "bias_hh": ("B", len(spec.cell.gates) * spec.hidden_size)}
        return {part: (name + row, offset) for part, (name, offset) in (names | biases).items()}
    count = biases_a_gate(spec, convention)
    if count is None:
        return names
    if count == 1:
        return names | {"bias_ih": ("bias", 0)}
    both = ("bias[0]", "bias[1]") if framework == KERAS else ("input bias", "recurrent bias")
    return names | {"bias_ih": (both[0], 0), "bias_hh": (both[1], 0)}
