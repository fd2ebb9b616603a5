"""The RNN, LSTM and GRU, declared once, as functions of their options.

The replay, the formulas, the order of the gate blocks in a weight matrix, the column headings and the documentation of
each cell are read from here. Sources: the equations in the documentation of torch.nn.RNN, LSTM and GRU; the GRU with the
reset gate before the matrix product is Cho et al. 2014 (arXiv:1406.1078), ONNX's `linear_before_reset = 0` and Keras'
`reset_after=False`; projection and peepholes of the LSTM are those of Sak et al. 2014 (arXiv:1402.1128); coupled gates and
clipped sums are ONNX's `input_forget` and `clip` (onnx/defs/rnn/defs.cc); the layer norm is that of Ba et al. 2016
(arXiv:1607.06450), of each gate by itself; independent units are the IndRNN of Li et al. 2018 (arXiv:1803.04831).
"""

from collections.abc import Callable
from functools import cache, wraps
from inspect import signature
from typing import Any

from rnntrace.equations import expression as ex
from rnntrace.equations.activations import activated
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import Expr, before, diagonal, input_term, now, projection, recurrent_term
from rnntrace.equations.parameters import torch_parameters

h_before, c_before = before("h"), before("c")
i, f, g, o = now("i"), now("f"), now("g"), now("o")
r, z, n = now("r"), now("z"), now("n")
c = now("c")

_OPTIONS: dict[Cell, dict[str, Any]] = {}


def _declared(declare: Callable[..., Cell]) -> Callable[..., Cell]:
    """The function, which declares each cell once, and remembers of which options it is."""
    usual = {name: option.default for name, option in signature(declare).parameters.items()}

    @cache
    @wraps(declare)
    def of(**options: Any) -> Cell:
        cell = declare(**options)
        _OPTIONS.setdefault(cell, {"family": cell.kind, **usual, **options})
        return cell

    return of


def options_of(cell: Cell) -> dict[str, Any] | None:
    """The family of a cell, and the options that it was declared with; None for a cell of one's own."""
    return _OPTIONS.get(cell)


def affine(gate: str) -> Expr:
    """What a gate sees of the input and of the hidden state before."""
    return input_term(gate) + recurrent_term(gate, h_before)


@_declared
def rnn(*, nonlinearity: str = "tanh", clip: float | None = None, independent: bool = False, layer_norm: bool = False) -> Cell:
    """h = tanh(W x + U h), or with another activation as its nonlinearity.

    Of the state before, `independent` units see their own value alone, each by a weight of its own.
    """
    total = input_term("h") + diagonal("h", h_before) if independent else affine("h")
    hidden = activated(nonlinearity, _inside(total, "h", clip, layer_norm=layer_norm))
    title = f"RNN with {'ReLU' if nonlinearity == 'relu' else nonlinearity}"
    beside = {"independent units": independent, "layer norm": layer_norm, _clipped(clip): clip}
    return _cell("RNN", ", ".join([title, *_there(beside)]), ("h",), ("h",), Step("h", "hidden state", hidden))


@_declared
def lstm(
    *,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
    cell_activation: str = "tanh",
    projected: bool = False,
    peepholes: bool = False,
    coupled: bool = False,
    clip: float | None = None,
    layer_norm: bool = False,
) -> Cell:
    """The LSTM.

    With `peepholes` the gates see the cell state, unit by unit: i and f that of the step before, o that of this step. In
    `coupled` gates f = 1 - i.
    """

    def inside(gate: str, peephole: Expr | None = None) -> Expr:
        total = affine(gate) + diagonal(gate, peephole) if peepholes and peephole is not None else affine(gate)
        return _inside(total, gate, clip, layer_norm=layer_norm)

    forget = 1 - i if coupled else activated(recurrent_activation, inside("f", c_before))
    output_gate = Step("o", "output gate", activated(recurrent_activation, inside("o", c)))
    cell_state = Step("c", "cell state", f * c_before + i * g)
    hidden = o * activated(cell_activation, ex.gain("c", ex.layer_norm(c)) + ex.shift("c") if layer_norm else c)
    gates = ("i", "g", "o") if coupled else ("i", "f", "g", "o")
    beside = {
        "projection": projected,
        "peepholes": peepholes,
        "coupled gates": coupled,
        "layer norm": layer_norm,
        _clipped(clip): clip,
    }
    return _cell(
        "LSTM",
        _title("LSTM", beside, gates=recurrent_activation, candidate=activation, cell=cell_activation),
        (*gates, "c") if layer_norm else gates,
        ("h", "c"),
        Step("i", "input gate", activated(recurrent_activation, inside("i", c_before))),
        Step("f", "forget gate", forget),
        Step("g", "candidate", activated(activation, inside("g"))),
        # The peephole of the output gate waits for the cell state of this step.
        *((cell_state, output_gate) if peepholes else (output_gate, cell_state)),
        Step("h", "hidden state", projection(hidden) if projected else hidden),
    )


@_declared
def gru(
    *,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
    reset_after: bool = True,
    clip: float | None = None,
) -> Cell:
    """The GRU, whose reset gate acts after the matrix product or before it."""
    recurrent = r * recurrent_term("n", h_before) if reset_after else recurrent_term("n", r * h_before)
    title = f"GRU (reset {'after' if reset_after else 'before'} the matrix product)"
    return _cell(
        "GRU",
        _title(title, {_clipped(clip): clip}, gates=recurrent_activation, candidate=activation),
        ("r", "z", "n"),
        ("h",),
        Step("r", "reset gate", activated(recurrent_activation, _inside(affine("r"), "r", clip))),
        Step("z", "update gate", activated(recurrent_activation, _inside(affine("z"), "z", clip))),
        Step("n", "candidate", activated(activation, _inside(input_term("n") + recurrent, "n", clip))),
        Step("h", "hidden state", (1 - z) * n + z * h_before),
    )


def _inside(total: Expr, gate: str, clip: float | None, *, layer_norm: bool = False) -> Expr:
    """What an activation is taken of: a gate's sum, or what is made of it."""
    if layer_norm:
        total = ex.gain(gate, ex.layer_norm(total)) + ex.shift(gate)
    return total if clip is None else ex.clip(total, -clip, clip)


def _clipped(clip: float | None) -> str:
    return "" if clip is None else f"sums clipped at {clip:g}"


def _there(beside: dict[str, Any]) -> list[str]:
    return [words for words, there in beside.items() if there]


def _title(title: str, beside: dict[str, Any], **activations: str) -> str:
    """What it has beside the plain cell, and which activations are not the usual ones."""
    words = _there(beside)
    usual = {"gates": "sigmoid", "candidate": "tanh", "cell": "tanh"}
    others = [f"{what} {name}" for what, name in activations.items() if name != usual[what]]
    return ", ".join([f"{title} with {', '.join(words)}" if words else title, *others])


def _cell(kind: str, title: str, gates: tuple[str, ...], states: tuple[str, ...], *steps: Step) -> Cell:
    """The declaration under torch's names; where there are shifts, they do what biases would do."""
    parameters = torch_parameters([step.expression for step in steps], gates)
    shifted = any(part.op is ex.Op.SHIFT for step in steps for part in step.expression.walk())
    return Cell(kind, title, gates, states, steps, tuple(p for p in parameters if not (shifted and p.is_bias)))


FAMILIES = {"RNN": rnn, "LSTM": lstm, "GRU": gru}
"""By the name of a family: the function that declares its cells."""
OPTIONS = {family: tuple(signature(declare).parameters) for family, declare in FAMILIES.items()}
"""What these functions take."""
RNN_TANH, RNN_RELU = rnn(), rnn(nonlinearity="relu")
LSTM, LSTM_PROJECTED = lstm(), lstm(projected=True)
GRU, GRU_RESET_BEFORE = gru(), gru(reset_after=False)
TORCH_CELLS = (RNN_TANH, LSTM, GRU)
"""One of each kind that torch has: a file's kind is told by how many blocks its matrices stack."""
CELLS = (
    RNN_TANH,
    RNN_RELU,
    LSTM,
    LSTM_PROJECTED,
    GRU,
    GRU_RESET_BEFORE,
    lstm(recurrent_activation="hard_sigmoid"),
    gru(reset_after=False, recurrent_activation="hard_sigmoid"),
    gru(recurrent_activation="hard_sigmoid_keras3"),
)
