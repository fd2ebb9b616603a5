"""Mistakes with what torch's cells do not have: made or refused in every variant, and named from a loop written by hand."""

import re

import numpy as np
import pytest
from own_cells import MGU, PEEPHOLE, drawn, split

from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.mistake import apply, catalogue
from rnntrace.engine.replay.replay import replay
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import (
    before,
    diagonal,
    input_term,
    layer_norm,
    now,
    recurrent_term,
    shift,
    sigmoid,
    tanh,
)
from rnntrace.equations.parameters import Parameter, Role

SCALED = Cell(
    "Scaled",
    "a layer norm whose scale is a diagonal",
    ("h",),
    ("h",),
    (
        Step(
            "h",
            "hidden state",
            tanh(diagonal("h", layer_norm(input_term("h") + recurrent_term("h", before("h")))) + shift("h")),
        ),
    ),
)
GRU_OTHER_WAY = Cell(
    "GRU",
    "GRU of Cho et al. 2014",
    ("r", "z", "n"),
    ("h",),
    (
        Step("r", "reset gate", sigmoid(input_term("r") + recurrent_term("r", before("h")))),
        Step("z", "update gate", sigmoid(input_term("z") + recurrent_term("z", before("h")))),
        Step("n", "candidate", tanh(input_term("n") + recurrent_term("n", before("h") * now("r")))),
        Step("h", "hidden state", now("z") * before("h") + (1 - now("z")) * now("n")),
    ),
    tuple(Parameter(f"{name}_{gate}", role, (gate,), f"{name}_") for name, role in
          (("W", Role.INPUT_MATRIX), ("U", Role.RECURRENT_MATRIX), ("b", Role.INPUT_BIAS)) for gate in "rzn"),
)  # fmt: skip
OWN = {"split MGU": split(MGU), "split peephole": split(PEEPHOLE), "scaled": SCALED, "GRU of Cho": GRU_OTHER_WAY}
HARD = ("hard_sigmoid", "tanh", "elu")
VARIANTS: dict[str, dict[str, object]] = {
    "peepholes": {"kind": "LSTM", "peepholes": True},
    "coupled": {"kind": "LSTM", "coupled": True},
    "clip": {"kind": "LSTM", "clip": 0.3},
    "layer norm": {"kind": "LSTM", "layer_norm": True},
    "peepholes, coupled, clip, projected": {
        "kind": "LSTM", "peepholes": True, "coupled": True, "clip": 0.4, "proj_size": 2},
    "peepholes, layer norm, clip": {"kind": "LSTM", "peepholes": True, "layer_norm": True, "clip": 0.4},
    "peepholes, coupled, layer norm": {"kind": "LSTM", "peepholes": True, "coupled": True, "layer_norm": True},
    "hard activations": {
        "kind": "LSTM", "recurrent_activation": "hard_sigmoid", "activation": "hard_tanh", "cell_activation": "relu6"},
    "activations with numbers": {
        "kind": "LSTM", "recurrent_activation": "hard_sigmoid:0.25:0.4", "activation": "elu:0.5",
        "cell_activation": "leaky_relu:0.1"},
    "scaled activations": {
        "kind": "LSTM", "recurrent_activation": "affine:0.3:0.5", "activation": "scaled_tanh:1.7:0.6",
        "cell_activation": "selu"},
    "no activations": {"kind": "LSTM", "activation": "linear", "cell_activation": "linear", "clip": 1.0},
    "silu": {"kind": "GRU", "activation": "silu", "recurrent_activation": "softsign"},
    "reset before, clip": {"kind": "GRU", "reset_after": False, "clip": 0.5},
    "reset before, hard": {"kind": "GRU", "reset_after": False, "recurrent_activation": "hard_sigmoid_keras3"},
    "clipped GRU": {"kind": "GRU", "clip": 0.5, "activation": "relu"},
    "independent": {"kind": "RNN", "independent": True, "nonlinearity": "relu"},
    "independent, clip": {"kind": "RNN", "independent": True, "clip": 0.5},
    "independent, linear": {"kind": "RNN", "independent": True, "nonlinearity": "linear"},
    "RNN, layer norm, clip": {"kind": "RNN", "layer_norm": True, "clip": 0.5},
    "RNN, softplus": {"kind": "RNN", "nonlinearity": "softplus"},
    "own activations in reverse": {
        "kind": "LSTM", "bidirectional": True, "reverse_activations": HARD, "peepholes": True, "clip": 2.0},
    "own activations in reverse, GRU": {
        "kind": "GRU", "bidirectional": True, "reverse_activations": ("relu", "linear"), "reset_after": False},
    "own activation in reverse, RNN": {"kind": "RNN", "bidirectional": True, "reverse_activations": ("leaky_relu:0.3",)},
    **{name: {"cell": cell} for name, cell in OWN.items()},
}  # fmt: skip
SHAPES: dict[str, dict[str, object]] = {
    "one layer": {},
    "two, both ways, no bias": {"num_layers": 2, "bidirectional": True, "bias": False, "input_size": 2},
    "one unit": {"hidden_size": 1, "input_size": 1},
}


def case_of(options: dict[str, object], **more: object) -> Case:
    """A module of these options, with weights and signals that are drawn."""
    return Case.of(*drawn(**{"cell": None, **options, **more}))  # type: ignore[arg-type]


# --- every mistake in every variant -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_mistake_can_be_made_or_refuses(variant: str, shape: str) -> None:
    """Right without mistakes; ids of their own; each changes the values or refuses with a reason."""
    if shape == "one unit" and "proj_size" in VARIANTS[variant]:
        pytest.skip("a projection needs more units")
    case = case_of(VARIANTS[variant], **SHAPES[shape])
    right = replay(case.spec, case.weights, case.inputs)
    without = apply(case)
    assert without is not None
    for key, values in right.columns.items():
        np.testing.assert_array_equal(without.trace.columns[key], values)
    mistakes = catalogue(case.cell)
    assert len({mistake.id for mistake in mistakes}) == len(mistakes)
    assert len({mistake.says for mistake in mistakes}) == len(mistakes)
    made = 0
    for mistake in mistakes:
        assert re.fullmatch(r"[a-z]+\.[a-z-]+\.[A-Za-z0-9_-]+", mistake.id)
        found = apply(case, [mistake])
        made += found is not None
        assert found is not None or mistake.needs or shape == "one unit", mistake.id
    assert made > 15
