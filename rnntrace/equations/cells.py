"""Every cell, declared once.

The replay, the formulas, the order of the gate blocks in a weight matrix, the column headings and the documentation of
each cell are read from here. Sources: the equations in the documentation of torch.nn.RNN, LSTM and GRU; the GRU with the
reset gate before the matrix product is Cho et al. 2014 (arXiv:1406.1078), ONNX's `linear_before_reset = 0` and Keras'
`reset_after=False`; the projected LSTM is Sak et al. 2014 (arXiv:1402.1128) without peepholes; the hard sigmoids are Keras'
(keras/src/backend/numpy/nn.py, and keras/backend/tensorflow_backend.py of Keras 2.2).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from typing import Any

from rnntrace.equations.expression import (
    Expr,
    Op,
    before,
    hard_sigmoid,
    input_term,
    now,
    projection,
    recurrent_term,
    relu,
    sigmoid,
    tanh,
)
from rnntrace.equations.parameters import BIASES, TERMS, Parameter, Role, find, read_by, torch_parameters
from rnntrace.errors import SpecError, show


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a cell: `symbol` at time t is `expression`; `role` is its name in words."""

    symbol: str
    role: str
    expression: Expr


@dataclass(frozen=True, slots=True)
class Cell:
    """A recurrent cell.

    `gates` are the blocks of its parameters in canonical order, `states` what is carried from step to step (the hidden state
    h first), `steps` the equations in the order in which they can be computed. `parameters` are what the steps read; left
    out, they have torch's names. `kind` names the cell in messages. Raises SpecError for a declaration that cannot be computed.
    """

    kind: str
    title: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    steps: tuple[Step, ...] = field(repr=False)
    parameters: tuple[Parameter, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.parameters:
            object.__setattr__(self, "parameters", torch_parameters([step.expression for step in self.steps], self.gates))
        for complaint in self._complaints():
            raise SpecError(show(f"the cell {self.title} {complaint}"))

    def _complaints(self) -> Iterator[str]:
        if not all((*self.gates, *self.symbols)):
            yield "has a gate or a quantity without a name"
        yield from self._of_parameters()
        yield from self._of_steps()

    def _of_parameters(self) -> Iterator[str]:
        gates = ", ".join(self.gates)
        for number, parameter in enumerate(self.parameters):
            own = ", ".join(parameter.gates) or "none"
            if parameter.name in ("", *(other.name for other in self.parameters[:number])):
                yield f"has parameters without a name or of one name, {parameter.name!r}"
            if not set(parameter.gates) <= set(self.gates) or (own == "none") != (parameter.role is Role.PROJECTION):
                yield f"has gates {gates}, and its {parameter.name} blocks for {own}"
        for role, readers in read_by([step.expression for step in self.steps], self.gates):
            for gate in () if role in BIASES else readers or ("",):
                if self.of(role, gate) is None:
                    yield f"has no {role}" + (f" for {gate}" if gate else "")

    def _of_steps(self) -> Iterator[str]:
        done: set[str] = set()
        for step in self.steps:
            for leaf in step.expression.walk():
                if leaf.op is Op.NOW and leaf.name not in done:
                    yield f"reads {leaf.name} of this step for {step.symbol}, before it is computed"
                if leaf.op in TERMS and leaf.op is not Op.PROJECTION and leaf.name not in self.gates:
                    yield f"reads the weights of {leaf.name}, and its gates are {', '.join(self.gates)}"
                if leaf.op is Op.BEFORE and leaf.name not in self.states:
                    yield f"reads {leaf.name} of the step before for {step.symbol}, and its states are {', '.join(self.states)}"
            if step.symbol in done:
                yield f"computes {step.symbol} twice"
            done.add(step.symbol)
        for state in self.states:
            if state not in done:
                yield f"has a state {state}, and no step computes it"
        if "h" not in self.states:
            yield "has no state h, which is its output"

    @property
    def slug(self) -> str:
        """Its kind as it stands in the names of mistakes: small letters and digits."""
        return "".join(letter for letter in self.kind.lower() if letter.isalnum())

    def of(self, role: Role, gate: str = "") -> Parameter | None:
        """The parameter that plays this role for the gate, if there is one."""
        return find(self.parameters, role, gate)

    def size(self, symbol: str) -> str:
        """The named size of a quantity: R of what is projected, else H."""
        return "R" if any(step.symbol == symbol and step.expression.op is Op.PROJECTION for step in self.steps) else "H"

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every quantity of a step, in the order of computation."""
        return tuple(step.symbol for step in self.steps)

    @property
    def sigmoids(self) -> tuple[str, ...]:
        """The gates from 0 to 1; every other quantity has a sign."""
        return tuple(step.symbol for step in self.steps if step.expression.op in (Op.SIGMOID, Op.HARD_SIGMOID))

    @property
    def roles(self) -> dict[str, str]:
        """The name in words of each symbol."""
        return {step.symbol: step.role for step in self.steps}


h_before, c_before = before("h"), before("c")
i, f, g, o = now("i"), now("f"), now("g"), now("o")
r, z, n = now("r"), now("z"), now("n")
c = now("c")


def affine(gate: str) -> Expr:
    """What a gate sees of the input and of the hidden state before."""
    return input_term(gate) + recurrent_term(gate, h_before)


RNN_TANH = Cell(
    kind="RNN",
    title="RNN with tanh",
    gates=("h",),
    states=("h",),
    steps=(Step("h", "hidden state", tanh(affine("h"))),),
)

RNN_RELU = Cell(
    kind="RNN",
    title="RNN with ReLU",
    gates=("h",),
    states=("h",),
    steps=(Step("h", "hidden state", relu(affine("h"))),),
)

_LSTM_TO_CELL_STATE = (
    Step("i", "input gate", sigmoid(affine("i"))),
    Step("f", "forget gate", sigmoid(affine("f"))),
    Step("g", "candidate", tanh(affine("g"))),
    Step("o", "output gate", sigmoid(affine("o"))),
    Step("c", "cell state", f * c_before + i * g),
)

LSTM = Cell(
    kind="LSTM",
    title="LSTM",
    gates=("i", "f", "g", "o"),
    states=("h", "c"),
    steps=(*_LSTM_TO_CELL_STATE, Step("h", "hidden state", o * tanh(c))),
)

LSTM_PROJECTED = Cell(
    kind="LSTM",
    title="LSTM with projection",
    gates=("i", "f", "g", "o"),
    states=("h", "c"),
    steps=(*_LSTM_TO_CELL_STATE, Step("h", "hidden state", projection(o * tanh(c)))),
)

_GRU_RESET = Step("r", "reset gate", sigmoid(affine("r")))
_GRU_UPDATE = Step("z", "update gate", sigmoid(affine("z")))
_GRU_HIDDEN = Step("h", "hidden state", (1 - z) * n + z * h_before)

GRU = Cell(
    kind="GRU",
    title="GRU (reset after the matrix product)",
    gates=("r", "z", "n"),
    states=("h",),
    steps=(
        _GRU_RESET,
        _GRU_UPDATE,
        Step("n", "candidate", tanh(input_term("n") + r * recurrent_term("n", h_before))),
        _GRU_HIDDEN,
    ),
)

GRU_RESET_BEFORE = Cell(
    kind="GRU",
    title="GRU (reset before the matrix product)",
    gates=("r", "z", "n"),
    states=("h",),
    steps=(
        _GRU_RESET,
        _GRU_UPDATE,
        Step("n", "candidate", tanh(input_term("n") + recurrent_term("n", r * h_before))),
        _GRU_HIDDEN,
    ),
)

TORCH_CELLS = (RNN_TANH, LSTM, GRU)
"""One of each kind that torch has: a file's kind is told by how many blocks its matrices stack."""
SLOPES = {"hard_sigmoid": 0.2, "hard_sigmoid_keras3": 1 / 6}
"""Of the hard sigmoids that gates may have for the sigmoid: Keras' before version 3 (and ONNX' default), and Keras 3's."""


@cache
def gated(cell: Cell, activation: str) -> Cell:
    """The cell with another activation of its gates: `sigmoid`, which they have, or one of SLOPES."""
    if activation not in SLOPES:
        return cell
    steps = (
        replace(step, expression=hard_sigmoid(step.expression.args[0], SLOPES[activation]))
        if step.symbol in cell.sigmoids
        else step
        for step in cell.steps
    )
    return replace(cell, title=f"{cell.title}, gates {activation}", steps=tuple(steps))


CELLS = (
    RNN_TANH,
    RNN_RELU,
    LSTM,
    LSTM_PROJECTED,
    GRU,
    GRU_RESET_BEFORE,
    gated(LSTM, "hard_sigmoid"),
    gated(GRU_RESET_BEFORE, "hard_sigmoid"),
    gated(GRU, "hard_sigmoid_keras3"),
)


def standard(
    family: str,
    *,
    nonlinearity: str | None = None,
    projected: bool = False,
    reset_after: bool = True,
    recurrent_activation: str | None = None,
) -> Cell:
    """The RNN, LSTM or GRU with these options."""
    if family == "RNN":
        return RNN_RELU if nonlinearity == "relu" else RNN_TANH
    if family == "LSTM":
        return gated(LSTM_PROJECTED if projected else LSTM, recurrent_activation or "sigmoid")
    return gated(GRU if reset_after else GRU_RESET_BEFORE, recurrent_activation or "sigmoid")


@cache
def options_of(cell: Cell) -> dict[str, Any] | None:
    """What `standard` takes for this cell; None for a cell of one's own."""
    families: dict[str, dict[str, tuple[Any, ...]]] = {
        "RNN": {"nonlinearity": ("tanh", "relu")},
        "LSTM": {"projected": (False, True), "recurrent_activation": ("sigmoid", *SLOPES)},
        "GRU": {"reset_after": (True, False), "recurrent_activation": ("sigmoid", *SLOPES)},
    }
    for family, choices in families.items():
        for values in product(*choices.values()):
            options = {"family": family, **dict(zip(choices, values, strict=True))}
            if standard(**options) == cell:
                return options
    return None
