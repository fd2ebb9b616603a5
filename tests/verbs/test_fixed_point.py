"""Integers of a fixed-point port: numbers on a grid, known to half a step, and judged in steps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import ask

import rnntrace
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Verdict

X = np.random.default_rng(1).normal(size=(6, 1, 3))


def made(bits: int) -> tuple[dict[str, Any], np.ndarray]:
    """Weights as integers of 2^-bits and what torch gives for them in float64."""
    torch.manual_seed(1)
    module = torch.nn.GRU(3, 4).double()
    with torch.no_grad():
        integers = {name: torch.round(value * 2**bits).to(torch.int16) for name, value in module.state_dict().items()}
        for name, value in module.named_parameters():
            value.copy_(integers[name] / 2**bits)
        output = module(torch.tensor(X))[0].numpy()
    return {name: value.numpy() for name, value in integers.items()}, output


def judged(weights: Any, expected: Any, **options: Any) -> Result:
    found = rnntrace.compare(weights, X, expected=expected, **options)
    assert isinstance(found, Result)
    return found


def test_integers_of_weights_and_outputs_are_numbers() -> None:
    """By a quotient, a decimal and q; half a step is rounding, a step is a difference, told in steps."""
    weights, output = made(7)
    integers = np.round(output * 2**7).astype(np.int8)
    for grid in ({"scale": "1/128"}, {"scale": 2**-7}, {"q": "1.7"}, {"q": "Q1.7"}):
        found = judged(weights, integers, **grid)
        assert str(found.verdict) == "PASS (rounded)", (grid, found.verdict)
        assert [said for said in found.warnings if "steps of a grid of 0.0078125" in said]
    off = integers + (np.arange(integers.size) == 9).reshape(integers.shape).astype(np.int8)
    found = judged(weights, off, scale="1/128")
    assert found.verdict is Verdict.FAIL
    (said,) = [said for said in found.warnings if "steps of a grid" in said]
    assert 0.5 <= float(said.split("is ")[1].split()[0]) <= 1.5


def test_zero_point_and_text() -> None:
    """Unsigned integers of a .json; the same without the zero point fail."""
    weights, output = made(7)
    integers = np.round(output * 128 + 128).astype(int)
    Path("y.json").write_text(json.dumps({"output": integers.tolist()}))
    assert not judged({name: value / 128 for name, value in weights.items()}, "y.json", scale="1/128").passed
    assert judged({name: value / 128 for name, value in weights.items()}, "y.json", scale="1/128", zero_point=128).passed


def test_floats_are_left_alone_and_a_grid_without_integers_is_refused() -> None:
    weights, output = made(7)
    floats = {name: value / 128 for name, value in weights.items()}
    assert judged(weights, output, q="1.7").passed
    with pytest.raises(rnntrace.RnnTraceError, match="no array of integers is there"):
        judged(floats, output, q="1.7")


def test_a_coarse_grid_says_nothing() -> None:
    """What half a step allows must not pass for agreement."""
    weights, output = made(7)
    floats = {name: value / 128 for name, value in weights.items()}
    assert judged(floats, np.zeros(output.shape, np.int8), scale=4).verdict is not Verdict.PASS
    assert judged(floats, np.zeros(output.shape, np.int8), scale="1/128").verdict is Verdict.FAIL


def test_a_mistake_is_found_on_the_grid() -> None:
    """Two gates exchanged in a port of integers."""
    weights, _ = made(7)
    module = torch.nn.GRU(3, 4).double()
    order = [1, 0, 2]
    for name, value in module.named_parameters():
        blocks = torch.tensor(weights[name] / 128).reshape(3, 4, -1)[order]
        value.data = blocks.reshape(value.shape)
    integers = np.round(module(torch.tensor(X))[0].detach().numpy() * 128).astype(np.int8)
    found = rnntrace.diagnose(weights, X, integers, scale="1/128")
    assert found.answers
    assert "gate-order" in found.answers[0].id


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--scale", "0"], "--scale is a number above 0"),
        (["--scale", "1/0"], "--scale is a number above 0"),
        (["--scale", "nan"], "--scale is a number above 0"),
        (["--q", "15"], "--q gives the bits before and behind the point"),
        (["--q", "1.7", "--scale", "1/128"], "leave one of them out"),
        (["--zero-point", "3"], "--zero-point belongs to a grid"),
    ],
)
def test_what_is_no_grid_is_refused(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    weights, output = made(7)
    np.savez("w.npz", **weights)
    np.save("x.npy", X)
    np.save("y.npy", np.round(output * 128).astype(np.int8))
    for command in ("compare", "diagnose"):
        told = ask(capsys, command, "w.npz", "--input", "x.npy", "--expected", "y.npy", *flags)
        assert told.code == 2
        assert message in told.err
    assert ask(capsys, "compare", "w.npz", "--input", "x.npy", "--expected", "y.npy", "--q", "1.7", "--quiet").code == 0
