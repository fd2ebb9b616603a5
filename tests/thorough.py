"""How much is tried: by default a part of what is large, and all of it with RNNTRACE_THOROUGH=1."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

THOROUGH = os.environ.get("RNNTRACE_THOROUGH", "") not in ("", "0")


def some(values: Iterable[Any], every: int) -> list[Any]:
    """Each so-manieth of the values, the first one among them; all of them if everything is tried."""
    return list(values)[:: 1 if THOROUGH else every]


def in_turn(rows: Iterable[tuple[Any, ...]], last: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Each row with one of `last` behind it, one after the other; with each of them if everything is tried."""
    if THOROUGH:
        return [(*row, value) for row in rows for value in last]
    return [(*row, last[number % len(last)]) for number, row in enumerate(rows)]
