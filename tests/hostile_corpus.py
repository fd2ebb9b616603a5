"""The hostile corpus in one place: every bad or strange file by name, and what becomes of it.

    python tests/hostile_corpus.py FOLDER

writes it, for other tools to be tried on. Nothing in it does more harm, if a tool falls for it, than make a folder `pwned`
or fill the memory.
"""

import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from hostile import Entry, Evil
from hostile_arrays import ARRAYS
from hostile_beside import BESIDE
from hostile_bombs import BOMBS
from hostile_hdf5 import HDF5
from hostile_matlab import MATLAB
from hostile_onnx import ONNX_FILES
from hostile_shards import SHARDS
from hostile_torch import RUNS_CODE, TORCH, described, laughs

FILES: dict[str, Entry] = {**ARRAYS, **TORCH, **BESIDE, **SHARDS, **HDF5, **MATLAB, **ONNX_FILES, **BOMBS}
"""Name of the file → its content and what is said of it."""


def sparse(size: int, start: bytes) -> Callable[[Path], None]:
    """A file that is larger than the disk space it takes."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.write(start)
            file.truncate(size)

    return make


def checkpoint(data: Callable[[], bytes]) -> Callable[[Path], None]:
    """A .pt over the limit with any pickle at all: its storage 0 is a hole of a GiB, and storage 1 has four values."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data())
            archive.writestr("archive/data/1", bytes(16))
            archive.writestr("archive/data/0", b"")
            hole = archive.infolist()[-1]
            hole.file_size = hole.compress_size = 2**30
            archive.start_dir += 2**30

    return make


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder.pt": (Path.mkdir, "expected a file, and found a directory"),
    "pipe.npz": (os.mkfifo, "expected a file, and found a device or pipe"),
    "loop.npy": (lambda path: path.symlink_to(path.name), "levels of symbolic links"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "expected a file, and found a device or pipe"),
    "link to a pipe": (
        lambda path: (os.mkfifo(path.with_name("a pipe")), path.symlink_to("a pipe")),
        "expected a file, and found a device or pipe",
    ),
    "link to a terminal": (lambda path: path.symlink_to("/dev/ptmx"), "expected a file, and found a device or pipe"),
    "link to what waits": (lambda path: path.symlink_to("/proc/kmsg"), "the file is empty|denied"),
    "link to nowhere": (lambda path: path.symlink_to("nowhere"), "there is no such file"),
    "text over the limit.json": (
        lambda path: path.write_bytes(b"[" + b" " * 2**24),
        "16,777,217 bytes of text are over the limit of 16,777,216",
    ),
    "pt over the limit that runs code": (checkpoint(lambda: pickle.dumps(Evil(), 2)), RUNS_CODE),
    "pt over the limit of stride 0": (
        checkpoint(lambda: described(0, (2**20, 2**18), (0, 0))),
        "values, over the limit of",
    ),
    "pt over the limit of a huge memo": (checkpoint(lambda: b"\x80\x02}r\xff\xff\xff\x7f."), "beyond its size"),
    "pt over the limit of laughs": (checkpoint(lambda: pickle.dumps(laughs(30), 2)), "is its|over the limit"),
    "pt over the limit without tensors": (checkpoint(lambda: pickle.dumps({}, 2)), "found none"),
    "pt over the limit that is empty": (checkpoint(lambda: b""), "not a readable .pt|no pickle"),
    "file over the limit.npy": (sparse(2**30 + 1, b"\x93NUMPY"), "1,073,741,825 bytes are over the limit of 1,073,741,824"),
}
"""Name → a way to make what is no ordinary file, and what is said of it whatever it is for."""


def write(folder: Path) -> None:
    """Make every file of the corpus in an empty folder."""
    for name, entry in FILES.items():
        (folder / name).write_bytes(entry.content())
    for name, (make, _) in PLACES.items():
        make(folder / name)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/hostile_corpus.py FOLDER")
    target = Path(sys.argv[1])
    target.mkdir()
    write(target)
    print(f"{len(FILES) + len(PLACES)} files in {target}")
