"""Numbers as text: JSON arrays (or objects of them), and tables of `table`."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rnntrace.errors import FileError, show
from rnntrace.files.columns import Columns
from rnntrace.files.foreign import check_document
from rnntrace.files.sniff import UNKNOWN
from rnntrace.files.table import Numbers, parse_table
from rnntrace.files.tensors import Tensors, check_distinct, reading
from rnntrace.model.limits import MAX_TEXT


def read(path: Path, kind: str, columns: Columns | None = None) -> Tensors:
    """The arrays of a .json by key or of a .csv by its headings or `columns`, or the one of either under the empty name."""
    if (size := path.stat().st_size) > MAX_TEXT:
        raise FileError(f"{size:,} bytes of text are over the limit of {MAX_TEXT:,}: save the numbers as .npz")
    try:
        # With or without the byte order mark that spreadsheets write.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise FileError(UNKNOWN) from None
    with reading(kind):
        return parse_json(text) if kind == "json" else _named(parse_table(text, columns))


def parse_json(text: str) -> Tensors:
    """A nested list, or an object of nested lists; "nan", "inf" and "-inf" count as numbers. Raises FileError.

    A list of matrices and vectors that are not one array stand by their numbers, "0", "1" and so on.
    """
    try:
        content = json.loads(text, parse_float=_Typed, object_pairs_hook=_Entries)
    except (ValueError, RecursionError) as error:
        raise FileError(f"not valid JSON: {error}") from None
    if isinstance(content, _Entries):
        check_distinct(name for name, _ in content)
        check_document(dict(content))
        return _named({name: _array(value, name) for name, value in content if value is not None})
    if isinstance(content, list) and _is_of_arrays(content):
        return _named({str(number): _array(entry, f"entry {number}") for number, entry in enumerate(content)})
    return _named({"": _array(content, "the array")})


class _Typed(str):
    """A number of JSON as it was typed."""

    __slots__ = ()


class _Entries(list[tuple[str, Any]]):
    """The names and values of an object of JSON, where a name may stand twice."""


def _is_of_arrays(content: list[Any]) -> bool:
    """Whether these are matrices and vectors by turns, or matrices of several sizes, as Keras' get_weights gives them."""
    if not content or not all(isinstance(entry, list) and entry for entry in content):
        return False
    forms = {(len(entry), len(entry[0]) if isinstance(entry[0], list) else 0) for entry in content}
    return len(forms) > 1 and any(columns for _, columns in forms)


def _array(content: Any, name: str) -> Numbers:
    texts: list[str] = []
    try:
        return np.array(_numbers(content, texts), np.float64), texts
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise FileError(
            f"{show(name)[:60]} should be numbers in lists of equal length, and is not: a row is shorter or not a number"
        ) from None


def _numbers(content: Any, texts: list[str]) -> Any:
    """The numbers in their lists, and as texts one after the other."""
    if isinstance(content, _Entries) or content is None:
        raise TypeError(content)
    if isinstance(content, list):
        return [_numbers(entry, texts) for entry in content]
    if isinstance(content, str) and not isinstance(content, _Typed) and content not in ("nan", "inf", "-inf"):
        raise ValueError(content)
    texts.append(content if isinstance(content, str) else str(content))
    return float(content)


def _named(numbers: dict[str, Numbers]) -> Tensors:
    arrays = {name: array for name, (array, _) in numbers.items()}
    return Tensors(arrays, dict.fromkeys(arrays, "float64"), typed={name: texts for name, (_, texts) in numbers.items()})
