"""What part of a trace is told: by layer, time, unit, item and kind of quantity."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import UsageError
from rnntrace.model.dtypes import Flags
from rnntrace.model.spec import REVERSE, ModuleSpec

PARTS = ("gates", "states", "terms", "weights", "outputs")
HEAT = "heat"
"""Gates and states as coloured cells: another way to see them, so that `all` does not hold it."""


@dataclass(frozen=True)
class View:
    """The selection; None stands for everything. `times` are t from 0 to T, all others count from 0."""

    parts: frozenset[str] = frozenset({"gates", "states"})
    layers: Sequence[int] | None = None
    times: Sequence[int] | None = None
    units: Sequence[int] | None = None
    items: Sequence[int] | None = None


def parse_parts(text: str) -> frozenset[str]:
    """Parts from `gates,states`, or all of them from `all`. Raises UsageError for any other word."""
    words = {word.strip() for word in text.split(",")}
    if "all" in words:
        return frozenset(PARTS) | (words & {HEAT})
    for word in words - {*PARTS, HEAT}:
        raise UsageError(f"unknown part {word!r} in `show`: choose from {', '.join(PARTS)}, all, {HEAT}")
    return frozenset(words)


def parse_view(
    parts: str,
    spec: ModuleSpec,
    steps: int,
    batch: int,
    *,
    layer: str | None = None,
    time: str | None = None,
    unit: str | None = None,
    item: str | None = None,
) -> View:
    """The view that the flags of these names ask for, of so many steps and items. Raises UsageError."""
    return View(
        parse_parts(parts),
        parse_range(layer, "`layer`", 0, spec.num_layers - 1),
        parse_range(time, "`time`", 0, steps),
        parse_range(unit, "`unit`", 0, spec.hidden_size - 1),
        parse_range(item, "`item`", 0, batch - 1),
    )


def parse_range(text: str | None, option: str, first: int, last: int) -> Sequence[int] | None:
    """Numbers from `3`, `1,3`, `2:4` (both ends included), `2:` or `:4`, each between first and last. Raises UsageError."""
    if text is None:
        return None
    chosen: list[range] = []
    for part in text.split(","):
        start, colon, end = part.partition(":")
        try:
            low = int(start) if start.strip() or not colon else first
            high = (int(end) if end.strip() else last) if colon else low
        except ValueError:
            raise UsageError(f"{option} should be a number, 1,3 or 2:4, not {text!r}") from None
        if not first <= low <= high <= last:
            raise UsageError(f"{option} {part} is out of range: there are {first} to {last}")
        chosen.append(range(low, high + 1))
    # A range alone stays one: it may hold a million times.
    return chosen[0] if len(chosen) == 1 else sorted({number for part in chosen for number in part})


def selected(number: int, chosen: Sequence[int] | None) -> bool:
    """Whether a view that chooses these has this number; None chooses all."""
    return chosen is None or number in chosen


def are_selected(numbers: NDArray[np.int_], chosen: Sequence[int] | None) -> Flags:
    """For each of the numbers whether a view that chooses these has it; None chooses all."""
    return np.ones(numbers.shape, bool) if chosen is None else np.isin(numbers, np.asarray(chosen))


def numbers_in(chosen: Sequence[int] | None, among: NDArray[np.int_]) -> NDArray[np.int_]:
    """Those among the numbers that a view that chooses these has."""
    return among[are_selected(among, chosen)]


def times_in_view(view: View, direction: str, last: int) -> NDArray[np.int_]:
    """The selected times from 0 to `last`; 0 stands where its direction starts, before t = 1 or behind the last step."""
    times = np.arange(last + 1)
    return numbers_in(view.times, np.roll(times, -1) if direction == REVERSE else times)
