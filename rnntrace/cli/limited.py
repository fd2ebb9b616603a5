"""A command in a process of its own, under limits of time and memory that the system enforces.

What others wrote is read by libraries that may take all memory or never return, and no thread of ours ends a call of theirs.
When they give up they end the process, with an exit code of their own. So the process forks before it loads anything large. The
child does the work, and the system ends it at its limits; the parent waits, hands on signals and says what happened.
"""

import gc
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from rnntrace.cli.stderr import say
from rnntrace.errors import ExitCode, LimitError

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""What ends a process from outside."""
GRACE = 2.0
"""Seconds in which the child ends by itself once it was told to."""
LONGEST = 1e8
"""Seconds, three years: the system's clock takes no more."""
PER_PROCESSOR = 64 * 2**20
"""Bytes that the libraries set aside for a thread of theirs on each processor, most of which they never touch."""
OURS = 100
"""Added to the exit code of the child by its own end: libraries end a process too, with 1 among others."""
CODES = {*map(int, ExitCode), *(128 + number for number in SIGNALS)}

_offset = 0


class Ended(SystemExit):
    """The end of this process, by a signal or because the process that did the work has ended, with that one's exit code."""


class Limits(NamedTuple):
    """Seconds and bytes that a command may take; infinite and 0 are no limits."""

    seconds: float = math.inf
    memory: int = 0


def limits(timeout: str | None, max_memory: str | None, sources: Iterable[str | Path]) -> Limits:
    """Those of a command by its flags, the variables and what there is to read. Raises UsageError for what is no limit."""
    from rnntrace.model import allowance

    longer = allowance.TIMEOUT_PER_GIB * _size(sources) / allowance.GIB
    return Limits(allowance.timeout(timeout) or allowance.TIMEOUT + longer, allowance.max_memory(max_memory))


def go_on_in_child(limits: Limits, targets: Iterable[Path]) -> None:
    """Go on in a process under limits. The process before waits for it, and raises Ended, or LimitError.

    What it leaves behind of the `targets` is cleared away.
    """
    if not hasattr(os, "fork"):
        return _end_later(limits)
    staged = f".{os.urandom(8).hex()}-{{}}.tmp"
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    parent = os.getpid()
    # What there is stays; looking for garbage among it would copy every page of it.
    gc.freeze()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        child = os.fork()
    except OSError as error:
        raise LimitError(f"no process can be started for it: {error.strerror}") from None
    if child:
        ended = _waited(child, before)
        _clear_away(staged.format("*"), targets)
        _end(ended, limits)
    _become_child(parent)
    signal.setitimer(signal.ITIMER_REAL, limits.seconds if limits.seconds < LONGEST else 0)
    if sys.platform == "linux" and limits.memory:
        _set_soft_limit("RLIMIT_DATA", limits.memory + len(os.sched_getaffinity(0)) * PER_PROCESSOR)
    signal.pthread_sigmask(signal.SIG_SETMASK, set(before) - {signal.SIGALRM})
    from rnntrace.files import atomic

    atomic.STAGED = staged
    return None


def own_exit_code(code: int) -> int:
    """The exit code of this process for what is to be said by it."""
    return code + _offset


def out_of_memory(limits: Limits) -> LimitError:
    """What is said where a library could tell by itself that there is no more memory; what is left to do may have more."""
    if _offset:
        with suppress(ImportError, MemoryError):
            _set_soft_limit("RLIMIT_DATA", None)
    return _over_memory("it needs more memory than there is", limits)


def _over_memory(what: str, limits: Limits) -> LimitError:
    return LimitError(what + ": --max-memory or RNNTRACE_MAX_MEMORY may allow more than the usual 4 GiB" * bool(limits.memory))


def _over_time(limits: Limits) -> LimitError:
    return LimitError(f"it takes over {limits.seconds:,.4g} s: --timeout or RNNTRACE_TIMEOUT may allow more")


def _size(sources: Iterable[str | Path]) -> int:
    """Bytes on the disk of what is read; holes of a file do not count."""
    total = 0
    for source in sources:
        try:
            found = Path(source).stat()
        except (OSError, ValueError):
            continue
        total += min(found.st_size, 512 * getattr(found, "st_blocks", found.st_size))
    return total


def _end_later(limits: Limits) -> None:
    """Where there is no fork, a thread ends the process; it cannot do so while a library keeps Python to itself."""
    import threading

    def end() -> None:
        say(f"error: {_over_time(limits)}")
        os._exit(ExitCode.REFUSED)

    if limits.seconds < LONGEST:
        timer = threading.Timer(min(limits.seconds, threading.TIMEOUT_MAX), end)
        timer.daemon = True
        timer.start()


def _waited(child: int, before: set[int | signal.Signals]) -> tuple[int, list[int]]:
    """The exit code of the child, below 0 for a signal, and the signals that were handed on; then it has a while to end."""
    handed_on: list[int] = []

    def hand_on(number: int, frame: object) -> None:
        handed_on.append(number)
        with suppress(ProcessLookupError):
            os.kill(child, number)
        signal.setitimer(signal.ITIMER_REAL, GRACE)

    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    for number in _heard():
        signal.signal(number, hand_on)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _, status = os.waitpid(child, 0)
    for number in (signal.SIGALRM, *SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    return os.waitstatus_to_exitcode(status), handed_on


def _clear_away(names: str, targets: Iterable[Path]) -> None:
    """Remove what a process that did not end by itself left beside its targets. Loads nothing: memory may be over."""
    with suppress(OSError, RuntimeError):
        for folder in {path.resolve().parent for path in targets}:
            for left in folder.glob(names):
                left.unlink(missing_ok=True)


def _end(waited: tuple[int, list[int]], limits: Limits) -> NoReturn:
    """End as the child did."""
    code, signals = waited
    if code - OURS in CODES:
        raise Ended(code - OURS)
    if code in (ExitCode.BROKEN, ExitCode.INTERRUPTED):
        # So early or late that nothing was added.
        raise Ended(code)
    if code == -signal.SIGINT:
        # Python has said so, and ends by the signal where it was interrupted in an `exec`.
        raise Ended(ExitCode.INTERRUPTED)
    if sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        # The child may have drawn its progress, and hidden the cursor.
        print("\r\x1b[2K\x1b[?25h", end="", file=sys.stderr, flush=True)
    if signals[:1] == [signal.SIGINT]:
        raise KeyboardInterrupt
    if signals:
        raise Ended(128 + signals[0])
    if code == -signal.SIGALRM:
        raise _over_time(limits)
    how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
    raise _over_memory(f"a library gave up ({how}), most likely for want of memory", limits)


def _heard() -> list[int]:
    """What ends this process from outside; below nohup some of it is ignored, and stays so."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def _become_child(parent: int) -> None:
    """Be ended with the parent, by one signal of several, and without a word of libraries that give up."""
    global _offset
    _offset = OURS
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _set_soft_limit("RLIMIT_CORE", 0)
    if sys.platform == "linux":
        import ctypes

        end_with_parent = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(end_with_parent, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(ExitCode.BROKEN)
    for number in _heard():
        signal.signal(number, _once(signal.getsignal(number)))
    if sys.stderr is not None:
        # C++ says in words of its own that it gives up. What is to be said is said by Python, or by the parent.
        with suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            kept = os.dup(2)
            os.dup2(nowhere.fileno(), 2)
            sys.stderr = open(kept, "w", encoding=sys.stderr.encoding, errors=sys.stderr.errors, buffering=1)  # noqa: PTH123, SIM115


def _once(handler: Any) -> Callable[[int, object], None]:
    """A signal may come from a terminal to parent and child, and then once more from the parent."""

    def handle(number: int, frame: object) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        handler(number, frame)

    return handle


def _set_soft_limit(name: str, size: int | None) -> None:
    """Set a limit as far as the hard one allows; None is all that that allows."""
    import resource

    number = getattr(resource, name)
    _, hard = resource.getrlimit(number)
    allowed = hard if size is None else size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(number, (allowed, hard))
