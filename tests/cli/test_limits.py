"""Caps that an environment variable sets: the same request is refused and carried out by them alone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def ask(*arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code and stderr of a process of its own: caps are read once."""
    command = [sys.executable, "-m", "rnntrace", *arguments, "--quiet"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "too_low", "enough"),
    [
        ("MAX_BYTES", "100", "100000"),
        ("MAX_MEMBERS", "3", "4"),
        ("MAX_LAYERS", "1", "2"),
        ("MAX_PARAMETERS", "103", "104"),
        ("MAX_VALUES", "47", "48"),
    ],
)
def test_a_cap_is_set_by_its_variable(name: str, too_low: str, enough: str, folder: Path) -> None:
    """Refused with one line that names the variable where the cap is too low, and carried out where it is just enough."""
    weights = {"weight_ih_l0": (2, 3), "weight_hh_l0": (2, 2), "bias_ih_l0": (2,), "bias_hh_l0": (2,)}
    np.savez("rnn.npz", **{key: np.zeros(shape) for key, shape in weights.items()})
    # Worked by hand: 2 layers of an LSTM(3, 2) with both biases have
    # 4·2·(3 + 2 + 2) + 4·2·(2 + 2 + 2) = 104 parameters; a
    # trace of 4 steps of one layer's i, f, g, o, c, h in 2 units has 48 values.
    requests = {
        "MAX_LAYERS": ("run", "lstm", "--layers", "2"),
        "MAX_PARAMETERS": ("run", "lstm", "--layers", "2"),
        "MAX_VALUES": ("run", "lstm"),
    }
    request = requests.get(name, ("compare", "rnn.npz", "--input", "[[1, 2, 3]]", "--expected", "[[0, 0]]"))
    code, line = ask(*request, **{f"RNNTRACE_{name}": too_low})
    assert code == 2
    assert len(line.splitlines()) == 1
    assert f"RNNTRACE_{name}" in line
    assert ask(*request, **{f"RNNTRACE_{name}": enough})[0] != 2


@pytest.mark.slow
@pytest.mark.parametrize("text", ["many", "-1", "0", "1e9"])
def test_a_cap_that_is_no_number(text: str) -> None:
    """One line says what was expected."""
    code, line = ask("run", "lstm", RNNTRACE_MAX_LAYERS=text)
    assert code == 2
    assert "RNNTRACE_MAX_LAYERS should be a whole number above 0" in line
    assert len(line.splitlines()) == 1
