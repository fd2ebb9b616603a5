"""What torch and Python write that holds more than weights: TorchScript, torch.package, torch.export, pickles of arrays.

Checkpoints over the limit are read here too, of which an optimizer has the most: tensors of floats stay in the file until they
are used.

Tensors are read by the names of what they stand in. No code of the file is run, and none of its classes is imported.
torch/csrc/jit/serialization/export_module.cpp, torch/package/package_exporter.py, torch/export/pt2_archive/_package.py.
"""

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from rnntrace.errors import FileError, show
from rnntrace.files.members import Bytes, placed, unpacked
from rnntrace.files.pt_beside import StoredArray
from rnntrace.files.sniff import LARGE
from rnntrace.files.tensors import Tensors, Total, check_distinct, check_text, mapping, reading, stays_in_file
from rnntrace.files.unpickled import Foreign, Storage, StoredTensor, loaded
from rnntrace.model.dtypes import Array
from rnntrace.model.limits import MAX_BYTES, MAX_MEMBERS, over

OF_MODULES = ("_parameters", "_buffers", "_modules")
"""Where a module of torch keeps what it has, in dictionaries of these names."""
DEEPEST = 32
"""Things inside one another that are looked into."""
FREEZE = "its parameters have no names, as torch.jit.freeze leaves them: give the module from before, or its state_dict()"
EXPORTED = {7: "<f4", 8: "<f8", 6: "<f2", 13: "bfloat16"}
"""Floats among the number formats of torch.export, torch/_export/serde/schema.py (ScalarType)."""


def read(path: Path, kind: str) -> Tensors:
    """Every tensor of floats by name. Raises FileError if there is none with a name."""
    with reading(kind.removeprefix("large ")):
        if kind == "pickle":
            return _of_pickle(path)
        with zipfile.ZipFile(path) as archive:
            check_distinct(archive.namelist())
            return _READ[kind](_Archive(archive))


class _Archive:
    """An archive of which each member is read once. Raises FileError where all that is read is over MAX_BYTES."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self._read: dict[str, Bytes] = {}
        self._size = 0
        self.names = file.namelist()

    def size(self, name: str) -> int:
        """Bytes of a member, unpacked. Raises KeyError if there is none of that name."""
        return self._file.getinfo(name).file_size

    def map(self) -> None:
        """Leave long members where they lie, and count them as not read."""
        self._read = dict(placed(self._file, mapping(cast(BinaryIO, self._file.fp))))

    def read(self, name: str) -> Bytes:
        """A member. Raises KeyError if there is none of that name."""
        if name not in self._read:
            self._size += self.size(name)
            if self._size > MAX_BYTES:
                raise FileError(f"what is read of it has {self._size:,} bytes, {over('MAX_BYTES', MAX_BYTES)}")
            self._read[name] = unpacked(self._file, self._file.getinfo(name))
        return self._read[name]

    def pickle(self, name: str, *, plain: bool = False) -> Any:
        """What a member that is a pickle holds."""
        return loaded(self.read(name).tobytes(), plain=plain)


def _of_pickle(path: Path) -> Tensors:
    if not (named := [*_named(loaded(path.read_bytes(), plain=True))]):
        raise FileError("it is a pickle without named arrays: save module.state_dict(), or arrays by numpy.savez")
    return _tensors(named, None)


def _of_torchscript(archive: _Archive) -> Tensors:
    (folder,) = _folders(archive, "/constants.pkl")
    named = [*_named(archive.pickle(f"{folder}/data.pkl"))]
    if not named and isinstance(constants := archive.pickle(f"{folder}/constants.pkl"), tuple) and constants:
        raise FileError(FREEZE)
    return _tensors(named, lambda storage: archive.read(f"{folder}/data/{storage.key}"))


def _of_checkpoint(archive: _Archive) -> Tensors:
    (folder,) = _folders(archive, "/data.pkl")
    archive.map()
    order = f"{folder}/byteorder"
    if order in archive.names and archive.read(order).tobytes() != b"little":
        raise FileError("its numbers are big-endian: save it on a machine of the usual order of bytes")
    named = [*_named(archive.pickle(f"{folder}/data.pkl", plain=True))]
    return _tensors(named, lambda storage: archive.read(f"{folder}/data/{storage.key}"))


def _of_package(archive: _Archive) -> Tensors:
    (folder,) = _folders(archive, "/.data/extern_modules")
    named: list[tuple[str, Any]] = []
    pickles = [name for name in archive.names if name.endswith(".pkl")]
    for name in pickles:
        inside = name.removeprefix(f"{folder}/").removesuffix(".pkl").replace("/", ".")
        prefix = "" if len(pickles) == 1 else f"{inside}."
        named += [(prefix + own, tensor) for own, tensor in _named(archive.pickle(name))]
    return _tensors(named, lambda storage: archive.read(f"{folder}/.data/{storage.key}.storage"))


def _of_export(archive: _Archive) -> Tensors:
    """A table says under which name each parameter lies, and how."""
    found = _folders(archive, "/data/weights/model_weights_config.json")
    if not found:
        raise FileError("an older torch.export wrote it: type torch.save(torch.export.load(f).state_dict, 'w.pt') in Python")
    table = f"{found[0]}/data/weights/model_weights_config.json"
    check_text(archive.size(table), "its table of weights")
    named, places = [], {}
    for name, entry in json.loads(archive.read(table).tobytes())["config"].items():
        meta = entry["tensor_meta"]
        code = EXPORTED.get(meta["dtype"])
        if code is None or entry.get("use_pickle"):
            continue
        sizes, strides = ([_whole(number["as_int"]) for number in meta[key]] for key in ("sizes", "strides"))
        storage = Storage(code, name, 0)
        places[name] = f"{found[0]}/data/weights/{_plain(entry['path_name'])}"
        named.append((name, StoredTensor(storage, _whole(meta["storage_offset"]["as_int"]), tuple(sizes), tuple(strides))))
    return _tensors(named, lambda storage: archive.read(places[storage.key]))


def _whole(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise FileError("a tensor in it has no sizes")
    return number


def _plain(name: Any) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[\w.]+", name):
        raise FileError("a tensor in it lies under a name that is none of this archive's")
    return name


def _folders(archive: _Archive, ending: str) -> list[str]:
    return [name.removesuffix(ending) for name in archive.names if name.endswith(ending)][:1]


def _named(content: Any) -> Iterator[tuple[str, StoredTensor | StoredArray]]:
    """Every tensor and array with its name, in order; attributes of a module stand under their own names."""
    pending: list[tuple[str, Any, int]] = [("", content, 0)]
    count = 0
    while pending:
        prefix, found, depth = pending.pop()
        count += 1
        if count > 10 * MAX_MEMBERS:
            raise FileError(f"its parts are {over('MAX_MEMBERS', MAX_MEMBERS)}, ten times")
        if isinstance(found, StoredTensor | StoredArray):
            if prefix:
                yield prefix, found
            continue
        inside = found.state if isinstance(found, Foreign) else found
        if isinstance(inside, Mapping) and depth < DEEPEST:
            entries = []
            for key, value in inside.items():
                own = prefix if key in OF_MODULES and isinstance(found, Foreign) else f"{prefix}.{key}" if prefix else str(key)
                entries.append((own, value, depth + 1))
            pending += reversed(entries)


def _tensors(named: list[tuple[str, Any]], content: Callable[[Storage], Bytes] | None) -> Tensors:
    """The numbers of tensors and arrays. Raises FileError for none, and for two of one name."""
    if not named:
        raise FileError("expected tensors by name, as a module has them, and found none")
    check_distinct(name for name, _ in named)
    arrays: dict[str, Array] = {}
    dtypes: dict[str, str] = {}
    refused: dict[str, str] = {}
    total, seen = Total(), set[str]()
    for name, tensor in named:
        strange = tensor.strange if isinstance(tensor, StoredArray) else ""
        if not content and isinstance(tensor, StoredTensor):
            strange = "a tensor of torch without its numbers"
        if strange:
            refused[name] = strange
            continue
        dtypes[name] = tensor.dtype
        if isinstance(tensor, StoredArray):
            total.add(tensor.count, name)
            arrays[name] = tensor.values
            continue
        numbers = _numbers(tensor, content)
        # Of what stays in the file a small part may still be many views, and a view of stride 0 larger than it.
        in_place = stays_in_file(numbers, tensor.storage.code) and tensor.count * 4 <= len(numbers)
        total.add(0 if in_place and tensor.storage.key not in seen else tensor.count, name)
        seen.add(tensor.storage.key)
        arrays[name] = tensor.values(numbers)
    return Tensors(arrays, dtypes, refused)


def _numbers(tensor: StoredTensor, content: Callable[[Storage], Bytes] | None) -> Bytes:
    assert content is not None
    try:
        return content(tensor.storage)
    except KeyError:
        raise FileError(f"the numbers of a tensor are not there: {show(tensor.storage.key)[:60]}") from None


_READ: dict[str, Callable[[_Archive], Tensors]] = {
    LARGE: _of_checkpoint,
    "torchscript": _of_torchscript,
    "torch.package": _of_package,
    "pt2": _of_export,
}
