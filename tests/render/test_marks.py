"""Both sides beside each other: what is wrong is marked where it stands, on the side that is judged; x is shown too."""

import numpy as np
import pytest
import torch
from torch import nn

import rnntrace
from rnntrace.engine.judge.result import Result
from rnntrace.report.outputs import input_tables, output_tables
from rnntrace.report.select import View
from rnntrace.report.table import Column, Table
from rnntrace.report.trace import trace_tables


def columns_of(table: Table) -> dict[str, Column]:
    """By heading."""
    return {column.heading: column for column in table.columns}


def marked(table: Table) -> dict[str, list[tuple[int, int]]]:
    """(t, unit) of what is marked, by heading."""
    t, unit = (table.columns[k].values for k in range(2))
    return {
        name: [(int(t[row]), int(unit[row])) for row in np.flatnonzero(column.flagged)]
        for name, column in columns_of(table).items()
        if column.flagged is not None and column.flagged.any()
    }


@pytest.fixture
def handed_in() -> Result:
    """An LSTM, and gates of somebody, of whose f one value is wrong, and of whose c another one."""
    torch.manual_seed(0)
    module, x = nn.LSTM(3, 2), torch.randn(4, 1, 3)
    right = rnntrace.trace(module, x)
    values = {symbol: right.trace[symbol, 0, "forward"].copy() for symbol in "ifgoch"}
    values["f"][1, 0, 1] += 0.25
    values["c"][2, 0, 0] -= 0.5
    return rnntrace.compare(module, input=x, expected=values)  # type: ignore[return-value]


def test_the_wrong_gate_is_marked_on_the_side_that_is_judged(handed_in: Result) -> None:
    """The hand-in's f at t = 2 and c at t = 3; the difference of the row says of which symbol it is."""
    (table,) = trace_tables(handed_in, View())
    rows = {"expected f": [(2, 1)], "expected c": [(3, 0)], "|Δ|": [(2, 1), (3, 0)]}
    found = marked(table)
    # What follows from a wrong state is wrong by itself, as the trajectory has it.
    assert {name: found[name][:1] for name in ("expected f", "expected c")} == {name: rows[name] for name in list(rows)[:2]}
    assert not [name for name in found if not name.startswith("expected") and name != "|Δ|"]
    where = {(int(t), int(unit)): row for row, (t, unit) in enumerate(zip(*(c.values for c in table.columns[:2]), strict=True))}
    symbols = columns_of(table)["in"].values
    assert (symbols[where[2, 1]], symbols[where[3, 0]], symbols[where[0, 0]]) == ("f", "c", "")
    apart = columns_of(table)["|Δ|"].values
    assert [round(float(apart[where[place]]), 2) for place in ((2, 1), (3, 0))] == [0.25, 0.5]


def test_beside_torch_the_replay_is_marked() -> None:
    """It is the one that is judged."""
    result = rnntrace.run("lstm", seed=1, mistake="lstm.gate-order.iofc")
    (table,) = trace_tables(result, View())
    found = marked(table)
    assert (1, 0) in found["f"]
    assert not [name for name in found if name.startswith("torch")]


def test_nothing_is_marked_in_a_pass() -> None:
    """And no column tells of what."""
    (table,) = trace_tables(rnntrace.run("lstm", seed=1), View())
    assert (marked(table), "in" in columns_of(table)) == ({}, False)


def test_a_wrong_output_is_marked() -> None:
    """In its own table too."""
    module, x = nn.GRU(3, 2), torch.randn(4, 1, 3)
    output = module(x)[0].detach().numpy().copy()
    output[2, 0, 1] += 1
    result = rnntrace.compare(module, input=x, expected={"output": output})
    table = next(output_tables(result, View(frozenset({"outputs"}))))  # type: ignore[arg-type]
    flags = columns_of(table)["expected"].flagged
    assert flags is not None
    assert np.flatnonzero(flags).tolist() == [5]


def test_the_input_is_shown() -> None:
    """Of each item as many steps as it has, in the view."""
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    result = rnntrace.run("rnn", input=x, lengths=[4, 2], batch=2, seed=1)
    tables = [*input_tables(result, View(frozenset({"input"})))]
    for item, length in enumerate((4, 2)):
        columns = columns_of(tables[item])
        assert columns["t"].values.tolist() == [*range(1, length + 1)]
        assert all(np.array_equal(columns[f"x[{k}]"].values, x[:length, item, k].astype(float)) for k in range(3))
    (part,) = input_tables(result, View(frozenset({"input"}), times=[2, 3], items=[1]))
    assert columns_of(part)["t"].values.tolist() == [2]
    assert [*input_tables(result, View())] == []
