"""The replay: a module computed again from its declaration, over layers, directions and time.

Free-running, every step starts from the replay's own state before. Teacher-forced, it starts from the state before that is
given in `known`, so the difference at each step is that step's own. Both run a program
that is written from the declaration, block by block: see `compiled`.
"""

from collections.abc import Collection, Mapping
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.judge.merging import joined_bounds
from rnntrace.engine.judge.rounding import Typed, error_bounds
from rnntrace.engine.judge.rules import Bounded, Format
from rnntrace.engine.replay.evaluate import Scope, evaluate
from rnntrace.engine.replay.program import Program
from rnntrace.engine.replay.trace import BOUNDS, TERMS, VALUES, Trace, input_term_symbol, joined, recurrent_term_symbol
from rnntrace.engine.replay.writer import compiled
from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Op
from rnntrace.equations.parameters import TERMS as TERM_ROLES
from rnntrace.equations.parameters import Role
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key
from rnntrace.model.masks import latest
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

BLOCK = 256
"""So many rows, one for each step and item, are computed at once: enough for a fast product, few enough to stay in a cache."""
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
    errors: Mapping[str, Array] | None = None,
    typed: Typed | None = None,
    keep: Collection[str] | None = None,
    cell: Cell | Mapping[str, Cell] | None = None,
) -> Trace:
    """Every gate and state of a module on these inputs.

    `known` gives sequences of states, (layer, direction, state) → (T, B, ·), to force the replay with: it then needs the output
    of the cell, h, for every layer and direction. `dtype` is the numpy format to compute in, by default the one of `spec`. With
    `rounding` the trace also holds bounds on what rounding in these formats can do: in a single step where h is known, and
    otherwise since the first step, but at most TRAJECTORY times that; `errors` says what the initial states of all layers may
    be off by already. Without such a limit go the half units of what was `typed`. Of the gates only those in `keep` are kept,
    by default all. `cell` replaces the declaration that `spec` names, by one of the same gates and states, or by one for each
    direction.
    """
    dtype = np.dtype(dtype or spec.precision.replay)
    known = known or {}
    columns: dict[Key, Array] = {}
    terms: dict[Key, Array] = {}
    bounds: dict[Key, Array] = {}
    so_far = Trace(spec, inputs, {VALUES: columns})
    with np.errstate(all="ignore"):
        for layer, direction in spec.layer_directions:
            if layer == 0:
                layer_input = inputs.x
            elif known:
                layer_input = joined(known, layer - 1, spec, inputs.valid)
            else:
                layer_input = so_far.hidden(layer - 1)
            own = cell[direction] if isinstance(cell, Mapping) else cell or spec.cell_of(direction)
            column = Column(spec, own, weights[layer, direction], layer_input, inputs.valid, direction, dtype, keep)
            for state in own.states:
                column.start(state, so_far.initial(state, layer, direction), known.get((layer, direction, state)))
            column.run()
            columns |= {(layer, direction, symbol): array for symbol, array in column.quantities().items()}
            if keep_terms:
                terms |= {(layer, direction, symbol): array for symbol, array in column.terms().items()}
            if rounding is not None:
                inherited = (
                    None if layer == 0 or known else joined_bounds(columns, bounds, layer - 1, spec, inputs.valid, rounding)
                )
                off = errors or {}
                if typed:
                    inherited = typed.x if layer == 0 else inherited
                    off = typed.initial(spec.layer_directions.index((layer, direction)))
                half_units = typed.weights[layer, direction] if typed and typed.weights else None
                found = column.bounds(rounding, inherited, off, half_units, limited=not typed)
                bounds |= {(layer, direction, symbol): array for symbol, array in found.items()}
    return Trace(spec, inputs, {VALUES: columns, TERMS: terms, BOUNDS: bounds})


class Column:
    """One layer in one direction. Inside, time runs in the order of computation: for the reverse direction, backwards."""

    def __init__(
        self,
        spec: ModuleSpec,
        cell: Cell,
        weights: LayerWeights,
        x: Array,
        valid: Flags | None,
        direction: str,
        dtype: np.dtype[np.floating],
        keep: Collection[str] | None,
    ) -> None:
        self.sizes = spec.hidden_size, spec.output_size
        self.cell, self.dtype, self.backwards = cell, dtype, direction == REVERSE
        self.keep = keep
        self.weights = weights.astype(dtype)
        self.valid = None if valid is None else self._in_order(valid)
        self.x = self._in_order(x).astype(dtype, copy=False)
        self.steps, self.batch = self.x.shape[:2]
        self.latest = None if self.valid is None else _latest(self.valid)
        self.initial: dict[str, Array] = {}
        self.known: dict[str, Array] = {}
        self.given: dict[str, Array] = {}
        self.off: dict[str, Array] = {}
        self.now: dict[str, Array] = {}

    def start(self, state: str, initial: Array, known: Array | None) -> None:
        """Give a state's value at t = 0 and, to force it, its whole sequence."""
        self.initial[state] = initial.astype(self.dtype, copy=False)
        if known is not None:
            self.known[state] = self._in_order(known)

    def give(self, name: str, sequence: Array, error: Array | None = None) -> None:
        """Give what the cell has beforehand, (T, B, ·), and what it may be off by."""
        self.given[name] = self._in_order(sequence).astype(self.dtype, copy=False)
        if error is not None:
            self.off[name] = self._in_order(error)

    def run(self) -> None:
        """Compute every step of the cell for every t, block by block."""
        there = tuple(self.weights.arrays)
        program = compiled(self.cell, tuple(self.known), self.sizes, there=there, padded=self.valid is not None)
        kept = self._memory({name: program.widths[name] for name, symbols in program.kept.items() if self._keeps(symbols)})
        still = self._matrices(program)
        blocks = self.blocks
        length = blocks[0][1]
        work: dict[str, Array] = {}
        for name in program.widths.keys() - kept.keys():
            array = np.empty(((1 if name in program.each_step else length) * self.batch, program.widths[name]), self.dtype)
            (still if name in program.each_step else work)[name] = array
        for first, last in blocks:
            rows = slice(first * self.batch, last * self.batch)
            arrays = still | {name: array[rows] for name, array in kept.items()} | self._given(program, first, last, kept)
            arrays |= {name: array[: rows.stop - rows.start] for name, array in work.items()}
            arrays |= {name: arrays[whole][:, columns] for name, (whole, columns) in program.columns.items()}
            program.run(self.batch, **{name: arrays[name] for name in program.names})
        for name in kept:
            symbols = program.kept[name]
            array = kept[name].reshape(self.steps, self.batch, len(symbols), -1)
            self.now |= {symbol: array[:, :, place] for place, symbol in enumerate(symbols)}

    def _keeps(self, symbols: Collection[str]) -> bool:
        """Whether any of them is kept."""
        return self.keep is None or any(symbol in self.keep or symbol in self.cell.states for symbol in symbols)

    def _memory(self, widths: Mapping[str, int]) -> dict[str, Array]:
        """Arrays (T·B, ·) of these widths; in one piece, which the system hands out faster than many."""
        rows, ends = self.steps * self.batch, accumulate(widths.values())
        memory = np.empty(rows * sum(widths.values()), self.dtype)
        return {
            name: memory[rows * (end - width) : rows * end].reshape(rows, -1)
            for (name, width), end in zip(widths.items(), ends, strict=True)
        }

    def _matrices(self, program: Program) -> dict[str, Array]:
        """Matrices (N, gates·H) and biases (1, gates·H), in the program's order of gates, and its numbers."""
        weights = self.weights
        arrays: dict[str, Array] = {name: np.full((), value, self.dtype) for name, value in program.constants.items()}
        for name, gates in program.matrices.items():
            matrix, bias = TERM_ROLES[Op.INPUT_TERM if name == "x" else Op.RECURRENT_TERM]
            W, b = (None if role is None else weights.stack(self.cell, role, gates) for role in (matrix, bias))
            assert W is not None
            arrays[f"W_{name}"] = np.ascontiguousarray(W.reshape(-1, W.shape[2]).T)
            if b is not None:
                arrays[f"b_{name}"] = b.reshape(1, -1)
        for name, gates in program.transposed.items():
            W = weights.stack(self.cell, Role.RECURRENT_MATRIX, gates) if gates else weights.block(self.cell, Role.PROJECTION)
            assert W is not None
            arrays[name] = np.ascontiguousarray(W).reshape(-1, W.shape[-1])
        for name, (role, gates) in program.vectors.items():
            p = weights.stack(self.cell, role, gates)
            assert p is not None
            arrays[name] = p.reshape(1, -1)
        if (W_hr := weights.block(self.cell, Role.PROJECTION)) is not None:
            arrays["W_r"] = np.ascontiguousarray(W_hr.T)
        return arrays

    def _given(self, program: Program, first: int, last: int, kept: Mapping[str, Array]) -> dict[str, Array]:
        """What a block of steps reads: x, the known states of the steps before and, of the others, where they start."""
        rows = (last - first) * self.batch
        given = {"x": np.ascontiguousarray(self.x[first:last]).reshape(rows, -1)}
        for name, sequence in self.given.items():
            given[program.of[name]] = np.ascontiguousarray(sequence[first:last]).reshape(rows, -1)
        for state, initial in self.initial.items():
            if state in self.known:
                before = self._before(state, self.known[state], first, last).reshape(rows, -1)
            elif first:
                whole, columns = program.columns.get(program.of[state], (program.of[state], slice(None)))
                before = kept[whole][(first - 1) * self.batch : first * self.batch, columns]
            else:
                before = initial
            given[f"{program.of[state]}_before"] = before
        if self.valid is not None:
            given["ended"] = ~self.valid[first:last].reshape(rows, 1)
        return given

    def quantities(self) -> dict[str, Array]:
        """Every gate and state that is kept, (T, B, ·) in input-time order, NaN where a step does not count."""
        return {symbol: self._in_input_order(self.now[symbol]) for symbol in self.cell.symbols if self._keeps((symbol,))}

    def terms(self) -> dict[str, Array]:
        """The affine terms of every gate, likewise."""
        scope = Scope(self.cell, self.weights)
        names = {Op.INPUT_TERM: input_term_symbol, Op.RECURRENT_TERM: recurrent_term_symbol}
        leaves = [leaf for step in self.cell.steps for leaf in step.expression.walk() if leaf.op in names]
        found = {leaf: np.empty((self.steps, self.batch, self.sizes[0]), self.dtype) for leaf in leaves}
        for first, last in self.blocks:
            before = {state: self._before(state, self._sequence(state), first, last) for state in self.cell.states}
            now = {symbol: array[first:last] for symbol, array in self.now.items()}
            x = self.x[first:last]
            scope.enter(x, scope.input_terms(x), now, before)
            for leaf, array in found.items():
                array[first:last] = evaluate(leaf, scope)
        return {names[leaf.op](leaf.name): self._in_input_order(array) for leaf, array in found.items()}

    @property
    def before(self) -> dict[str, Array]:
        """Every state a step before, (T, B, ·)."""
        return {state: self._before(state, self._sequence(state), 0, self.steps) for state in self.cell.states}

    def _sequence(self, state: str) -> Array:
        """The values of a state that the next step starts from: those that are known, or else its own."""
        return self.known.get(state, self.now[state])

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """First and last step of everything that is computed at once."""
        length = max(BLOCK // self.batch, 1)
        return [(first, min(first + length, self.steps)) for first in range(0, self.steps, length)]

    def bounds(
        self,
        rounding: Format,
        inherited: Array | None,
        errors: Mapping[str, Array],
        half_units: LayerWeights | None,
        *,
        limited: bool,
    ) -> dict[str, Array]:
        """What rounding can do to every gate and state, likewise, where x is off by `inherited`, initial states by `errors`."""

        def bounded(known: Collection[str], x_error: Array | None) -> dict[str, Array]:
            x = Bounded(self.x, np.zeros_like(self.x) if x_error is None else self._in_order(x_error))
            given = {name: Bounded(array, self.off.get(name, np.zeros_like(array))) for name, array in self.given.items()}
            of = self.cell, self.weights, x, self.before, known, self.valid, rounding, errors, half_units
            return error_bounds(*of, given=given)

        found = bounded(self.known, inherited)
        if limited and self.cell.output not in self.known:
            # Through the output such a bound can grow from step to step until it allows anything, and honest errors do not.
            single = bounded(self.cell.states, None)
            found = {symbol: np.minimum(bound, TRAJECTORY * single[symbol]) for symbol, bound in found.items()}
        return {symbol: self._in_input_order(array) for symbol, array in found.items()}

    def _before(self, state: str, sequence: Array, first: int, last: int) -> Array:
        """The state before each step of a block: that of the last step before it that counts, at first the initial one."""
        before = np.empty((last - first, *sequence.shape[1:]), self.dtype)
        if self.latest is not None:
            latest = self.latest[first:last]
            before[:] = sequence[latest, np.arange(self.batch)]
            np.copyto(before, self.initial[state], where=(latest < 0)[..., None])
            return before
        begun = max(first, 1)
        before[: begun - first] = self.initial[state]
        before[begun - first :] = sequence[begun - 1 : last - 1]
        return before

    def _in_order(self, sequence: Any) -> Any:
        return sequence[::-1] if self.backwards else sequence

    def _in_input_order(self, sequence: Array) -> Array:
        if self.valid is not None:
            np.copyto(sequence, self.dtype.type(np.nan), where=~self.valid[..., None])
        ordered: Array = self._in_order(sequence)
        return ordered


def _latest(valid: Flags) -> NDArray[np.int_]:
    """(T, B): before each step, the row of the last one that counts, or -1."""
    return np.concatenate([np.full((1, valid.shape[1]), -1), latest(valid)[:-1]])
