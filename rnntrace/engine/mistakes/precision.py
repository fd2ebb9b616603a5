"""A half format in between: not a mistake of reading or of equations, but one of digits."""

from collections.abc import Iterator
from dataclasses import replace

from rnntrace.engine.mistakes.mistake import Case, Change, Mistake
from rnntrace.equations.cells import Cell
from rnntrace.model.dtypes import DTYPES, rounded
from rnntrace.model.weights import LayerWeights

PRECISIONS = ("float16", "bfloat16")
"""The half formats."""


def precision_mistakes(kind: str) -> Iterator[Mistake]:
    """Weights and inputs that went through a half format."""
    for name in PRECISIONS:
        yield Mistake(
            f"{kind}.precision.{name}",
            f"{name} was used in between: the values have no more digits than that",
            f"compute in the module's own format, or judge with --dtype {name}",
            _in_format(name),
        )


def precision_mistake(cell: Cell, name: str) -> Mistake:
    """The one of a format."""
    return next(mistake for mistake in precision_mistakes(cell.kind.lower()) if mistake.id.endswith(f".{name}"))


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
