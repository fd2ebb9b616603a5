"""Small files that grow: in memory, in time, or into another file for another reader."""

import io
import json
import struct
import zipfile
from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
import torch
from formats import lstm, npz_bytes, pt_bytes
from hostile import Entry, loads, unfit, unreadable, zipped
from hostile_arrays import NO_MODULE, central_directory, npy_header
from hostile_hdf5 import h5
from hostile_onnx import WEIGHTS
from hostile_torch import NO_TENSORS, pickled
from onnx import helper, numpy_helper

DOUBLED = b"K\x01\x85" + b"q\x00h\x00\x86" * 60
"""A tuple of tuples whose hash takes 2**60 steps."""
NESTED = b"K\x01\x85" + b"q\x00h\x00\x86" * 10
"""The same a few times."""
NUMBER = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickle that torch before 1.6 wrote first of all, its magic number; then a version, and the system."""
OLD = NUMBER + b"\x80\x02M\xe9\x03." + b"\x80\x02}X\r\x00\x00\x00little_endianq\x00\x88s."


def text(letters: str) -> bytes:
    """Letters as a pickle has them."""
    return b"X" + struct.pack("<I", len(letters)) + letters.encode()


def from_type(function: bytes, arguments: bytes) -> bytes:
    """torch's way to have another function called."""
    return b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(" + function + b"ctorch\nTensor\n" + arguments + b"Nt" + b"R."


def encodings(length: int) -> bytes:
    """Text that is encoded again and again, twice as long each time."""
    again = b"q\x01c_codecs\nencode\nh\x01X\x03\x00\x00\x00hex\x86R"
    return b"\x80\x02" + text("ab" * 500) + again * length + b"."


def two_directories(hidden: dict[str, bytes], shown: dict[str, bytes]) -> bytes:
    """An archive in an archive's comment: who looks from the end finds the shown one, and others find the hidden one."""
    inner, outer = zipped(hidden), bytearray(zipped(shown))
    struct.pack_into("<H", outer, len(outer) - 2, len(inner))
    return bytes(outer) + inner


def one_for_each() -> bytes:
    """Two files of torch's one behind the other: zipfile finds the second one, and torch's reader the first."""
    hidden, shown = pt_bytes({"secret": torch.ones(3)}), bytearray(pt_bytes(lstm().state_dict()))
    struct.pack_into("<Q", shown, shown.rfind(b"PK\x06\x07") + 8, hidden.rfind(b"PK\x06\x06"))
    return hidden + bytes(shown)


def zip64(place: int, decoy: bytes = b"") -> bytes:
    """A .pt as torch writes it, with another place for its directory, and perhaps something where that leads to."""
    content = bytearray(pt_bytes(lstm().state_dict()))
    at = content.rfind(b"PK\x06\x07")
    assert at > 0
    struct.pack_into("<Q", content, at + 8, place)
    return bytes(content[: at - 56]) + decoy + bytes(content[at - 56 :])


def many_modules(count: int) -> bytes:
    """Modules that all lie in the same few values."""
    state = lstm().state_dict()
    return pt_bytes({f"m{number}.{name}": tensor for number in range(count) for name, tensor in state.items()})


def onnx_model(change: Any) -> bytes:
    """A model of ONNX whose graph is made by hand, so that it is made quickly."""
    tensors = [numpy_helper.from_array(array, name) for name, array in WEIGHTS.items()]
    node = helper.make_node("LSTM", ["X", "W", "R", "B"], ["Y"], hidden_size=2)
    graph = change(node, tensors)
    return b"\x08\x08\x3a" + varint(len(graph)) + graph


def varint(number: int) -> bytes:
    """A number of variable length."""
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


def message(field: int, content: bytes) -> bytes:
    """A field of protobuf that holds bytes."""
    return bytes([field << 3 | 2]) + varint(len(content)) + content


def shared_weights(node: Any, tensors: Iterable[Any]) -> bytes:
    """Very many nodes with one large W."""
    W = numpy_helper.from_array(np.zeros((1, 8, 30_000), np.float32), "W")
    others = [tensor for tensor in tensors if tensor.name != "W"]
    return message(1, node.SerializeToString()) * 9_999 + b"".join(message(5, t.SerializeToString()) for t in [W, *others])


def same_texts() -> bytes:
    """A list of very many texts of any length, all of them the same bytes of the file."""
    texts = np.array(["l" * 300_000, *["x"] * 3_899], h5py.string_dtype())
    content = bytearray(h5(lambda file: file.attrs.__setitem__("layer_names", texts)))
    # An entry of the list is a length, the place of a heap, and a number in it: 16 bytes.
    first = content.index(struct.pack("<I", 300_000))
    content[first : first + 16 * len(texts)] = content[first : first + 16] * len(texts)
    return bytes(content)


def same_group(file: h5py.File) -> None:
    """Very many names of one group that has a very long list."""
    group = file.create_group("g")
    group.attrs["weight_names"] = np.array(["w/recurrent_kernel"] * 3_000, "S18")
    names = [f"l{number}" for number in range(4_000)]
    for name in names:
        file[name] = group
    file.attrs["layer_names"] = np.array(names, "S5")


def long_headers() -> bytes:
    """Very many members whose headers are as long as numpy reads them."""
    header = npy_header("(1,)", str([(str(field), "f4") for field in range(500)]), data=8)
    return zipped({f"{number}.npy": header for number in range(9_999)}, zipfile.ZIP_DEFLATED)


def bomb_of_metadata() -> bytes:
    """A trace whose metadata are far longer packed out."""
    many = json.dumps({"spec": {"kind": "x" * 50_000_000}}).encode()
    content = io.BytesIO()
    np.savez_compressed(content, **{"metadata.json": np.frombuffer(many, np.uint8)})
    return content.getvalue()


def long_header_of_safetensors() -> bytes:
    """A header of the size that its library takes."""
    header = json.dumps({"__metadata__": {"rnntrace": "[" * 20_000_000}}).encode()
    return struct.pack("<Q", len(header)) + header


TWO = r"not a readable \.zip archive: its directory does not end where the file ends|two directories|not a readable"
A_KEY = "a key of a mapping in it is a tuple: expected text or a whole number"
HOLDS = "a tuple or list in it holds [0-9,]+ things or more, over the limit of 1,000,000"
ENCODES = "it encodes something else than text"
MEMBERS = "over the limit of 10,000, which RNNTRACE_MAX_MEMBERS sets"
TEXT = "is text over the limit of 16,777,216"
SMALL, LARGE = {"archive/data.pkl": b"\x80\x02}."}, {"archive/data.pkl": b"\x80\x02]."}

BOMBS: dict[str, Entry] = {
    "pt with a key of tuples of tuples": unreadable(A_KEY, lambda: pickled(b"\x80\x02}" + NESTED + b"K\x01s.")),
    "pt with keys of tuples of tuples": unreadable(A_KEY, lambda: pickled(b"\x80\x02}(" + NESTED + b"K\x01u.")),
    "pt with a storage by a key of tuples": unreadable(
        "", lambda: pickled(b"\x80\x02(" + text("storage") + b"ctorch\nFloatStorage\n" + NESTED + text("cpu") + b"K\x04tQ.")
    ),
    "pt of a set of tuples of tuples": unreadable(A_KEY, lambda: pickled(b"\x80\x02cbuiltins\nset\n]" + NESTED + b"a\x85R.")),
    "pt of a mapping made of tuples": unreadable(
        A_KEY,
        lambda: pickled(b"\x80\x02ccollections\nOrderedDict\n]" + NESTED + b"K\x01\x86a\x85R."),
    ),
    "pt that counts tuples of tuples": unreadable(
        A_KEY, lambda: pickled(b"\x80\x02ccollections\nCounter\n]" + NESTED + b"a\x85R.")
    ),
    "pt that hands on what makes a mapping": unreadable(
        "a function in it is handed to another one",
        lambda: pickled(from_type(b"ccollections\nOrderedDict\n", b"]" + NESTED + b"K\x01\x86a\x85")),
    ),
    "pt with a key that takes for ever": unreadable(HOLDS, lambda: pickled(b"\x80\x02}" + DOUBLED + b"K\x01s.")),
    "old pt with a key that takes for ever": unreadable(HOLDS, lambda: OLD + b"\x80\x02}" + DOUBLED + b"K\x01s."),
    "pt that looks up a tuple of tuples": unreadable(
        HOLDS, lambda: pickled(b"\x80\x02ctorch.serialization\n_get_layout\n" + DOUBLED + b"\x85R.")
    ),
    "pt with a name that is none": unreadable("a key of a mapping", lambda: pickled(b"\x80\x02}NK\x01s.")),
    "pt with short names in tuples": unreadable(A_KEY, lambda: pt_bytes({(1, 2): torch.zeros(1)})),
    "pt with whole numbers for names": loads(
        lambda: pt_bytes({**lstm().state_dict(), **{number: torch.zeros(1) for number in (0, 300, 2**20, 2**40, -1)}})
    ),
    "pt of a chain of encodings": unreadable(ENCODES, lambda: pickled(encodings(30))),
    "pt of long text to encode": unreadable(
        NO_TENSORS, lambda: pickled(b"\x80\x02c_codecs\nencode\n" + text("a" * 1000) + text("latin1") + b"\x86R.")
    ),
    "pt of many bytes from a number": unreadable(ENCODES, lambda: pickled(b"\x80\x02cbuiltins\nbytearray\nJ\0\0\0\x60\x85R.")),
    "pt with bytes beside": loads(lambda: pt_bytes({**lstm().state_dict(), "b": b"short", "n": bytearray(b"short")})),
    "old pt with a key of tuples of tuples": unreadable(A_KEY, lambda: OLD + b"\x80\x02}" + NESTED + b"K\x01s."),
    "old pt with a list of tuples of tuples": unreadable(A_KEY, lambda: OLD + b"\x80\x02}." + b"\x80\x02]" + NESTED + b"a."),
    "pt with two directories": unreadable(TWO, lambda: two_directories(LARGE, SMALL)),
    "pt with a directory for each reader": unreadable(TWO, one_for_each),
    "pt with a comment": unreadable(TWO, lambda: two_directories({}, SMALL)),
    "npz behind something else": unreadable(TWO, lambda: b"PK\x03\x04" + npz_bytes({"x": np.zeros(3)})),
    "npz with something behind it": unreadable(".", lambda: npz_bytes({"x": np.zeros(3)}) + b"\0"),
    "pt whose directory is elsewhere": unreadable(TWO, lambda: zip64(64)),
    "pt with room before the end of its directory": unreadable(TWO, lambda: zip64(2_000, b"\0" * 76)),
    "npz with fewer members than it says": unreadable(
        TWO, lambda: (lambda archive: archive[:-12] + struct.pack("<H", 7) + archive[-10:])(zipped({"x.npy": b""}))
    ),
    "npz with sizes beyond": unreadable(".", lambda: central_directory(npz_bytes({"x": np.zeros(3)}), 24, 2**32 - 1, "<I")),
    "pt of very many modules in few values": unreadable("its tensors are " + MEMBERS, lambda: many_modules(5_000)),
    "onnx of very many nodes with one W": unreadable("everything together has .* values", lambda: onnx_model(shared_weights)),
    "onnx of very many empty nodes": unreadable(
        "its nodes or initializers are " + MEMBERS, lambda: onnx_model(lambda *_: b"\x0a\x00" * 2**23)
    ),
    "onnx of very many empty values": unreadable(
        "its nodes or initializers are " + MEMBERS, lambda: onnx_model(lambda *_: b"\x6a\x00" * 2**20)
    ),
    "h5 of many names for one group": unreadable(
        "entries of the attribute weight_names are " + MEMBERS, lambda: h5(same_group)
    ),
    "h5 of many texts that are one": unreadable("layer_names is a list of texts of any length", same_texts),
    "h5 of a long configuration": unreadable(
        TEXT, lambda: h5(lambda file: file.attrs.__setitem__("model_config", " " * 20_000_000))
    ),
    "keras of a long configuration": unreadable(
        r"its config\.json of 200,000,000 bytes " + TEXT,
        lambda: keras_packed(b" " * 200_000_000),
    ),
    "npz of a trace with metadata that are a bomb": unreadable("its metadata .*" + TEXT, bomb_of_metadata),
    "npz of very long headers": unreadable("its headers have [0-9,]+ bytes or more, over the limit of 2,560,000", long_headers),
    "safetensors of a long header": unreadable("its header of [0-9,]+ bytes " + TEXT, long_header_of_safetensors),
    "csv of very many rows": unfit(NO_MODULE, lambda: b"1\n" * 2**18, "x"),
    "csv of very many columns": unfit(NO_MODULE, lambda: b"1,23\n" * 2**17, "x"),
}


def keras_packed(config: bytes) -> bytes:
    """A .keras that takes little room, since its weights take some that do not pack."""
    weights = h5(lambda file: file.create_dataset("noise", data=np.random.default_rng(0).integers(0, 256, 2**20, np.uint8)))
    return zipped({"config.json": config, "model.weights.h5": weights, "metadata.json": b"{}"}, zipfile.ZIP_DEFLATED)
