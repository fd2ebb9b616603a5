"""Bad and strange .npy, .npz, .json, .csv and files of no format at all."""

import io
import json
import struct
import zipfile

import numpy as np
from commandline import ESCAPED, EVIL
from formats import drawn, lstm, npy_bytes, npz_bytes, parameters
from hostile import Entry, Evil, flipped, loads, unfit, unreadable, zipped


def npy_header(shape: str, descr: str = "'<f8'", version: int = 1, data: int = 64) -> bytes:
    """An .npy whose header says anything at all."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(header)) + header + bytes(data)


def central_directory(archive: bytes, offset: int, value: int, form: str = "<H") -> bytes:
    """The archive with another value in every entry of its central directory."""
    patched = bytearray(archive)
    at = -1
    while (at := archive.find(b"PK\x01\x02", at + 1)) >= 0:
        struct.pack_into(form, patched, at + offset, value)
    return bytes(patched)


def both_headers(archive: bytes, offset: int, value: int) -> bytes:
    """Likewise, and the same in the header in front of the (first and only) member."""
    patched = bytearray(central_directory(archive, offset + 2, value))
    struct.pack_into("<H", patched, offset, value)
    return bytes(patched)


def twice_in_one_archive() -> bytes:
    """An .npz whose two members are the same bytes: the second entry points at the first."""
    archive = bytearray(zipped({"a.npy": ONE, "b.npy": ONE}))
    second = archive.rfind(b"PK\x01\x02")
    struct.pack_into("<I", archive, second + 42, 0)
    return bytes(archive)


def damaged_npz() -> bytes:
    """A compressed .npz with a hole in it."""
    damaged = bytearray(npz_bytes({"x": drawn(4, 1, 3)}, np.savez_compressed))
    damaged[60:80] = b"\xff" * 20
    return bytes(damaged)


def weights(**changed: object) -> bytes:
    """An .npz with the weights of an LSTM(3, 2), some of them changed, those that are None left out."""
    arrays = {**parameters(lstm()), **changed}
    return npz_bytes({name: array for name, array in arrays.items() if array is not None})


def renamed(before: str, after: str = "") -> bytes:
    """The same by other names: something before and after each."""
    return npz_bytes({f"{before}{name}{after}": array for name, array in parameters(lstm()).items()})


def bad_values(value: float) -> bytes:
    """An .npz of weights with one value that is no number."""
    arrays = {name: array.copy() for name, array in parameters(lstm()).items()}
    arrays["weight_hh_l0"][3, 1] = value
    return npz_bytes(arrays)


def typed(**arrays: object) -> bytes:
    """JSON."""
    return json.dumps(arrays).encode()


def zeros(count: int) -> bytes:
    """A compressed .npz of one member with very many zeros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive, archive.open("x.npy", "w") as member:
        member.write(npy_header(f"({count},)", "'|u1'", data=0))
        for _ in range(count // 2**20):
            member.write(bytes(2**20))
    return buffer.getvalue()


ONE = npy_bytes(np.zeros((4, 1, 3)))
ONE_ZIP = zipped({"x.npy": ONE})
LARGE = "(1099511627776, 1099511627776, 0)"
TOO_LARGE = "1,099,511,627,776 values, over the limit of 134,217,728"
"""As many values take 1 GiB in float64."""
ANNOUNCED = "an array of 1,048,576 values is announced, and .* bytes are there"
ENDS = "an array of 12 values is announced, and 95 bytes are there"
NPY, NPZ, ZIP = r"not a readable \.npy: ", r"not a readable \.npz: ", r"not a readable \.zip archive: "
NOT_JSON = "not valid JSON: "
UNKNOWN = r"unknown format: expected one of \.pt, "
NUMBERS = "should be numbers in lists of equal length"
NO_MODULE = "no recurrent module: expected parameters named like weight_ih_l0"
NOT_FLOATS = "should hold floats of 16, 32 or 64 bits, and holds "
SHOWN = ESCAPED.replace("\\", r"\\").replace("[", r"\[")
"""A regular expression for the evil name, fit to print."""

ARRAYS: dict[str, Entry] = {
    "npy larger than the limit": unreadable(TOO_LARGE, lambda: npy_header("(1099511627776,)")),
    "npy larger than its file": unreadable(ANNOUNCED, lambda: npy_header("(1048576,)")),
    "npy larger than memory": unreadable(NPY, lambda: npy_header(LARGE)),
    "npy of negative size": unreadable(NPY, lambda: npy_header("(-1,)")),
    "npy of two negative sizes": unreadable(NPY, lambda: npy_header("(-2, -4)")),
    "npy of size True": unreadable(NPY, lambda: npy_header("(True,)")),
    "npy of size x": unreadable(NPY, lambda: npy_header("('x',)")),
    "npy of a size with 5000 digits": unreadable(NPY, lambda: npy_header(f"({'9' * 5000},)")),
    "npy with a bracket open": unreadable(NPY, lambda: npy_header("(8,")),
    "npy with 3000 brackets": unreadable(NPY, lambda: npy_header("(" * 3000 + ")" * 3000)),
    "npy with a call in its header": unreadable(NPY, lambda: npy_header("__import__('os').mkdir('pwned')")),
    "npy with control codes": unreadable(NPY + ".*" + SHOWN, lambda: npy_header("(8,)", repr(EVIL))),
    "npy of another version": unreadable(
        r"version 9\.0 .* save it in version 1\.0 to 3\.0", lambda: npy_header("(8,)", version=9)
    ),
    "npy that ends in its magic": unreadable(NPY, lambda: ONE[:6]),
    "npy that ends in its header": unreadable(NPY, lambda: ONE[:40]),
    "npy that ends in its data": unreadable(ENDS, lambda: ONE[:-1]),
    "npz larger than the limit": unreadable(TOO_LARGE, lambda: zipped({"x.npy": npy_header("(1099511627776,)")})),
    "npz larger than its file": unreadable(ANNOUNCED, lambda: zipped({"x.npy": npy_header("(1048576,)")})),
    "npz larger than memory": unreadable(NPZ, lambda: zipped({"x.npy": npy_header(LARGE)})),
    "npz with a bracket open": unreadable(NPZ, lambda: zipped({"x.npy": npy_header("(8,")})),
    "npz that is cut off": unreadable(ZIP, lambda: ONE_ZIP[: len(ONE_ZIP) // 2]),
    "npz without its last byte": unreadable(ZIP, lambda: ONE_ZIP[:-1]),
    "npz of another version": unreadable(ZIP + ".*version", lambda: both_headers(ONE_ZIP, 4, 255)),
    "npz encrypted": unreadable(NPZ + ".*encrypted", lambda: both_headers(ONE_ZIP, 6, 1)),
    "npz patched": unreadable(NPZ + ".*patched", lambda: both_headers(ONE_ZIP, 6, 32)),
    "npz of an unknown compression": unreadable(NPZ + ".*compression", lambda: both_headers(ONE_ZIP, 8, 99)),
    "npz with a wrong checksum": unreadable(NPZ + ".*CRC", lambda: central_directory(ONE_ZIP, 16, 0, "<I")),
    "npz with one bit over": unreadable(NPZ + ".*CRC", lambda: flipped(ONE_ZIP, 150, 1)),
    "npz compressed and damaged": unreadable(NPZ, damaged_npz),
    "npz with another file in it": unreadable(NPZ, lambda: zipped({"x.npy": ONE, "y.npy": b"no array"})),
    "npz with members one over the other": unreadable(NPZ, twice_in_one_archive),
    "npz that is a bomb": unreadable("it unpacks to [0-9,]+ bytes, over 200 times its size", lambda: zeros(2**29)),
    "npz inside npz": unreadable(NPZ, lambda: zipped({"x.npy": zeros(2**26)}, zipfile.ZIP_DEFLATED)),
    "zip without members": unreadable(UNKNOWN, lambda: zipped({})),
    "zip of something else": unreadable(r"not a readable \.pt: ", lambda: zipped({"word/document.xml": b"<xml/>"})),
    "zip that unpacks to 2 GiB": unreadable(
        "it unpacks to 2,147,483,648 bytes, over the limit of 1,073,741,824",
        lambda: central_directory(ONE_ZIP, 24, 2**31, "<I"),
    ),
    "zip of very many members": unreadable(
        "it has 10,001 members, over the limit of 10,000", lambda: zipped({f"{number}.npy": ONE for number in range(10_001)})
    ),
    "zip whose members are too large together": unreadable(
        "it unpacks to 1,610,612,736 bytes, over the limit of 1,073,741,824",
        lambda: central_directory(zipped(dict.fromkeys(("a.npy", "b.npy", "c.npy"), ONE)), 24, 2**29, "<I"),
    ),
    "npy of objects": unfit(
        NO_MODULE, lambda: npy_bytes(np.array([Evil()], object)), "it should hold numbers.* an array of object"
    ),
    "npz of objects": unfit(
        NO_MODULE, lambda: npz_bytes({"x": np.array([Evil()], object)}), "x should hold .* an array of object"
    ),
    "npy of records": unfit(NO_MODULE, lambda: npy_bytes(np.zeros(3, [("a", "f4")])), r"an array of \[\('a', '<f4'\)\]"),
    "npy of complex numbers": unfit(NO_MODULE, lambda: npy_bytes(np.zeros((4, 1, 3), complex)), "an array of complex128"),
    "npy of text": unfit(NO_MODULE, lambda: npy_bytes(np.array([["a", "b"]])), "an array of <U1"),
    "npy of dates": unfit(NO_MODULE, lambda: npy_bytes(np.zeros((4, 1, 3), "M8[s]")), "an array of datetime64"),
    "npy without an axis": unfit(NO_MODULE, lambda: npy_bytes(np.float64(1))),
    "npy without a value": unfit(NO_MODULE, lambda: npy_bytes(np.zeros((0, 3)))),
    "npz of text by an evil name": unfit(
        NO_MODULE, lambda: npz_bytes({EVIL: np.array(["a"])}), f"{SHOWN} should hold numbers.*<U1"
    ),
    "npy with fields of evil names": unfit(NO_MODULE, lambda: npy_bytes(np.zeros(3, [(EVIL, "f4")])), SHOWN),
    "npz with object weights": unfit("bias_ih_l0 " + NOT_FLOATS, lambda: weights(bias_ih_l0=np.array([Evil()] * 8, object))),
    "npz with complex weights": unfit("bias_ih_l0 " + NOT_FLOATS, lambda: weights(bias_ih_l0=np.ones(8, complex))),
    "npz with whole numbers": unfit("bias_ih_l0 " + NOT_FLOATS + "int32", lambda: weights(bias_ih_l0=np.ones(8, np.int32))),
    "npz without weight_hh": unfit(
        "has a parameter weight_hh_l0, and the weights have none", lambda: weights(weight_hh_l0=None)
    ),
    "npz without one bias": unfit("bias_hh_l0.*and the weights have none", lambda: weights(bias_hh_l0=None)),
    "npz of no number of gates": unfit("stacks no known number of gates", lambda: weights(weight_hh_l0=np.ones((7, 2)))),
    "npz of a wrong shape": unfit(r"weight_ih_l0 should have shape", lambda: weights(weight_ih_l0=np.ones((9, 3), "f4"))),
    "npz of three axes": unfit("two dimensions above 0", lambda: weights(weight_ih_l0=np.ones((8, 3, 1)))),
    "npz of no hidden size": unfit("two dimensions above 0", lambda: weights(weight_hh_l0=np.ones((0, 0)))),
    "npz of no input": unfit("two dimensions above 0", lambda: weights(weight_ih_l0=np.ones((8, 0)))),
    "npz of mismatched layers": unfit(
        "weight_ih_l1 should have shape",
        lambda: weights(
            weight_ih_l1=np.ones((8, 5)), weight_hh_l1=np.ones((8, 2)), bias_ih_l1=np.ones(8), bias_hh_l1=np.ones(8)
        ),
    ),
    "npz with a layer missing": unfit("has a parameter weight_ih_l1", lambda: weights(weight_ih_l2=np.ones((8, 2)))),
    "npz of a thousandth layer": unfit("1001 layers are over the limit", lambda: weights(weight_ih_l1000=np.ones((8, 2)))),
    "npz of a billionth layer": unfit(
        "1000000000 layers are over the limit", lambda: weights(weight_ih_l999999999=np.ones((8, 2)))
    ),
    "npz with a direction missing": unfit("weight_hh_l0_reverse", lambda: weights(weight_ih_l0_reverse=np.ones((8, 3)))),
    "npz with NaN": loads(lambda: bad_values(np.nan)),
    "npz with infinity": loads(lambda: bad_values(-np.inf)),
    "npz in Fortran order": loads(lambda: npz_bytes({name: np.asfortranarray(a) for name, a in parameters(lstm()).items()})),
    "npz the other way round in bytes": loads(
        lambda: npz_bytes({name: a.astype(">f4") for name, a in parameters(lstm()).items()})
    ),
    "npz with an evil prefix": loads(lambda: renamed(EVIL + ".")),
    "npz with a prefix that is markup": loads(lambda: renamed("[bold red]x[/bold red][/] [link=file:///etc].")),
    "npz with a prefix of line ends": loads(lambda: renamed("a\nb\r\x85\u2028.")),
    "npz with a very long prefix": loads(lambda: renamed("x" * 30_000 + ".")),
    "npz with strange arrays beside": loads(lambda: weights(names=np.array(["a"]), mask=np.ones(3, bool), count=np.int64(7))),
    "json a hundred thousand brackets deep": unreadable(NOT_JSON, lambda: b"[" * 100_000),
    "json with brackets that fit in pairs": unreadable(NUMBERS, lambda: b"[" * 900 + b"1" + b"]" * 900),
    "json twice": unreadable(NOT_JSON, lambda: b"[[1, 2, 3]] [[1, 2, 3]]"),
    "json with a number of 5000 digits": unreadable(NOT_JSON, lambda: b"[" + b"9" * 5000 + b"]"),
    "json with a number beyond float64": unreadable(NUMBERS, lambda: b"[" + b"9" * 400 + b"]"),
    "json with text": unreadable("x " + NUMBERS, lambda: typed(x=[[["one", 2, 3]]])),
    "json with null": unreadable("x " + NUMBERS, lambda: typed(x=[[[None, 2, 3]]])),
    "json with an object in a list": unreadable("x " + NUMBERS, lambda: typed(x=[[{"a": 1}]])),
    "json with ragged rows": unreadable(f"x {NUMBERS}.*a row is shorter", lambda: typed(x=[[1, 2, 3], [4, 5]])),
    "json of ragged rows alone": unreadable(f"{NUMBERS}.*a row is shorter", lambda: b"[[1, 2, 3], [4, 5]]"),
    "json with an evil name": unreadable(SHOWN + " " + NUMBERS, lambda: typed(**{EVIL: [[1, 2], [3]]})),
    "json with half a character": unreadable(r"\\ud800 " + NUMBERS, lambda: b'{"\\ud800": [[1, 2], [3]]}'),
    "json with evil names": unfit(NO_MODULE, lambda: typed(**{EVIL: [1], EVIL + "2": [2]}), f"one array.*{SHOWN}, {SHOWN}2"),
    "json of very many empty lists": unfit(NO_MODULE, lambda: b"[" + b"[]," * 300_000 + b"[]]"),
    "json of nothing": unfit(NO_MODULE, lambda: b"{}"),
    "csv with ragged rows": unreadable("row 2 has 2 values, and row 1 has 3: every row", lambda: b"1,2,3\n4,5\n"),
    "csv with a word": unreadable("row 2 has 'five', and a number was expected", lambda: b"1,2,3\n4,five,6\n"),
    "csv with a gap": unreadable("row 2 has '', and a number", lambda: b"1,2,3\n4,,6\n"),
    "csv with commas that may be thousands": unreadable("row 1 has '1,234', and a number", lambda: b"1,234;5\n6,789;0\n"),
    "csv of steps that are counted twice": unreadable("'t' should count the steps", lambda: b"t,x0\n0,1\n0,2\n"),
    "csv of a unit that is missing": unreadable("columns of i are numbered 0, 2", lambda: b"i0,i2\n1,2\n"),
    "csv of a unit that stands twice": unreadable("two columns are headed 'i0'", lambda: b"i0,i0\n1,2\n"),
    "csv of printed lines that end": unreadable("line 2 has 'zero'", lambda: b"t=0 h: 1 2\nt=1 h: 1 zero\n"),
    "csv of printed lines without an end": unreadable("row 1 has 't=0'", lambda: b"t=0 h: 1\nt=" + b" " * 10**6),
    "csv with headings alone": unreadable("expected rows of numbers, and found none", lambda: b"a,b,c\n"),
    "csv with control codes": unreadable(f"row 2 has '{SHOWN}'", lambda: f"1,2,3\n4,{EVIL},6\n".encode()),
    "csv with a very long field": unreadable(r"not a readable \.csv: field larger", lambda: b"1," + b"9" * 200_000 + b"\n"),
    "csv with a very long word": unreadable("row 2 has 'xxx", lambda: b"1,2,3\n4," + b"x" * 100_000 + b",6\n"),
    "csv with a null byte behind the start": unreadable(r"row 201 has '\\x00'", lambda: b"1,2,3\n" * 200 + b"1,2,\0\n"),
    "picture": unreadable(UNKNOWN, lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100)),
    "page": unreadable("row 2 has '<html>", lambda: b"<!DOCTYPE html>\n<html><body>404</body></html>\n"),
    "text in another encoding": unreadable(UNKNOWN, lambda: "1,2\xe9,3\n".encode("latin-1")),
    "nothing": unreadable("the file is empty", lambda: b""),
    "a line end": unreadable("expected rows of numbers, and found none", lambda: b"\n"),
    "Git LFS pointer": unreadable(
        "a Git LFS pointer, .*run `git lfs pull`",
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    ),
    f"{EVIL}[bold]\n.npy": unreadable(ENDS, lambda: ONE[:-1]),
}
