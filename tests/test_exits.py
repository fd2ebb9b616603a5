"""How the process ends when it is interrupted, cut off, or has nowhere to write."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from commandline import ask, refused

from rnntrace.cli.app import exit_code

pytestmark = pytest.mark.usefixtures("folder")

RNNTRACE = [sys.executable, "-m", "rnntrace"]


def interrupt(*_: object, **__: object) -> None:
    """Ctrl-C while the run is under way."""
    signal.raise_signal(signal.SIGINT)
    raise AssertionError("SIGINT was not delivered")


@pytest.mark.parametrize("place", ["rnntrace.api.run.run", "rnntrace.cli.output.emit", "os.fsync"])
def test_an_interrupt_is_130(place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether while computing, printing or writing: nothing half written, one word and no traceback."""
    monkeypatch.setattr(place, interrupt)
    # A shell that runs the tests in the background has the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answer = ask(capsys, "run", "rnn", "--seed", "1", "--output", "out.txt")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (answer.code, answer.out, answer.err) == (130, "", "rnntrace: interrupted\n")
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_stdout_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be written to stdout is an error like what cannot be written to a file."""
    full = open("/dev/full", "w")  # noqa: SIM115, PTH123
    try:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", full)
            code = exit_code(["run", "rnn", "--seed", "1"])
    finally:
        with suppress(OSError):
            full.close()
    assert code == 2
    assert capsys.readouterr().err == f"rnntrace: error: cannot write to stdout: {os.strerror(errno.ENOSPC)}\n"


def test_what_cannot_be_written_is_one_line_beside_a_warning_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A refused run does not say first what it would have warned of."""
    line = refused(capsys, "run", "rnn", "--input", "[[[NaN,1,2]]]", "--output", "missing/out.txt")
    assert "cannot write missing/out.txt: " in line


def into_a_closed_pipe(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """As before `| head`, once head has seen enough."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run([*RNNTRACE, *arguments], stdout=writing, stderr=subprocess.PIPE, timeout=120)
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("run", "rnn", "--seed", "1"), 0, b""),
        (("run", "rnn", "--input", "[[[NaN,1,2]]]"), 1, b"rnntrace: warning: x holds NaN or infinity\n"),
    ],
    ids=["a run that passes", "a run that does not"],
)
def test_a_reader_that_has_seen_enough_is_no_error(arguments: tuple[str, ...], code: int, said: bytes) -> None:
    """Cut off in mid-print there is no traceback and no complaint, and the exit code is the verdict's."""
    finished = into_a_closed_pipe(*arguments)
    assert (finished.returncode, finished.stderr) == (code, said)


def test_a_closed_stdout_is_no_error() -> None:
    """`>&-` leaves nowhere to print to: nothing is said, and the exit code is the verdict's."""
    shell = ["sh", "-c", 'exec "$@" >&-', "sh"]
    finished = subprocess.run([*shell, *RNNTRACE, "run", "rnn", "--seed", "1"], stderr=subprocess.PIPE, timeout=120)
    assert (finished.returncode, finished.stderr) == (0, b"")
