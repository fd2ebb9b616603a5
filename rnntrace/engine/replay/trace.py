"""The trace: every gate and state of a replay, by layer, direction and symbol."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from rnntrace.equations.cell import Cell
from rnntrace.equations.parameters import Role
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key
from rnntrace.model.merges import LAST_OUTPUT, MERGED, MERGES
from rnntrace.model.spec import FORWARD, REVERSE, ModuleSpec


def input_term_symbol(gate: str) -> str:
    """The symbol under which a trace keeps W_ig·x + b_ig."""
    return f"{gate}.input"


def recurrent_term_symbol(gate: str) -> str:
    """The symbol under which a trace keeps W_hg·h + b_hg."""
    return f"{gate}.recurrent"


def term_symbols(cell: Cell) -> tuple[str, ...]:
    """The terms that every gate has, in the order of its gates."""
    names = {Role.INPUT_MATRIX: input_term_symbol, Role.RECURRENT_MATRIX: recurrent_term_symbol}
    return tuple(symbol(gate) for gate in cell.gates for role, symbol in names.items() if cell.of(role, gate))


VALUES, TERMS, BOUNDS = "values", "terms", "bounds"
"""What a trace may hold of each step: gates and states, the affine terms of the gates, and bounds on rounding."""


@dataclass(frozen=True, repr=False)
class Trace:
    """A replay: in each channel (layer, direction, symbol) → array (T, B, H) for t = 1 … T in input-time order.

    `values` are always there; `terms` are the affine terms of the gates, and `bounds` what rounding can do to each value, in a
    single step or since the first. The hidden state of a projected LSTM is (T, B, R). Steps that do not count, masked or behind
    the end of a shorter sequence, are NaN in every quantity and False in `inputs.valid`. Arrays are read-only.
    """

    spec: ModuleSpec
    inputs: Inputs
    channels: Mapping[str, Mapping[Key, Array]]

    def __post_init__(self) -> None:
        for arrays in self.channels.values():
            for array in arrays.values():
                array.flags.writeable = False

    @property
    def columns(self) -> Mapping[Key, Array]:
        """The gates and states."""
        return self.channels[VALUES]

    @property
    def terms(self) -> Mapping[Key, Array]:
        """The affine terms of the gates, if they were kept."""
        return self.channels.get(TERMS, {})

    @property
    def bounds(self) -> "Trace | None":
        """What rounding can do to each value, if that was worked out: a trace of its own, in which initial states are exact."""
        if not self.channels.get(BOUNDS):
            return None
        exact = {state: np.zeros_like(values) for state, values in self.inputs.states.items()}
        return Trace(self.spec, replace(self.inputs, states=exact), {VALUES: self.channels[BOUNDS]})

    def replaced(self, **channels: Mapping[Key, Array]) -> "Trace":
        """The same with other arrays in some channels."""
        return replace(self, channels={**self.channels, **channels})

    def __getitem__(self, key: str | tuple[str] | tuple[str, int] | tuple[str, int, str]) -> Array:
        """`trace["f", 0, "forward"]`; layer and direction may be left out where there is one. KeyError names what there is."""
        symbol, *where = (key,) if isinstance(key, str) else key
        arrays = {**self.columns, **self.terms}
        if symbol not in self._symbols:
            raise KeyError(f"{symbol!r} is not in the trace; it holds the symbols {', '.join(self._symbols)}")
        found = [column for column in self.spec.layer_directions if [*column[: len(where)]] == where]
        if len(found) != 1:
            last, directions = self.spec.num_layers - 1, " or ".join(self.spec.directions)
            raise KeyError(
                f"{key!r} fits {len(found)} arrays of the trace: name a layer from 0 to {last} and a direction, {directions}, "
                f"as in {(symbol, *self.spec.layer_directions[-1])}"
            )
        return arrays[*found[0], symbol]

    def __repr__(self) -> str:
        return f"<Trace of {self.summary}: {', '.join(self._symbols)}>"

    @property
    def summary(self) -> str:
        """What was traced, in one line: `LSTM(3, 2), T=4, B=1`."""
        return f"{self.spec}, T={self.inputs.steps}, B={self.inputs.batch}"

    @property
    def _symbols(self) -> list[str]:
        return list(dict.fromkeys(symbol for *_, symbol in (*self.columns, *self.terms)))

    def __iter__(self) -> Iterator[Key]:
        return iter(self.columns)

    def initial(self, state: str, layer: int, direction: str) -> Array:
        """The state at t = 0 of one layer and direction, (B, ·)."""
        initial: Array = self.inputs.initial(state)[self.spec.layer_directions.index((layer, direction))]
        return initial

    def hidden(self, layer: int) -> Array:
        """What a layer gives to the one above: every direction's output, joined, (T, B, width), zero at padded steps."""
        return joined(self.columns, layer, self.spec, self.inputs.valid)

    @property
    def output(self) -> Array:
        """The last layer's hidden states, (T, B, width), zero at padded steps."""
        return self.hidden(self.spec.num_layers - 1)

    def final(self, state: str) -> Array:
        """A state behind the last step by its symbol: (L·D, B, ·), rows in the order of `spec.layer_directions`.

        Of a sequence without steps it is zero, as in ONNX, whatever the initial state; where every step is masked it is that.
        """
        items = np.arange(self.inputs.batch)
        rows = [
            self.columns[layer, direction, state][self.final_step(direction) - 1, items]
            for layer, direction in self.spec.layer_directions
        ]
        finals = np.stack(rows)
        if self.inputs.lengths is not None and 0 in self.inputs.lengths:
            finals[:, np.equal(self.inputs.lengths, 0)] = 0
        elif self.inputs.mask is not None:
            whole = self.inputs.ends == 0
            finals[:, whole] = self.inputs.initial(state)[:, whole]
        return finals

    def final_step(self, direction: str) -> np.ndarray[tuple[int], np.dtype[np.int_]]:
        """(B,): the t at which each item's state is final: its last step that counts, in reverse its first."""
        if direction == REVERSE:
            return np.ones(self.inputs.batch, int) if self.inputs.mask is None else self.inputs.mask.argmax(axis=0) + 1
        assert direction in (FORWARD, MERGED)
        return self.inputs.ends

    @property
    def outputs(self) -> dict[str, Array]:
        """output, h_n and other final states; time-major.

        Where directions are merged, also `last_output` (1, B, R): both final outputs merged, as return_sequences=False has it.
        """
        finals = {f"{state}_n": self.final(state) for state in self.spec.cell.states}
        last = {LAST_OUTPUT: self.last_output} if self.spec.merges else {}
        return {"output": self.output, **finals, **last}

    @property
    def last_output(self) -> Array:
        """The final outputs of the last layer's two directions, merged, (1, B, R)."""
        forward, reverse = self.final(self.spec.cell.output)[-2:]
        return MERGES[self.spec.merge](forward, reverse)[None]


def joined(columns: Mapping[Key, Array], layer: int, spec: ModuleSpec, valid: Flags | None) -> Array:
    """The outputs of a layer's directions as its output (T, B, width), zero at the steps that do not exist."""
    parts = [columns[layer, direction, spec.cell.output] for direction in spec.directions]
    h = parts[0] if len(parts) == 1 else MERGES[spec.merge_of(layer)](*parts)
    return h if valid is None else np.where(valid[..., None], h, h.dtype.type(0))
