"""What a recurrent module is: a cell, sizes and options, and which of them contradict one another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from math import prod
from typing import Any

from rnntrace.equations import cells
from rnntrace.equations.cell import Cell
from rnntrace.equations.parameters import Parameter, Role
from rnntrace.equations.plain import as_data, from_data
from rnntrace.errors import SpecError, show
from rnntrace.model.dtypes import DTYPES, Dtype, is_whole
from rnntrace.model.limits import MAX_LAYERS, MAX_PARAMETERS, over

KINDS = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
NONLINEARITIES = ("tanh", "relu")
GATE_ACTIVATIONS = ("sigmoid", *cells.SLOPES)
FORWARD, REVERSE = "forward", "reverse"


def parse_kind(text: str) -> str:
    """The kind as torch writes it, from `lstm`, `lstm-cell`, `LSTMCell`, … Raises SpecError for anything else."""
    known = {kind.lower(): kind for kind in KINDS}
    try:
        return known[text.lower().replace("-", "").replace("_", "")]
    except KeyError:
        choices = ", ".join(command_name(kind) for kind in KINDS)
        raise SpecError(f"unknown module kind {text!r}: choose one of {choices}") from None


def command_name(kind: str) -> str:
    """The kind as it is typed on the command line: `lstm-cell` for `LSTMCell`."""
    return kind.removesuffix("Cell").lower() + ("-cell" if kind.endswith("Cell") else "")


@dataclass(frozen=True, kw_only=True)
class ModuleSpec:
    """A recurrent module: a cell, and how often and on what sizes it is repeated, in the terms of torch.nn.

    The `cell` of a kind follows from its options. One of one's own is given in place of a kind, which is then its name:
    `ModuleSpec(cell=MGU, input_size=3, hidden_size=2)`.

    `nonlinearity` is None unless the kind is RNN or RNNCell. Three fields are of other frameworks, and torch knows only their
    defaults: `recurrent_activation` is that of the gates, None where there are none; `reset_after` tells where a GRU's reset
    gate acts, after or before the matrix product; a module with `reverse` has one direction, from the last step to the
    first. Raises SpecError for a module that cannot exist.
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
    proj_size: int = 0
    dropout: float = 0.0
    dtype: str = "float32"
    reset_after: bool = True
    reverse: bool = False
    cell: Cell = field(default=None, repr=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        options = None if self.cell is None else cells.options_of(self.cell)
        if self.cell is not None and options is None:
            self._keep_own_cell()
        else:
            self._choose_cell(options or {})
        for complaint in self._complaints():
            raise SpecError(complaint)

    def __str__(self) -> str:
        """As one would write it: `LSTM(3, 2, num_layers=2)`, without what goes without saying."""
        usual = {"nonlinearity": (None, "tanh"), "recurrent_activation": (None, "sigmoid")}
        options = [one for one in fields(self) if one.name not in ("kind", "input_size", "hidden_size", "cell")]
        named = {one.name: getattr(self, one.name) for one in options}
        said = [
            f"{one.name}={named[one.name]!r}" for one in options if named[one.name] not in usual.get(one.name, (one.default,))
        ]
        return f"{self.kind}({', '.join([str(self.input_size), str(self.hidden_size), *said])})"

    def _keep_own_cell(self) -> None:
        """A cell of one's own is what it declares: no option changes it, and its kind is its name."""
        if self.kind not in ("", self.cell.kind):
            raise SpecError(f"the cell {show(self.cell.title)} is no {show(self.kind)}: leave the kind out")
        object.__setattr__(self, "kind", self.cell.kind)

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
        if self.family == "RNN" and self.nonlinearity is None:
            object.__setattr__(self, "nonlinearity", "tanh")
        if self.family in ("LSTM", "GRU") and self.recurrent_activation is None:
            object.__setattr__(self, "recurrent_activation", "sigmoid")
        cell = cells.standard(
            self.family,
            nonlinearity=self.nonlinearity,
            projected=bool(self.proj_size),
            reset_after=self.reset_after,
            recurrent_activation=self.recurrent_activation,
        )
        if told and self.cell != cell:
            raise SpecError(f"{cells.LSTM_PROJECTED.title} needs a proj_size above 0")
        object.__setattr__(self, "cell", cell)

    def _complaints(self) -> Iterator[str]:
        kind = self.kind
        for name, size in (
            ("input size", self.input_size),
            ("hidden size", self.hidden_size),
            ("number of layers", self.num_layers),
        ):
            if not is_whole(size):
                yield f"the {name} must be a whole number, not {size!r}"
            if size < 1:
                yield f"the {name} must be at least 1, not {size}"
        if self.dtype not in DTYPES:
            yield f"unknown dtype {self.dtype!r}: choose one of {', '.join(DTYPES)}"
        if self.family != "RNN" and self.nonlinearity is not None:
            yield f"`nonlinearity` belongs to RNN and RNNCell: {kind} has fixed activations, leave it out"
        if self.nonlinearity not in (None, *NONLINEARITIES):
            yield f"unknown nonlinearity {self.nonlinearity!r}: choose tanh or relu"
        if self.family not in ("LSTM", "GRU") and self.recurrent_activation is not None:
            yield f"the activation of gates belongs to LSTM and GRU: {kind} has no gates"
        if self.recurrent_activation not in (None, *GATE_ACTIVATIONS):
            yield f"unknown activation of gates {self.recurrent_activation!r}: choose one of {', '.join(GATE_ACTIVATIONS)}"
        projects = any(parameter.role is Role.PROJECTION for parameter in self.cell.parameters)
        if self.proj_size and (self.is_cell or not projects):
            yield f"`proj_size` belongs to LSTM alone: torch's {kind} has no projection, leave it out"
        if self.proj_size < 0 or self.proj_size >= max(self.hidden_size, 1):
            yield f"the projection size must be at least 0 and below the hidden size {self.hidden_size}, not {self.proj_size}"
        if projects and not self.proj_size:
            yield f"the {kind} projects its hidden state: give a proj_size above 0"
        if not 0 <= self.dropout <= 1:
            yield f"dropout is a probability between 0 and 1, not {self.dropout:g}"
        if self.is_cell:
            layer_options = {
                "`num_layers`": self.num_layers > 1,
                "`bidirectional`": self.bidirectional,
                "`batch_first`": self.batch_first,
                "`dropout`": self.dropout > 0,
            }
            for option, given in layer_options.items():
                if given:
                    yield f"{option} does not apply to {kind}: a cell is one step of one layer; use {self.family} instead"
        if self.reverse and self.bidirectional:
            yield "a module is bidirectional or runs in reverse alone, not both"
        if not self.reset_after and self.family != "GRU":
            yield f"where the reset gate acts belongs to GRU: {kind} has none"
        if self.num_layers > MAX_LAYERS:
            yield f"{self.num_layers} layers are {over('MAX_LAYERS', MAX_LAYERS)}: use fewer"
        if self.parameters > MAX_PARAMETERS:
            limit = over("MAX_PARAMETERS", MAX_PARAMETERS)
            yield f"a module of {self.parameters:,} parameters is {limit}: make it smaller"

    @property
    def is_custom(self) -> bool:
        """Whether the cell is one of the user's own, and none that torch or Keras has."""
        return cells.options_of(self.cell) is None

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
        """Size of what the layer reads at each step: x for layer 0, every direction's h of the layer below for others."""
        return self.input_size if layer == 0 else self.output_size * len(self.directions)

    def output_units(self, direction: str) -> slice:
        """Which units of the output (T, B, D·R) a direction gives."""
        first = self.directions.index(direction) * self.output_size
        return slice(first, first + self.output_size)

    @property
    def has_cell_state(self) -> bool:
        """Whether a cell state c is carried beside the hidden state h."""
        return "c" in self.cell.states

    @property
    def torch_lacks(self) -> str:
        """What of this module torch cannot express, in words; empty if it can."""
        if self.is_custom:
            return f"a {show(self.cell.title)}"
        if self.recurrent_activation not in (None, "sigmoid"):
            return f"a module whose gates are {self.recurrent_activation}"
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


def command_line(spec: ModuleSpec) -> str:
    """The arguments of `rnntrace run` that describe a module: `lstm -i 3 -H 2 --layers 2 --bidirectional`."""
    words = [command_name(spec.kind), f"-i {spec.input_size}", f"-H {spec.hidden_size}"]
    if spec.num_layers > 1:
        words.append(f"--layers {spec.num_layers}")
    if spec.bidirectional:
        words.append("--bidirectional")
    if not spec.bias:
        words.append("--no-bias")
    if spec.proj_size:
        words.append(f"--proj-size {spec.proj_size}")
    return " ".join(words)
