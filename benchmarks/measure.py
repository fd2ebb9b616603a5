"""Ratios of CPU time, taken in turns: a busy machine slows both sides alike. Import this before numpy and torch."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
# A kernel for another processor would halve numpy's products: OpenBLAS chooses by itself.
os.environ.pop("OPENBLAS_CORETYPE", None)


LONG = 0.02
"""Seconds of a call that is clocked by itself."""


@dataclass(frozen=True)
class Figure:
    """One line of a table: medians in milliseconds of CPU time, the median of the ratios of pairs, and what was aimed at."""

    work: str
    size: str
    peer: str
    ours_ms: float
    peer_ms: float
    ratio: float
    target: float | None = None


def clock(work: Callable[[], object]) -> float:
    """Milliseconds of CPU time of a call, of many if it is short."""
    start = time.process_time()
    work()
    once = time.process_time() - start
    if once > LONG:
        return 1e3 * once
    calls = max(1, int(5e-3 / max(once, 1e-6)))
    start = time.process_time()
    for _ in range(calls):
        work()
    return 1e3 * (time.process_time() - start) / calls


def process(*arguments: str) -> Callable[[], float]:
    """Milliseconds of CPU time of a Python of its own."""

    def run() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    return run


def in_turns(
    work: str, size: str, peer: str, ours: Callable[[], float], theirs: Callable[[], float], target: float | None, pairs: int
) -> Figure:
    """A figure from so many pairs of clocked calls, after one warm-up of each."""
    ours(), theirs()
    times = [(ours(), theirs()) for _ in range(pairs)]
    mine, other = (median(column) for column in zip(*times, strict=True))
    return Figure(work, size, peer, mine, other, median(a / b for a, b in times), target)


def table(figures: Sequence[Figure]) -> str:
    """The figures in Markdown."""
    lines = ["| work | size | peer | rnntrace, ms | peer, ms | ratio | target |", "|---|---|---|---|---|---|---|"]
    for each in figures:
        target = "" if each.target is None else f"{each.target:g}"
        times = f"{each.ours_ms:.2f} | {each.peer_ms:.2f}"
        lines.append(f"| {each.work} | {each.size} | {each.peer} | {times} | {each.ratio:.2f} | {target} |")
    return "\n".join(lines)
