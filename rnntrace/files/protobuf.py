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


def written(number: int, size: int) -> bytes:
    """What stands in front of a value of so many bytes in a field of this number."""
    return b"".join(map(_as_varint, (number << 3 | BYTES, size)))


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))


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
