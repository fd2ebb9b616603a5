"""Plain text for grep and awk: the same tables, every row at hand, columns between spaces, no lines and no colour."""

from collections.abc import Iterator

import numpy as np

from rnntrace.render import Style
from rnntrace.render.blocks import elision, remark
from rnntrace.render.heat import heat
from rnntrace.render.layout import DOT, equations, margin
from rnntrace.render.numbers import cells, notation
from rnntrace.report.table import Report, Table

MISSING = "-"
"""Stands where a value does not exist, so that every row has as many fields."""


def render(report: Report, style: Style) -> Iterator[str]:
    """The report as aligned text; headline and verdict stand on lines of their own."""
    lines = [line for left, right in report.headline for line in margin(left, right, None)]
    for formulas in report.formulas:
        lines += ["", formulas.title, *equations(formulas, None)]
    for table in report.tables:
        lines += ["", table.title, *_rows(table, style.digits)]
    # Off a terminal nothing is split and nothing left out.
    lines += ["".join(text for text, _ in line) for line in heat(report.panels, Style(max_rows=0))]
    yield "\n".join([*lines, "", DOT.join(report.conclusion), ""])


def _rows(table: Table, digits: int) -> list[str]:
    columns, kind = [], notation(table.columns)
    for column in table.columns:
        texts = [text or MISSING for text in cells(column, digits, kind)]
        flagged = np.zeros(table.rows, bool) if column.flagged is None else column.flagged
        wrong = ["!" if flag else "" for flag in flagged]
        fields = [column.heading.replace(" ", "_"), *map("".join, zip(texts, wrong, strict=True))]
        width = max(map(len, fields))
        columns.append([field.rjust(width) for field in fields])
    lines = ["  ".join(row) for row in zip(*columns, strict=True)]
    missing = {row: steps * table.step for row, steps in table.cuts.items()}
    # From behind, as each line that is put in moves those below it; the headings are a line as well.
    for row in sorted(missing, reverse=True):
        lines.insert(row + 1, elision(missing[row]))
    told = remark(table.rows, sum(missing.values()), all_at_hand=False)
    return [*lines, told] if told else lines
