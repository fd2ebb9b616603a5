"""How much time and memory a command may take that reads files which others may have written, whatever is in them."""

import math
import os
import re
import sys

from rnntrace.errors import UsageError

GIB = 2**30
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(?:([KMGT])(?:i?B)?|B)?", re.IGNORECASE)

TIMEOUT = 60.0
"""Seconds that a command may take that reads files which others may have written; 0 for no limit."""
TIMEOUT_PER_GIB = 60.0
"""Seconds more for each GiB of the files, where nobody says how long it may take: traces of long runs are many GB."""
MAX_MEMORY = 4 * GIB
"""Bytes that such a command may hold, what is mapped of a file not counted; 0 for no limit."""


def timeout(given: str | None = None) -> float | None:
    """Seconds that a command may take, by its flag or the variable; infinite for no limit, None if nobody says.

    Raises UsageError.
    """
    name, text = _told("timeout", given)
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise UsageError(f"{name} should be a number of seconds, or 0 for no limit, not {text!r}")
    return seconds or math.inf


def max_memory(given: str | None = None) -> int:
    """Bytes that a command may hold, by its flag, the variable or default; 0 for no limit. Raises UsageError."""
    name, text = _told("max_memory", given)
    if not text:
        return MAX_MEMORY
    if not (found := _SIZE.fullmatch(text)):
        raise UsageError(f"{name} should be a size like 512M or 2GiB, or 0 for no limit, not {text!r}")
    return int(float(found[1]) * 1024 ** " KMGT".index((found[2] or " ").upper()))


def _told(option: str, given: str | None) -> tuple[str, str]:
    """Who says what a limit is: the option, or else its variable; and what it says, empty if neither says anything."""
    variable = f"RNNTRACE_{option.upper()}"
    return (f"`{option}`", given) if given is not None else (variable, os.environ.get(variable, ""))


def facts() -> dict[str, str]:
    """What is allowed here, in words, and whether the system sees to it."""
    seconds, size = timeout(), max_memory()
    time = f"{TIMEOUT:g} s, and {TIMEOUT_PER_GIB:g} s per GiB of files" if seconds is None else f"{seconds:g} s"
    time = "none" if seconds == math.inf else time
    memory = f"{size / GIB:.3g} GiB" if size else "none"
    if not hasattr(os, "fork"):
        time += "; this system has no fork, so that a library which never returns is not ended"
    if sys.platform != "linux":
        memory = "none: this system does not keep a process to a size"
    return {"limit of time for foreign files": time, "limit of memory for foreign files": memory}
