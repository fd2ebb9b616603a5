"""Printed equations worked out again: every printed number stands for all those that are printed so."""

import math
import re
from dataclasses import dataclass

_NUMBER = r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?"


@dataclass(frozen=True)
class Interval:
    """The numbers from low to high."""

    low: float
    high: float

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(self.low + other.low, self.high + other.high)

    def __neg__(self) -> "Interval":
        return Interval(-self.high, -self.low)

    def __sub__(self, other: "Interval") -> "Interval":
        return self + -other

    def __mul__(self, other: "Interval") -> "Interval":
        corners = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(corners), max(corners))

    def holds(self, other: "Interval", slack: float) -> bool:
        """Whether both have a number in common, but for rounding in the format of the trace."""
        return self.low <= other.high + slack and other.low <= self.high + slack


def printed(text: str) -> Interval:
    """All numbers that are printed as this one; a whole number is meant as it stands."""
    mantissa, _, exponent = text.partition("e")
    _, point, decimals = mantissa.partition(".")
    half = 0.0 if not point and not exponent else 0.5 * 10.0 ** (int(exponent or 0) - len(decimals))
    return Interval(float(text) - half * (1 + 1e-9), float(text) + half * (1 + 1e-9))


def _monotone(function: object) -> object:
    return lambda argument: Interval(function(argument.low), function(argument.high))  # type: ignore[operator]


FUNCTIONS = {
    "σ": _monotone(lambda a: 0.0 if a < -700 else 1 / (1 + math.exp(-a))),
    "tanh": _monotone(math.tanh),
    "ReLU": _monotone(lambda a: max(0.0, a)),
}


def worked_out(text: str) -> Interval:
    """The value of `σ(0.31·0.50 - 0.2 + [… 5 terms: 0.1])`."""
    python = re.sub(r"\[… \d+ terms?: ([^]]*)\]", r"(\1)", text).replace("·", "*")
    python = re.sub(_NUMBER, lambda number: f"printed({number[0]!r})", python)
    found: Interval = eval(python, {"__builtins__": {}, "printed": printed, **FUNCTIONS})
    return found


def stages(text: str) -> list[str]:
    """The right sides of a derivation, numbers alone, each in one line."""
    whole = re.sub(r"\n +", " ", text)
    return [line.removeprefix("= ") for line in whole.split("\n")[1:]]
