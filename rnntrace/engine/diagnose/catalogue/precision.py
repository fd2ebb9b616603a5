"""Too few digits: not a mistake of reading or of equations, but a coarser format in between."""

from collections.abc import Iterator

from rnntrace.engine.diagnose.case import Case, Change, Entry
from rnntrace.model.dtypes import DTYPES, rounded
from rnntrace.model.weights import LayerWeights

COARSER = ("float32", "float16", "bfloat16")
"""Formats that a wider one may have gone through."""


def precision_mistakes(kind: str) -> Iterator[Entry]:
    """Weights and inputs that went through a coarser format."""
    for name in COARSER:
        yield Entry(
            f"{kind}.precision.{name}",
            f"values were rounded to {name}",
            f"compute in the module's own format, or allow for {name} with `rtol` and `atol`",
            _in_format(name),
            needs=f"a format of more digits than {name} (`dtype=float64`)",
        )


def _in_format(name: str) -> Change:
    dtype = DTYPES[name]

    def change(case: Case) -> Case | None:
        if case.spec.precision.eps >= dtype.eps:
            return None

        def coarse(weights: LayerWeights) -> LayerWeights:
            arrays = {name: rounded(array, dtype).astype(array.dtype) for name, array in weights.arrays.items()}
            return LayerWeights(arrays=arrays)

        x = rounded(case.inputs.x, dtype).astype(case.inputs.x.dtype)
        return case.with_weights(coarse).with_inputs(x=x)

    return change
