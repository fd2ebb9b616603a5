"""The report of built-in cells: their names, or the text of one."""

from collections.abc import Mapping

from rnntrace.equations.cell import Cell
from rnntrace.equations.notation import TEXT, formula
from rnntrace.report.table import SCHEMA, Report, Rows, Table, word_table


def cells_report(cells: Mapping[str, Cell], texts: Mapping[str, str]) -> Report:
    """A table of names and what they are; of a single cell its text alone, line by line, and its equations as rows."""
    alone = len(cells) == 1
    lines = [line for text in texts.values() for line in text.splitlines()] if alone else []
    listed = word_table("cells", ("cell", list(cells)), ("what it is", [cell.title for cell in cells.values()]))
    equations = [_equations(name, cell) for name, cell in cells.items()]
    return Report(
        headline=tuple(((line,), ()) for line in lines),
        tables=() if alone else (listed,),
        rows=Rows(tuple(column.heading for column in equations[0].columns), lambda: iter(equations)) if alone else None,
        conclusion=() if alone else ("a text to begin with: rnntrace cells lstm > my.cell",),
        passed=None,
        document={
            "schema": SCHEMA,
            "command": "cells",
            "cells": [
                {
                    "name": name,
                    "title": cell.title,
                    "gates": list(cell.gates),
                    "states": list(cell.states),
                    "text": texts[name],
                }
                for name, cell in cells.items()
            ],
        },
    )


def _equations(name: str, cell: Cell) -> Table:
    """A row for each equation of the cell."""
    return word_table(
        name,
        ("symbol", [step.symbol for step in cell.steps]),
        ("role", [step.role for step in cell.steps]),
        ("equation", [formula(step, TEXT, cell.parameters) for step in cell.steps]),
    )
