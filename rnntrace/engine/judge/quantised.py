"""What a quantised module leaves open: its weights are exact, and what they multiply is rounded to a few levels at each step.

Between its smallest and largest value, 0 among them, an activation has `levels` + 1 places, and they are moved so that 0 is one
of them: it is off by one step at most. W times that bounds each sum, as if it were a bound on the bias.
aten/src/ATen/native/quantized/cpu/QuantUtils.h (ChooseQuantizationParams); ONNX' DynamicQuantizeLinear is the same.
"""

import numpy as np

from rnntrace.engine.judge.rounding import Typed
from rnntrace.engine.replay.trace import Trace
from rnntrace.model.dtypes import Array
from rnntrace.model.weights import LayerWeights, Weights

MARGIN = 1.1
"""How much wider the ranges may be than those of the replay, which rounds nothing."""


def left_open(trace: Trace, weights: Weights, levels: int) -> tuple[Typed, float]:
    """What rounding activations leaves open in every sum, as half units of the biases b_ih and b_hh; the largest step of h."""
    spec, found, largest = trace.spec, {}, 0.0
    for layer, direction in spec.layer_directions:
        own = weights[layer, direction]
        below = [trace.inputs.x] if layer == 0 else [trace["h", layer - 1, other] for other in spec.directions]
        h = [trace["h", layer, direction], trace.initial("h", layer, direction)]
        largest = max(largest, of_h := _step(h, levels))
        exact = {name: np.zeros(array.shape) for name, array in own.arrays.items()}
        biases = {
            "b_ih": np.abs(own.W_ih).sum(axis=2) * _step(below, levels),
            "b_hh": np.abs(own.W_hh).sum(axis=2) * of_h,
        }
        found[layer, direction] = LayerWeights(arrays={**exact, **biases})
    return Typed(Weights(found)), largest


def _step(values: list[Array], levels: int) -> float:
    """The largest step between two places of these values, 0 among them."""
    high = max(0.0, *(float(array.max(initial=0.0)) for array in values))
    low = min(0.0, *(float(array.min(initial=0.0)) for array in values))
    return MARGIN * (high - low) / levels
