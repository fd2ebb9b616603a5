"""NaN and infinity in signals and weights: read, reported in one warning, shown, and never a PASS."""

import json
import re

import pytest
import torch
from commandline import ask
from formats import lstm

pytestmark = pytest.mark.usefixtures("folder")

SPELLINGS = ['"nan"', "NaN", '"inf"', "Infinity", '"-inf"', "1e999"]
KINDS = ["rnn", "lstm", "gru", "rnn-cell", "lstm-cell", "gru-cell"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("lstm", value) for value in SPELLINGS),
        *((kind, value) for kind in KINDS if kind != "lstm" for value in ("NaN", "-Infinity")),
    ],
)
def test_an_x_that_is_not_finite_never_passes(kind: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It loads, one warning reports it, and the verdict is open, even where every gate is finite."""
    text = f"[[[{value}, 1, 2]], [[1, 2, 3]]]"
    answer = ask(capsys, "run", kind, "--input", text, "--seed", "1", "--format", "json")
    document = json.loads(answer.out, parse_constant=pytest.fail)
    assert answer.err == "rnntrace: warning: x holds NaN or infinity\n"
    assert document["warnings"] == ["x holds NaN or infinity"]
    assert (document["verdict"], document["passed"], answer.code) == ("UNDECIDED", False, 1)


@pytest.mark.parametrize("form", ["table", "plain"])
@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_an_x_that_is_not_finite_is_shown_as_text(value: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The tables can be drawn, and the last line is the verdict."""
    answer = ask(capsys, "run", "lstm", "--input", f"[[[{value}, 1, 2]]]", "--seed", "1", "--format", form, "--show", "all")
    assert answer.code == 1
    assert answer.out.strip().splitlines()[-1].startswith("UNDECIDED")


@pytest.mark.parametrize("flag", ["--h0", "--c0"])
@pytest.mark.parametrize("value", ["NaN", "-Infinity"])
def test_a_state_that_is_not_finite_never_passes(flag: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The warning names the state."""
    answer = ask(capsys, "run", "lstm", flag, f"[[[{value}, 1]]]", "--seed", "1", "--quiet", "--format", "json")
    document = json.loads(answer.out)
    assert document["warnings"] == [f"{flag[2:]} holds NaN or infinity"]
    assert (document["verdict"], answer.code) == ("UNDECIDED", 1)


@pytest.mark.parametrize(("dtype", "value"), [("float16", "70000"), ("bfloat16", "1e300"), ("float32", "1e300")])
def test_an_x_too_large_for_the_format_never_passes(dtype: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It becomes infinite in the module's format, and is reported like any infinity and in no other way."""
    answer = ask(capsys, "run", "lstm", "--input", f"[[[{value}, 1, 2]]]", "--dtype", dtype, "--seed", "1", "-f", "json")
    assert answer.err == "rnntrace: warning: x holds NaN or infinity\n"
    assert (json.loads(answer.out)["verdict"], answer.code) == ("UNDECIDED", 1)


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("kind", "part", "dtype"),
    [
        *(("LSTM", "weight_ih_l0", dtype) for dtype in ("float16", "bfloat16", "float32", "float64")),
        ("LSTM", "bias_hh_l0", "float32"),
        ("LSTM", "bias_hh_l0", "bfloat16"),
        ("RNN", "weight_ih_l0", "float32"),
        ("GRU", "weight_ih_l0", "float32"),
    ],
)
def test_weights_that_are_not_finite_never_pass(
    kind: str, part: str, dtype: str, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """A single one is enough: it loads, a warning reports it, and the verdict is open even where every gate is finite."""
    torch.manual_seed(0)
    state = getattr(torch.nn, kind)(3, 2).to(getattr(torch, dtype)).state_dict()
    state[part].view(-1)[0] = value
    torch.save(state, "weights.pt")
    answer = ask(capsys, "run", kind, "--weights", "weights.pt", "--dtype", dtype, "--seed", "1", "-f", "json")
    assert re.fullmatch(r"rnntrace: warning: .*weight.* NaN or infinity\n", answer.err), answer.err
    assert (answer.code, json.loads(answer.out)["verdict"]) == (1, "UNDECIDED")


def test_weights_too_large_for_the_format_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """A float64 that float32 cannot hold becomes infinite, and both are said: that weights were rounded, and what of it."""
    state = lstm(torch.float64).state_dict()
    state["weight_hh_l0"][0, 0] = 1e300
    torch.save(state, "weights.pt")
    answer = ask(capsys, "run", "lstm", "--weights", "weights.pt", "--seed", "1", "--quiet", "-f", "json")
    assert (answer.code, json.loads(answer.out)["verdict"]) == (1, "UNDECIDED")
    assert json.loads(answer.out)["warnings"] == [
        "the weights have more digits than float32 holds and were rounded: see --dtype",
        "a weight holds NaN or infinity",
    ]
