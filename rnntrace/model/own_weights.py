"""Arrays under the names of a cell of one's own: which module they are of."""

import re
from collections.abc import Collection, Mapping

from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Op
from rnntrace.equations.parameters import Role
from rnntrace.errors import WeightsError, show
from rnntrace.model.layouts import parameter_shapes
from rnntrace.model.spec import ModuleSpec

_SUFFIX = re.compile(r"(?P<part>.+?)(?:_l(?P<layer>\d{1,4})(?P<reverse>_reverse)?)?", re.DOTALL)
Shapes = Mapping[str, tuple[int, ...]]


def own_names(cell: Cell, names: Collection[str]) -> dict[str, str]:
    """Names by torch's way of naming, `W_f_l0` or `W_f_l1_reverse`; a single layer needs no ending."""
    parts = {parameter.name for parameter in cell.parameters}
    found = {}
    for name in names:
        if name in parts:
            found[f"{name}_l0"] = name
        elif (match := _SUFFIX.fullmatch(name)) and match["part"] in parts:
            found[name] = name
    return found


def module_of_cell(cell: Cell, shapes: Shapes, dtype: str, *, batch_first: bool = False) -> ModuleSpec:
    """The module of a cell that has parameters of these shapes, by torch's way of naming them.

    Raises WeightsError where a parameter is missing, and where shapes do not go together.
    """
    sizes: dict[str, int] = {}
    for parameter in cell.parameters:
        shape = shapes.get(f"{parameter.name}_l0")
        wanted = parameter.shape[1:] if parameter.gates else parameter.shape
        if shape is None:
            theirs = ", ".join(map(show, shapes)) or "none"
            names = ", ".join(show(other.name) for other in cell.parameters)
            raise WeightsError(
                f"{show(cell.kind)} has parameters {names}; {show(parameter.name)} is missing, there are {theirs}"
            )
        stacked = len(parameter.gates) > 1
        if len(shape) != len(wanted) or 0 in shape:
            form = ", ".join(wanted)
            raise WeightsError(f"{show(parameter.name)} should have the shape ({form}), and has shape {shape}")
        for size, length in zip(wanted, (shape[0] // len(parameter.gates), *shape[1:]) if stacked else shape, strict=True):
            sizes.setdefault("H" if size == "R" and parameter.role is not Role.PROJECTION else size, length)
    hidden = sizes.get("H", 0)
    if not hidden:
        raise WeightsError(f"{show(cell.kind)} has no parameter that tells its hidden size")
    reads_x = any(part.op is Op.INPUT for step in cell.steps for part in step.expression.walk())
    layers = [int(match["layer"] or 0) for name in shapes if (match := _SUFFIX.fullmatch(name))]
    spec = ModuleSpec(
        cell=cell,
        input_size=sizes.get("I", hidden if reads_x else 1),
        hidden_size=hidden,
        num_layers=max(layers, default=0) + 1,
        bidirectional=any(name.endswith("_reverse") for name in shapes),
        batch_first=batch_first,
        dtype=dtype,
    )
    for name, shape in parameter_shapes(spec).items():
        if shapes.get(name, shape) != shape:
            raise WeightsError(f"{show(name.removesuffix('_l0'))} should have shape {shape}, and has shape {shapes[name]}")
    return spec
