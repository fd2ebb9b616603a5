"""What a bad or strange file is, and the ways to make one."""

import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A file and what becomes of it.

    `says` is a regular expression for the one line about the file, empty for a file that loads. Where the file is `read`,
    that line is said by who wants weights; others may have a use for it, or say in a line of their own what is wrong, for
    which `as_signal` is a regular expression if the file is given as x or h0.
    """

    content: Callable[[], bytes]
    says: str = ""
    read: bool = False
    as_signal: str = ""


def unreadable(says: str, content: Callable[[], bytes]) -> Entry:
    """A file that is refused whatever it is for."""
    return Entry(content, says)


def unfit(says: str, content: Callable[[], bytes], as_signal: str = "") -> Entry:
    """A file that can be read, and whose weights are refused."""
    return Entry(content, says, read=True, as_signal=as_signal)


def loads(content: Callable[[], bytes]) -> Entry:
    """A strange file that must still load: a module is found in it and judged."""
    return Entry(content, read=True)


class Evil:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, call: Callable[..., Any] = os.mkdir, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments or ("pwned",)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def flipped(content: bytes, at: int, mask: int = 0xFF) -> bytes:
    """The content with some bits of one byte turned over."""
    changed = bytearray(content)
    changed[at] ^= mask
    return bytes(changed)
