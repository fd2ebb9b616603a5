"""The declarations and their readings: formulas, schedules, and the documented equations of torch."""

import re

import pytest

from rnntrace.engine.replay.evaluate import LEAVES, schedule
from rnntrace.engine.replay.operators import OPERATORS
from rnntrace.equations import cells
from rnntrace.equations.cell import Cell
from rnntrace.equations.cells import CELLS
from rnntrace.equations.expression import Op, before, now, sigmoid
from rnntrace.equations.notation import LATEX, UNICODE, formula, spell

FORMULAS = {
    ("LSTM", "f"): "fₜ = σ(W_if xₜ + b_if + W_hf hₜ₋₁ + b_hf)",
    ("LSTM", "c"): "cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ gₜ",
    ("LSTM", "h"): "hₜ = oₜ ⊙ tanh(cₜ)",
    ("LSTM_PROJECTED", "h"): "hₜ = W_hr (oₜ ⊙ tanh(cₜ))",
    ("GRU", "n"): "nₜ = tanh(W_in xₜ + b_in + rₜ ⊙ (W_hn hₜ₋₁ + b_hn))",
    ("GRU", "h"): "hₜ = (1 - zₜ) ⊙ nₜ + zₜ ⊙ hₜ₋₁",
    ("GRU_RESET_BEFORE", "n"): "nₜ = tanh(W_in xₜ + b_in + W_hn (rₜ ⊙ hₜ₋₁) + b_hn)",
    ("RNN_RELU", "h"): "hₜ = ReLU(W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh)",
}


@pytest.mark.parametrize(("name", "symbol"), FORMULAS)
def test_formulas_as_they_are_written(name: str, symbol: str) -> None:
    """Formulas read like those in torch's documentation."""
    cell = getattr(cells, name)
    (step,) = [step for step in cell.steps if step.symbol == symbol]
    assert formula(step, UNICODE, cell.parameters) == FORMULAS[name, symbol]


def test_latex() -> None:
    """The same formula in LaTeX, with brackets that grow."""
    hidden = cells.GRU.steps[-1]
    assert formula(hidden, LATEX, cells.GRU.parameters) == r"h_t = \left(1 - z_t\right) \odot n_t + z_t \odot h_{t-1}"


def test_without_bias() -> None:
    """A module without biases has none in its formulas, and needs fewer brackets."""
    candidate = cells.GRU.steps[2]
    assert (
        formula(candidate, UNICODE, [found for found in cells.GRU.parameters if not found.is_bias])
        == "nₜ = tanh(W_in xₜ + rₜ ⊙ W_hn hₜ₋₁)"
    )


def test_brackets_stand_only_where_needed() -> None:
    """a - (b - c) keeps its brackets; a·b·c has none."""
    a, b, c = now("a"), now("b"), now("c")
    assert spell(a - (b - c), UNICODE) == "aₜ - (bₜ - cₜ)"
    assert spell(a - b - c, UNICODE) == "aₜ - bₜ - cₜ"
    assert spell(a * b * c, UNICODE) == "aₜ ⊙ bₜ ⊙ cₜ"
    assert spell((a + b) * sigmoid(c - before("h")), UNICODE) == "(aₜ + bₜ) ⊙ σ(cₜ - hₜ₋₁)"


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.title)
def test_latex_brackets_balance(cell: Cell) -> None:
    """Every left bracket has its right one and every brace its partner."""
    for step in cell.steps:
        text = formula(step, LATEX, cell.parameters)
        assert len(re.findall(r"\\left", text)) == len(re.findall(r"\\right", text))
        assert text.count("{") == text.count("}")


def test_tables_cover_every_operator() -> None:
    """Evaluation and both notations know all operators and no others."""
    assert OPERATORS.keys() | LEAVES.keys() == set(Op)
    assert set(LATEX.spellings) == set(UNICODE.spellings) == set(Op)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.title)
def test_steps_read_only_what_is_there(cell: Cell) -> None:
    """A step reads gates and states computed above it, states of the step before, and the cell's own gates' terms."""
    done: set[str] = set()
    for step in cell.steps:
        for leaf in step.expression.walk():
            if leaf.op is Op.NOW:
                assert leaf.name in done
            if leaf.op is Op.BEFORE:
                assert leaf.name in cell.states
            if leaf.op in (Op.INPUT_TERM, Op.RECURRENT_TERM):
                assert leaf.name in cell.gates
        done.add(step.symbol)
    assert set(cell.states) <= done


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.title)
def test_gates_stand_in_torchs_order(cell: Cell) -> None:
    """The canonical order of the gate blocks is torch's."""
    assert "".join(cell.gates) == {"RNN": "h", "LSTM": "ifgo", "GRU": "rzn"}[cell.kind]


def test_schedule() -> None:
    """Free-running everything scans; with h known only an LSTM's cell state does; with c known too, nothing."""

    def names(cell: Cell, *known: str) -> list[str]:
        plan = schedule(cell, known)
        return ["".join(step.symbol for step in part) for part in (plan.ahead, plan.scan, plan.behind)]

    assert names(cells.LSTM) == ["", "ifgoch", ""]
    assert names(cells.LSTM, "h") == ["ifgo", "c", "h"]
    assert names(cells.LSTM, "h", "c") == ["ifgoch", "", ""]
    assert names(cells.GRU) == ["", "rznh", ""]
    assert names(cells.GRU_RESET_BEFORE, "h") == ["rznh", "", ""]
