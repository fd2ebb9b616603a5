"""Which part of a long table is made, and which rows of any table must be seen."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.judge.difference import difference
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.spec import FORWARD, REVERSE
from rnntrace.model.windows import pieces, release
from rnntrace.report.table import Column, Scale, Table

LONG = 100_000
"""Of a table with more rows than this a part is made."""
ENDS = 1_000
"""Rows at either end of that part, about."""


def is_long(rows: int) -> bool:
    """Whether only a part is made of a table of so many rows."""
    return rows > LONG


def part_of(steps: int, rows: int, places: Iterable[int]) -> NDArray[np.int_]:
    """Which of so many steps, of so many `rows` each, a long table is made of: the first, the last and those at places."""
    # At t = 0 there is less than elsewhere: what is cut out has a whole step in front of it.
    ends = max(ENDS // rows, 2)
    spans = [(0, ends), (steps - ends, steps), *((place - 1, place + 2) for place in places)]
    return np.unique(np.concatenate([np.arange(max(start, 0), min(end, steps)) for start, end in spans]))


def far_apart(
    mine: Array, theirs: Array, flags: Flags | None, rows: NDArray[np.int_], units: NDArray[np.int_], direction: str
) -> Iterator[tuple[int, ...]]:
    """The places of the largest difference and of the first flag as time runs, in these rows and units of arrays (T, …, N)."""
    found: dict[str, tuple[int, ...]] = {}
    largest = 0.0
    for part in pieces((len(rows), *mine.shape[1:])):
        steps, columns = span(rows[part]), span(units)
        apart = difference(mine[steps][..., columns], theirs[steps][..., columns])
        if apart.max(initial=0.0) > largest:
            largest, found["largest"] = float(apart.max()), _place(rows[part], int(apart.argmax()), apart.shape)
        if flags is not None and ("first" not in found or direction == REVERSE):
            out = np.flatnonzero(flags[steps][..., columns])
            if len(out):
                found["first"] = _place(rows[part], int(out[-1 if direction == REVERSE else 0]), apart.shape)
        release(mine, theirs, flags)
    yield from found.values()


def _place(rows: NDArray[np.int_], number: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The place of a value in the whole array, by its number in some rows of it, which have this shape."""
    row, *others = map(int, np.unravel_index(number, shape))
    return (int(rows[row]), *others)


def excerpt(
    title: str,
    columns: Sequence[Column],
    at_hand: NDArray[np.int_],
    rows: int,
    places: Iterable[int] = (),
    direction: str = FORWARD,
) -> Table:
    """The table of the steps `at_hand`, of so many `rows` each, as time runs in this direction.

    Rows that must be seen are those at the `places`, the first one out of tolerance, and that of the largest difference.
    """
    after = np.flatnonzero(np.diff(at_hand) > 1) + 1
    cuts = {int(row) * rows: int(at_hand[row] - at_hand[row - 1] - 1) for row in after}
    marked = set(places)
    for column in columns:
        if column.scale is Scale.DIFFERENCE:
            marked.update(_worst(column, rows, direction, sorted(marked)))
    return Table(title, tuple(columns), frozenset(marked), cuts, rows)


def _worst(column: Column, rows: int, direction: str, places: Sequence[int]) -> Iterator[int]:
    """The row of the largest difference, unless one of the places has as large a one, and the first one out of tolerance."""
    sizes: NDArray[np.float64] = np.ma.filled(np.ma.asarray(column.values), -1.0)
    # Beside NaN everything else is near.
    sizes = np.where(np.isnan(sizes), np.inf, sizes)
    if sizes.max(initial=0.0) > sizes[places].max(initial=0.0):
        yield int(sizes.argmax())
    if column.flagged is not None and column.flagged.any():
        steps = column.flagged.reshape(-1, rows).any(axis=1)
        first = np.flatnonzero(steps)[-1 if direction == REVERSE else 0] * rows
        yield int(first + column.flagged[first : first + rows].argmax())


def span(numbers: NDArray[np.int_]) -> slice | NDArray[np.int_]:
    """Numbers that follow each other as a slice, which is read faster."""
    if len(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1:
        return slice(int(numbers[0]), int(numbers[-1]) + 1)
    return numbers
