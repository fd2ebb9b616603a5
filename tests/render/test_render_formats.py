"""What the formats do with any text and any number, on reports written by hand."""

import csv
import io
import re
import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsers import PARSERS, compile_latex, json_lines, read_csv, read_html, read_markdown
from strategies import examples

from rnntrace.render import RENDERERS, Style, pieces, render
from rnntrace.render.html import fragment
from rnntrace.render.layout import equations, sides
from rnntrace.report.table import Column, Formula, Formulas, Report, Rows, Scale, Table

FORMULAS = Formulas(
    "every step",
    (
        Formula("forget gate", "fₜ = σ(W_if xₜ + b_if)", r"f_t = \sigma\left(W_{if} x_t + b_{if}\right)"),
        Formula("sum", "cₜ₋₁[k=1] = 1 - a", r"c_{t-1}[k=1] = 1 - a"),
        Formula("", "= 0.25", "= 0.25"),
    ),
)
GATE = Column("f", np.ma.array([0.0, 0.25, 0.9], mask=[True, False, False]), Scale.UNIT, "gates", "gates")
STATE = Column("h", np.array([-1.5, 0.1, np.nan]), Scale.SIGNED, "states", "states")
DELTA = Column("|Δ|", np.array([0, 1e-9, np.inf]), Scale.DIFFERENCE, "states", "difference", np.array([False, False, True]))


def report(*tables: Table, formulas: tuple[Formulas, ...] = (), rows: Rows | None = None) -> Report:
    """A report that has failed."""
    return Report(((("LSTM",), ("torch",)),), tables, ("FAIL  at h", "worst"), False, {}, formulas=formulas, rows=rows)


def table(*columns: Column, title: str = "layer 0") -> Table:
    """Columns behind an index."""
    return Table(title, (Column("t", np.arange(len(columns[0].values)), Scale.INDEX), *columns))


def words(*texts: str, heading: str = "name") -> Table:
    """A table of words."""
    return table(Column(heading, np.array(texts, object), Scale.WORD))


printable = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "), max_size=20).map(str.strip)


@pytest.mark.parametrize("format", [name for name in RENDERERS if name != "page"])
def test_formulas_stand_above_the_tables(format: str) -> None:
    """In every format that shows anything but the document; the label stands by, and the spelling is the format's."""
    text = render(report(words("a row"), formulas=(FORMULAS,)), format, Style())
    if format == "json":
        return
    spelling = "W_{if}" if format in ("latex", "markdown") else "<var>W</var><sub>if</sub>" if format == "html" else "W_if"
    assert 0 <= text.index("every step") < text.index(spelling) < text.index("a row")
    assert "forget gate" in text


def test_equals_signs_stand_below_one_another() -> None:
    """Labels in front, at any width that has room; else above; a line is never wider than the page if a word fits."""
    assert equations(FORMULAS, None) == [
        "  forget gate         fₜ = σ(W_if xₜ + b_if)",
        "  sum          cₜ₋₁[k=1] = 1 - a",
        "                         = 0.25",
    ]
    assert equations(FORMULAS, 32) == [
        "  forget gate",
        "           fₜ = σ(W_if xₜ +",
        "                b_if)",
        "  sum",
        "    cₜ₋₁[k=1] = 1 - a",
        "              = 0.25",
    ]


def test_an_equals_sign_in_brackets_divides_nothing() -> None:
    """An index such as k=1 is part of its side."""
    assert sides(r"\sum_{k=1} a = b = c") == (r"\sum_{k=1} a ", "= b = c")
    assert sides("f(a=1)") == ("", "f(a=1)")


@given(st.lists(printable, min_size=1, max_size=4), printable)
@examples(150)
def test_any_text_comes_back_from_html(texts: list[str], heading: str) -> None:
    """Whatever stands in a cell, a caption or a heading is text again, and never an element."""
    ((head, *rows),) = read_html(render(report(words(*texts, heading=heading)), "html", Style()))
    assert head[1] == heading
    assert [row[1] for row in rows] == texts


def test_a_formula_is_text_in_html_as_well() -> None:
    """What is typeset, formulas and headings of numbers, holds no element but slanted letters and indices."""
    formulas = Formulas("<b>", (Formula("<i>", "a<b = c>&lt;d", "a"),))
    text = render(report(table(Column("<u> & W_x", np.ones(1))), formulas=(formulas,)), "html", Style())
    first, second = read_html(text)
    assert first == [["<i>", "a<b ", "= c>&lt;d"]]
    assert second[0] == ["t", "<u> & Wx"]


@given(st.lists(printable, min_size=1, max_size=4))
@examples(150)
def test_any_text_stays_in_its_markdown_cell(texts: list[str]) -> None:
    """A bar or a backslash in a cell makes no cell, and no tag, link, emphasis or formula begins there."""
    text = render(report(words(*texts)), "markdown", Style())
    ((_, *rows),) = read_markdown(text)
    assert [row[1] for row in rows] == texts
    cells = " ".join(text.splitlines()[4:-2]).replace("\\\\", "")
    assert not re.search(r"(?<!\\)[*<`$~]|(?<!\\)\]\(", cells)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=4))
@examples(150)
def test_no_text_is_a_formula_in_a_spreadsheet(texts: list[str]) -> None:
    """What begins like a formula stands behind an apostrophe, everything else comes back, and lines keep their fields."""
    ((head, *rows),) = read_csv(render(report(words(*texts)), "csv", Style()))
    assert head == ["table", "t", "name"]
    found = [row[2] for row in rows]
    assert [text.removeprefix("'") for text in found] == [text.removeprefix("'") for text in texts]
    assert not any(text[0] in "=+-@\t\r\n＝＋－＠" for text in found if len(text) > 1)


@given(st.lists(st.floats(width=32), min_size=1, max_size=5), st.booleans())
@examples(150)
def test_every_number_comes_back_to_the_last_bit(numbers: list[float], wide: bool) -> None:
    """From CSV and JSON lines, in its own format: negative ones without an apostrophe, NaN and infinities by name."""
    values = np.array(numbers, np.float64 if wide else np.float32)
    shown = report(table(Column("h", values)))
    from_csv = [row["h"] for row in csv.DictReader(io.StringIO(render(shown, "csv", Style(digits=1))))]
    from_lines = [row["h"] for row in json_lines(render(shown, "jsonl", Style(digits=1, max_rows=1)))]
    for found in (from_csv, from_lines):
        again = np.array([float(value) for value in found], values.dtype)
        np.testing.assert_array_equal(again, values)
        np.testing.assert_array_equal(np.signbit(again[~np.isnan(again)]), np.signbit(values[~np.isnan(values)]))
    assert [isinstance(value, str) for value in from_lines] == (~np.isfinite(values)).tolist()


def test_what_does_not_exist_is_empty_or_null() -> None:
    """A masked value is no NaN."""
    shown = report(table(GATE, STATE))
    found = [line.split(",")[1:] for line in render(shown, "csv", Style()).splitlines()]
    assert found == [["t", "f", "h"], ["0", "", "-1.5"], ["1", "0.25", "0.1"], ["2", "0.9", "nan"]]
    assert [list(row.values())[1:] for row in json_lines(render(shown, "jsonl", Style()))] == [
        [0, None, -1.5],
        [1, 0.25, 0.1],
        [2, 0.9, "nan"],
    ]


def test_tables_of_different_columns_share_one_header() -> None:
    """The first column names the table; a table without a column leaves it empty; a heading never stands there twice."""
    first = words("a", heading="biases")
    second = Table("second", (*words("b").columns, Column("name", np.array(["c"], object), Scale.WORD)))
    assert render(report(first, second), "csv", Style()).splitlines() == [
        "table,t,biases,name,name 2",
        "layer 0,0,a,,",
        "second,0,,b,c",
    ]
    assert json_lines(render(report(first, second), "jsonl", Style()))[1] == {
        "table": "second",
        "t": 0,
        "name": "b",
        "name 2": "c",
    }


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_rows_are_written_as_they_are_worked_out(format: str) -> None:
    """The first rows are there before the last are asked for, and a long block comes in pieces."""
    asked = []

    def blocks() -> Iterator[Table]:
        for number in range(3):
            asked.append(number)
            yield Table("", (Column("h", np.full(25_000, number)),))

    found = pieces(report(rows=Rows(("h",), blocks)), format, Style())
    if format == "csv":
        assert next(found) == "h\n"
    assert next(found).count("\n") == 10_000
    assert asked == [0]
    assert [piece.count("\n") for piece in found] == [10_000, 5_000, *[10_000, 10_000, 5_000] * 2]
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("format", ["markdown", "latex", "html"])
def test_out_of_tolerance_is_marked_by_more_than_colour(format: str) -> None:
    """One difference of three is out, and one mark beside it, the verdict's own apart."""
    marks = {"markdown": "** ✗", "latex": r"inf \ensuremath{\times}", "html": 'aria-label="out of tolerance"'}
    text = render(report(table(GATE, STATE, DELTA)), format, Style())
    assert text.count(marks[format]) == 1
    assert {"markdown": "**FAIL** at h", "latex": r"\textbf{FAIL} at h", "html": "<strong>✗ FAIL</strong> at h"}[format] in text


@pytest.mark.parametrize("format", ["markdown", "latex", "html"])
def test_long_tables_say_what_they_leave_out(format: str) -> None:
    """Ten of a hundred rows and a remark; with no limit every row, in LaTeX in tabulars that fit a page."""
    long = table(Column("h", np.arange(100) / 8))
    text = render(report(long), format, Style(max_rows=10))
    assert "90 of 100 rows left out" in text
    assert ["4.6" in text, "0.5000" in text, "12.3750" in text] == [False, True, True]
    whole = render(report(long), format, Style(max_rows=0))
    assert "left out" not in whole
    assert all(f"{number / 8:.4f}" in whole for number in range(100))
    assert whole.count(r"\begin{tabular}") == (3 if format == "latex" else 0)
    many = [table(GATE, title=f"item {number}") for number in range(30)]
    assert "18 tables left out" in render(report(*many), format, Style())


def test_shades_of_html() -> None:
    """Gates have one colour and signed values two, stronger with the value, up to 1; NaN and what is missing have none."""
    cells = re.findall(r'<td class="line ?([a-z]*\d?)">([^<]*)<', render(report(table(GATE, STATE)), "html", Style()))
    assert cells[0::2] == [("", ""), ("gate2", "0.2500"), ("gate5", "0.9000")]
    assert cells[1::2] == [("below6", "-1.5000"), ("above1", "0.1000"), ("", "nan")]


def test_a_fragment_styles_itself_alone() -> None:
    """For notebooks: one element, every rule of its style begins with its class or inside a notebook's theme."""
    text = fragment(report(table(GATE, STATE, DELTA), formulas=(FORMULAS,)), Style())
    assert text.startswith('<div class="rnntrace">')
    assert text.endswith("</div>\n")
    sheet = text.partition("<style>")[2].partition("</style>")[0]
    rules = re.findall(r"([^{}]+)\{[^{}]*\}", re.sub(r"@media[^{]*\{(.*)\}\n", r"\1\n", sheet))
    assert len(rules) > 20
    assert all(
        ".rnntrace" in selector.split()[0] or selector.split()[1] == ".rnntrace"
        for rule in rules
        for selector in rule.strip().split(",")
    )
    page = render(report(table(GATE, STATE, DELTA), formulas=(FORMULAS,)), "html", Style())
    body = text.partition("</style>\n")[2].removesuffix("</div>\n")
    assert body in page
    read_html(page)


def test_weights_are_matrices_in_latex() -> None:
    """A section of columns `W_if[0]`, `W_if[1]` and its bias; one that is too wide for a matrix stays a table."""

    def weights(width: int) -> Table:
        matrix = [Column(f"W_if[{k}]", np.array([k, -1.5]), section="W_if", group="W_if") for k in range(width)]
        return table(*matrix, Column("b_if", np.array([0.25, np.nan]), section="W_if", group="W_if"))

    text = render(report(weights(2)), "latex", Style(digits=1))
    assert (
        r"W_{if} &= \begin{bmatrix} 0.0 & 1.0 \\ -1.5 & -1.5 \end{bmatrix} & "
        r"b_{if} &= \begin{bmatrix} 0.2 \\ \text{nan} \end{bmatrix}"
    ) in text
    assert r"\begin{tabular}" not in text
    assert "bmatrix" not in render(report(weights(11)), "latex", Style())
    assert "bmatrix" not in render(report(table(STATE)), "latex", Style())


def test_tex_compiles_whatever_a_report_holds(tmp_path: Path) -> None:
    """Every letter of ASCII and Latin-1, ligatures, other scripts, wide tables, numbers that are none, and formulas."""
    texts = [*string.printable.strip(), *map(chr, range(0xA1, 0x180)), "--max-rows ---", "\\end{document}"]
    texts += ["模型 Ψ 🙂", "%x", "fₜ₋₁₀"]
    wide = table(*(Column(f"h{k}", np.full(3, -1e300), group=f"{k // 4}", section=f"{k // 4}") for k in range(40)))
    document = render(
        report(words(*texts), words("long " * 60), wide, table(GATE, STATE, DELTA, title="#_{ }"), formulas=(FORMULAS,)),
        "latex",
        Style(max_rows=0),
    )
    PARSERS["latex"](document)
    log = compile_latex(document, tmp_path)
    assert "Missing character" not in log
    assert "Overfull" not in log
