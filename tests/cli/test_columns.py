"""`--columns`: which columns of a table are whose, counted from 1, for what is fed and for what is judged."""

from pathlib import Path

import numpy as np
import pytest
import torch

import rnntrace
from rnntrace.cli.app import exit_code

T, INPUTS, H = 5, 2, 3


@pytest.fixture(autouse=True)
def dump() -> np.ndarray:
    """m.pt, and dump.csv without headings: t, x (2 columns), i (3), h (3), a time stamp. Torch gives h, its equation i."""
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(INPUTS, H, dtype=torch.float64)
    torch.save(lstm.state_dict(), "m.pt")
    x = torch.randn(T, 1, INPUTS, dtype=torch.float64)
    with torch.no_grad():
        h = lstm(x)[0]
        before = torch.cat([torch.zeros(1, 1, H, dtype=torch.float64), h[:-1]])
        gates = x @ lstm.weight_ih_l0.T + before @ lstm.weight_hh_l0.T + lstm.bias_ih_l0 + lstm.bias_hh_l0
    parts = [torch.arange(T)[:, None].double(), x[:, 0], torch.sigmoid(gates[:, 0, :H]), h[:, 0], torch.full((T, 1), 17.0)]
    table: np.ndarray = torch.cat(parts, dim=1).numpy()
    np.savetxt("dump.csv", table, delimiter=",", fmt="%.17g")
    return table


FED = ("compare", "m.pt", "--input", "dump.csv", "--expected", "dump.csv")


def test_one_table_is_fed_and_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """x is fed, h and i are judged, and what nobody named is said to be left out."""
    assert exit_code([*FED, "--columns", "t=1, x=2-3, i=4-6, h=7-9", "-q"]) == 0
    captured = capsys.readouterr()
    assert "judged: h, i" in captured.out.replace("judged: i, h", "judged: h, i")
    assert "column 10" in captured.err


@pytest.mark.parametrize(
    "wrong", ["x=2-3, i=7-9, h=4-6", "x=2-3, h=4-6", "x=3-4, h=7-9", "x=2-3, f=4-6, h=7-9", "x=1-2, h=7-9"]
)
def test_other_columns_fail(wrong: str) -> None:
    """Those of another symbol, or one to the side, are no pass."""
    assert exit_code([*FED, "--columns", wrong, "-q"]) == 1


def test_a_wrong_number_is_found_where_it_stands(dump: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    """Row 3 of the table is t = 3, column 5 is unit 1 of i; a column that nobody named may hold anything."""
    dump[2, 4] += 0.01
    dump[:, 9] = 99.0
    np.savetxt("dump.csv", dump, delimiter=";", fmt="%.17g")
    assert exit_code([*FED, "--columns", "x=2-3,i=4-6,h=7-9", "-q"]) == 1
    assert "i, t=3, unit 1" in capsys.readouterr().out.replace("item 0, ", "")


def test_rows_are_ordered_by_the_column_of_steps(dump: np.ndarray) -> None:
    """Without it, rows in another order are other steps."""
    np.savetxt("dump.csv", dump[::-1], delimiter=",", fmt="%.17g")
    assert exit_code([*FED, "--columns", "t=1,x=2-3,h=7-9", "-q"]) == 0
    np.savetxt("y.csv", dump[::-1], delimiter=",", fmt="%.17g")
    np.save("x.npy", dump[:, None, 1:3])
    assert exit_code(["compare", "m.pt", "--input", "x.npy", "--expected", "y.csv", "--columns", "h=7-9", "-q"]) == 1


def test_diagnose_and_python(dump: np.ndarray) -> None:
    """The same flag for the search, and the same keyword."""
    lstm = torch.nn.LSTM(INPUTS, H, dtype=torch.float64)
    weights = torch.load("m.pt")
    swapped = {name: torch.cat([one[H : 2 * H], one[:H], one[2 * H :]]) for name, one in weights.items()}
    lstm.load_state_dict(swapped)
    with torch.no_grad():
        dump[:, 6:9] = lstm(torch.from_numpy(dump[:, None, 1:3]))[0][:, 0]
    np.savetxt("turned.csv", dump, delimiter=",", fmt="%.17g")
    result = rnntrace.compare("m.pt", "dump.csv", expected="dump.csv", columns="x=2-3,h=7-9")
    assert result.passed
    found = rnntrace.diagnose("m.pt", "dump.csv", "turned.csv", columns="x=2-3,h=7-9")
    assert found.explained


@pytest.mark.parametrize(
    ("given", "expected", "words"),
    [
        ("h=7-11", "dump.csv", ("ends at column 11", "has 10")),
        ("h=0-2", "dump.csv", ("from 1", "h=0-2")),
        ("h=9-7", "dump.csv", ("h=9-7",)),
        ("h", "dump.csv", ("h=3-10",)),
        ("h=4-6,i=6-8", "dump.csv", ("column 6", "h", "i")),
        ("h=4-6,h=7-9", "dump.csv", ("twice", "h")),
        ("h=7-9,output=4-6,Y=2-3", "dump.csv", ("both mean output",)),
        ("memory=4-6,h=7-9", "dump.csv", ("--columns", "memory")),
        ("t=1", "dump.csv", ("no other column",)),
        ("h=7-9", "y.npy", ("table of text",)),
        ("x=1-2", "y.npy", ("table of text",)),
        ("h=4-5", "dump.csv", ("shape",)),
    ],
)
def test_what_is_refused(
    dump: np.ndarray, given: str, expected: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line that says what was expected; x comes from an array."""
    np.save("x.npy", dump[:, None, 1:3])
    np.save("y.npy", dump[:, None, 6:9])
    assert exit_code(["compare", "m.pt", "--input", "x.npy", "--expected", expected, "--columns", given, "-q"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    for word in words:
        assert word in error


def test_a_table_without_headings_asks_for_it(dump: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", dump[:, None, 1:3])
    assert exit_code(["compare", "m.pt", "--input", "x.npy", "--expected", "dump.csv"]) == 2
    assert "--columns" in capsys.readouterr().err


def test_headings_that_count_are_read_beside_it(dump: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    """A heading t orders the rows, and is no unit of anything."""
    Path("y.csv").write_text("step,a,b,c\n" + "\n".join(",".join(map(str, [t, *dump[t, 6:9]])) for t in reversed(range(T))))
    np.save("x.npy", dump[:, None, 1:3])
    fed = ("compare", "m.pt", "--input", "x.npy", "--expected", "y.csv", "-q", "--columns")
    assert exit_code([*fed, "h=2-4"]) == 0
    assert exit_code([*fed, "h=1-3"]) == 2
    assert "column 1" in capsys.readouterr().err
