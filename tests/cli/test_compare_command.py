"""`rnntrace compare`: saved weights beside torch, against given outputs without torch, and two saved traces."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import ask, refused
from torch import nn

import rnntrace
from rnntrace.cli.app import exit_code
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.pairing import Place
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.model.spec import ModuleSpec
from rnntrace.report.compare import compare_report
from rnntrace.report.select import View
from rnntrace.verbs.given.sources import read_sources
from rnntrace.verbs.run import build_and_trace as run

# torch says so when it is called directly.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")

MODULES = {
    "RNN relu": lambda: nn.RNN(3, 4, nonlinearity="relu"),
    "LSTM": lambda: nn.LSTM(3, 4, 2, bidirectional=True),
    "LSTM projected": lambda: nn.LSTM(3, 4, proj_size=2, bias=False),
    "GRU": lambda: nn.GRU(3, 4, bidirectional=True),
    "GRU batch first": lambda: nn.GRU(3, 4, batch_first=True, dtype=torch.float64),
    "RNNCell": lambda: nn.RNNCell(3, 4),
    "LSTMCell": lambda: nn.LSTMCell(3, 4),
    "GRUCell": lambda: nn.GRUCell(3, 4),
}


def called(module: nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    """What torch returns for x, by the names of `--expected`; cells are called for every t."""
    with torch.no_grad():
        if isinstance(module, nn.RNNCellBase):
            state, steps = None, []
            for x_t in x:
                state = module(x_t, state)
                steps.append(state[0] if isinstance(state, tuple) else state)
            output = torch.stack(steps)
        else:
            output, state = module(x)
    states = state if isinstance(state, tuple) else (state,)
    return {name: value.numpy() for name, value in zip(("output", "h_n", "c_n"), (output, *states), strict=False)}


@pytest.fixture(params=MODULES)
def handed_in(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder with weights.npz, x.npz and y.npz of a module, as a student hands it in, and the flags that it needs."""
    torch.manual_seed(3)
    module = MODULES[request.param]()
    x = torch.randn(2, 5, 3, dtype=next(module.parameters()).dtype)
    np.savez(tmp_path / "weights.npz", **{name: value.numpy() for name, value in module.state_dict().items()})
    np.savez(tmp_path / "x.npz", x=x.numpy())
    np.savez(tmp_path / "y.npz", **called(module, x))
    flags = {"RNN relu": ["--nonlinearity", "relu"], "GRU batch first": ["--batch-first"]}.get(request.param, [])
    return tmp_path, flags


def compare(folder: Path, *flags: str, expected: str | None = "y.npz") -> int:
    """Compare the weights in a folder on its x, against its y."""
    command = ["compare", str(folder / "weights.npz"), "--input", str(folder / "x.npz"), *flags]
    return exit_code(command if expected is None else [*command, "--expected", str(folder / expected)])


def test_right_work_passes(handed_in: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    """Every kind of module agrees with the outputs that torch gave for it, and with torch itself."""
    folder, flags = handed_in
    for expected in ("y.npz", None):
        assert compare(folder, *flags, "--format", "json", expected=expected) == 0
        assert json.loads(capsys.readouterr().out)["verdict"] in ("IDENTICAL", "PASS")


@pytest.mark.parametrize("name", ["output", "h_n"])
def test_wrong_work_fails(handed_in: tuple[Path, list[str]], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One value off by a thousandth is a FAIL that names the quantity, item and unit."""
    folder, flags = handed_in
    with np.load(folder / "y.npz") as archive:
        expected = dict(archive)
    expected[name].flat[-1] += 1e-3
    np.savez(folder / "y.npz", **expected)
    assert compare(folder, *flags, "--format", "json") == 1
    found = json.loads(capsys.readouterr().out)
    place = found["first_failure"]
    assert place["symbol"] in ((name, "h") if name == "output" else (name,))
    assert place["framework"] - place["replay"] == pytest.approx(1e-3, abs=1e-5)


@pytest.mark.parametrize("name", ["output", "h_n", "c_n"])
def test_a_single_quantity_is_enough(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not handed in is listed and not judged."""
    torch.manual_seed(0)
    module, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    np.savez(tmp_path / "weights.npz", **{key: value.numpy() for key, value in module.state_dict().items()})
    np.savez(tmp_path / "x.npz", x=x.numpy())
    np.savez(tmp_path / "y.npz", **{name: called(module, x)[name]})
    assert compare(tmp_path, "--format", "json") == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert [entry["name"] for entry in found["differences"]] == [name, *(["h"] if name == "output" else [])]
    assert found["judged"] == [name]
    assert found["missing"] == [other for other in ("output", "h_n", "c_n") if other != name]
    assert captured.err == ""


def test_outputs_that_were_not_given_are_shown_without_a_partner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every output of the replay can be shown, also where nothing stands beside it."""
    torch.manual_seed(0)
    module, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    np.savez(tmp_path / "weights.npz", **{key: value.numpy() for key, value in module.state_dict().items()})
    np.savez(tmp_path / "x.npz", x=x.numpy())
    np.savez(tmp_path / "y.npz", h_n=called(module, x)["h_n"])
    assert compare(tmp_path, "--show", "outputs", "--max-rows", "0") == 0
    text = capsys.readouterr().out
    tables = text.split("· shape ")
    assert ["expected" in table.splitlines()[1] for table in tables[1:]] == [False, True, False]


def test_the_headline_tells_where_states_come_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Random and given states do not pass for zeros, in any form of the comparison."""
    torch.manual_seed(0)
    module, x, h0 = nn.GRU(3, 4), torch.randn(5, 2, 3), torch.randn(1, 2, 4)
    np.savez(tmp_path / "weights.npz", **{key: value.numpy() for key, value in module.state_dict().items()})
    np.savez(tmp_path / "x.npz", x=x.numpy(), h0=h0.numpy())
    with torch.no_grad():
        np.savez(tmp_path / "y.npz", output=module(x, h0)[0].numpy())
    assert compare(tmp_path) == 0
    assert "x: x.npz, T=5, B=2 · h0: given" in capsys.readouterr().out
    weights = str(tmp_path / "weights.npz")
    for files in ([weights], [weights, weights]):
        assert exit_code(["compare", *files, "--h0", "random", "--seed", "1"]) == 0
        assert "x: normal, T=4, B=1 · h0: random" in capsys.readouterr().out


def test_one_bare_array_is_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A .npy, a CSV or a JSON literal is the output."""
    torch.manual_seed(0)
    module, x = nn.RNN(3, 2), torch.randn(4, 3)
    np.savez(tmp_path / "weights.npz", **{key: value.numpy() for key, value in module.state_dict().items()})
    np.savez(tmp_path / "x.npz", x=x.numpy())
    output = called(module, x)["output"]
    np.save(tmp_path / "y.npy", output)
    np.savetxt(tmp_path / "y.csv", output, delimiter=",")
    assert compare(tmp_path, expected="y.npy") == 0
    assert compare(tmp_path, expected="y.csv") == 0
    command = ["compare", str(tmp_path / "weights.npz"), "--input", str(tmp_path / "x.npz"), "--expected"]
    assert exit_code([*command, json.dumps(output.tolist())]) == 0


def test_shapes_that_tell_the_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Batch and time exchanged, and swapped halves, are named; one item may go without the axis of the batch."""
    torch.manual_seed(0)
    module, x = nn.GRU(3, 4, bidirectional=True), torch.randn(5, 1, 3)
    np.savez(tmp_path / "weights.npz", **{key: value.numpy() for key, value in module.state_dict().items()})
    np.savez(tmp_path / "x.npz", x=x.numpy())
    output = called(module, x)["output"]
    np.save(tmp_path / "turned.npy", output.swapaxes(0, 1))
    np.save(tmp_path / "flat.npy", output[:, 0])
    np.save(tmp_path / "swapped.npy", np.roll(output, 4, axis=2))
    assert compare(tmp_path, expected="turned.npy") == 2
    assert "should have shape (5, 1, 8), and has shape (1, 5, 8): batch and time are the other way" in capsys.readouterr().err
    assert compare(tmp_path, expected="flat.npy") == 0
    assert compare(tmp_path, expected="swapped.npy") == 1
    assert "agrees if its halves are swapped" in capsys.readouterr().err


def test_batch_first_data_that_was_read_time_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both shapes fit, so that only the numbers tell: the FAIL says which flag is missing, and with it all agrees."""
    torch.manual_seed(2)
    module, x = nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3)
    np.savez(tmp_path / "weights.npz", **{key: value.numpy() for key, value in module.state_dict().items()})
    np.savez(tmp_path / "x.npz", x=x.numpy())
    np.save(tmp_path / "y.npy", called(module, x)["output"])
    assert compare(tmp_path, expected="y.npy") == 1
    assert "agrees if axis 0 of x and output is the batch: pass --batch-first" in capsys.readouterr().err
    assert compare(tmp_path, "--batch-first", expected="y.npy") == 0


@pytest.mark.slow
def test_judging_given_outputs_needs_no_torch(tmp_path: Path) -> None:
    """A grader that calls it hundreds of times does not pay for torch."""
    torch.manual_seed(0)
    module, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    np.savez(tmp_path / "weights.npz", **{key: value.numpy() for key, value in module.state_dict().items()})
    np.savez(tmp_path / "x.npz", x=x.numpy())
    np.savez(tmp_path / "y.npz", **called(module, x))
    code = (
        "import sys; from rnntrace.cli.app import exit_code; code = exit_code(sys.argv[1:])\n"
        "print('torch' in sys.modules, code, file=sys.stderr)"
    )
    command = ["compare", "weights.npz", "--input", "x.npz", "--expected", "y.npz"]
    finished = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.stderr.strip() == "False 0"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Two recurrent modules and a linear layer in one file."""
    torch.manual_seed(0)
    modules = nn.ModuleDict({"encoder": nn.LSTM(3, 4), "decoder": nn.RNN(3, 2), "head": nn.Linear(2, 2)})
    torch.save(modules.state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_all_modules_of_a_file(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each module is compared, by one seed, and JSON stands in a list."""
    assert exit_code(["compare", str(checkpoint), "--seed", "1"]) == 0
    text = capsys.readouterr().out
    assert "PASS  2 of 2 modules agree" in text
    assert "encoder · layer 0 · forward · item 0" in text
    assert "not recorded in the file, assumed: tanh, time first" in text
    assert exit_code(["compare", str(checkpoint), "--seed", "1", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(module["module"], module["verdict"], module["seed"]) for module in found["modules"]] == [
        ("encoder", "PASS", 1),
        ("decoder", found["modules"][1]["verdict"], 1),
    ]


def test_one_module_of_a_file(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--module picks one, and a wrong name is answered with those that there are."""
    assert exit_code(["compare", str(checkpoint), "--module", "decoder", "--nonlinearity", "relu", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"]["nonlinearity"] == "relu"
    assert exit_code(["compare", str(checkpoint), "--module", "coder"]) == 2
    assert "no module 'coder': choose one of encoder, decoder" in capsys.readouterr().err


def test_one_failing_module_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The worst verdict is the file's: NaN in one module's weights makes all of it undecided."""
    modules = nn.ModuleDict({"good": nn.RNN(3, 2), "broken": nn.RNN(3, 2)})
    with torch.no_grad():
        modules["broken"].weight_hh_l0[0, 0] = float("nan")
    torch.save(modules.state_dict(), tmp_path / "model.pt")
    assert exit_code(["compare", str(tmp_path / "model.pt"), "--seed", "1"]) == 1
    assert "UNDECIDED  1 of 2 modules agree" in capsys.readouterr().out


def test_the_worst_verdict_is_that_of_the_file() -> None:
    """Of any two modules, in whatever order: a fail before what is undecided, and that before any pass."""
    worst_first = ("FAIL", "UNDECIDED", "PASS (drift)", "PASS (rounded)", "PASS", "IDENTICAL")
    assert {str(verdict) for verdict in Verdict} == set(worst_first)
    result = run(ModuleSpec(kind="RNN", input_size=1, hidden_size=1), read_sources(steps=1), JudgeOptions(), seed=1)
    place = Place(layer=0, direction="forward", symbol="h", t=1, item=0, unit=0, replay=0.5, framework=0.25)
    comparison = replace(result.comparison, first_failure=place, worst=place)
    judged = [replace(result, comparison=replace(comparison, verdict=Verdict(name))) for name in worst_first]
    for first, second in permutations(range(len(worst_first)), 2):
        report = compare_report("model.pt", {"a": judged[first], "b": judged[second]}, View())
        agree = (judged[first].passed, judged[second].passed).count(True)
        assert report.conclusion[0] == f"{worst_first[min(first, second)]}  {agree} of 2 modules agree"
        assert report.passed is (min(first, second) > 1)


def test_two_traces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Equal traces are identical in any pair of formats; the first difference has its place."""
    torch.manual_seed(0)
    module, x = nn.LSTM(3, 2), torch.randn(4, 1, 3)
    rnntrace.save(rnntrace.trace(module, x), tmp_path / "a.npz")
    rnntrace.save(rnntrace.trace(module, x), tmp_path / "b.safetensors")
    assert exit_code(["compare", str(tmp_path / "a.npz"), str(tmp_path / "b.safetensors"), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("IDENTICAL")
    x[2, 0, 1] += 0.1
    rnntrace.save(rnntrace.trace(module, x), tmp_path / "c.npz")
    assert exit_code(["compare", str(tmp_path / "a.npz"), str(tmp_path / "c.npz"), "--quiet"]) == 1
    assert "FAIL  first at i (input gate), layer 0, forward, t=3, item 0, unit 0" in capsys.readouterr().out


def test_two_traces_tell_which_signals_and_weights_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was changed, by how much, and nothing else; the biases that one module lacks, and an input of another size."""
    torch.manual_seed(0)
    module, x, h0 = nn.GRU(3, 2), torch.randn(4, 2, 3), torch.zeros(1, 2, 2)
    rnntrace.save(rnntrace.trace(module, x, h0), tmp_path / "a.npz")

    def told(module: nn.Module, *signals: torch.Tensor) -> list[str]:
        rnntrace.save(rnntrace.trace(module, *signals), tmp_path / "b.npz")
        document = json.loads(ask(capsys, "compare", tmp_path / "a.npz", tmp_path / "b.npz", "-f", "json").out)
        return document["warnings"]

    assert told(module, x, h0) == []
    assert told(module, x, h0 + 0.5) == ["h0 differs by up to 0.5"]
    assert told(module, x - 0.25, h0) == ["x differs by up to 0.25"]
    (shape, *weights) = told(nn.GRU(5, 2, bias=False), torch.zeros(4, 2, 5), h0)
    assert shape == "x has shape (4, 2, 3) in the first file, and (4, 2, 5) in the other"
    assert "layer 0, forward: b_hn is in only one of the files" in weights
    assert "layer 0, forward: W_in has shape (2, 3) in the first file, and (2, 5) in the other" in weights
    with torch.no_grad():
        # The second of the update gate's rows.
        module.weight_hh_l0[3, 0] += 2
    assert told(module, x, h0) == ["layer 0, forward: W_hz differs by up to 2"]


def test_traces_are_no_weights(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What describes a module or its input is refused beside two traces, and a trace where weights are read."""
    rnntrace.save(rnntrace.trace(nn.GRU(3, 2), torch.randn(4, 1, 3)), folder / "a.npz")
    for flags in (["--steps", "1"], ["--input", "x.npy"], ["--module", "x"], ["--batch-first"], ["--dropout", "0.5"]):
        assert "two saved traces hold their module and input" in refused(capsys, "compare", "a.npz", "a.npz", *flags)
    assert "a.npz is a saved trace, and weights were expected" in refused(capsys, "inspect", "a.npz")


def test_flags_for_torch_are_refused_without_torch(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not left aside in silence; with --framework they have a meaning again."""
    module, x = nn.GRU(3, 2), torch.randn(4, 1, 3)
    torch.save(module.state_dict(), "w.pt")
    np.savez("x.npz", x=x.numpy())
    np.savez("y.npz", **called(module, x))
    judged = ["compare", "w.pt", "--input", "x.npz", "--expected", "y.npz"]
    assert "--capture says how torch runs" in refused(capsys, *judged, "--capture", "on")
    assert "--device says how torch runs" in refused(capsys, *judged, "--device", "meta")
    assert "--capture says how torch runs" in refused(capsys, "compare", "w.pt", "w.pt", "--capture", "off")
    assert ask(capsys, *judged, "--framework", "torch", "--capture", "on", "-q").code == 0


def test_traces_of_other_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be compared is refused with both shapes."""
    rnntrace.save(rnntrace.trace(nn.GRU(3, 2), torch.randn(4, 1, 3)), tmp_path / "a.npz")
    rnntrace.save(rnntrace.trace(nn.GRU(3, 2), torch.randn(5, 1, 3)), tmp_path / "b.npz")
    assert exit_code(["compare", str(tmp_path / "a.npz"), str(tmp_path / "b.npz")]) == 2
    line = capsys.readouterr().err
    assert "GRU(3, 2) with T=4, B=1" in line
    assert "GRU(3, 2) with T=5, B=1" in line


@pytest.fixture
def two_files(tmp_path: Path) -> Path:
    """The same weights under two prefixes and in two formats, and a third file with one weight changed."""
    torch.manual_seed(0)
    module = nn.LSTM(3, 4, bidirectional=True)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    torch.save(state, tmp_path / "a.pt")
    np.savez(tmp_path / "b.npz", **{f"encoder.{name}": value.numpy() for name, value in state.items()})
    state["weight_hh_l0_reverse"][5, 2] += 1e-3
    torch.save(state, tmp_path / "changed.pt")
    return tmp_path


def test_two_files_of_the_same_weights(two_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Equal weights are identical whatever their format and prefix."""
    assert exit_code(["compare", str(two_files / "a.pt"), str(two_files / "b.npz"), "--seed", "1", "-q"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("IDENTICAL")
    assert captured.err == ""


def test_two_files_of_weights_that_differ(two_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The block that differs is named, and the first gate, step and unit that it changes."""
    assert exit_code(["compare", str(two_files / "b.npz"), str(two_files / "changed.pt"), "--seed", "1", "-q"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "rnntrace: warning: layer 0, reverse: W_hf differs by up to 0.001\n"
    # From h0 = 0 a recurrent weight cannot show at the first step, which in the reverse direction is t = 4.
    assert "FAIL  first at f (forget gate), layer 0, reverse, t=3, item 0, unit 1" in captured.out


def test_one_module_of_a_model_beside_the_same_weights_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of one module needs no --module, in either place, if the other file holds the one asked for."""
    module = nn.GRU(3, 4)
    torch.save(module.state_dict(), folder / "alone.pt")
    torch.save(nn.ModuleDict({"encoder": module, "decoder": nn.LSTM(3, 4)}).state_dict(), folder / "model.pt")
    for names in (("model.pt", "alone.pt"), ("alone.pt", "model.pt")):
        answer = ask(capsys, "compare", *(folder / name for name in names), "--module", "encoder", "--seed", "1", "-q")
        assert (answer.code, answer.out.split()[0]) == (0, "IDENTICAL"), answer
    files = folder / "model.pt", folder / "alone.pt"
    assert refused(capsys, "compare", *files, "--module", "enc").endswith("choose one of encoder, decoder")
    assert refused(capsys, "compare", files[1], "--module", "enc").endswith("choose one of (no prefix)")


@pytest.mark.slow
def test_two_files_on_a_given_input_need_no_torch(two_files: Path) -> None:
    """Only random signals are torch's."""
    code = (
        "import sys; from rnntrace.cli.app import exit_code; code = exit_code(sys.argv[1:])\n"
        "print('torch' in sys.modules, code, file=sys.stderr)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, "compare", "b.npz", "b.npz", "--input", "[[1,2,3]]"],
        cwd=two_files, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert finished.stderr.strip() == "False 0"


def test_two_files_of_other_shapes(two_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Modules of other kinds or sizes are refused with both."""
    torch.save(nn.GRU(3, 4).state_dict(), two_files / "gru.pt")
    assert exit_code(["compare", str(two_files / "a.pt"), str(two_files / "gru.pt")]) == 2
    assert "LSTM(3, 4, bidirectional=True), and" in capsys.readouterr().err
    torch.save(nn.ModuleDict({"x": nn.GRU(3, 4), "y": nn.GRU(3, 4)}).state_dict(), two_files / "two.pt")
    assert exit_code(["compare", str(two_files / "a.pt"), str(two_files / "two.pt")]) == 2
    assert "holds (no prefix), and" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--expected", "{}", "--input", "[[1,2,3]]"], "should hold one array, or some of output, h_n, and holds nothing"),
        (["--expected", "[[1]]"], "--expected needs --input"),
        (["--expected", "[[1]]", "--input", "[[1,2,3]]", "--replay", "forced"], "leave one of them out"),
        (["--expected", "[[1]]", "--input", "[[1,2,3]]", "--h0", "random"], "--expected needs --input, and h0"),
        (["other.npz", "--expected", "[[1]]"], "leave it or the second file out"),
        (["--nonlinearity", "relu"], "--nonlinearity belongs to RNN"),
        (["other.npz"], "other.npz: there is no such file"),
    ],
)
def test_requests_that_contradict_themselves(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what does not go together."""
    monkeypatch.chdir(tmp_path)
    np.savez("weights.npz", **{key: value.numpy() for key, value in nn.GRU(3, 2).state_dict().items()})
    rnntrace.save(rnntrace.trace(nn.GRU(3, 2), torch.randn(4, 1, 3)), "trace.npz")
    first = "trace.npz" if flags == ["other.npz"] else "weights.npz"
    assert exit_code(["compare", first, *flags]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


VECTORS = Path(os.environ.get("RNNTRACE_VECTORS", Path(__file__).parents[3] / "shared" / "vectors"))


@pytest.mark.slow
@pytest.mark.skipif(not (VECTORS / "cases.json").exists(), reason="the published vectors are not here")
def test_published_vectors_as_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every published case that torch can express, written as files, passes through the command line at its tolerance."""
    passed = 0
    for case in json.loads((VECTORS / "cases.json").read_text())["cases"]:
        if not case["torch_replayable"]:
            continue
        with np.load(VECTORS / case["npz"]) as archive:
            arrays = {name: archive[name] for name in archive.files}
        groups: dict[str, dict[str, np.ndarray]] = {"sd": {}, "in": {}, "exp": {}}
        for name, array in arrays.items():
            group, _, key = name.partition("/")
            if group in groups and not np.isnan(array).any():
                groups[group][key] = array
        if not groups["exp"]:
            continue
        if case["config"]["module"].endswith("Cell"):
            # Published with an axis for layers, which a cell does not have.
            groups["in"] |= {
                name: groups["in"][name][0] for name in ("h0", "c0") if groups["in"].get(name, np.zeros(1)).ndim == 3
            }
            groups["exp"] |= {
                name: groups["exp"][name][0] for name in ("h_n", "c_n") if groups["exp"].get(name, np.zeros(1)).ndim == 3
            }
        for group, content in groups.items():
            np.savez(tmp_path / f"{group}.npz", **content)
        config, tolerance = case["config"], case["tolerance"]
        flags = ["--batch-first"] if config["batch_first"] else []
        flags += ["--nonlinearity", "relu"] if config.get("nonlinearity") == "relu" else []
        command = ["compare", str(tmp_path / "sd.npz"), "--input", str(tmp_path / "in.npz"), "--quiet", *flags]
        command += ["--expected", str(tmp_path / "exp.npz"), "--rtol", str(tolerance["rtol"]), "--atol", str(tolerance["atol"])]
        assert exit_code(command) == 0, (case["id"], capsys.readouterr())
        passed += 1
    assert passed >= 90


def test_values_are_not_called_single_steps(two_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the states before the steps are not known, what is counted are values of the trajectory, and JSON says so."""
    expected = json.dumps({"h_n": [[9.0] * 4] * 2})
    request = ["compare", str(two_files / "a.pt"), "--input", "[[1, 0, 0], [0, 1, 0]]", "--expected", expected]
    assert exit_code([*request, "-q"]) == 1
    assert "8 of 8 values out of tolerance" in capsys.readouterr().out
    assert exit_code([*request, "-f", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["single_steps"] is False


def test_traces_that_were_made_with_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two traces are compared as they are; that one was made with a mistake on purpose is said, whichever it is."""
    run, right, wrong = ["run", "gru", "--seed", "1", "-q"], str(tmp_path / "right.npz"), str(tmp_path / "wrong.npz")
    exit_code([*run, "--save", right])
    exit_code([*run, "--mistake", "z-inverted", "--save", wrong])
    capsys.readouterr()
    assert exit_code(["compare", wrong, wrong, "-q"]) == 0
    assert capsys.readouterr().out == "IDENTICAL  the same bits in every value\n"
    for pair in ((right, wrong), (wrong, right)):
        assert exit_code(["compare", *pair, "-q"]) == 1
        captured = capsys.readouterr()
        assert "values out of tolerance" in captured.out
        assert captured.err.count("deliberate mistake: gru.equation.z-inverted") == 1


def test_weights_that_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON stands for a file of weights wherever one is taken: h = tanh(x + h / 2), worked by hand."""
    weights = json.dumps({"weight_ih_l0": [[1.0]], "weight_hh_l0": [[0.5]]})
    first, second = np.tanh(1.0), np.tanh(0.3 + np.tanh(1.0) / 2)
    right = [[first], [second], [np.tanh(2.0 + second / 2)]]
    wrong = [[np.tanh(x)] for x in (1.0, 0.3, 2.0)]
    request = [weights, "--input", "[[1], [0.3], [2]]", "--expected"]
    assert exit_code(["compare", *request, json.dumps(right), "-q"]) == 0
    assert exit_code(["compare", weights, weights, "--input", "[[1], [0.3], [2]]", "-q"]) == 0
    assert exit_code(["diagnose", *request, json.dumps(right), "-q"]) == 0
    capsys.readouterr()
    assert exit_code(["diagnose", *request, json.dumps(wrong), "-q"]) == 0
    assert "rnn.recurrence.h-not-updated" in capsys.readouterr().out
