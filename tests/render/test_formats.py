"""Every command in every output format, through the command line, read by parsers that share no code with it."""

import csv
import inspect
import io
import json
import os
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from commandline import ask, refused
from parsers import PARSERS, compile_latex, json_lines

from rnntrace.cli.app import app
from rnntrace.cli.choices import Format
from rnntrace.render import DATA, RENDERERS

WEIGHTS = {
    "weight_ih_l0": [[0.5], [-0.25], [1.0], [0.75], [-1.5], [0.5], [0.25], [-0.5]],
    "weight_hh_l0": [[0.5, 0], [0.25, -0.5], [0, 1], [0.5, 0.5], [-0.25, 0.75], [1, 0], [0.5, -1], [0, 0.25]],
    "bias_ih_l0": [0.5, 0, 1, 1, 0, 0.25, -0.5, 0.5],
    "bias_hh_l0": [0, 0, 0, 0, 0, 0, 0, 0],
}
"""An LSTM(1, 2)."""
TWO = {f"{prefix}.{name}": array for prefix in ("=encoder|<b>", "decoder") for name, array in WEIGHTS.items()}
"""Two modules, one under a name that every format has to escape."""

COMMANDS = {
    "run": ["lstm", "-b", "-l", "2", "--lengths", "4,2", "-B", "2", "--proj-size", "1", "--seed", "1", "--show", "all"],
    "compare": ["two.json", "--seed", "1"],
    "inspect": ["two.json", "--weights"],
    "backward": ["lstm", "-b", "--lengths", "4,2", "-B", "2", "--proj-size", "1", "--seed", "1", "--show", "all"],
    "show": ["trace.npz"],
    "layouts": ["keras"],
    "cells": [],
    "doctor": [],
    "explain": ["gru"],
    "exercise": ["check", "exercise.toml"],
    "diagnose": ["mistaken.npz"],
    "mistakes": ["gru"],
}
"""Arguments of each command that has --format."""
PLAYED = ("run", "compare", "backward", "show")
"""Commands that have a page, of numbers over time."""
GOLDEN = Path(__file__).parents[1] / "golden"


def commands() -> list[str]:
    """Those that there are, and that have --format; grades and worksheets have formats of their own."""
    found = [(command.name or "", command.callback) for command in app.registered_commands]
    named = [(name or callback.__name__, callback) for name, callback in found if callback]
    flags = {name: inspect.signature(callback).parameters.get("format") for name, callback in named}
    return [name for name, flag in flags.items() if flag and get_args(flag.annotation)[0] is Format]


@pytest.fixture
def files(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The files that the commands read."""
    (folder / "one.json").write_text(json.dumps(WEIGHTS))
    (folder / "two.json").write_text(json.dumps(TWO))
    ask(capsys, "exercise", "new", "lstm")
    ask(capsys, "run", "gru", "--seed", "1", "--quiet", "--save", "trace.npz")
    ask(capsys, "run", "lstm", "--seed", "1", "--quiet", "--mistake", "gate-order.iofc", "--save", "mistaken.npz")
    return folder


def test_formats_are_those_that_there_are() -> None:
    """The flag, the registry and the parsers of this test name the same formats, and every command is tried."""
    assert [str(format) for format in Format] == list(RENDERERS) == list(PARSERS)
    assert set(commands()) <= set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("format", RENDERERS)
@pytest.mark.parametrize("command", commands())
def test_every_command_in_every_format(command: str, format: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is well formed, it is the same in a file, and TeX makes a document of it."""
    arguments = [command, *COMMANDS[command], "--format", format]
    if format == "page" and command not in PLAYED:
        assert "there are none here: choose --format html" in refused(capsys, *arguments)
        return
    answer = ask(capsys, *arguments)
    assert answer.code == 0
    assert [line for line in answer.err.splitlines() if not line.startswith("rnntrace: to replay ")] == []
    tables = PARSERS[format](answer.out)
    if format in ("csv", "jsonl", "markdown", "html"):
        assert any(len(table) > 1 for table in tables)
    written = ask(capsys, *arguments, "--output", "written")
    assert (written.code, written.out) == (0, "")
    assert (files / "written").read_bytes().decode() == answer.out
    if format == "latex":
        log = compile_latex(answer.out, files)
        assert not re.search(r"Missing character|Overfull .hbox \(([2-9]\d|\d{3})", log)


@pytest.mark.parametrize("format", RENDERERS)
def test_quiet_prints_the_verdict_alone(format: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Formats for programs stay whole: half a document helps nobody."""
    whole = ask(capsys, "show", "trace.npz", "-f", format).out
    quiet = ask(capsys, "show", "trace.npz", "-f", format, "--quiet").out
    verdict = ask(capsys, "show", "trace.npz", "--quiet").out
    assert quiet == (whole if format in DATA else verdict)
    assert verdict.count("\n") == 1


RUNS = {
    "packed": ["lstm", "-b", "-l", "2", "--lengths", "4,2", "-B", "2", "--proj-size", "1", "--h0", "random"],
    "float64": ["gru", "--dtype", "float64", "--batch-first", "-B", "2"],
    "half": ["rnn", "--dtype", "bfloat16"],
    "cell": ["lstm-cell", "--unbatched", "--c0", "random"],
}


@pytest.mark.parametrize("name", RUNS)
def test_rows_are_the_values_of_the_json_document(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every value of trace and framework stands in one row with its place, to the last bit, and no other row is there."""
    arguments = ["run", *RUNS[name], "--seed", "3"]
    whole = json.loads(ask(capsys, *arguments, "--format", "json").out)
    dtype = np.dtype(whole["replay"]["dtype"])
    expected: dict[tuple[Any, ...], tuple[Any, Any]] = {}
    for entry in whole["trace"]:
        for t, items in enumerate(entry["values"], 1):
            for item, units in enumerate(items):
                for unit, value in enumerate(units or []):
                    if value is not None:
                        theirs = entry["framework"] and entry["framework"][t - 1][item][unit]
                        place = (entry["layer"], entry["direction"], t, item, unit, entry["symbol"])
                        expected[place] = (value, theirs)
    rows = json_lines(ask(capsys, *arguments, "--format", "jsonl").out)
    found = {tuple(row[key] for key in ("layer", "direction", "t", "item", "unit", "symbol")): row for row in rows}
    assert len(found) == len(rows)
    assert {place for place in found if place[2]} == set(expected)
    for place, (mine, theirs) in expected.items():
        row = found[place]
        assert dtype.type(row["replay"]) == dtype.type(mine)
        assert (row["framework"] is None) == (theirs is None)
        if theirs is not None:
            assert dtype.type(row["framework"]) == dtype.type(theirs)
            assert row["difference"] == abs(float(dtype.type(mine)) - float(dtype.type(theirs)))
    for place in (place for place in found if place[2] == 0):
        assert place[5] in ("h", "c")
        assert found[place]["difference"] is None


@pytest.mark.parametrize("name", RUNS)
def test_csv_and_json_lines_hold_the_same(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Row by row, with an empty field for null; a float has no more digits than its format needs."""
    arguments = ["run", *RUNS[name], "--seed", "3", "--show", "all"]
    lines = json_lines(ask(capsys, *arguments, "--format", "jsonl").out)
    table = list(csv.DictReader(io.StringIO(ask(capsys, *arguments, "--format", "csv").out)))
    assert list(table[0]) == ["layer", "direction", "t", "item", "unit", "symbol", "replay", "framework", "difference"]
    assert table == [{key: "" if value is None else str(value) for key, value in line.items()} for line in lines]
    if name == "packed":
        assert all(len(row["replay"].lstrip("-0.").partition("e")[0]) <= 10 for row in table)


def test_flags_select_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """--layer, --time, --unit, --item and --show leave those rows that they name; digits and lengths do nothing."""
    arguments = ["run", "lstm", "-l", "2", "-B", "3", "--seed", "1", "--format", "jsonl"]
    whole = json_lines(ask(capsys, *arguments, "--show", "all").out)
    flags = ["--layer", "1", "--time", "0:2", "--unit", "1", "--item", "0,2", "--show", "states", "--digits", "1"]
    chosen = json_lines(ask(capsys, *arguments, *flags, "--max-rows", "1").out)
    assert chosen == [
        row
        for row in whole
        if row["layer"] == 1 and row["t"] in (0, 1, 2) and row["unit"] == 1 and row["item"] in (0, 2)
        if row["symbol"] in ("c", "h")
    ]
    assert len(chosen) == 12
    symbols = {row["symbol"] for row in whole}
    assert {"W_ii[2]", "b_hg", "i.input", "o.recurrent", "f", "h", "output", "h_n", "c_n"} <= symbols


def test_rows_of_outputs_are_the_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    """output, h_n and c_n by layer and direction hold what the module returns, in torch's order."""
    arguments = ["run", *RUNS["packed"], "--seed", "3"]
    outputs = json.loads(ask(capsys, *arguments, "--format", "json").out)["outputs"]
    rows = json_lines(ask(capsys, *arguments, "--show", "outputs", "--format", "jsonl").out)
    directions = ("forward", "reverse")
    assert len(rows) == sum(np.size(values) for values in outputs.values())
    for row in rows:
        number, item, unit = directions.index(row["direction"]), row["item"], row["unit"]
        if row["symbol"] == "output":
            assert row["layer"] == 1
            value = outputs["output"][row["t"] - 1][item][number + unit]
        else:
            value = outputs[row["symbol"]][2 * row["layer"] + number][item][unit]
            assert row["t"] == (1 if number else (4, 2)[item])
        assert np.float32(row["replay"]) == np.float32(value)


def test_modules_of_a_file_are_told_apart(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With several modules every row names its own; a name that a spreadsheet would compute stands behind an apostrophe."""
    arguments = ["compare", "two.json", "--seed", "1"]
    table = list(csv.DictReader(io.StringIO(ask(capsys, *arguments, "--format", "csv").out)))
    assert [*dict.fromkeys(row["module"] for row in table)] == ["'=encoder|<b>", "decoder"]
    lines = json_lines(ask(capsys, *arguments, "--format", "jsonl").out)
    assert [*dict.fromkeys(row["module"] for row in lines)] == ["=encoder|<b>", "decoder"]


def test_nothing_selected_is_a_header_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """An RNN has no gates: CSV still says which columns there are, JSON lines are none."""
    arguments = ["run", "rnn", "--seed", "1", "--show", "gates", "--format"]
    assert ask(capsys, *arguments, "csv").out == "layer,direction,t,item,unit,symbol,replay,framework,difference\n"
    assert ask(capsys, *arguments, "jsonl").out == ""


# The data of a page are last bits.
@pytest.mark.parametrize("format", [name for name in RENDERERS if name != "page"])
def test_golden(format: str, files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A small LSTM beside outputs that are wrong looks as it did; RNNTRACE_WRITE_GOLDEN=1 writes how it looks now."""
    monkeypatch.setenv("COLUMNS", "80")
    outputs = '{"output": [[[-0.2537, 0.1356]], [[0.5, -0.2767]]], "h_n": [[[0.5, -0.2767]]], "c_n": [[[0.1508, -0.35]]]}'
    flags = ["--input", "[[[1]], [[-2]]]", "--expected", outputs, "--atol", "1e-3", "--show", "all"]
    answer = ask(capsys, "compare", "one.json", *flags, "--format", format)
    assert answer.code == 1
    assert answer.err.startswith("rnntrace: to look for the mistake: rnntrace diagnose one.json ") == (
        format in ("table", "plain")
    )
    text = re.sub("<style>.*</style>", "<style>…</style>", answer.out, flags=re.DOTALL)
    # Versions differ, and the last bit does between machines.
    text = re.sub(r'("(?:rnntrace|numpy)": )"[^"]*"', r'\1"…"', text)
    text = re.sub(r"-?\d+\.\d*(e-?\d+)?", lambda number: _short(number[0]), text)
    path = GOLDEN / f"lstm.{format}"
    if os.environ.get("RNNTRACE_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def _short(number: str) -> str:
    """A number that is written in full, in eight digits."""
    return f"{float(number):.8g}" if len(number) > 12 else number
