"""Clipping of gradients, as torch.nn.utils does it between the backward pass and the step of an optimiser."""

from dataclasses import dataclass

import numpy as np

from rnntrace.model.weights import LayerWeights, Weights

LEAST = 1e-6
"""What torch.nn.utils.clip_grad_norm_ adds to the norm before it divides by it."""


@dataclass(frozen=True)
class Clipping:
    """By the norm of all parameters' gradients together, then by value; None for neither."""

    norm: float | None = None
    value: float | None = None

    def __bool__(self) -> bool:
        return self.norm is not None or self.value is not None


NONE = Clipping()


def total_norm(gradients: Weights) -> float:
    """The 2-norm of all of them together."""
    return float(np.sqrt(sum(float(np.sum(array.astype(np.float64) ** 2)) for array in gradients.arrays)))


def clipped(gradients: Weights, clipping: Clipping, norm: float | None = None) -> Weights:
    """The gradients scaled so that their norm is at most `clipping.norm`, then cut off at ±`clipping.value`.

    `norm` is that of all parameters; left out, it is worked out from these.
    """
    scale = 1.0
    if clipping.norm is not None:
        scale = min(1.0, clipping.norm / ((total_norm(gradients) if norm is None else norm) + LEAST))
    limit = np.inf if clipping.value is None else clipping.value
    return Weights(
        {
            column: LayerWeights(
                arrays={name: np.clip(array * array.dtype.type(scale), -limit, limit) for name, array in found.arrays.items()}
            )
            for column, found in gradients.columns.items()
        }
    )
