"""Which part of a framework's arrays of weights belongs to which gate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rnntrace.equations.parameters import Parameter, Role
from rnntrace.errors import UsageError
from rnntrace.model.conventions import CS231N, KERAS, MATLAB, ONNX, Convention
from rnntrace.model.layouts import block_order, parameter_name, part_shapes
from rnntrace.model.spec import REVERSE, ModuleSpec

_TORCHS_NAMES = ("PyTorch", "candle", "tinygrad")
_NAMES = {
    KERAS: ("kernel", "recurrent_kernel"),
    ONNX: ("W", "R"),
    MATLAB: ("InputWeights", "RecurrentWeights"),
    CS231N: ("Wx", "Wh"),
}
_MATRICES = ("input matrix", "recurrent matrix")


@dataclass(frozen=True)
class Block:
    """What a gate has of one array: `name` in formulas, `W_if`, is this part of the framework's `parameter`, `weight_ih_l0`.

    It is what lies from `start` to `stop`, in steps of `step`, along `axis`: rows, columns or, where it is not known which of
    them, gates. With `axis` None it is the whole array. `gate` is a symbol of the cell, and `shape` that of the block where it
    lies, or torch's where that is not known. `role` is what the block is in the equations.
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
    role: Role

    @property
    def is_projection(self) -> bool:
        """Whether this is the W_hr of a projected LSTM; that of a GRU is the reset gate's."""
        return self.role is Role.PROJECTION

    @property
    def slice(self) -> str:
        """The part as Python writes it: `[2:4]`, of columns `[:, 2:4]`."""
        if self.axis is None:
            return "all of it"
        part = f"{self.start}:{self.stop}" + (f":{self.step}" if self.step > 1 else "")
        return {"rows": f"[{part}]", "columns": f"[:, {part}]"}.get(self.axis, part)


def gate_order(spec: ModuleSpec, convention: Convention) -> Sequence[str]:
    """The gates in the framework's order; those of a cell of one's own, which no framework has, in that of the cell.

    Raises UsageError if the framework has no module of this kind.
    """
    if spec.is_custom:
        return spec.cell.gates
    order = convention.order(spec.cell)
    if not order:
        raise UsageError(f"{convention.framework} has no {spec.family}: `rnntrace layouts` lists who has")
    return order


def blocks(spec: ModuleSpec, convention: Convention) -> Iterator[Block]:
    """Every block of every layer and direction, gate by gate in the framework's order, and last the projection of each.

    Raises UsageError if the framework has no module of this kind.
    """
    order = gate_order(spec, convention)
    # Behind the gates comes what else has weights, as the cell state where it has a layer norm.
    others = [gate for parameter in spec.declared for gate in parameter.gates]
    for layer, direction in spec.layer_directions:
        shapes = spec.shapes(layer)
        names = _parameters(spec, convention, layer, direction)
        for gate in dict.fromkeys((*order, *others)):
            for parameter in spec.declared:
                if gate in parameter.gates and parameter.name in names:
                    array, offset = names[parameter.name]
                    own = _stacked(spec, convention, parameter)
                    place, (_, size, *rest) = own.index(gate), shapes[parameter.name]
                    axis: str | None = "rows"
                    start, stop, step, shape = offset + place * size, offset + (place + 1) * size, 1, (size, *rest)
                    if convention.one_array_a_gate:
                        axis = None
                    elif convention.interleaved:
                        start, stop, step = place, len(own) * size, len(own)
                    if convention.transposed and rest:
                        axis, shape = axis and "columns", shape[::-1]
                    elif convention.transposed is None and rest:
                        axis = "gates"
                    name = parameter.block(gate)
                    yield Block(layer, direction, gate, name, array, axis, start, stop, step, shape, parameter.role)
        for parameter in spec.declared:
            if not parameter.gates:
                h, array, shape = spec.cell.output, names[parameter.name][0], shapes[parameter.name]
                yield Block(layer, direction, h, parameter.name, array, None, 0, shape[0], 1, shape, parameter.role)


def _stacked(spec: ModuleSpec, convention: Convention, parameter: Parameter) -> Sequence[str]:
    """The gates whose blocks lie one after the other in the array of a parameter.

    Under torch's names, and those of a cell of one's own, there are no others; a framework may have blocks that are not used.
    """
    if spec.is_custom or convention.framework in _TORCHS_NAMES:
        order = gate_order(spec, convention)
        return sorted(parameter.gates, key=lambda gate: order.index(gate) if gate in order else len(order))
    return block_order(convention, spec.cell, parameter)


def biases_a_gate(spec: ModuleSpec, convention: Convention) -> int | None:
    """1 or 2, or None where it is not known; a Keras GRU that resets before the product has 1, its default 2."""
    return 1 if convention.framework == KERAS and not spec.reset_after else convention.biases(spec.cell)


def _parameters(spec: ModuleSpec, convention: Convention, layer: int, direction: str) -> dict[str, tuple[str, int]]:
    """The framework's array for each parameter, and where in it that one starts; a framework with one bias has no b_hh."""
    framework = convention.framework
    if framework in _TORCHS_NAMES or spec.is_custom:
        parts = zip(spec.shapes(layer), part_shapes(spec, layer), strict=True)
        return {name: (parameter_name(spec, part, layer, direction), 0) for name, part in parts}
    W_ih, W_hh = _NAMES.get(framework, _MATRICES)
    names = {"W_ih": (W_ih, 0), "W_hh": (W_hh, 0), "W_hr": ("projection matrix", 0)}
    if framework == ONNX:
        row = f"[{int(direction == REVERSE)}]" if spec.bidirectional else "[0]"
        # B is the input biases of all gates and behind them the recurrent ones.
        biases = {"b_ih": ("B", 0), "b_hh": ("B", len(convention.order(spec.cell)) * spec.hidden_size)}
        found = names | biases | {"p": ("P", 0)}
        return {parameter: (name + row, offset) for parameter, (name, offset) in found.items()}
    count = biases_a_gate(spec, convention)
    if count is None:
        return names
    if count == 1:
        return names | {"b_ih": ("bias", 0)}
    both = ("bias[0]", "bias[1]") if framework == KERAS else ("input bias", "recurrent bias")
    return names | {"b_ih": (both[0], 0), "b_hh": (both[1], 0)}
