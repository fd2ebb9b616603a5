"""Weights in one canonical shape, whatever file or framework they came from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnntrace.equations.cell import Cell
from rnntrace.equations.parameters import Role, find
from rnntrace.model.dtypes import Array, Dtype, rounded
from rnntrace.model.spec import REVERSE

_TORCH = ("W_ih", "W_hh", "b_ih", "b_hh", "W_hr")


@dataclass(frozen=True, init=False)
class LayerWeights:
    """The weights of one layer in one direction: an array for each parameter of the cell, by its name.

    A parameter with gates has a block for each, in their order: see `Parameter.shape`. Of a cell under torch's names these are
    W_ih (G, H, I), W_hh (G, H, R), b_ih and b_hh (G, H), and W_hr (R, H), which may also be given in this order. None stands
    for an array that is not there.
    """

    arrays: Mapping[str, Array]

    def __init__(self, *torch: Array | None, arrays: Mapping[str, Array] | None = None, **named: Array | None) -> None:
        given = {**(arrays or {}), **dict(zip(_TORCH, torch, strict=False)), **named}
        object.__setattr__(self, "arrays", {name: array for name, array in given.items() if array is not None})

    @property
    def W_ih(self) -> Array:
        """Torch's matrix on x, (G, H, I). Raises AttributeError in a cell that has none of this name."""
        return self._named("W_ih")

    @property
    def W_hh(self) -> Array:
        """Torch's matrix on h, (G, H, R). Raises AttributeError in a cell that has none of this name."""
        return self._named("W_hh")

    @property
    def b_ih(self) -> Array | None:
        """Torch's bias beside x, (G, H); None without biases."""
        return self.arrays.get("b_ih")

    @property
    def b_hh(self) -> Array | None:
        """Torch's bias beside h, (G, H); None without biases."""
        return self.arrays.get("b_hh")

    @property
    def W_hr(self) -> Array | None:
        """Torch's projection, (R, H); None without one."""
        return self.arrays.get("W_hr")

    def _named(self, name: str) -> Array:
        if name not in self.arrays:
            raise AttributeError(f"these weights hold {', '.join(self.arrays)} and no {name}: see .arrays")
        return self.arrays[name]

    def replaced(self, **arrays: Array | None) -> "LayerWeights":
        """The same with other arrays for some; None takes one away."""
        return LayerWeights(arrays=self.arrays, **arrays)

    def astype(self, dtype: np.dtype[np.floating]) -> "LayerWeights":
        """The same weights in another numpy format."""
        return LayerWeights(arrays={name: array.astype(dtype, copy=False) for name, array in self.arrays.items()})

    def block(self, cell: Cell, role: Role | None, gate: str = "") -> Array | None:
        """The block of the gate that plays this role, (H, ·) or (H,); None where there is none."""
        parameter = find(cell.parameters, role, gate)
        array = None if parameter is None else self.arrays.get(parameter.name)
        if parameter is None or array is None or not parameter.gates:
            return array
        block: Array = array[parameter.gates.index(gate)]
        return block

    def stack(self, cell: Cell, role: Role, gates: Sequence[str]) -> Array | None:
        """The blocks of these gates one above the other, (G, H, ·); zero where one has none, None where all have none."""
        parameter = find(cell.parameters, role, gates[0])
        if parameter is not None and set(gates) <= set(parameter.gates):
            array = self.arrays.get(parameter.name)
            if array is None or parameter.gates == tuple(gates):
                return array
            stacked: Array = array[[parameter.gates.index(gate) for gate in gates]]
            return stacked
        blocks = [self.block(cell, role, gate) for gate in gates]
        one = next((block for block in blocks if block is not None), None)
        if one is None:
            return None
        return np.stack([np.zeros_like(one) if block is None else block for block in blocks])

    def by_gate(self, cell: Cell) -> Iterator[tuple[str, Array]]:
        """The block of each gate by its name in formulas: `W_if`, `W_hf`, `b_if`, `b_hf`, …, and last those of no gate."""
        for gate in cell.gates:
            for parameter in cell.parameters:
                if gate in parameter.gates and parameter.name in self.arrays:
                    yield parameter.block(gate), self.arrays[parameter.name][parameter.gates.index(gate)]
        for parameter in cell.parameters:
            if not parameter.gates and parameter.name in self.arrays:
                yield parameter.name, self.arrays[parameter.name]


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

    def rounded(self, dtype: Dtype) -> "Weights":
        """The same weights as a number format holds them."""
        return Weights(
            {
                column: LayerWeights(arrays={name: rounded(array, dtype) for name, array in found.arrays.items()})
                for column, found in self.columns.items()
            }
        )

    def astype(self, dtype: np.dtype[np.floating]) -> "Weights":
        """The same weights in another numpy format; what is too large for it becomes infinite."""
        with np.errstate(over="ignore"):
            return Weights({column: weights.astype(dtype) for column, weights in self.columns.items()})
