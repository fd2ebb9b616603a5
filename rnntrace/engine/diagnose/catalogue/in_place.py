"""h overwritten in place: the units are computed one after the other, and each sees this step's h of those before it."""

from dataclasses import replace
from typing import Any

import numpy as np

from rnntrace.engine.diagnose.case import Case, by_layer
from rnntrace.engine.replay.evaluate import Scope, evaluate
from rnntrace.engine.replay.trace import VALUES, Trace
from rnntrace.equations.expression import Op
from rnntrace.equations.parameters import Role
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import Key
from rnntrace.model.spec import REVERSE


def in_place(case: Case) -> Case | None:
    """The case run so."""
    parts = [part for step in case.cell.steps for part in step.expression.walk()]
    read = {part.args[0].op for part in parts if part.op is Op.RECURRENT_TERM}
    # A layer norm needs all units at once.
    whole = any(part.op is Op.LAYER_NORM for part in parts)
    if case.spec.hidden_size == 1 or case.spec.proj_size or read != {Op.BEFORE} or whole:
        return None
    return replace(case, run=lambda case: by_layer(case, _played))


def _played(case: Case) -> Trace:
    columns: dict[Key, Array] = {}
    for row, column in enumerate(case.spec.layer_directions):
        initial = {state: case.inputs.initial(state)[row].copy() for state in case.cell.states}
        found = _column(case, column, initial)
        columns |= {(*column, symbol): values for symbol, values in found.items()}
    return Trace(case.spec, case.inputs, {VALUES: columns})


class _Unit(Scope):
    """Of a product, the row of one unit; whatever is not its own is left at zero."""

    unit = 0

    def recurrent_term(self, gate: str, argument: Array) -> Array:
        """W_hg·argument + b_hg of this unit."""
        found = np.zeros_like(argument)
        W, b = (self.weights.block(self.cell, role, gate) for role in (Role.RECURRENT_MATRIX, Role.RECURRENT_BIAS))
        assert W is not None
        found[:, self.unit] = argument @ W[self.unit]
        if b is not None:
            found[:, self.unit] += b[self.unit]
        return found


def _column(case: Case, column: tuple[int, str], states: dict[str, Array]) -> dict[str, Array]:
    """Every gate and state of a layer and direction, (T, B, H)."""
    inputs, cell = case.inputs, case.cells[column[1]]
    scope = _Unit(cell, case.weights[column])
    terms = scope.input_terms(inputs.x)
    shape = inputs.steps, *states[cell.output].shape
    found: dict[str, Any] = {symbol: np.full(shape, np.nan, terms.dtype) for symbol in cell.symbols}
    valid = inputs.valid
    for t in range(inputs.steps)[:: -1 if column[1] == REVERSE else 1]:
        rows = slice(None) if valid is None else valid[t]
        for scope.unit in range(case.spec.hidden_size):
            now: dict[str, Array] = {}
            scope.enter(inputs.x[t], terms[t], now, states)
            for step in cell.steps:
                now[step.symbol] = evaluate(step.expression, scope)
                found[step.symbol][t, rows, scope.unit] = now[step.symbol][rows, scope.unit]
            for state in cell.states:
                states[state][rows, scope.unit] = now[state][rows, scope.unit]
    return found
