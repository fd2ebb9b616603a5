"""Right values of too few digits, as an answer of `diagnose`: no replay is needed to see those that lie on a grid."""

from rnntrace.engine.diagnose.digits import Digits
from rnntrace.engine.diagnose.mistake import Mistake, catalogue
from rnntrace.equations.cell import Cell


def coarse(cell: Cell, digits: Digits) -> Mistake:
    """The mistake that leaves these digits; it is of the catalogue where they are those of a format."""
    id = f"{cell.slug}.precision.{digits.id}"
    if digits.format:
        return next(mistake for mistake in catalogue(cell) if mistake.id == id)
    if digits.is_printed:
        return Mistake(
            id,
            f"the values that were given are rounded to {digits.name}, as print shows them",
            "save the values as .npy or .npz instead of copying what print shows",
        )
    return Mistake(
        id,
        f"the values that were given lie on {digits.name}, as outputs of whole numbers do, and are right to half a step",
        f"have the values in a floating-point format, or allow for half a step: `rtol=0`, `atol={digits.half_unit:.2g}`",
        frameworks=("TFLite int8", "CMSIS-NN"),
    )
