"""Whether other initial states alone would give the outputs that were given: they are looked for by least squares."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.mistake import outputs_of
from rnntrace.model.dtypes import Array

ROUNDS, STEP, MORE, MOST = 30, 1e-6, 8, 64
"""Rounds of Gauss-Newton, the step of its differences, how many more values than unknowns there must be, and most unknowns."""
SMALL = 0.05
"""What is allowed must be below this part of the difference."""

Vector = NDArray[np.float64]


def starts_elsewhere(case: Case, output: Array, allowed: Array) -> bool:
    """Whether other initial states give the output (T, B, D·R) of the item that differs most, within what is allowed."""
    apart = np.abs(output - (outputs_of(case) or {})["output"]).max(axis=(0, 2))
    one = slice(int(apart.argmax()), int(apart.argmax()) + 1)
    states = {state: case.inputs.initial(state)[:, one].astype(np.float64) for state in case.cell.states}
    start = np.concatenate([values.ravel() for values in states.values()])
    given, room = output[:, one].astype(np.float64).ravel(), allowed[:, one].astype(np.float64).ravel()
    tells = room.max() < SMALL * float(apart.max())
    if len(start) > MOST or len(given) < len(start) + MORE or case.inputs.valid is not None or not tells:
        return False
    x = case.inputs.x[:, one].astype(np.float64)
    wide = case.with_weights(lambda found: found.astype(np.dtype(np.float64)))
    wide = replace(wide, spec=replace(case.spec, dtype="float64"))

    def outputs(starts: Vector) -> Vector:
        """The output from each of the starts (K, unknowns), (K, values): as many items of one batch."""
        parts = np.split(starts, np.cumsum([values.size for values in states.values()])[:-1], axis=1)
        rows = {
            state: part.reshape(len(starts), len(values), -1).swapaxes(0, 1)
            for (state, values), part in zip(states.items(), parts, strict=True)
        }
        found = outputs_of(wide.with_inputs(x=np.repeat(x, len(starts), axis=1), states=rows))
        assert found is not None
        return np.asarray(found["output"], np.float64).swapaxes(0, 1).reshape(len(starts), -1)

    damping, left = 1e-3, np.inf
    for _ in range(ROUNDS):
        found = outputs(np.vstack([start, start + STEP * np.eye(len(start))]))
        off, slopes = given - found[0], (found[1:] - found[0]).T / STEP
        if (np.abs(off) <= 2 * room).all():
            return True
        square = float(off @ off)
        damping, left = (damping / 4, square) if square < left else (damping * 8, left)
        start = start + np.linalg.solve(slopes.T @ slopes + damping * np.eye(len(start)), slopes.T @ off)
    return False
