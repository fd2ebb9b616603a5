"""One quantity of both sides, judged piece by piece: what is counted, how far apart the two are, and where first."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.quantities import OUTPUTS, Place, Quantity
from rnntrace.engine.tolerance import Tolerance
from rnntrace.engine.trace import Key
from rnntrace.model.dtypes import Array, Dtype, Flags
from rnntrace.model.spec import REVERSE
from rnntrace.model.windows import pieces, release


class Tally:
    """What is known of a quantity so far; it does not matter in which pieces, or in which order, its steps are added.

    `of` values were judged. `bad` are out of tolerance on the trajectory, `one_step_bad` in single steps, the first of these at
    `first_failure` as time runs in the direction. `largest` is the largest difference, -1 without any, and `worst` its place.
    """

    def __init__(self, name: str, layer: int, direction: str, tolerance: Tolerance, dtype: Dtype) -> None:
        self.name, self.layer, self.direction = name, layer, direction
        self.tolerance, self.dtype = tolerance, dtype
        self.of = self.bad = self.one_step_bad = self.both_not_finite = self.by_rounding = 0
        self.largest, self.one_step_largest, self.relative, self.scale = -1.0, 0.0, 0.0, 0.0
        self.identical = True
        self.worst: Place | None = None
        self.first_failure: Place | None = None

    @property
    def key(self) -> Key:
        """(layer, direction, name)."""
        return self.layer, self.direction, self.name

    @property
    def column(self) -> tuple[bool, int, str]:
        """What is searched together for the first failure: gates and states of a layer and direction, then each output."""
        return (self.name in OUTPUTS, self.layer, self.direction)

    @property
    def rank(self) -> int:
        """When the first failure happens, as time runs in this direction."""
        assert self.first_failure is not None
        return int(self._ranks(np.array(self.first_failure.t)))

    @property
    def in_eps(self) -> float:
        """The largest difference in units of the format's eps times the largest value."""
        if self.scale:
            return max(self.largest, 0.0) / (self.dtype.eps * self.scale)
        return np.inf if self.largest > 0 else 0.0

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
        valid = np.broadcast_to(True if piece.valid is None else piece.valid[..., None], framework.shape)
        bound = piece.bound
        # An infinite bound: part of a sum can be too large for the format. The framework may have lost the value there; where
        # it has not, sums of that size leave so much rounding.
        overflows = np.zeros((), bool) if bound is None else np.isposinf(bound)
        bound = bound if bound is None else np.where(overflows, self.dtype.eps * self.dtype.largest, bound)
        both_not_finite = ~np.isfinite(framework)
        if both_not_finite.any():
            both_not_finite &= valid & (~np.isfinite(one_step) | overflows)
        counted = valid & ~both_not_finite
        allowed = self.tolerance.allowed(framework, bound)
        delta, bad = _apart(replay, framework, allowed, counted)
        one_step_delta, one_step_bad = (delta, bad) if one_step is replay else _apart(one_step, framework, allowed, counted)
        if bound is not None:
            _, beyond_pair = _apart(one_step, framework, self.tolerance.allowed(framework), counted)
            self.by_rounding += int(np.count_nonzero(beyond_pair & ~one_step_bad))
        self.of += int(np.count_nonzero(counted))
        self.both_not_finite += int(np.count_nonzero(both_not_finite))
        self.bad += int(np.count_nonzero(bad))
        self.one_step_bad += int(np.count_nonzero(one_step_bad))
        self.identical = self.identical and replay[valid].tobytes() == framework[valid].tobytes()
        size = np.abs(framework)
        self.one_step_largest = _largest(one_step_delta, counted, self.one_step_largest)
        self.scale = _largest(size, counted, self.scale)
        with np.errstate(all="ignore"):
            ratio = np.divide(delta, size, out=np.zeros_like(delta), where=delta != 0)
        self.relative = _largest(ratio, counted, self.relative)

        def place(index: NDArray[np.int_], mine: Array) -> Place:
            row, item, unit = map(int, index)
            values = float(mine[row, item, unit]), float(framework[row, item, unit])
            return Place(self.layer, self.direction, self.name, int(piece.t[row, item]), item, unit, *values)

        largest = _largest(delta, counted, -1.0)
        if largest > self.largest or (self.worst and largest == self.largest and piece.t.min() < self.worst.t):
            self.worst = place(np.argwhere(counted & (delta == largest))[0], replay)
            self.largest = largest
        if one_step_bad.any():
            self._fail(piece, one_step_bad, lambda index: place(index, one_step))
        return bad

    def _fail(self, piece: Quantity, bad: Flags, place: Callable[[NDArray[np.int_]], Place]) -> None:
        """Keep the first place that is out, as time runs in this direction."""
        ranks = self._ranks(piece.t)
        first = int(ranks[bad.any(axis=2)].min())
        if self.first_failure is None or first < self.rank:
            self.first_failure = place(np.argwhere(bad & (ranks == first)[..., None])[0])

    def _ranks(self, t: NDArray[np.int_]) -> NDArray[np.int_]:
        """The times in the order in which they come."""
        return -t if self.direction == REVERSE else t


def _apart(
    replay: NDArray[np.float64], framework: NDArray[np.float64], allowed: NDArray[np.float64], counted: Flags
) -> tuple[NDArray[np.float64], Flags]:
    """|replay - framework|, and where it is out of tolerance; a value that is finite on one side only always is."""
    with np.errstate(invalid="ignore"):
        delta = np.abs(replay - framework)
        agree = delta <= allowed
    finite = np.isfinite(delta)
    if not finite.all():
        agree &= finite
        delta[np.isnan(delta)] = np.inf
    return delta, counted & ~agree


def _largest(values: NDArray[np.float64], counted: Flags, so_far: float) -> float:
    return float((values if counted.all() else values[counted]).max(initial=so_far))


def as_held(replay: Array, dtype: Dtype) -> NDArray[np.float64]:
    """The replay's values, infinite where they are too large for the framework's format: the replay's may be wider."""
    values = replay.astype(np.float64)
    if float(np.finfo(replay.dtype).max) > dtype.largest:
        values = np.where(np.abs(values) > dtype.largest, np.copysign(np.inf, values), values)
    return values
