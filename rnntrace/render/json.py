"""JSON: the whole document, one object, always valid; NaN and infinity as the strings "nan", "inf", "-inf"."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rnntrace.render import Style
from rnntrace.report.table import Report


def render(report: Report, style: Style) -> Iterator[str]:
    """The report's document. Nothing is rounded or left out, whatever the style says."""
    yield _printable(json.dumps(plain(report.document), ensure_ascii=False, allow_nan=False)) + "\n"


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
