"""What a file of weights holds, told from names and shapes alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import rnntrace
from rnntrace.cli.app import exit_code


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A checkpoint with three recurrent modules beside other layers, nested and with control codes in a name."""
    modules = {
        "encoder": torch.nn.LSTM(8, 16, 2, bidirectional=True),
        "head": torch.nn.Linear(3, 4),
        "cell": torch.nn.GRUCell(3, 5, dtype=torch.float64),
        "evil\x1b[31m": torch.nn.LSTM(4, 6, proj_size=2, bias=False),
    }
    torch.save({"state_dict": torch.nn.ModuleDict(modules).state_dict(), "epoch": 3}, tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_every_module_is_listed(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row a module with its kind and sizes, the count of what is left, and what is assumed."""
    assert exit_code(["inspect", str(model)]) == 0
    captured = capsys.readouterr()
    rows = [line.split() for line in captured.out.splitlines()]
    assert ["state_dict.encoder", "LSTM", "float32", "│", "8", "16", "2", "2", "0", "9728", "│", "-"] in rows
    assert ["state_dict.cell", "GRUCell", "float64", "│", "3", "5", "1", "1", "0", "150", "│", "-"] in rows
    assert ["state_dict.evil\\x1b[31m", "LSTM", "float32", "│", "4", "6", "1", "1", "2", "156", "│", "no", "bias"] in rows
    assert "3 recurrent modules · 2 other tensors" in captured.out
    assert "the file does not tell time first from batch first or dropout: assumed time first and none" in captured.out
    assert "\x1b" not in captured.out


def test_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as JSON, with the arguments of `run` that describe each module."""
    assert exit_code(["inspect", str(model), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["command"], found["other_tensors"]) == ("inspect", 2)
    assert [module["prefix"] for module in found["modules"]] == [
        "state_dict.encoder",
        "state_dict.cell",
        "state_dict.evil\x1b[31m",
    ]
    first = found["modules"][0]
    assert first["run"] == "lstm -i 8 -H 16 --layers 2 --bidirectional"
    assert first["spec"]["num_layers"] == 2
    assert "statistics" not in first


def test_parameters_are_counted_as_torch_counts(model: Path) -> None:
    """The number of parameters is that of the module."""
    module = rnntrace.inspect(model).modules["state_dict.encoder"]
    assert module.parameters == sum(parameter.numel() for parameter in torch.nn.LSTM(8, 16, 2, bidirectional=True).parameters())


def test_how_weights_are_spread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Smallest, largest, mean and deviation of each gate's own block, worked out by hand."""
    arrays = {
        "weight_ih": np.repeat([1.0, 2.0, 3.0], 2)[:, None] * np.array([[1.0, 3.0]]),
        "weight_hh": np.zeros((6, 2)),
        "bias_ih": np.arange(6.0),
        "bias_hh": np.zeros(6),
    }
    np.savez(tmp_path / "cell.npz", **arrays)
    assert exit_code(["inspect", str(tmp_path / "cell.npz"), "--weights", "--format", "json"]) == 0
    rows = {row["weights"]: row for row in json.loads(capsys.readouterr().out)["modules"][0]["statistics"]}
    assert list(rows) == [f"{part}{gate}" for gate in "rzn" for part in ("W_i", "W_h", "b_i", "b_h")]
    assert [rows["W_iz"][name] for name in ("smallest", "largest", "mean", "deviation")] == [2.0, 6.0, 4.0, 2.0]
    assert [rows["b_in"][name] for name in ("smallest", "largest", "mean", "deviation")] == [4.0, 5.0, 4.5, 0.5]
    assert exit_code(["inspect", str(tmp_path / "cell.npz"), "--weights"]) == 0
    assert "weights of the module" in capsys.readouterr().out


def test_a_file_without_recurrent_modules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is missing is said, with the names that were expected."""
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
    assert exit_code(["inspect", str(tmp_path / "linear.pt")]) == 2
    assert "holds no recurrent module: expected parameters named like weight_ih_l0" in capsys.readouterr().err
