"""How a report looks, on a report written by hand: golden text at pinned widths, and laws that hold at any width."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntrace.render import Style, render
from rnntrace.render.json import plain
from rnntrace.render.layout import flow, margin
from rnntrace.render.numbers import cells, head_and_tail, notation
from rnntrace.report.table import Column, Report, Scale, Table

GATES = np.ma.array([0.0, 0.25, 0.5], mask=[True, False, False])


def table(*, flagged: bool = False) -> Table:
    """Three rows, of which the first has no gates; two sections."""
    return Table(
        "layer 0 · forward · item 0",
        (
            Column("t", np.array([0, 1, 2]), Scale.INDEX),
            Column("unit", np.array([0, 0, 0]), Scale.INDEX),
            Column("i", GATES, Scale.UNIT, "gates", "gates"),
            Column("torch i", GATES, Scale.UNIT, "gates", "framework gates"),
            Column("h", np.array([0.0, -0.12345, 1.5]), Scale.SIGNED, "states", "states"),
            Column(
                "|Δ|",
                np.ma.array([0, 3e-8, 0.25], mask=[True, False, False]),
                Scale.DIFFERENCE,
                "states",
                "difference",
                np.array([False, False, flagged]),
            ),
        ),
    )


def report(*tables: Table, passed: bool = True) -> Report:
    """A report with a headline of two lines."""
    return Report(
        headline=((("LSTM(3, 1)", "1 layer"), ("torch 2", "cpu")), (("x: normal",), ())),
        tables=tables,
        conclusion=("PASS  every value within rtol 1, atol 2", "worst |Δ| 3.0e-08 (h, t=1, unit 0)"),
        passed=passed,
        document={"values": np.array([1.0, np.nan]), "masked": np.ma.array([1.0, 2.0], mask=[False, True]), "text": "h[t-1]"},
    )


WIDE = """\
LSTM(3, 1) · 1 layer                                               torch 2 · cpu
x: normal

layer 0 · forward · item 0
  t  unit │       i │  torch i │        h │      |Δ|
  0     0 │         │          │   0.0000 │
  1     0 │  0.2500 │   0.2500 │  -0.1235 │  3.0e-08
  2     0 │  0.5000 │   0.5000 │   1.5000 │  2.5e-01

PASS  every value within rtol 1, atol 2 · worst |Δ| 3.0e-08 (h, t=1, unit 0)
"""

NARROW = """\
LSTM(3, 1) · 1 layer   torch 2 · cpu
x: normal

layer 0 · forward · item 0
 t unit │      i │ torch i
 1    0 │ 0.2500 │  0.2500
 2    0 │ 0.5000 │  0.5000

layer 0 · forward
  item 0 (continued)
 t unit │       h │     |Δ|
 0    0 │  0.0000 │
 1    0 │ -0.1235 │ 3.0e-08
 2    0 │  1.5000 │ 2.5e-01

PASS  every value within rtol 1,
  atol 2
  worst |Δ| 3.0e-08 (h, t=1, unit 0)
"""

PLAIN = """\
LSTM(3, 1) · 1 layer    torch 2 · cpu
x: normal

layer 0 · forward · item 0
t  unit       i  torch_i        h       |Δ|
0     0       -        -   0.0000         -
1     0  0.2500   0.2500  -0.1235   3.0e-08
2     0  0.5000   0.5000   1.5000  2.5e-01!

PASS  every value within rtol 1, atol 2 · worst |Δ| 3.0e-08 (h, t=1, unit 0)
"""


@pytest.mark.parametrize(("width", "golden"), [(80, WIDE), (36, NARROW)])
def test_table_at_pinned_widths(width: int, golden: str) -> None:
    """Wide enough, a table stands in one block; else it is split by sections, and its title says so."""
    assert render(report(table()), "table", Style(width=width)) == golden


def test_table_without_limit_is_the_wide_one() -> None:
    """Off a terminal the table has its natural width and the right part follows the left."""
    unlimited = render(report(table()), "table", Style())
    assert unlimited.splitlines()[3:] == WIDE.splitlines()[3:]
    assert unlimited.splitlines()[0] == "LSTM(3, 1) · 1 layer    torch 2 · cpu"


def test_plain() -> None:
    """Plain text has every row, a field for every column, and marks what is out of tolerance with !."""
    assert render(report(table(flagged=True)), "plain", Style()) == PLAIN


def test_out_of_tolerance_is_marked_without_colour() -> None:
    """A cross stands behind a difference that is out of tolerance, in that row only."""
    lines = render(report(table(flagged=True)), "table", Style(width=80)).splitlines()
    assert [line.endswith("2.5e-01 ✗") for line in lines].count(True) == 1
    assert "✗" not in render(report(table()), "table", Style(width=80))


def test_colour_only_when_asked() -> None:
    """No control code without colour; with colour, the same text between the codes."""
    import re

    bare = render(report(table()), "table", Style(width=80))
    coloured = render(report(table()), "table", Style(width=80, color=True))
    assert "\x1b" not in bare
    assert "\x1b[" in coloured
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()]
    assert lines == bare.splitlines()


def test_long_tables_keep_head_and_tail() -> None:
    """Of 100 rows ten are shown, and it is said how many are not and which flag shows them."""
    long = Table("long", (Column("t", np.arange(100), Scale.INDEX), Column("h", np.arange(100) / 100, section="h", group="h")))
    text = render(report(long), "table", Style(width=80, max_rows=10))
    assert "… 90 of 100 rows left out: `max_rows=0` shows all" in text
    assert [f" {t} │" in text for t in (4, 5, 94, 95)] == [True, False, False, True]
    assert "left out" not in render(report(long), "table", Style(width=80, max_rows=0))
    assert "left out" not in render(report(long), "plain", Style(max_rows=10))


def test_many_tables_keep_first_and_last() -> None:
    """Of 30 tables twelve are shown, and it is said which flags choose others."""
    many = [Table(f"item {k}", table().columns) for k in range(30)]
    text = render(report(*many), "table", Style(width=80))
    assert "… 18 tables left out: choose with `layer` and `item`" in text
    assert [f"item {k}\n" in text for k in (0, 5, 6, 23, 24, 29)] == [True, True, False, False, True, True]


def test_json_is_strict() -> None:
    """NaN becomes a string, what does not exist null, and brackets stay."""
    text = render(report(table()), "json", Style(digits=1))
    assert json.loads(text, parse_constant=pytest.fail) == {"values": [1.0, "nan"], "masked": [1.0, None], "text": "h[t-1]"}
    assert text.endswith("}\n")


@pytest.mark.slow
@given(
    st.recursive(
        st.floats() | st.integers() | st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
@settings(max_examples=200, deadline=None)
def test_any_document_is_valid_json(document: object) -> None:
    """Whatever floats and strings a document holds, a strict parser reads it."""
    json.loads(json.dumps(plain(document), allow_nan=False), parse_constant=pytest.fail)


numbers = st.floats(-1e9, 1e9) | st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e300, 1e-300])


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.text("abc xyz", min_size=1, max_size=9), st.sampled_from("AB"), st.sampled_from("pq")),
        min_size=1,
        max_size=9,
    ),
    st.integers(1, 5),
    st.integers(40, 120),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_no_number_is_lost_and_no_line_too_wide(
    headings: list[tuple[str, str, str]], rows: int, width: int, data: st.DataObject
) -> None:
    """At any width every number of every column is printed whole, and no line is wider than the terminal."""
    columns = [Column("t", np.arange(rows), Scale.INDEX)]
    for heading, section, group in sorted(headings, key=lambda entry: entry[1:]):
        values = np.array(data.draw(st.lists(numbers, min_size=rows, max_size=rows)))
        columns.append(Column(heading, values, Scale.SIGNED, section, section + group))
    text = render(report(Table("table", tuple(columns))), "table", Style(width=width))
    assert max(map(len, text.splitlines())) <= width
    for column in columns[1:]:
        for number in cells(column, 4, notation(columns)):
            assert number in text.split()


def test_numbers_in_one_table_have_one_notation() -> None:
    """From a million on, the whole table is scientific, so that both sides can be compared by eye."""
    small, large = Column("h", np.array([0.5, np.inf])), Column("torch h", np.array([0.5, 1e6]))
    assert (notation([small]), notation([small, large])) == ("f", "e")
    assert cells(small, 2, "e") == ["5.00e-01", "inf"]
    assert cells(small, 2, "f") == ["0.50", "inf"]
    assert cells(Column("d", np.array([0.0, 1e-9]), Scale.DIFFERENCE), 2, "f") == ["0", "1.0e-09"]


@given(st.integers(0, 50), st.integers(0, 60))
def test_head_and_tail(count: int, most: int) -> None:
    """What is shown are the first and last entries, in order, as many as may be; the rest is counted."""
    shown, left_out = head_and_tail(count, most)
    assert list(shown) == sorted(set(shown))
    assert len(shown) + left_out == count
    if left_out:
        assert len(shown) == most
        assert {0, count - 1} <= set(shown) or most == 1


@given(
    st.lists(st.text("ab ", min_size=1, max_size=30).map(str.strip).filter(bool), min_size=1, max_size=6), st.integers(34, 60)
)
def test_flow_keeps_every_part_whole_where_it_fits(parts: list[str], width: int) -> None:
    """Lines stay within the width and hold the parts in order."""
    lines = flow(parts, width)
    assert all(len(line) <= width for line in lines)
    assert "".join("".join(lines).replace("·", "").split()) == "".join("".join(parts).split())


def test_margin_moves_to_a_line_of_its_own() -> None:
    """Without room the right part stands below."""
    assert margin(["left"], ["on the", "right"], 26) == ["left" + "on the · right".rjust(22)]
    assert margin(["left"], ["on the", "right"], 10) == ["left", "on the", "  right"]
