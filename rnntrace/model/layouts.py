"""From a framework's names and stacking of weights to `Weights`: torch's, there and back, and others' by their convention."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from rnntrace.equations.cell import Cell
from rnntrace.equations.cells import TORCH_CELLS
from rnntrace.equations.parameters import Parameter, Role
from rnntrace.errors import SpecError, WeightsError
from rnntrace.model.conventions import Convention
from rnntrace.model.dtypes import Array
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

_PARTS = {"W_ih": "weight_ih", "W_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh", "W_hr": "weight_hr"}
"""torch's name of each parameter; one of a cell that torch does not have goes by its own."""
PARTS = tuple(_PARTS.values())
_REVERSE_SUFFIX = "_reverse"

_TORCH_NAME = re.compile(
    rf"(?P<prefix>(?:.*\.)?)(?P<part>{'|'.join(PARTS)})"
    r"(?:_l(?P<layer>\d{1,10})(?P<reverse>_reverse)?)?",
    re.DOTALL,
)
_KNOWN = {len(cell.gates): cell.kind for cell in TORCH_CELLS}


def parameter_name(spec: ModuleSpec, part: str, layer: int, direction: str) -> str:
    """Torch's name of a parameter: `weight_ih_l0_reverse`, or `weight_ih` in a cell."""
    if spec.is_cell:
        return part
    return part + parameter_suffix(layer, reverse=direction == REVERSE)


def parameter_suffix(layer: int, *, reverse: bool) -> str:
    """How torch ends the name of a parameter: `_l0`, `_l0_reverse`."""
    return f"_l{layer}" + (_REVERSE_SUFFIX if reverse else "")


def part_shapes(spec: ModuleSpec, layer: int) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter of one layer and direction, by the name of its part: weight_ih is (G·H, I)."""
    shapes, stacked = spec.shapes(layer), {parameter.name for parameter in spec.declared if parameter.gates}
    return {
        _PARTS.get(name, name): (shape[0] * shape[1], *shape[2:]) if name in stacked else shape
        for name, shape in shapes.items()
    }


def parameter_shapes(spec: ModuleSpec) -> dict[str, tuple[int, ...]]:
    """Every parameter of the module by torch's name, in torch's order."""
    return {
        parameter_name(spec, part, layer, direction): shape
        for layer, direction in spec.layer_directions
        for part, shape in part_shapes(spec, layer).items()
    }


def weights_from_torch(spec: ModuleSpec, parameters: Mapping[str, Array]) -> Weights:
    """Weights from parameters under torch's names. Raises WeightsError if one is missing, left over or of another shape."""
    expected = parameter_shapes(spec)
    for name, shape in expected.items():
        if name not in parameters:
            raise WeightsError(f"{_describe(spec)} has a parameter {name} of shape {shape}, and the weights have none")
        found = parameters[name].shape
        if found != shape:
            raise WeightsError(f"{name} should have shape {shape} for {_describe(spec)}, and has shape {found}")
    for name in parameters:
        if name not in expected:
            raise WeightsError(f"the weights have {name}, which {_describe(spec)} does not have")
    return Weights({column: _column(spec, parameters, *column) for column in spec.layer_directions})


def _column(spec: ModuleSpec, parameters: Mapping[str, Array], layer: int, direction: str) -> LayerWeights:
    """Gate blocks of one layer and direction; parameters that torch stacks (G·H, …) become (G, H, …)."""
    names = {name: parameter_name(spec, _PARTS.get(name, name), layer, direction) for name in spec.shapes(layer)}
    shapes = spec.shapes(layer)
    return LayerWeights(arrays={name: parameters[names[name]].reshape(shapes[name]).copy() for name in shapes})


def group_by_module(names: Iterable[str]) -> dict[str, list[str]]:
    """The recurrent parameters among names, by module: prefix (`encoder.lstm.`, or ``) → torch's names."""
    modules: dict[str, list[str]] = {}
    for name in names:
        if match := _TORCH_NAME.fullmatch(name):
            modules.setdefault(match["prefix"], []).append(name[len(match["prefix"]) :])
    return modules


def recognise(parameters: Mapping[str, Array], dtype: str) -> ModuleSpec:
    """The module that has these parameters, told from names and shapes alone.

    What shapes cannot tell is assumed: tanh in an RNN, no dropout, time first. Raises WeightsError if no module fits.
    """
    is_cell = "weight_ih" in parameters
    suffix = "" if is_cell else "_l0"
    try:
        W_ih, W_hh = parameters["weight_ih" + suffix], parameters["weight_hh" + suffix]
    except KeyError as error:
        raise WeightsError(f"a recurrent module has a parameter {error.args[0]}, and the weights have none") from None
    projection = parameters.get("weight_hr" + suffix)
    for part, matrix in (("weight_ih", W_ih), ("weight_hh", W_hh), ("weight_hr", projection)):
        if matrix is not None and (matrix.ndim != 2 or 0 in matrix.shape):
            raise WeightsError(f"{part}{suffix} should have two dimensions above 0, and has shape {matrix.shape}")
    rows, output_size = W_hh.shape
    hidden_size = output_size if projection is None else projection.shape[-1]
    family = _KNOWN.get(rows // hidden_size) if rows % hidden_size == 0 else None
    if family is None:
        counts = ", ".join(f"{count} ({family})" for count, family in sorted(_KNOWN.items()))
        raise WeightsError(
            f"weight_hh{suffix} of shape {W_hh.shape} stacks no known number of gates: expected {counts} times the "
            f"hidden size in rows"
        )
    layers = {int(match["layer"] or 0) for name in parameters if (match := _TORCH_NAME.fullmatch(name))}
    try:
        spec = ModuleSpec(
            kind=family + ("Cell" if is_cell else ""),
            input_size=W_ih.shape[1],
            hidden_size=hidden_size,
            num_layers=max(layers) + 1,
            bidirectional=any(name.endswith(_REVERSE_SUFFIX) for name in parameters),
            bias="bias_ih" + suffix in parameters,
            proj_size=0 if projection is None else output_size,
            dtype=dtype,
        )
    except SpecError as error:
        matrices = {"weight_ih": W_ih, "weight_hh": W_hh} | ({} if projection is None else {"weight_hr": projection})
        shapes = ", ".join(f"{part}{suffix} of shape {matrix.shape}" for part, matrix in matrices.items())
        raise WeightsError(f"no module of torch has {shapes}: {error}") from None
    weights_from_torch(spec, parameters)
    return spec


def parameters_of(spec: ModuleSpec, weights: Weights) -> dict[str, Array]:
    """The way back from `weights_from_torch`: parameters under torch's names, gate blocks stacked (G·H, …)."""
    return {
        parameter_name(spec, part, layer, direction): column.arrays[name].reshape(shape)
        for (layer, direction), column in weights.columns.items()
        for name, (part, shape) in zip(spec.shapes(layer), part_shapes(spec, layer).items(), strict=True)
    }


def from_convention(
    convention: Convention,
    cell: Cell,
    W_ih: Array,
    W_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    p: Array | None = None,
) -> LayerWeights:
    """The weights of one layer and direction from the stacked arrays of another framework.

    Matrices are (G·H, I) and (G·H, H), or the other way round where the convention transposes; biases are (G·H,), and a
    framework with one bias gives it as b_ih: b_hh is then zero. Peepholes `p` are (3·H,). Blocks of gates that the cell has
    none for, as those of the forget gate where it is coupled, are left out.
    """
    found = {"W_ih": W_ih.T if convention.transposed else W_ih, "W_hh": W_hh.T if convention.transposed else W_hh}
    if b_ih is not None:
        found |= {"b_ih": b_ih, "b_hh": np.zeros_like(b_ih) if b_hh is None else b_hh}
    if p is not None:
        found["p"] = p

    def blocks(parameter: Parameter, stacked: Array) -> Array:
        order = block_order(convention, cell, parameter)
        return stacked.reshape(len(order), -1, *stacked.shape[1:])[[order.index(gate) for gate in parameter.gates]]

    own = {parameter.name: parameter for parameter in cell.parameters}
    return LayerWeights(arrays={name: blocks(own[name], array) for name, array in found.items()})


def to_convention(convention: Convention, cell: Cell, weights: LayerWeights) -> dict[str, Array]:
    """The way back from `from_convention`: W_ih, W_hh and what there is of b_ih, b_hh and p, as the framework stacks them.

    Blocks that the cell does not have are zero.
    """
    found = {}
    for parameter in cell.parameters:
        if (array := weights.arrays.get(parameter.name)) is not None and parameter.gates:
            order = block_order(convention, cell, parameter)
            empty = np.zeros_like(array[0])
            blocks = [array[parameter.gates.index(gate)] if gate in parameter.gates else empty for gate in order]
            stacked = np.concatenate(blocks)
            found[parameter.name] = np.ascontiguousarray(stacked.T) if convention.transposed and stacked.ndim == 2 else stacked
    return found


def block_order(convention: Convention, cell: Cell, parameter: Parameter) -> str:
    """The framework's order of the blocks of a parameter."""
    return convention.peepholes if parameter.role is Role.DIAGONAL else convention.order(cell)


def _describe(spec: ModuleSpec) -> str:
    return f"{spec.kind}({spec.input_size}, {spec.hidden_size})"
