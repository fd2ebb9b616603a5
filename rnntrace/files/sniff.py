"""Which format a file has, from its first bytes and not from its name."""

import io
import re
import struct
import zipfile
from collections.abc import Collection
from io import FileIO
from pathlib import Path

from rnntrace.errors import FileError
from rnntrace.files import foreign
from rnntrace.files.members import is_stored
from rnntrace.files.tensors import reading
from rnntrace.model.limits import MAX_BYTES, MAX_MEMBERS, MAX_TEXT, over

UNKNOWN = "unknown format: expected one of .pt, .safetensors, .npz, .npy, .onnx, .keras, .h5, .mat, .json or .csv"

ARCHIVES = {
    r"[^/]*/constants\.pkl": "torchscript",
    r"(?:[^/]*/)?(?:archive_format|models/[^/]*\.json|serialized_exported_program\.json)": "pt2",
    r"[^/]*/\.data/extern_modules": "torch.package",
}
"""What torch writes beside plain weights, by the name of a member."""
LARGE = "large pt"
"""The kind of a .pt that is over the limit as a whole: see `torch_archives`."""
STORAGE = r"[^/]*/data/[^/.]+"
"""The name of a member that holds the numbers of tensors, and nothing else."""
OLD_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
"""The number with which a file of torch before 1.6 begins, as a pickle has it."""
MAX_GROWTH = 200
"""Most times that an archive may grow when it is unpacked; weights and signals compress to a tenth as a rule."""
ANY_GROWTH = 2**26
"""Bytes to which any archive may unpack: 64 MiB."""


def recognise(path: Path, *, mapped: bool = False) -> str:
    """A kind of READERS. Raises FileError for anything else and for archives over the limits.

    Where the file is going to be `mapped`, what lies in an archive uncompressed does not count: it is not unpacked. Neither do
    the numbers of a .pt that is over the limit: those that nobody looks at are never read.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    if not head:
        raise FileError("the file is empty")
    if head.startswith(b"version https://git-lfs"):
        raise FileError("this is a Git LFS pointer, not the file itself: run `git lfs pull`")
    foreign.check_head(head)
    if head.startswith(b"PK\x03\x04"):
        return _recognise_zip(path, mapped)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    if head.startswith(b"\x80"):
        return "pt" if OLD_TORCH in head[:32] else "pickle"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "h5"
    if head.startswith(b"\x08"):
        # The first field of an ONNX model, its ir_version.
        foreign.check_protobuf(path)
        return "onnx"
    if head.startswith(b"MATLAB 5.0") or head[512:520] == b"\x89HDF\r\n\x1a\n":
        return "mat"
    if b"\x00" in head:
        raise FileError(UNKNOWN)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"{" and path.stat().st_size <= MAX_TEXT and b'"weight_map"' in path.read_bytes():
        return "safetensors.index.json"
    return "json" if start in (b"[", b"{") else "csv"


class _Directory(FileIO):
    """An archive of which no more than its directory is read; that of a large file may be larger than memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_BYTES:
            raise FileError(f"its directory of members has {size:,} bytes, {over('MAX_BYTES', MAX_BYTES)}")
        return super().read(size)


def _recognise_zip(path: Path, mapped: bool) -> str:
    with reading("zip archive"), _Directory(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_directory(file, archive.start_dir, len(members))
    if len(members) > MAX_MEMBERS:
        raise FileError(f"it has {len(members):,} members, {over('MAX_MEMBERS', MAX_MEMBERS)}")
    names = {member.filename for member in members}
    foreign.check_members(names)
    kind = _kind_of(names)
    in_place = mapped
    if kind == "pt" and sum(member.file_size for member in members) > MAX_BYTES:
        kind, in_place = LARGE, True
    unpacked = sum(member.file_size for member in members if not (in_place and _stays(member, kind)))
    if unpacked > MAX_BYTES:
        raise FileError(f"it unpacks to {unpacked:,} bytes, {over('MAX_BYTES', MAX_BYTES)}")
    size = path.stat().st_size
    if unpacked > max(MAX_GROWTH * size, ANY_GROWTH):
        raise FileError(f"it unpacks to {unpacked:,} bytes, over {MAX_GROWTH} times its size of {size:,}, which is the limit")
    return kind


def _kind_of(names: Collection[str]) -> str:
    """What an archive is by the names of its members."""
    if "model.weights.h5" in names:
        return "keras"
    for pattern, kind in ARCHIVES.items():
        if any(re.fullmatch(pattern, name) for name in names):
            return kind
    return "npz" if names and all(name.endswith(".npy") for name in names) else "pt"


def _stays(member: zipfile.ZipInfo, kind: str) -> bool:
    """Whether a member is mapped where it lies, and not read."""
    return is_stored(member) and (kind != LARGE or re.fullmatch(STORAGE, member.filename) is not None)


def _check_directory(file: FileIO, start: int, count: int) -> None:
    """Raises ValueError unless the directory of an archive is the one that any reader finds, and ends where the file does.

    Of two directories torch's own reader may take the other one: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT,
    4.3.14 to 4.3.16.
    """
    end = file.seek(0, io.SEEK_END) - 22
    signature, _, _, _, entries, size, offset, comment = struct.unpack("<4s4H2LH", _at(file, end, 22))
    locator, _, place, _ = struct.unpack("<4sLQL", _at(file, end - 20, 20))
    if locator == b"PK\x06\x07":
        end -= 20 + 56
        again, _, _, _, _, _, _, entries, size, offset = struct.unpack("<4sQ2H2L4Q", _at(file, end, 56))
        if again != b"PK\x06\x06" or place != end:
            raise ValueError("it has two directories, or one that is not where it says")
    if signature != b"PK\x05\x06" or comment or (offset, offset + size, entries) != (start, end, count):
        raise ValueError("its directory does not end where the file ends")


def _at(file: FileIO, place: int, size: int) -> bytes:
    file.seek(max(place, 0))
    return file.read(size)
