"""Programs of cells: they compute what the expressions say, in blocks of any length, whatever a declaration looks like."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Problem, examples, problem, problems

from rnntrace.engine.replay.evaluate import Scope, alike, evaluate
from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import Trace
from rnntrace.engine.replay.writer import compiled
from rnntrace.equations import cells
from rnntrace.equations.activations import ACTIVATIONS
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.cells import affine, c, c_before, f, g, h_before, i, o, r, z
from rnntrace.equations.expression import Expr, input_term, recurrent_term, sigmoid, tanh
from rnntrace.model.spec import ModuleSpec


def names(groups: list[tuple[Step, ...]]) -> list[str]:
    return ["".join(step.symbol for step in group) for group in groups]


def test_gates_of_one_form_stand_together() -> None:
    """The sigmoid gates of an LSTM and of a GRU; what reads another quantity stands alone."""
    assert names(alike(cells.LSTM.steps)) == ["ifo", "g", "c", "h"]
    assert names(alike(cells.GRU.steps)) == ["rz", "n", "h"]
    assert names(alike(cells.GRU_RESET_BEFORE.steps)) == ["rz", "n", "h"]
    assert names(alike((Step("i", "", sigmoid(affine("f"))), Step("f", "", sigmoid(affine("f")))))) == ["i", "f"]
    assert names(alike((Step("f", "", sigmoid(affine("f") * c)), Step("o", "", sigmoid(affine("o") * c))))) == ["f", "o"]


def test_a_forced_lstm_loops_over_its_cell_state_alone() -> None:
    """With h known only f ⊙ c waits for the step before: i ⊙ g, every gate and h stand outside the loop."""
    program = compiled(cells.LSTM, ("h",), (4, 4), there=("b_ih", "b_hh"), padded=False)
    loop = [line.strip() for line in program.text.splitlines() if line.startswith("        ")]
    assert len(loop) == 3
    assert loop[0] == "multiply(f_t, c_before, c_t)"
    assert loop[2] == "c_before = c_t"


ODD: dict[str, tuple[Cell, dict[str, Expr]]] = {
    "two products for one gate": (
        cells.GRU,
        {"n": tanh(input_term("n") + recurrent_term("n", h_before) - recurrent_term("n", r * h_before))},
    ),
    "gates that look at the cell state": (cells.LSTM, {gate: sigmoid(affine(gate) + c_before) for gate in "fo"}),
    "a gate of another's weights": (cells.LSTM, {"i": sigmoid(affine("f")), "f": sigmoid(affine("i"))}),
    "a copy": (cells.LSTM, {"o": f, "h": c}),
    "a copy of the state before": (cells.GRU, {"n": h_before}),
    "a state that is not carried": (cells.LSTM, {"c": f + i * g}),
    "nothing recurrent": (cells.LSTM, {symbol: tanh(input_term(symbol)) for symbol in "ifgo"}),
    "no input": (cells.RNN_TANH, {"h": tanh(recurrent_term("h", h_before))}),
    "a bare sum": (cells.RNN_TANH, {"h": affine("h")}),
    "compound on both sides": (cells.LSTM, {"h": tanh(c * o) * sigmoid(c - o) - (1 - tanh(f)) * (1 - i * g)}),
    "a step that needs no loop inside one": (cells.GRU, {"z": sigmoid(input_term("z")), "n": tanh(input_term("n") * z)}),
}


def odd(name: str) -> Cell:
    cell, changes = ODD[name]
    return replace(
        cell, steps=tuple(replace(step, expression=changes.get(step.symbol, step.expression)) for step in cell.steps)
    )


def assert_interpreted(problem: Problem, cell: Cell, trace: Trace) -> None:
    """Every quantity of the trace is, bit for bit, its expression's value at the states before it."""
    (layer, direction), inputs = problem.spec.layer_directions[0], problem.inputs
    before = {}
    for state in cell.states:
        before[state] = np.concatenate([trace.initial(state, layer, direction)[None], trace[state][:-1]])
    scope = Scope(cell, problem.weights[layer, direction])
    scope.enter(inputs.x, scope.input_terms(inputs.x), {symbol: trace[symbol] for symbol in cell.symbols}, before)
    for step in cell.steps:
        np.testing.assert_array_equal(trace[step.symbol], evaluate(step.expression, scope), strict=True, err_msg=step.symbol)


TWO = ("affine", "scaled_tanh")
SPECS = {
    **{name: ModuleSpec(kind=odd(name).kind, input_size=1, hidden_size=1) for name in ODD},
    "LSTM": ModuleSpec(kind="LSTM", input_size=1, hidden_size=1),
    "GRU": ModuleSpec(kind="GRU", input_size=1, hidden_size=1),
    "reset before": ModuleSpec(kind="GRU", input_size=1, hidden_size=1, reset_after=False),
    "relu": ModuleSpec(kind="RNN", input_size=1, hidden_size=1, nonlinearity="relu"),
    "peepholes, coupled, clipped": ModuleSpec(
        kind="LSTM", input_size=1, hidden_size=1, peepholes=True, coupled=True, clip=0.5, recurrent_activation="hard_sigmoid"
    ),
    "layer norm": ModuleSpec(kind="LSTM", input_size=1, hidden_size=1, peepholes=True, layer_norm=True),
    "independent": ModuleSpec(kind="RNN", input_size=1, hidden_size=1, independent=True),
    **{
        name: ModuleSpec(kind="GRU", input_size=1, hidden_size=1, activation=f"{name}:0.7:1.3" if name in TWO else name)
        for name in ACTIVATIONS
        if name != "thresholded_relu"
    },
    "thresholded_relu": ModuleSpec(kind="GRU", input_size=1, hidden_size=1, clip=3.0, activation="thresholded_relu:0.1"),
}


@pytest.mark.parametrize("block", [1, 4, 256])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("states", [(), ("h",), ("h", "c")], ids=["free", "h known", "all known"])
@pytest.mark.parametrize("name", SPECS)
def test_a_program_computes_its_expressions(name: str, states: tuple[str, ...], bias: bool, block: int) -> None:
    """Bit for bit what the evaluator finds, in blocks of any length: a product of one term has no order of summation."""
    spec = replace(SPECS[name], bias=bias, dtype="float64")
    cell = odd(name) if name in ODD else spec.cell
    case = problem(spec, steps=7, batch=2)
    free = replay(spec, case.weights, case.inputs, cell=cell)
    known = {key: values for key, values in free.columns.items() if key[2] in states}
    with patch("rnntrace.engine.replay.replay.BLOCK", block):
        trace = replay(spec, case.weights, case.inputs, known=known or None, cell=cell)
    assert_interpreted(case, cell, trace)
    for key, values in free.columns.items():
        np.testing.assert_array_equal(trace.columns[key], values)


@pytest.mark.slow
@given(problem=problems(), block=st.integers(1, 12), forced=st.booleans())
@examples(150)
def test_blocks_change_nothing(problem: Problem, block: int, forced: bool) -> None:
    """Cut into blocks of a few rows, with or without padding, a replay is the same as far as sums in another order are."""
    arguments = problem.spec, problem.weights, problem.inputs
    whole = replay(*arguments)
    known = {key: values for key, values in whole.columns.items() if key[2] == "h"} if forced else None
    with patch("rnntrace.engine.replay.replay.BLOCK", block):
        cut = replay(*arguments, known=known)
    for key, values in whole.columns.items():
        np.testing.assert_allclose(cut.columns[key], values, rtol=1e-13, atol=1e-13, equal_nan=True)
