"""numpy's .npy and .npz. Never unpickled, and headers are checked against what the file really holds."""

import io
import math
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import FileError
from rnntrace.files.members import Bytes, placed, unpacked
from rnntrace.files.tensors import SHORT, Tensors, Total, check_distinct, check_text, mapping, reading, stays_in_file
from rnntrace.files.writing import pieces_of
from rnntrace.model.dtypes import Array
from rnntrace.model.limits import MAX_MEMBERS

METADATA = "metadata.json"
"""Key under which an .npz that we write holds its metadata, as the bytes of a JSON text."""
NUMBERS = "fiub"
"""numpy's kinds of dtype that are read: floats, integers, truth values."""
VERSIONS = ((1, 0), (2, 0), (3, 0))
"""Those of the .npy format that there are."""
LONGEST_HEADER = 2**16
"""Bytes in which the header of an .npy ends: numpy takes no more than 10,000 characters."""
MOST_HEADERS = 256 * MAX_MEMBERS
"""Bytes of all headers together; each is parsed as Python, which takes long, and is 128 bytes as a rule."""
BOUNDARY = 64
"""Arrays that we write start at a multiple of as many bytes; so long, or a multiple, is what numpy puts before the numbers."""
PADDING = 0xD935
"""The extra field of a zip archive that holds nothing but blanks; the number is that of Android's zipalign."""


def read(path: Path, kind: str) -> Tensors:
    """The arrays of an .npz by key, or the one of an .npy under the empty name."""
    with reading(kind):
        if kind == "npy":
            return _gathered([("", np.fromfile(path, np.uint8))])
        with zipfile.ZipFile(path) as archive:
            return _gathered((_key(member.filename), unpacked(archive, member)) for member in archive.infolist())


def mapped(path: Path, kind: str) -> Tensors:
    """As `read`, with long arrays left in the file where they lie in it uncompressed."""
    with reading(kind), path.open("rb") as file, zipfile.ZipFile(file) as archive:
        return _gathered((_key(name), content) for name, content in placed(archive, mapping(file), SHORT))


def metadata(path: Path, kind: str) -> str:
    """The metadata of an .npz, of which nothing else is read; empty where there are none."""
    with reading(kind), zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if _key(member.filename) == METADATA]
        check_distinct(_key(member.filename) for member in members)
        check_text(sum(member.file_size for member in members), "its metadata")
        return _gathered((METADATA, unpacked(archive, member)) for member in members).metadata


def write(file: BinaryIO, arrays: Mapping[str, Array], metadata: str) -> None:
    """Write an .npz as numpy.savez does, with no more in memory than a piece of an array; the file need not be seekable."""
    text = np.frombuffer(metadata.encode(), np.uint8)
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in {METADATA: text, **arrays}.items():
            # The date of a ZipInfo is the first of 1980, so that the same arrays make the same file.
            member = zipfile.ZipInfo(f"{name}.npy")
            # In front of the data lie a header of 30 bytes, the name, and extra fields: 20 bytes of zip64, and this one.
            blanks = -(archive.start_dir + 30 + len(member.filename.encode()) + 20 + 4) % BOUNDARY
            member.extra = struct.pack("<HH", PADDING, blanks) + bytes(blanks)
            header = np.lib.format.header_data_from_array_1_0(array)
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array_header_1_0(stream, header)
                for piece in pieces_of(array.T if header["fortran_order"] else array):
                    stream.write(piece)


def _key(name: str) -> str:
    return name.removesuffix(".npy")


def _gathered(members: Iterable[tuple[str, Bytes]]) -> Tensors:
    arrays: dict[str, Array] = {}
    dtypes: dict[str, str] = {}
    refused: dict[str, str] = {}
    metadata = ""
    total = Total()
    headers = 0
    names: list[str] = []
    for name, content in members:
        names.append(name)
        shape, fortran_order, dtype, start = _header(content)
        headers += start
        if headers > MOST_HEADERS:
            raise FileError(f"its headers have {headers:,} bytes or more, over the limit of {MOST_HEADERS:,}")
        count = math.prod(shape)
        stays = stays_in_file(content, dtype.str) and name != METADATA
        if not stays:
            total.add(count)
        if dtype.kind not in NUMBERS:
            refused[name] = f"an array of {dtype}"[:60]
            continue
        if count * dtype.itemsize > len(content) - start:
            raise FileError(f"an array of {count:,} values is announced, and {len(content) - start:,} bytes are there")
        data = content[start : start + count * dtype.itemsize]
        if name == METADATA:
            check_text(len(data), "its metadata")
            metadata = data.tobytes().decode()
            continue
        array = data.view(dtype).reshape(shape, order="F" if fortran_order else "C")
        if not stays:
            array = _as_float(array)
        arrays[name], dtypes[name] = array, dtype.name
    check_distinct(names)
    return Tensors(arrays, dtypes, refused, metadata)


def _header(content: Bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether in Fortran's order, dtype, and the byte at which the numbers start."""
    stream = io.BytesIO(content[:LONGEST_HEADER].tobytes())
    version = np.lib.format.read_magic(stream)
    if version not in VERSIONS:
        raise FileError("version {}.{} of the .npy format is unknown: save it in version 1.0 to 3.0".format(*version))
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = header(stream)
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"no array has the shape {shape}")
    return shape, fortran_order, dtype, stream.tell()


def _as_float(array: NDArray[Any]) -> Array:
    """Floats of up to 4 bytes as float32, which holds them exactly; everything else as float64."""
    narrow = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    return np.array(array, np.float32 if narrow else np.float64)
