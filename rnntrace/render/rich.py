"""Tables for the terminal, drawn by rich."""

from collections.abc import Iterator, Sequence
from functools import partial
from io import StringIO
from typing import Literal

from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style as RichStyle
from rich.table import Table as RichTable
from rich.text import Text

from rnntrace.render import Style
from rnntrace.render.blocks import LABELS, TEXTS, Block, Page, shown_tables, split
from rnntrace.render.heat import heat
from rnntrace.render.layout import DOT, equations, flow, margin
from rnntrace.render.numbers import cells, notation
from rnntrace.report.table import Column, Report, Scale, Table

UNLIMITED = 10_000
GAPS = (2, 1)
"""Blanks in front of a column; the narrow gap is used where the wide one would split the table."""
SEPARATOR = " │"
BAR, GAP = Text(SEPARATOR), Text("")
LEFT_OUT = "left out"
"""Under this name the style of a line holds what is to stand there from end to end; a cell has only its column."""
"""What stands in the columns that hold no values: lines between groups, and room in front of words."""
WRONG = "✗"
"""Behind a value that is out of tolerance, so that the colour does not carry it alone."""

# Weak and strong shades that can be read on dark and on light ground.
_BELOW, _ABOVE, _HIGH = ("#6f9fd8", "#3b7dd8"), ("#d09a5a", "#c96a00"), ("#7a9a6a", "#2f8f5b")


def render(report: Report, style: Style) -> Iterator[str]:
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
    for formulas in report.formulas:
        _print_title(console, formulas.title, style)
        console.print(Text("\n".join(equations(formulas, style.width))))
    for table in shown_tables(report, style.max_rows):
        if isinstance(table, str):
            console.print(Text(f"\n{table}"))
        else:
            _print(console, table, style)
    for line in heat(report.panels, style):
        console.print(Text.assemble(*line))
    console.print()
    verdict = Text("\n".join(flow(report.conclusion, style.width)))
    if report.passed is not None:
        verdict.stylize("bold green" if report.passed else "bold red", 0, len(report.conclusion[0].split("  ")[0]))
    console.print(verdict)
    assert isinstance(console.file, StringIO)
    yield "\n".join(line.rstrip() for line in console.file.getvalue().split("\n"))


def _print(console: Console, table: Table, style: Style) -> None:
    texts = partial(_texts, digits=style.digits, kind=notation(table.columns))
    for block in split(table, texts, style.max_rows, Page(style.width or UNLIMITED, GAPS, len(SEPARATOR))):
        _print_title(console, block.title, style)
        console.print(Segments(_lines(console, _draw(block, style))), end="")
        if block.remark:
            console.print(Text("\n".join(flow([block.remark], style.width))))


def _print_title(console: Console, title: str, style: Style) -> None:
    console.print(Text("\n" + "\n".join(flow(title.split(DOT), style.width)), style="bold"))


def _texts(column: Column, rows: Sequence[int], digits: int, kind: str) -> list[str]:
    """The cells of these rows; behind what is out of tolerance stands a mark."""
    texts = cells(column, digits, kind, rows)
    if column.flagged is None or not column.flagged.any():
        return texts
    mark = f" {WRONG}" if column.scale is Scale.DIFFERENCE else WRONG
    return [text + (mark if column.flagged[row] else " " * len(mark)) for text, row in zip(texts, rows, strict=True)]


def _draw(block: Block, style: Style) -> RichTable:
    """One block of columns, with a line between groups and a place for a line of its own where rows were left out."""
    drawn = RichTable(box=None, padding=0, pad_edge=False, show_edge=False)
    fields: list[list[Text]] = []
    for column, text, line in zip(block.columns, block.texts, block.lines, strict=True):
        if line:
            drawn.add_column(SEPARATOR, no_wrap=True)
            fields.append([BAR] * len(text))
        side: Literal["left", "right"] = "left" if column.scale in TEXTS else "right"
        width = max(map(len, (column.heading, *text))) + (block.gap if side == "right" else 0)
        # Numbers are never broken; a sentence that is wider than the terminal is.
        sentence = column.scale is Scale.WORD and style.width is not None and width > style.width // 2
        least = None if sentence else width
        if side == "left":
            # The gap is a column of its own, so that the lines of a broken sentence stand below one another.
            drawn.add_column("", no_wrap=True, min_width=block.gap)
            fields.append([GAP] * len(text))
        drawn.add_column(Text(column.heading), justify=side, no_wrap=not sentence, min_width=least, header_style="bold")
        fields.append([_cell(column, entry, style) for entry in text])
    for row in block.in_order(zip(*fields, strict=True)):
        if isinstance(row, str):
            drawn.add_row(Text("…", RichStyle.from_meta({LEFT_OUT: row})))
        else:
            drawn.add_row(*row)
    return drawn


def _lines(console: Console, drawn: RichTable) -> Iterator[Segment]:
    for line in console.render_lines(drawn, pad=False):
        told = [segment.style.meta[LEFT_OUT] for segment in line if segment.style and LEFT_OUT in segment.style.meta]
        yield from [Segment(told[0])] if told else line
        yield Segment.line()


def _cell(column: Column, text: str, style: Style) -> Text:
    if not style.color or column.scale in (*LABELS, Scale.COUNT, Scale.WORD) or not text.strip():
        return Text(text)
    if text.endswith(WRONG):
        return Text(text, style="bold red")
    if column.scale is Scale.DIFFERENCE:
        return Text(text)
    return Text(text, style=_shade(float(text), column.scale))


def _shade(value: float, scale: Scale) -> str:
    """Blue below zero, orange above, for signed values; green from the middle up, for gates from 0 to 1."""
    if scale is Scale.UNIT:
        return _HIGH[value > 0.9] if value > 0.5 else ""
    if value != value or abs(value) < 0.1:
        return ""
    return (_BELOW if value < 0 else _ABOVE)[abs(value) > 0.5]
