"""`--show input`: x as it was fed, in tables and in rows."""

import csv
import io

import numpy as np
import pytest
from commandline import ask

import rnntrace

ARGUMENTS = ("run", "gru", "-B", "2", "--lengths", "3,2", "-T", "3", "--seed", "1", "--batch-first")


def test_rows_hold_every_value_that_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """Once, to the last digit, by t from 1, item and feature; without steps behind the end of a sequence."""
    x = rnntrace.run("gru", batch=2, lengths=[3, 2], steps=3, seed=1, batch_first=True).inputs.x
    rows = [*csv.DictReader(io.StringIO(ask(capsys, *ARGUMENTS, "--show", "input", "-f", "csv").out))]
    found = {(int(row["t"]), int(row["item"]), int(row["unit"])): np.float32(row["replay"]) for row in rows}
    assert {row["symbol"] for row in rows} == {"x"}
    assert len(found) == len(rows) == 5 * 3
    assert all(value == x[t - 1, item, k] for (t, item, k), value in found.items())


def test_tables_have_a_row_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the items and times that are selected; `all` has them too."""
    x = rnntrace.run("gru", batch=2, lengths=[3, 2], steps=3, seed=1, batch_first=True).inputs.x
    lines = ask(capsys, *ARGUMENTS, "--show", "input", "--item", "1", "--time", "2:", "-f", "plain").out.splitlines()
    start = lines.index("x, the input · item 1")
    assert lines[start + 2].split() == ["2", *(f"{value:.4f}" for value in x[1, 1])]
    assert lines[start + 3] == ""
    assert "x, the input · item 0" not in lines
    assert "x, the input · item 0" in ask(capsys, *ARGUMENTS, "--show", "all").out
    assert "x, the input" not in ask(capsys, *ARGUMENTS).out
