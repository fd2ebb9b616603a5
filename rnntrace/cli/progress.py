"""A sign of life on stderr for work that takes over a second: a spinner with the time that went by.

Nothing is drawn where stderr is no terminal, and nothing is left of it when the result is written.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 1.0
"""Seconds before anything is drawn."""


class _Sign:
    """The one that may be on the screen, and the timer that will put it there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timer = threading.Timer(PATIENCE, self._start)
        self._timer.daemon = True
        self._drawn: Any = None
        self._over = False

    def wait(self) -> None:
        self._timer.start()

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        with self._lock:
            if not self._over:
                columns = SpinnerColumn(), TextColumn("working"), TimeElapsedColumn()
                self._drawn = Progress(*columns, console=Console(stderr=True), transient=True)
                self._drawn.add_task("")
                self._drawn.start()

    def stop(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._drawn is not None:
                self._drawn.stop()
                self._drawn = None


_current: _Sign | None = None


@contextmanager
def sign_of_life() -> Iterator[None]:
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


def clear() -> None:
    """Take the sign off the screen, for what is written now; it does not come again."""
    global _current
    if _current is not None:
        _current.stop()
        _current = None
