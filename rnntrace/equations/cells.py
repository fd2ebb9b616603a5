"""Every cell, declared once.

The replay, the formulas, the order of the gate blocks in a weight matrix, the column headings and the documentation of
each cell are read from here. Sources: the equations in the documentation of torch.nn.RNN, LSTM and GRU; the GRU with the
reset gate before the matrix product is Cho et al. 2014 (arXiv:1406.1078), ONNX's `linear_before_reset = 0` and Keras'
`reset_after=False`; the projected LSTM is Sak et al. 2014 (arXiv:1402.1128) without peepholes; the hard sigmoids are Keras'
(keras/src/backend/numpy/nn.py, and keras/backend/tensorflow_backend.py of Keras 2.2).
"""

from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import (
    Expr,
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
