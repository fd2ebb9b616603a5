"""Bad indexes of weights in several .safetensors: whatever they name, no other file is opened than one that may be."""

import json
from typing import Any

from commandline import EVIL
from hostile import Entry, unreadable
from hostile_arrays import SHOWN

PLAIN = "expected the plain name of a file in the same folder"
MAP = "weight_map should say the file of each tensor"


def index(places: Any) -> bytes:
    """An index of these places."""
    return json.dumps({"metadata": {"total_size": 1}, "weight_map": places}).encode()


def named(name: str) -> bytes:
    """An index of one place."""
    return index({"weight_ih_l0": name})


SHARDS: dict[str, Entry] = {
    "index of a file anywhere": unreadable(PLAIN, lambda: named("/etc/passwd")),
    "index of a file above": unreadable(PLAIN, lambda: named("../../../../../../etc/passwd")),
    "index of a file below": unreadable(PLAIN, lambda: named("folder.pt/a")),
    "index of a file by another slash": unreadable(PLAIN, lambda: named("..\\a")),
    "index of its folder": unreadable(PLAIN, lambda: named(".")),
    "index of the folder above": unreadable(PLAIN, lambda: named("..")),
    "index of a null byte": unreadable(PLAIN, lambda: named("a\0b")),
    "index of half a character": unreadable(PLAIN, lambda: named("\ud800")),
    "index of an evil name": unreadable(f"{SHOWN}: {PLAIN}", lambda: named(EVIL)),
    "index of a very long name": unreadable(PLAIN, lambda: named("x" * 10_000)),
    "index of a file that is not there": unreadable("which is not there", lambda: named("nowhere.safetensors")),
    "index of a folder": unreadable("which is no file", lambda: named("folder.pt")),
    "index of a pipe": unreadable("which is no file", lambda: named("pipe.npz")),
    "index of nothing": unreadable("which is empty", lambda: named("nothing")),
    "index of a link to a device": unreadable("which is a link", lambda: named("link to a device")),
    "index of itself": unreadable("expected a .safetensors", lambda: named("index of itself")),
    "index of very many files": unreadable(
        "which is not there", lambda: index({f"a{number}": f"b{number}" for number in range(300_000)})
    ),
    "index of numbers": unreadable(MAP, lambda: index({"a": 1})),
    "index of a list": unreadable(MAP, lambda: index(["a"])),
    "index of no files": unreadable(MAP, lambda: index({})),
    "index of another form": unreadable(MAP, lambda: b'{"a": {"weight_map": {}}}'),
    "index with a name twice": unreadable("it holds 'a' twice", lambda: b'{"weight_map": {"a": "x", "a": "x"}}'),
    "index of brackets": unreadable("not a readable", lambda: b'{"weight_map": ' + b"[" * 100_000),
    "index in another encoding": unreadable("not a readable", lambda: b'{"weight_map": {"\xe9": "a"}}'),
}
