"""What a pass has not shown, and signs of a network in trouble."""

import json
import re
from typing import Any

import numpy as np
import pytest
import torch
from commandline import ask, refused
from hypothesis import given
from strategies import Problem, examples, problems

from rnntrace.engine.diagnose.blindness import blindness
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.mistake import catalogue, outputs_of
from rnntrace.engine.judge.tolerance import TORCH_TOLERANCES

pytestmark = pytest.mark.usefixtures("folder")


def blind(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    """What a run is blind to, and what would show it."""
    answer = ask(capsys, *arguments, "--blind", "--format", "json")
    found: dict[str, Any] = json.loads(answer.out)
    assert answer.code == (0 if found["passed"] else 1)
    spots = {spot["id"]: spot["shown_by"] for spot in found["blind"]["mistakes"]}
    assert len(spots) <= found["blind"]["possible"]
    return spots


def test_one_step_from_zeros_cannot_show_what_multiplies_the_state(capsys: pytest.CaptureFixture[str]) -> None:
    """W_hh·0 is 0 however W_hh is turned, and f·0 is 0 whatever f is."""
    found = blind(capsys, "run", "lstm", "--seed", "1", "-T", "1")
    assert {"lstm.transpose.W_hh", "lstm.forget-bias.added", "lstm.state.h0-ignored", "lstm.time.reversed"} <= found.keys()
    assert "lstm.gate-order.iofc" not in found
    assert found["lstm.transpose.W_hh"] == "initial states that are not zero (--h0 random --c0 random)"
    assert found["lstm.time.reversed"] == "more steps (--steps 4)"


def test_what_is_said_to_show_it_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    """With the flags of the table the mistake, made on purpose, fails; without them it passes."""
    for mistake, flags in (("transpose.W_hh", ("--h0", "random")), ("time.reversed", ("--steps", "4"))):
        short = ("run", "rnn", "--seed", "1", "-T", "1", "--quiet")
        assert ask(capsys, *short, "--mistake", mistake).code in (0, 2)
        again = [*short[:4], *(() if "--steps" in flags else ("-T", "1")), "--quiet", *flags]
        assert ask(capsys, *again, "--mistake", mistake).code == 1
        assert f"rnn.{mistake}" not in blind(capsys, *again)


def test_biases_of_zero_cannot_show_where_they_are_added(capsys: pytest.CaptureFixture[str]) -> None:
    """Keras starts biases at zero: no input shows a GRU's b_hn on the wrong side of the reset gate."""
    torch.manual_seed(0)
    module = torch.nn.GRU(3, 2)
    arrays = {name: array.detach().numpy() * ("weight" in name) for name, array in module.named_parameters()}
    np.savez("w.npz", **arrays)
    found = blind(capsys, "compare", "w.npz", "--seed", "1", "--h0", "random")
    assert found["gru.bias.hidden-outside-reset"] == "biases that are not zero"
    assert found["gru.bias.hh-dropped"] == "biases that are not zero"
    assert "gru.transpose.W_hh" not in found


def test_a_clip_is_shown_by_the_cell_state_that_is_said_to_show_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Small cell states cannot show a clip at 5; with one of the size that is named it fails, with a twentieth it does not."""
    short = ("run", "lstm", "-H", "2", "--seed", "1", "-T", "2")
    says = blind(capsys, *short)["lstm.equation.clip-5"]
    large = re.fullmatch(r"a large cell state \(c0 of (\d+)\)", says)
    assert large
    for size, code in ((float(large[1]), 1), (float(large[1]) / 20, 0)):
        states = ("--c0", f"[[[{size}, {-size}]]]")
        assert ("lstm.equation.clip-5" in blind(capsys, *short, *states)) is (code == 0)
        clipped = ask(capsys, *short, *states, "--mistake", "equation.clip-5", "--quiet")
        assert clipped.code == code


def test_the_last_line_counts_and_the_exit_code_stays(capsys: pytest.CaptureFixture[str]) -> None:
    """The table lists as many as the line says; the verdict is that of the run."""
    answer = ask(capsys, "run", "gru", "--seed", "1", "--blind")
    assert answer.code == 0
    assert "blind to, judged by the outputs alone" in answer.out
    rows = [line for line in answer.out.splitlines() if line.strip().startswith("gru.")]
    assert f"blind to {len(rows)} of " in answer.out.splitlines()[-1]
    failed = ask(capsys, "run", "gru", "--seed", "1", "--blind", "--mistake", "z-inverted", "--quiet")
    assert (failed.code, "blind to " in failed.out) == (1, True)
    plain = ask(capsys, "run", "gru", "--seed", "1").out
    assert "blind" not in plain


def test_blind_is_asked_of_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Two files have no one run."""
    ask(capsys, "run", "gru", "--seed", "1", "--quiet", "--save", "t.npz")
    assert "--blind asks about one file of weights" in refused(capsys, "compare", "t.npz", "t.npz", "--blind")


@pytest.mark.slow
@given(case=problems())
@examples(12)
def test_a_blind_spot_leaves_every_output_and_no_other_mistake_does(case: Problem) -> None:
    """Those that are listed change nothing, or cannot be made; all others that are possible show."""
    start = Case.of(case.spec, case.weights, case.inputs)
    found = blindness(start, TORCH_TOLERANCES["float64"])
    listed = {spot.mistake.id for spot in found.spots}
    right = outputs_of(start)
    assert right is not None
    shown = 0
    for mistake in catalogue(start.cell):
        outputs = outputs_of(start, (mistake,))
        differs = outputs is not None and not all(
            outputs[name].shape == values.shape and np.allclose(outputs[name], values, rtol=1e-7, atol=1e-7)
            for name, values in right.items()
        )
        shown += differs
        assert not (differs and mistake.id in listed), mistake.id
    assert found.possible == shown + len(listed)


# --- saturation, growth, overflow -----------------------------------------------------------------------------------------

BIASED = (
    '{"weight_ih_l0": [[0], [0], [0], [0]], "weight_hh_l0": [[0], [0], [0], [0]], "bias_ih_l0": %s, "bias_hh_l0": [0, 0, 0, 0]}'
)


def warned(capsys: pytest.CaptureFixture[str], biases: str, *arguments: str) -> str:
    """What a run of an LSTM with these biases and nothing else warns of."""
    run = ("run", "lstm", "-i", "1", "-H", "1", "--seed", "1", "--weights", BIASED % biases, "--quiet")
    return ask(capsys, *run, *arguments).err


def test_gates_at_their_ends_are_remarked_on(capsys: pytest.CaptureFixture[str]) -> None:
    """σ(9) is above 0.99 and σ(-9) below 0.01 at every step; σ(2) is neither."""
    lines = warned(capsys, "[-9, 2, 0, 9]").splitlines()
    assert "rnntrace: warning: layer 0: saturated gates, i 100% below 0.01, o 100% above 0.99" in lines
    assert "saturated" not in warned(capsys, "[2, 2, 0, -2]")


def test_a_cell_state_that_grows_is_remarked_on(capsys: pytest.CaptureFixture[str]) -> None:
    """i, f, g of nearly 1 add 1 at every step: 30 after 30; not after 5, and not with f = 1/2."""
    assert "layer 0: |c| is 30 after 30 steps and still growing" in warned(capsys, "[20, 20, 20, 0]", "-T", "30")
    assert "growing" not in warned(capsys, "[20, 20, 20, 0]", "-T", "5")
    assert "growing" not in warned(capsys, "[20, 0, 20, 0]", "-T", "30")


def test_overflow_is_remarked_on(capsys: pytest.CaptureFixture[str]) -> None:
    """A ReLU network that multiplies by 1e20 at every step leaves float32 at the second."""
    weights = '{"weight_ih_l0": [[1e20]], "weight_hh_l0": [[1e20]], "bias_ih_l0": [0], "bias_hh_l0": [0]}'
    run = ("run", "rnn", "-i", "1", "-H", "1", "--nonlinearity", "relu", "--weights", weights, "--input", "[[1], [1], [1]]")
    answer = ask(capsys, *run, "--quiet")
    assert answer.code == 1
    assert "layer 0: h overflows at 2 of 3 values" in answer.err
