"""Tables as people have them: every way to write the same numbers gives the same array, and what is in doubt is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

import rnntrace
from rnntrace.errors import FileError
from rnntrace.files import read_tensors

ROWS = [[0.5, -1.25], [2.0, 3e-3]]
SAME = {
    "commas": "0.5,-1.25\n2.0,3e-3\n",
    "commas and blanks": "0.5, -1.25\n2.0, 3e-3\n",
    "commas and tabs": "0.5,\t-1.25\n2.0,\t3e-3\n",
    "semicolons": "0.5;-1.25\n2.0;3e-3\n",
    "tabs": "0.5\t-1.25\r\n2.0\t3e-3\r\n",
    "blanks": "  0.5  -1.25\n  2.0   3e-3\n",
    "numpy.savetxt": "# a b\n5.000000000000000000e-01 -1.250000000000000000e+00\n2.0 3.0e-03\n",
    "decimal commas": "a;b\n0,5;-1,25\n2,0;3e-3\n",
    "decimal commas and tabs": "0,5\t-1,25\n2\t0,003\n",
    "a heading": "left,right\n0.5,-1.25\n2.0,3e-3\n",
    "a title": "what I got\n0.5,-1.25\n2.0,3e-3\n",
    "a column of steps": "t;a;b\n1;0.5;-1.25\n2;2.0;3e-3\n",
    "steps in another order": "Step,a,b\n1,2.0,3e-3\n0,0.5,-1.25\n",
}


def read(text: str) -> dict[str, list[object]]:
    Path("x.csv").write_text(text, encoding="utf-8", newline="")
    return {name: array.tolist() for name, array in read_tensors(Path("x.csv")).arrays.items()}


@pytest.mark.parametrize("how", SAME)
def test_the_same_numbers(how: str) -> None:
    assert read(SAME[how]) == {"": ROWS}


@pytest.mark.parametrize(
    "heading", ["i0,i1,f0,f1", "i_0,i_1,f_0,f_1", "i[0],i[1],f[0],f[1]", "i1,i2,f1,f2", "t,i0,i1,f0,f1", "f1,i0,f0,i1"]
)
def test_headings_are_gates_by_unit(heading: str) -> None:
    columns = {"i": [[1, 2], [5, 6]], "f": [[3, 4], [7, 8]]}
    first = 0 if "0" in heading else 1

    def cell(name: str, t: int) -> int:
        return t if name == "t" else columns[name[0]][t][int(name.strip("ift_[]")) - first]

    rows = "\n".join(",".join(str(cell(name, t)) for name in heading.split(",")) for t in range(2))
    assert read(f"{heading}\n{rows}") == columns


def test_columns_of_steps_and_items_are_axes() -> None:
    """In whatever order the rows are: step by step, and item by item."""
    numbers = np.arange(12.0).reshape(3, 2, 2)
    rows = [(t, b, *numbers[t, b]) for b in (1, 0) for t in (2, 0, 1)]
    text = "t,item,x0,x1\n" + "\n".join(",".join(map(str, row)) for row in rows)
    assert read(text) == {"x": numbers.tolist()}


@pytest.mark.parametrize(
    "text",
    [
        "t=0 h: 0.5 -1.25\nt=1 h: 2.0 3e-3\n",
        "t = 1, h = [0.5, -1.25]\nt = 2, h = [2.0, 3e-3]\n",
        "step 0  h: (0.5; -1.25)\n\nstep 1  h: (2.0; 3e-3)",
    ],
)
def test_lines_of_printf(text: str) -> None:
    assert read(text) == {"h": ROWS}


def test_lines_of_printf_with_several_symbols() -> None:
    assert read("t=0 i: 1 2 f: 3 4\nt=1 i: 5 6 f: 7 8") == {"i": [[1, 2], [5, 6]], "f": [[3, 4], [7, 8]]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,234;5,678\n1,234;5,678", "row 1 has '1,234'"),
        ("1,234;5,678\n1;5\n", "row 1 has '1,234'"),
        ("# 1 2\n3 4", "row 1 has '#'"),
        ("1,5;2.5\n0,5;1.5", "row 1 has '1,5'"),
        ("t,x0\n1,5\n3,6", "column 't' should count the steps"),
        ("t,x0\n0,5\n0,6", "column 't' should count the steps"),
        ("time,x0\n0.1,5\n0.2,6", "column 'time' should count the steps"),
        ("t,item,x0\n0,0,1\n1,0,2\n0,1,3", "column 't' should count the steps"),
        ("item,x0\n0,1\n1,2", "headings should name one column that counts the steps"),
        ("i0,i1,f0,f2\n1,2,3,4", "columns of f are numbered 0, 2"),
        ("i0,i2,i3\n1,2,3", "columns of i are numbered 0, 2, 3"),
        ("t\n0\n1", "columns of numbers beside those that count"),
        ("t=0 h: 1\nt=2 h: 2", "lines of h should count the steps"),
        ("t=0 h: 1\nt=1 h: 2 3", "lines of h should have as many numbers"),
        ("t=0 h: 1\nt=1 h: x", "line 2 has 'x'"),
        ("t=0 h: 1\nt=1 h: 2\n3 4", "line 3 should be as the first"),
    ],
)
def test_what_is_in_doubt_is_refused(text: str, message: str) -> None:
    with pytest.raises(FileError) as caught:
        read(text)
    assert message in str(caught.value)


def test_a_table_of_gates_is_judged() -> None:
    """As printed to four decimals: right ones pass as rounded, and with two gates exchanged they fail."""
    torch.manual_seed(1)
    module = torch.nn.LSTM(3, 2)
    x = np.round(np.random.default_rng(1).normal(size=(4, 3)), 2)
    traced = rnntrace.trace(module.double(), x)
    for symbols, passes in (("ifgo", True), ("figo", False)):
        heading = "t\t" + "\t".join(f"{symbol}{unit + 1}" for symbol in symbols for unit in range(2))
        gates = np.concatenate([traced.trace[symbol][:, 0] for symbol in "ifgo"], axis=1)
        rows = ["\t".join([str(t), *(f"{value:.4f}" for value in row)]) for t, row in enumerate(gates)]
        Path("gates.tsv").write_text("\n".join([heading, *rows]).replace(".", ","))
        found = rnntrace.compare(module, x, expected="gates.tsv")
        assert found.passed is passes, symbols
