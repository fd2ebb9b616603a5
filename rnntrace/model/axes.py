"""The order of axes in which signals and outputs lie in a file, where it is another one than the module's own.

Sequences are x, the output, and gates and states at every step; a state at one step has the same order without time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from numpy.typing import NDArray

from rnntrace.errors import UsageError, show

TIME, BATCH, UNIT = INSIDE = ("time", "batch", "unit")
"""The words, in the order that everything has inside."""


@dataclass(frozen=True)
class Axes:
    """An order of axes: a permutation of time, batch and unit, or of time and unit for what has no batch."""

    order: tuple[str, ...]

    @classmethod
    def parse(cls, text: "str | Axes") -> "Axes":
        """From words with commas between them: "unit,batch,time". Raises UsageError."""
        if isinstance(text, Axes):
            return text
        order = tuple(word.strip().lower() for word in text.split(","))
        if sorted(order) not in (sorted(INSIDE), sorted((TIME, UNIT))):
            raise UsageError(
                f"`axes` names time, batch and unit in the order of the file, such as unit,batch,time, and not {show(text)!r}"
            )
        return cls(order)

    def __str__(self) -> str:
        return ",".join(self.order)

    def sequence(self, array: NDArray[Any]) -> NDArray[Any]:
        """A sequence in this order as (T, B, S), or as (T, S) where it has no axis of the batch; of another rank as it is."""
        return self._arranged(array, INSIDE if array.ndim == 3 else (TIME, UNIT), in_front=0)

    def mask(self, array: NDArray[Any]) -> NDArray[Any]:
        """What a sequence without its last axis in (T, B, S) would be, as (T, B); of another rank as it is."""
        return self._arranged(array, (TIME, BATCH), in_front=0)

    def state(self, array: NDArray[Any], *, unbatched: bool = False) -> NDArray[Any]:
        """A state at one step as (B, S), or (S,); an axis of layers and directions stays in front. Of another rank as it is."""
        return self._arranged(array, (UNIT,) if unbatched else (BATCH, UNIT), in_front=1)

    def _arranged(self, array: NDArray[Any], wanted: tuple[str, ...], in_front: int) -> NDArray[Any]:
        order = [word for word in self.order if word in wanted]
        front = array.ndim - len(wanted)
        if len(order) < len(wanted) or not 0 <= front <= in_front:
            return array
        return array.transpose(*range(front), *(front + order.index(word) for word in wanted))


def orders(rank: int) -> Iterator[Axes]:
    """Every order of a sequence of so many axes."""
    words = {2: (TIME, UNIT), 3: INSIDE}.get(rank, ())
    return map(Axes, permutations(words)) if words else iter(())
