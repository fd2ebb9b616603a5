"""A module from plain arrays as a framework arranges them: stacked or gate by gate, transposed, joined, one bias or two."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rnntrace.errors import WeightsError
from rnntrace.model.conventions import GRU, KERAS, LSTM, RNN, TORCH, Convention
from rnntrace.model.dtypes import Array
from rnntrace.model.names import BIAS, JOINED, PEEPHOLES, gate_of, kind_with
from rnntrace.model.spec import FORWARD, REVERSE, ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

GATES = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
"""By kind: torch's letters, in torch's order."""
Slot = tuple[str, tuple[str, ...]]
"""A part and words for the gates that an array of it has blocks for; none where it has those that no other array has."""
Column = Mapping[Slot, Array]
"""The arrays of one layer and direction."""
_MATRICES = ("weight_ih", "weight_hh", JOINED)
_PARAMETERS = {"weight_ih": "W_ih", "weight_hh": "W_hh", "bias_ih": "b_ih", "bias_hh": "b_hh", PEEPHOLES: "p", JOINED: JOINED}
"""By part: the parameter of a cell."""


@dataclass(frozen=True)
class Arranged:
    """A module, its weights as they are stored, and how many of these are zeros that no array holds.

    `assumed` are the fields of the spec that neither the arrays nor the framework tell.
    """

    spec: ModuleSpec
    weights: Weights
    absent: int
    assumed: tuple[str, ...] = ()


def arranged(row: Convention, columns: Mapping[tuple[int, str], Column], dtype: str) -> Arranged:
    """The module whose layers and directions have these arrays, arranged as in a framework.

    Arrays with an axis of directions in front, as ONNX has them, are those of both. Raises WeightsError where shapes do not go
    together, and where the convention does not tell what would have to be known.
    """
    layers = {place: _Layer(row, column) for place, column in _by_direction(columns).items()}
    first = layers.get((0, FORWARD))
    if first is None:
        raise WeightsError("a recurrent module has a first layer that runs forward, and the weights have none")
    arrays = {place: layer.stacked() for place, layer in layers.items()}
    found = arrays[0, FORWARD]
    spec = ModuleSpec(
        kind=first.kind,
        input_size=found["W_ih"].shape[2],
        hidden_size=first.hidden,
        num_layers=max(number for number, _ in layers) + 1,
        bidirectional=any(direction == REVERSE for _, direction in layers),
        bias="b_ih" in found,
        peepholes="p" in found,
        reset_after=first.kind != "GRU" or _resets_after(row, first.biases),
        dtype=dtype,
    )
    for place in spec.layer_directions:
        shapes = {name: array.shape for name, array in arrays.get(place, {}).items()}
        if shapes != spec.shapes(place[0]):
            raise WeightsError(f"layer {place[0]}, {place[1]}, should have shapes {spec.shapes(place[0])}, and has {shapes}")
    if extra := sorted({*arrays} - {*spec.layer_directions}):
        raise WeightsError(f"there is a layer {extra[0][0]}, {extra[0][1]}, that {spec} does not have")
    held = sum(array.size for column in columns.values() for array in column.values())
    weights = Weights({place: LayerWeights(arrays=arrays[place]) for place in spec.layer_directions})
    assumed = ("reset_after",) if first.kind == "GRU" and row.reset_is_option and not _resets_told(row, first.biases) else ()
    return Arranged(spec, weights, spec.parameters - held, assumed)


def stacked(row: Convention, column: Column) -> dict[str, Array]:
    """Every parameter of one layer and direction as the cell has it. Raises WeightsError as `arranged` does."""
    return _Layer(row, column).stacked()


def at_run_time(row: Convention, found: Arranged) -> Weights:
    """The weights as they act: with the forget bias that the framework adds, and with z negated where it keeps by 1 - z."""
    spec, weights = found.spec, found.weights
    if spec.family == "LSTM" and row.forget_bias and spec.bias:
        added = row.forget_bias * (np.array([*LSTM]) == "f")
        return _changed(weights, lambda name, array: array + added[:, None].astype(array.dtype) if name == "b_ih" else array)
    if spec.family == "GRU" and row.keeps == "1 - z":
        signs = np.where(np.array([*GRU]) == "z", -1.0, 1.0)
        return _changed(weights, lambda _, array: array * signs.reshape(3, *[1] * (array.ndim - 1)).astype(array.dtype))
    return weights


def _changed(weights: Weights, change: Callable[[str, Array], Array]) -> Weights:
    return Weights(
        {
            place: LayerWeights(arrays={name: change(name, array) for name, array in column.arrays.items()})
            for place, column in weights.columns.items()
        }
    )


def _by_direction(columns: Mapping[tuple[int, str], Column]) -> dict[tuple[int, str], Column]:
    """Arrays with an axis of directions in front apart."""
    found: dict[tuple[int, str], Column] = {}
    for (layer, direction), column in columns.items():
        axes = {array.ndim for (part, _), array in column.items() if part in _MATRICES}
        if direction != FORWARD or 3 not in axes:
            found[layer, direction] = column
            continue
        ways = {array.shape[:1] for array in column.values()}
        if axes != {3} or len(ways) > 1 or not ways <= {(1,), (2,)}:
            shapes = ", ".join(str(array.shape) for array in column.values())
            raise WeightsError(f"arrays of three axes should all have one direction in front, or two, and have shapes {shapes}")
        for number, name in enumerate((FORWARD, REVERSE)[: ways.pop()[0]]):
            found[layer, name] = {slot: array[number] for slot, array in column.items()}
    return found


def _resets_told(row: Convention, biases: int) -> bool:
    """Whether the biases of a GRU show where its reset gate acts: a second one that is there for a reset after the product."""
    return biases > 0 if row.framework == KERAS else row.gru_biases == 1 and biases == 2


def _resets_after(row: Convention, biases: int) -> bool:
    """Whether a GRU's reset gate acts after the matrix product. A Keras GRU that resets before it has one bias."""
    if row.framework == KERAS:
        return biases != 1
    if row.reset_is_option and _resets_told(row, biases):
        return True
    if not (row.reset and row.keeps):
        raise WeightsError(
            f"what the update and the reset gate of {row.framework} do is not known: reorder the arrays as torch's"
        )
    return row.reset == "after"


class _Layer:
    """The arrays of one layer and direction; `kind`, `hidden` size and `biases` as they tell. Raises WeightsError."""

    def __init__(self, row: Convention, column: Column) -> None:
        self._row, self._column = row, column
        self._check_parts()
        joined = JOINED in {part for part, _ in column}
        recurrent = {slot: array for slot, array in column.items() if slot[0] == (JOINED if joined else "weight_hh")}
        for (part, _), array in column.items():
            if part in _MATRICES and (array.ndim != 2 or 0 in array.shape):
                raise WeightsError(f"{part} should have two dimensions above 0, and has shape {array.shape}")
        words = [word for _, named in recurrent for word in named]
        whole = [array for (_, named), array in recurrent.items() if not named]
        self._transposed = self._is_transposed(whole)
        gates_axis = 1 if self._transposed else 0
        if words and not whole:
            kind = kind_with(words)
            if kind is None:
                raise WeightsError(f"gates called {', '.join(sorted(words))} are not all those of an LSTM or GRU, or more")
            (_, named), array = next(iter(recurrent.items()))
            self.hidden = array.shape[gates_axis] // len(named)
        elif joined:
            # Torch's other kinds are never one matrix alone in a framework that is known.
            kind, self.hidden = "LSTM", whole[0].shape[gates_axis] // len(LSTM)
        else:
            self.hidden = whole[0].shape[1 - gates_axis]
            count, rest = divmod(whole[0].shape[gates_axis], self.hidden)
            kind = next((kind for kind, gates in GATES.items() if len(gates) == count + len(words) and not rest), None)
            if kind is None:
                raise WeightsError(
                    f"weight_hh of shape {whole[0].shape} is of no RNN, GRU or LSTM in the layout of {row.framework}: "
                    f"expected {self._shape('1, 3 or 4 · H', 'H')}"
                )
        self.kind = kind
        self.biases = len({"bias_ih" if part == BIAS else part for part, _ in column} & {"bias_ih", "bias_hh"})
        orders = {"LSTM": row.lstm, "GRU": row.gru, "RNN": RNN}
        self._order = orders[kind]
        if not self._order:
            raise WeightsError(
                f"{row.framework} has no {kind}: expected {' or '.join(name for name in orders if orders[name])}"
            )

    def stacked(self) -> dict[str, Array]:
        """Every parameter as the cell has it, with the blocks of its gates in torch's order."""
        found: dict[str, dict[str, Array]] = {}
        for (part, words), array in self._column.items():
            gates = self._gates(part, words)
            for own, values in self._parts(part, array, len(gates)):
                for gate, block in zip(gates, self._apart(own, values, len(gates)), strict=True):
                    blocks = found.setdefault(_PARAMETERS[own], {})
                    if gate in blocks:
                        raise WeightsError(f"two arrays are both {own} of gate {gate}: see `names`")
                    blocks[gate] = block
        if JOINED in found:
            found = {**self._split(found.pop(JOINED)), **found}
        arrays = {name: self._in_order(name, blocks) for name, blocks in found.items()}
        # A bias that the framework adds by itself is there, and so is torch's second one.
        if {"b_ih", "b_hh"} & {*arrays} or (self.kind == "LSTM" and self._row.forget_bias):
            zero = np.zeros_like(arrays["W_hh"][:, :, 0])
            arrays = {**arrays, "b_ih": arrays.get("b_ih", zero), "b_hh": arrays.get("b_hh", zero)}
        return arrays

    def _check_parts(self) -> None:
        parts = {part for part, _ in self._column}
        if JOINED not in parts:
            for part in ("weight_ih", "weight_hh"):
                if part not in parts:
                    raise WeightsError(f"a recurrent module has a {part}, and the weights have none")
        elif parts & {"weight_ih", "weight_hh"}:
            raise WeightsError("there is one matrix on x and h together, and another on one of them: see `names`")
        elif not self._row.joined:
            raise WeightsError("one matrix acts on x and h together, and which of them comes first is not known: see `layout`")
        if BIAS in parts and parts & {"bias_ih", "bias_hh"}:
            raise WeightsError("there is one bias that stands for both, and another one: see `names`")

    def _is_transposed(self, whole: list[Array]) -> bool:
        """Where a convention does not tell, stacked matrices do."""
        if self._row.transposed is not None:
            return self._row.transposed
        if not whole or whole[0].shape[0] == whole[0].shape[1]:
            raise WeightsError(
                f"whether the matrices of {self._row.framework} are transposed is not known: name them as torch's"
            )
        return bool(whole[0].shape[0] < whole[0].shape[1])

    def _shape(self, gates: str, columns: str) -> str:
        return f"({columns}, {gates})" if self._transposed else f"({gates}, {columns})"

    def _gates(self, part: str, words: tuple[str, ...]) -> list[str]:
        """Torch's letters of the gates that an array has blocks for, from its first block to its last."""
        order = self._row.peepholes if part == PEEPHOLES else self._order
        taken = [gate_of(word, self.kind) or "" for own, named in self._column if own == part for word in named]
        if "" in taken:
            raise WeightsError(f"a gate of {part} is none of an {self.kind}: see `names`")
        named = [gate_of(word, self.kind) or "" for word in words]
        return named or [gate for gate in order if gate not in taken]

    def _parts(self, part: str, array: Array, gates: int) -> Iterator[tuple[str, Array]]:
        """A matrix as it is, and vectors without axes of length 1: one, or the two that lie behind one another."""
        if part in _MATRICES:
            yield part, array
            return
        size, own = gates * self.hidden, "bias_ih" if part == BIAS else part
        if array.size == size and array.shape in ((size,), (size, 1), (1, size)):
            yield own, array.reshape(size)
            return
        flat = array.shape in ((2 * size,), (2 * size, 1)) and self._row.framework != KERAS
        if own == "bias_ih" and ("bias_hh", ()) not in self._column and (flat or array.shape == (2, size)):
            self.biases = 2
            yield from zip(("bias_ih", "bias_hh"), array.reshape(2, size), strict=True)
            return
        raise WeightsError(
            f"{part} should have shape ({size},) for {gates} gate{'s' * (gates != 1)}, and has shape {array.shape}"
        )

    def _apart(self, part: str, array: Array, gates: int) -> Iterator[Array]:
        """The blocks of gates as torch has them: (H, ·) of a matrix."""
        if part in _MATRICES and self._transposed:
            array = array.T
        if len(array) != gates * self.hidden:
            found = array.T.shape if part in _MATRICES and self._transposed else array.shape
            raise WeightsError(
                f"{part} should have shape {self._shape(str(gates * self.hidden), '·')} in the layout of "
                f"{self._row.framework}, and has shape {found}{self._turned(array, gates)}"
            )
        for number in range(gates):
            yield array[number::gates] if self._row.interleaved else array[number * self.hidden : (number + 1) * self.hidden]

    def _turned(self, array: Array, gates: int) -> str:
        """What to do about a matrix of torch's that lies the other way round."""
        is_turned = self._row.framework == TORCH and array.ndim == 2 and array.shape[1] == gates * self.hidden
        return ": if matrices are (input, gates · H), as in Keras, pass `layout=keras`" if is_turned else ""

    def _split(self, blocks: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
        """What acts on x and what acts on h, of blocks (H, I + H) on both."""
        width = next(iter(blocks.values())).shape[1]
        if width <= self.hidden:
            raise WeightsError(f"one matrix on x and h has {self.hidden} units and should have more columns, and has {width}")
        h = slice(0, self.hidden) if self._row.joined == "hx" else slice(width - self.hidden, width)
        x = slice(self.hidden, width) if self._row.joined == "hx" else slice(0, width - self.hidden)
        return {name: {gate: block[:, part] for gate, block in blocks.items()} for name, part in (("W_ih", x), ("W_hh", h))}

    def _in_order(self, name: str, blocks: Mapping[str, Array]) -> Array:
        """The blocks of a parameter in torch's order. A second bias may be that of some gates alone, and is zero elsewhere."""
        gates = "ifo" if name == "p" else GATES[self.kind]
        shapes = {block.shape for block in blocks.values()}
        missing = [gate for gate in gates if gate not in blocks]
        if len(shapes) > 1 or (missing and name != "b_hh"):
            what = f"no block of {', '.join(missing)}" if missing else f"blocks of shapes {', '.join(map(str, sorted(shapes)))}"
            raise WeightsError(f"{name} should have a block of one shape for each of {', '.join(gates)}, and has {what}")
        zero = np.zeros_like(next(iter(blocks.values())))
        return np.stack([blocks.get(gate, zero) for gate in gates])
