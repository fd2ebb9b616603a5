"""Bad and strange things in a .pt beside tensors: numpy's numbers and arrays, which its functions would trust, and flags."""

import pickle
import struct
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from formats import lstm, old_pt_bytes, pt_bytes
from hostile import Entry, Evil, loads, unfit, unreadable
from hostile_arrays import NOT_FLOATS
from hostile_torch import PT, RUNS_CODE, edited

BIAS = "bias_hh_l0"


class Hashed(Namespace):
    """Flags that can be a key."""

    def __hash__(self) -> int:
        return 0

    def __reduce__(self) -> tuple[Any, ...]:
        return Namespace, ()


class Told:
    """What pickles as any call at all, with any state at all."""

    def __init__(self, call: Callable[..., Any], arguments: tuple[Any, ...], state: Any = None) -> None:
        self._reduced = (call, arguments) if state is None else (call, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


def dtype(code: Any = "f4", state: Any = (3, "<", None, None, None, -1, -1, 0)) -> Told:
    """A dtype that says anything at all of itself."""
    return Told(np.dtype, (code, False, True), state)


def array(shape: Any = (8,), of: Any = None, content: Any = bytes(32), in_columns: Any = False, version: Any = 1) -> Told:
    """An array that says anything at all of itself."""
    return Told(
        np._core.multiarray._reconstruct,
        (np.ndarray, (0,), b"b"),
        (version, shape, dtype() if of is None else of, in_columns, content),
    )


def number(of: Any, content: Any) -> Told:
    """A number that says anything at all of itself."""
    return Told(np._core.multiarray.scalar, (of, content))


def bias(make: Callable[[], Any]) -> Callable[[], bytes]:
    """An LSTM, one of whose biases is such a thing."""
    return lambda: pt_bytes({**lstm().state_dict(), BIAS: make()})


def beside(make: Callable[[], Any]) -> Callable[[], bytes]:
    """An LSTM with such a thing beside it."""
    return lambda: pt_bytes({"state_dict": lstm().state_dict(), "other": make()})


def again_and_again() -> bytes:
    """A text of a million letters, kept once and encoded a thousand times."""
    text = b"X" + struct.pack("<I", 10**6) + b"a" * 10**6 + b"q\x00"
    head = b"\x80\x02" + text + b"X\x06\x00\x00\x00latin1q\x01c_codecs\nencode\nq\x02"
    calls = b"h\x02h\x00h\x01\x86R" * 1000
    return edited({}, lambda inside: inside.update({"data.pkl": head + b"(" + calls + b"t."}))


WIDE = torch.zeros(1).expand(2**40)
PLAIN, SHAPE = (
    NOT_FLOATS + "an array of numpy that is not of plain numbers",
    NOT_FLOATS + "an array of numpy whose .* shape says",
)

BESIDE: dict[str, Entry] = {
    "pt with a number of numpy beside": loads(beside(lambda: np.float64(0.5))),
    "pt with numbers of many kinds beside": loads(
        beside(lambda: [np.float32(1), np.int64(2), np.bool_(True), np.str_("a"), np.datetime64(1, "s"), np.complex64(1j)])
    ),
    "pt with an array of numpy beside": loads(beside(lambda: np.arange(6.0).reshape(2, 3))),
    "pt with objects of numpy beside": loads(beside(lambda: np.array([None, "a"], object))),
    "pt with records of numpy beside": loads(beside(lambda: np.zeros(3, [("a", "f4"), ("b", "O")]))),
    "pt with texts of numpy beside": loads(beside(lambda: np.array(["a", "bc"]))),
    "pt with a bias of numpy": loads(bias(lambda: np.ones(8, "f4"))),
    "pt with a big-endian bias of numpy": loads(bias(lambda: np.ones(8, ">f4"))),
    "old pt with an array of numpy beside": loads(lambda: old_pt_bytes({"w": lstm().state_dict(), "other": np.ones(3)})),
    "pt with a bias of numpy objects": unfit(BIAS + " " + PLAIN, bias(lambda: np.array([1.0] * 8, object))),
    "pt with a bias of numpy records": unfit(PLAIN, bias(lambda: np.zeros(8, [("a", "f4")]))),
    "pt with a bias of numpy text": unfit(PLAIN, bias(lambda: np.array(["a"] * 8))),
    "pt with a complex bias of numpy": unfit(PLAIN, bias(lambda: np.ones(8, complex))),
    "pt with a bias of numpy integers": unfit(NOT_FLOATS + "int32", bias(lambda: np.ones(8, np.int32))),
    "pt with a number of numpy as its bias": unfit("and the weights have none", bias(lambda: np.float32(1))),
    "pt with objects as a bias of floats": unfit(
        PLAIN, bias(lambda: array(of=dtype("O8", (3, "|", None, None, None, -1, -1, 63))))
    ),
    "pt with pointers for objects": unfit(PLAIN, bias(lambda: array(of=dtype("O8")))),
    "pt with pointers for numbers": unfit(
        PLAIN, bias(lambda: array((4,), dtype("f4", (3, "<", None, None, None, -1, -1, 63))))
    ),
    "pt with fields in its floats": unfit(
        PLAIN, bias(lambda: array(of=dtype("f4", (3, "<", None, ("a",), {"a": (dtype("O8"), 0)}, 8, 8, 63))))
    ),
    "pt with a subarray in its floats": unfit(
        PLAIN, bias(lambda: array(of=dtype("f4", (3, "<", (dtype(), (2**40,)), None, None, 2**30, 1, 0))))
    ),
    "pt with floats of another size": unfit(
        PLAIN, bias(lambda: array(of=dtype("f4", (3, "<", None, None, None, 2**30, 1, 0))))
    ),
    "pt with a dtype of metadata": unfit(
        PLAIN, bias(lambda: array(of=dtype("f4", (4, "<", None, None, None, -1, -1, 0, {"a": Told(np.dtype, ("f4",))}))))
    ),
    "pt with a dtype of no state": unfit(PLAIN, bias(lambda: array(of=Told(np.dtype, ("f4", False, True))))),
    "pt with a dtype of an evil order": unfit(
        PLAIN, bias(lambda: array(of=dtype("f4", (3, "x", None, None, None, -1, -1, 0))))
    ),
    "pt with a dtype that is a tensor": unfit(PLAIN, bias(lambda: array(of=torch.zeros(3)))),
    "pt with a dtype of giants": unfit(PLAIN, bias(lambda: array(of=dtype("f4", (WIDE, "<", WIDE, WIDE, WIDE, WIDE, -1, 0))))),
    "pt with a dtype of a list of fields": unfit(PLAIN, bias(lambda: array(of=dtype([("a", "O")])))),
    "pt with a dtype of a very long code": unfit(PLAIN, bias(lambda: array(of=dtype("f4," * 10_000)))),
    "pt with an array without a state": unfit(
        "an array of numpy without its values",
        bias(lambda: Told(np._core.multiarray._reconstruct, (np.ndarray, (2**40,), b"b"))),
    ),
    "pt with an array of a short state": unfit(
        PLAIN, bias(lambda: Told(np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), (1, (8,))))
    ),
    "pt with an array of another order": unfit(PLAIN, bias(lambda: array(in_columns=WIDE))),
    "pt with an array of a list": unfit(PLAIN, bias(lambda: array(content=[1.0] * 8))),
    "pt with an array of text": unfit(PLAIN, bias(lambda: array(content="a" * 32))),
    "pt with an array larger than its bytes": unfit(SHAPE, bias(lambda: array((2**30,)))),
    "pt with an array of a huge shape": unfit(SHAPE, bias(lambda: array((2**62, 2**62)))),
    "pt with an array of a negative shape": unfit(SHAPE, bias(lambda: array((-8,)))),
    "pt with an array of two negative sizes": unfit(SHAPE, bias(lambda: array((-2, -4)))),
    "pt with an array of nothing and more": unfit(
        SHAPE, bias(lambda: array((0, 2**31 - 1, 2**31 - 1, 2**31 - 1), content=b""))
    ),
    "pt with an array of nothing": unfit(r"has shape \(0,\)", bias(lambda: np.zeros(0, "f4"))),
    "pt with an empty array beside": loads(beside(lambda: [np.zeros((0, 3)), b""])),
    "pt with very many bytes for none": unreadable(PT, beside(lambda: Told(bytes, (2**40,)))),
    "pt with an array of very many axes": unfit(SHAPE, bias(lambda: array((1,) * 1000, content=bytes(4)))),
    "pt with an array of size True": unfit(SHAPE, bias(lambda: array((True, 8)))),
    "pt with an array of a giant for a shape": unfit(SHAPE, bias(lambda: array((WIDE,)))),
    "pt with an array whose shape is none": unfit(SHAPE, bias(lambda: array("8"))),
    "pt with an array of bytes too few": unfit(SHAPE, bias(lambda: array(content=bytes(31)))),
    "pt with a giant for a number": loads(beside(lambda: number(dtype("f4"), WIDE))),
    "pt with pointers for a number": loads(beside(lambda: number(dtype("O8"), bytes(8)))),
    "pt with a number of too many arguments": unreadable(
        PT, beside(lambda: Told(np._core.multiarray.scalar, (np.dtype("f4"), b"", b"", b"")))
    ),
    "pt with flags beside": loads(beside(lambda: Namespace(lr=0.1, sizes=[1, 2], more=Namespace(a=None)))),
    "pt with flags for a bias": unfit("and the weights have none", bias(lambda: Namespace(a=torch.ones(8)))),
    "pt with flags of a list": loads(beside(lambda: Told(Namespace, (), [1]))),
    "pt with flags of arguments": unreadable(PT, beside(lambda: Told(Namespace, (1, 2)))),
    "pt with code in flags": unreadable(RUNS_CODE, beside(lambda: Namespace(a=[Evil()]))),
    "pt with code for flags": unreadable(RUNS_CODE, beside(lambda: Told(Namespace, (), Evil()))),
    "pt with a key of flags": unreadable("a key of a mapping", lambda: pt_bytes({Hashed(): 1})),
    "pt with code in an array": unreadable(RUNS_CODE, bias(lambda: np.array([Evil()], object))),
    "pt with code in a dtype": unreadable(RUNS_CODE, bias(lambda: array(of=dtype("f4", Evil())))),
    "pt with code for a number": unreadable(RUNS_CODE, beside(lambda: number(dtype("O8"), Evil()))),
    "pt that has numpy unpickle": unreadable(RUNS_CODE, beside(lambda: Told(np.load, ("/etc/passwd", None, True)))),
    "pt that loads by numpy": unreadable(RUNS_CODE, beside(lambda: Told(np._core.multiarray.fromstring, (b"a" * 8,)))),
    "pt that encodes again and again": unreadable("it encodes a text again and again", again_and_again),
    "pickle of arrays that runs code": unreadable(RUNS_CODE, lambda: pickle.dumps({"a": np.array([Evil()], object)}, 2)),
}
