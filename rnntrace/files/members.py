"""What lies in a zip archive as it is, neither compressed nor of two sizes: it can be left where it lies, and mapped."""

import struct
import zipfile
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import FileError, show
from rnntrace.files.tensors import SHORT

Bytes = NDArray[np.uint8]
"""The content of a file or of a member of an archive, read or mapped."""


def is_stored(member: zipfile.ZipInfo) -> bool:
    """Whether a member of an archive lies in it as it is."""
    return member.compress_type == zipfile.ZIP_STORED and member.file_size == member.compress_size


def unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Bytes:
    """The content of a member, read."""
    return np.frombuffer(archive.read(member), np.uint8)


def placed(archive: zipfile.ZipFile, content: Bytes, short: int = SHORT) -> Iterator[tuple[str, Bytes]]:
    """The members of an archive by name: those that are stored and not `short` are slices of the mapped file.

    Raises FileError for one that reaches into another, or beyond what there is.
    """
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    ends = [*(member.header_offset for member in members[1:]), archive.start_dir]
    for member, end in zip(members, ends, strict=True):
        if not is_stored(member) or member.file_size < short:
            yield member.filename, unpacked(archive, member)
            continue
        # Refuses a member that is encrypted, or not where the directory says that it is.
        archive.open(member).close()
        name_length, extra_length = struct.unpack("<HH", content[member.header_offset + 26 :][:4].tobytes())
        start = member.header_offset + 30 + name_length + extra_length
        if start + member.file_size > end:
            raise FileError(f"{show(member.filename)} has {member.file_size:,} bytes, and {max(end - start, 0):,} are there")
        yield member.filename, content[start : start + member.file_size]
