"""What an exercise is: a module, its signals, what is handed in, and what that is worth."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from rnntrace.model.inputs import SignalRequest
from rnntrace.model.spec import ModuleSpec

GATES = "gates"
"""What [points] calls all gates together: its points are shared by those that the exercise names."""
LEVELS = ("verdict", "place", "mistake", "numbers")
"""How much feedback tells, each level what those before it tell too."""


@dataclass(frozen=True)
class Exercise:
    """An exercise as its file describes it.

    `request` are the signals without values: steps, batch, and which states start from random numbers. `required` and
    `optional` name what is handed in, with `decimals` places; numbers that are given out have `typed_decimals`. Mistakes that
    fit a pattern in `unseen` may go unseen. `worth` has the points of each quantity that earns any, `prices` what a mistake
    costs whose id fits a pattern, the first that fits. `loss` is that of a backward exercise. `texts` replace sentences of the
    feedback by their names. The secret from which everybody's numbers follow lies in the file `secret`.
    """

    title: str
    spec: ModuleSpec
    request: SignalRequest
    required: tuple[str, ...]
    optional: tuple[str, ...]
    unseen: tuple[str, ...]
    decimals: int
    typed_decimals: int
    worth: Mapping[str, float]
    prices: Mapping[str, float]
    first_error_only: bool
    feedback: str
    secret: Path
    backward: bool = False
    loss: str = "sum"
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def max_score(self) -> float:
        """The points of somebody who hands in everything, and right."""
        return total(self.worth.values())

    @property
    def half(self) -> float:
        """Half a unit of the last decimal."""
        return 0.5 * 10.0**-self.decimals

    @property
    def tolerance(self) -> str:
        """How values are judged, as `compare` calls it."""
        return f"decimals:{self.decimals}"

    def price(self, mistake: str) -> float | None:
        """What a mistake costs, above 0; None if the exercise does not say."""
        fitting = (cost for pattern, cost in self.prices.items() if fnmatchcase(mistake, pattern))
        return next(fitting, None)

    @property
    def rule(self) -> tuple[str, ...]:
        """How points are given, in lines that are printed beside them."""
        lines = [", ".join(f"{name} {points(worth)}" for name, worth in self.worth.items() if name in self.required)]
        if bonus := [f"{name} {points(worth)}" for name, worth in self.worth.items() if name in self.optional]:
            lines.append(f"if handed in: {', '.join(bonus)}")
        lines.append(f"judged to {self.decimals} decimals")
        if self.first_error_only and not self.backward:
            lines.append("a value that follows rightly from a wrong one before it is not counted as wrong again")
        lines += [
            f"a named mistake {pattern} costs {points(cost)} in place of the wrong values"
            for pattern, cost in self.prices.items()
        ]
        return tuple(filter(None, lines))


def total(scores: Iterable[float]) -> float:
    """A sum of points: thirds of a point add up to whole ones."""
    return round(math.fsum(scores), 9)


def points(number: float) -> str:
    """Points as they are printed: 6, 2.5, 0.333."""
    return f"{number:.3f}".rstrip("0").rstrip(".") if number else "0"
