"""Honest work never fails, and wrong work never passes: configurations in which a simpler judge was wrong once."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import rnntrace
from rnntrace.cli.app import exit_code
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.engine.replay.replay import Column
from rnntrace.model.inputs import SignalRequest
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.given.sources import Sources
from rnntrace.verbs.judged import judged
from rnntrace.verbs.run import build_and_trace as run


@pytest.mark.parametrize("capture", ["on", "off"])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize(("scale", "inputs"), [(10, 300), (100, 50), (255, 20)])
def test_inputs_of_the_size_of_pixels(kind: str, scale: int, inputs: int, capture: str) -> None:
    """Terms of hundreds leave more rounding near zero than rtol and atol allow; correct modules pass all the same."""
    torch.manual_seed(scale)
    module, x = getattr(nn, kind)(inputs, 8), scale * torch.randn(6, 2, inputs)
    result = rnntrace.trace(module, x, capture=capture)
    assert result.passed


def test_what_rounding_explains_is_counted() -> None:
    """A pass that needs the rounding bound says for how many values, and an ordinary one does not."""
    torch.manual_seed(0)
    # torch rounds every gate to float16, which the replay, in float32, does not: on any kernels hundreds of values need it.
    half = rnntrace.trace(nn.GRU(8, 64, dtype=torch.float16), torch.randn(6, 2, 8, dtype=torch.float16))
    assert half.comparison.by_rounding > 0
    assert rnntrace.trace(nn.LSTM(3, 8), torch.randn(6, 2, 3)).comparison.by_rounding == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("tolerance", ["torch", "rounding"])
def test_given_outputs_of_a_stack(dtype: str, tolerance: str, tmp_path: Path) -> None:
    """Without the states of the lower layers the trajectory is judged, by a bound that carries its own error along."""
    torch.manual_seed(1)
    module = nn.GRU(3, 8, 2, bidirectional=True, dtype=getattr(torch, dtype))
    x = torch.randn(11, 2, 3, dtype=getattr(torch, dtype))
    with torch.no_grad():
        output, _ = module(x)
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    torch.save({"x": x}, tmp_path / "x.pt")
    torch.save({"output": output}, tmp_path / "right.pt")
    torch.save({"output": output + 0.3 * (torch.arange(output.numel()) == 77).reshape(output.shape)}, tmp_path / "wrong.pt")
    command = ["compare", str(tmp_path / "weights.pt"), "--input", str(tmp_path / "x.pt"), "--tolerance", tolerance, "-q"]
    assert exit_code([*command, "--expected", str(tmp_path / "right.pt")]) == 0
    assert exit_code([*command, "--expected", str(tmp_path / "wrong.pt")]) == 1


@pytest.mark.parametrize("seed", range(6))
def test_a_cell_state_that_counts(seed: int) -> None:
    """Where torch does not show c, the error of every step adds up in it; a counter over 400 steps is right all the same."""
    torch.manual_seed(seed)
    module = nn.LSTM(1, 2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module.bias_ih_l0[:4] = 20.0
        module.bias_ih_l0[6:] = 20.0
        module.weight_ih_l0[4:6] = 1.0
    up_and_down = torch.cat([torch.rand(200, 1, 1), -torch.rand(200, 1, 1)])
    assert rnntrace.trace(module, up_and_down, capture="off").passed


def test_padding_may_hold_anything() -> None:
    """NaN behind the end of a sequence is read by nobody."""
    torch.manual_seed(0)
    x = torch.randn(5, 3, 3)
    x[2:, 1] = float("nan")
    assert rnntrace.trace(nn.LSTM(3, 4, bidirectional=True), x, lengths=[5, 2, 4]).passed


def test_padding_does_not_hide_a_mistake() -> None:
    """Huge padding does not loosen the rounding bound at the steps that exist."""
    torch.manual_seed(0)
    module, x = nn.LSTM(3, 4, bidirectional=True), torch.randn(8, 2, 3)
    x[3:, 1] = 1e10
    right = rnntrace.trace(module, x, lengths=[8, 3], tolerance="rounding", capture="off")
    assert right.passed
    columns = dict(right.weights.columns)
    reverse = columns[0, "reverse"]
    columns[0, "reverse"] = replace(reverse, W_hh=reverse.W_hh[[1, 0, 2, 3]])
    wrong = judged(
        right.spec, replace(right.weights, columns=columns), right.inputs, right.observation, JudgeOptions(tolerance="rounding")
    )
    flagged = wrong.comparison.out_of_tolerance[0, "reverse", "h"]
    assert wrong.verdict is Verdict.FAIL
    assert flagged[:3, 1].any()


@pytest.mark.parametrize("batch", [16, 17, 40])
def test_packed_batches_of_any_size_are_captured(batch: int) -> None:
    """Sequences of equal length are in torch's own order, which is another one for large batches."""
    torch.manual_seed(0)
    lengths = [1 + item % 4 for item in range(batch)]
    result = rnntrace.trace(nn.GRU(3, 2, bidirectional=True), torch.randn(4, batch, 3), lengths=lengths, capture="on")
    assert result.observation.captured
    assert result.passed


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_free_replay_that_does_not_carry_its_state_is_no_drift(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every forced step right and the free trajectory wrong by a mistake of its own: FAIL, and not PASS (drift)."""
    right = Column._given

    def forgets(self: Column, *block: object) -> dict[str, np.ndarray]:
        """Start every step from the initial state."""
        starts = {} if "h" in self.known else {f"{state}_before": initial for state, initial in self.initial.items()}
        return right(self, *block) | starts

    monkeypatch.setattr("rnntrace.engine.replay.replay.BLOCK", 1)
    monkeypatch.setattr(Column, "_given", forgets)
    spec = ModuleSpec(kind=kind, input_size=3, hidden_size=4)
    result = run(spec, Sources(SignalRequest(steps=6)), seed=1)
    assert result.verdict is Verdict.FAIL


def test_a_pair_that_was_given_alone_decides(capsys: pytest.CaptureFixture[str]) -> None:
    """What rounding in float16 can explain does not count beside --atol: nothing differs where 0 is asked for."""
    for seed in range(5):
        command = ["run", "gru", "-H", "16", "-T", "20", "--dtype", "float16", "--seed", str(seed), "-q"]
        assert exit_code(command) == 0
        assert exit_code([*command, "--atol", "1e-2"]) == 0
        assert exit_code([*command, "--rtol", "0", "--atol", "0"]) == 1
    assert "rounding can explain" not in capsys.readouterr().out.splitlines()[-1]


def test_a_forced_replay_shows_the_outputs_that_were_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """The outputs and their differences come from the same replay, on whichever path the module ran."""
    torch.manual_seed(1)
    module = nn.LSTM(3, 32)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(6)
    result = rnntrace.trace(module, torch.randn(100, 1, 3), replay="forced", capture="on")
    difference = next(entry for entry in result.comparison.differences if entry.name == "output")
    assert np.abs(result.outputs["output"] - result.expected["output"]).max() == pytest.approx(difference.max_abs, abs=1e-9)


def test_what_was_not_captured_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A pass on states alone says that gates were not compared."""
    assert exit_code(["run", "gru", "--seed", "1", "--capture", "off", "-q"]) == 0
    assert "gates not compared" in capsys.readouterr().out
    assert exit_code(["run", "gru", "--seed", "1", "-q"]) == 0
    assert "gates not compared" not in capsys.readouterr().out


def test_a_result_is_its_own() -> None:
    """Later changes to the input or the module do not reach a result."""
    torch.manual_seed(0)
    module, x = nn.LSTM(3, 4, proj_size=2, dtype=torch.float64), torch.randn(5, 1, 3, dtype=torch.float64)
    result = rnntrace.trace(module, x)
    before = [result.inputs.x.copy(), *(array.copy() for array in result.weights[0, "forward"].arrays.values())]
    with torch.no_grad():
        x.add_(1)
        for parameter in module.parameters():
            parameter.add_(1)
    after = [result.inputs.x, *result.weights[0, "forward"].arrays.values()]
    for mine, theirs in zip(before, after, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_origin_and_seed_are_true(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file without x does not pass for its origin, an explicit random wins, and nothing drawn has no seed."""
    np.savez(tmp_path / "h.npz", h0=np.full((1, 1, 2), 0.5))
    assert exit_code(["run", "rnn", "--input", str(tmp_path / "h.npz"), "--seed", "1", "-f", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"]["h0"] == [[[0.5, 0.5]]]
    assert exit_code(["run", "rnn", "--input", str(tmp_path / "h.npz"), "--seed", "1"]) == 0
    assert "x: normal" in capsys.readouterr().out
    assert exit_code(["run", "rnn", "--input", str(tmp_path / "h.npz"), "--h0", "random", "--seed", "1", "-f", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"]["h0"] != [[[0.5, 0.5]]]
    np.savez(tmp_path / "w.npz", **{name: value.numpy() for name, value in nn.RNN(3, 2).state_dict().items()})
    assert exit_code(["run", "rnn", "--input", "[[1,2,3]]", "--weights", str(tmp_path / "w.npz"), "-f", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["seed"] is None


def test_weights_that_lose_digits_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """float64 weights in a float32 module are rounded, and that is said; in a float64 module they are not."""
    torch.save(nn.RNN(3, 2, dtype=torch.float64).state_dict(), tmp_path / "w.pt")
    command = ["run", "rnn", "--weights", str(tmp_path / "w.pt"), "--seed", "1", "-q"]
    assert exit_code(command) == 0
    assert "more digits than float32 holds" in capsys.readouterr().err
    assert exit_code([*command, "--dtype", "float64"]) == 0
    assert capsys.readouterr().err == ""


def test_save_and_output_may_not_be_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither would be whole."""
    target = str(tmp_path / "a.npz")
    assert exit_code(["run", "rnn", "--seed", "1", "--save", target, "-o", target]) == 2
    assert "give them different files" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": np.zeros((4, 3))}, "x should have shape"),
        ({"h0": np.zeros((1, 1, 3))}, "h0 should have shape"),
        ({"states": {"h": np.zeros((1, 1, 2))}}, "c0 should have shape"),
        ({"lengths": (9,)}, "lengths should be 1 numbers from 1 to 4"),
    ],
)
def test_replay_checks_what_it_is_given(change: dict[str, object], words: str) -> None:
    """Signals, weights and known states that do not fit are refused in one sentence."""
    result = run(ModuleSpec(kind="LSTM", input_size=3, hidden_size=2), seed=1)
    assert rnntrace.replay(result.spec, result.weights, result.inputs, "free")["h"].shape == (4, 1, 2)
    with pytest.raises(rnntrace.RnnTraceError, match=words):
        rnntrace.replay(result.spec, result.weights, replace(result.inputs, **change))
    other = ModuleSpec(kind="GRU", input_size=3, hidden_size=2)
    with pytest.raises(rnntrace.RnnTraceError, match="weights of layer 0, forward, should have shapes"):
        rnntrace.replay(other, result.weights, replace(result.inputs, states={"h": result.inputs.h0}))
    with pytest.raises(rnntrace.RnnTraceError, match="a forced replay needs"):
        rnntrace.replay(result.spec, result.weights, result.inputs, "forced", known={(0, "forward", "c"): result.trace["c"]})
