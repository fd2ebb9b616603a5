"""Caps on what is opened, built and computed, so that no file and no flag takes all memory.

Each has an environment variable of its name, RNNTRACE_MAX_BYTES and so on, that sets another one.
"""

import os
import re

from rnntrace.errors import UsageError

PREFIX = "RNNTRACE_"
_NUMBER = re.compile("[0-9]{1,18}")
"""Python refuses to read a number of thousands of digits."""


def _limit(name: str, default: int) -> int:
    text = os.environ.get(PREFIX + name, "")
    if not text:
        return default
    if not _NUMBER.fullmatch(text) or int(text) < 1:
        raise UsageError(f"{PREFIX}{name} should be a whole number above 0, not {text!r}")
    return int(text)


MAX_BYTES = _limit("MAX_BYTES", 2**30)
"""Largest file that is opened, and largest sum of what is unpacked from it: 1 GiB."""
MAX_TEXT = MAX_BYTES // 64
"""Largest text, a file of its own or inside one: as lists it takes a hundred times as much memory, and seconds."""
MAX_MEMBERS = _limit("MAX_MEMBERS", 10_000)
"""Most members of a zip archive, tensors of a file and nodes of a graph."""
MAX_LAYERS = _limit("MAX_LAYERS", 1_000)
"""Most layers of a module."""
MAX_PARAMETERS = _limit("MAX_PARAMETERS", 2**28)
"""Largest module that is built: 2**28 parameters are 1 GiB in float32."""
MAX_VALUES = _limit("MAX_VALUES", 2**28)
"""Largest trace that is held in memory, in values: steps × batch × units × quantities. 2**28 are 1 GiB in float32."""
STREAM_FROM = _limit("STREAM_FROM", 2**24)
"""A trace of so many values or more that is saved is not held in memory but written while it is computed."""


def over(name: str, limit: int) -> str:
    """The end of a message on what is over a limit: which it is, and how to set another."""
    return f"over the limit of {limit:,}, which {PREFIX}{name} sets"


def in_bytes(count: int) -> str:
    """A number of bytes as it is told: 1.5 GB, 12.0 MB, 3.1 kB."""
    for size, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{count / size:.1f} {name}"
    return f"{count / 1e3:.1f} kB"
