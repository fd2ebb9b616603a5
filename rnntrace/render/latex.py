"""LaTeX: a document that compiles as it is, with nothing but the article class and amsmath."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

from rnntrace.render import Style
from rnntrace.render.blocks import LABELS, TEXTS, Block, Page, shown_tables, split
from rnntrace.render.layout import DOT, aligned, longest
from rnntrace.render.numbers import cells, notation
from rnntrace.report.table import Column, Report, Scale, Table

WIDTH = 104
"""Figures of \\footnotesize that stand side by side on the page."""
PAGE_ROWS = 45
"""Rows of a tabular; a longer table goes on in another one, as a tabular cannot be broken between pages."""
SMALL = 90
"""Characters of a formula in plain text from which on it is set smaller."""
MATRIX = (20, 10)
"""Rows and columns of the largest matrix that is written as such; amsmath allows ten columns."""

_HEAD = r"""% Compiles as it is. To take a part into a document of your own, load amsmath there.
\documentclass[a4paper]{article}
\usepackage{amsmath}
\setlength{\textwidth}{16cm}
\setlength{\oddsidemargin}{0cm}
\setlength{\textheight}{24cm}
\setlength{\topmargin}{-1.5cm}
\setlength{\parindent}{0pt}
\setlength{\tabcolsep}{4pt}
\renewcommand{\arraystretch}{1.15}
\allowdisplaybreaks
\begin{document}
\raggedright
\abovedisplayskip=4pt
"""

_SPECIALS = {
    **{char: f"\\{char}" for char in "{}$&#%_"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': "''",
    "·": r"\ensuremath{\cdot}",
    "…": r"\ldots{}",
    "Δ": r"\ensuremath{\Delta}",
    "✗": r"\ensuremath{\times}",
    "×": r"\ensuremath{\times}",
    "⊙": r"\ensuremath{\odot}",
    "σ": r"\ensuremath{\sigma}",
    "∂": r"\ensuremath{\partial}",
    "δ": r"\ensuremath{\delta}",
    "‖": r"\ensuremath{\Vert}",
    "→": r"\ensuremath{\rightarrow}",
    "−": r"\ensuremath{-}",
}
_TOLD = re.compile(r"""[^ -~]|[{}$&#%_\\~^|<>"]""")
"""What TeX would not print as it stands."""


def render(report: Report, style: Style) -> Iterator[str]:
    """Headline, formulas in align*, weights as matrices, tables that are split where they are wider than the page."""
    yield _HEAD
    for left, right in report.headline:
        yield f"{escape(DOT.join((*left, *right)))}\\par\n"
    for formulas in report.formulas:
        size = r"\footnotesize" if longest(formulas) > SMALL else ""
        yield _display(formulas.title, aligned(formulas, escape), size)
    for table in shown_tables(report, style.max_rows):
        if isinstance(table, str):
            yield f"\\medskip {escape(table)}\\par\n"
        elif matrices := _matrices(table, style):
            yield _display(table.title, matrices)
        else:
            yield from _tables(table, style)
    verdict, _, reasons = DOT.join(report.conclusion).partition("  ")
    told = f"\\textbf{{{escape(verdict)}}} {escape(reasons)}" if report.passed is not None else escape(verdict)
    yield f"\\bigskip {told}\n\\end{{document}}\n"


def escape(text: str) -> str:
    """The text as TeX has to be told it. A weight such as W_ii gets its index; what no basic font has, its code point."""
    escaped = _TOLD.sub(lambda found: _character(found[0]), text).replace(r"}\textsubscript{", "")
    # Two hyphens would become a dash.
    escaped = re.sub("-(?=-)", "-{}", escaped)
    return re.sub(r"\b([Wb])\\_(\w+)", r"$\1_{\2}$", escaped)


def _character(char: str) -> str:
    if char in _SPECIALS:
        return _SPECIALS[char]
    made_of = unicodedata.decomposition(char)
    if made_of.startswith("<sub>"):
        return rf"\textsubscript{{{unicodedata.normalize('NFKC', char).replace('−', '-')}}}"
    # Letters with an accent are made of a letter and the accent, and the kernel knows them.
    if "À" <= char <= "ÿ" and made_of:
        return char
    return rf"\texttt{{U+{ord(char):04X}}}"


def _title(title: str) -> str:
    return f"\n\\medskip\\textbf{{{escape(title)}}}"


def _display(title: str, lines: Sequence[str], size: str = "") -> str:
    """Formulas below their title, in the same paragraph: a display after an empty one stands too far down."""
    return "\n".join([_title(title), f"{{{size}", r"\begin{align*}", *lines, r"\end{align*}}\par", ""])


def _matrices(table: Table, style: Style) -> list[str]:
    """The sections of a table of weights as matrices with their biases, a line each; nothing for any other table."""
    if notation(table.columns) != "f" or table.rows > min(style.max_rows or MATRIX[0], MATRIX[0]):
        return []
    lines = []
    values = (column for column in table.columns if column.scale not in LABELS)
    for section, found in groupby(values, lambda column: column.section):
        columns = list(found)
        matrix = [column for column in columns if column.heading.startswith(f"{section}[")]
        if not section or not 1 <= len(matrix) <= MATRIX[1]:
            return []
        vectors = [(column.heading, [column]) for column in columns if column not in matrix]
        lines.append(" & ".join(_matrix(name, part, style.digits) for name, part in [(section, matrix), *vectors]))
    return [*(rf"{line} \\[1ex]" for line in lines[:-1]), *lines[-1:]]


def _matrix(name: str, columns: Sequence[Column], digits: int) -> str:
    rows = zip(*(cells(column, digits, "f") for column in columns), strict=True)
    body = r" \\ ".join(" & ".join(text if text[-1].isdigit() else rf"\text{{{text}}}" for text in row) for row in rows)
    return rf"{_symbol(name)} &= \begin{{bmatrix}} {body} \end{{bmatrix}}"


def _symbol(name: str) -> str:
    letter, _, index = name.partition("_")
    return f"{letter}_{{{index}}}"


def _tables(table: Table, style: Style) -> Iterator[str]:
    texts = partial(_texts, digits=style.digits, kind=notation(table.columns))
    for block in split(table, texts, style.max_rows, Page(WIDTH, gaps=(2,))):
        head, lines = list(_begin(block)), list(_rows(block))
        yield _title(block.title) + "\\par\\nopagebreak\\smallskip\n"
        for start in range(0, max(len(lines), 1), PAGE_ROWS):
            yield "\n".join([*head, *lines[start : start + PAGE_ROWS], r"\end{tabular}}\par\smallskip", ""])
        if block.remark:
            yield f"{escape(block.remark)}\\par\n"


def _texts(column: Column, rows: Sequence[int], digits: int, kind: str) -> list[str]:
    texts = cells(column, digits, kind, rows)
    if column.flagged is None:
        return texts
    return [text + (" ✗" if column.flagged[row] else "") for text, row in zip(texts, rows, strict=True)]


def _number(text: str) -> str:
    """A number with a minus sign instead of a hyphen, and its mark."""
    return text.replace("-", "$-$").replace("✗", _SPECIALS["✗"])


def _begin(block: Block) -> Iterator[str]:
    """The head of a tabular. A sentence that is wider than what the other columns leave is broken into lines."""
    widths = [max(map(len, (column.heading, *texts))) for column, texts in zip(block.columns, block.texts, strict=True)]
    sides = []
    for column, width, line in zip(block.columns, widths, block.lines, strict=True):
        left = WIDTH - (sum(widths) + 2 * len(widths) - width)
        side = "l" if column.scale in TEXTS else "r"
        if column.scale is Scale.WORD and width > left:
            side = rf"p{{{max(left, 20) / 2:g}em}}"
        sides.append("|" * line + side)
    yield rf"{{\footnotesize\begin{{tabular}}{{{''.join(sides)}}}"
    yield " & ".join(escape(column.heading) for column in block.columns) + r" \\ \hline"


def _rows(block: Block) -> Iterator[str]:
    columns = [
        [escape(text) if column.scale in TEXTS else _number(text) for text in texts]
        for column, texts in zip(block.columns, block.texts, strict=True)
    ]
    for row in block.in_order(zip(*columns, strict=True)):
        if isinstance(row, str):
            yield rf"\multicolumn{{{len(columns)}}}{{l}}{{{escape(row)}}} \\"
        else:
            yield " & ".join(row) + r" \\"
