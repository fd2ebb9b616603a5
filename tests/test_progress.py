"""A sign of life on a terminal that waits, and nothing anywhere else."""

import os
import pty
import re
import subprocess
import sys

import pytest

SLOW = """
import time
from rnntrace.cli.progress import clear, sign_of_life
with sign_of_life():
    time.sleep({seconds})
    {then}
print("the result")
"""
ERASED = "\x1b[2K"


def on_a_terminal(seconds: float, then: str = "pass") -> str:
    """What a process that works for so long writes to a terminal, stdout and stderr together."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", SLOW.format(seconds=seconds, then=then)]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL, close_fds=True)
    os.close(theirs)
    found = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        found += piece
    process.wait()
    os.close(ours)
    return found.decode()


def test_quick_work_writes_nothing() -> None:
    """Nothing before a second is over."""
    assert on_a_terminal(0.05).strip() == "the result"


@pytest.mark.parametrize("then", ["pass", "clear(); print('early')"])
def test_slow_work_shows_that_it_goes_on_and_cleans_up(then: str) -> None:
    """The spinner with its clock is there, and erased before what comes after it."""
    text = on_a_terminal(1.6, then)
    sign, erased, rest = text.rpartition(ERASED)
    assert "working" in sign
    assert erased
    written = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", rest).split()
    assert written == (["early"] if "early" in then else []) + ["the", "result"]


def test_off_a_terminal_there_is_nothing() -> None:
    """A pipe gets the result alone."""
    command = [sys.executable, "-c", SLOW.format(seconds=1.3, then="pass")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("the result\n", "")
