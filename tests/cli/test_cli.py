"""The command line as a contract: JSON keys, streams, exit codes, width and colour, start-up."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnntrace import __version__
from rnntrace.cli.app import app, exit_code

LSTM = ["run", "lstm", "--hidden", "2", "--seed", "42"]


def out(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command prints on stdout; stderr must stay empty."""
    assert exit_code(list(arguments)) == code
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    """The JSON of a run, read strictly."""
    return json.loads(out(capsys, *arguments, "--format", "json"), parse_constant=pytest.fail)


def test_json_has_the_keys_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys that scripts rely on, with the values of a known run."""
    found = document(capsys, *LSTM)
    assert (found["schema"], found["command"], found["verdict"], found["passed"], found["seed"]) == (1, "run", "PASS", True, 42)
    spec = {
        "kind": "LSTM", "input_size": 3, "hidden_size": 2, "num_layers": 1, "bidirectional": False, "bias": True,
        "batch_first": False, "proj_size": 0, "nonlinearity": None, "dtype": "float32",
    }  # fmt: skip
    assert found["spec"].items() >= spec.items()
    assert found["environment"].keys() >= {"rnntrace", "numpy", "framework", "version", "path", "threads"}
    assert found["environment"]["framework"] == "torch"
    assert found["inputs"].keys() == {"x", "h0", "c0", "lengths"}
    assert [entry["symbol"] for entry in found["trace"]] == list("ifgoch")
    assert found["trace"][1].keys() == {"layer", "direction", "symbol", "role", "values", "framework"}
    assert (found["trace"][1]["role"], np.shape(found["trace"][1]["values"])) == ("forget gate", (4, 1, 2))
    np.testing.assert_allclose(found["trace"][1]["values"], found["trace"][1]["framework"], atol=1e-6)
    assert found["outputs"].keys() == found["expected"].keys() == {"output", "h_n", "c_n"}
    assert [entry["name"] for entry in found["differences"]] == ["output", "h_n", "c_n", *"ifgoch"]
    assert found["differences"][0].keys() >= {
        "name", "max_abs", "max_rel", "max_eps", "one_step_max_abs", "bad", "of", "passed",
    }  # fmt: skip
    assert found["first_failure"] is None
    assert found["tolerance"].items() >= {"kind": "torch", "rtol": 1.3e-6, "atol": 1e-5}.items()
    assert found["warnings"] == []


def test_json_of_a_failure_names_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    """first_failure has the place and both values."""
    assert exit_code([*LSTM, "--tolerance", "exact", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["passed"]) == ("FAIL", False)
    place = found["first_failure"]
    assert place.keys() == {"layer", "direction", "symbol", "t", "item", "unit", "replay", "framework"}
    assert place["replay"] != place["framework"]


def test_json_follows_the_modules_layout_and_marks_padding(capsys: pytest.CaptureFixture[str]) -> None:
    """inputs and outputs are batch first where the module is; values are time-major, null where a step does not exist."""
    found = document(
        capsys, "run", "gru", "-B", "2", "-T", "3", "--batch-first", "--lengths", "1,3", "-b", "--capture", "off", "--seed", "1"
    )
    assert np.shape(found["inputs"]["x"]) == (2, 3, 3)
    assert np.shape(found["outputs"]["output"]) == (2, 3, 4)
    assert found["outputs"]["c_n"] is None
    assert found["inputs"]["lengths"] == [1, 3]
    reset, *_, hidden = found["trace"][:4]
    assert reset["framework"] is None
    assert hidden["values"][1][0] == hidden["framework"][1][0] == [None, None]
    assert None not in hidden["values"][0][0]
    assert found["environment"]["not_captured"] == "not asked for"
    assert found["outputs"]["output"][0][1] == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["RNN", "lstm", "GRU", "RNNCell", "lstm-cell", "gru_cell"])
def test_kinds_by_any_of_their_names(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """lstm-cell, LSTMCell and LSTM are all understood."""
    assert document(capsys, "run", kind, "--seed", "1")["passed"]


def test_the_same_seed_is_the_same_run(capsys: pytest.CaptureFixture[str]) -> None:
    """A seed that was drawn is printed, and is enough to repeat the run to the last bit."""
    first = document(capsys, "run", "gru", "--h0", "random")
    again = document(capsys, "run", "gru", "--h0", "random", "--seed", str(first["seed"]))
    assert first == again
    assert f"seed {first['seed']}" in out(capsys, "run", "gru", "--h0", "random", "--seed", str(first["seed"]))


def test_quiet_is_the_verdict_line(capsys: pytest.CaptureFixture[str]) -> None:
    """--quiet prints one line, and as JSON still the whole object."""
    (line,) = out(capsys, *LSTM, "--quiet").splitlines()
    assert line.startswith("PASS  every value within rtol 1.3e-06, atol 1e-05 · worst |Δ|")
    assert document(capsys, *LSTM, "--quiet")["passed"]


def test_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said about a result does not mix with it."""
    assert exit_code([*LSTM, "--dropout", "0.5", "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["warnings"]
    assert captured.err.startswith("rnntrace: warning: dropout 0.5 has no effect with one layer")


def test_parts_and_selection(capsys: pytest.CaptureFixture[str]) -> None:
    """--show, --layer, --time, --unit and --item choose what a table has."""
    text = out(
        capsys,
        "run",
        "lstm",
        "-l",
        "2",
        "-B",
        "2",
        "--seed",
        "1",
        "--layer",
        "1",
        "--item",
        "0",
        "--time",
        "2:3",
        "--unit",
        "1",
    )
    rows = [line.split()[:2] for line in text.splitlines() if re.match(r"\s+\d", line)]
    assert rows == [["2", "1"], ["3", "1"]]
    assert re.findall(r"layer (\d) · forward · item (\d)\n", text) == [("1", "0")]
    everything = out(capsys, "run", "gru", "--seed", "1", "--show", "all")
    for words in (
        "W_ir xₜ + b_ir",
        "weights of z (update gate)",
        "output · shape (4, 1, 2)",
        "h_n · shape (1, 1, 2)",
        "torch n",
    ):
        assert words in everything
    assert "torch r" not in out(capsys, "run", "gru", "--seed", "1", "--show", "states")


def test_output_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--output writes what stdout would have had, and nothing to stdout."""
    printed = out(capsys, *LSTM)
    assert out(capsys, *LSTM, "--output", str(tmp_path / "run.txt")) == ""
    assert (tmp_path / "run.txt").read_text() == printed
    assert [path.name for path in tmp_path.iterdir()] == ["run.txt"]


@pytest.mark.parametrize("width", [60, 80, 140])
def test_columns_is_honoured(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No line is wider than COLUMNS."""
    monkeypatch.setenv("COLUMNS", str(width))
    assert max(map(len, out(capsys, *LSTM, "--show", "all").splitlines())) <= width


@pytest.mark.parametrize(
    ("variables", "flags", "coloured"),
    [
        ({}, [], False),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, [], True),
        ({"NO_COLOR": "1"}, ["--color", "always"], True),
        ({"FORCE_COLOR": "1"}, ["--color", "never"], False),
    ],
)
def test_colour(
    variables: dict[str, str],
    flags: list[str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The flag goes before NO_COLOR, and that before FORCE_COLOR; off a terminal there is none by itself."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in out(capsys, *LSTM, *flags)) is coloured


def run_process(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    return subprocess.run(
        [sys.executable, *arguments], env=environment | variables, capture_output=True, text=True, check=False, timeout=120
    )


HELP = [
    ["--help"],
    ["--version"],
    *([command, "--help"] for command in ("run", "compare", "inspect", "show", "plot", "layouts", "doctor")),
]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_help_loads_neither_torch_nor_numpy(arguments: list[str]) -> None:
    """Help is quick: the heavy packages stay where they are."""
    code = (
        "import sys; from rnntrace.cli.app import exit_code; code = exit_code(sys.argv[1:])\n"
        "print(sorted({'torch', 'numpy', 'safetensors'} & set(sys.modules)), code, file=sys.stderr)"
    )
    assert run_process("-c", code, *arguments).stderr.strip() == "[] 0"


@pytest.mark.slow
def test_a_run_loads_torch_and_nothing_heavier() -> None:
    """A run is little more than `import torch`: what torch loads lazily, such as its compiler, stays away."""
    code = (
        "import sys; from rnntrace.cli.app import exit_code; code = exit_code(sys.argv[1:])\n"
        "heavy = {'torch._dynamo', 'torch._inductor', 'sympy', 'matplotlib', 'safetensors', 'pandas', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)), 'torch' in sys.modules, code, file=sys.stderr)"
    )
    assert run_process("-c", code, *LSTM).stderr.strip() == "[] True 0"


@pytest.mark.slow
def test_ascii_terminals_are_served() -> None:
    """Where stdout cannot write Greek letters, others stand in for them."""
    finished = run_process("-m", "rnntrace", *LSTM, PYTHONIOENCODING="ascii", PYTHONWARNINGS="error")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "LSTM(3, 2) - 1 layer" in finished.stdout
    assert "?" not in finished.stdout


@pytest.mark.slow
def test_a_real_terminal() -> None:
    """On a terminal of 80 columns there is colour and no line is too wide."""
    leader, follower = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "80"}
    process = subprocess.Popen([sys.executable, "-m", "rnntrace", *LSTM], stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    chunks = []
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(leader)
    assert process.wait(timeout=60) == 0
    text = b"".join(chunks).decode()
    assert "\x1b[" in text
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines()) <= 80


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the version and nothing else."""
    assert out(capsys, "--version") == f"rnntrace {__version__}\n"


def test_every_flag_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    """No command and no flag goes without a word of explanation."""
    import inspect
    from typing import get_type_hints

    assert app.registered_commands
    for command in app.registered_commands:
        assert inspect.getdoc(command.callback)
        for name, hint in get_type_hints(command.callback, include_extras=True).items():
            if name != "return":
                assert hint.__metadata__[0].help, name


def test_no_arguments_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`rnntrace` alone explains itself."""
    code = exit_code([])
    captured = capsys.readouterr()
    assert "run" in captured.out + captured.err
    assert code in (0, 2)
