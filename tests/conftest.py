"""What all tests share: one thread, and no settings of the terminal they happen to run in."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# How long an example takes is the machine's affair.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Threads are slower than the work at these sizes, and there is a process for every core already. OMP_NUM_THREADS in the
# surroundings says otherwise. Here, before numpy and torch are loaded, it holds for them and for the processes of the tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Width and colour are what a test says, not what the surroundings say."""
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that starts a process says that it is slow, so that the quick ones stay quick."""

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("this test starts a process: mark it with @pytest.mark.slow")

    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(subprocess.Popen, "__init__", refuse)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of its own for each test, which is also the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
