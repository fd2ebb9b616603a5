"""Signals of one run: as a user asks for them, and as they are, time-major and batched.

x is (T, B, I), h0 (L·D, B, R), c0 and other states (L·D, B, H), with L layers, D directions and R the size of the hidden state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rnntrace.model import masks
from rnntrace.model.dtypes import Array, Dtype, Flags, rounded
from rnntrace.model.windows import pieces, release

State = Array | Literal["zeros", "random"]
"""An initial state as a user asks for it; an array is in the module's own layout."""


@dataclass(frozen=True, init=False)
class Inputs:
    """Signals of one run: x (T, B, I), the states at t = 0 by symbol, (L·D, B, ·), lengths (B,) or None if all are T.

    A `mask` (T, B) is False at steps that are left out, where a layer hands its states on; where it is given, lengths are not.
    h0 (L·D, B, R) and c0 (L·D, B, H) can be given by themselves, and go before those of the same symbol in `states`.
    """

    x: Array
    states: Mapping[str, Array]
    lengths: tuple[int, ...] | None
    unbatched: bool
    mask: Flags | None

    def __init__(
        self,
        x: Array,
        h0: Array | None = None,
        c0: Array | None = None,
        lengths: tuple[int, ...] | None = None,
        unbatched: bool = False,
        *,
        states: Mapping[str, Array] | None = None,
        mask: Flags | None = None,
    ) -> None:
        named = {state: array for state, array in (("h", h0), ("c", c0)) if array is not None}
        _set(self, x=x, states={**(states or {}), **named}, lengths=lengths, unbatched=unbatched, mask=mask)

    @property
    def h0(self) -> Array:
        """Of the hidden state h. KeyError for a cell that has none."""
        return self.states["h"]

    @property
    def c0(self) -> Array | None:
        """Of the cell state c, if there is one."""
        return self.states.get("c")

    @property
    def signals(self) -> dict[str, Array]:
        """x and the initial states by name: x, h0, c0, …."""
        return {"x": self.x, **{f"{state}0": array for state, array in self.states.items()}}

    @property
    def steps(self) -> int:
        """T."""
        return int(self.x.shape[0])

    @property
    def batch(self) -> int:
        """B."""
        return int(self.x.shape[1])

    @property
    def valid(self) -> Flags | None:
        """(T, B): whether step t counts for an item; None where no sequence is padded, and nothing masked."""
        if self.lengths is None:
            return self.mask
        return masks.of_lengths(self.lengths, self.steps)

    @property
    def ends(self) -> NDArray[np.int_]:
        """(B,): the t of each item's last step that counts, 0 if none does."""
        if self.mask is None:
            return np.asarray(self.lengths or (self.steps,) * self.batch)
        last: NDArray[np.int_] = masks.latest(self.mask)[-1] + 1
        return last

    def counted(self, item: int) -> NDArray[np.int_]:
        """The t of every step of an item that counts."""
        t = np.arange(1, self.steps + 1)
        return t if self.valid is None else t[self.valid[:, item]]

    def initial(self, state: str) -> Array:
        """A state at t = 0 by its symbol."""
        return self.states[state]

    def rounded(self, dtype: Dtype) -> "Inputs":
        """The inputs as a number format holds them, as a framework sees them."""
        states = {state: rounded(array, dtype) for state, array in self.states.items()}
        return replace(self, x=rounded(self.x, dtype), states=states)

    @property
    def not_finite(self) -> tuple[str, ...]:
        """Names of the signals that hold NaN or infinity, at steps that count."""
        return tuple(name for name, array in self.signals.items() if not self._is_finite(name, array))

    def _is_finite(self, name: str, array: Array) -> bool:
        valid = self.valid if name == "x" else None
        for rows in pieces(array.shape):
            part = array[rows] if valid is None else array[rows][valid[rows]]
            if not np.isfinite(part).all():
                return False
            release(array)
        return True


@dataclass(frozen=True, init=False)
class SignalRequest:
    """The signals a user asks for; an x that is not given is drawn. Arrays are in the module's own layout.

    `states` are the initial ones by symbol, zeros where nothing is said; h0 and c0 are as in `Inputs`. A `mask` of 0 and 1
    is laid out as x without its last axis, and 0 where a step is left out.
    """

    steps: int
    batch: int
    unbatched: bool
    x: Array | None
    lengths: tuple[int, ...] | None
    states: Mapping[str, State]
    mask: Array | None

    def __init__(
        self,
        *,
        steps: int = 4,
        batch: int = 1,
        unbatched: bool = False,
        x: Array | None = None,
        h0: State = "zeros",
        c0: State = "zeros",
        lengths: tuple[int, ...] | None = None,
        states: Mapping[str, State] | None = None,
        mask: Array | None = None,
    ) -> None:
        named = {state: wanted for state, wanted in (("h", h0), ("c", c0)) if not _is_word(wanted, "zeros")}
        states = {**(states or {}), **named}
        _set(self, steps=steps, batch=batch, unbatched=unbatched, x=x, lengths=lengths, states=states, mask=mask)

    @property
    def h0(self) -> State:
        """Of the hidden state h."""
        return self.states.get("h", "zeros")

    @property
    def c0(self) -> State:
        """Of the cell state c."""
        return self.states.get("c", "zeros")

    @property
    def draws(self) -> bool:
        """Whether anything of it has to be drawn."""
        return self.x is None or any(_is_word(state, "random") for state in self.states.values())


def _is_word(state: State, word: str) -> bool:
    return isinstance(state, str) and state == word


def _set(instance: Any, **values: Any) -> None:
    """The fields of a frozen dataclass, once."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)
