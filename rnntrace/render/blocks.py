"""A table cut to what a page holds: which rows of a long one are shown, and which columns of a wide one stand side by side."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise, zip_longest
from typing import TypeVar

import numpy as np

from rnntrace.render.numbers import head_and_tail
from rnntrace.report.table import Column, Report, Scale, Table

MAX_TABLES = 12
"""With `max_rows` on, this many tables are shown: the first and the last ones."""
LABELS = (Scale.INDEX, Scale.NAME)
"""Columns that say which row this is, and stand in every block of a table that is split."""
TEXTS = (Scale.NAME, Scale.WORD)
"""Columns of words, which start at the left."""

Texts = Callable[[Column, Sequence[int]], list[str]]
"""The cells of some rows of a column, as they are shown."""
Row = TypeVar("Row")


@dataclass(frozen=True)
class Page:
    """How wide a page is, None for no limit, and what stands between columns: gaps to try, and lines between groups."""

    width: int | None = None
    gaps: tuple[int, ...] = (0,)
    separator: int = 0


@dataclass(frozen=True)
class Block:
    """Columns of a table that stand side by side, `gap` apart, and their cells.

    `rows` are those shown; before each of them, and behind the last, so many rows are `left_out`. Not `all_at_hand`: the
    table has rows that no flag for lengths brings back.
    """

    title: str
    columns: tuple[Column, ...]
    rows: list[int]
    texts: list[list[str]]
    left_out: list[int]
    all_at_hand: bool
    gap: int

    def in_order(self, rows: Iterable[Row]) -> Iterator[Row | str]:
        """What is shown for each of the rows, and a line of text in between where others were left out."""
        for row, missing in zip_longest(rows, self.left_out):
            if missing:
                yield elision(missing)
            if row is not None:
                yield row

    @property
    def remark(self) -> str:
        """What is said of all rows left out, empty if there are none."""
        return remark(len(self.rows), sum(self.left_out), all_at_hand=self.all_at_hand)

    @property
    def lines(self) -> list[bool]:
        """For each column whether a line stands before it, as between groups."""
        groups = [column.group for column in self.columns]
        return [False, *(before != group for before, group in pairwise(groups))]


def shown_tables(report: Report, max_rows: int) -> Iterator[Table | str]:
    """The tables to show, and where some are left out a remark."""
    shown, left_out = head_and_tail(len(report.tables), MAX_TABLES if max_rows else 0)
    for position, number in enumerate(shown):
        if left_out and position == MAX_TABLES // 2:
            yield f"… {left_out} tables left out: choose with `layer` and `item`, or `max_rows=0` for all"
        yield report.tables[number]


def elision(missing: int) -> str:
    """The line that stands for rows left out."""
    return f"… {missing} row{'s' if missing > 1 else ''}"


def remark(shown: int, left_out: int, *, all_at_hand: bool) -> str:
    """What is said below a table of the rows left out, and how to see them; empty if there are none."""
    if not left_out:
        return ""
    told = f"… {left_out} of {shown + left_out} rows left out: "
    return told + ("`max_rows=0` shows all" if all_at_hand else "choose with `time`, or `format=csv` or jsonl for all")


def split(table: Table, texts: Texts, max_rows: int, page: Page) -> Iterator[Block]:
    """The table in as few blocks as the page allows; each shows at most `max_rows` of the rows in which it has values.

    Marked rows come on top of that.
    """
    sections = [list(found) for _, found in groupby(table.columns, key=lambda column: column.section)]
    measured = sorted({row for part in (*sections, table.columns) for row in _rows(table, part, max_rows)[0]})
    widths = [max(map(len, (column.heading, *texts(column, measured)))) for column in table.columns]
    blocks, gap = _blocks(table.columns, widths, page)
    for number, block in enumerate(blocks):
        columns = tuple(table.columns[k] for k in block)
        rows, left_out = _rows(table, columns, max_rows)
        title = table.title + (" (continued)" if number else "")
        yield Block(title, columns, rows, [texts(column, rows) for column in columns], left_out, not table.cuts, gap)


def _rows(table: Table, columns: Sequence[Column], most: int) -> tuple[list[int], list[int]]:
    """The rows to show of those in which some value exists, and how many are left out before each and behind the last."""
    exists = np.zeros(table.rows, bool)
    for column in columns:
        if column.scale not in LABELS:
            exists |= ~np.ma.getmaskarray(column.values)
    found = np.flatnonzero(exists)
    shown = {int(found[k]) for k in head_and_tail(len(found), most)[0]}
    rows = sorted(shown | {row for row in table.marked if exists[row]})
    # How many rows the whole table has in front of each of these, and altogether.
    before = np.concatenate([[0], np.cumsum(exists)])
    for row, steps in table.cuts.items():
        before[row:] += steps * np.count_nonzero(exists[row - table.step : row])
    left_out = np.diff(before[[*rows, table.rows]], prepend=-1) - 1
    return rows, left_out.tolist()


def _blocks(columns: Sequence[Column], widths: Sequence[int], page: Page) -> tuple[list[list[int]], int]:
    """Which columns stand side by side, by number, and the gap between them.

    Everything in one block if it fits. Else sections stay whole where they fit, then groups; every block has the index.
    """
    index = [k for k, column in enumerate(columns) if column.scale in LABELS]
    values = range(len(index), len(columns))
    if page.width is None:
        return [[*index, *values]], page.gaps[0]
    gap, room = 0, 0

    def needed(numbers: Sequence[int]) -> int:
        lines = len({columns[k].group for k in numbers})
        return sum(widths[k] + gap for k in numbers) + lines * page.separator

    for gap in page.gaps:
        room = page.width - sum(widths[k] + gap for k in index)
        if needed(values) <= room:
            return [[*index, *values]], gap
    sections = [list(found) for _, found in groupby(values, key=lambda k: columns[k].section)]
    parts = [part for section in sections for part in _fitting(section, columns, lambda part: needed(part) <= room)]
    blocks: list[list[int]] = [[]]
    for part in parts:
        if blocks[-1] and needed([*blocks[-1], *part]) > room:
            blocks.append([])
        blocks[-1] += part
    return [[*index, *block] for block in blocks], gap


def _fitting(section: list[int], columns: Sequence[Column], fits: Callable[[list[int]], bool]) -> Iterator[list[int]]:
    """The section whole, or its groups, or where even a group is too wide its columns."""
    if fits(section):
        yield section
        return
    for _, found in groupby(section, key=lambda k: columns[k].group):
        group = list(found)
        yield from [group] if fits(group) else [[k] for k in group]
