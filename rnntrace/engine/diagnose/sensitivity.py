"""How far the values of a case move where everything that it starts from is off by a rounding.

A bound on rounding grows from step to step until it allows anything; how far values do move is measured instead: weights,
inputs and initial states are each made wrong by up to the unit roundoff of a format, at random, and the case is played again.
Rounding inside the steps is of the same size as that of what enters them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.diagnose.case import Case
from rnntrace.model.dtypes import DTYPES, Array, Dtype

PLAYS = 4
"""So often it is played again."""
SPREADS, OF_FLOAT32 = 12.0, 64.0
"""How many times its movement, the root mean square, an error may be beyond one eps of the value. Measured on modules of torch
with up to 256 units, two layers and 50 steps, the largest of all is 11.7 times that in half formats, where sums are taken in
float32. In float32 sums round as well: 41 times that, on up to 256 units and 200 steps."""
SPREADS_OF_ALL = 2.0
"""How many times the root mean square of all errors may be that of movements and of half an eps of the values, in half
formats: on the same modules it is up to 1.4 times."""


def moved(case: Case, format: Dtype, play: Callable[[Case], Mapping[Any, Array]]) -> dict[Any, NDArray[np.float64]]:
    """How far each value moves, in the root mean square: one number for each step of a sequence or row of states."""
    right = play(case)
    squares = {name: np.zeros((len(values), *(1,) * (values.ndim - 1))) for name, values in right.items()}
    for seed in range(PLAYS):
        other = play(_off_by_a_rounding(case, format.eps / 2, np.random.default_rng(seed)))
        for name, values in right.items():
            apart = np.square(other[name].astype(np.float64) - values)
            apart = np.where(np.isfinite(apart), apart, 0.0)
            squares[name] += apart.mean(axis=tuple(range(1, apart.ndim)), keepdims=True) / PLAYS
    return {name: np.sqrt(square) for name, square in squares.items()}


def most_spreads(format: Dtype) -> float:
    """How many times that a single value may be off, beyond one eps of it."""
    return SPREADS if format.eps > DTYPES["float32"].eps else OF_FLOAT32


def _off_by_a_rounding(case: Case, u: float, generator: np.random.Generator) -> Case:
    def off(array: Array) -> Array:
        return array * (1 + u * generator.uniform(-1, 1, array.shape)).astype(array.dtype)

    inputs = case.inputs
    wrong = case.with_weights(lambda found: found.replaced(**{name: off(array) for name, array in found.arrays.items()}))
    return wrong.with_inputs(x=off(inputs.x), states={state: off(values) for state, values in inputs.states.items()})
