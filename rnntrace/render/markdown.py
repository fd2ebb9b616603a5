"""Markdown as GitHub reads it, for an issue or a README: tables between bars, formulas between dollars."""

import re
from collections.abc import Iterator, Sequence
from functools import partial

from rnntrace.render import Style
from rnntrace.render.blocks import TEXTS, Block, Page, shown_tables, split
from rnntrace.render.layout import DOT, aligned
from rnntrace.render.numbers import cells, notation
from rnntrace.report.table import Column, Formulas, Report

_ACTIVE = re.compile(r"[\\`*<>|$~]|(?<!\w)_|_(?!\w)|&(?=[#\w])|\](?=[(\[:])")
"""What Markdown would take for markup; an underscore inside a word is none."""


def render(report: Report, style: Style) -> Iterator[str]:
    """Headline as a list, formulas, a table each, and the verdict in bold. What is out of tolerance is bold and has a cross."""
    for left, right in report.headline:
        yield f"- {escape(DOT.join((*left, *right)))}\n"
    for formulas in report.formulas:
        yield f"\n### {escape(formulas.title)}\n\n" + "\n".join(_math(formulas)) + "\n"
    for table in shown_tables(report, style.max_rows):
        if isinstance(table, str):
            yield f"\n{escape(table)}\n"
            continue
        texts = partial(_texts, digits=style.digits, kind=notation(table.columns))
        for block in split(table, texts, style.max_rows, Page()):
            yield f"\n### {escape(block.title)}\n\n" + "\n".join(_table(block)) + "\n"
            if block.remark:
                yield f"\n{escape(block.remark)}\n"
    verdict, _, reasons = DOT.join(report.conclusion).partition("  ")
    yield f"\n**{escape(verdict)}** {escape(reasons)}\n" if report.passed is not None else f"\n{escape(verdict)}\n"


def escape(text: str) -> str:
    """The text with a backslash before every character that Markdown would take for markup."""
    return _ACTIVE.sub(r"\\\g<0>", text)


def _math(formulas: Formulas) -> list[str]:
    def escape_label(label: str) -> str:
        return re.sub(r"[{}$&#%_\\]", r"\\\g<0>", label)

    return [
        "$$",
        r"\begin{aligned}",
        *aligned(formulas, escape_label),
        r"\end{aligned}",
        "$$",
    ]


def _texts(column: Column, rows: Sequence[int], digits: int, kind: str) -> list[str]:
    texts = cells(column, digits, kind, rows)
    if column.scale in TEXTS:
        texts = list(map(escape, texts))
    if column.flagged is None:
        return texts
    return [f"**{text}** ✗" if column.flagged[row] else text for text, row in zip(texts, rows, strict=True)]


def _table(block: Block) -> Iterator[str]:
    """Columns are padded, so that the source can be read as well."""
    rest = ["…"] * (len(block.columns) - 1)
    rows = [[row, *rest] if isinstance(row, str) else row for row in block.in_order(zip(*block.texts, strict=True))]
    columns = []
    for number, column in enumerate(block.columns):
        heading, texts = escape(column.heading), [row[number] for row in rows]
        width = max(3, *map(len, (heading, *texts)))
        pad = str.ljust if column.scale in TEXTS else str.rjust
        rule = "-" * width if column.scale in TEXTS else "-" * (width - 1) + ":"
        columns.append([pad(heading, width), rule, *(pad(text, width) for text in texts)])
    for line in zip(*columns, strict=True):
        yield f"| {' | '.join(line)} |"
