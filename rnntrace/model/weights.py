"""Weights in one canonical shape, whatever file or framework they came from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnntrace.model.dtypes import Array
from rnntrace.model.spec import REVERSE

_PARTS = ("W_ih", "W_hh", "b_ih", "b_hh", "W_hr")


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one layer in one direction, a block per gate, in the order of `Cell.gates`.

    W_ih (G, H, I), W_hh (G, H, R), b_ih and b_hh (G, H) or None without biases, W_hr (R, H) or None without projection;
    R is the size of the hidden state.
    """

    W_ih: Array
    W_hh: Array
    b_ih: Array | None = None
    b_hh: Array | None = None
    W_hr: Array | None = None

    def astype(self, dtype: np.dtype[np.floating]) -> "LayerWeights":
        """The same weights in another numpy format."""
        return LayerWeights(**{name: array.astype(dtype, copy=False) for name, array in self.arrays.items()})

    @property
    def arrays(self) -> dict[str, Array]:
        """Those that there are, by name."""
        return {name: array for name in _PARTS if (array := getattr(self, name)) is not None}

    def by_gate(self, gates: Sequence[str]) -> Iterator[tuple[str, Array]]:
        """The block of each gate by its name in formulas: `W_if`, `W_hf`, `b_if`, `b_hf`, …, and last `W_hr`."""
        for position, gate in enumerate(gates):
            for name, blocks in self.arrays.items():
                if name != "W_hr":
                    yield name[:-1] + gate, blocks[position]
        if self.W_hr is not None:
            yield "W_hr", self.W_hr


@dataclass(frozen=True)
class Weights:
    """The weights of a module by (layer, direction)."""

    columns: dict[tuple[int, str], LayerWeights]

    def __getitem__(self, column: tuple[int, str]) -> LayerWeights:
        return self.columns[column]

    @property
    def arrays(self) -> Iterator[Array]:
        """Every array."""
        for column in self.columns.values():
            yield from column.arrays.values()

    def reversed(self) -> "Weights":
        """The same weights in the reverse direction, for a module that has one."""
        return Weights({(layer, REVERSE): weights for (layer, _), weights in self.columns.items()})

    def astype(self, dtype: np.dtype[np.floating]) -> "Weights":
        """The same weights in another numpy format; what is too large for it becomes infinite."""
        with np.errstate(over="ignore"):
            return Weights({column: weights.astype(dtype) for column, weights in self.columns.items()})
