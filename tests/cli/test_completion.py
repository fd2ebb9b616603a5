"""What a shell is told when somebody presses the tab key."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnntrace.cli.app import exit_code

pytestmark = pytest.mark.usefixtures("folder")


def offered(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What bash gets for the last word of a line."""
    monkeypatch.setenv("_RNNTRACE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(f"{line}.".split()) - 1))
    with pytest.raises(SystemExit):
        exit_code([])
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rnntrace comp", ["compare"]),
        ("rnntrace run l", ["lstm", "lstm-cell"]),
        ("rnntrace run lstm --framework k", ["keras"]),
        ("rnntrace explain lstm --framework ke", ["keras", "3"]),
        ("rnntrace layouts matl", ["matlab"]),
        ("rnntrace run lstm --dtype b", ["bfloat16"]),
        ("rnntrace run lstm --show ga", ["gates"]),
        ("rnntrace run lstm --show gates,te", ["gates,terms"]),
        ("rnntrace backward lstm --show gra", ["gradients"]),
        ("rnntrace backward lstm --loss m", ["mse"]),
        ("rnntrace run gru --mistake gru.equation.reset-b", ["gru.equation.reset-before"]),
        ("rnntrace mistakes lstm --family gate-", ["gate-order"]),
        ("rnntrace cells lstm-pe", ["lstm-peepholes"]),
        ("rnntrace compare we", ["weights/", "weights.pt"]),
        ("rnntrace compare weights/", ["weights/best.npz"]),
        ("rnntrace compare weights.pt --input x", ["x.csv"]),
        ("rnntrace show ", ["t.npz", "weights/"]),
        ("rnntrace inspect nowhere/", []),
        ("rnntrace run transformer --mistake gru.precision.b", ["gru.precision.bfloat16"]),
    ],
)
def test_values_are_completed(
    line: str, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the flag takes, and of the kind that the line has."""
    for name in ("weights.pt", "weights.md", "x.csv", "x.pdf", "t.npz", ".hidden.npz"):
        Path(name).touch()
    Path("weights").mkdir()
    Path("weights", "best.npz").touch()
    if line == "rnntrace show ":
        Path("weights.pt").unlink()
    assert offered(line, capsys, monkeypatch) == words


@pytest.mark.slow
def test_completion_loads_nothing_heavy() -> None:
    """A key is pressed, and somebody waits."""
    code = (
        "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from rnntrace.cli.app import exit_code; exit_code([])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "_RNNTRACE_COMPLETE": "complete_bash", "COMP_WORDS": "rnntrace run l", "COMP_CWORD": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["lstm", "lstm-cell"]
    assert not {"torch", "numpy"} & {*done.stderr.split()}
