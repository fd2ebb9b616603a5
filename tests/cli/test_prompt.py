"""What people type on their first day: torch's notation works, and a line says what to type in place of a misuse."""

import json
from pathlib import Path

import pytest
from commandline import all_in, ask, refused

from rnntrace.cli.advice import MEANT
from rnntrace.cli.app import _command
from rnntrace.cli.help import ALL, EXAMPLES
from rnntrace.cli.notation import in_flags
from rnntrace.model.spec import ModuleSpec

MISUSES = {
    "lstm": "did you mean: rnntrace run lstm",
    "LSTM(3,2)": "did you mean: rnntrace run 'LSTM(3,2)'",
    "nn.GRU(3,2)": "did you mean: rnntrace run 'nn.GRU(3,2)'",
    "gru-cell": "did you mean: rnntrace run gru-cell",
    "weights.pt": "did you mean: rnntrace compare weights.pt",
    "model.onnx": "did you mean: rnntrace compare model.onnx",
    "help": "did you mean: rnntrace --help",
    "version": "did you mean: rnntrace --version",
    "runn lstm": "did you mean: rnntrace run",
    "comapre weights.pt": "did you mean: rnntrace compare",
    "test": "did you mean: rnntrace run lstm",
    "check y.npy": "did you mean: rnntrace compare FILE --expected FILE",
    "grad": "did you mean: rnntrace backward lstm",
    "equations": "did you mean: rnntrace explain lstm",
    "debug": "did you mean: rnntrace diagnose FILE",
    "xyzzy": "the commands are run, compare, ",
    "run": "expected a kind, such as lstm, of rnn, lstm, gru, rnn-cell, ",
    "run bilstm": "it is lstm with --bidirectional",
    "run BLSTM": "it is lstm with --bidirectional",
    "run bigru": "it is gru with --bidirectional",
    "run elman": "it is rnn",
    "run vanilla": "it is rnn",
    "run indrnn": "it is rnn with --independent",
    "run mgu": "a cell of your own is a text",
    "run transformer": "rnntrace replays recurrent cells alone",
    "run lstn": "choose one of rnn, lstm, gru",
    "run lstm a b": "run takes KIND, and there is more: a b",
    "run LSTM 3 2 1 4": "run takes KIND, and there is more: 3 2 1 4",
    "run LSTM(3,2,foo=2)": "no flag stands for foo=2",
    "run LSTM(three,2)": "expected sizes as in LSTM(3, 2)",
    "run lstm --seq-len 5": "did you mean --steps",
    "run lstm --seq_len 5": "did you mean --steps",
    "run lstm --sequence-length 5": "did you mean --steps",
    "run lstm --timesteps 5": "did you mean --steps",
    "run lstm --hidden-size 5": "did you mean --hidden",
    "run lstm --hidden_size 5": "did you mean --hidden",
    "run lstm --units 5": "did you mean --hidden",
    "run lstm --input_size 5": "did you mean --input-size",
    "run lstm --features 5": "did you mean --input-size",
    "run lstm --num-layers 2": "did you mean --layers",
    "run lstm --num_layers 2": "did you mean --layers",
    "run lstm --batch-size 2": "did you mean --batch",
    "run lstm --bi": "did you mean --bidirectional",
    "run lstm --bidirectional=True": "--bidirectional",
    "run lstm --bias False": "did you mean --no-bias",
    "run lstm --tol 1e-3": "did you mean --tolerance decimals:3, or --atol 1e-3",
    "run lstm --tolerance 1e-3": "a tolerance is a word, and 1e-3 a number: give --atol 1e-3",
    "run lstm --tolerance 0.001": "give --atol 0.001",
    "run lstm --hidden two": "--hidden should be a whole number, such as 4, not 'two'",
    "run lstm --hidden 2.5": "--hidden should be a whole number, such as 4, not '2.5'",
    "run lstm --rtol small": "--rtol should be a number, such as 1e-3, not 'small'",
    "run lstm --hidden": "--hidden needs a value behind it: see rnntrace run --help-all",
    "run lstm -H": "-H needs a value behind it: see rnntrace run --help-all",
    "run lstm --hiddn 3": "did you mean --hidden",
    "run lstm --hidden 0": "hidden",
    "run lstm --json": "did you mean --format json",
    "run lstm -f pdf": "'pdf'",
    "run lstm --dtype float8": "float8",
    "run lstm --gpu": "did you mean --device cuda",
    "run lstm --epochs 3": "rnntrace computes one pass, and trains nothing",
    "run lstm --verbose": "did you mean --show all",
    "run lstm --show everything": "unknown part 'everything'",
    "run lstm -Z": "run has no -Z: see rnntrace run --help-all",
    "compare": "expected",
    "compare nothing.pt": "there is no such file",
    "compare weights.pt --hidden 2": "compare has no --hidden: see rnntrace compare --help-all",
    "explain lstm --at 2,1": "t=2,unit=1",
    "explain lstm --at t=two": "t is a whole number",
    "mistakes lstm gru": "there is more: gru",
    "doctor lstm": "doctor takes flags alone, and there is more: lstm",
}
"""A line, and what its answer has to say."""


@pytest.mark.parametrize("line", MISUSES)
def test_a_misuse_is_answered(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, which nobody needs a second one to understand."""
    words = [line] if line.startswith("LSTM(") else line.split()
    assert all_in((MISUSES[line],), refused(capsys, *words))


def test_there_are_as_many_as_were_tried() -> None:
    assert len(MISUSES) >= 60


NOTATIONS = {
    "LSTM 3 2": {"kind": "LSTM", "input_size": 3, "hidden_size": 2},
    "lstm 4": {"kind": "LSTM", "input_size": 4, "hidden_size": 2},
    "GRU 3 4 2": {"kind": "GRU", "input_size": 3, "hidden_size": 4, "num_layers": 2},
    "LSTM(3, 2)": {"kind": "LSTM", "input_size": 3, "hidden_size": 2},
    "torch.nn.LSTM(3, 5, num_layers=2, bidirectional=True)": {
        "kind": "LSTM",
        "input_size": 3,
        "hidden_size": 5,
        "num_layers": 2,
        "bidirectional": True,
    },
    "nn.RNN(input_size=3, hidden_size=2, nonlinearity='relu', bias=False)": {
        "kind": "RNN",
        "input_size": 3,
        "hidden_size": 2,
        "nonlinearity": "relu",
        "bias": False,
    },
    "GRUCell(3, 2, dtype=torch.float64)": {"kind": "GRUCell", "input_size": 3, "hidden_size": 2, "dtype": "float64"},
    "LSTM(3, 4, proj_size=2, batch_first=True)": {"kind": "LSTM", "hidden_size": 4, "proj_size": 2, "batch_first": True},
}


@pytest.mark.parametrize("text", NOTATIONS)
def test_torchs_notation_is_a_module(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As in the documentation of torch, and as rnntrace writes modules itself."""
    words = [text] if "(" in text else text.split()
    answer = ask(capsys, "run", *words, "--seed", "1", "--steps", "2", "-f", "json")
    assert answer.code == 0
    spec = json.loads(answer.out)["spec"]
    assert {name: spec[name] for name in NOTATIONS[text]} == NOTATIONS[text]


def test_what_rnntrace_writes_it_reads() -> None:
    """`str` of a specification is a line of the command."""
    spec = ModuleSpec(kind="GRU", input_size=3, hidden_size=4, num_layers=2, bidirectional=True, bias=False)
    flags = ["--input-size", "3", "--hidden", "4", "--layers", "2", "--bidirectional", "--no-bias"]
    assert in_flags(["run", str(spec), "--seed", "1"]) == ["run", "GRU", *flags, "--seed", "1"]


@pytest.mark.parametrize("line", ["compare LSTM 3", "run lstm -H 3", "run", "", "explain weights.pt 3", "run lstm 3.5"])
def test_other_lines_stay_as_they_are(line: str) -> None:
    assert in_flags(line.split()) == line.split()


def test_flags_that_are_advised_exist() -> None:
    """Each is one of some command."""
    commands = _command().commands.values()
    flags = {name for command in commands for parameter in command.params for name in parameter.opts}
    advised = {word.rstrip(",") for flag in MEANT.values() for word in flag.split() if word.startswith("--")}
    assert advised <= flags
    assert not MEANT.keys() & flags


def test_help_fits_a_screen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples first, the flags that people use, and how to see the others; no default stands in brackets."""
    monkeypatch.setenv("COLUMNS", "100")
    short, whole = (ask(capsys, "run", flag).out for flag in ("--help", ALL))
    assert short.index("rnntrace run lstm --hidden 2 --seed 42") < short.index("Usage:")
    assert all_in(("--hidden", "--steps", "--format", f"more flags: rnntrace run {ALL}"), short)
    assert "--lambda" not in short
    assert "--lambda" in whole
    assert len(short.splitlines()) < 60
    assert "default: (" not in short + whole
    assert "Default: 3." in short


def test_examples_are_lines_that_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command has three, and each names commands and flags that there are."""
    commands = _command().commands
    assert EXAMPLES.keys() == commands.keys()
    for lines in EXAMPLES.values():
        assert len(lines) == 3
        for line in lines:
            command, *words = line.partition(" > ")[0].split()
            flags = {name for parameter in commands[command].params for name in parameter.opts}
            assert {word for word in words if word.startswith("-")} <= flags, line


def test_the_rest_of_the_line_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Flags behind torch's notation act as ever."""
    assert ask(capsys, "run", "LSTM", "3", "2", "--seed", "1", "-f", "json", "-o", "out.json").code == 0
    assert json.loads((folder / "out.json").read_text())["seed"] == 1
