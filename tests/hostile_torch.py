"""Bad and strange .pt and .safetensors."""

import builtins
import io
import json
import os
import pickle
import re
import struct
import subprocess
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import safetensors.torch
import torch
from commandline import EVIL
from formats import lstm, old_pt_bytes, pt_bytes
from hostile import Entry, Evil, flipped, loads, unfit, unreadable, zipped
from hostile_arrays import NO_MODULE, NOT_FLOATS, SHOWN, TOO_LARGE, UNKNOWN, ZIP


def members(archive: bytes) -> dict[str, bytes]:
    """The content of a zip archive by name."""
    with zipfile.ZipFile(io.BytesIO(archive)) as found:
        return {name: found.read(name) for name in found.namelist()}


def edited(content: Any, change: Callable[[dict[str, bytes]], Any]) -> bytes:
    """What torch.save writes, with its members changed, by names without the folder that they lie in."""
    inside = {name.partition("/")[2]: data for name, data in members(pt_bytes(content)).items()}
    change(inside)
    return zipped({f"archive/{name}": data for name, data in inside.items()})


def pickled(content: bytes) -> bytes:
    """A .pt with any pickle at all."""
    return edited({}, lambda inside: inside.update({"data.pkl": content}))


def patched(before: bytes, after: bytes) -> bytes:
    """A .pt of four values, one thing in its pickle changed."""

    def change(inside: dict[str, bytes]) -> None:
        assert before in inside["data.pkl"]
        inside["data.pkl"] = inside["data.pkl"].replace(before, after, 1)

    return edited({"x": torch.zeros(4)}, change)


def rebuilt(offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A .pt of a tensor that says anything at all about where in its four values it lies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = (torch.zeros(4).storage(), offset, size, stride, False, OrderedDict())
        return pt_bytes({"weight_ih_l0": Evil(torch._utils._rebuild_tensor_v2, *arguments)})


def wide(*shape: int) -> torch.Tensor:
    """A tensor of any shape that takes four bytes: every stride is zero."""
    return torch.zeros(1).expand(*shape)


def cyclic() -> dict[str, Any]:
    """A mapping that holds itself."""
    found: dict[str, Any] = {"weight": torch.zeros(2)}
    found["again"] = found
    return found


def laughs(floors: int) -> dict[str, Any]:
    """A mapping with a hundred entries, each of which is the same mapping with a hundred entries, and so on."""
    found: dict[str, Any] = {}
    for _ in range(floors):
        found = dict.fromkeys(map(str, range(100)), found)
    return found


def chain(length: int) -> dict[str, Any]:
    """Mappings one inside the other."""
    found: dict[str, Any] = {}
    for _ in range(length):
        found = {"a": found}
    return found


def script() -> bytes:
    """A module as TorchScript: code of its own, and the weights."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(lstm()), buffer)
    return buffer.getvalue()


def scripted(data: bytes | None, constants: bytes | None = None, without: str = "$") -> bytes:
    """TorchScript with any pickle at all, and without some of its members."""
    inside = members(script())
    for name in inside:
        if name.endswith("/data.pkl") and data is not None:
            inside[name] = data
        if name.endswith("/constants.pkl") and constants is not None:
            inside[name] = constants
    return zipped({name: content for name, content in inside.items() if not re.fullmatch(without, name)})


def described(offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """The pickle of a tensor that says anything at all about where in its four values it lies."""
    return members(rebuilt(offset, size, stride))["archive/data.pkl"]


def exported(place: str, size: int) -> bytes:
    """What torch.export writes of one vector, whose numbers lie anywhere."""
    meta = {"dtype": 7, "sizes": [{"as_int": size}], "strides": [{"as_int": 0}], "storage_offset": {"as_int": 0}}
    table = {"config": {"weight_ih_l0": {"path_name": place, "use_pickle": False, "tensor_meta": meta}}}
    weights = "e/data/weights/"
    return zipped(
        {
            "e/archive_format": b"pt2",
            f"{weights}model_weights_config.json": json.dumps(table).encode(),
            f"{weights}weight_0": bytes(8),
        }
    )


def quantised(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in 8 bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


def nested(tensor: torch.Tensor) -> torch.Tensor:
    """Two tensors of other lengths as one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([tensor, tensor[:1]])


def with_bias(make: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], bytes]:
    """An LSTM with a strange bias."""
    return lambda: pt_bytes({**lstm().state_dict(), "bias_hh_l0": make(torch.ones(8))})


def beside(make: Callable[[torch.Tensor], Any]) -> Callable[[], bytes]:
    """An LSTM with something strange beside it."""
    return lambda: pt_bytes({**lstm().state_dict(), "other": make(torch.ones(8))})


def header(content: Any, data: int = 0) -> bytes:
    """A .safetensors whose header says anything at all."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


def one(dtype: str = "F32", shape: list[Any] | None = None, end: int = 4, name: str = "x") -> bytes:
    """A .safetensors that describes one tensor anyhow, with four bytes."""
    return header({name: {"dtype": dtype, "shape": [1] if shape is None else shape, "data_offsets": [0, end]}}, 4)


STATE = pt_bytes(lstm().state_dict())
LSTM = safetensors.torch.save(lstm().state_dict())
RUN = "import os; os.mkdir('pwned')"
RUNS_CODE = r"more than weights .*run its code: save module\.state_dict\(\) instead"
PT, SAFETENSORS = r"not a readable \.pt: ", r"not a readable \.safetensors: "
NO_TENSORS = r"expected tensors, as module\.state_dict\(\) has them, and found none"

TORCH: dict[str, Entry] = {
    "pt that runs code": unreadable(RUNS_CODE, lambda: pt_bytes({"weight_ih_l0": Evil()})),
    "pt that runs a shell": unreadable(RUNS_CODE, lambda: pt_bytes({"weight_ih_l0": Evil(os.system, "mkdir pwned")})),
    "pt that starts a process": unreadable(RUNS_CODE, lambda: pt_bytes(Evil(subprocess.Popen, ["mkdir", "pwned"]))),
    "pt that evaluates": unreadable(RUNS_CODE, lambda: pt_bytes(Evil(builtins.eval, "__import__('os').mkdir('pwned')"))),
    "pt that executes": unreadable(RUNS_CODE, lambda: pt_bytes({"a": [{"b": (Evil(builtins.exec, RUN),)}]})),
    "pt that looks a function up": unreadable(RUNS_CODE, lambda: pt_bytes(Evil(getattr, "x", "upper"))),
    "pt that loads another pickle": unreadable(RUNS_CODE, lambda: pt_bytes(Evil(pickle.loads, pickle.dumps(Evil())))),
    "pt that loads another pt": unreadable(RUNS_CODE, lambda: pt_bytes(Evil(torch.load, "/etc/passwd"))),
    "pt of code behind its weights": unreadable(RUNS_CODE, lambda: pt_bytes({**lstm().state_dict(), "epoch": Evil()})),
    "old pt that runs code": unreadable(RUNS_CODE, lambda: old_pt_bytes(Evil())),
    "old pt that evaluates": unreadable(RUNS_CODE, lambda: old_pt_bytes({"w": Evil(builtins.eval, RUN)})),
    "pickle that runs code": unreadable(RUNS_CODE, lambda: pickle.dumps(Evil(), 2)),
    "pickle of a number": unreadable("a pickle without named arrays", lambda: pickle.dumps(OrderedDict(), 4)),
    "newer pickle that runs code": unreadable(RUNS_CODE, lambda: pickle.dumps(Evil(), 4)),
    "old pickle that runs code": unreadable("row 2 has 'mkdir', and a number was expected", lambda: pickle.dumps(Evil(), 0)),
    "pt of a whole module": unreadable(RUNS_CODE, lambda: pt_bytes(lstm())),
    "old pt of a whole module": unreadable(RUNS_CODE, lambda: old_pt_bytes(lstm())),
    "TorchScript that runs code": unreadable("found none", lambda: scripted(pickle.dumps({"lstm": Evil()}, 2))),
    "TorchScript whose constants run code": unreadable(
        "found none", lambda: scripted(pickle.dumps({}, 2), pickle.dumps(Evil(), 2))
    ),
    "TorchScript of a huge memo": unreadable("beyond its size", lambda: scripted(b"\x80\x02}r\xff\xff\xff\x7f.")),
    "TorchScript of laughs": unreadable("is its|over the limit", lambda: scripted(pickle.dumps(laughs(30), 2))),
    "TorchScript without its numbers": unreadable("not there|no item", lambda: scripted(None, without=".*/data/0")),
    "TorchScript of stride 0": unreadable("values, over the limit of", lambda: scripted(described(0, (2**20, 2**18), (0, 0)))),
    "TorchScript out of its storage": unreadable("outside of its storage", lambda: scripted(described(0, (64, 64), (64, 1)))),
    "pt2 whose table leads out": unreadable("a name that is none", lambda: exported("../../../etc/passwd", 2)),
    "pt2 of a huge tensor": unreadable(TOO_LARGE, lambda: exported("weight_0", 2**40)),
    "package that runs code": unreadable(
        "found none", lambda: zipped({"p/.data/extern_modules": b"", "p/m.pkl": pickle.dumps(Evil(), 2)})
    ),
    "pt whose pickle is empty": unreadable(PT, lambda: pickled(b"")),
    "pt whose pickle never ends": unreadable("", lambda: pickled(b"\x80\x02]" + b"(" * 10_000)),
    "pt of a huge bytearray": unreadable(
        "", lambda: pickled(b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + struct.pack("<Q", 2**42)[:6] + b"\x85R.")
    ),
    "pt that is cut off": unreadable(ZIP, lambda: STATE[:1000]),
    "pt without its last byte": unreadable(ZIP, lambda: STATE[:-1]),
    "pt with a bit over in its pickle": unreadable(PT, lambda: flipped(STATE, 130)),
    "pt without its values": unreadable(PT, lambda: edited({"x": torch.zeros(4)}, lambda inside: inside.pop("data/0"))),
    "pt without its pickle": unreadable(PT, lambda: edited({"x": torch.zeros(4)}, lambda inside: inside.pop("data.pkl"))),
    "pt of another byte order": unreadable(
        PT, lambda: edited({"x": torch.zeros(4)}, lambda inside: inside.update(byteorder=b"middle"))
    ),
    "pt of values that are too few": unreadable(
        PT, lambda: edited({"x": torch.zeros(4)}, lambda inside: inside.update({"data/0": b"\0"}))
    ),
    "pt of a storage that lies": unreadable(PT, lambda: patched(b"K\x04", b"J\x00\x00\x00\x40")),
    "pt of a tensor beyond its storage": unreadable(PT, lambda: rebuilt(0, (1000,), (1,))),
    "pt of a tensor far beyond its storage": unreadable(PT, lambda: rebuilt(2**40, (4,), (1,))),
    "pt of a tensor before its storage": unreadable(PT, lambda: rebuilt(-4, (4,), (1,))),
    "pt of a negative size": unreadable(PT, lambda: rebuilt(0, (-4,), (1,))),
    "pt of a negative stride": unreadable(PT, lambda: rebuilt(3, (4,), (-1,))),
    "pt of sizes that overflow": unreadable("", lambda: rebuilt(0, (2**33, 2**33), (0, 0))),
    "pt without tensors": unreadable(NO_TENSORS, lambda: pt_bytes({"epoch": 3})),
    "pt of an empty mapping": unreadable(NO_TENSORS, lambda: pt_bytes({})),
    "pt of a number": unreadable(NO_TENSORS, lambda: pt_bytes(5)),
    "pt of a list": unreadable(NO_TENSORS, lambda: pt_bytes([torch.zeros(4)])),
    "pt of mappings a thousand deep": unreadable(
        "", lambda: pickled(b"\x80\x02" + b"}X\x01\x00\x00\x00a" * 5000 + b"}" + b"s" * 5000 + b".")
    ),
    "pt of mappings that are each other": unreadable("100,100 entries or more, over the limit", lambda: pt_bytes(laughs(7))),
    "pt of very many entries": unreadable("entries or more, over the limit", lambda: pt_bytes(dict.fromkeys(range(100_001)))),
    "pt of 2**40 values in four bytes": unreadable(TOO_LARGE, lambda: pt_bytes({"x": wide(2**40)})),
    "pt of a matrix of 2**40 values in four bytes": unreadable(TOO_LARGE, lambda: pt_bytes({"x": wide(2**20, 2**20)})),
    "pt of 2**40 weights in four bytes": unreadable(TOO_LARGE, lambda: pt_bytes({"weight_ih_l0": wide(2**20, 2**20)})),
    "pt of many wide tensors": unreadable("everything together has", lambda: pt_bytes({str(k): wide(2**26) for k in range(3)})),
    "pt that holds itself": unfit(NO_MODULE, lambda: pt_bytes(cyclic()), "should hold one array.*again.weight, again.again."),
    "pt of weights in four bytes": loads(
        lambda: pt_bytes({name: torch.zeros(1).expand(value.shape) for name, value in lstm().state_dict().items()})
    ),
    "pt of weights that overlap": loads(
        lambda: pt_bytes({**lstm().state_dict(), "bias_hh_l0": torch.ones(9).as_strided((8,), (1,), 1)})
    ),
    "pt with a sparse bias": unfit(NOT_FLOATS + "a sparse tensor", with_bias(lambda tensor: tensor.to_sparse())),
    "pt with a quantised bias": unfit(NOT_FLOATS + "a quantised tensor", with_bias(quantised)),
    "pt with a complex bias": unfit(NOT_FLOATS + "complex numbers", with_bias(lambda tensor: tensor.to(torch.complex64))),
    "pt with a bias of integers": unfit(NOT_FLOATS + "int32", with_bias(lambda tensor: tensor.to(torch.int32))),
    "pt with a bias of 8 bits": unfit(NOT_FLOATS + "float8_e4m3fn", with_bias(lambda tensor: tensor.to(torch.float8_e4m3fn))),
    "pt with a bias of 4 bits": unfit(
        NOT_FLOATS + "a tensor of float4_e2m1fn_x2", with_bias(lambda tensor: torch.empty(8, dtype=torch.float4_e2m1fn_x2))
    ),
    "pt with a bias of bits": unfit(
        NOT_FLOATS + "a tensor of bits8", with_bias(lambda tensor: torch.empty(8, dtype=torch.bits8))
    ),
    "pt with a bias without values": unfit(
        NOT_FLOATS + "a tensor on the device meta", with_bias(lambda tensor: tensor.to("meta"))
    ),
    "pt with a nested bias": unfit(NOT_FLOATS + "a nested tensor", with_bias(nested)),
    "pt with a negated bias": loads(with_bias(torch._neg_view)),
    "pt with a bias that is learned": loads(with_bias(torch.nn.Parameter)),
    "pt with a giant without values beside": loads(beside(lambda _: torch.empty(2**40, device="meta"))),
    "pt with bits beside": loads(beside(lambda _: torch.empty(8, dtype=torch.bits8))),
    "pt with an evil prefix": loads(
        lambda: pt_bytes({f"{EVIL}.{name}": tensor for name, tensor in lstm().state_dict().items()})
    ),
    "safetensors cut off in its header": unreadable(UNKNOWN, lambda: LSTM[:60]),
    "safetensors cut off in its data": unreadable(SAFETENSORS, lambda: LSTM[:-1]),
    "safetensors with a bit over in its header": unreadable(SAFETENSORS, lambda: flipped(LSTM, 12)),
    "safetensors with data too much": unreadable(SAFETENSORS, lambda: header({}, 8)),
    "safetensors with a shape that lies": unreadable(SAFETENSORS, lambda: one(shape=[2**40])),
    "safetensors with a shape that overflows": unreadable(SAFETENSORS, lambda: one(shape=[2**63, 4])),
    "safetensors of a negative size": unreadable(SAFETENSORS, lambda: one(shape=[-1])),
    "safetensors with an offset beyond": unreadable(SAFETENSORS, lambda: one(end=2**40)),
    "safetensors with brackets": unreadable(SAFETENSORS, lambda: header(b'{"a":' + b"[" * 100_000)),
    "safetensors with a name twice": unreadable(SAFETENSORS, lambda: header(b'{"x":' + one()[13:-4] + b',"x":5}', 4)),
    "safetensors of an unknown type": unreadable(SAFETENSORS + ".*" + SHOWN, lambda: one(EVIL)),
    "safetensors of half a byte": unreadable(SAFETENSORS, lambda: one("F4", [1], 1)),
    "safetensors with metadata of another kind": unreadable(SAFETENSORS, lambda: header({"__metadata__": {"a": [1]}})),
    "safetensors of nothing": unfit(NO_MODULE, lambda: safetensors.torch.save({})),
    "safetensors with a bias of integers": unfit(
        "bias_hh_l0 " + NOT_FLOATS + "int32",
        lambda: safetensors.torch.save({**lstm().state_dict(), "bias_hh_l0": torch.ones(8, dtype=torch.int32)}),
    ),
    "safetensors with an evil prefix": loads(
        lambda: safetensors.torch.save({f"{EVIL}.{name}": tensor for name, tensor in lstm().state_dict().items()})
    ),
    "safetensors with metadata": loads(lambda: safetensors.torch.save(lstm().state_dict(), {"format": "pt", EVIL: EVIL})),
}
