"""What is on disk: one file per format. A file is known by its first bytes, not by its name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from rnntrace.errors import FileError, MissingExtraError, UsageError
from rnntrace.files.atomic import replace_file
from rnntrace.model.dtypes import Array

MAX_BYTES = 2**30
"""Largest file that is opened, and largest sum of what a zip archive unpacks to: 1 GiB."""

READERS = {
    "npy": "rnntrace.files.npz",
    "npz": "rnntrace.files.npz",
    "pt": "rnntrace.files.pt",
    "safetensors": "rnntrace.files.safetensors",
    "json": "rnntrace.files.text",
    "csv": "rnntrace.files.text",
}
WRITERS = {".npz": "rnntrace.files.npz", ".safetensors": "rnntrace.files.safetensors"}


@dataclass(frozen=True)
class Tensors:
    """Named arrays from a file; a single array without a name stands under the empty name. `dtypes` as the file has them."""

    arrays: Mapping[str, Array]
    dtypes: Mapping[str, str]


def read_tensors(path: Path) -> Tensors:
    """Every floating-point or integer array of a file. Raises FileError with one line that says what is wrong."""
    name = show(str(path))
    if not path.exists():
        raise FileError(f"{name}: there is no such file")
    if not path.is_file():
        raise FileError(f"{name}: expected a file, and found a {'directory' if path.is_dir() else 'device or pipe'}")
    if path.stat().st_size > MAX_BYTES:
        raise FileError(f"{name}: {path.stat().st_size:,} bytes are over the limit of {MAX_BYTES:,}")
    try:
        kind = _recognise(path)
        tensors: Tensors = _module(READERS[kind]).read(path, kind)
    except FileError as error:
        raise FileError(f"{name}: {error}") from None
    except PermissionError:
        raise FileError(f"{name}: permission to read it is missing") from None
    return tensors


def read_source(source: str) -> Tensors:
    """What a user names: a file, or JSON typed in its place. Raises FileError."""
    if not is_json(source):
        return read_tensors(Path(source))
    from rnntrace.files.text import parse_json

    return parse_json(source)


def is_json(source: str) -> bool:
    """Whether a source is typed JSON and not the name of a file."""
    return source.lstrip()[:1] in ("[", "{")


def label(source: str) -> str:
    """The source as an error message names it."""
    return "the JSON" if is_json(source) else show(source)


def write_tensors(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, object]) -> None:
    """Write arrays and metadata, which JSON can hold, to .npz or .safetensors; the file is whole or not there at all."""
    if path.suffix not in WRITERS:
        raise UsageError(f"a trace is saved as {' or '.join(WRITERS)}, not as {path.suffix or 'a file without a suffix'!r}")
    replace_file(path, _module(WRITERS[path.suffix]).dump(arrays, json.dumps(metadata)))


def show(text: str) -> str:
    """A foreign string made fit to print: control and bidirectional characters become escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _recognise(path: Path) -> str:
    """The format, from the first bytes."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise FileError("the file is empty")
    if head.startswith(b"version https://git-lfs"):
        raise FileError("this is a Git LFS pointer, not the file itself: run `git lfs pull`")
    if head.startswith(b"PK\x03\x04"):
        return _recognise_zip(path)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    if head.startswith(b"\x80"):
        return "pt"
    if b"\x00" in head:
        raise FileError("unknown format: expected one of .pt, .safetensors, .npz, .npy, .json or .csv")
    return "json" if head.lstrip()[:1] in (b"[", b"{") else "csv"


def _recognise_zip(path: Path) -> str:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile as error:
        raise FileError(f"the zip archive is damaged: {error}") from None
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_BYTES:
        raise FileError(f"it unpacks to {unpacked:,} bytes, over the limit of {MAX_BYTES:,}")
    return "npz" if members and all(member.filename.endswith(".npy") for member in members) else "pt"


def _module(name: str):  # type: ignore[no-untyped-def]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        extra = error.name or name
        raise MissingExtraError(
            f"this needs the package {extra}, which is not installed: pip install 'rnntrace[{extra}]'"
        ) from None
