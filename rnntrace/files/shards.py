"""Weights in several .safetensors and the index that names them: JSON with a weight_map from tensors to files beside it.

https://huggingface.co/docs/transformers/big_models describes it. No other file is opened than a plain one in the same folder.
"""

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnntrace.errors import FileError, show
from rnntrace.files import safetensors
from rnntrace.files.sniff import recognise
from rnntrace.files.tensors import Tensors, Total, check_distinct, reading
from rnntrace.model.limits import MAX_BYTES, over

LONGEST = 255
"""Letters of the name of a file."""


def read(path: Path, kind: str) -> Tensors:
    """Every tensor of every file that the index names, which must be where it says; all of them have one total."""
    with reading(kind):
        index = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_distinct)
    places = index.get("weight_map")
    if not (isinstance(places, dict) and places and all(isinstance(name, str) for name in places.values())):
        raise FileError("its weight_map should say the file of each tensor by name, and does not")
    files = {name: _beside(path, name) for name in dict.fromkeys(places.values())}
    size = sum(file.stat().st_size for file in files.values())
    if size > MAX_BYTES:
        raise FileError(f"the files that it names have {size:,} bytes together, {over('MAX_BYTES', MAX_BYTES)}")
    total = Total()
    found = {name: _read(file, name, total) for name, file in files.items()}
    for tensor, name in places.items():
        if tensor not in found[name].dtypes and tensor not in found[name].refused:
            raise FileError(f"it says that {show(tensor)[:60]} is in {show(name)[:60]}, which does not hold it")
    check_distinct(tensor for shard in found.values() for tensor in (*shard.dtypes, *shard.refused))
    arrays, dtypes, refused = (
        _joined(getattr(shard, part) for shard in found.values()) for part in ("arrays", "dtypes", "refused")
    )
    return Tensors(arrays, dtypes, refused)


def _beside(index: Path, name: str) -> Path:
    """A file in the folder of the index. Raises FileError for any other, and for a link out of the folder."""
    told = f"it names the file {show(name)[:60] or 'of no name'}"
    if not name or not name.isprintable() or len(name) > LONGEST or name in (".", "..") or set(name) & set("/\\:"):
        raise FileError(f"{told}: expected the plain name of a file in the same folder")
    file = index.parent / name
    try:
        found = file.lstat()
    except FileNotFoundError:
        raise FileError(f"{told}, which is not there: put all files of the model in one folder") from None
    if stat.S_ISLNK(found.st_mode):
        raise FileError(f"{told}, which is a link: copy the file itself into the folder")
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        raise FileError(f"{told}, which is {'empty' if stat.S_ISREG(found.st_mode) else 'no file'}")
    return file


def _read(file: Path, name: str, total: Total) -> Tensors:
    try:
        if (kind := recognise(file)) != "safetensors":
            raise FileError(f"expected a .safetensors, and found a .{kind}")
        return safetensors.read(file, kind, total)
    except FileError as error:
        raise FileError(f"{show(name)[:60]}: {error}") from None


def _joined(parts: Any) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


def _distinct(entries: list[tuple[str, Any]]) -> Mapping[str, Any]:
    """An object of JSON. Raises FileError if a name stands in it twice."""
    check_distinct(name for name, _ in entries)
    return dict(entries)
