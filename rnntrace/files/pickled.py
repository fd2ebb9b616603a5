"""Look through a pickle of torch's before torch loads it: weights need few of the things that even weights_only allows.

Loading computes: a key of a mapping is hashed, and a tuple of tuples may take for ever; text is encoded, and a chain of
encodings doubles it each time. This walks over the instructions as torch does, with names for values, and computes nothing.
https://github.com/python/cpython/blob/main/Lib/pickletools.py describes them.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rnntrace.errors import FileError
from rnntrace.files.tensors import check_distinct

TEXT_ENCODINGS = ("latin1", "latin-1")
ENCODERS = ("_codecs.encode", "builtins.bytearray")
CALLED = (*ENCODERS, "builtins.set", "collections.Counter", "collections.OrderedDict")
"""Functions beside torch's own that may be called, and never handed on to be called by somebody else."""


DAMAGE = (IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error)
"""What a walk over something else than a pickle ends with."""
HEAVIEST = 10**6
"""Things in a tuple or list, and in those inside it, each counted as often as it stands there."""


class _Other:
    """What is neither text nor a whole number, a tuple, a list or a mapping."""


class _Mapping:
    """The keys of a mapping."""

    def __init__(self, keys: Iterable[Any] = ()) -> None:
        self.keys: list[Any] = []
        self.add(keys)

    def add(self, keys: Iterable[Any]) -> None:
        """Raises FileError for a key that is neither text nor a whole number."""
        self.keys += _checked(keys)


class _Function(str):
    """The full name of a class or function."""


class _Tuple(tuple[Any, ...]):
    weight = 1


class _List(list[Any]):
    weight = 1


_OTHER = _Other()


def check_pickle(content: bytes, start: int = 0) -> tuple[int, Any]:
    """Where a pickle ends, and what it is, as far as it is text, a number, or a tuple or list of them.

    What is no pickle ends where that shows, and torch says so. Raises FileError for what no weights need, and for a
    key that a mapping has twice, of which unpickling keeps the last.
    """
    try:
        walk = _walked(content, start)
    except DAMAGE:
        return len(content), _OTHER
    return walk.at, walk.stack[-1] if walk.stack else _OTHER


def check_whole(content: bytes) -> None:
    """Raises FileError unless this is one pickle, of instructions that are known and lead to no more than it holds."""
    try:
        end = _walked(content, 0).at
    except DAMAGE:
        end = -1
    if end != len(content):
        raise FileError("it is no pickle of plain weights, or is damaged")


def _walked(content: bytes, start: int) -> "_Walk":
    walk = _Walk(content, start)
    while walk.step():
        pass
    for mapping in walk.mappings:
        check_distinct(mapping.keys)
    return walk


def check_old(content: bytes) -> None:
    """The pickles at the start of a file of torch before 1.6: a number, a version, the system, the weights, and their keys."""
    at = 0
    for _ in range(5):
        at, found = check_pickle(content, at)
    if isinstance(found, list):
        list(_checked(found))


def _checked(keys: Iterable[Any]) -> Iterator[str]:
    """The keys as names. Raises FileError."""
    for key in keys:
        if isinstance(key, _Function) or not isinstance(key, str | int):
            kind = "tuple" if isinstance(key, tuple) else "list" if isinstance(key, list) else "thing of another kind"
            raise FileError(f"a key of a mapping in it is a {kind}: expected text or a whole number")
        yield str(key)


class _Walk:
    """The state of a loader in the middle of a pickle."""

    def __init__(self, content: bytes, at: int) -> None:
        self.content, self.at = content, at
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.mappings: list[_Mapping] = []
        self.encoded = 0

    def step(self) -> bool:
        """One instruction; False behind the last one, and at one that torch refuses."""
        code = self.content[self.at]
        self.at += 1
        if code == ord("."):
            return False
        _STEPS[code](self)
        return True

    def number(self, form: str, size: int) -> Any:
        (found,) = struct.unpack_from(form, self.content, self.at)
        self.at += size
        return found

    def text(self, size: int, encoding: str = "utf-8", errors: str = "surrogatepass") -> str:
        if self.at + size > len(self.content):
            raise ValueError("it ends too soon")
        self.at += size
        return str(self.content[self.at - size : self.at], encoding, errors)

    def line(self) -> str:
        end = self.content.index(b"\n", self.at)
        found = self.content[self.at : end].decode()
        self.at = end + 1
        return found

    def marked(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def push_tuple(self, items: list[Any]) -> None:
        if any(isinstance(item, _Function) and item in CALLED for item in items):
            raise FileError("a function in it is handed to another one: expected weights alone")
        found = _Tuple(items)
        found.weight = _weight(1, items)
        self.stack.append(found)

    def last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def call(self) -> None:
        function, arguments = self.last(2)
        if not isinstance(arguments, tuple):
            raise TypeError
        if function in ENCODERS and isinstance(function, _Function):
            self.encode(function, arguments)
        elif function in CALLED and isinstance(function, _Function):
            keys = list(_checked(_keys_of(function, arguments)))
            if function in ("collections.OrderedDict", "collections.Counter"):
                return self.push_mapping(keys)
        self.stack.append(_OTHER)
        return None

    def encode(self, function: str, arguments: tuple[Any, ...]) -> None:
        """Bytes that were written as text, which may not be more, all together, than the pickle has. Raises FileError."""
        text, encoding = arguments if len(arguments) == 2 else ("", "latin1") if not arguments else (None, None)
        if not isinstance(text, str) or encoding not in TEXT_ENCODINGS:
            raise FileError(f"it encodes something else than text, with {function}: expected weights alone")
        self.encoded += len(text)
        if self.encoded > len(self.content):
            raise FileError(f"it encodes a text again and again, with {function}: expected weights alone")

    def push_mapping(self, keys: Sequence[Any] = ()) -> None:
        self.mappings.append(_Mapping(keys))
        self.stack.append(self.mappings[-1])

    def set_items(self, items: list[Any]) -> None:
        self.stack[-1].add(items[::2])

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        target.extend(items)
        target.weight = _weight(target.weight, items)

    def load(self) -> None:
        """A storage, which torch finds by its key."""
        (found,) = self.last(1)
        for item in found if isinstance(found, tuple) else ():
            if isinstance(item, tuple):
                list(_checked(item))
        self.stack.append(_OTHER)

    def put(self, number: int) -> None:
        # A place is taken for every number up to it.
        if number > len(self.content):
            raise FileError("it numbers its parts beyond its size: expected weights alone")
        self.memo[number] = self.stack[-1]

    def skip(self, size: int) -> None:
        if self.at + size > len(self.content):
            raise ValueError("it ends too soon")
        self.at += size

    def named(self) -> None:
        module, name = self.last(2)
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError
        self.stack.append(_Function(f"{module}.{name}"))

    def push_bytes(self, size: int) -> None:
        self.skip(size)
        self.stack.append(_OTHER)


def _weight(so_far: int, items: list[Any]) -> int:
    """That of a tuple or list with these items more. Raises FileError for too much to walk through."""
    weight = so_far + sum(getattr(item, "weight", 1) for item in items)
    if weight > HEAVIEST:
        raise FileError(f"a tuple or list in it holds {weight:,} things or more, over the limit of {HEAVIEST:,}")
    return weight


def _keys_of(function: str, arguments: tuple[Any, ...]) -> Sequence[Any]:
    """What is hashed in a call. Raises FileError for a call that may take more than it is given."""
    (entries,) = arguments or ([],)
    if isinstance(entries, list):
        # collections.OrderedDict was once written as a call with pairs.
        return [entry[0] for entry in entries] if function == "collections.OrderedDict" else entries
    if isinstance(entries, _Mapping):
        return entries.keys
    raise FileError(f"it calls {function} with something else than a list or a mapping: expected weights alone")


_Step = Callable[[_Walk], object]
_STEPS: dict[int, _Step] = {
    ord(code): step
    for code, step in {
        "c": lambda walk: walk.stack.append(_Function(f"{walk.line()}.{walk.line()}")),
        "R": _Walk.call,
        "\x81": _Walk.call,
        "b": lambda walk: walk.last(1) and walk.stack[-1],
        "a": lambda walk: walk.append(walk.last(1)),
        "e": lambda walk: walk.append(walk.marked()),
        "s": lambda walk: walk.set_items(walk.last(2)),
        "u": lambda walk: walk.set_items(walk.marked()),
        "(": _Walk.mark,
        "t": lambda walk: walk.push_tuple(walk.marked()),
        "\x85": lambda walk: walk.push_tuple(walk.last(1)),
        "\x86": lambda walk: walk.push_tuple(walk.last(2)),
        "\x87": lambda walk: walk.push_tuple(walk.last(3)),
        "N": lambda walk: walk.stack.append(_OTHER),
        "\x88": lambda walk: walk.stack.append(1),
        "\x89": lambda walk: walk.stack.append(0),
        ")": lambda walk: walk.stack.append(_Tuple()),
        "]": lambda walk: walk.stack.append(_List()),
        "}": lambda walk: walk.push_mapping(),
        "\x8f": lambda walk: walk.stack.append(_OTHER),
        "J": lambda walk: walk.stack.append(walk.number("<i", 4)),
        "K": lambda walk: walk.stack.append(walk.number("<B", 1)),
        "M": lambda walk: walk.stack.append(walk.number("<H", 2)),
        "G": lambda walk: walk.number(">d", 8) is None or walk.stack.append(_OTHER),
        "X": lambda walk: walk.stack.append(walk.text(walk.number("<I", 4))),
        "U": lambda walk: walk.stack.append(walk.text(walk.number("<B", 1), "utf-8", "replace")),
        "Q": _Walk.load,
        "h": lambda walk: walk.stack.append(walk.memo[walk.number("<B", 1)]),
        "j": lambda walk: walk.stack.append(walk.memo[walk.number("<I", 4)]),
        "q": lambda walk: walk.put(walk.number("<B", 1)),
        "r": lambda walk: walk.put(walk.number("<I", 4)),
        "\x8a": lambda walk: walk.stack.append(len(walk.text(walk.number("<B", 1), "latin1"))),
        "\x80": lambda walk: walk.number("<B", 1),
        # Those of protocol 4, which torch does not know.
        "\x95": lambda walk: walk.number("<Q", 8),
        "\x94": lambda walk: walk.put(len(walk.memo)),
        "\x93": _Walk.named,
        "\x8c": lambda walk: walk.stack.append(walk.text(walk.number("<B", 1))),
        "C": lambda walk: walk.push_bytes(walk.number("<B", 1)),
        "B": lambda walk: walk.push_bytes(walk.number("<I", 4)),
        "\x8e": lambda walk: walk.push_bytes(walk.number("<Q", 8)),
    }.items()
}
"""Every instruction that torch knows, and those of newer pickles of arrays."""
