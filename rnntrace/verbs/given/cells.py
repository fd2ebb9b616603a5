"""A cell of one's own as a user gives it, a declaration, its text or the file that holds it; and weights under its names."""

from pathlib import Path
from typing import Any

from rnntrace.equations.cell import Cell
from rnntrace.equations.text import parse
from rnntrace.equations.tokens import LONGEST_TEXT
from rnntrace.errors import FileError, UsageError, WeightsError, show
from rnntrace.files.ignored import Ignored
from rnntrace.model.beside import listed
from rnntrace.model.dtypes import DTYPES
from rnntrace.model.layouts import weights_from_torch
from rnntrace.model.module import Module
from rnntrace.model.own_weights import module_of_cell, own_names
from rnntrace.verbs.given.arrays import label_of, tensors_of
from rnntrace.verbs.given.state_dict import half_units_of


def cell(source: Cell | str | Path) -> Cell:
    """The cell that a text declares, or a file of such a text: see docs/own-cells.md. A declaration is given back as it is.

    Text with an equals sign is the text itself, anything else the name of a file. Raises SpecError, with line and column, for
    what is no such text, and FileError for a file that cannot be read.
    """
    if isinstance(source, Cell):
        return source
    if not isinstance(source, str | Path):
        raise UsageError(f"expected a cell, its text or a file of it, and got {type(source).__name__}")
    if isinstance(source, str) and "=" in source:
        return parse(source)
    return parse(_read(Path(source)), Path(source).name)


def _read(path: Path) -> str:
    name = show(str(path))
    try:
        with path.open("rb") as file:
            content = file.read(4 * LONGEST_TEXT + 1)
    except OSError as error:
        raise FileError(f"{name}: {error.strerror or error}: expected the text of a cell") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if len(content) > 4 * LONGEST_TEXT:
            return " " * (LONGEST_TEXT + 1)
        raise FileError(f"{name} is no text in UTF-8: expected equations such as h = tanh(W x + U h[t-1])") from None


def module_with(own: Cell, source: Any, ignored: Ignored | None = None, *, batch_first: bool = False) -> Module:
    """The module of a cell whose weights a source holds under the names of the text. Raises FileError and WeightsError."""
    tensors = (ignored or Ignored()).without(tensors_of(source))
    if tensors.contents is not None:
        raise WeightsError(
            f"{label_of(source)} is a model of its own: a cell of yours needs arrays under the names of its text"
        )
    theirs = own_names(own, [*tensors.arrays, *tensors.refused])
    if strange := [name for name in (*tensors.arrays, *tensors.refused) if name not in theirs.values()]:
        names = ", ".join(show(parameter.name) for parameter in own.parameters)
        raise WeightsError(
            f"{label_of(source)} holds {listed(strange)}, and {show(own.kind)} has {names}: "
            f"take it out, or leave it out with `ignore`"
        )
    for name in theirs.values():
        if (found := tensors.refused.get(name) or tensors.dtypes[name]) not in DTYPES:
            raise WeightsError(f"{show(name)} should hold floats of 16, 32 or 64 bits, and holds {found}")
    arrays = {name: tensors.arrays[own_name] for name, own_name in theirs.items()}
    dtypes = {tensors.dtypes[name] for name in theirs.values()}
    dtype = dtypes.pop() if len(dtypes) == 1 else "float32"
    spec = module_of_cell(own, {name: array.shape for name, array in arrays.items()}, dtype, batch_first=batch_first)
    return Module(spec, weights_from_torch(spec, arrays), half_units=half_units_of(spec, tensors, theirs))
