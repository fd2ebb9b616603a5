"""One quantity of both sides, judged piece by piece: what is counted, how far apart the two are, and where first."""

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.judge.difference import difference
from rnntrace.engine.judge.evidence import Evidence
from rnntrace.engine.judge.pairing import Place, Quantity
from rnntrace.engine.judge.tolerance import TORCH_TOLERANCES, Tolerance, with_digits
from rnntrace.model.dtypes import Array, Dtype, Flags
from rnntrace.model.keys import Key
from rnntrace.model.spec import REVERSE
from rnntrace.model.vocabulary import is_output, output_rank
from rnntrace.model.windows import pieces, release

AnyArray = TypeVar("AnyArray", NDArray[np.float64], Flags)


class First:
    """The first place that is out, as time runs."""

    def __init__(self, backwards: bool) -> None:
        self.backwards = backwards
        self.place: Place | None = None

    @property
    def rank(self) -> int:
        """When that is, counted in the order in which times come."""
        assert self.place is not None
        return -self.place.t if self.backwards else self.place.t

    def named(self, name: str) -> "First":
        """The same in a quantity of this name."""
        twin = copy(self)
        twin.place = self.place and replace(self.place, symbol=name)
        return twin

    def add(self, t: NDArray[np.int_], bad: Flags, place: Callable[[Iterable[np.intp]], Place]) -> None:
        """Keep the first of the places (T, B, ·) that are bad, if it comes before what is known."""
        if bad.any():
            ranks = -t if self.backwards else t
            first = int(ranks[bad.any(axis=2)].min())
            if self.place is None or first < self.rank:
                self.place = place(np.argwhere(bad & (ranks == first)[..., None])[0])


class Tally:
    """What is known of a quantity so far; it does not matter in which pieces, or in which order, its steps are added.

    `of` values were judged. `bad` are out of tolerance on the trajectory, first at `trajectory`, and `one_step_bad` in single
    steps, first at `step`; `unexplained` is where a single step is first further off than rounding alone explains. Of those
    that agree, `by_rounding` do so by the bound on rounding alone, and `by_digits` by the digits that were typed alone, which
    are so many `decimals`. `largest` is the largest difference, -1 without any, and `worst` its place. Time runs `backwards` in
    the reverse direction, and the other way round for gradients.
    """

    def __init__(
        self, layer: int, direction: str, name: str, tolerance: Tolerance, dtype: Dtype, *, backwards: bool | None = None
    ) -> None:
        self.name, self.layer, self.direction = name, layer, direction
        self.tolerance, self.dtype = tolerance, dtype
        self.of = self.bad = self.one_step_bad = self.both_not_finite = self.by_rounding = self.by_digits = 0
        self.largest, self.one_step_largest, self.relative, self.scale = -1.0, 0.0, 0.0, 0.0
        self.identical, self.bounded = True, False
        self.decimals: int | None = None
        self.worst: Place | None = None
        backwards = direction == REVERSE if backwards is None else backwards
        self.step, self.trajectory, self.unexplained = First(backwards), First(backwards), First(backwards)
        self.evidence = Evidence(dtype)

    @property
    def key(self) -> Key:
        """(layer, direction, name)."""
        return self.layer, self.direction, self.name

    @property
    def column(self) -> tuple[bool, int, str]:
        """What is searched together for the first failure: gates and states of a layer and direction, then each output."""
        return (is_output(self.name), self.layer, self.direction)

    @property
    def in_eps(self) -> float:
        """The largest difference in units of the format's eps times the largest value."""
        if self.scale:
            return max(self.largest, 0.0) / (self.dtype.eps * self.scale)
        return np.inf if self.largest > 0 else 0.0

    def named(self, name: str) -> "Tally":
        """The same of a quantity that has these values too."""
        twin = copy(self)
        twin.name = name
        twin.step, twin.trajectory, twin.unexplained = (
            first.named(name) for first in (self.step, self.trajectory, self.unexplained)
        )
        twin.worst = self.worst and replace(self.worst, symbol=name)
        return twin

    def add(self, quantity: Quantity) -> Flags:
        """Judge some more steps; where they are out of tolerance on the trajectory. Raises ValueError if shapes differ."""
        shape = quantity.framework.shape
        if not quantity.replay.shape == quantity.one_step.shape == shape:
            raise ValueError(f"{quantity.name}: replay {quantity.replay.shape} and framework {shape} differ in shape")
        out = np.zeros(shape, bool)
        for rows in pieces(shape):
            bad = self._add(quantity.part(rows))
            # Zeros that nobody writes to take no memory.
            if bad.any():
                out[rows] = bad
            release(quantity.replay, quantity.one_step, quantity.framework)
        return out

    def _add(self, piece: Quantity) -> Flags:
        replay, framework = as_held(piece.replay, self.dtype), piece.framework.astype(np.float64)
        one_step = replay if piece.one_step is piece.replay else as_held(piece.one_step, self.dtype)
        delta = difference(replay, framework)
        one_step_delta = delta if one_step is replay else difference(one_step, framework)
        bound = piece.bound
        # An infinite bound: part of a sum can be too large for the format. The framework may have lost the value there; where
        # it has not, sums of that size leave so much rounding.
        overflows = np.zeros((), bool) if bound is None else np.isposinf(bound)
        bound = bound if bound is None else np.where(overflows, self.dtype.eps * self.dtype.largest, bound)
        largest = max(float(delta.max(initial=0.0)), float(one_step_delta.max(initial=0.0)))
        # Most pieces have nothing that is not finite, and steps that all exist: every value is counted.
        counted: Flags | None = None
        if piece.valid is not None or largest == np.inf:
            valid = np.broadcast_to(True if piece.valid is None else piece.valid[..., None], framework.shape)
            both_not_finite = valid & ~np.isfinite(framework) & (~np.isfinite(one_step) | overflows)
            self.both_not_finite += int(np.count_nonzero(both_not_finite))
            counted = valid & ~both_not_finite

        def of(values: AnyArray) -> AnyArray:
            """Those that count."""
            return values if counted is None else values[counted]

        def out(apart: NDArray[np.float64], allowed: Array) -> Flags:
            """Where that is further apart than is allowed; a value that is finite on one side only never agrees."""
            found = ~(apart <= allowed) if largest < np.inf else ~((apart <= allowed) & (apart < np.inf))
            return found if counted is None else found & counted

        def place(index: Iterable[np.intp], mine: Array) -> Place:
            row, item, unit = map(int, index)
            values = float(mine[row, item, unit]), float(framework[row, item, unit])
            return Place(self.layer, self.direction, self.name, int(piece.t[row, item]), item, unit, *values)

        # What is allowed without any bound, with it, and with the digits that were typed.
        pair = self.tolerance.allowed(framework)
        wide = allowed = pair if bound is None else self.tolerance.allowed(framework, bound)
        if piece.half_unit is not None:
            allowed = with_digits(wide, piece.half_unit, piece.carried)
        bad = out(delta, allowed)
        one_step_bad = bad if one_step is replay else out(one_step_delta, allowed)
        # A value that agrees within the format's own pair proves as much, however wide its bound is.
        near = TORCH_TOLERANCES[self.dtype.name].allowed(framework) if self.tolerance.kind == "rounding" else pair
        needed = allowed if allowed is near else np.where(out(one_step_delta, near), allowed, np.minimum(near, allowed))
        if bound is not None:
            self.bounded = True
            self.by_rounding += int(np.count_nonzero(out(one_step_delta, pair) & ~out(one_step_delta, wide)))
            self.unexplained.add(piece.t, out(one_step_delta, bound), lambda index: place(index, one_step))
        if piece.half_unit is not None:
            self.by_digits += int(np.count_nonzero(out(one_step_delta, wide) & ~one_step_bad))
            self.decimals = max(self.decimals or 0, _decimals(piece.half_unit))
        self.of += framework.size if counted is None else int(np.count_nonzero(counted))
        self.bad += int(np.count_nonzero(bad))
        self.one_step_bad += int(np.count_nonzero(one_step_bad))
        self.identical = self.identical and _same_bits(replay, framework, piece.valid)
        self.evidence.add(one_step, one_step_delta, needed, counted)
        size = np.abs(framework)
        self.one_step_largest = float(of(one_step_delta).max(initial=self.one_step_largest))
        self.scale = float(of(size).max(initial=self.scale))
        self.relative = float(of(_ratio(delta, size)).max(initial=self.relative))
        largest = float(of(delta).max(initial=-1.0))
        if largest > self.largest or (self.worst and largest == self.largest and piece.t.min() < self.worst.t):
            here = delta if counted is None else np.where(counted, delta, -1.0)
            self.worst = place(np.unravel_index(here.argmax(), here.shape), replay)
            self.largest = largest
        self.trajectory.add(piece.t, bad, lambda index: place(index, replay))
        self.step.add(piece.t, one_step_bad, lambda index: place(index, one_step))
        return bad


class Tallies:
    """The tallies of a comparison by (layer, direction, name).

    `steps` are those of the sequence; `out` collects the flags of what is out of tolerance, in its arrays where it has any.
    """

    def __init__(self, tolerance: Tolerance, dtype: Dtype, steps: int, out: Mapping[Key, Flags] | None = None) -> None:
        self.tolerance, self.dtype, self.steps = tolerance, dtype, steps
        self.out: dict[Key, Flags] = dict(out or {})
        self._found: dict[Key, Tally] = {}
        # Zeros that nobody writes to take no memory, and neither are they read.
        self._written = set(self.out)
        self._last: Quantity | None = None
        # What has the same arrays as another quantity, and which: they are read once.
        self._twins: dict[Key, Key] = {}

    def add(self, steps: slice | None, quantities: Iterable[Quantity]) -> None:
        """Judge some quantities in these steps, or None for those that have none."""
        for quantity in quantities:
            if self._last is not None and quantity.is_same(self._last):
                self._twins[quantity.key] = self._last.key
                continue
            self._last = quantity
            tally = self._found.get(quantity.key)
            if tally is None:
                tally = self._found[quantity.key] = Tally(*quantity.key, self.tolerance, self.dtype)
            flags = tally.add(quantity)
            if steps is None or (len(flags) == self.steps and quantity.key not in self.out):
                self.out[quantity.key] = flags
                continue
            if quantity.key not in self.out:
                self.out[quantity.key] = np.zeros((self.steps, *flags.shape[1:]), bool)
            if flags.any() or quantity.key in self._written:
                self._written.add(quantity.key)
                self.out[quantity.key][steps] = flags

    @property
    def in_order(self) -> list[Tally]:
        """In the order of computation, outputs behind all else."""
        twins = {key: self._found[other].named(key[2]) for key, other in self._twins.items()}
        self.out |= {key: self.out[other] for key, other in self._twins.items()}
        found = [*self._found.values(), *twins.values()]
        return sorted(found, key=lambda tally: output_rank(tally.name))


def _ratio(delta: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """delta / size, and 0 where there is no difference."""
    with np.errstate(all="ignore"):
        ratio: NDArray[np.float64] = delta / size
    # A maximum is quicker than a look at each value, and is NaN if one of them is.
    if ratio.size and np.isnan(ratio.max()):
        ratio[delta == 0] = 0.0
    return ratio


def _same_bits(mine: NDArray[np.float64], theirs: NDArray[np.float64], valid: Flags | None) -> bool:
    """Whether two sides are the same, the sign of 0 and the bits of NaN too, at the steps that exist."""
    one, other = (np.ascontiguousarray(side if valid is None else side[valid]).view(np.int64) for side in (mine, theirs))
    return np.array_equal(one, other)


def _decimals(half_units: Array) -> int:
    """The number of decimals to which the finest value was typed."""
    finest = float(half_units.min(initial=np.inf))
    return round(-np.log10(2 * finest)) if 0 < finest < np.inf else 0


def as_held(replay: Array, dtype: Dtype) -> NDArray[np.float64]:
    """The replay's values, infinite where they are too large for the framework's format: the replay's may be wider."""
    values = replay.astype(np.float64)
    if float(np.finfo(replay.dtype).max) > dtype.largest:
        values = np.where(np.abs(values) > dtype.largest, np.copysign(np.inf, values), values)
    return values
