"""What rnntrace finds on this machine."""

import json
from importlib.metadata import version

import pytest
import torch

from rnntrace import __version__
from rnntrace.cli.app import exit_code
from rnntrace.verbs import doctor as api


def test_versions_and_path(capsys: pytest.CaptureFixture[str]) -> None:
    """Versions are those of the packages, and the path that of a module run here."""
    assert exit_code(["doctor", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["rnntrace"] == __version__
    assert found["versions"]["torch"] == version("torch")
    assert found["facts"]["path of nn.LSTM in float32"] in ("oneDNN", "native")
    assert found["facts"]["threads of torch"] == str(torch.get_num_threads())
    assert exit_code(["run", "lstm", "--seed", "1", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["environment"]["path"] == found["facts"]["path of nn.LSTM in float32"]


def test_what_is_missing_has_its_pip_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is not installed is named, with the line that installs it."""
    assert exit_code(["doctor"]) == 0
    assert "nothing is missing" in capsys.readouterr().out
    monkeypatch.setattr(api, "EXTRAS", {"no-such-extra": ("no-such-package", "something")})
    assert exit_code(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "not installed" in text
    assert "pip install -c constraints.txt 'rnntrace[no-such-extra]'" in text


def test_a_checkup_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator of a program that asks is left as it was."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    api.check_up()
    assert torch.equal(before, torch.get_rng_state())
