"""A report as rows of data, for formats that programs read: nothing is rounded, nothing is left out."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from rnntrace.report.table import Column, Formulas, Report, Rows, Scale, Table

BATCH = 10_000
"""Rows in a piece of text: enough to be fast, few enough to stay small."""
WORDS = (Scale.NAME, Scale.WORD)
"""Scales whose values are text."""


def report_rows(report: Report) -> Rows:
    """The values of a trace; else the rows of all formulas and tables, whose first column names the table they are from."""
    if report.rows is not None:
        return report.rows
    tables = [_named(table) for table in (*map(_as_table, report.formulas), *report.tables)]
    headings = dict.fromkeys(column.heading for table in tables for column in table.columns)
    return Rows(tuple(headings), lambda: iter(tables))


def batches(table: Table) -> Iterator[list[tuple[Column, list[str]]]]:
    """The columns, each with its values as text, some rows at a time."""
    for start in range(0, table.rows, BATCH):
        yield [(column, _exact(column, slice(start, start + BATCH))) for column in table.columns]


def _exact(column: Column, rows: slice) -> list[str]:
    """The values of some rows in as many digits as tell them from any other of their dtype; empty where there is none."""
    values = column.values[rows]
    texts = list(map(str, np.ma.getdata(values)))
    for row in np.flatnonzero(np.ma.getmaskarray(values)):
        texts[row] = ""
    return texts


def _named(table: Table) -> Table:
    """The table behind a column with its title; a heading that stands there twice gets a number."""
    columns: list[Column] = [Column("table", np.full(table.rows, table.title, object), Scale.NAME)]
    for column in table.columns:
        heading, number = column.heading, 2
        while any(other.heading == heading for other in columns):
            heading, number = f"{column.heading} {number}", number + 1
        columns.append(replace(column, heading=heading))
    return Table(table.title, tuple(columns))


def _as_table(formulas: Formulas) -> Table:
    columns = {
        "label": [line.label for line in formulas.lines],
        "text": [line.text for line in formulas.lines],
        "latex": [line.latex for line in formulas.lines],
    }
    return Table(
        formulas.title, tuple(Column(heading, np.array(words, object), Scale.WORD) for heading, words in columns.items())
    )
