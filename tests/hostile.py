"""Files that are damaged, that lie, or that would run code: what is in each, and what is said about it."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import safetensors.torch
import torch
from commandline import ESCAPED, EVIL
from formats import drawn, lstm, npy_bytes, npz_bytes, old_pt_bytes, pt_bytes

from rnntrace.model.limits import MAX_BYTES

Case = tuple[Callable[[], bytes], tuple[str, ...]]
"""The content of a file, and what the one line about it says."""


class Evil:
    """A pickle that makes a folder when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


def zipped(**members: bytes) -> bytes:
    """A zip archive, members named with two underscores for a dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def npy_header(shape: str, descr: str = "'<f8'", version: int = 1, data: int = 64) -> bytes:
    """An .npy whose header says anything at all."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(header)) + header + bytes(data)


def central_directory(archive: bytes, offset: int, value: int, form: str = "<H") -> bytes:
    """The archive with another value in the last entry of its central directory."""
    patched = bytearray(archive)
    struct.pack_into(form, patched, archive.rfind(b"PK\x01\x02") + offset, value)
    return bytes(patched)


def both_headers(archive: bytes, offset: int, value: int) -> bytes:
    """Likewise, and the same in the header in front of the (first and only) member."""
    patched = bytearray(central_directory(archive, offset + 2, value))
    struct.pack_into("<H", patched, offset, value)
    return bytes(patched)


def safetensors_header(header: Any, data: int = 0) -> bytes:
    """A .safetensors whose header says anything at all."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


def wide(*shape: int) -> torch.Tensor:
    """A tensor of any shape that takes four bytes: every stride is zero."""
    return torch.zeros(1).expand(*shape)


def cyclic() -> dict[str, Any]:
    """A mapping that holds itself."""
    found: dict[str, Any] = {"weight": torch.zeros(2)}
    found["again"] = found
    return found


def damaged_npz() -> bytes:
    """A compressed .npz with a hole in it."""
    damaged = bytearray(npz_bytes({"x": drawn(4, 1, 3)}, np.savez_compressed))
    damaged[60:80] = b"\xff" * 20
    return bytes(damaged)


ONE = npy_bytes(np.zeros((4, 1, 3)))
ONE_ZIP = zipped(x__npy=ONE)
LSTM = safetensors.torch.save(lstm().state_dict())
LARGE = "(1099511627776, 1099511627776, 0)"
RUNS_CODE = ("more than weights", "run its code", "save module.state_dict() instead")
TOO_LARGE = ("1,099,511,627,776 values", f"over the limit of {MAX_BYTES // 8:,}")
ANNOUNCED = ("an array of 1,048,576 values is announced", "bytes are there")
NPY, NPZ, SAFETENSORS = ("not a readable .npy: ",), ("not a readable .npz: ",), ("not a readable .safetensors: ",)
ZIP, NOT_JSON = ("not a readable .zip archive: ",), ("not valid JSON: ",)
NO_TENSORS = ("expected tensors, as module.state_dict() has them, and found none",)
UNKNOWN = ("unknown format", "expected one of .pt, .safetensors, .npz, .npy, .onnx, .keras, .h5, .json or .csv")
NO_NUMBERS, X_NO_NUMBERS = "should be numbers in lists of equal length", ("x should be numbers in lists of equal length",)

HOSTILE: dict[str, Case] = {
    "a state_dict that runs code": (lambda: pt_bytes({"weight_ih_l0": Evil()}), RUNS_CODE),
    "an old .pt that runs code": (lambda: old_pt_bytes(Evil()), RUNS_CODE),
    "a pickle that runs code": (lambda: pickle.dumps(Evil(), 2), RUNS_CODE),
    "a newer pickle that runs code": (lambda: pickle.dumps(Evil(), 4), RUNS_CODE),
    "an old pickle that runs code": (lambda: pickle.dumps(Evil(), 0), ("row 2 has 'mkdir'", "a number was expected")),
    "a whole module": (lambda: pt_bytes(lstm()), RUNS_CODE),
    "an .npy larger than the limit": (lambda: npy_header("(1099511627776,)"), TOO_LARGE),
    "an .npy larger than its file": (lambda: npy_header("(1048576,)"), ANNOUNCED),
    "an .npy larger than memory": (lambda: npy_header(LARGE), NPY),
    "an .npy of negative size": (lambda: npy_header("(-1,)"), NPY),
    "an .npy of two negative sizes": (lambda: npy_header("(-2, -4)"), NPY),
    "an .npy of size True": (lambda: npy_header("(True,)"), NPY),
    "an .npy of size x": (lambda: npy_header("('x',)"), NPY),
    "an .npy of a size with 5000 digits": (lambda: npy_header(f"({'9' * 5000},)"), NPY),
    "an .npy with a bracket open": (lambda: npy_header("(8,"), NPY),
    "an .npy with 3000 brackets": (lambda: npy_header("(" * 3000 + ")" * 3000), NPY),
    "an .npy with control codes": (lambda: npy_header("(8,)", repr(EVIL)), (*NPY, ESCAPED)),
    "an .npy of another version": (lambda: npy_header("(8,)", version=9), ("version 9.0", "save it in version 1.0 to 3.0")),
    "an .npy that ends in its magic": (lambda: ONE[:6], NPY),
    "an .npy that ends in its header": (lambda: ONE[:40], NPY),
    "an .npy that ends in its data": (lambda: ONE[:-1], NPY),
    "an .npz larger than the limit": (lambda: zipped(x__npy=npy_header("(1099511627776,)")), TOO_LARGE),
    "an .npz larger than its file": (lambda: zipped(x__npy=npy_header("(1048576,)")), ANNOUNCED),
    "an .npz larger than memory": (lambda: zipped(x__npy=npy_header(LARGE)), NPZ),
    "an .npz with a bracket open": (lambda: zipped(x__npy=npy_header("(8,")), NPZ),
    "an .npz that is cut off": (lambda: ONE_ZIP[: len(ONE_ZIP) // 2], ZIP),
    "an .npz without its last byte": (lambda: ONE_ZIP[:-1], ZIP),
    "an .npz of another version": (lambda: both_headers(ONE_ZIP, 4, 255), (*ZIP, "version")),
    "an encrypted .npz": (lambda: both_headers(ONE_ZIP, 6, 1), (*NPZ, "encrypted")),
    "a patched .npz": (lambda: both_headers(ONE_ZIP, 6, 32), (*NPZ, "patched")),
    "an unknown compression": (lambda: both_headers(ONE_ZIP, 8, 99), (*NPZ, "compression")),
    "a checksum that is wrong": (lambda: central_directory(ONE_ZIP, 16, 0, "<I"), (*NPZ, "CRC")),
    "a compressed .npz that is damaged": (damaged_npz, NPZ),
    "an .npz with another file in it": (lambda: zipped(x__npy=ONE, y__npy=b"no array"), NPZ),
    "a zip without members": (lambda: zipped(), UNKNOWN),
    "a zip of something else": (lambda: zipped(word__document__xml=b"<xml/>"), ("not a readable .pt: ",)),
    "an archive that unpacks to 2 GiB": (
        lambda: central_directory(ONE_ZIP, 24, 2**31, "<I"),
        (f"it unpacks to 2,147,483,648 bytes, over the limit of {MAX_BYTES:,}",),
    ),
    "a .pt that is cut off": (lambda: pt_bytes(lstm().state_dict())[:1000], ZIP),
    "an old .pt that is cut off": (lambda: old_pt_bytes(lstm().state_dict())[:600], ("not a readable .pt: ",)),
    "a .pt without tensors": (lambda: pt_bytes({"epoch": 3}), NO_TENSORS),
    "a .pt with an empty mapping": (lambda: pt_bytes({}), NO_TENSORS),
    "a .pt with a number": (lambda: pt_bytes(5), NO_TENSORS),
    "a tensor of 2**40 values in four bytes": (lambda: pt_bytes({"x": wide(2**40)}), TOO_LARGE),
    "a matrix of 2**40 values in four bytes": (lambda: pt_bytes({"x": wide(2**20, 2**20)}), TOO_LARGE),
    "a .safetensors cut off in its header": (lambda: LSTM[:60], UNKNOWN),
    "a .safetensors cut off in its data": (lambda: LSTM[:-1], SAFETENSORS),
    "a .safetensors with data too much": (lambda: safetensors_header({}, 8), SAFETENSORS),
    "a .safetensors with a shape that lies": (
        lambda: safetensors_header({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}, 4),
        SAFETENSORS,
    ),
    "a .safetensors of an unknown type": (
        lambda: safetensors_header({"x": {"dtype": EVIL, "shape": [1], "data_offsets": [0, 4]}}, 4),
        (*SAFETENSORS, ESCAPED),
    ),
    "brackets a hundred thousand deep": (lambda: b"[" * 100_000, NOT_JSON),
    "brackets that fit in pairs": (lambda: b"[" * 900 + b"1" + b"]" * 900, (NO_NUMBERS,)),
    "JSON twice": (lambda: b"[[1, 2, 3]] [[1, 2, 3]]", NOT_JSON),
    "JSON with a number of 5000 digits": (lambda: b"[" + b"9" * 5000 + b"]", NOT_JSON),
    "JSON with a number beyond float64": (lambda: b"[" + b"9" * 400 + b"]", (NO_NUMBERS,)),
    "JSON with text": (lambda: b'{"x": [[["one", 2, 3]]]}', X_NO_NUMBERS),
    "JSON with null": (lambda: b'{"x": [[[null, 2, 3]]]}', X_NO_NUMBERS),
    "JSON with an object in a list": (lambda: b'{"x": [[{"a": 1}]]}', X_NO_NUMBERS),
    "JSON with ragged rows": (lambda: b'{"x": [[1, 2, 3], [4, 5]]}', (*X_NO_NUMBERS, "a row is shorter")),
    "JSON of ragged rows alone": (lambda: b"[[1, 2, 3], [4, 5]]", (NO_NUMBERS, "a row is shorter")),
    "JSON with an evil name": (lambda: json.dumps({EVIL: [[1, 2], [3]]}).encode(), (ESCAPED, NO_NUMBERS)),
    "JSON with half a character": (lambda: b'{"\\ud800": [[1, 2], [3]]}', (r"\ud800", NO_NUMBERS)),
    "CSV with ragged rows": (lambda: b"1,2,3\n4,5\n", ("row 2 has 2 values, and row 1 has 3", "every row needs as many")),
    "CSV with a word": (lambda: b"1,2,3\n4,five,6\n", ("row 2 has 'five'", "a number was expected")),
    "CSV with a gap": (lambda: b"1,2,3\n4,,6\n", ("row 2 has ''", "a number was expected")),
    "CSV with semicolons": (lambda: b"1;2;3\n4;5;6\n", ("row 2 has '4;5;6'", "a number was expected")),
    "CSV with headings alone": (lambda: b"a,b,c\n", ("expected rows of numbers", "none")),
    "CSV with control codes": (lambda: f"1,2,3\n4,{EVIL},6\n".encode(), (f"row 2 has '{ESCAPED}'", "a number was expected")),
    "CSV with a very long field": (lambda: b"1," + b"9" * 200_000 + b"\n", ("not a readable .csv: field larger",)),
    "CSV with a very long word": (lambda: b"1,2,3\n4," + b"x" * 100_000 + b",6\n", ("row 2 has 'xxx", "a number was expected")),
    "CSV with a null byte behind the start": (lambda: b"1,2,3\n" * 200 + b"1,2,\0\n", (r"row 201 has '\x00'",)),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100), UNKNOWN),
    "a page": (lambda: b"<!DOCTYPE html>\n<html><body>404</body></html>\n", ("row 2 has '<html>", "a number was expected")),
    "text in another encoding": (lambda: "1,2\xe9,3\n".encode("latin-1"), UNKNOWN),
    "nothing": (lambda: b"", ("the file is empty",)),
    "a line end": (lambda: b"\n", ("expected rows of numbers", "none")),
    "a Git LFS pointer": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        ("a Git LFS pointer", "git lfs pull"),
    ),
}
"""Refused whatever the file is for."""

UNFIT: dict[str, Case] = {
    "objects in .npy": (lambda: npy_bytes(np.array([Evil()], object)), ("it should hold numbers", "an array of object")),
    "objects in .npz": (lambda: npz_bytes({"x": np.array([Evil()], object)}), ("x should hold numbers", "an array of object")),
    "structured .npy": (lambda: npy_bytes(np.zeros(3, [("a", "f4")])), ("should hold numbers", "an array of [('a', '<f4')]")),
    "complex .npy": (lambda: npy_bytes(np.zeros((4, 1, 3), complex)), ("should hold numbers", "an array of complex128")),
    "text in .npy": (lambda: npy_bytes(np.array([["a", "b"]])), ("should hold numbers", "an array of <U1")),
    "dates in .npy": (lambda: npy_bytes(np.zeros((4, 1, 3), "M8[s]")), ("should hold numbers", "an array of datetime64")),
    "text by an evil name": (lambda: npz_bytes({EVIL: np.array(["a"])}), (f"{ESCAPED} should hold numbers", "<U1")),
    "fields of evil names": (lambda: npy_bytes(np.zeros(3, [(EVIL, "f4")])), ("should hold numbers", ESCAPED)),
    "a .pt that holds itself": (lambda: pt_bytes(cyclic()), ("should hold one array", "weight, again.weight, again.again.")),
    "JSON with evil names": (
        lambda: json.dumps({EVIL: [1], EVIL + "2": [2]}).encode(),
        ("one array", f"{ESCAPED}, {ESCAPED}2"),
    ),
}
"""Read, and of no use as x or h0, for the reason given; nor is there a module or a trace in it."""
