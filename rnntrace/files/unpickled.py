"""What a pickle holds, built of parts of ours: nothing that it names is imported, and nothing of it is called.

Tensors, storages and arrays become descriptions that are checked before a number is read; everything else becomes a `Foreign`
that keeps the name of its class and what it was given. Instructions are looked through first, see `pickled`.
How torch writes tensors: torch/_utils.py (_rebuild_tensor_v2, _rebuild_qtensor), torch/storage.py.
"""

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnntrace.errors import FileError, show
from rnntrace.files.members import Bytes
from rnntrace.files.pickled import check_whole
from rnntrace.files.pt_beside import Flags, StoredArray, StoredDtype, stored_number
from rnntrace.files.tensors import stays_in_file
from rnntrace.model.dtypes import Array

MORE = "it holds more than weights ({}), and loading that would run its code: save module.state_dict() instead"
STORED = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "QInt8Storage": "i1",
    "QUInt8Storage": "u1",
    "QInt32Storage": "<i4",
}
"""Number formats by the class of a storage, all of them little-endian."""
HARMLESS = ("torch", "collections")
"""Of these modules a checkpoint may have torch.Size, torch.device, torch.float32 or a Counter beside its weights."""
NAMES = {"<f4": "float32", "<f8": "float64", "<f2": "float16", "bfloat16": "bfloat16"}


@dataclass(frozen=True)
class Storage:
    """So many numbers in a format, under a key."""

    code: str
    key: str
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage. Of integers on a grid, `quantiser` says which: (name, scale, zero point) or the same by channel."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    quantiser: tuple[Any, ...] = ()

    @property
    def count(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> str:
        """The name of its number format."""
        return NAMES.get(self.storage.code, self.storage.code.strip("<"))

    @property
    def is_float(self) -> bool:
        """Whether it holds floats."""
        return self.storage.code in NAMES

    def values(self, content: bytes | Bytes) -> Array:
        """Its numbers, of the content of its storage, as float32, or float64 where they are that. Raises FileError.

        Where that is mapped and they are numbers of these formats, they stay there.
        """
        code = self.storage.code
        last = self.offset + sum(stride * (length - 1) for stride, length in zip(self.strides, self.shape, strict=True))
        width = 2 if code == "bfloat16" else np.dtype(code).itemsize
        if self.count and not (min(self.offset, *self.strides, 0) == 0 <= last < len(content) // width):
            raise FileError("a tensor in it lies outside of its storage")
        if not self.count:
            return np.zeros(self.shape, np.float32)
        flat = np.frombuffer(content, "<u2" if code == "bfloat16" else code)[self.offset : last + 1]
        if code == "bfloat16":
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        found = np.lib.stride_tricks.as_strided(
            flat, self.shape, [stride * flat.itemsize for stride in self.strides], writeable=False
        )
        if stays_in_file(content, code):
            return found
        return np.array(found, np.float64 if code == "<f8" else np.float32)


class Foreign:
    """Something of a class that is not looked for: its full `name`, and the state that it was given."""

    name = ""
    # What is made by __new__ alone is not initialised.
    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments: Any, **_: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """What it holds besides is of no interest."""

    def append(self, value: Any) -> None:
        """Neither are its entries."""

    def extend(self, values: Any) -> None:
        """Nor several of them."""


def loaded(content: bytes, *, plain: bool = False) -> Any:
    """What a pickle holds. Raises FileError for what no weights need, and if it has to be `plain` for anything foreign."""
    check_whole(content)
    try:
        return _Unpickler(io.BytesIO(content), plain).load()
    except FileError:
        raise
    except Exception as error:
        raise FileError(f"it is no pickle that can be read: {show(str(error))[:100]}") from None


class _Unpickler(pickle.Unpickler):
    """Every name is one of `PARTS`, a storage, or foreign."""

    def __init__(self, content: io.BytesIO, plain: bool) -> None:
        super().__init__(content)
        self._plain = plain

    def find_class(self, module: str, name: str, /) -> Any:
        # Python 2's name of it, as protocol 2 has it.
        module = module.replace("__builtin__", "builtins")
        full = f"{module}.{name}"
        if full in PARTS:
            return PARTS[full]
        if module == "torch" and name in STORED:
            return name
        if self._plain and module not in HARMLESS and full != "builtins.set":
            raise FileError(MORE.format(show(full)[:60]))
        return type("Foreign", (Foreign,), {"name": full})

    def persistent_load(self, pid: Any, /) -> Storage:
        match pid:
            case ("storage", str() as kind, key, _, int() as count) if kind in STORED and isinstance(key, str | int):
                return Storage(STORED[kind], str(key), count)
        raise FileError("it refers to something else than the numbers of a tensor")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    whole = [offset, *shape, *strides]
    if not (isinstance(storage, Storage) and all(type(number) is int and number >= 0 for number in whole)):
        raise FileError("a tensor in it has no sizes")
    if len(shape) != len(strides) or len(shape) > 8 or math.prod(shape) > 2**40:
        raise FileError(f"a tensor in it has the sizes {tuple(shape[:8])}, and {len(strides)} strides")
    return StoredTensor(storage, offset, tuple(shape), tuple(strides))


def _quantised(storage: Any, offset: Any, shape: Any, strides: Any, quantiser: Any, *_: Any) -> StoredTensor:
    found = _tensor(storage, offset, shape, strides)
    if not isinstance(quantiser, tuple) or len(quantiser) < 3:
        raise FileError("a quantised tensor in it has no scale")
    return StoredTensor(found.storage, found.offset, found.shape, found.strides, quantiser)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    return str(text).encode(str(encoding))


def _no_bytes() -> bytes:
    return b""


PARTS: Mapping[str, Callable[..., Any] | str] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_qtensor": _quantised,
    "torch.per_tensor_affine": "per_tensor_affine",
    "torch.per_channel_affine": "per_channel_affine",
    "torch.per_channel_affine_float_qparams": "per_channel_affine",
    "numpy.dtype": StoredDtype,
    "numpy.ndarray": StoredArray,
    **{f"numpy.{core}.multiarray._reconstruct": StoredArray for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": stored_number for core in ("core", "_core")},
    "_codecs.encode": _encoded,
    "builtins.bytes": _no_bytes,
    "argparse.Namespace": Flags,
}
"""What is built of ours where a pickle names it."""
