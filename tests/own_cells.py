"""Cells that torch does not have, declared as a user would declare one, and modules of them with random weights."""

from dataclasses import replace

import numpy as np

from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import before, diagonal, input_term, now, recurrent_term, sigmoid, tanh
from rnntrace.equations.parameters import Parameter, Role
from rnntrace.model.dtypes import rounded
from rnntrace.model.inputs import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

h_before, c_before = before("h"), before("c")
i, f, g, o, n, c = map(now, "ifgonc")

MGU = Cell(
    kind="MGU",
    title="minimal gated unit",
    gates=("f", "n"),
    states=("h",),
    steps=(
        Step("f", "forget gate", sigmoid(input_term("f") + recurrent_term("f", h_before))),
        Step("n", "candidate", tanh(input_term("n") + recurrent_term("n", f * h_before))),
        Step("h", "hidden state", (1 - f) * h_before + f * n),
    ),
    parameters=(
        Parameter("W", Role.INPUT_MATRIX, ("f", "n")),
        Parameter("U", Role.RECURRENT_MATRIX, ("f", "n")),
        Parameter("b", Role.INPUT_BIAS, ("f", "n")),
    ),
)
"""Zhou et al. 2016 (arXiv:1603.09420), equation 6."""

PEEPHOLE = Cell(
    kind="PeepholeLSTM",
    title="LSTM with peepholes",
    gates=("i", "f", "g", "o"),
    states=("h", "c"),
    steps=(
        Step("i", "input gate", sigmoid(input_term("i") + recurrent_term("i", h_before) + diagonal("i", c_before))),
        Step("f", "forget gate", sigmoid(input_term("f") + recurrent_term("f", h_before) + diagonal("f", c_before))),
        Step("g", "candidate", tanh(input_term("g") + recurrent_term("g", h_before))),
        Step("c", "cell state", f * c_before + i * g),
        Step("o", "output gate", sigmoid(input_term("o") + recurrent_term("o", h_before) + diagonal("o", c))),
        Step("h", "hidden state", o * tanh(c)),
    ),
)
"""Gers & Schmidhuber 2000, with torch's names; what is left out of the parameters is read from the steps: p (i, f, o)."""


def split(cell: Cell) -> Cell:
    """The cell with a parameter for each block, as a text declares it, and those of the last gate first."""
    parameters = [
        Parameter(f"{parameter.name}_{gate}", parameter.role, (gate,), f"{parameter.name}_")
        for parameter in cell.parameters
        for gate in reversed(parameter.gates)
    ]
    return replace(cell, parameters=tuple(parameters))


def split_weights(cell: Cell, weights: LayerWeights) -> LayerWeights:
    """The weights of the cell for the one that is split."""
    return LayerWeights(
        arrays={
            f"{parameter.name}_{gate}": weights.arrays[parameter.name][place : place + 1]
            for parameter in cell.parameters
            for place, gate in enumerate(parameter.gates)
        }
    )


k, z, m = map(now, "kzm")
s_before, m_before = before("s"), before("m")

STAR = Cell(
    kind="STAR",
    title="stackable recurrent cell",
    gates=("k", "z"),
    states=("s",),
    steps=(
        Step("z", "candidate", tanh(input_term("z"))),
        Step("k", "gate", sigmoid(input_term("k") + recurrent_term("k", s_before))),
        Step("s", "state", tanh((1 - k) * s_before + k * z)),
    ),
    parameters=(
        Parameter("W", Role.INPUT_MATRIX, ("k", "z")),
        Parameter("U", Role.RECURRENT_MATRIX, ("k",)),
        Parameter("b", Role.INPUT_BIAS, ("k", "z")),
    ),
)
"""Turkoglu et al. 2019 (arXiv:1911.11033), with its one state called s."""

SLOW = Cell(
    kind="SlowLSTM",
    title="LSTM with a slow memory",
    gates=("i", "f", "g", "o"),
    states=("c", "m", "h"),
    steps=(
        Step("i", "input gate", sigmoid(input_term("i") + recurrent_term("i", h_before) + diagonal("i", m_before))),
        Step("f", "forget gate", sigmoid(input_term("f") + recurrent_term("f", h_before))),
        Step("g", "candidate", tanh(input_term("g") + recurrent_term("g", h_before))),
        Step("c", "cell state", f * c_before + i * g),
        Step("m", "slow memory", f * m_before + (1 - f) * c),
        Step("o", "output gate", sigmoid(input_term("o") + recurrent_term("o", h_before) + diagonal("o", c))),
        Step("h", "hidden state", o * tanh(c + m)),
    ),
)
"""Made up: three states, of which the output is the last one, and each of which another equation reads."""

STEPS, BATCH = 7, 2


def drawn(cell: Cell | None, **options: object) -> tuple[ModuleSpec, Weights, Inputs]:
    """A module of the cell, and for it weights, x and initial states in its own format."""
    spec = ModuleSpec(cell=cell, **{"input_size": 3, "hidden_size": 3, "dtype": "float64", **options})
    rng = np.random.default_rng(3)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        return rounded(rng.normal(size=shape), spec.precision).astype(spec.precision.replay)

    columns = {
        (layer, direction): LayerWeights(**{name: draw(shape) for name, shape in spec.shapes(layer).items()})
        for layer, direction in spec.layer_directions
    }
    rows = len(spec.layer_directions), BATCH
    states = {state: draw((*rows, spec.size_of(state))) for state in spec.cell_of("forward").states}
    return spec, Weights(columns), Inputs(draw((STEPS, BATCH, spec.input_size)), states=states)
