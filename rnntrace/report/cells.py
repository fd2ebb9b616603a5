"""The report of built-in cells: their names, or the text of one."""

from collections.abc import Mapping

import numpy as np

from rnntrace.equations.cell import Cell
from rnntrace.report.table import SCHEMA, Column, Report, Scale, Table


def cells_report(cells: Mapping[str, Cell], texts: Mapping[str, str]) -> Report:
    """A table of names and what they are; of a single cell its text alone, line by line."""
    alone = len(cells) == 1
    lines = [line for text in texts.values() for line in text.splitlines()] if alone else []
    words = [("cell", Scale.NAME, list(cells)), ("what it is", Scale.WORD, [cell.title for cell in cells.values()])]
    columns = tuple(Column(heading, np.array(found, object), scale, "words", "words") for heading, scale, found in words)
    return Report(
        headline=tuple(((line,), ()) for line in lines),
        tables=() if alone else (Table("cells", columns),),
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
