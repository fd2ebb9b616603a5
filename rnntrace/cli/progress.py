"""Progress on stderr for work that takes over a second: a spinner with the time that went by.

Work that tells how far it is gets a bar, and the time that it will still take. Nothing is drawn where stderr is no terminal,
and nothing is left of it when the result is written.
"""

import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple

from rnntrace.errors import show

PATIENCE = 1.0
"""Seconds before anything is drawn."""
WIDEST, NARROWEST = 40, 4
"""Columns of the bar: no more, and none rather than fewer."""
WORKING = "working"
"""What is done, where nobody tells."""


class _Told(NamedTuple):
    """What is done, how much of it (NaN if nobody can tell), when that was told, and what was told first and when."""

    what: str
    done: float
    at: float
    first: float
    since: float

    def left(self, now: float) -> float:
        """Seconds that it will still take at the pace so far; infinite before there is one."""
        if not self.done > self.first:
            return math.inf
        return max((1 - self.done) * (self.at - self.since) / (self.done - self.first) - (now - self.at), 0.0)


class _Sign:
    """The one that may be on the screen, and the timer that will put it there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timer = threading.Timer(PATIENCE, self._start)
        self._timer.daemon = True
        self._drawn: Any = None
        self._over = False
        self._begun = monotonic()
        self._told = _Told(WORKING, math.nan, self._begun, math.nan, self._begun)

    def wait(self) -> None:
        self._timer.start()

    def tell(self, what: str, done: float) -> None:
        """Only noted, in one assignment, and so without a lock: the thread that draws reads it when it draws."""
        now, before = monotonic(), self._told
        if done >= 1:
            what, done = WORKING, math.nan
        # What goes back, or was not known before, is other work with a pace of its own.
        first, since = (before.first, before.since) if done >= before.done else (done, now)
        self._told = _Told(what, done, now, first, since)

    def _start(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        with self._lock:
            if not self._over:
                console = Console(stderr=True)
                spinner = Spinner("line" if console.options.ascii_only else "dots", style="progress.spinner")
                # What is printed to stdout is a result, and stays there.
                self._drawn = Live(
                    get_renderable=lambda: self._line(console, spinner),
                    console=console,
                    transient=True,
                    refresh_per_second=10,
                    redirect_stdout=False,
                )
                self._drawn.start()

    def _line(self, console: Any, spinner: Any) -> Any:
        """What is drawn now: the bar gives way in a narrow terminal, then the words."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        told, now = self._told, monotonic()
        known = not math.isnan(told.done)
        times = _clock(now - self._begun)
        if known:
            times = f"{int(100 * told.done):3}% {times}"
            if math.isfinite(left := told.left(now)):
                times += f", {_clock(left)} left"
        what = Text(show(told.what), overflow="crop" if console.options.ascii_only else "ellipsis", no_wrap=True)
        # Beside the bar stand the spinner, the words and the times, with a space behind each.
        room = min(console.width - 1 - sum(part + 1 for part in (1, what.cell_len, len(times))), WIDEST)
        bar = [ProgressBar(total=1.0, completed=told.done, width=room)] if known and room >= NARROWEST else []
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_row(spinner, what, *bar, Text(times, style="progress.elapsed", no_wrap=True))
        line.columns[1].max_width = max(console.width - len(times) - 4, 1)
        return line

    def stop(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._drawn is not None:
                self._drawn.stop()
                self._drawn = None


def _clock(seconds: float) -> str:
    """Minutes and seconds, 0:07, and hours if there are any, 1:00:07."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


_current: _Sign | None = None


@contextmanager
def showing_progress() -> Iterator[None]:
    """Around work that may take long."""
    global _current
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    _current = _Sign()
    _current.wait()
    try:
        yield
    finally:
        clear()


def tell(what: str, done: float) -> None:
    """Note how far work is: `done` goes from 0 to 1, and is NaN for work whose length is not known.

    At 1 it is over, and what follows is of unknown length again. Cheap, and may be called from any thread; where there is no
    sign it does nothing.
    """
    if (sign := _current) is not None:
        sign.tell(what, done)


def clear() -> None:
    """Take the sign off the screen, for what is written now; it does not come again."""
    global _current
    if _current is not None:
        _current.stop()
        _current = None
