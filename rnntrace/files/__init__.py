"""What is on disk: one file per format, read and written. Rules for what we did not write ourselves are in `tensors`."""

import json
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rnntrace.errors import FileError, UsageError, show
from rnntrace.files.columns import Columns
from rnntrace.files.foreign import check_folder
from rnntrace.files.sniff import LARGE, recognise
from rnntrace.files.tensors import Tensors
from rnntrace.files.writing import Content
from rnntrace.model.dtypes import Array
from rnntrace.model.extras import optional
from rnntrace.model.limits import MAX_BYTES, over

KERAS, ONNX = "rnntrace.files.keras", "rnntrace.files.onnx"
READERS = {
    "npy": "rnntrace.files.npz",
    "npz": "rnntrace.files.npz",
    "pt": "rnntrace.files.pt",
    **dict.fromkeys((LARGE, "torchscript", "torch.package", "pt2", "pickle"), "rnntrace.files.torch_archives"),
    "safetensors": "rnntrace.files.safetensors",
    "safetensors.index.json": "rnntrace.files.shards",
    "onnx": ONNX,
    "keras": KERAS,
    "h5": KERAS,
    "mat": "rnntrace.files.mat",
    "json": "rnntrace.files.text",
    "csv": "rnntrace.files.text",
}
BESIDE = {
    "config": (KERAS, "Keras' weights (.h5)"),
    "graph_inputs": (ONNX, "a model of ONNX whose weights are inputs"),
}
"""What some readers take beside a file, as their keyword: whose it is, and of what."""
TRACES = ("npz", "safetensors")
"""The kinds of files in which traces are saved, and whose arrays can stay where they are."""


def read_tensors(path: Path, beside: Mapping[str, Any] | None = None, columns: Columns | None = None) -> Tensors:
    """Every array of numbers in a file. Raises FileError with one line that says what is wrong.

    What belongs `beside` it is the config of a Keras model, of which the file has the weights, or the graph_inputs of one of
    ONNX. `columns` are those of a table.
    """
    with _speaking_of(path):
        kind = _kind(path)
        given = dict(beside or {})
        for name in given:
            reader, whose = BESIDE[name]
            if READERS[kind] != reader:
                raise FileError(f"`{name}` belongs to {whose}, and this is another file: leave it out")
        given |= {"columns": columns} if columns is not None and kind == "csv" else {}
        tensors: Tensors = optional(READERS[kind]).read(path, kind, **given)
    return tensors


def map_tensors(path: Path) -> Tensors:
    """As `read_tensors`, with long arrays of .npz and .safetensors left in the file: read-only numpy.memmaps.

    They may be larger than memory, and are float32, float64 or uint8 as the file has them. What is compressed, or of another
    format, is read.
    """
    with _speaking_of(path):
        kind = _kind(path, mapped=True)
        reader = optional(READERS[kind])
        tensors: Tensors = (reader.mapped if kind in TRACES else reader.read)(path, kind)
    return tensors


def metadata_of(source: str) -> str:
    """The metadata of a saved trace, empty for any other file and for JSON; no array is read. Raises FileError."""
    if is_json(source):
        return ""
    path = Path(source)
    with _speaking_of(path):
        kind = _kind(path, mapped=True)
        text: str = optional(READERS[kind]).metadata(path, kind) if kind in TRACES else ""
    return text


def read_source(source: str, beside: Mapping[str, Any] | None = None, columns: Columns | None = None) -> Tensors:
    """What a user names: a file, or JSON typed in its place. Raises FileError."""
    if not is_json(source):
        return read_tensors(Path(source), beside, columns)
    for name in beside or ():
        raise FileError(f"`{name}` belongs to {BESIDE[name][1]}, and JSON is typed: leave it out")
    from rnntrace.files.text import parse_json

    return parse_json(source)


def is_json(source: str) -> bool:
    """Whether a source is typed JSON and not the name of a file."""
    return source.lstrip()[:1] in ("[", "{")


def label(source: str) -> str:
    """The source as an error message names it."""
    return "the JSON" if is_json(source) else show(source)


def check_writable(path: Path) -> None:
    """Raises UsageError unless there is a writer for the path's suffix."""
    if path.suffix[1:] not in TRACES:
        suffixes = " or ".join(f".{kind}" for kind in TRACES)
        raise UsageError(f"a trace is saved as {suffixes}, and {path.name!r} has neither suffix: give `save` another name")


def check_no_arrays(path: Path) -> None:
    """Raises UsageError for a suffix of files of arrays: a report of that name is most likely to replace a trace or weights."""
    if READERS.get(path.suffix[1:].lower(), "rnntrace.files.text") != "rnntrace.files.text":
        raise UsageError(f"`output` writes a report, and {path.name!r} is the name of a file of arrays: give another suffix")


def dump_tensors(suffix: str, arrays: Mapping[str, Array], metadata: Mapping[str, object]) -> Content:
    """What writes a file of arrays and metadata, which JSON can hold; `suffix` says the format. Raises MissingExtraError."""
    return partial(optional(READERS[suffix[1:]]).write, arrays=arrays, metadata=json.dumps(metadata))


@contextmanager
def _speaking_of(path: Path) -> Iterator[None]:
    """Around reading a file: whatever is wrong is told with its name."""
    try:
        yield
    except FileError as error:
        raise FileError(f"{show(str(path))}: {error}") from None
    except OSError as error:
        raise FileError(f"{show(str(path))}: it cannot be read: {error.strerror}") from None


def _kind(path: Path, *, mapped: bool = False) -> str:
    """The kind of a file, once it is known to be no larger than what may be read. What is mapped is not read."""
    try:
        found = path.stat()
    except (FileNotFoundError, ValueError):
        # A ValueError means that no file can have this name.
        numbers = ": numbers are typed as JSON, such as [[1, 2, 3]]" if set(str(path)) <= set("0123456789+-.eE, ") else ""
        raise FileError(f"there is no such file{numbers}") from None
    if stat.S_ISDIR(found.st_mode):
        check_folder(path)
    if not stat.S_ISREG(found.st_mode):
        raise FileError(f"expected a file, and found a {'directory' if stat.S_ISDIR(found.st_mode) else 'device or pipe'}")
    if not found.st_size:
        # Files of the system's own have no size, and some of them never end, or wait for something to happen.
        raise FileError("the file is empty")
    kind = recognise(path, mapped=mapped)
    stays = kind == LARGE or (mapped and kind in TRACES)
    if found.st_size > MAX_BYTES and not stays:
        raise FileError(f"{found.st_size:,} bytes are {over('MAX_BYTES', MAX_BYTES)}")
    return kind
