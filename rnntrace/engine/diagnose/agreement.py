"""How well values agree with those that somebody else gave, in as many digits as these have."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.digits import Digits
from rnntrace.engine.diagnose.mistake import Mistake, outputs_of, values_of
from rnntrace.engine.diagnose.sensitivity import SPREADS_OF_ALL, most_spreads, moved
from rnntrace.engine.judge.difference import difference
from rnntrace.engine.judge.tolerance import Tolerance
from rnntrace.model.dtypes import Array
from rnntrace.model.vocabulary import Name

HALF = 2.0**-10
"""From this eps on a module's own format has so few digits that rounding inside it shows."""
CLEARLY = 0.5
"""What explains a difference leaves at most this part of it, in the root mean square."""

Values = Mapping[Any, Array]
"""Arrays by such a name."""


@dataclass(frozen=True)
class Distance:
    """How far values are from those that were given: the largest difference, the root mean square, and whether they agree.

    Both are infinite where one side alone is not finite, or a shape is another one.
    """

    largest: float
    rms: float
    agrees: bool = False

    def explains(self, before: "Distance") -> bool:
        """Whether this agrees, and leaves clearly less than there was."""
        return self.agrees and self.is_clearly_less(before)

    def is_clearly_less(self, before: "Distance") -> bool:
        """Whether at most half of a difference is left."""
        return self.rms <= CLEARLY * before.rms and self.rms < np.inf


@dataclass(frozen=True)
class Target:
    """Values that were given, as float64, and how far others may be from each of them, and in the root mean square from all."""

    expected: Mapping[Name, NDArray[np.float64]]
    allowed: Mapping[Name, NDArray[np.float64]]
    rms: float = np.inf

    @classmethod
    def of(
        cls,
        case: Case,
        expected: Values,
        tolerance: Tolerance,
        digits: Digits | None = None,
        half_units: Values | None = None,
    ) -> "Target":
        """What values that somebody has computed from a case are judged by, who may have made a mistake.

        They may be off by the tolerance, and by their digits: half a unit of the last one, given by `half_units` or found, or
        what computing in a format does to values of this size in this network.
        """
        given = {name: values.astype(np.float64) for name, values in expected.items()}
        # What is infinite is not within tolerance of everything.
        allowed = {name: np.nan_to_num(tolerance.allowed(values)) for name, values in given.items()}
        for name, half_unit in (half_units or {}).items():
            allowed[name] = allowed[name] + half_unit
        fit = cls(given, allowed)
        own = case.spec.precision
        format = digits.format if digits and digits.format else own if own.eps >= HALF else None
        if digits and digits.unit:
            allowed = {name: values + digits.half_unit for name, values in allowed.items()}
        if not format:
            return cls(given, allowed)
        own_rms, spreads = _rms(allowed.values()), moved(case, format, lambda case: fit.values_of(case) or {})
        errors = []
        for name, values in given.items():
            spread = spreads.get(name, np.zeros(()))
            if is_final(name) and spread.ndim:
                spread = spread[max(len(spread) - len(values), 0) :]
            # Of another shape: somebody has stacked or summed them otherwise.
            spread = spread if spread.shape[:1] == values.shape[:1] else spread.max(initial=0.0)
            own_eps = np.nan_to_num(format.eps * np.abs(values))
            allowed[name] = allowed[name] + own_eps + most_spreads(format) * spread
            errors.append(np.hypot(own_eps / 2, spread))
        is_half = format.eps >= HALF
        return cls(given, allowed, own_rms + SPREADS_OF_ALL * _rms(errors) if is_half else np.inf)

    def values_of(self, case: Case, hypothesis: Sequence[Mistake] = ()) -> Values | None:
        """What somebody with these mistakes computes, as far as it was given; None if they cannot be made."""
        gates = any(not isinstance(name, str) for name in self.expected)
        return values_of(case, hypothesis) if gates else outputs_of(case, hypothesis)

    def part(self, names: Collection[Name], steps: int, items: int) -> "Target":
        """The first steps of sequences, and the first items of everything that is named."""

        def first(arrays: Mapping[Name, NDArray[np.float64]]) -> dict[Name, NDArray[np.float64]]:
            return {name: arrays[name][: None if is_final(name) else steps, :items] for name in names}

        return replace(self, expected=first(self.expected), allowed=first(self.allowed), rms=np.inf)

    def off(self, values: Values | None) -> Distance:
        """How far these are from what was given; they never agree if nothing of that is finite."""
        largest, square, count, agrees, finite = 0.0, 0.0, 0, bool(self.expected), False
        for name, expected in self.expected.items():
            found = None if values is None else values.get(name)
            if found is not None and is_final(name):
                # Of a stack, the states of the last layers may have been given alone.
                found = found[max(len(found) - len(expected), 0) :]
            if found is None or found.shape != expected.shape:
                return Distance(np.inf, np.inf)
            delta = difference(found, expected)
            if not np.isfinite(delta).all():
                # The same infinity, or NaN, on both sides is no difference.
                delta[(found == expected) | (np.isnan(found) & np.isnan(expected))] = 0.0
            worst = float(delta.max(initial=0.0))
            with np.errstate(over="ignore"):
                square += float(np.square(delta).sum())
            largest, count = max(largest, worst), count + delta.size
            agrees = agrees and worst < np.inf and bool((delta <= self.allowed[name]).all())
            finite = finite or bool(np.isfinite(expected).any())
        rms = float(np.sqrt(square / count)) if count else np.inf
        return Distance(largest, rms, agrees and finite and rms <= self.rms)

    @property
    def bits(self) -> float:
        """What an agreement says: how many bits of the values, of those that their size leaves open, are told by it."""
        found = 0.0
        for name, expected in self.expected.items():
            finite = expected[np.isfinite(expected)]
            size = float(np.sqrt(np.square(finite).mean())) if finite.size else 0.0
            with np.errstate(divide="ignore"):
                bits = np.log2(size / self.allowed[name][np.isfinite(expected)]) if size else np.zeros(())
            found += float(np.minimum(np.maximum(bits, 0.0), 64.0).sum())
        return found


def _rms(arrays: Iterable[NDArray[np.float64]]) -> float:
    """Of all values together."""
    squares = [np.square(array).ravel() for array in arrays]
    return float(np.sqrt(np.concatenate(squares).mean()))


def is_final(name: Name) -> bool:
    """Whether this is a final state, and not a sequence."""
    return isinstance(name, str) and name != "output"
