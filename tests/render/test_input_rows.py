"""`--show input` in rows: x as it was fed."""

import csv
import io

import numpy as np
import pytest
from commandline import ask

import rnntrace


def test_rows_hold_every_value_that_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """Once, to the last digit, by t from 1, item and feature; without steps behind the end of a sequence."""
    x = rnntrace.run("gru", batch=2, lengths=[3, 2], steps=3, seed=1).inputs.x
    arguments = ("run", "gru", "-B", "2", "--lengths", "3,2", "-T", "3", "--seed", "1", "--show", "input", "-f", "csv")
    rows = [*csv.DictReader(io.StringIO(ask(capsys, *arguments).out))]
    found = {(int(row["t"]), int(row["item"]), int(row["unit"])): np.float32(row["replay"]) for row in rows}
    assert {row["symbol"] for row in rows} == {"x"}
    assert len(found) == len(rows) == 5 * 3
    assert all(value == x[t - 1, item, k] for (t, item, k), value in found.items())
