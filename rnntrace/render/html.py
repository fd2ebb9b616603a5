"""HTML: one page that needs nothing else, in light and dark; and the same without a page around it, for notebooks."""

import math
import re
from collections.abc import Iterator, Sequence
from functools import partial
from html import escape
from unicodedata import normalize

import numpy as np

from rnntrace.render import Style
from rnntrace.render.blocks import LABELS, TEXTS, Block, Page, shown_tables, split
from rnntrace.render.html_style import CSS, FIXED, LEVELS, PAGE
from rnntrace.render.layout import DOT, sides
from rnntrace.render.numbers import cells, notation
from rnntrace.report.table import Column, Formulas, Report, Scale, Table

_WRONG = ' <span class="cross" role="img" aria-label="out of tolerance" title="out of tolerance">✗</span>'
_CLOSE = "</tbody>\n</table>\n</div>\n"
_SYMBOL = re.compile(r"(?P<index>[A-Za-z]_\w+)|(?P<word>[A-Za-z]{2,})|(?P<letter>[A-Za-z])|(?P<low>[₀-₉₊₋ₜ]+)")


def render(report: Report, style: Style) -> Iterator[str]:
    """A whole page. No script, and nothing that is fetched."""
    title = DOT.join(("rnntrace", *report.headline[0][0])) if report.headline else "rnntrace"
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{PAGE}{CSS}</style>\n</head>\n<body>\n"
    )
    yield '<main class="rnntrace">\n'
    yield from _body(report, style)
    yield "</main>\n</body>\n</html>\n"


def fragment(report: Report, style: Style) -> str:
    """The same to stand inside another page: its style holds for nothing outside of it, and it takes the notebook's theme."""
    return f'<div class="rnntrace">\n<style>\n{CSS}</style>\n{"".join(_body(report, style))}</div>\n'


def _body(report: Report, style: Style) -> Iterator[str]:
    yield from headline(report)
    for formulas in report.formulas:
        yield from _formulas(formulas)
    for table in shown_tables(report, style.max_rows):
        if isinstance(table, str):
            yield f"<p>{escape(table)}</p>\n"
        else:
            yield from _table(table, style)
    yield from conclusion(report)


def headline(report: Report) -> Iterator[str]:
    """What was built and fed, and who stands beside."""
    for left, right in report.headline:
        beside = f' <span class="beside">{escape(DOT.join(right))}</span>' if right else ""
        yield f'<p class="headline">{escape(DOT.join(left))}{beside}</p>\n'


def conclusion(report: Report) -> Iterator[str]:
    """The verdict and its reasons."""
    verdict, _, reasons = DOT.join(report.conclusion).partition("  ")
    if report.passed is None:
        yield f'<p class="verdict">{escape(verdict)}</p>\n'
    else:
        outcome, sign = ("passed", "✓") if report.passed else ("failed", "✗")
        yield f'<p class="verdict {outcome}"><strong>{sign} {escape(verdict)}</strong> {escape(reasons)}</p>\n'


def _formulas(formulas: Formulas) -> Iterator[str]:
    yield from _open(formulas.title, ' class="formulas"')
    yield "<tbody>\n"
    for line in formulas.lines:
        left, right = sides(line.text)
        yield f'<tr><th scope="row">{escape(line.label)}</th><td>{typeset(left)}</td><td>{typeset(right)}</td></tr>\n'
    yield _CLOSE


def typeset(formula: str) -> str:
    """Symbols slanted, their indices below the line; words such as tanh upright."""

    def spelled(found: re.Match[str]) -> str:
        text = found[0]
        if found["low"]:
            return f"<sub>{normalize('NFKC', text)}</sub>"
        if found["word"]:
            return text
        letter, _, index = text.partition("_")
        return f"<var>{letter}</var>" + (f"<sub>{normalize('NFKC', index)}</sub>" if index else "")

    def between(start: int, end: int) -> str:
        return escape(formula[start:end]).replace("-", "−")

    parts, end = [], 0
    for found in _SYMBOL.finditer(formula):
        parts += [between(end, found.start()), spelled(found)]
        end = found.end()
    return "".join(parts) + between(end, len(formula))


def _table(table: Table, style: Style) -> Iterator[str]:
    texts = partial(cells, digits=style.digits, kind=notation(table.columns))
    for block in split(table, lambda column, rows: texts(column, rows=rows), style.max_rows, Page()):
        yield from _open(block.title)
        yield "<thead>\n<tr>" + "".join(_headings(block)) + "</tr>\n</thead>\n<tbody>\n"
        yield from _rows(block)
        yield _CLOSE
        if block.remark:
            yield f"<p>{escape(block.remark)}</p>\n"


def _open(title: str, attributes: str = "") -> Iterator[str]:
    """A table that scrolls by itself where it is wider than the page or higher, by the keyboard as well."""
    name = escape(title)
    yield f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">\n'
    yield f"<table{attributes}>\n<caption>{name}</caption>\n"


def _headings(block: Block) -> Iterator[str]:
    for column, line, stays in zip(block.columns, block.lines, _staying(block), strict=True):
        heading = escape(column.heading) if column.scale in TEXTS else typeset(column.heading)
        yield f'<th scope="col"{_classes(line and "line", stays, column.scale in TEXTS and "text")}>{heading}</th>'


def _staying(block: Block) -> list[str | bool]:
    """Which columns stay where they are while the others scroll: the numbers of a row at the left, |Δ| at the right."""
    scales = [column.scale for column in block.columns]
    first = next((k for k, scale in enumerate(scales) if scale is not Scale.INDEX), len(scales))
    behind = scales.index(Scale.DIFFERENCE) if Scale.DIFFERENCE in scales else len(scales)
    return [f"stays at{k}" if k < min(first, FIXED) else k >= behind and f"stays end{k - behind}" for k in range(len(scales))]


def _rows(block: Block) -> Iterator[str]:
    columns = [
        list(_cells(column, block.rows, texts, line, stays))
        for column, texts, line, stays in zip(block.columns, block.texts, block.lines, _staying(block), strict=True)
    ]
    for row in block.in_order(zip(*columns, strict=True)):
        if isinstance(row, str):
            yield f'<tr><td colspan="{len(columns)}" class="text">{escape(row)}</td></tr>\n'
        else:
            yield f"<tr>{''.join(row)}</tr>\n"


def _cells(column: Column, rows: Sequence[int], texts: Sequence[str], line: bool, stays: str | bool) -> Iterator[str]:
    values = np.ma.asarray(column.values)[list(rows)].tolist()
    for row, text, value in zip(rows, texts, values, strict=True):
        wrong = column.flagged is not None and bool(column.flagged[row])
        shown = escape(text) + (_WRONG if wrong else "")
        before = line and "line"
        if column.scale in LABELS:
            yield f'<th scope="row"{_classes(before, stays, column.scale in TEXTS and "text")}>{shown}</th>'
        else:
            yield f"<td{_classes(before, stays, 'wrong' if wrong else _shade(value, column.scale))}>{shown}</td>"


def _shade(value: object, scale: Scale) -> str | bool:
    """Which of the shades, the strongest from an absolute value of 1 on: one colour for gates, two for what has a sign."""
    if scale is Scale.WORD:
        return "text"
    if scale not in (Scale.UNIT, Scale.SIGNED) or not isinstance(value, float) or math.isnan(value):
        return False
    level = round(min(abs(value), 1.0) * LEVELS)
    kind = "gate" if scale is Scale.UNIT else "above" if value > 0 else "below"
    return f"{kind}{level}" if level else False


def _classes(*names: str | bool) -> str:
    found = " ".join(name for name in names if isinstance(name, str))
    return f' class="{found}"' if found else ""
