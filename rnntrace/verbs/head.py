"""What a course's head makes of the hidden state, judged where it was handed in beside that."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.tolerance import TORCH_TOLERANCES, Tolerance
from rnntrace.errors import SignalError
from rnntrace.model.courses import Head
from rnntrace.model.dtypes import Array

Given = Mapping[str, tuple[Array, Array | None]]
"""By the course's word: y (T, B, n_y), and half a unit of the last digit of each value that was typed."""


def with_head(result: Result, head: Head | None, given: Given, tolerance: Tolerance) -> Result:
    """The result, with a FAIL where a y is not the softmax of the replayed hidden state, and a remark where it is.

    Raises SignalError for a y of another shape than the head's.
    """
    if tolerance.kind not in ("torch", "decimals"):
        # There is no bound on what rounding does in a head.
        tolerance = TORCH_TOLERANCES[result.spec.dtype]
    for word, (values, half_unit) in given.items():
        if head is None:
            remark = f"{word} is not judged: it needs the head's matrix and bias (Wy or Wya, and by) beside the weights"
            result = replace(result, warnings=(*result.warnings, remark))
            continue
        y = head.softmax(result.replayed_outputs["output"])
        if values.shape != y.shape:
            raise SignalError(f"{word} should have (time, batch, unit) of sizes {y.shape}, and has {values.shape}")
        apart = np.abs(y - values)
        bad = ~(apart <= tolerance.allowed(values.astype(np.float64)) + (0 if half_unit is None else half_unit))
        if not bad.any():
            remark = f"{word} agrees with the softmax of the replayed hidden state, worst |Δ| {apart.max():.1e}"
            result = replace(result, warnings=(*result.warnings, remark))
            continue
        t, item, unit = (int(place) for place in np.argwhere(bad)[0])
        said = (
            f"{word} is not the softmax of the replayed hidden state, first at t={t + 1}, item {item}, unit {unit}: "
            f"replay {y[t, item, unit]:.6g}, expected {values[t, item, unit]:.6g}"
        )
        result = replace(result, contradictions=(*result.contradictions, said))
    return result
