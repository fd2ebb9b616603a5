"""What docs/coursework.md hands to a platform, run as it would: an autograder's folder, and the steps of a workflow."""

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnntrace

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def exercise(folder: Path) -> Path:
    """A new exercise, the right values of ada, and `rnntrace` on the PATH."""
    rnntrace.new_exercise("lstm")
    Path("students.csv").write_text("id,email\nada,ada@uni.edu\n")
    rnntrace.worksheet("exercise.toml", roster="students.csv", key=True)
    with np.load("sheets.key/ada/key.npz") as key:
        np.savez("ada.npz", output=key["output"], c_n=key["c_n"])
    Path("bin").mkdir()
    command = Path("bin/rnntrace")
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rnntrace "$@"\n')
    command.chmod(0o755)
    return folder


def shell(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command with `rnntrace` on its PATH."""
    path = f"{Path('bin').resolve()}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(DOCS.parent), **more}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def autograder(folder: Path, hand_in: Path | None, email: str = "ada@uni.edu") -> tuple[int, dict[str, object]]:
    """The folder as Gradescope lays it out, its program run, and what that leaves."""
    shutil.rmtree(folder / "autograder", ignore_errors=True)
    source = folder / "autograder" / "source"
    shutil.copytree(DOCS / "autograder" / "gradescope", source)
    for name in ("exercise.toml", "exercise.secret", "students.csv"):
        shutil.copy(folder / name, source)
    (folder / "autograder" / "submission").mkdir()
    if hand_in:
        shutil.copy(hand_in, folder / "autograder" / "submission")
    metadata = {"id": 1, "users": [{"email": email, "id": 12, "name": "Ada"}]}
    (folder / "autograder" / "submission_metadata.json").write_text(json.dumps(metadata))
    shutil.copy(source / "run_autograder", folder / "autograder")
    done = shell("bash", str(folder / "autograder" / "run_autograder"), AUTOGRADER=str(folder / "autograder"))
    results = folder / "autograder" / "results" / "results.json"
    return done.returncode, json.loads(results.read_text()) if results.exists() else {}


@pytest.mark.slow
def test_the_gradescope_autograder(exercise: Path) -> None:
    """Right, unreadable, and nothing at all: each has results that say so."""
    code, found = autograder(exercise, exercise / "ada.npz")
    assert (code, found["score"]) == (0, 8)
    (exercise / "bad.npz").write_text("my cat ate it")
    code, found = autograder(exercise, exercise / "bad.npz")
    assert (code, found["score"]) == (0, 0)
    assert "bad.npz" in str(found["output"])
    code, found = autograder(exercise, None)
    assert (code, found["score"]) == (0, 0)
    assert "expected a file of numbers" in str(found["output"])
    assert autograder(exercise, exercise / "ada.npz", email="eve@uni.edu")[0] != 0
    assert (DOCS / "autograder" / "gradescope" / "run_autograder").stat().st_mode & stat.S_IXUSR


@pytest.mark.slow
def test_the_classroom_workflow(exercise: Path) -> None:
    """The steps of the job that are commands, but for the installation: what the reporter gets is the score."""
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((DOCS / "autograder" / "classroom" / "classroom.yml").read_text())
    (step,) = [step for step in workflow["jobs"]["grade"]["steps"] if step.get("id") == "grade"]
    secret = Path("exercise.secret").read_text()
    for hand_in, score in (("ada.npz", 8), (None, 0)):
        shutil.rmtree("hand-in", ignore_errors=True)
        Path("hand-in").mkdir()
        if hand_in:
            shutil.copy(hand_in, "hand-in")
        Path("output").unlink(missing_ok=True)
        done = shell("bash", "-e", "-c", step["run"], RNNTRACE_SECRET=secret, STUDENT="ada", GITHUB_OUTPUT="output")
        assert done.returncode == 0, done.stderr
        result = re.fullmatch(r"result=(\S+)\n", Path("output").read_text())
        assert result is not None
        found = json.loads(base64.b64decode(result[1]))
        assert sum(test["score"] for test in found["tests"]) == score
    assert not Path("exercise.secret").exists()


def test_the_page_shows_no_secret() -> None:
    """But the one that everybody can read."""
    page = (DOCS / "coursework.md").read_text(encoding="utf-8")
    assert "everybody can read this page" in page
    assert not re.search(r"\b[0-9a-f]{64}\b", page)
