"""How the process ends when it is interrupted, cut off, or has nowhere to write."""

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from commandline import ask, refused

from rnntrace.cli.app import exit_code

pytestmark = pytest.mark.usefixtures("folder")

RNNTRACE = [sys.executable, "-m", "rnntrace"]


def interrupt(*_: object, **__: object) -> None:
    """Ctrl-C while the run is under way."""
    signal.raise_signal(signal.SIGINT)
    raise AssertionError("SIGINT was not delivered")


@pytest.mark.parametrize("place", ["rnntrace.verbs.run.run", "rnntrace.cli.output.emit", "os.fsync"])
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_closed_stdout_is_no_error() -> None:
    """`>&-` leaves nowhere to print to: nothing is said, and the exit code is the verdict's."""
    shell = ["sh", "-c", 'exec "$@" >&-', "sh"]
    finished = subprocess.run([*shell, *RNNTRACE, "run", "rnn", "--seed", "1"], stderr=subprocess.PIPE, timeout=120)
    assert (finished.returncode, finished.stderr) == (0, b"")


@pytest.mark.slow
def test_a_mistake_of_ours_is_no_verdict() -> None:
    """A bug shows its traceback and ends with a code that no verdict has, so that no script takes it for a wrong answer."""
    program = """
import sys, types
from rnntrace.cli.app import main
sys.modules["rnntrace.verbs.run"] = types.SimpleNamespace(run=lambda *_, **__: 1 / 0)
main(["run", "rnn"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (70, "")
    assert "ZeroDivisionError: division by zero" in done.stderr


# --- nothing but a verdict is 1 ---------------------------------------------------------------------------------------

PYTHONS_OWN = b"Fatal Python error: init_"
"""What Python says, and then ends with 1, if it is interrupted or refused a file before any code of ours is there."""
FAILS = ("compare", '{"weight_ih": [[1]], "weight_hh": [[1]]}', "--input", "[[1]]", "--expected", "[[5]]", "-q")
"""A request whose answer is FAIL."""
HOW = {
    "stdout is full": ">/dev/full",
    "stderr is full": "2>/dev/full",
    "both are full": ">/dev/full 2>&1",
    "stdout is closed": ">&-",
    "stderr is closed": "2>&-",
    "nobody reads": "| true",
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("arguments", "codes"),
    [
        (FAILS, {1, 2}),
        (("inspect", "none"), {2}),
        (("--help",), {0, 2}),
        (("--nonsense",), {2}),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_nowhere_to_write_is_no_verdict(how: str, arguments: tuple[str, ...], codes: set[int]) -> None:
    """What cannot be said changes nothing, and a result that cannot be written is a request that cannot be carried out."""
    status = Path("status")
    shell = ["bash", "-c", f'{{ "$@"; echo $? >{status}; }} {HOW[how]}', "bash"]
    done = subprocess.run([*shell, *RNNTRACE, *arguments], capture_output=True, timeout=120, check=False)
    code = int(status.read_text())
    assert code in codes, done
    if how.startswith(("stdout is full", "both")):
        assert code == 2, done
    elif how.startswith("stderr"):
        assert code in (min(codes), 2 if codes == {2} else min(codes)), done
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["COLUMNS", "LINES", "RNNTRACE_MAX_BYTES", "RNNTRACE_MAX_VALUES", "RNNTRACE_TIMEOUT"])
@pytest.mark.parametrize(
    ("text", "arguments"),
    [("9" * 5000, ("inspect", "w.npz")), ("9" * 5000, ("--help",)), ("²", ("inspect", "w.npz")), ("-5", ("--help",))],
    ids=["5000 digits", "5000 digits, help", "raised", "negative, help"],
)
def test_a_variable_that_is_no_number_is_no_verdict(variable: str, text: str, arguments: tuple[str, ...]) -> None:
    """A width that is none is not heeded; a limit that is none is refused by whoever needs it, in a line of bounded length."""
    weights = {"weight_ih_l0": (2, 3), "weight_hh_l0": (2, 2), "bias_ih_l0": (2,), "bias_hh_l0": (2,)}
    np.savez("w.npz", **{name: np.zeros(shape) for name, shape in weights.items()})
    environment = {**os.environ, variable: text, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([*RNNTRACE, *arguments], capture_output=True, env=environment, timeout=120, check=False)
    refuses = variable.startswith("RNNTRACE_MAX") and arguments[0] != "--help"
    refuses |= variable == "RNNTRACE_TIMEOUT" and arguments[0] == "inspect" and text != "9" * 5000
    assert done.returncode == (2 if refuses else 0), done
    warned = [line for line in done.stderr.splitlines() if not line.startswith(b"rnntrace: to replay it: ")]
    assert len(warned) == refuses
    assert len(done.stderr) < 1100


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept to a size on Linux alone")
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_NOFILE"])
def test_a_system_that_has_no_more_is_no_verdict(limit: str) -> None:
    """However little there is of memory or open files: a verdict, or a refusal, or an end that no verdict has."""
    sizes = (4, 5, 6, 8, 12) if limit == "RLIMIT_NOFILE" else [2**20 * size for size in (40, 80, 120, 160, 400)]
    ends = {}
    for size in sizes:
        few = (
            f"import os, resource, sys; os.closerange(3, 100); resource.setrlimit(resource.{limit}, ({size}, {size})); "
            "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        )
        agrees = (*FAILS[:-2], "[[0.761594156]]", "-q")
        done = subprocess.run(
            [sys.executable, "-c", few, *RNNTRACE[1:], *agrees], capture_output=True, timeout=120, check=False
        )
        ends[size] = (done.returncode, PYTHONS_OWN in done.stderr)
        assert done.returncode != 1 or PYTHONS_OWN in done.stderr, (size, done)
    assert any(code == 0 for code, _ in ends.values()), ends
    assert any(code != 0 for code, _ in ends.values()), ends


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no such signals")
@pytest.mark.parametrize("arguments", [("inspect", "none"), ("--help",)], ids=lambda arguments: arguments[0])
def test_an_interrupt_while_it_starts_is_no_verdict(arguments: tuple[str, ...]) -> None:
    """From the first millisecond on; what comes before any code of ours is Python's, as is the death by the signal itself."""
    said = []
    # A shell that runs the tests in the background has the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for milliseconds in (1, 5, 10, 15, 20, 25, 30, 40, 60, 80, 100, 130):
            # As the command that is installed does it; -m would import something of Python's own first.
            command = [sys.executable, "-c", "from rnntrace.__main__ import main; main()", *arguments]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            time.sleep(milliseconds / 1000)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            usual = 2 if arguments[0] == "inspect" else 0
            assert process.returncode in (130, -signal.SIGINT, usual) or PYTHONS_OWN in err, (process.returncode, err)
            said.append(err)
    finally:
        signal.signal(signal.SIGINT, before)
    assert any(err == b"rnntrace: interrupted\n" for err in said), said


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["typer", "numpy", "rnntrace.report.inspect"])
@pytest.mark.parametrize("error", ["ImportError('planted')", "KeyboardInterrupt", "MemoryError"])
def test_an_error_in_an_import_is_no_verdict(broken: str, error: str) -> None:
    """A package that is damaged, or memory that is over: something is said, and the exit code is none of a verdict's."""
    program = f"""
import runpy, sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == {broken!r}:
            raise {error}
sys.meta_path.insert(0, Broken())
runpy.run_module("rnntrace", run_name="__main__", alter_sys=True)
"""
    np.savez("w.npz", weight_ih_l0=np.zeros((2, 3)), weight_hh_l0=np.zeros((2, 2)))
    command = [sys.executable, "-c", program, "inspect", "w.npz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in ({130, -signal.SIGINT} if error == "KeyboardInterrupt" else {2, 70}), done
    assert done.stderr


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
