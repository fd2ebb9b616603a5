"""Too few digits: not a mistake of reading or of equations, but a coarser format in between."""

from collections.abc import Iterator
from dataclasses import replace

from rnntrace.engine.mistakes.mistake import Case, Change, Mistake
from rnntrace.model.dtypes import DTYPES, rounded
from rnntrace.model.weights import LayerWeights

COARSER = ("float32", "float16", "bfloat16")
"""Formats that a wider one may have gone through."""


def precision_mistakes(kind: str) -> Iterator[Mistake]:
    """Weights and inputs that went through a coarser format."""
    for name in COARSER:
        yield Mistake(
            f"{kind}.precision.{name}",
            f"{name} was used in between: the values have no more digits than that",
            f"compute in the module's own format, or allow for {name} with --rtol and --atol",
            _in_format(name),
            needs=f"a format of more digits than {name} (--dtype float64)",
        )


def printed(kind: str, decimals: int) -> Mistake:
    """Outputs that were copied from print, which shows them rounded. Not in the catalogue: no replay is needed to see it."""
    return Mistake(
        f"{kind}.precision.printed-{decimals}",
        f"the values that were given are rounded to {decimals} decimals, as print shows them",
        "save the values as .npy or .npz instead of copying what print shows",
    )


def _in_format(name: str) -> Change:
    dtype = DTYPES[name]

    def change(case: Case) -> Case | None:
        if case.spec.precision.eps >= dtype.eps:
            return None

        def coarse(weights: LayerWeights) -> LayerWeights:
            arrays = {name: rounded(array, dtype).astype(array.dtype) for name, array in weights.arrays.items()}
            return replace(weights, **arrays)

        x = rounded(case.inputs.x, dtype).astype(case.inputs.x.dtype)
        return case.with_weights(coarse).with_inputs(x=x)

    return change
