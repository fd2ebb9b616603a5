"""How the process ends when it is interrupted, cut off, or has nowhere to write."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from commandline import ask, refused

from rnntrace.cli.app import exit_code, main

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


def test_a_mistake_of_ours_is_no_verdict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A bug shows its traceback and ends with a code that no verdict has, so that no script takes it for a wrong answer."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("rnntrace.api.run.run", broken)
    with pytest.raises(SystemExit) as ended:
        main(["run", "rnn"])
    assert ended.value.code == 70
    assert "ZeroDivisionError: planted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "request_",
    [
        "run rnn --weights w.npz --seed 1 --save w.npz",
        "run rnn --input x.npz --seed 1 --save x.npz",
        "run rnn --weights w.npz --seed 1 --save ../{folder}/w.npz",
        "show t.npz --output t.txt",
        "compare w.npz --seed 1 --output w.txt",
    ],
)
def test_what_was_read_is_not_replaced(request_: str, capsys: pytest.CaptureFixture[str]) -> None:
    """However it is spelled, a file that the answer came from is left as it is."""
    weights = {"weight_ih_l0": (2, 3), "weight_hh_l0": (2, 2), "bias_ih_l0": (2,), "bias_hh_l0": (2,)}
    np.savez("w.npz", **{name: np.zeros(shape) for name, shape in weights.items()})
    np.savez("x.npz", x=np.ones((2, 1, 3)))
    assert ask(capsys, "run", "rnn", "--seed", "1", "--save", "t.npz").code == 0
    Path("w.txt").symlink_to("w.npz")
    Path("t.txt").symlink_to("t.npz")
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    answer = ask(capsys, *request_.format(folder=Path.cwd().name).split())
    assert (answer.code, answer.out) == (2, "")
    assert "was read for this and would be replaced" in answer.err
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before
