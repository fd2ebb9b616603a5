"""JSON lines: the rows of CSV, each an object on a line of its own; https://jsonlines.org."""

import json
from collections.abc import Iterator
from functools import lru_cache

from rnntrace.render import Style
from rnntrace.render.rows import WORDS, batches, report_rows
from rnntrace.report.table import Column, Report


def render(report: Report, style: Style) -> Iterator[str]:
    """An object a row, with null for what does not exist, and NaN and infinity as "nan", "inf", "-inf".

    What selects values for tables selects them here; digits and lengths do not.
    """
    for table in report_rows(report).blocks():
        keys = (_string(column.heading).replace("%", "%%") for column in table.columns)
        line = "{" + ", ".join(f"{key}: %s" for key in keys) + "}\n"
        for batch in batches(table):
            values = [_values(column, texts) for column, texts in batch]
            yield "".join(line % row for row in zip(*values, strict=True))


def _values(column: Column, texts: list[str]) -> list[str]:
    if column.scale in WORDS:
        return [_string(text) for text in texts]
    # Only what is finite ends in a digit.
    return [(text if text[-1].isdigit() else f'"{text}"') if text else "null" for text in texts]


@lru_cache
def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
