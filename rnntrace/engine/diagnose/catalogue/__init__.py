"""The mistakes people make with recurrent networks, each declared once: what it changes, what it is called, how to mend it.

They were collected from public questions and from the conventions of frameworks. `diagnose` looks for one that explains a
difference, a run can make one on purpose, and a pass can be asked which of them it could not have seen.
"""

from functools import cache

from rnntrace.engine.diagnose.catalogue.directions import direction_mistakes
from rnntrace.engine.diagnose.catalogue.equations import equation_mistakes
from rnntrace.engine.diagnose.catalogue.layers import layer_mistakes
from rnntrace.engine.diagnose.catalogue.outputs import merge_mistakes, output_mistakes
from rnntrace.engine.diagnose.catalogue.precision import precision_mistakes
from rnntrace.engine.diagnose.catalogue.sequences import sequence_mistakes
from rnntrace.engine.diagnose.catalogue.states import state_mistakes
from rnntrace.engine.diagnose.catalogue.weights import weight_mistakes
from rnntrace.engine.diagnose.mistake import Case, Made, Mistake, Outputs, made, outputs_of, values_of
from rnntrace.equations.cell import Cell

__all__ = ["Case", "Made", "Mistake", "Outputs", "catalogue", "made", "outputs_of", "values_of"]


@cache
def catalogue(cell: Cell) -> tuple[Mistake, ...]:
    """Every mistake that can be made with a cell, in the order in which they act: weights, equations, signals, outputs."""
    kind = cell.slug
    return (
        *weight_mistakes(cell, kind),
        *equation_mistakes(cell, kind),
        *state_mistakes(kind, cell.states),
        *sequence_mistakes(kind),
        *direction_mistakes(kind),
        *layer_mistakes(kind),
        *output_mistakes(kind, cell.states),
        *merge_mistakes(kind),
        *precision_mistakes(kind),
    )
