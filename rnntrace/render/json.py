"""JSON: the whole document, one object, always valid; NaN and infinity as the strings "nan", "inf", "-inf"."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from rnntrace.model.windows import pieces, release
from rnntrace.render import Style
from rnntrace.report.table import Report

LONG = 2**16
"""Arrays of more values are written a piece at a time."""
BUFFER = 2**16
"""A piece of text has about so many characters, or more."""


def render(report: Report, style: Style) -> Iterator[str]:
    """The report's document. Nothing is rounded or left out, whatever the style says."""
    found, size = [], 0
    for text in _texts(report.document):
        found.append(text)
        size += len(text)
        if size > BUFFER:
            yield _printable("".join(found))
            found, size = [], 0
    yield _printable("".join(found)) + "\n"


def _texts(value: Any) -> Iterator[str]:
    """What `json.dumps` makes of the value in plain terms, in parts; of long arrays no list is made as a whole."""
    if isinstance(value, Mapping) and value:
        yield from _joined("{", ((_dumps({key: None})[1:-5], entry) for key, entry in value.items()), "}")
    elif isinstance(value, (list, tuple)) and value:
        yield from _joined("[", (("", entry) for entry in value), "]")
    elif isinstance(value, np.ndarray) and value.size > LONG:
        yield from _joined("[", (("", row) for row in value), "]") if value[0].size > LONG else _rows(value)
    else:
        yield _dumps(value)


def _joined(opening: str, entries: Iterable[tuple[str, Any]], closing: str) -> Iterator[str]:
    between = opening
    for name, entry in entries:
        yield between + name
        yield from _texts(entry)
        between = ", "
    yield closing


def _rows(array: np.ndarray[Any, Any]) -> Iterator[str]:
    """A long array of short rows."""
    between = "["
    for part in pieces(array.shape):
        yield between + _dumps(array[part])[1:-1]
        release(array)
        between = ", "
    yield "]"


def _dumps(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def _printable(text: str) -> str:
    """The text with JSON's own escapes for what would act on a terminal: names from files may hold anything."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def plain(value: Any) -> Any:
    """The value in terms that JSON has; masked entries of an array become null."""
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ma.MaskedArray):
        return plain(value.tolist())
    if isinstance(value, np.ndarray):
        return value.tolist() if np.isfinite(value).all() else plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
