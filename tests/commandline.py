"""Commands, run in this process and seen as their user sees them."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rnntrace.cli.app import exit_code

LONGEST_LINE = 1_000
"""An error is one line that a person reads, whatever a file or a flag holds."""
EVIL = "\x1b[31mevil\u202e\u2066\x07\x9b"
"""A name with a colour, two changes of direction, a bell and a C1 control."""
ESCAPED = r"\x1b[31mevil\u202e\u2066\x07\x9b"
"""The same name, fit to print."""


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str


def ask(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Answer:
    """Run a command; fails if it shows its user a Python warning, or prints what cannot be encoded."""
    code, unfit = -1, None
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("ignore")
        for category in (UserWarning, RuntimeWarning, FutureWarning):
            warnings.simplefilter("always", category)
        try:
            code = exit_code([str(argument) for argument in arguments])
        except UnicodeEncodeError as error:
            unfit = ascii(error.object)
    captured = capsys.readouterr()
    assert unfit is None, unfit
    assert [str(warning.message) for warning in shown] == [], f"beside {captured.err!r}"
    return Answer(code, captured.out, captured.err)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run a command that cannot be carried out, and give the one line it says; fails if it writes anything else."""
    before = files()
    answer = ask(capsys, *arguments)
    assert (answer.code, answer.out) == (2, ""), answer
    assert answer.err.startswith("rnntrace: error: "), answer
    assert answer.err.endswith("\n"), answer
    line = answer.err[:-1]
    assert line.isprintable(), answer
    assert "Traceback" not in line
    assert len(line) <= LONGEST_LINE, line
    assert files() == before, arguments
    return line


def files() -> dict[Path, tuple[int, ...]]:
    """What lies in the current folder, and when each thing was last written."""
    found = {path: path.lstat() for path in Path().rglob("*")}
    return {path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def all_in(fragments: tuple[str, ...], line: str) -> bool:
    """Whether every fragment stands in the line; shows the line where not."""
    absent = [fragment for fragment in fragments if fragment not in line]
    assert absent == [], line
    return True


def document(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """The JSON answer of a run that passes."""
    answer = ask(capsys, "run", *arguments, "--seed", "1", "--format", "json")
    assert (answer.code, answer.err) == (0, ""), answer
    found: dict[str, Any] = json.loads(answer.out, parse_constant=pytest.fail)
    return found
