"""A progress on a terminal that waits, with how far the work is, and nothing anywhere else."""

import fcntl
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from rnntrace.cli import progress

SLOW = """
import threading, time
from rnntrace.cli import progress
from rnntrace.cli.progress import clear, showing_progress, tell

clock, drawn = 100.0, []
progress.PATIENCE, progress.monotonic = {patience}, lambda: clock
draw = progress._Sign._line
progress._Sign._line = lambda self, *place: drawn.append(clock) or draw(self, *place)

def go(seconds=0.0):
    "Let so much time go by, and wait until the sign has been drawn since then, however slow this machine is."
    global clock
    clock += seconds
    before = len(drawn)
    # One drawing may have begun before.
    while len(drawn) < before + 2:
        time.sleep(0.01)

with showing_progress():
    {work}
print("the result")
"""
SOON = 0.05
"""Seconds before something is drawn, for what waits for that, or sees that nothing is."""
ERASED = "\x1b[2K"
TOLD = "tell('layer 0, forward', 0.2); go(1); tell('layer 0, forward', 0.426); go()"


def program(work: str, patience: float) -> list[str]:
    """A Python that does this work under a progress."""
    return [sys.executable, "-c", SLOW.format(work=work, patience=patience)]


def on_a_terminal(work: str, columns: int = 80, patience: float = SOON) -> str:
    """What a process that does this work writes to a terminal, stdout and stderr together."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        program(work, patience),
        stdout=theirs,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
        close_fds=True,
        env={**environment, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
    )
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


def lines(text: str) -> list[str]:
    """The lines that were drawn one over the other, without what moves the cursor and colours."""
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\n", "\r").split("\r")
    return [line for line in drawn if line]


@pytest.mark.slow
def test_quick_work_writes_nothing() -> None:
    """Nothing before a second is over, whatever is told."""
    assert on_a_terminal("tell('layer 0', 0.5)", patience=progress.PATIENCE).strip() == "the result"


@pytest.mark.slow
@pytest.mark.parametrize(
    "then", ["pass", "clear(); print('early')", "clear(); tell('late', 0.5); time.sleep(0.3); print('early')"]
)
def test_slow_work_shows_that_it_goes_on_and_cleans_up(then: str) -> None:
    """The spinner with its clock is there, and erased before what comes after it; it does not come again."""
    text = on_a_terminal(f"go(1.6); {then}")
    sign, erased, rest = text.rpartition(ERASED)
    assert re.fullmatch(r"\S working 0:01", lines(sign)[-1])
    assert erased
    assert " ".join(lines(rest)).split() == (["early"] if "early" in then else []) + ["the", "result"]


@pytest.mark.slow
def test_off_a_terminal_there_is_nothing() -> None:
    """A pipe gets the result alone."""
    work = program("tell('layer 0', 0.5); time.sleep(0.3)", SOON)
    done = subprocess.run(work, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("the result\n", "")


@pytest.mark.slow
def test_told_work_has_a_bar() -> None:
    """From 0.2 to 0.426 in a second: 0.574 more take 2.54 s."""
    drawn = lines(on_a_terminal(TOLD))
    assert re.fullmatch(r"\S layer 0, forward [━╸╺]{30,40}  42% 0:01, 0:02 left", drawn[-2])
    assert all(len(line) < 80 for line in drawn)


@pytest.mark.slow
def test_a_narrow_terminal_keeps_the_numbers() -> None:
    """Of 40 columns none are left for the bar, and long words are cut; the line stays one line."""
    drawn = lines(on_a_terminal(TOLD, columns=40))
    assert re.fullmatch(r"\S layer 0, forward  42% 0:01, 0:02 left", drawn[-2])
    drawn = lines(on_a_terminal(TOLD.replace("layer 0", "a file whose name is long"), columns=40))
    assert re.fullmatch(r"\S a file whose na…  42% 0:01, 0:02 left", drawn[-2])


@pytest.mark.slow
@pytest.mark.parametrize(("done", "words"), [("1", "working"), ("float('nan')", "torch")])
def test_what_follows_may_have_no_known_length(done: str, words: str) -> None:
    """Behind work that is over, and where nobody can tell, there is no bar."""
    drawn = lines(on_a_terminal(f"tell('layer 0', 0.5); go(1.3); tell('torch', {done}); go()"))
    assert any("50%" in line for line in drawn)
    assert re.fullmatch(rf"\S {words} 0:01", drawn[-2])


@pytest.mark.slow
def test_many_threads_may_tell() -> None:
    """Thousands of calls from several threads: lines as ever, and the process ends."""
    work = "tell('t.npz', k / 30000) for k in range(30000)"
    many = f"[thread.start() for thread in [threading.Thread(target=lambda: [{work}]) for _ in range(8)]]; go(1.4)"
    drawn = lines(on_a_terminal(many))
    assert all(re.fullmatch(r"\S (t.npz [━╸╺]+ +\d+%|working) 0:0[01](, \d+:\d\d left)?", line) for line in drawn[:-1])
    assert "t.npz" in drawn[-2]
    assert drawn[-1] == "the result"


@pytest.mark.slow
def test_what_is_told_is_fit_to_print() -> None:
    """The name of a file may hold whatever moves a cursor, or looks like rich's markup."""
    text = on_a_terminal("tell('[bold]a\\x1b[5A\\n.npz', 0.5); go(1.3)")
    assert "\x1b[5A" not in text
    assert re.match(r"\S \[bold\]a\S+\.npz ", lines(text)[-2])


def test_pace_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds left at the pace since the work began; what starts again has a new pace."""
    clock = 100.0
    monkeypatch.setattr(progress, "monotonic", lambda: clock)
    sign = progress._Sign()

    def left_after(seconds: float, what: str, done: float) -> float:
        nonlocal clock
        clock += seconds
        sign.tell(what, done)
        return sign._told.left(clock)

    assert left_after(50, "layer 0", 0.0) == math.inf
    assert left_after(10, "layer 0", 0.25) == pytest.approx(30)
    assert left_after(10, "layer 0", 0.75) == pytest.approx(20 / 3)
    assert sign._told.left(clock + 5) == pytest.approx(20 / 3 - 5)
    assert sign._told.left(clock + 50) == 0
    assert left_after(10, "layer 1", 0.5) == math.inf
    assert left_after(2, "layer 1", 0.75) == pytest.approx(2)
    assert left_after(2, "layer 1", 1.0) == math.inf
    assert left_after(10, "t.npz", 0.5) == math.inf
    assert left_after(1, "t.npz", 0.6) == pytest.approx(4)


def test_without_a_sign_telling_does_nothing() -> None:
    """As in the library's own use, and behind the end of a command."""
    progress.tell("layer 0", 0.5)
    assert progress._current is None


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.9, "0:00"), (67.2, "1:07"), (3599, "59:59"), (3607, "1:00:07"), (90000, "25:00:00")]
)
def test_clock(seconds: float, shown: str) -> None:
    """Whole minutes and seconds, and hours where there are any."""
    assert progress._clock(seconds) == shown
