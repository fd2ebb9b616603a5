"""The state_dict of an LSTM or GRU that torch quantised dynamically: packed weights in integers, and biases in floats.

How they are packed: QuantizedCellParamsDynamic in aten/src/ATen/native/RNN.cpp, and LinearPackedParams. torch unpacks nothing.
"""

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnntrace.errors import FileError, show
from rnntrace.files.tensors import Tensors, Total
from rnntrace.files.unpickled import Foreign, StoredTensor, loaded
from rnntrace.model.dtypes import Array

PACKED = re.compile(r"(?P<owner>.*\.)?_all_weight_values\.(?P<number>\d{1,3})\.param")
Values = Callable[[StoredTensor], Array]


@dataclass(frozen=True)
class _Packed:
    """Of one layer in one direction: both matrices as numbers, both biases, and to how many levels activations are rounded."""

    W_ih: Array
    W_hh: Array
    b_ih: Array
    b_hh: Array
    levels: int


def read(archive: zipfile.ZipFile, folder: str) -> Tensors:
    """Every tensor of floats, and packed weights under the names of torch's own modules. Raises FileError."""
    content = loaded(archive.read(f"{folder}/data.pkl"))
    if not isinstance(content, Mapping):
        raise FileError("it holds quantised weights without names: expected the state_dict of a module")
    total = Total()

    def values(tensor: StoredTensor) -> Array:
        total.add(tensor.count)
        return tensor.values(archive.read(f"{folder}/data/{tensor.storage.key}"))

    arrays: dict[str, Array] = {}
    dtypes: dict[str, str] = {}
    refused: dict[str, str] = {}
    packed: dict[str, dict[int, _Packed]] = {}
    for name, entry in content.items():
        if isinstance(entry, StoredTensor) and entry.is_float:
            arrays[name], dtypes[name] = values(entry), entry.dtype
        elif (found := PACKED.fullmatch(str(name))) and isinstance(entry, Foreign):
            packed.setdefault(found["owner"] or "", {})[int(found["number"])] = _unpacked(str(name), entry, values)
        elif isinstance(entry, Foreign | StoredTensor):
            refused[str(name)] = "packed weights of a quantised module"
    levels: dict[str, int] = {}
    for owner, cells in packed.items():
        for name, array in _named(owner, [cells[number] for number in sorted(cells)]):
            arrays[owner + name], dtypes[owner + name] = array, "float32"
        levels[owner] = min(cell.levels for cell in cells.values())
    if not levels:
        raise FileError(
            "it holds torch.ScriptObject, the packed weights of a quantised module that is no LSTM or GRU, which are not read: "
            "give the state_dict of the module before it was quantised"
        )
    return Tensors(arrays, dtypes, refused, levels=levels)


def _unpacked(name: str, entry: Foreign, values: Values) -> _Packed:
    """One cell. Raises FileError for any other form than torch's."""
    match entry.state:
        case (("quantized_dynamic", [StoredTensor() as b_ih, StoredTensor() as b_hh], _, [*longs], [W_ih, W_hh]), str()):
            # For kernels that would overflow, activations get 7 bits.
            levels = 127 if longs and longs[0] else 255
            return _Packed(_dequantised(W_ih, values), _dequantised(W_hh, values), values(b_ih), values(b_hh), levels)
    raise FileError(f"{show(name)[:80]} is packed in a form that is not known: give the weights from before they were packed")


def _dequantised(packed: Any, values: Values) -> Array:
    """(q - zero point)·scale, by row where there is a scale for each."""
    match packed:
        case Foreign(state=((StoredTensor() as tensor, *_), str())) if tensor.quantiser:
            kind, scale, zero, *axis = tensor.quantiser
            q = values(tensor).astype(np.float64)
            if kind == "per_channel_affine" and isinstance(scale, StoredTensor) and isinstance(zero, StoredTensor):
                scale, zero = (values(one).astype(np.float64)[:, None] for one in (scale, zero))
                if axis and axis[0] != 0:
                    raise FileError("quantised weights in it have a scale for each column, which is not read")
            if isinstance(scale, float | np.ndarray) and isinstance(zero, int | np.ndarray) and q.ndim == 2:
                return ((q - zero) * scale).astype(np.float32)
    raise FileError("quantised weights in it have no scale that is known: give those before they were quantised")


def _named(owner: str, cells: list[_Packed]) -> Iterator[tuple[str, Array]]:
    """Under torch's names: layer after layer, both directions one after the other where there are two."""
    sizes = [cell.W_ih.shape[1] for cell in cells]
    hidden = cells[0].W_hh.shape[1]
    both = len(cells) % 2 == 0 and sizes[0] == sizes[1] and all(size == 2 * hidden for size in sizes[2:])
    one = all(size == hidden for size in sizes[1:])
    if both and one:
        raise FileError(
            f"the packed weights of {show(owner.strip('.')) or 'the module'} are those of two layers, or of two directions: "
            "the file does not tell, give those before they were quantised"
        )
    if not (both or one):
        raise FileError(f"the packed weights of {show(owner.strip('.')) or 'the module'} fit no stack of layers")
    for number, cell in enumerate(cells):
        suffix = f"_l{number // 2}{'_reverse' * (number % 2)}" if both else f"_l{number}"
        arrays = {"weight_ih": cell.W_ih, "weight_hh": cell.W_hh, "bias_ih": cell.b_ih, "bias_hh": cell.b_hh}
        yield from ((part + suffix, array) for part, array in arrays.items())
