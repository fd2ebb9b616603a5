"""What differs in the weights and signals that two comparisons start from, in sentences."""

from collections.abc import Iterator

import numpy as np

from rnntrace.equations.cell import Cell
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.weights import Weights
from rnntrace.model.windows import pieces, release


def weights_apart(mine: Weights, theirs: Weights, cell: Cell) -> Iterator[str]:
    """A sentence for each gate's block of weights that is not the same."""
    for (layer, direction), found in mine.columns.items():
        blocks, others = dict(found.by_gate(cell)), dict(theirs[layer, direction].by_gate(cell))
        for name in dict.fromkeys([*blocks, *others]):
            yield from _apart(f"layer {layer}, {direction}: {name}", blocks.get(name), others.get(name))


def inputs_apart(mine: Inputs, theirs: Inputs) -> Iterator[str]:
    """A sentence for each signal that is not the same."""
    for name in dict.fromkeys([*mine.signals, *theirs.signals]):
        yield from _apart(name, mine.signals.get(name), theirs.signals.get(name))


def _apart(name: str, mine: Array | None, theirs: Array | None) -> Iterator[str]:
    if mine is None or theirs is None:
        if mine is not theirs:
            yield f"{name} is in only one of the files"
    elif mine.shape != theirs.shape:
        yield f"{name} has shape {mine.shape} in the first file, and {theirs.shape} in the other"
    else:
        yield from _values_apart(name, mine, theirs)


def _values_apart(name: str, mine: Array, theirs: Array) -> Iterator[str]:
    same, largest = True, np.nan
    for part in pieces(mine.shape):
        same = same and np.array_equal(mine[part], theirs[part], equal_nan=True)
        with np.errstate(invalid="ignore", over="ignore"):
            largest = float(np.fmax.reduce(np.abs(mine[part] - theirs[part]), axis=None, initial=largest))
        release(mine, theirs)
    if not same:
        yield f"{name} differs in what is NaN" if np.isnan(largest) else f"{name} differs by up to {largest:.2g}"
