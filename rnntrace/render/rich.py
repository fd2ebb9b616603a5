"""Tables for the terminal, drawn by rich."""

from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from itertools import groupby
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from rnntrace.render import Style
from rnntrace.render.layout import DOT, flow, margin
from rnntrace.render.numbers import cells, head_and_tail, notation
from rnntrace.report.table import Column, Report, Scale, Table

MAX_TABLES = 12
"""With `max_rows` on, this many tables are shown: the first and the last ones."""
UNLIMITED = 10_000
WIDE_GAP, NARROW_GAP = 2, 1
"""Blanks in front of a column; the narrow gap is used where the wide one would split the table."""
SEPARATOR = " │"
LABELS = (Scale.INDEX, Scale.NAME)
"""Columns that say which row this is, and stand in every block of a table that is split."""
WRONG = " ✗"
"""Behind a difference that is out of tolerance, so that the colour does not carry it alone."""

# Weak and strong shades that can be read on dark and on light ground.
_BELOW, _ABOVE, _HIGH = ("#6f9fd8", "#3b7dd8"), ("#d09a5a", "#c96a00"), ("#7a9a6a", "#2f8f5b")


def render(report: Report, style: Style) -> str:
    """The report as tables; one that is wider than the style allows is split by columns."""
    console = Console(
        file=StringIO(),
        width=style.width or UNLIMITED,
        force_terminal=style.color,
        no_color=not style.color,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
        legacy_windows=False,
    )
    for left, right in report.headline:
        console.print(Text("\n".join(margin(left, right, style.width))))
    shown, left_out = head_and_tail(len(report.tables), MAX_TABLES if style.max_rows else 0)
    for position, number in enumerate(shown):
        if left_out and position == MAX_TABLES // 2:
            console.print(Text(f"\n… {left_out} tables left out: choose with --layer and --item, or --max-rows 0 for all"))
        _print(console, report.tables[number], style)
    console.print()
    verdict = Text("\n".join(flow(report.conclusion, style.width)))
    if report.passed is not None:
        verdict.stylize("bold green" if report.passed else "bold red", 0, len(report.conclusion[0].split("  ")[0]))
    console.print(verdict)
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().split("\n"))


def _print(console: Console, table: Table, style: Style) -> None:
    sections = [list(found) for _, found in groupby(table.columns, key=lambda column: column.section)]
    kind = notation(table.columns)
    measured = sorted({row for part in (*sections, table.columns) for row in _rows(part, style.max_rows)[0]})
    blocks, gap = _blocks(table.columns, [_texts(column, measured, style, kind) for column in table.columns], style.width)
    for number, block in enumerate(blocks):
        title = table.title + (" (continued)" if number else "")
        console.print(Text("\n" + "\n".join(flow(title.split(DOT), style.width)), style="bold"))
        columns = [table.columns[k] for k in block]
        rows, left_out = _rows(columns, style.max_rows)
        console.print(_draw(columns, [_texts(column, rows, style, kind) for column in columns], style, left_out, gap))
        if left_out:
            console.print(Text(f"… {left_out} of {len(rows) + left_out} rows left out: --max-rows 0 shows all"))


def _rows(columns: Sequence[Column], most: int) -> tuple[list[int], int]:
    """The rows in which some value exists, as far as at most `most` are shown, and how many are left out."""
    exists = np.zeros(len(columns[0].values), bool)
    for column in columns:
        if column.scale not in LABELS:
            exists |= ~np.ma.getmaskarray(column.values)
    found = np.flatnonzero(exists)
    shown, left_out = head_and_tail(len(found), most)
    return [int(found[k]) for k in shown], left_out


def _texts(column: Column, rows: Sequence[int], style: Style, kind: str) -> list[str]:
    """The cells of these rows; behind a difference that is out of tolerance stands a mark."""
    texts = cells(column, style.digits, kind, rows)
    if column.flagged is None or not column.flagged.any():
        return texts
    return [text + (WRONG if column.flagged[row] else " " * len(WRONG)) for text, row in zip(texts, rows, strict=True)]


def _blocks(columns: Sequence[Column], texts: Sequence[Sequence[str]], width: int | None) -> tuple[list[list[int]], int]:
    """Which columns stand side by side, by number, and how many blanks between them.

    Everything in one block if it fits. Else sections stay whole where they fit, then groups; every block has the index.
    """
    index = [k for k, column in enumerate(columns) if column.scale in LABELS]
    values = range(len(index), len(columns))
    sections = [list(found) for _, found in groupby(values, key=lambda k: columns[k].section)]
    gap, room = WIDE_GAP, 0

    def needed(numbers: Sequence[int]) -> int:
        lines = len({columns[k].group for k in numbers})
        return sum(_width(columns[k], texts[k]) + gap for k in numbers) + lines * len(SEPARATOR)

    for gap in (WIDE_GAP, NARROW_GAP):
        room = (width or UNLIMITED) - sum(_width(columns[k], texts[k]) + gap for k in index)
        if needed(values) <= room:
            return [[*index, *values]], gap
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


def _width(column: Column, texts: Sequence[str]) -> int:
    return max(map(len, (column.heading, *texts)))


def _draw(columns: Sequence[Column], texts: Sequence[Sequence[str]], style: Style, left_out: int, gap: int) -> RichTable:
    """One block of columns, with a line between groups and a row of dots where rows were left out."""
    drawn = RichTable(box=None, padding=0, pad_edge=False, show_edge=False)
    fields: list[list[Text]] = []
    previous = columns[0].group
    for column, text in zip(columns, texts, strict=True):
        if column.group != previous:
            drawn.add_column(SEPARATOR, no_wrap=True)
            fields.append([Text(SEPARATOR)] * len(text))
            previous = column.group
        width = _width(column, text) + gap
        side: Literal["left", "right"] = "left" if column.scale in (Scale.NAME, Scale.WORD) else "right"
        indent = " " * gap if side == "left" else ""
        # Numbers are never broken; a sentence that is wider than the terminal is.
        sentence = column.scale is Scale.WORD and style.width is not None and width > style.width // 2
        least = None if sentence else width
        heading = Text(indent + column.heading)
        drawn.add_column(heading, justify=side, no_wrap=not sentence, min_width=least, header_style="bold")
        fields.append([Text(indent) + _cell(column, entry, style) for entry in text])
    middle = (len(texts[0]) + 1) // 2
    for number, row in enumerate(zip(*fields, strict=True)):
        if left_out and number == middle:
            drawn.add_row(*[Text(SEPARATOR if field[0].plain == SEPARATOR else "…") for field in fields])
        drawn.add_row(*row)
    return drawn


def _cell(column: Column, text: str, style: Style) -> Text:
    if not style.color or column.scale in (*LABELS, Scale.COUNT, Scale.WORD) or not text.strip():
        return Text(text)
    if column.scale is Scale.DIFFERENCE:
        return Text(text, style="bold red" if text.endswith(WRONG) else "")
    return Text(text, style=_shade(float(text), column.scale))


def _shade(value: float, scale: Scale) -> str:
    """Blue below zero, orange above, for signed values; green from the middle up, for gates from 0 to 1."""
    if scale is Scale.UNIT:
        return _HIGH[value > 0.9] if value > 0.5 else ""
    if value != value or abs(value) < 0.1:
        return ""
    return (_BELOW if value < 0 else _ABOVE)[abs(value) > 0.5]
