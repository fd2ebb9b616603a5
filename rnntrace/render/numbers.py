"""Numbers as text, and which of many are shown."""

from collections.abc import Sequence

import numpy as np

from rnntrace.equations.notation import LARGEST_FIXED
from rnntrace.report.table import Column, Scale


def notation(columns: Sequence[Column]) -> str:
    """How the values of a table are written, so that both sides look alike: "e" for scientific, "f" for fixed."""
    for column in columns:
        if column.scale in (Scale.UNIT, Scale.SIGNED):
            sizes = np.abs(np.ma.asarray(column.values).compressed())
            if (sizes[np.isfinite(sizes)] >= LARGEST_FIXED).any():
                return "e"
    return "f"


def cells(column: Column, digits: int, kind: str, rows: Sequence[int] | None = None) -> list[str]:
    """The values of a column as text, of all rows or of some; empty where a value does not exist."""
    every = np.ma.asarray(column.values)
    values = (every if rows is None else every[list(rows)]).tolist()
    if column.scale in (Scale.INDEX, Scale.COUNT, Scale.NAME, Scale.WORD):
        return [str(value) for value in values]
    if column.scale is Scale.DIFFERENCE:
        return [_difference(value) for value in values]
    if column.scale is Scale.MAGNITUDE:
        return ["" if value is None else f"{value:.2e}" for value in values]
    return ["" if value is None else f"{value:.{digits}{kind}}" for value in values]


def _difference(value: float | None) -> str:
    if value is None:
        return ""
    return "0" if value == 0 else f"{value:.1e}"


def head_and_tail(count: int, most: int) -> tuple[Sequence[int], int]:
    """Which of `count` entries to show if at most `most` fit, and how many are left out after the first part of them.

    `most` 0 shows all. The first half and the last half are shown.
    """
    if not most or count <= most:
        return range(count), 0
    head = (most + 1) // 2
    return [*range(head), *range(count - (most - head), count)], count - most
