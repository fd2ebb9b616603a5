"""Losses: each comes down to its gradients by the output and by the states behind the last step."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnntrace.engine.replay.trace import Trace
from rnntrace.errors import SignalError
from rnntrace.model.dtypes import Array

LOSSES = ("sum", "last", "mse")
"""The sum of the output; of the output at each sequence's last step; the mean squared error beside a target."""


@dataclass(frozen=True)
class Loss:
    """A loss: what it is called, its value if that is known, and its gradients, time-major, by output, h_n, …."""

    name: str
    gradients: Mapping[str, Array]
    value: float | None = None


def loss_of(name: str, trace: Trace, target: Array | None = None) -> Loss:
    """A loss of the output (T, B, width) of a forward pass; `target` (T, B, width) belongs to mse.

    Steps that do not exist have no part in it. Raises SignalError for a target of another shape.
    """
    output, inputs = trace.output, trace.inputs
    there = np.ones(output.shape, output.dtype)
    if inputs.valid is not None:
        there = there * inputs.valid[..., None]
    if name == "last":
        there = there * (np.arange(1, inputs.steps + 1)[:, None] == inputs.ends)[..., None]
    if name != "mse":
        return Loss(name, {"output": there.astype(output.dtype)}, float((output * there).sum(dtype=np.float64)))
    if target is None or target.shape != output.shape:
        found = "there is none" if target is None else f"it has shape {target.shape}"
        raise SignalError(f"the loss mse needs a target of the output's shape {output.shape}, time first, and {found}")
    off = (output - target.astype(output.dtype)) * there
    count = float(there.sum())
    return Loss(name, {"output": (2 * off / count).astype(output.dtype)}, float((off * off).sum(dtype=np.float64) / count))
