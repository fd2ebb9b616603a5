"""Files that are written: each whole or not at all, and what a saved trace holds."""

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from commandline import all_in, ask, document, refused
from formats import drawn, lstm
from safetensors import safe_open

import rnntrace
from rnntrace.engine.judge.result import Result
from rnntrace.errors import FileError, UsageError
from rnntrace.files import read_tensors
from rnntrace.files.atomic import replace_files
from rnntrace.model.dtypes import Array
from rnntrace.verbs.save import dump

pytestmark = pytest.mark.usefixtures("folder")

NEW = [(Path("result"), b"new")]


def names() -> list[str]:
    """What lies in the current folder."""
    return sorted(path.name for path in Path().iterdir())


# --- whole or not at all ----------------------------------------------------------------------------------------------


@contextmanager
def smallest_files(size: int) -> Iterator[None]:
    """No file can grow beyond a size, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_replaced_whole() -> None:
    """The new content is there, the old one is gone, and so is everything that was needed on the way."""
    Path("result").write_bytes(b"old, and longer than the new content")
    replace_files(NEW)
    assert Path("result").read_bytes() == b"new"
    assert names() == ["result"]


def test_a_link_keeps_pointing_where_it_did() -> None:
    """What a link points to is replaced, there or not, and not the link."""
    Path("folder").mkdir()
    Path("link").symlink_to("folder/target")
    for content in (b"first", b"second"):
        replace_files([(Path("link"), content)])
        assert Path("link").is_symlink()
        assert Path("folder/target").read_bytes() == content
    assert names() == ["folder", "link"]
    assert [path.name for path in Path("folder").iterdir()] == ["target"]


def test_a_write_that_fails_leaves_the_old_file() -> None:
    """On a full disk nothing is half written and no temporary file stays behind."""
    Path("result").write_bytes(b"old")
    with smallest_files(4096), pytest.raises(FileError, match=r"^cannot write result: File too large$"):
        replace_files([(Path("result"), bytes(10_000))])
    assert Path("result").read_bytes() == b"old"
    assert names() == ["result"]


def test_a_write_that_fails_makes_no_new_file() -> None:
    """Where there was nothing before there is nothing after, whichever of several files it was."""
    with smallest_files(4096), pytest.raises(FileError, match=r"^cannot write second: File too large$"):
        replace_files([(Path("first"), b"new"), (Path("second"), bytes(10_000))])
    assert names() == []


def test_an_interrupted_write_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of writing is no different from a full disk."""

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    Path("result").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_files(NEW)
    assert Path("result").read_bytes() == b"old"
    assert names() == ["result"]


@pytest.mark.slow
def test_a_process_killed_in_mid_write_leaves_the_old_file() -> None:
    """Even without a chance to clean up, the target is whole: the old content, not a part of the new one."""
    Path("result").write_bytes(b"old")
    script = (
        "import os, signal, pathlib\n"
        "from rnntrace.files.atomic import replace_files\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "replace_files([(pathlib.Path('result'), b'new' * 100_000)])\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert Path("result").read_bytes() == b"old"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o000, 0o666)])
def test_permissions_follow_the_umask(umask: int, mode: int) -> None:
    """A file gets the permissions that any other program would give it, and the umask stays as it was."""
    before = os.umask(umask)
    try:
        replace_files(NEW)
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("result").stat().st_mode) == mode


TARGETS = {
    "missing/result": "No such file",
    "taken": "Is a directory",
    "file/result": "Not a directory",
    "loop": "levels of symbolic links",
    "x" * 300: "name too long",
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_cannot_be_written_is_refused(target: str) -> None:
    """A missing folder, a folder in its place, a file for a folder, a loop of links, a name too long: all with the name."""
    Path("taken").mkdir()
    Path("file").write_text("")
    Path("loop").symlink_to("loop")
    with pytest.raises(FileError) as caught:
        replace_files([*NEW, (Path(target), b"new")])
    assert all_in((f"cannot write {target}: ", TARGETS[target]), str(caught.value))
    assert names() == ["file", "loop", "taken"]
    assert list(Path("taken").iterdir()) == []


def test_a_pipe_is_written_to_and_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    """-o with a named pipe, or a device such as /dev/null, is a place to write to: it must not become a file."""
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        answer = ask(capsys, "run", "rnn", "--seed", "1", "--quiet", "--output", "pipe")
        assert (answer.code, answer.err) == (0, "")
        assert stat.S_ISFIFO(Path("pipe").stat().st_mode)
        assert os.read(reader, 10_000).startswith(b"PASS")
    finally:
        os.close(reader)


def test_content_may_write_itself() -> None:
    """Instead of bytes there may be who writes them; where that fails, or the disk is full, nothing is left behind."""
    replace_files([(Path("result"), lambda file: file.writelines([b"ne", b"w"]))])
    assert Path("result").read_bytes() == b"new"

    def fails(file: BinaryIO) -> None:
        file.write(b"a part")
        raise OSError(28, "No space left on device")

    for write, says in ((fails, "No space left on device"), (lambda file: file.write(bytes(10_000)), "File too large")):
        with smallest_files(4096), pytest.raises(FileError, match=f"^cannot write result: {says}$"):
            replace_files([(Path("first"), b"new"), (Path("result"), write)])
    assert Path("result").read_bytes() == b"new"
    assert names() == ["result"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_trace_does_not_fit_on_the_disk(suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and nothing left behind, wherever in the file the disk is full."""
    rnntrace.save(result(), f"whole{suffix}")
    whole = Path(f"whole{suffix}").stat().st_size
    for size in (1, whole // 3, whole // 2, whole - 400, whole - 1):
        with smallest_files(size):
            line = refused(capsys, "run", "lstm", "--steps", "200", "--seed", "1", "--save", f"trace{suffix}")
        assert line == f"rnntrace: error: cannot write trace{suffix}: File too large"
    assert names() == [f"whole{suffix}"]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_trace_goes_through_a_pipe(suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where one cannot go back, the trace that arrives is the same."""
    rnntrace.save(result(), f"whole{suffix}")
    os.mkfifo(f"pipe{suffix}")
    arrived: list[bytes] = []
    reader = threading.Thread(target=lambda: arrived.append(Path(f"pipe{suffix}").read_bytes()))
    reader.start()
    rnntrace.save(result(), f"pipe{suffix}")
    reader.join(timeout=30)
    Path(f"arrived{suffix}").write_bytes(arrived[0])
    arrays, metadata = saved(f"arrived{suffix}")
    expected, whole = saved(f"whole{suffix}")
    assert metadata == whole
    assert arrays.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(arrays[name], values)
    assert ask(capsys, "show", f"arrived{suffix}", "--quiet").code == 0
    replace_files([(Path(os.devnull), dump(result(), Path(f"trace{suffix}")))])


# --- what a saved trace holds -----------------------------------------------------------------------------------------


def result() -> Result:
    """A packed, bidirectional run, batch first."""
    x = torch.from_numpy(drawn(2, 4, 3))
    return rnntrace.trace(lstm(bidirectional=True, batch_first=True), x, lengths=[4, 2])


def saved(path: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and metadata of a saved trace, read with the format's own library."""
    if path.endswith(".npz"):
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
        text = arrays.pop("metadata.json").tobytes().decode()
    else:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            text = file.metadata()["rnntrace"]

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return arrays, json.loads(text, parse_constant=no_constant)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_saved_trace_holds_the_whole_result(suffix: str) -> None:
    """Keys, shapes, formats and every bit of the replay, the framework's values, weights, inputs and outputs."""
    told = result()
    rnntrace.save(told, f"trace{suffix}")
    arrays, metadata = saved(f"trace{suffix}")
    expected: dict[str, Array] = {}
    for direction in ("forward", "reverse"):
        for symbol in "ifgoch":
            expected[f"replay/0/{direction}/{symbol}"] = told.trace[symbol, 0, direction]
            expected[f"framework/0/{direction}/{symbol}"] = told.framework_values[0, direction, symbol]
        expected |= {f"weights/0/{direction}/{name}": array for name, array in told.weights[0, direction].arrays.items()}
    for (layer, direction, symbol), flags in told.comparison.out_of_tolerance.items():
        expected[f"out_of_tolerance/{layer}/{direction}/{symbol}"] = flags.astype(np.uint8)
    for name in ("output", "h_n", "c_n"):
        expected[f"outputs/{name}"], expected[f"expected/{name}"] = told.outputs[name], told.expected[name]
    inputs = {"x": told.inputs.x, "h0": told.inputs.h0, "c0": told.inputs.c0}
    expected |= {f"inputs/{name}": array for name, array in told.in_own_layout(inputs).items()}
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert (array.shape, array.dtype) == (expected[name].shape, expected[name].dtype), name
        assert array.tobytes() == np.ascontiguousarray(expected[name]).tobytes(), name
    assert arrays["inputs/x"].shape == (2, 4, 3)
    assert np.isnan(arrays["replay/0/forward/f"][2:, 1]).all()
    assert metadata["verdict"] == str(told.verdict)
    assert metadata["lengths"] == [4, 2]
    assert metadata["spec"]["kind"] == "LSTM"
    assert metadata["tolerance"]["kind"] == "torch"
    assert metadata["version"] == 2


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_save_is_a_flag_of_run(suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--save writes what the JSON answer shows, with the terms if they are shown."""
    answer = document(capsys, "gru", "--show", "all", "--save", f"trace{suffix}")
    arrays, metadata = saved(f"trace{suffix}")
    for quantity in answer["trace"]:
        key = f"{quantity['layer']}/{quantity['direction']}/{quantity['symbol']}"
        assert arrays[f"replay/{key}"].tolist() == quantity["values"]
    assert "replay/0/forward/n.recurrent" in arrays
    for name in ("verdict", "seed", "spec", "tolerance", "warnings"):
        assert metadata[name] == answer[name]
    for name in ("framework", "version", "device", "path", "threads"):
        assert metadata["framework"][name] == answer["environment"][name]
    assert metadata["replay"] == answer["replay"]["mode"]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_the_metadata_of_a_run_on_nan_is_json(suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No bare NaN or Infinity stands in it, which JSON does not have."""
    answer = ask(capsys, "run", "rnn", "--input", '[[["nan", 1, 2]]]', "--seed", "1", "--save", f"trace{suffix}")
    assert answer.code == 1
    _, metadata = saved(f"trace{suffix}")
    assert metadata["verdict"] == "UNDECIDED"
    assert metadata["warnings"] == ["x holds NaN or infinity"]


def test_a_saved_trace_is_an_input_again() -> None:
    """A trace can be opened as a file of arrays; its metadata is no array."""
    rnntrace.save(result(), "trace.npz")
    found = read_tensors(Path("trace.npz")).arrays
    assert np.array_equal(found["inputs/x"], drawn(2, 4, 3))
    assert "metadata.json" not in found


@pytest.mark.parametrize("name", ["trace.txt", "trace", "trace.npz.gz", ".npz", "trace.NPZ.", "trace.pt"])
def test_a_trace_is_saved_as_npz_or_safetensors(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Another suffix is refused with the two there are, from Python and on the command line, and nothing is written."""
    with pytest.raises(UsageError) as caught:
        rnntrace.save(result(), name)
    fragments = (".npz or .safetensors", f"{name!r} has neither suffix")
    assert all_in((*fragments, "give `save` another name"), str(caught.value))
    assert names() == []
    assert all_in((*fragments, "give --save another name"), refused(capsys, "run", "rnn", "--save", name))
