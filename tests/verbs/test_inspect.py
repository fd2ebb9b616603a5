"""What a file of weights holds, told from names and shapes alone."""

import json
import shlex
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


def flax_gru(hidden: int = 4, inputs: int = 3) -> dict[str, np.ndarray]:
    """A GRU of flax: no bias on the side of h but that of n."""
    sides = {"ir": inputs, "iz": inputs, "in": inputs, "hr": hidden, "hz": hidden, "hn": hidden}
    kernels = {f"{name}.kernel": np.ones((size, hidden)) for name, size in sides.items()}
    return kernels | {f"{name}.bias": np.ones(hidden) for name in ("ir", "iz", "in", "hn")}


def test_parameters_are_those_of_the_file() -> None:
    """One bias a gate, and that of n on the side of h: 3·(3·4 + 4·4) + 4·4 numbers, as many as the arrays have."""
    arrays = flax_gru()
    (module,) = rnntrace.inspect(arrays, layout="flax").modules.values()
    assert module.parameters == 100 == sum(array.size for array in arrays.values())
    lstm = {"kernel": np.ones((3, 16)), "recurrent_kernel": np.ones((4, 16)), "bias": np.ones(16)}
    (module,) = rnntrace.inspect(lstm, layout="keras").modules.values()
    assert module.parameters == 3 * 16 + 4 * 16 + 16


def test_what_to_type_next(model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of each module carries the flags that were given, and works as it stands."""
    monkeypatch.chdir(model.parent)
    assert exit_code(["inspect", "model.pt"]) == 0
    assert "to replay state_dict.encoder: rnntrace compare model.pt --module state_dict.encoder" in capsys.readouterr().err
    assert exit_code(["inspect", "model.pt", "--ignore", "*evil*", "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = [module["compare"] for module in json.loads(captured.out)["modules"]]
    assert lines[1] == "rnntrace compare model.pt --ignore '*evil*' --module state_dict.cell"
    for line in lines:
        assert exit_code([*shlex.split(line)[1:], "--quiet"]) == 0
    assert rnntrace.inspect(flax_gru(), layout="flax").compare_line("") is None


def test_outputs_are_asked_for_where_torch_lacks_the_module() -> None:
    """Nothing of torch could stand beside it."""
    np.savez("gru.npz", kernel=np.ones((3, 12)), recurrent_kernel=np.ones((4, 12)), bias=np.ones(12))
    found = rnntrace.inspect("gru.npz", layout="keras")
    assert not found.modules[""].spec.reset_after
    assert found.compare_line("") == "rnntrace compare gru.npz --layout keras --input x.npz --expected y.npz"


def test_what_stands_before_and_behind(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Told from torch's names and shapes; what fits nowhere is counted."""
    layers = {
        "embed": torch.nn.Embedding(50, 8),
        "encoder": torch.nn.LSTM(8, 16, bidirectional=True),
        "norm": torch.nn.LayerNorm(32),
        "head": torch.nn.Linear(32, 5),
        "other": torch.nn.Linear(7, 9),
    }
    torch.save(torch.nn.ModuleDict(layers).state_dict(), tmp_path / "m.pt")
    assert exit_code(["inspect", str(tmp_path / "m.pt")]) == 0
    out = capsys.readouterr().out
    for sentence in (
        "embed.weight (50, 8) fits an embedding before encoder",
        "norm.weight (32,) fits a norm behind encoder",
        "head.weight (5, 32) fits a linear layer behind encoder",
        "1 recurrent module · 7 other tensors",
    ):
        assert sentence in out
    assert "other.weight" not in out
