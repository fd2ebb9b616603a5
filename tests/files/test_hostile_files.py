"""Paths at which there is no file to read, and files larger than they look; see hostile_corpus for what else is in files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from commandline import ESCAPED, EVIL, all_in, refused
from formats import npz_bytes, pt_bytes
from hostile_torch import wide

import rnntrace
from rnntrace.errors import FileError
from rnntrace.files import read_tensors

pytestmark = pytest.mark.usefixtures("folder")

TAKERS = {flag: f"run lstm --save out.npz {flag}" for flag in ("--input", "--weights", "--h0")}
TAKERS |= {"inspect": "inspect", "show": "show"}
"""Commands that read a file."""


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
        (".", ("expected a file", "directory")),
        ("/dev/zero", ("/dev/zero", "expected a file", "device or pipe")),
        ("file/below", ("file/below", "Not a directory")),
        ("x" * 300, ("xxx", "name too long")),
        (f"{EVIL}.npy", (f"{ESCAPED}.npy", "no such file")),
    ],
    ids=["missing", "the current folder", "a device", "below a file", "long", "evil"],
)
def test_a_path_that_is_no_file_is_refused(name: str, fragments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """The line says what is there; a device is not read."""
    Path("file").write_text("[]")
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


SMALL_ON_DISK = {
    "stride 0": lambda count: pt_bytes({f"t{number}": wide(count) for number in range(3)}),
    "bytes in npz": lambda count: npz_bytes({f"t{number}": np.zeros(count, np.int8) for number in range(3)}),
    "bytes in safetensors": lambda count: safetensors.numpy.save({f"t{k}": np.zeros(count, np.int8) for k in range(3)}),
}


@pytest.mark.parametrize("how", SMALL_ON_DISK)
def test_what_becomes_large_in_memory_is_measured_as_a_whole(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are smaller than their numbers are refused also where each tensor alone is allowed."""
    limit = 2**20
    monkeypatch.setattr("rnntrace.files.tensors.MAX_BYTES", limit)
    Path("small").write_bytes(SMALL_ON_DISK[how](limit // 16))
    assert Path("small").stat().st_size < limit // 4
    with pytest.raises(FileError) as caught:
        read_tensors(Path("small"))
    assert all_in((f"everything together has {limit // 16 * 3:,} values", f"limit of {limit // 8:,}"), str(caught.value))
