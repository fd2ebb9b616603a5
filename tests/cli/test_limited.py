"""Commands on files of others are kept to a time and a memory by the system, whatever a library does, and end in one line."""

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from commandline import files, refused

from rnntrace.cli.app import app

pytestmark = [
    pytest.mark.usefixtures("folder"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memory is kept to a size on Linux alone")
PROGRAM = """
import sys, types
from rnntrace.cli.app import main
def read(path, names=(), **_):
    import ctypes, os, signal, time
    from pathlib import Path
    {work}
sys.modules["rnntrace.verbs.inspect"] = types.SimpleNamespace(inspect=read)
main(["inspect", "weights", *sys.argv[1:]])
"""
"""`rnntrace inspect` with a reader that does anything at all."""
HOLDS_PYTHON = "ctypes.PyDLL(None).sleep(1000)"
"""A call of a library that does not return and lets no other thread of Python run."""
GAVE_UP = "a library gave up"


def program(work: str, *arguments: str) -> list[str]:
    """The command line of an `inspect` whose reader does this work."""
    return [sys.executable, "-c", PROGRAM.format(work=work), *arguments]


def done(work: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What is left when it has ended."""
    environment = {**os.environ, **environment}
    return subprocess.run(program(work, *arguments), capture_output=True, text=True, timeout=120, env=environment, check=False)


def line(found: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused command says; fails if it says more, or something else."""
    assert (found.returncode, found.stdout) == (2, ""), found
    assert found.stderr.startswith("rnntrace: error: "), found
    assert found.stderr.count("\n") == 1, found
    return found.stderr


# --- time and memory --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("work", [HOLDS_PYTHON, "time.sleep(1000)", "while True: pass"])
@pytest.mark.parametrize("how", ["flag", "variable"])
def test_what_never_returns_is_ended(work: str, how: str) -> None:
    """A call of a library too, during which no other thread of Python runs."""
    found = done(work, "--timeout", "0.5") if how == "flag" else done(work, RNNTRACE_TIMEOUT="0.5")
    assert "it takes over 0.5 s: --timeout or RNNTRACE_TIMEOUT may allow more" in line(found)


@pytest.mark.slow
@ON_LINUX
@pytest.mark.parametrize(
    "work",
    [
        "bytes(2**36)",
        "[bytes(2**24) for _ in range(10_000)]",
        "{str(number): [] for number in range(10**9)}",
        "found = 'x'\n    while True: found += found",
    ],
    ids=["at once", "by and by", "in small pieces", "doubling"],
)
def test_memory_is_kept_to_a_size(work: str) -> None:
    """Where Python is told that there is no more, it says so."""
    found = done(work, "--max-memory", "100M")
    assert "more memory than there is: --max-memory or RNNTRACE_MAX_MEMORY may allow more" in line(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "how"),
    [
        ("os.write(2, b'terminate called after throwing bad_alloc'); os.abort()", "Abort"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "Kill"),
        ("ctypes.string_at(8)", "egmentation"),
        ("ctypes.CDLL(None).exit(1)", "exit code 1"),
        ("os.write(2, b'out of memory'); os._exit(1)", "exit code 1"),
    ],
    ids=["abort", "kill", "segfault", "exit", "_exit"],
)
def test_a_library_that_gives_up_gives_no_verdict(work: str, how: str) -> None:
    """However it ends the process, and whatever it says of that: its exit code 1 is none of ours."""
    said = line(done(work))
    assert GAVE_UP in said
    assert how in said


@pytest.mark.slow
@ON_LINUX
def test_what_is_mapped_of_a_file_does_not_count() -> None:
    """A trace may be much larger than memory."""
    with Path("large").open("wb") as file:
        file.truncate(2**33)
    work = "import numpy; numpy.memmap('large', 'f4', 'r')[::2**24].sum(); sys.exit(0)"
    assert done(work, "--max-memory", "200M").returncode == 0


def test_longer_files_have_longer_time() -> None:
    """What is on the disk counts, and holes of a file do not."""
    from rnntrace.cli.limited import _size

    Path("full").write_bytes(bytes([1]) * 2**20)
    with Path("hollow").open("wb") as file:
        file.truncate(2**40)
    assert _size(["full", Path("full"), "hollow", "not there", "a\0b", "[[1, 2]]"]) == 2**21


# --- the command goes on as it would ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        ("sys.exit(0)", 0, ""),
        ("from rnntrace.errors import FileError; raise FileError('planted')", 2, "rnntrace: error: planted\n"),
        ("raise KeyboardInterrupt", 130, "rnntrace: interrupted\n"),
        ("raise ZeroDivisionError('planted')", 70, "ZeroDivisionError: planted\n"),
    ],
    ids=["agrees", "refused", "interrupted", "broken"],
)
def test_exit_codes_and_lines_are_those_of_the_work(work: str, code: int, said: str) -> None:
    """What the process that does the work says and ends with is what its user sees."""
    found = done(work)
    assert (found.returncode, found.stdout) == (code, "")
    assert found.stderr.endswith(said)
    assert said or not found.stderr


@pytest.mark.slow
def test_a_verdict_is_handed_on() -> None:
    """0, 1 and what is printed are the same with and without the process between."""
    weights = {"weight_ih_l0": (2, 3), "weight_hh_l0": (2, 2), "bias_ih_l0": (2,), "bias_hh_l0": (2,)}
    np.savez("w.npz", **{name: np.zeros(shape) for name, shape in weights.items()})
    for expected, code in (("[[0, 0]]", 0), ("[[1, 1]]", 1)):
        request = ["compare", "w.npz", "--input", "[[1, 2, 3]]", "--expected", expected, "-q", "--atol", "0.01"]
        found = subprocess.run([sys.executable, "-m", "rnntrace", *request], capture_output=True, text=True, check=False)
        assert found.returncode == code, found


def test_a_command_inside_python_stays_in_its_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only a process that was started for the command is doubled."""
    monkeypatch.setattr("os.fork", lambda: pytest.fail("forked"))
    assert "no such file" in refused(capsys, "inspect", "none", "--timeout", "1", "--max-memory", "1")


def test_what_reads_files_of_others_has_limits() -> None:
    """All such commands have both flags, and a run of one's own has none."""
    commands = {each.callback.__name__: each.callback.__annotations__ for each in app.registered_commands if each.callback}
    limited = {name for name, flags in commands.items() if {"timeout", "max_memory"} <= flags.keys()}
    assert {"compare", "diagnose", "inspect", "explain", "show", "plot"} <= limited
    assert "run" not in limited


@pytest.mark.slow
def test_a_terminal_is_left_as_it_was() -> None:
    """Where the process is ended that has drawn progress, its line goes and the cursor comes back."""
    ours, theirs = pty.openpty()
    command = program("time.sleep(1000)", "--timeout", "6")
    command[2] = "import rnntrace.cli.progress as progress; progress.PATIENCE = 0.1\n" + command[2]
    environment = {**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    with suppress(OSError):
        while piece := os.read(ours, 4096):
            written += piece
    os.close(ours)
    assert process.wait() == 2
    drawn, _, said = written.decode().rpartition("\x1b[?25h")
    assert "working" in drawn
    assert "\x1b[?25l" in drawn
    assert said.startswith("rnntrace: error: it takes over 6 s")


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("work", ["time.sleep(1000)", HOLDS_PYTHON], ids=["in Python", "in a library"])
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("to", ["the process", "its group"])
def test_a_signal_ends_both_processes(work: str, name: str, code: int, to: str) -> None:
    """Sent to the one that was started, or by a terminal to both; a library that does not listen is ended."""
    if to == "its group" and work == HOLDS_PYTHON:
        pytest.skip("the same as to the process")
    # Below nohup, or in the background, signals are ignored, and stay so.
    listen = f"import signal; signal.signal(signal.{name}, signal.default_int_handler if '{name}' == 'SIGINT' else 0)\n"
    command = program(f"Path('child').write_text(str(os.getpid())); {work}")
    command[2] = listen + command[2]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    child = number_in(Path("child"))
    assert child != process.pid
    (os.killpg if to == "its group" else os.kill)(process.pid, getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (code, "", "rnntrace: interrupted\n" if name == "SIGINT" else "")
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the system tells a child of its parent's death on Linux alone")
def test_no_process_stays_when_its_parent_is_killed() -> None:
    """Not even one that listens to nothing."""
    process = subprocess.Popen(program(f"Path('child').write_text(str(os.getpid())); {HOLDS_PYTHON}"))
    child = number_in(Path("child"))
    process.kill()
    process.wait()
    while is_alive(child):
        time.sleep(0.01)


def number_in(path: Path) -> int:
    """The number in a file, once it is there."""
    while not (path.exists() and path.read_text()):
        time.sleep(0.01)
    return int(path.read_text())


def is_alive(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody waited for does not."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("end", ["time.sleep(1000)", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["time", "kill"])
def test_nothing_half_written_is_left(end: str) -> None:
    """A process that is ended while it writes leaves neither a part of the file nor one beside it."""
    Path("out.txt").write_text("before")
    Path(".other-0.tmp").write_text("of another process")
    before = files()
    content = f"lambda file: (file.write(b'x'), file.flush(), {end})"
    write = "from rnntrace.files.atomic import replace_files; replace_files([(Path('out.txt'), {})])"
    line(done(write.format(content), "--timeout", "1", "--output", "out.txt"))
    assert files() == before


@pytest.mark.slow
def test_a_limit_that_is_none_is_said_before_the_work() -> None:
    """A process that was started for it says so in one line."""
    assert "--max-memory should be a size" in line(done("sys.exit(0)", "--max-memory", "much"))
    assert "RNNTRACE_TIMEOUT should be a number" in line(done("sys.exit(0)", RNNTRACE_TIMEOUT="long"))
    assert done("sys.exit(0)", "--max-memory", "0", "--timeout", "0").returncode == 0
