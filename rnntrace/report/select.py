"""What part of a trace is told: by layer, time, unit, item and kind of quantity."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnntrace.model.dtypes import Flags
from rnntrace.model.spec import REVERSE

PARTS = ("input", "gates", "states", "terms", "weights", "outputs")
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
