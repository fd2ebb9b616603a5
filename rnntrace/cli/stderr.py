"""What is said to a person beside the result."""

import os
import sys
from contextlib import suppress

from rnntrace.cli.flags import in_flags
from rnntrace.errors import shortened, show


def say(line: str) -> None:
    """One line on stderr, fit to print whatever it quotes. That nobody can read it is no reason to end otherwise."""
    # print would take stdout where there is no stderr.
    if sys.stderr is None:
        return
    try:
        print(f"rnntrace: {shortened(show(in_flags(' '.join(line.split()))))}", file=sys.stderr, flush=True)
    except OSError:
        give_up(sys.stderr)


def give_up(stream: object) -> None:
    """Let what is still to be written go nowhere: Python would try once more when it ends, and make 120 of the exit code."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[attr-defined]
