"""The scripts of docs/coursework.md, run as a teacher would: a folder of hand-ins, and one exit code for all of them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

PAGE = (Path(__file__).parents[2] / "docs" / "coursework.md").read_text(encoding="utf-8")


@pytest.fixture
def exercise(folder: Path) -> Path:
    """Weights, an input, two right hand-ins, and `rnntrace` on the PATH."""
    torch.manual_seed(1)
    gru, x = nn.GRU(3, 2), torch.randn(6, 1, 3)
    with torch.no_grad():
        output, h_n = gru(x)
    np.savez("weights.npz", **{name: value.numpy() for name, value in gru.state_dict().items()})
    np.savez("x.npz", x=x.numpy())
    Path("hand-ins").mkdir()
    np.savez("hand-ins/ada.npz", output=output.numpy(), h_n=h_n.numpy())
    np.savez("hand-ins/eve.npz", output=output.numpy())
    Path("bin").mkdir()
    command = Path("bin/rnntrace")
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rnntrace "$@"\n')
    command.chmod(0o755)
    return folder


def hand_in_a_wrong_one() -> None:
    """One value of step 4 is off."""
    with np.load("hand-ins/ada.npz") as right:
        output = right["output"].copy()
    output[3, 0, 1] += 0.01
    np.savez("hand-ins/bob.npz", output=output)


def shell(*command: str) -> subprocess.CompletedProcess[str]:
    """A command with `rnntrace` on its PATH."""
    path = f"{Path('bin').resolve()}{os.pathsep}{os.environ['PATH']}"
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": root}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def block(language: str, holds: str) -> str:
    """The code block of the page that holds these words."""
    (found,) = [body for body in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if holds in body]
    return str(found)


@pytest.mark.slow
@pytest.mark.usefixtures("exercise")
def test_the_script_ends_with_one_exit_code() -> None:
    """0 while all are right; 1 with a wrong one, whose first mistake is told, and with one that cannot be read."""
    script = block("sh", "for hand_in in")
    everyone_right = shell("sh", "-c", script)
    assert (everyone_right.returncode, everyone_right.stdout.count("PASS")) == (0, 2)
    hand_in_a_wrong_one()
    Path("hand-ins/zoe.npz").write_text("my cat ate it")
    with_bob = shell("sh", "-c", script)
    assert with_bob.returncode == 1
    parts = re.split(r"^hand-ins/(\w+)\.npz\n", with_bob.stdout, flags=re.MULTILINE)
    said = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert list(said) == ["ada", "bob", "eve", "zoe"]
    assert said["ada"].startswith("PASS")
    assert "FAIL  first at h (hidden state), layer 0, forward, t=4, item 0, unit 1" in said["bob"]
    assert "rnntrace: error: hand-ins/zoe.npz" in said["zoe"]


@pytest.mark.slow
@pytest.mark.usefixtures("exercise")
@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_the_makefile_goes_on_behind_a_wrong_one() -> None:
    """make -k checks everyone, ends with an error, and does not check the right ones again."""
    Path("Makefile").write_text(block("make", "check:"))
    hand_in_a_wrong_one()
    assert shell("make", "-k", "check").returncode == 2
    assert {path.name for path in Path("hand-ins").glob("*.checked")} == {"ada.checked", "eve.checked"}
    again = shell("make", "-k", "check")
    assert again.stdout.count("FAIL") == 1
    assert "PASS" not in again.stdout
