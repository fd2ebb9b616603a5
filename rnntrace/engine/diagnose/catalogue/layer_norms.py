"""Mistakes with a layer norm: left out, of other numbers, or without its scale and shift."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from rnntrace.engine.diagnose.case import Case, Change, Entry, by_layer
from rnntrace.engine.diagnose.catalogue.rewriting import Rewrite, everywhere, rewritten, substituted
from rnntrace.engine.diagnose.catalogue.rows import blocks_of
from rnntrace.engine.diagnose.catalogue.variants import SCALES, scales, with_blocks
from rnntrace.engine.replay.evaluate import LEAVES, Scope
from rnntrace.engine.replay.operators import EPSILON, OPERATORS
from rnntrace.engine.replay.trace import VALUES, Trace
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import Expr, Op
from rnntrace.equations.parameters import Role
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import Key
from rnntrace.model.spec import REVERSE

Norm = Callable[[Array], Array]
_FIX = "compute γ ⊙ (a - mean) / √(variance + 1e-5) + β over the units, with the variance of the population"


def normed(a: Array, *, of_sample: bool = False, outside: bool = False, centred: bool = True) -> Array:
    """A layer norm: with the variance of a sample, with epsilon outside of the root, or without the mean being subtracted."""
    off = a - a.mean(axis=-1, keepdims=True) if centred else a
    variance = np.square(off).sum(axis=-1, keepdims=True) / (a.shape[-1] - of_sample)
    found: Array = off / (np.sqrt(variance) + EPSILON if outside else np.sqrt(variance + EPSILON))
    return found


def layer_norm_mistakes(cell: Cell, kind: str) -> Iterator[Entry]:
    """All of a cell."""
    norms = {_called(step, part): part for step in cell.steps for part in step.expression.walk() if part.op is Op.LAYER_NORM}
    if not norms:
        return
    for name, says, rewrite in (
        ("left-out", "there was no layer norm, and neither its scale nor its shift", _bare()),
        ("scaled-alone", "nothing was normalized, though scaled and shifted", everywhere(_unnormed)),
    ):
        yield Entry(f"{kind}.layer-norm.{name}", says, _FIX, rewritten(rewrite))
    for called, norm in norms.items() if len(norms) > 1 else ():
        says = f"the layer norm of {called} was left out, with its scale and its shift"
        yield Entry(f"{kind}.layer-norm.{called}-left-out", says, _FIX, rewritten(_bare(norm)))
    sample = "the standard deviation of a sample plus epsilon"
    for name, form, says in (
        ("sample-variance", partial(normed, of_sample=True), "the variance was that of a sample, a sum over n - 1"),
        ("sample-deviation", partial(normed, of_sample=True, outside=True), f"a layer norm divided by {sample}"),
        ("not-centred", partial(normed, centred=False), "a layer norm divided by the root mean square: no mean was subtracted"),
    ):
        yield Entry(f"{kind}.layer-norm.{name}", says, _FIX, _normed_by(form), needs="a hidden size above 1")
    for name, found, value, words in (
        ("scale", [block for role in SCALES.values() for block in scales(cell, role)], 1.0, "the scale γ"),
        ("shift", blocks_of(cell).get(Role.SHIFT, []), 0.0, "the shift β"),
    ):
        if found:
            says = f"{words} was left out of every layer norm"
            yield Entry(f"{kind}.layer-norm.{name}-dropped", says, _FIX, with_blocks(found, value))


def _called(step: Step, norm: Expr) -> str:
    """What is normalized: a quantity, or the sum of a gate."""
    return norm.args[0].name if norm.args[0].op is Op.NOW else step.symbol


def _unnormed(part: Expr) -> Expr:
    return part.args[0] if part.op is Op.LAYER_NORM else part


def _bare(norm: Expr | None = None) -> Rewrite:
    """What is normalized, in place of the layer norm with its scale and shift; of one, or of all."""

    def bare(part: Expr) -> Expr | None:
        if part.op is Op.LAYER_NORM and norm in (None, part):
            return part.args[0]
        if part.op in SCALES:
            return bare(part.args[0])
        shifted = [arg for arg in part.args if arg.op is not Op.SHIFT]
        return bare(shifted[0]) if part.op is Op.ADD and len(shifted) == 1 else None

    def rewrite(cell: Cell) -> dict[str, Expr]:
        parts = [part for step in cell.steps for part in step.expression.walk()]
        others = {part: inside for part in parts if (inside := bare(part))}
        return {step.symbol: substituted(step.expression, others) for step in cell.steps}

    return rewrite


def _normed_by(norm: Norm) -> Change:
    def change(case: Case) -> Case | None:
        if case.spec.hidden_size == 1:
            return None
        return replace(case, run=lambda case: by_layer(case, partial(_played, norm)))

    return change


def _played(norm: Norm, case: Case) -> Trace:
    columns: dict[Key, Array] = {}
    for row, column in enumerate(case.spec.layer_directions):
        states = {state: case.inputs.initial(state)[row] for state in case.cell.states}
        columns |= {(*column, symbol): values for symbol, values in _column(norm, case, column, states).items()}
    return Trace(case.spec, case.inputs, {VALUES: columns})


def _column(norm: Norm, case: Case, column: tuple[int, str], states: dict[str, Array]) -> dict[str, Array]:
    """Every gate and state of a layer and direction, (T, B, ·), step by step; a padded step changes no state."""
    inputs, cell = case.inputs, case.cells[column[1]]
    scope = Scope(cell, case.weights[column])
    terms = scope.input_terms(inputs.x)
    steps: dict[int, dict[str, Array]] = {}
    for t in range(inputs.steps)[:: -1 if column[1] == REVERSE else 1]:
        now: dict[str, Array] = {}
        scope.enter(inputs.x[t], terms[t], now, states)
        for step in cell.steps:
            now[step.symbol] = _value(norm, step.expression, scope)
        valid = np.ones((inputs.batch, 1), bool) if inputs.valid is None else inputs.valid[t][:, None]
        states = {state: np.where(valid, now[state], states[state]) for state in cell.states}
        steps[t] = {symbol: np.where(valid, values, np.nan) for symbol, values in now.items()}
    return {symbol: np.stack([steps[t][symbol] for t in range(inputs.steps)]) for symbol in cell.symbols}


def _value(norm: Norm, expr: Expr, scope: Scope) -> Array:
    """That of an expression, with another layer norm."""
    args = [_value(norm, arg, scope) for arg in expr.args]
    if expr.op is Op.LAYER_NORM:
        return norm(*args)
    return OPERATORS[expr.op](*args) if expr.op in OPERATORS else LEAVES[expr.op](scope, expr, *args)
