"""Finite differences: gradients found by moving each number a little either way, for what no framework differentiates."""

from collections.abc import Callable, Mapping

import numpy as np

from rnntrace.engine.replay.replay import replay
from rnntrace.model.backward import BackwardObservation
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

STEP = 6e-6
"""About the cube root of eps in float64: as much is lost to rounding as to the curve."""
MOST = 2**21
"""Numbers that are moved, times steps, items and units: seconds."""


def by_differences(
    spec: ModuleSpec, weights: Weights, inputs: Inputs, loss: Mapping[str, Array], truncate: int | None = None
) -> BackwardObservation:
    """Central differences in float64 of Σ loss · output, by every parameter, x and initial state.

    There are none where that would take long.
    """
    own = weights.astype(np.dtype(np.float64))
    signals = {name: array.astype(np.float64) for name, array in inputs.signals.items()}
    moved = sum(array.size for array in (*own.arrays, *signals.values()))
    if truncate is not None and truncate < inputs.steps:
        return BackwardObservation.of_nothing("finite differences go back over every step: leave `truncate` out")
    if moved * inputs.steps * inputs.batch * spec.hidden_size * len(spec.layer_directions) > MOST:
        return BackwardObservation.of_nothing(f"finite differences of {moved:,} numbers take too long: use a smaller module")

    def value() -> float:
        states = {name[:-1]: array for name, array in signals.items() if name != "x"}
        fed = Inputs(signals["x"], states=states, lengths=inputs.lengths, mask=inputs.mask)
        outputs = replay(spec, own, fed, dtype=np.dtype(np.float64)).outputs
        return float(sum(np.vdot(outputs[name], gradient.astype(np.float64)) for name, gradient in loss.items()))

    parameters = Weights(
        {
            column: LayerWeights(arrays={name: _slopes(array, value) for name, array in found.arrays.items()})
            for column, found in own.columns.items()
        }
    )
    found = {name: _slopes(array, value) for name, array in signals.items()}
    return BackwardObservation("finite differences", "", "float64", parameters, found, not_captured="of sums alone")


def _slopes(array: Array, value: Callable[[], float]) -> Array:
    """The slope of a value by each number of an array that it is computed from, which is moved in place and put back."""
    slopes = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        here = array[index]
        apart = STEP * max(1.0, abs(float(here)))
        array[index] = here + apart
        above = value()
        array[index] = here - apart
        slopes[index] = (above - value()) / (2 * apart)
        array[index] = here
    return slopes
