"""What can go wrong for a user, and how the process ends.

Every exception here is also the built-in that a caller would already catch. Its message is one sentence that
says what was expected, what was found and what to do; the command line prints it and ends with `ExitCode.REFUSED`.
Foreign strings go into a message through `show`. Keywords stand in backticks, `dtype` or `tolerance=exact`; the command line
makes flags of them.
"""

import re
from enum import IntEnum


class ExitCode(IntEnum):
    """How the process ends. BROKEN is a mistake in rnntrace itself, with a traceback; 70 is EX_SOFTWARE of sysexits.h."""

    AGREES = 0
    DISAGREES = 1
    REFUSED = 2
    BROKEN = 70
    INTERRUPTED = 130


class RnnTraceError(Exception):
    """A request that cannot be carried out. However much its message quotes, it is one that can be read."""

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(message))

    @property
    def fields(self) -> tuple[str, ...]:
        """The keywords that the message speaks of, which stand in it as `name` or `name=value`; each of them once."""
        return tuple(dict.fromkeys(re.findall(r"`([a-z][a-z0-9_]*)(?:=[^`]*)?`", str(self))))


class SpecError(RnnTraceError, ValueError):
    """A module that cannot exist: sizes or options that contradict one another."""


class SignalError(RnnTraceError, ValueError):
    """Inputs, initial states or lengths that do not fit the module."""


class WeightsError(RnnTraceError, ValueError):
    """Weights that do not fit the module, or from which no module can be told."""


class FileError(RnnTraceError, OSError):
    """A file that cannot be read or written."""


class UsageError(RnnTraceError, ValueError):
    """Options that do not go together."""


class FrameworkError(RnnTraceError, RuntimeError):
    """The framework refused to build or run the module."""


class LimitError(RnnTraceError, RuntimeError):
    """Work that went over the time or the memory that it may take."""


class MissingExtraError(RnnTraceError, ImportError):
    """A file format or picture that needs an optional package which is not installed."""


LONGEST = 1_000
"""Characters of a message; a table shows a name of any length."""


def shortened(text: str) -> str:
    """A message without what is too much of it, which what it quotes has put in its middle."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[3 - LONGEST // 2 :]}"


def show(text: str) -> str:
    """A foreign string made fit to print: control and bidirectional characters become escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
