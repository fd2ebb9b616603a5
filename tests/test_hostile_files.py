"""Files that are not what they should be: one clear line each, nothing run, nothing written, nothing waited for."""

import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import ESCAPED, EVIL, all_in, refused
from formats import npy_bytes
from hostile import HOSTILE, ONE, UNFIT, Case, Evil, wide, zipped

import rnntrace
from rnntrace.errors import FileError
from rnntrace.files import read_tensors
from rnntrace.model.limits import MAX_BYTES

pytestmark = pytest.mark.usefixtures("folder")

PROCESSES = ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn", "subprocess.Popen")
ACTS = (*PROCESSES, "socket.__new__", "socket.connect", "socket.getaddrinfo", "urllib.Request")
"""What no reading of a file does: start a process or turn to the network."""

seen: list[str] = []


@pytest.fixture(scope="session")
def _watch() -> None:
    """Keep what Python's audit reports; a hook stays as long as the process."""

    def keep(event: str, _: tuple[Any, ...]) -> None:
        if event in ACTS:
            seen.append(event)

    sys.addaudithook(keep)


@pytest.fixture
def acts(_watch: None) -> list[str]:
    """Processes and connections of this test."""
    seen.clear()
    return seen


TAKERS = {flag: f"run lstm --save out.npz {flag}" for flag in ("--input", "--weights", "--h0")}
TAKERS |= {"inspect": "inspect", "show": "show"}
"""Commands that read a file."""


def said(capsys: pytest.CaptureFixture[str], case: Case) -> dict[str, str]:
    """The line about a file by who was to take it, once nothing in it was run."""
    content, _ = case
    Path("hostile.file").write_bytes(content())
    seen.clear()
    lines = {}
    for taker, command in TAKERS.items():
        lines[taker] = refused(capsys, *command.split(), "hostile.file", "--output", "out.txt")
        assert "hostile.file" in lines[taker], taker
    assert not Path("pwned").exists()
    assert seen == []
    return lines


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.usefixtures("acts")
def test_a_file_that_is_not_what_it_should_be_is_refused(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line with the file's name and what is wrong; nothing in it is run, nothing of it reaches the terminal."""
    for line in said(capsys, HOSTILE[case]).values():
        assert all_in(HOSTILE[case][1], line)


@pytest.mark.parametrize("case", UNFIT)
@pytest.mark.usefixtures("acts")
def test_a_file_of_other_things_is_refused(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Arrays that are no numbers are named with what they are, and neither a module nor a trace is found among them."""
    lines = said(capsys, UNFIT[case])
    for taker in ("--input", "--h0"):
        assert all_in(UNFIT[case][1], lines[taker])
    for taker in ("--weights", "inspect"):
        assert all_in(("no recurrent module", "expected parameters named like weight_ih_l0"), lines[taker])
    assert all_in(("no trace", "expected a file that `rnntrace run --save` has written"), lines["show"])


def test_the_evil_in_these_tests_is_real(acts: list[str]) -> None:
    """Unpickled without care, the hostile pickle does run its code; the tests above would see it, and processes too."""
    pickle.loads(pickle.dumps(Evil()))
    assert Path("pwned").is_dir()
    subprocess.run(["true"], check=True)
    assert "subprocess.Popen" in acts


@pytest.mark.parametrize("content", [b"", b"[1", b"\x93NUMPY", b"PK\x03\x04", b"\x80\x02", b"weight_ih_l0"])
def test_load_raises_errors_of_ours(content: bytes) -> None:
    """From Python a file at fault is a FileError, which is an OSError, and its message is fit to print."""
    Path("weights").write_bytes(content)
    with pytest.raises(FileError) as caught:
        rnntrace.load("weights")
    assert isinstance(caught.value, OSError)
    assert str(caught.value).isprintable()


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fragments"),
    [
        ("missing.npy", ("missing.npy", "no such file")),
        ("taken", ("taken", "expected a file", "directory")),
        (".", ("expected a file", "directory")),
        ("pipe", ("pipe: ", "expected a file", "device or pipe")),
        ("/dev/zero", ("/dev/zero", "expected a file", "device or pipe")),
        ("loop", ("loop: ", "levels of symbolic links")),
        ("file/below", ("file/below", "Not a directory")),
        ("x" * 300, ("xxx", "name too long")),
        (f"{EVIL}.npy", (f"{ESCAPED}.npy", "no such file")),
    ],
    ids=["missing", "a folder", "the current folder", "a pipe", "a device", "a loop", "below a file", "long", "evil"],
)
def test_a_path_that_is_no_file_is_refused(name: str, fragments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """The line says what is there; a pipe is not waited for, and a device not read."""
    Path("taken").mkdir()
    Path("file").write_text("[]")
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    for command in (*TAKERS.values(), "run lstm --c0"):
        assert all_in(fragments, refused(capsys, *command.split(), name))


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    """From Python a name may hold what no file system takes."""
    with pytest.raises(FileError, match="no such file") as caught:
        rnntrace.load(name)
    assert str(caught.value).isprintable()


@contextmanager
def without_privileges() -> Iterator[None]:
    """As root, whom no permission stops, be nobody for a while."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_a_file_without_permission_is_refused(locked: str) -> None:
    """Whether the file may not be read or its folder not be entered, the error says so."""
    folder = Path("folder")
    folder.mkdir()
    path = (folder / "x.json").absolute()
    path.write_text("[[1, 2, 3]]")
    Path(folder if locked == "folder" else path).chmod(0)
    try:
        with without_privileges(), pytest.raises(FileError, match=r"(?i)permission"):
            read_tensors(path)
    finally:
        folder.chmod(0o700)


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_a_file_over_the_limit_is_not_opened(capsys: pytest.CaptureFixture[str]) -> None:
    """The line names the size and the limit."""
    with Path("large.npy").open("wb") as file:
        file.write(ONE)
        file.truncate(MAX_BYTES + 1)
    line = refused(capsys, "run", "lstm", "--input", "large.npy")
    assert all_in(("large.npy", f"{MAX_BYTES + 1:,} bytes", f"limit of {MAX_BYTES:,}"), line)


def test_an_archive_is_measured_as_a_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Members that are each below the limit are over it together."""
    archive = bytearray(zipped(a__npy=ONE, b__npy=ONE, c__npy=ONE))
    at = 0
    while (at := archive.find(b"PK\x01\x02", at)) >= 0:
        struct.pack_into("<I", archive, at + 24, MAX_BYTES // 2)
        at += 4
    Path("bomb.npz").write_bytes(archive)
    line = refused(capsys, "run", "lstm", "--input", "bomb.npz")
    assert all_in(("bomb.npz", f"{MAX_BYTES // 2 * 3:,} bytes", f"limit of {MAX_BYTES:,}"), line)


def test_tensors_without_strides_are_measured_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files that are large in memory are refused also where each tensor alone is allowed."""
    limit = 2**20
    monkeypatch.setattr("rnntrace.files.tensors.MAX_BYTES", limit)
    monkeypatch.setattr("rnntrace.files.sniff.MAX_BYTES", limit)
    torch.save({f"t{number}": wide(limit // 16) for number in range(3)}, "wide.pt")
    assert Path("wide.pt").stat().st_size < limit // 10
    with pytest.raises(FileError) as caught:
        read_tensors(Path("wide.pt"))
    assert all_in((f"everything together has {limit // 16 * 3:,} values", f"limit of {limit // 8:,}"), str(caught.value))


def test_an_archive_of_very_many_members_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Tens of thousands of arrays belong to no network, and the answer does not list them."""
    tiny = npy_bytes(np.zeros(1))
    with zipfile.ZipFile("many.npz", "w") as archive:
        for number in range(10_001):
            archive.writestr(f"{number}.npy", tiny)
    line = refused(capsys, "run", "lstm", "--input", "many.npz")
    assert all_in(("many.npz", "10,001 members", "limit of 10,000"), line)
