"""CSV: a row a value for whatever has a trace, the rows of the tables for all else; nothing is rounded."""

from collections.abc import Iterator
from functools import lru_cache

from rnntrace.render import Style
from rnntrace.render.rows import WORDS, batches, report_rows
from rnntrace.report.table import Report

_FORMULA = "=+-@\t\r\n＝＋－＠"
"""What a text begins with that a spreadsheet would compute; https://owasp.org/www-community/attacks/CSV_Injection."""


def render(report: Report, style: Style) -> Iterator[str]:
    """A line of headings, then a line a row. What selects values for tables selects them here; digits and lengths do not.

    A text that a spreadsheet would take for a formula stands behind an apostrophe; numbers are never changed.
    """
    rows = report_rows(report)
    yield ",".join(map(_text, rows.headings)) + "\n"
    for table in rows.blocks():
        for batch in batches(table):
            found = {column.heading: list(map(_text, texts)) if column.scale in WORDS else texts for column, texts in batch}
            blank = [""] * len(batch[0][1])
            lines = zip(*(found.get(heading, blank) for heading in rows.headings), strict=True)
            yield "\n".join(map(",".join, lines)) + "\n"


@lru_cache
def _text(text: str) -> str:
    # A sign alone is no formula.
    if text[:1] in _FORMULA and len(text) > 1:
        text = "'" + text
    if any(char in text for char in ',"\r\n'):
        text = '"' + text.replace('"', '""') + '"'
    return text
