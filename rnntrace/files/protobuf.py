"""The fields of a message of protobuf, without making anything of them; https://protobuf.dev/programming-guides/encoding."""

from collections.abc import Iterator
from mmap import mmap

WIDTHS = {1: 8, 5: 4}
"""Bytes of a value by the way it is written: 64 and 32 bits."""
BYTES, GROUPS = 2, (3, 4)


def fields(content: bytes | mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number of each field, and where its value starts and ends. Stops where this is no message; those of groups count too."""
    at = start
    while at < end:
        tag, at = _varint(content, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == BYTES:
            size, at = _varint(content, at, end)
        elif wire == 0:
            first, (_, after) = at, _varint(content, at, end)
            size, at = after - first, first
        elif wire in WIDTHS or wire in GROUPS:
            size = WIDTHS.get(wire, 0)
        else:
            return
        yield number, at, min(at + size, end)
        at += size


def _varint(content: bytes | mmap, at: int, end: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = shift = 0
    while at < end and shift < 70:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return value, at
