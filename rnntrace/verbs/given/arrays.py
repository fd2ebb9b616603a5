"""Arrays as a user gives them: in a file, as JSON, or in memory as arrays, tensors, nested lists and dictionaries of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnntrace.errors import FileError, SignalError
from rnntrace.files import BESIDE, label, read_source
from rnntrace.files.columns import Columns
from rnntrace.files.tensors import Tensors, check_distinct
from rnntrace.model.dtypes import Array


def tensors_of(source: Any, beside: Mapping[str, Any] | None = None, columns: Columns | None = None) -> Tensors:
    """The named arrays of a source; one array alone stands under the empty name, and names inside names are joined by dots.

    Text is the name of a file, or JSON, with what belongs `beside` it; `columns` are those of a table. Raises FileError for a
    file that cannot be read and for two arrays of one name, and SignalError for one array that is not numbers; among others,
    such a one is refused by itself.
    """
    if isinstance(source, str | Path):
        return read_source(str(source), beside, columns)
    for name in beside or ():
        raise FileError(f"`{name}` belongs to {BESIDE[name][1]}, and these are in memory: leave it out")
    if not isinstance(source, Mapping):
        return Tensors({"": array_of(source)}, {"": _dtype(source)})
    entries = [*_entries(source)]
    check_distinct(name for name, _ in entries)
    arrays: dict[str, Array] = {}
    refused: dict[str, str] = {}
    for name, values in entries:
        try:
            arrays[name] = array_of(values)
        except SignalError:
            refused[name] = f"a {type(values).__name__}"
    return Tensors(arrays, {name: _dtype(values) for name, values in entries if name in arrays}, refused)


def label_of(source: Any) -> str:
    """The source as a message names it."""
    if isinstance(source, str | Path):
        return label(str(source))
    if isinstance(source, Mapping):
        return "the dictionary"
    plain = isinstance(source, tuple | list | np.ndarray) or is_tensor(source)
    return "what was given" if plain else f"the {type(source).__name__}"


def labels_of(first: Any, second: Any) -> tuple[str, str]:
    """What messages call two sources: those in memory may have no names that tell them apart."""
    mine, theirs = label_of(first), label_of(second)
    return (mine, theirs) if mine != theirs or isinstance(first, str | Path) else ("the first", "the second")


def array_of(values: Any) -> Array:
    """A tensor, array or nested list as a numpy float array of its own. Raises SignalError for anything else."""
    if hasattr(values, "batch_sizes"):
        raise SignalError("a PackedSequence hides its lengths: pass the padded x and lengths= instead")
    if is_tensor(values):
        from rnntrace.frameworks.torch.modules import to_numpy

        try:
            values = to_numpy(values)
        except (RuntimeError, TypeError):
            raise SignalError(
                f"expected numbers, and got a tensor without values to read: {values.layout}, {values.device}"
            ) from None
    elif isinstance(values, list | tuple) and any(map(is_tensor, values)):
        values = [array_of(entry) for entry in values]
    try:
        array = np.array(values, dtype=None if getattr(values, "dtype", None) is not None else np.float64)
    except (ValueError, TypeError):
        raise SignalError("expected numbers in an array, tensor or lists of equal length") from None
    if array.dtype.kind not in "fiub":
        raise SignalError(f"expected numbers, and got an array of {array.dtype}")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def is_tensor(values: Any) -> bool:
    """Whether this is a tensor of torch; torch is not loaded to tell."""
    return type(values).__module__.partition(".")[0] == "torch" and hasattr(values, "detach")


def _entries(source: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every entry that is no dictionary, with its full name: (0, "forward", "f") is `0.forward.f`."""
    for key, values in source.items():
        name = prefix + (".".join(map(str, key)) if isinstance(key, tuple) else str(key))
        if isinstance(values, Mapping):
            yield from _entries(values, f"{name}.")
        elif values is not None:
            yield name, values


def _dtype(values: Any) -> str:
    """The number format that a tensor or array had before it was made an array of floats."""
    dtype = getattr(values, "dtype", None)
    return "float64" if dtype is None else str(dtype).removeprefix("torch.")
