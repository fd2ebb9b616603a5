"""`run --save` of a long run: what is printed and what is saved are those of a run in memory, and a failure leaves nothing."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import ask, files, refused

from rnntrace.files import spool
from rnntrace.frameworks.torch import windows as torch_windows
from rnntrace.model import signals as model_signals
from rnntrace.verbs import diagnose as api_diagnose
from rnntrace.verbs import memory, stream
from rnntrace.verbs import run as api_run

RUNS = {
    "lstm": "run lstm -T 4300 -B 2 --seed 3",
    "lstm of all sorts": "run lstm -l 2 -b --proj-size 1 -T 2900 -B 3 --lengths 2900,2,1500 --batch-first --c0 random --seed 4",
    "gru": "run gru -H 3 -T 8500 --unbatched --seed 5 --replay forced",
    "rnn": "run rnn --nonlinearity relu --no-bias -T 8500 --seed 6 --keep states",
    "cell": "run gru-cell -T 8500 --seed 6 --dtype float64",
    "terms": "run lstm -T 8500 --seed 6 --keep terms",
}


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run that is saved is a long one."""
    monkeypatch.setattr(api_run, "STREAM_FROM", 1)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("name", RUNS)
def test_the_same_is_printed_and_saved(
    name: str, suffix: str, in_parts: None, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables, verdict, warnings and the bytes of the file; and the file is shown as the run was."""
    arguments = [*RUNS[name].split(), "--capture", "off", "--show", "all"]
    parts = ask(capsys, *arguments, "--save", f"parts{suffix}")
    monkeypatch.setattr(api_run, "STREAM_FROM", 2**24)
    whole = ask(capsys, *arguments, "--save", f"whole{suffix}")
    assert parts == whole
    assert parts.code == 0
    assert {path.name for path in files()} == {f"parts{suffix}", f"whole{suffix}"}
    assert Path(f"parts{suffix}").read_bytes() == Path(f"whole{suffix}").read_bytes()
    assert ask(capsys, "show", f"parts{suffix}", "--show", "all").out == parts.out


def test_what_needs_the_whole_is_not_worked_through_in_parts(
    in_parts: None, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Captured gates, mistakes and blindness are of a run in memory, saved or not; so is a run that is not saved."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(stream, "streamed", never)
    for flags in ("--capture on --save t.npz", "--mistake bias.ih-dropped --save t.npz", "--blind --save t.npz", ""):
        assert ask(capsys, "run", "lstm", "--seed", "1", *flags.split()).code in (0, 1)
    with pytest.raises(AssertionError):
        ask(capsys, "run", "lstm", "--seed", "1", "--save", "t.npz")


@pytest.mark.slow
def test_a_wrong_step_is_found_where_it_is(
    in_parts: None, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """torch's h spoilt in the last window: FAIL, exit 1, at that very step, which the table shows and diagnose can read."""
    call = torch_windows.Follower.__call__

    def spoilt(self: Any, inputs: Any) -> Any:
        h, states = call(self, inputs)
        if inputs.steps == 4404:
            h[4402, 0, 1] += 0.25
        return h, states

    monkeypatch.setattr(torch_windows.Follower, "__call__", spoilt)
    answer = ask(capsys, "run", "lstm", "-T", "8500", "--seed", "1", "--save", "t.npz", "--max-rows", "4")
    assert answer.code == 1
    assert "FAIL  first at h (hidden state), layer 0, forward, t=8499, item 0, unit 1" in answer.out
    assert any(line.split()[:2] == ["8499", "1"] for line in answer.out.splitlines())
    assert "rnntrace diagnose t.npz" in answer.err
    assert ask(capsys, "diagnose", "t.npz", "--time-limit", "0.2").code == 1
    monkeypatch.setattr(api_diagnose, "MAX_VALUES", 50_000)
    assert "diagnose a shorter run" in refused(capsys, "diagnose", "t.npz")


def test_a_full_disk(in_parts: None, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Too little room for the parts and the file is said before anything is computed, with what there is; nothing stays."""
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(spool.shutil, "disk_usage", lambda _: usage._replace(free=5_000))
    line = refused(capsys, "run", "lstm", "-T", "100", "--save", "t.npz")
    assert "16.0 kB" in line
    assert "5.0 kB" in line
    assert "--keep states" in line


def test_no_such_folder(in_parts: None, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder to save in is not there."""
    assert "nowhere" in refused(capsys, "run", "lstm", "--save", "nowhere/t.npz")


def test_interrupted(in_parts: None, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C in the middle: exit 130, and no file is left behind, whole or temporary."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch_windows.Follower, "__call__", interrupt)
    assert ask(capsys, "run", "lstm", "--save", "t.npz").code == 130
    assert files() == {}


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve room on a disk")
def test_room_is_reserved_and_given_back(tmp_path: Path) -> None:
    """Arrays of any shapes and formats lie in one file without a name, on boundaries, zero and writable."""
    shapes = {"a": ((3, 2), np.dtype("f4")), "b": ((0, 2), np.dtype("f8")), "c": ((5,), np.dtype(bool))}
    arrays = spool.spooled(tmp_path, shapes)
    assert {name: (array.shape, array.dtype) for name, array in arrays.items()} == shapes
    assert all(array.ctypes.data % spool.ALIGNED == 0 for array in arrays.values() if array.size)
    arrays["a"][:] = 1
    assert not arrays["c"].any()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_needs_much_memory_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it is computed, with what to set; not where half of what is free is enough, nor in parts."""
    monkeypatch.setattr(memory, "free", lambda: 100)
    line = "warning: this run takes about"
    assert line in ask(capsys, "run", "lstm").err
    monkeypatch.setattr(api_run, "STREAM_FROM", 1)
    assert ask(capsys, "run", "lstm", "--save", "t.npz").err == ""
    monkeypatch.setattr(memory, "free", lambda: 10**9)
    assert ask(capsys, "run", "lstm").err == ""


def test_a_trace_too_long_for_memory_can_be_saved(
    in_parts: None, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cap on traces in memory names the way out, and the way out works; what is kept counts, and nothing else."""
    monkeypatch.setattr(model_signals, "MAX_VALUES", 40)
    assert "--save" in refused(capsys, "run", "lstm", "--seed", "1")
    assert ask(capsys, "run", "lstm", "--seed", "1", "--keep", "states").code == 0
    assert ask(capsys, "run", "lstm", "--seed", "1", "--save", "t.npz").code == 0
    assert ask(capsys, "show", "t.npz").code == 0


def test_what_cannot_be_carried_out_is_said_before_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Selections that are not there, files that cannot be written and parts that are not kept cost nobody a run."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(api_run, "build_and_trace", never)
    Path("a folder").mkdir()
    Path("loop.npz").symlink_to("loop.npz")
    Path("dangling.npz").symlink_to("nowhere/t.npz")
    np.save("x.npy", np.zeros((4, 3)))
    for flags in (
        "--unit 99",
        "--time 5",
        "--output nowhere/x.txt",
        "--plot nowhere/x.svg",
        "--save nowhere/t.npz",
        "--save loop.npz",
        "--save dangling.npz",
        "--save t.npz --output t.npz",
        "--keep states --show gates",
        "--keep gates --show terms",
    ):
        refused(capsys, "run", "lstm", *flags.split())
    refused(capsys, "run", "lstm", "--output", "a folder")
    Path("x.npz").symlink_to("x.npy")
    refused(capsys, "run", "lstm", "--input", "x.npy", "--save", "x.npz")


def test_a_link_is_followed(
    in_parts: None, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The parts lie where the trace will: in the folder that the link leads to."""
    Path("there").mkdir()
    Path("t.npz").symlink_to("there/t.npz")
    seen: list[Path] = []
    make = spool.spooled
    monkeypatch.setattr(stream, "spooled", lambda place, arrays: seen.append(place) or make(place, arrays))
    assert ask(capsys, "run", "lstm", "--save", "t.npz").code == 0
    assert seen == [folder / "there"]
    assert Path("there/t.npz").is_file()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGTERM"), reason="this system has no signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_ended_from_outside(name: str, folder: Path) -> None:
    """A signal while the file is written ends the process with its number, and nothing is left behind."""
    program = f"""
import os, signal
# Below nohup it is ignored, and stays so.
signal.signal(signal.{name}, signal.SIG_DFL)
from rnntrace.files import npz
from rnntrace.cli.app import main
write = npz.write
def ended(*arguments, **named):
    write(*arguments, **named)
    os.kill(os.getpid(), signal.{name})
npz.write = ended
main(["run", "rnn", "--save", "t.npz", "-q"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + getattr(signal, name)
    assert (done.stdout, done.stderr) == ("", "")
    assert files() == {}
