"""Many hand-ins at a time, each in a process of its own that the system ends at its limits of time and memory.

A process forks from this one, in which everything is imported already, does one job and hands its result over in a pipe: that
costs milliseconds, memory stays flat, and a hostile file takes nothing along but its own process. The same function does one
job in a worker of Dask.
"""

import gc
import os
import pickle
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

Job = TypeVar("Job")


class Limits(NamedTuple):
    """Seconds and bytes that one job may take; infinite and 0 are no limits."""

    seconds: float
    memory: int = 0


class Ended(NamedTuple):
    """What came of a job: its result, or None and the reason why there is none."""

    result: Any
    reason: str = ""


class _Child:
    """A process that does one job."""

    def __init__(self, function: Callable[[Any], Any], job: Any, limits: Limits) -> None:
        self.reading, writing = os.pipe()
        self.until = time.monotonic() + limits.seconds
        self.parts: list[bytes] = []
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        with warnings.catch_warnings():
            # From 3.12 on Python warns where there are threads: ours wait, and hold no lock that a job wants.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            os.close(self.reading)
            _work(function, job, limits, writing)
        os.close(writing)

    def read(self) -> bool:
        """Take what has come; whether that was all."""
        part = os.read(self.reading, 2**16)
        self.parts.append(part)
        return not part

    def ended(self) -> Ended:
        """The result of a process that has closed its pipe, or ran out of time."""
        late = time.monotonic() >= self.until
        if late:
            self.kill()
        os.close(self.reading)
        _, status = os.waitpid(self.pid, 0)
        try:
            return Ended(*pickle.loads(b"".join(self.parts)))
        except Exception:
            return Ended(None, "time" if late or os.waitstatus_to_exitcode(status) == -signal.SIGALRM else "memory")

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def _work(function: Callable[[Any], Any], job: Any, limits: Limits, writing: int) -> None:
    """Do the job, hand the result over, and be gone: nothing of the process that this one forked from is tidied up."""
    try:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        if limits.seconds < 1e8:
            signal.setitimer(signal.ITIMER_REAL, limits.seconds)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if limits.memory and sys.platform == "linux":
            import resource

            resource.setrlimit(resource.RLIMIT_DATA, (limits.memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            found: tuple[Any, str] = function(job), ""
        except MemoryError:
            found = None, "memory"
        except Exception as error:
            found = None, f"{type(error).__name__}: {error}"
        content = pickle.dumps(found)
        while content:
            content = content[os.write(writing, content) :]
        os._exit(0)
    except BaseException:
        os._exit(1)


def limited(function: Callable[[Job], Any], job: Job, limits: Limits) -> Ended:
    """One job in a process of its own; it waits for the end."""
    for _, found in in_processes(function, [job], 1, limits):
        return found
    raise AssertionError(job)


def in_processes(
    function: Callable[[Job], Any], jobs: Iterable[Job], workers: int, limits: Limits
) -> Iterator[tuple[Job, Ended]]:
    """Each job with what came of it, in the order in which they end, so many at a time.

    Whoever stops asking ends all that run.
    """
    if not hasattr(os, "fork"):
        # Where there is no fork a job is done here, and ends by itself.
        yield from ((job, Ended(function(job))) for job in jobs)
        return
    gc.freeze()
    left, running = iter(jobs), dict[int, tuple[_Child, Job]]()
    try:
        while True:
            while len(running) < workers and (job := next(left, None)) is not None:
                child = _Child(function, job, limits)
                running[child.reading] = child, job
            if not running:
                return
            wait = min(child.until for child, _ in running.values()) - time.monotonic()
            ready, _, _ = select.select([*running], [], [], max(0.0, min(wait, 3600.0)))
            over = [one for one in ready if running[one][0].read()]
            over += [one for one, (child, _) in running.items() if one not in over and time.monotonic() >= child.until]
            for one in over:
                child, job = running.pop(one)
                yield job, child.ended()
    finally:
        for child, _ in running.values():
            child.kill()
            os.close(child.reading)
            os.waitpid(child.pid, 0)


def processors() -> int:
    """How many processes can run at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
