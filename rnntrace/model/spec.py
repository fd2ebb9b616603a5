"""What a recurrent module is: a cell, sizes and options, and which of them contradict one another."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import prod
from typing import Any

from rnntrace.equations import cells
from rnntrace.equations.activations import parse_activation
from rnntrace.equations.cell import Cell
from rnntrace.equations.parameters import Parameter
from rnntrace.equations.plain import as_data, from_data
from rnntrace.errors import SpecError, show
from rnntrace.model.dtypes import DTYPES, Dtype
from rnntrace.model.kinds import KINDS
from rnntrace.model.merges import CONCAT, MERGED
from rnntrace.model.spec_checks import ACTIVATIONS_OF, OF_FAMILIES, USUAL, complaints, complaints_of_options

FORWARD, REVERSE = "forward", "reverse"


@dataclass(frozen=True, kw_only=True)
class ModuleSpec:
    """A recurrent module: a cell, and how often and on what sizes it is repeated, in the terms of torch.nn.

    The `cell` of a kind follows from its options. One of one's own is given in place of a kind, which is then its name:
    `ModuleSpec(cell=MGU, input_size=3, hidden_size=2)`.

    `nonlinearity` is None unless the kind is RNN or RNNCell. The other options are those of `equations.cells`, and torch knows
    only their defaults. Activations are names with numbers, see `parse_activation`: `recurrent_activation` is the gates',
    `activation` the candidate's and, unless `cell_activation` says otherwise, that of the cell state on its way to h; None
    where there are none. `reverse_activations` are those of the reverse direction where they are others: of the gates, the
    candidate and the cell state, as far as there are such, or of an RNN. A module with `reverse` has one direction, from the
    last step to the first. `merge` says how the last layer joins its two directions, see `MERGES`, and `inner_merge` how
    the layers below do, for the one above. Raises SpecError for a module that cannot exist.
    """

    kind: str = ""
    input_size: int
    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    batch_first: bool = False
    nonlinearity: str | None = None
    recurrent_activation: str | None = None
    activation: str | None = None
    cell_activation: str | None = None
    proj_size: int = 0
    dropout: float = 0.0
    dtype: str = "float32"
    reset_after: bool = True
    reverse: bool = False
    peepholes: bool = False
    coupled: bool = False
    clip: float | None = None
    layer_norm: bool = False
    independent: bool = False
    reverse_activations: tuple[str, ...] = ()
    merge: str = CONCAT
    inner_merge: str = CONCAT
    cell: Cell = field(default=None, repr=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "reverse_activations", tuple(self.reverse_activations))
        options = None if self.cell is None else cells.options_of(self.cell)
        if self.cell is not None and options is None:
            self._keep_own_cell()
        else:
            self._choose_cell(options or {})
        for complaint in complaints(self):
            raise SpecError(complaint)

    def __str__(self) -> str:
        """As one would write it: `LSTM(3, 2, num_layers=2)`, without what goes without saying."""
        left_out = {"kind", "input_size", "hidden_size", "cell", *(USUAL.keys() - self.unusual_activations.keys())}
        options = {one: getattr(self, one.name) for one in fields(self) if one.name not in left_out}
        said = [f"{one.name}={value!r}" for one, value in options.items() if value != one.default]
        return f"{self.kind}({', '.join([str(self.input_size), str(self.hidden_size), *said])})"

    def _keep_own_cell(self) -> None:
        """A cell of one's own is what it declares: no option changes it, and its kind is its name."""
        if self.kind not in ("", self.cell.kind):
            raise SpecError(f"the cell {show(self.cell.title)} is no {show(self.kind)}: leave the kind out")
        object.__setattr__(self, "kind", self.cell.kind)
        options = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in OF_FAMILIES:
            if options[name] not in (None, False, ()):
                raise SpecError(f"`{name}` is an option of torch's kinds, and {show(self.cell.title)} is what it declares")
        if not self.reset_after:
            raise SpecError(f"where the reset gate acts belongs to GRU, and {show(self.cell.title)} is what it declares")

    def _choose_cell(self, options: Mapping[str, Any]) -> None:
        """The cell of a kind with its options; a known cell without a kind tells the kind and the options."""
        told: dict[str, Any] = {}
        if not self.kind and options:
            own = {one.name for one in fields(self)}
            told = {"kind": options["family"], **{name: value for name, value in options.items() if name in own}}
        for name, value in told.items():
            object.__setattr__(self, name, value)
        if self.kind not in KINDS:
            raise SpecError(f"unknown module kind {self.kind!r}: choose one of {', '.join(KINDS)}")
        if options and options["family"] != self.family:
            raise SpecError(f"the cell {self.cell.title} is no {self.kind}: leave the kind out")
        for name in ACTIVATIONS_OF[self.family]:
            if getattr(self, name) is None:
                object.__setattr__(self, name, self.activation if name == "cell_activation" else USUAL[name])
            object.__setattr__(self, name, parse_activation(getattr(self, name)))
        object.__setattr__(self, "reverse_activations", tuple(map(parse_activation, self.reverse_activations)))
        if self.reverse_activations == tuple(getattr(self, name) for name in ACTIVATIONS_OF[self.family]):
            object.__setattr__(self, "reverse_activations", ())
        for complaint in complaints_of_options(self):
            raise SpecError(complaint)
        cell = self._declared()
        if told and self.cell != cell:
            raise SpecError(f"{cells.LSTM_PROJECTED.title} needs a proj_size above 0")
        object.__setattr__(self, "cell", cell)

    def _declared(self, **activations: str) -> Cell:
        """The cell of the kind with these options."""
        projected = {"projected": True} if self.proj_size else {}
        own = {name: getattr(self, name) for name in cells.OPTIONS[self.family] if name != "projected"}
        return cells.FAMILIES[self.family](**{**own, **projected, **activations})

    def cell_of(self, direction: str) -> Cell:
        """The cell of one direction: they differ in activations alone."""
        if direction != REVERSE or not self.reverse_activations:
            return self.cell
        return self._declared(**dict(zip(ACTIVATIONS_OF[self.family], self.reverse_activations, strict=True)))

    def one_way(self, direction: str, **sizes: Any) -> "ModuleSpec":
        """One direction of the module as a module of its own, with other sizes where they are given."""
        other = direction == REVERSE and self.reverse_activations
        changes: dict[str, Any] = {"bidirectional": False, "reverse": direction == REVERSE, "reverse_activations": ()}
        changes |= {"merge": CONCAT, "inner_merge": CONCAT, **sizes}
        if other:
            changes |= zip(ACTIVATIONS_OF[self.family], self.reverse_activations, strict=True)
        return replace(self, **changes)

    @property
    def is_custom(self) -> bool:
        """Whether the cell is one of the user's own, and none that torch or Keras has."""
        # Of torch's kinds every activation is told.
        return self.kind not in KINDS or getattr(self, ACTIVATIONS_OF[self.family][0]) is None

    @property
    def family(self) -> str:
        """RNN, LSTM or GRU, for layers and cells alike; of a cell of one's own, its name."""
        return self.kind.removesuffix("Cell") if self.kind in KINDS else self.kind

    @property
    def is_cell(self) -> bool:
        """Whether torch's module is a single step, called once per t."""
        return self.kind in KINDS and self.kind.endswith("Cell")

    @property
    def directions(self) -> tuple[str, ...]:
        """("forward",), ("forward", "reverse") or, where there is no other, ("reverse",)."""
        if self.bidirectional:
            return (FORWARD, REVERSE)
        return (REVERSE,) if self.reverse else (FORWARD,)

    @property
    def layer_directions(self) -> tuple[tuple[int, str], ...]:
        """Every (layer, direction) in the order of h_n: l0 forward, l0 reverse, l1 forward and so on."""
        return tuple((layer, direction) for layer in range(self.num_layers) for direction in self.directions)

    @property
    def output_size(self) -> int:
        """Size of the output, the state h, of one direction: proj_size where there is a projection, else hidden_size."""
        return self.proj_size or self.hidden_size

    def layer_input_size(self, layer: int) -> int:
        """Size of what the layer reads at each step: x for layer 0, what the layer below gives for others."""
        if layer == 0:
            return self.input_size
        return self.output_size * (len(self.directions) if self.inner_merge == CONCAT else 1)

    @property
    def merges(self) -> bool:
        """Whether the two directions of the last layer are joined otherwise than side by side."""
        return self.merge != CONCAT

    def merge_of(self, layer: int) -> str:
        """How a layer joins its two directions."""
        return self.merge if layer == self.num_layers - 1 else self.inner_merge

    @property
    def output_parts(self) -> tuple[str, ...]:
        """Whose units the output has, one after the other: those of each direction, or of both as they are merged."""
        return (MERGED,) if self.merges else self.directions

    @property
    def width(self) -> int:
        """Size of the output: of all its parts."""
        return len(self.output_parts) * self.output_size

    def output_units(self, part: str) -> slice:
        """Which units of the output (T, B, width) are those of a part."""
        first = self.output_parts.index(part) * self.output_size
        return slice(first, first + self.output_size)

    @property
    def has_cell_state(self) -> bool:
        """Whether a cell state c is carried beside the hidden state h."""
        return "c" in self.cell.states

    @property
    def unusual_activations(self) -> dict[str, str]:
        """The activations that do not go without saying, by field; the cell state's usual one is the candidate's."""
        usual = USUAL | {"cell_activation": self.activation}
        return {name: own for name, word in usual.items() if (own := getattr(self, name)) not in (None, word)}

    @property
    def torch_lacks(self) -> str:
        """What of this module torch cannot express, in words; empty if it can."""
        if self.is_custom:
            return f"a {show(self.cell.title)}"
        beside = {
            "peepholes": self.peepholes,
            "coupled gates": self.coupled,
            "clipped sums": self.clip is not None,
            "a layer norm": self.layer_norm,
            "independent units": self.independent,
            "activations of its own in reverse": self.reverse_activations,
            f"layers that merge their directions by {self.inner_merge}": self.inner_merge != CONCAT,
        }
        if has := next((words for words, there in beside.items() if there), ""):
            return f"a module with {has}"
        whose = {"recurrent_activation": "gates are", "activation": "candidate is", "cell_activation": "cell state is"}
        for name, words in whose.items():
            if name in self.unusual_activations:
                return f"a module whose {words} {self.unusual_activations[name]}"
        if self.nonlinearity not in (None, "tanh", "relu"):
            return f"an RNN with {self.nonlinearity}"
        if not self.reset_after:
            return "a GRU that resets before the matrix product"
        return "a module that runs in reverse alone" if self.reverse else ""

    @property
    def precision(self) -> Dtype:
        """The number format."""
        return DTYPES[self.dtype]

    @property
    def declared(self) -> tuple[Parameter, ...]:
        """The parameters of the cell that this module has: all of them, or those that are no biases."""
        return tuple(parameter for parameter in self.cell.parameters if self.bias or not parameter.is_bias)

    def size_of(self, symbol: str) -> int:
        """How many units a gate or state has."""
        return self.output_size if self.cell.size(symbol) == "R" else self.hidden_size

    def shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter of one layer and direction, by its name: (G, H, I), …."""
        sizes = {"H": self.hidden_size, "I": self.layer_input_size(layer), "R": self.output_size}
        return {
            parameter.name: tuple(len(parameter.gates) if size == "G" else sizes[size] for size in parameter.shape)
            for parameter in self.declared
        }

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        # All layers above the first are alike.
        layers, directions = range(min(self.num_layers, 2)), len(self.directions)
        per_layer = [sum(map(prod, self.shapes(layer).values())) * directions for layer in layers]
        return per_layer[0] + sum(per_layer[1:]) * (self.num_layers - 1)

    def document(self) -> dict[str, Any]:
        """The fields as plain data for JSON; the cell only where it is one of the user's own."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "cell"}
        return found | ({"cell": as_data(self.cell)} if self.is_custom else {})

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> "ModuleSpec":
        """The way back from `document`. Raises SpecError, and TypeError for fields that a module does not have."""
        own = {"cell": from_data(found["cell"])} if "cell" in found else {}
        return cls(**{**found, **own})
