"""`rnntrace explain` as its user sees it: the numbers of `run` and `compare`, whose slices, and what it refuses."""

import json
import os
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused
from formats import drawn, lstm, npz_bytes, pt_bytes
from torch import nn


def answer(capsys: pytest.CaptureFixture[str], line: str) -> dict[str, Any]:
    """The JSON document of a command line that is carried out."""
    done = ask(capsys, *shlex.split(line), "--format", "json")
    assert done.code == 0, done
    found: dict[str, Any] = json.loads(done.out, parse_constant=pytest.fail)
    return found


def values_at(document: dict[str, Any], layer: int, direction: str, t: int, item: int, unit: int) -> dict[str, float]:
    """Every symbol of one place in the document of a run."""
    return {
        entry["symbol"]: entry["values"][t - 1][item][unit]
        for entry in document["trace"]
        if (entry["layer"], entry["direction"]) == (layer, direction) and unit < len(entry["values"][t - 1][item])
    }


RUNS = {
    "lstm": (0, "forward", 3, 0, 1),
    "lstm -H 4 --proj-size 2 -b": (0, "reverse", 2, 0, 1),
    "lstm -H 4 --proj-size 2": (0, "forward", 2, 0, 3),
    "lstm -B 3 --lengths 4,1,2 -b --layers 2": (1, "reverse", 2, 2, 0),
    "lstm --dtype bfloat16 --h0 random --c0 random": (0, "forward", 1, 0, 0),
    "gru -b --layers 3 --batch-first -B 2": (2, "forward", 4, 1, 1),
    "gru --text hello": (0, "forward", 5, 0, 0),
    "gru-cell --no-bias": (0, "forward", 2, 0, 1),
    "rnn --nonlinearity relu --dist uniform": (0, "forward", 4, 0, 1),
    "rnn --unbatched --dtype float64": (0, "forward", 4, 0, 1),
    "lstm --weights lstm.pt": (0, "forward", 2, 0, 1),
    "lstm --weights double.npz": (0, "forward", 2, 0, 1),
    "lstm --weights lstm.pt --dtype bfloat16": (0, "forward", 2, 0, 1),
}


@pytest.fixture
def files(folder: Path) -> Path:
    """Weights of an LSTM, the same with more digits, two modules in one file, and an input."""
    state = lstm().state_dict()
    (folder / "lstm.pt").write_bytes(pt_bytes(state))
    (folder / "double.npz").write_bytes(npz_bytes({name: values.double().numpy() / 3 for name, values in state.items()}))
    torch.manual_seed(0)
    model = nn.ModuleDict({"encoder": nn.GRU(3, 2, 2, bidirectional=True), "decoder": nn.RNN(3, 2)})
    (folder / "model.pt").write_bytes(pt_bytes(model.state_dict()))
    np.save(folder / "x.npy", drawn(4, 2, 3))
    return folder


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("line", RUNS)
def test_the_numbers_are_those_of_run(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the same flags and seed, bit by bit."""
    layer, direction, t, item, unit = RUNS[line]
    at = f"--at layer={layer},direction={direction},t={t},item={item},unit={unit}"
    explained = answer(capsys, f"explain {line} --seed 3 {at}")
    traced = answer(capsys, f"run {line} --seed 3")
    found = {entry["symbol"]: entry["value"] for entry in explained["derivation"]}
    assert found == values_at(traced, layer, direction, t, item, unit)
    assert found


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("line", "flags"),
    [
        ("lstm.pt", ""),
        ("lstm.pt", "--input x.npy --batch-first"),
        ("model.pt --module decoder", "--nonlinearity relu"),
        ("model.pt --module encoder", ""),
    ],
)
def test_the_numbers_are_those_of_compare(line: str, flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of weights gives what `compare` shows of it."""
    explained = answer(capsys, f"explain {line} {flags} --at t=2,unit=1 --seed 5")
    traced = answer(capsys, f"compare {line} {flags} --seed 5")
    assert {entry["symbol"]: entry["value"] for entry in explained["derivation"]} == values_at(traced, 0, "forward", 2, 0, 1)


def test_a_document_has_what_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys of the derivation, and sums that hold in it."""
    found = answer(capsys, "explain gru --at t=2,unit=1 --seed 1")
    assert (found["schema"], found["command"], found["kind"], found["seed"]) == (1, "explain", "GRU", 1)
    assert [entry["symbol"] for entry in found["equations"]] == ["r", "z", "n", "h"]
    for entry in found["derivation"]:
        assert (entry["layer"], entry["direction"], entry["t"], entry["item"], entry["unit"]) == (0, "forward", 2, 0, 1)
        assert all(term["product"] == term["weight"] * term["value"] for term in entry["terms"])
        total = sum(term["contribution"] for term in entry["terms"])
        assert total == pytest.approx(entry["pre_activation"] if entry["symbol"] != "h" else entry["value"], abs=1e-6)
    assert [term["name"] for term in found["derivation"][0]["terms"]][:4] == [
        "W_ir[1,0]·x[0]",
        "W_ir[1,1]·x[1]",
        "W_ir[1,2]·x[2]",
        "b_ir[1]",
    ]


@pytest.mark.parametrize(("flags", "times"), [("", [1, 2, 3]), ("-b --c0 random", [4, 3])])
def test_earlier_steps_come_first(flags: str, times: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    """`--back` goes as far as there are steps, in the order in which they are computed, and each reads the one before."""
    direction = "reverse" if "-b" in flags else "forward"
    steps = answer(capsys, f"explain lstm {flags} --at t=3,gate=c,direction={direction} --back 9 --seed 1")["derivation"]
    assert [step["t"] for step in steps] == times
    for earlier, later in pairwise(steps):
        read = {term["name"]: term["value"] for term in later["terms"]}
        assert read["f[0]·c_prev[0]"] == earlier["value"]


def test_a_gru_that_resets_before_has_the_same_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    """torch cannot build it, but a seed draws what it draws for torch's own."""
    after, before = (answer(capsys, f"explain gru --at t=2 --seed 1 {flag}") for flag in ("", "--reset-before"))
    weights = [
        {term["name"]: term["weight"] for term in document["derivation"][gate]["terms"]}
        for document in (after, before)
        for gate in (0, 1)
    ]
    assert weights[:2] == weights[2:]
    assert "W_hn[0,1]·(r ⊙ h_prev)[1]" in [term["name"] for term in before["derivation"][2]["terms"]]


def test_slices_and_names_of_a_framework(capsys: pytest.CaptureFixture[str]) -> None:
    """Keras' kernels are transposed, z comes first, and a GRU has two rows of biases; the cells of torch name no layer."""
    keras = answer(capsys, "explain gru -H 2 --framework keras")
    wanted = ("gate", "name", "parameter", "axis", "start", "stop", "shape")
    assert [[block[key] for key in wanted] for block in keras["parameters"]][:4] == [
        ["z", "W_iz", "kernel", "columns", 0, 2, [3, 2]],
        ["z", "W_hz", "recurrent_kernel", "columns", 0, 2, [2, 2]],
        ["z", "b_iz", "bias[0]", "rows", 0, 2, [2]],
        ["z", "b_hz", "bias[1]", "rows", 0, 2, [2]],
    ]
    assert keras["framework"] == "Keras 3"
    stacked = answer(capsys, "explain lstm -b --layers 2")["parameters"]
    (block,) = [entry for entry in stacked if entry["name"] == "W_if" and entry["parameter"] == "weight_ih_l1_reverse"]
    assert (block["start"], block["stop"], block["shape"]) == (2, 4, [2, 4])
    assert answer(capsys, "explain lstm-cell")["parameters"][0]["parameter"] == "weight_ih"


@pytest.mark.usefixtures("files")
def test_a_file_without_a_place_shows_its_equations(capsys: pytest.CaptureFixture[str]) -> None:
    """What the file holds, with the shapes it has."""
    done = ask(capsys, "explain", "lstm.pt")
    assert (done.code, done.err) == (0, "")
    assert "fₜ = σ(W_if xₜ + b_if + W_hf hₜ₋₁ + b_hf)" in done.out
    assert "W_if = [2:4]" in done.out


def test_the_reverse_direction_reads_the_step_after(capsys: pytest.CaptureFixture[str]) -> None:
    """The equations say so where there is one, and only there."""
    said = "the reverse direction has t + 1 for t - 1"
    assert said in ask(capsys, "explain", "gru", "-b").out
    assert said not in ask(capsys, "explain", "gru").out


LINES = (
    "explain lstm",
    "explain gru -b --layers 2 -H 12 -i 9",
    "explain lstm --framework keras",
    "explain lstm --framework chainer",
    "explain lstm --at t=2,unit=1 --seed 42 --back 1",
    "explain gru -H 30 -i 20 --at t=4 --seed 1",
    "explain lstm -H 30 --proj-size 20 --at t=4 --seed 1 --top 4",
)


@pytest.mark.parametrize("line", LINES)
def test_eighty_columns_are_enough(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is longer, and none of a derivation's own lines had to be broken by the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    done = ask(capsys, *shlex.split(line))
    assert done.code == 0, done
    assert max(map(len, done.out.splitlines())) <= 80
    starts = [found.lstrip() for found in done.out.splitlines() if "·" in found and found.startswith("     ")]
    assert all(not start.startswith(("0.", "1", "2")) for start in starts)


@pytest.mark.slow
def test_a_product_stays_one_where_only_ascii_can_be_written() -> None:
    """A dot between two numbers multiplies, and is no minus; subscripts are digits."""
    command = [sys.executable, "-m", "rnntrace", "explain", "lstm", "--at", "t=2,gate=c", "--seed", "1"]
    surroundings = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=surroundings)
    assert "c2[0] = f2[0]*c1[0] + i2[0]*g2[0]" in done.stdout
    assert "?" not in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("files")
def test_without_anything_to_draw_torch_is_not_loaded(files: Path) -> None:
    """Saved weights on a given input need numpy alone, and the equations nothing else either."""
    code = (
        "import sys; from rnntrace.cli.app import exit_code; code = exit_code(sys.argv[1:])\n"
        "print('torch' in sys.modules, code, file=sys.stderr)"
    )
    for line in (
        "explain double.npz --input x.npy --at t=2",
        "explain lstm --weights double.npz --input x.npy --at t=1",
        "explain gru",
    ):
        finished = subprocess.run(
            [sys.executable, "-c", code, *shlex.split(line)], cwd=files, capture_output=True, text=True, check=False, timeout=60
        )
        assert finished.stderr.strip() == "False 0", line


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("lstn", ("unknown module kind 'lstn'", "lstm", "a file of weights")),
        ("nothing.pt", ("nothing.pt", "no such file")),
        ("lstm --at t=5", ("t=5", "from 1 to 4")),
        ("lstm --at t=0", ("t=0", "from 1 to 4")),
        ("lstm -B 2 --lengths 4,2 --at t=3,item=1", ("t=3", "from 1 to 2")),
        ("lstm --at t=1,unit=2", ("unit=2", "from 0 to 1")),
        ("lstm -H 3 --proj-size 1 --at t=1,unit=1,gate=h", ("unit=1", "from 0 to 0")),
        ("lstm --at t=1,layer=1", ("layer=1", "from 0 to 0")),
        ("lstm --at t=1,item=-1", ("item=-1", "from 0 to 0")),
        ("lstm --at t=1.5", ("t=1.5", "whole number")),
        ("lstm --at t=²", ("t=²", "whole number")),
        ("lstm --at unit=1", ("t=1", "t=4")),
        ("lstm --at ''", ("t=2,unit=1",)),
        ("lstm --at t=1,time=2", ("time=2", "layer, direction, t, item, unit, gate")),
        ("lstm --at t=1,t=2", ("t twice",)),
        ("lstm --at t=1,gate=z", ("gate=z", "i, f, g, o, c, h")),
        ("lstm --at t=1,direction=reverse", ("direction=reverse", "forward")),
        ("lstm --seed 1", ("--seed", "--at")),
        ("lstm --top 2", ("--top", "--at")),
        ("lstm --at t=1 --framework onnx", ("--framework", "--at")),
        ("lstm --module encoder", ("--module", "file")),
        ("lstm.pt --hidden 3", ("--hidden", "kind")),
        ("lstm.pt --weights lstm.pt", ("--weights", "kind")),
        ("model.pt --at t=1", ("2 modules", "encoder", "decoder", "--module")),
        ("lstm --framework keros", ("unknown framework 'keros'", "Keras 3")),
        ("gru --framework tinygrad", ("tinygrad has no GRU",)),
        ("lstm --reset-before", ("GRU", "LSTM has none")),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_line(
    line: str, says: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence with what was found and what to do."""
    assert all_in(says, refused(capsys, "explain", *shlex.split(line)))


@pytest.mark.usefixtures("files")
def test_a_keras_layer_that_goes_backwards(capsys: pytest.CaptureFixture[str]) -> None:
    """A file of weights alone does not tell it; with the flag, the state before t = 2 is that of t = 3."""
    with h5py.File("rnn.weights.h5", "w") as file:
        cell = file.create_group("layers/simple_rnn/cell/vars")
        for number, array in enumerate(([[1.0]], [[0.5]], [0.0])):
            cell[str(number)] = np.array(array, np.float32)
    x = [[[0.1], [0.2], [0.3]]]
    request = ["explain", "rnn.weights.h5", "--at", "t=2", "--input", json.dumps(x), "--format", "json"]
    for flags, before in (([], 0.1), (["--go-backwards"], 0.3)):
        (step,) = json.loads(ask(capsys, *request, *flags).out)["derivation"]
        assert step["value"] == pytest.approx(np.tanh(0.2 + 0.5 * np.tanh(before)), rel=1e-6)
