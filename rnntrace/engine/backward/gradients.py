"""Gradients: what a loss changes by with every gate, state, parameter and input of a module."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from rnntrace.equations.adjoint import gradient, pre_activation
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import Key, LayerDirection
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights


@dataclass(frozen=True, repr=False)
class Gradients:
    """∂L/∂ of everything, of one loss L, summed over its items.

    `columns` are those of each step, (layer, direction, symbol) → (T, B, ·), in input-time order: symbols are those of the
    `adjoint`. Steps that do not exist are NaN. `parameters` are in the shapes of the weights, `signals` those of x (T, B, I)
    and of the initial states by name, h0 (L·D, B, R), c0 (L·D, B, H). `entering` is what comes to each layer and direction from
    outside or from the layer above, (T, B, R). `bounds` say of each what rounding can do to it.
    """

    spec: ModuleSpec
    columns: Mapping[Key, Array]
    parameters: Weights
    signals: Mapping[str, Array]
    entering: Mapping[LayerDirection, Array] = field(default_factory=dict)
    bounds: "Gradients | None" = None

    def of(self, symbol: str, layer: int = 0, direction: str = "") -> Array:
        """∂L/∂ of a gate or state, (T, B, ·)."""
        return self.columns[layer, direction or self.spec.directions[0], gradient(symbol)]

    def before_activation(self, symbol: str, layer: int = 0, direction: str = "") -> Array:
        """∂L/∂ of what a gate's activation is taken of, (T, B, H)."""
        return self.columns[layer, direction or self.spec.directions[0], pre_activation(symbol)]

    def steps(self, layer: int, direction: str) -> dict[str, Array]:
        """All those of the steps of one layer and direction, by symbol of the adjoint."""
        return {symbol: array for (*of, symbol), array in self.columns.items() if (*of,) == (layer, direction)}

    def norms(self, symbol: str, layer: int = 0, direction: str = "") -> Array:
        """‖∂L/∂ of a gate or state‖ at each step, over all items and units: (T,)."""
        values = np.nan_to_num(self.of(symbol, layer, direction).astype(np.float64))
        found: Array = np.sqrt((values * values).sum(axis=(1, 2)))
        return found
