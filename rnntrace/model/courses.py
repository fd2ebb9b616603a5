"""The words and the axes in which two well-known courses write what a module is fed and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from rnntrace.model.axes import Axes
from rnntrace.model.conventions import BY_NAME, COURSERA, CS231N
from rnntrace.model.dtypes import Array


@dataclass(frozen=True)
class Head:
    """What makes y of the hidden state h: softmax(W h + b), with W (n_y, H) and b (n_y,)."""

    W: Array
    b: Array

    def softmax(self, h: Array) -> Array:
        """y (T, B, n_y) of h (T, B, H), in float64."""
        with np.errstate(all="ignore"):
            z = h.astype(np.float64) @ self.W.astype(np.float64).T + self.b
            powers = np.exp(z - z.max(axis=2, keepdims=True))
            y: Array = powers / powers.sum(axis=2, keepdims=True)
        return y


@dataclass(frozen=True)
class Course:
    """A course's notation: what each word for an input or a result means, beside torch's own words, and the order of axes.

    `axes` are those of a sequence; a state, and all that belongs to one step, has them without time. `softmax` are words for
    what a head makes of the hidden state.
    """

    axes: Axes
    starts: Mapping[str, str]
    results: Mapping[str, str]
    softmax: frozenset[str] = field(default=frozenset())

    @property
    def words(self) -> frozenset[str]:
        """All of them."""
        return frozenset({*self.starts, *self.results, *self.softmax})

    def sequence(self, array: Array) -> Array:
        """A sequence, or one step of it, as (time, batch, unit)."""
        array = self.time_first(array)
        return array[None] if array.ndim == 2 else array

    def time_first(self, array: Array) -> Array:
        """A sequence as (time, batch, unit), and what has no time as (batch, unit); another array as it is."""
        return self.axes.state(array) if array.ndim == 2 else self.axes.sequence(array)


COURSES: Mapping[str, Course] = {
    CS231N: Course(
        Axes.parse(BY_NAME[CS231N].axes),
        {"x": "x", "prev_h": "h0", "prev_c": "c0", "h0": "h0", "c0": "c0"},
        {"h": "output", "next_h": "h_n", "next_c": "c_n"},
    ),
    COURSERA: Course(
        Axes.parse(BY_NAME[COURSERA].axes),
        {"x": "x", "xt": "x", "a0": "h0", "a_prev": "h0", "c0": "c0", "c_prev": "c0"},
        {"a": "output", "a_next": "h_n", "c_next": "c_n"},
        frozenset({"y", "y_pred", "yt_pred"}),
    ),
}
"""By framework."""
