"""Too few digits: not a mistake of reading or of equations, but a coarser format in between."""

from collections.abc import Iterator

from rnntrace.engine.diagnose.digits import Digits
from rnntrace.engine.diagnose.mistake import Case, Change, Mistake
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


def coarse(kind: str, digits: Digits) -> Mistake:
    """Right values of too few digits. Of the catalogue only where they have a format: no replay is needed to see the others."""
    id = f"{kind}.precision.{digits.id}"
    if digits.format:
        return next(mistake for mistake in precision_mistakes(kind) if mistake.id == id)
    if digits.is_printed:
        return Mistake(
            id,
            f"the values that were given are rounded to {digits.name}, as print shows them",
            "save the values as .npy or .npz instead of copying what print shows",
        )
    return Mistake(
        id,
        f"the values that were given lie on {digits.name}, as outputs of whole numbers do, and are right to half a step",
        f"have the values in a floating-point format, or allow for half a step: --rtol 0 --atol {digits.half_unit:.2g}",
        frameworks=("TFLite int8", "CMSIS-NN"),
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
