"""The replay: a module computed again from its declaration, over layers, directions and time.

Free-running, every step starts from the replay's own state before. Teacher-forced, it starts from the state before that is
given in `known`, so the difference at each step is that step's own. Both are one loop: see `evaluate.schedule`.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from rnntrace.engine.evaluate import Scope, evaluate, schedule
from rnntrace.engine.rounding import Bounded, Format, error_bounds
from rnntrace.engine.trace import Key, Trace, input_term_symbol, recurrent_term_symbol, side_by_side
from rnntrace.equations.cells import Cell, Step
from rnntrace.equations.expression import Op
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.signals import Inputs
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

TRAJECTORY = 4.0
"""A free trajectory that cannot be judged step by step may be off by this many times what a single step may be."""


def replay(
    spec: ModuleSpec,
    weights: Weights,
    inputs: Inputs,
    *,
    known: Mapping[Key, Array] | None = None,
    dtype: np.dtype[np.floating] | None = None,
    keep_terms: bool = False,
    rounding: Format | None = None,
    cell: Cell | None = None,
) -> Trace:
    """Every gate and state of a module on these inputs.

    `known` gives state sequences (layer, direction, "h" or "c") → (T, B, ·) to force the replay with: it then needs an "h"
    for every layer and direction. `dtype` is the numpy format to compute in, by default the one of `spec`. With `rounding`
    the trace also holds bounds on what rounding in these formats can do: in a single step where h is known, and otherwise
    since the first step, but at most TRAJECTORY times that. `cell` replaces the declaration that `spec` names, by one of the
    same gates and states.
    """
    dtype = np.dtype(dtype or spec.precision.replay)
    known = known or {}
    cell = cell or spec.cell
    columns: dict[Key, Array] = {}
    terms: dict[Key, Array] = {}
    bounds: dict[Key, Array] = {}
    so_far = Trace(spec, inputs, columns)
    with np.errstate(all="ignore"):
        for layer, direction in spec.columns:
            if layer == 0:
                layer_input = inputs.x
            elif known:
                layer_input = side_by_side(known, layer - 1, spec, inputs.valid)
            else:
                layer_input = so_far.hidden(layer - 1)
            column = _Column(cell, weights[layer, direction], layer_input, inputs.valid, direction, dtype)
            for state in cell.states:
                column.start(state, so_far.initial(state, layer, direction), known.get((layer, direction, state)))
            column.run()
            columns |= {(layer, direction, symbol): array for symbol, array in column.quantities().items()}
            if keep_terms:
                terms |= {(layer, direction, symbol): array for symbol, array in column.terms().items()}
            if rounding is not None:
                inherited = None if layer == 0 or known else side_by_side(bounds, layer - 1, spec, inputs.valid)
                found = column.bounds(rounding, inherited)
                bounds |= {(layer, direction, symbol): array for symbol, array in found.items()}
    return Trace(spec, inputs, columns, terms, Trace(spec, inputs, bounds) if bounds else None)


class _Column:
    """One layer in one direction. Inside, time runs in the order of computation: for the reverse direction, backwards."""

    def __init__(
        self, cell: Cell, weights: LayerWeights, x: Array, valid: Flags | None, direction: str, dtype: np.dtype[np.floating]
    ) -> None:
        self.cell, self.dtype, self.backwards = cell, dtype, direction == REVERSE
        self.valid = None if valid is None else self._in_order(valid)
        self.scope = Scope(cell, weights.astype(dtype))
        self.x = self._in_order(x).astype(dtype, copy=False)
        self.input_terms = self.scope.input_terms(self.x)
        self.initial: dict[str, Array] = {}
        self.before: dict[str, Array] = {}
        self.now: dict[str, Array] = {}

    def start(self, state: str, initial: Array, known: Array | None) -> None:
        """Give a state's value at t = 0 and, to force it, its whole sequence."""
        self.initial[state] = initial.astype(self.dtype, copy=False)
        if known is not None:
            self.before[state] = self._a_step_before(state, self._in_order(known).astype(self.dtype, copy=False))

    def run(self) -> None:
        """Compute every step of the cell for every t."""
        self.known = tuple(self.before)
        plan = schedule(self.cell, self.known)
        self._at_once(plan.ahead)
        self._scan(plan.scan)
        self._at_once(plan.behind)

    def _at_once(self, steps: tuple[Step, ...]) -> None:
        self.scope.enter(self.input_terms, self.now, self.before)
        for step in steps:
            self.now[step.symbol] = evaluate(step.expression, self.scope)

    def _scan(self, steps: tuple[Step, ...]) -> None:
        carried = {state: self.initial[state] for state in self.cell.states if state not in self.before}
        ready = self.now
        found: dict[str, list[Array]] = {step.symbol: [] for step in steps}
        for t, input_terms in enumerate(self.input_terms):
            now = {symbol: array[t] for symbol, array in ready.items()}
            before = {state: array[t] for state, array in self.before.items()}
            self.scope.enter(input_terms, now, before | carried)
            for step in steps:
                now[step.symbol] = evaluate(step.expression, self.scope)
                found[step.symbol].append(now[step.symbol])
            for state, previous in carried.items():
                carried[state] = now[state] if self.valid is None else np.where(self.valid[t, :, None], now[state], previous)
        self.now = ready | {symbol: np.stack(values) for symbol, values in found.items()}
        for state in carried:
            self.before[state] = self._a_step_before(state, self.now[state])

    def quantities(self) -> dict[str, Array]:
        """Every gate and state, (T, B, ·) in input-time order, NaN where a step does not exist."""
        return {symbol: self._in_input_order(array) for symbol, array in self.now.items()}

    def terms(self) -> dict[str, Array]:
        """The affine terms of every gate, likewise."""
        self.scope.enter(self.input_terms, self.now, self.before)
        names = {Op.INPUT_TERM: input_term_symbol, Op.RECURRENT_TERM: recurrent_term_symbol}
        return {
            names[leaf.op](leaf.name): self._in_input_order(evaluate(leaf, self.scope))
            for step in self.cell.steps
            for leaf in step.expression.walk()
            if leaf.op in names
        }

    def bounds(self, rounding: Format, inherited: Array | None) -> dict[str, Array]:
        """What rounding can do to every gate and state, likewise; `inherited` is what it can have done to x."""

        def bounded(known: Collection[str], x_error: Array | None) -> dict[str, Array]:
            x = Bounded(self.x, np.zeros_like(self.x) if x_error is None else self._in_order(x_error))
            return error_bounds(self.cell, self.scope.weights, x, self.before, known, self.valid, rounding)

        found = bounded(self.known, inherited)
        if "h" not in self.known:
            # Through h such a bound can grow from step to step until it allows anything, and honest errors do not.
            single = bounded(self.cell.states, None)
            found = {symbol: np.minimum(bound, TRAJECTORY * single[symbol]) for symbol, bound in found.items()}
        return {symbol: self._in_input_order(array) for symbol, array in found.items()}

    def _a_step_before(self, state: str, sequence: Array) -> Array:
        """The sequence one step late: its initial value first, and again wherever the step before does not exist."""
        initial = self.initial[state]
        earlier = sequence[:-1]
        if self.valid is not None:
            earlier = np.where(self.valid[:-1, :, None], earlier, initial)
        return np.concatenate([initial[None], earlier])

    def _in_order(self, sequence: Any) -> Any:
        return sequence[::-1] if self.backwards else sequence

    def _in_input_order(self, sequence: Array) -> Array:
        if self.valid is not None:
            sequence = np.where(self.valid[..., None], sequence, self.dtype.type(np.nan))
        ordered: Array = np.ascontiguousarray(self._in_order(sequence))
        return ordered
