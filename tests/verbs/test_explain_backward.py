"""The chain rule of a cell in equations, and its numbers: each is worked out again, and is that of the backward pass."""

from typing import Any

import pytest
from commandline import ask, refused

import rnntrace
from rnntrace.equations.cells import CELLS
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.derived import ShownGradientExplanation


def test_the_equations_of_an_lstm(capsys: pytest.CaptureFixture[str]) -> None:
    """As a textbook has them."""
    out = ask(capsys, "explain", "lstm", "--backward").out
    for line in (
        "∂fₜ = ∂cₜ ⊙ cₜ₋₁",
        "∂a_fₜ = ∂fₜ ⊙ fₜ ⊙ (1 - fₜ)",
        "∂a_gₜ = ∂gₜ ⊙ (1 - gₜ ⊙ gₜ)",
        "δcₜ₋₁ = ∂cₜ ⊙ fₜ",
        "∂W_hf = Σₜ ∂a_fₜ hₜ₋₁ᵀ",
        "∂b_if = Σₜ ∂a_fₜ",
    ):
        assert line in out


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize(("t", "more"), [(1, {}), (3, {}), (4, {}), *((t, {"truncate": 2}) for t in range(1, 6))])
def test_numbers_are_those_of_the_backward_pass(kind: str, t: int, more: dict[str, int]) -> None:
    """Each derivation ends with the value of the gradient, and its terms add up to that; truncated ones too."""
    options: dict[str, Any] = {"seed": 1, "steps": 5, "layers": 2, "bidirectional": True, "loss": "sum", **more}
    whole = rnntrace.backward(kind, **options)
    for layer, direction in whole.spec.layer_directions:
        place = {"t": t, "unit": 1, "layer": layer, "direction": direction}
        found = rnntrace.explain(kind, backward=True, **options, **place)
        assert isinstance(found, ShownGradientExplanation)
        (moment,) = found.moments
        for derived in moment.derivations:
            value = float(whole.gradients.columns[layer, direction, derived.step.symbol][t - 1, 0, 1])
            assert derived.value == pytest.approx(value, rel=1e-6, abs=1e-9)
            assert sum(term.contribution for term in derived.terms) == pytest.approx(value, rel=1e-5, abs=1e-7)


def test_back_goes_to_later_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """What is handed back to t = 2 is worked out at t = 3, which comes first."""
    found = rnntrace.explain("lstm", backward=True, seed=1, t=2, back=1)
    later, here = found.moments  # type: ignore[union-attr]
    assert (later.position.t, here.position.t) == (3, 2)
    handed = {derived.step.symbol: derived.value for derived in later.derivations}
    terms = {term.name: term.contribution for derived in here.derivations for term in derived.terms}
    assert terms["δc[0]"] == pytest.approx(handed["∂c.before"], rel=1e-6)
    assert terms["δh[0]"] == pytest.approx(handed["∂h.before"], rel=1e-6)
    answer = ask(capsys, "explain", "lstm", "--backward", "--at", "t=9", "--seed", "1")
    assert (answer.code, "t=9 should be a whole number from 1 to 4" in answer.err) == (2, True)


@pytest.mark.parametrize("format", ["table", "latex", "html", "json", "markdown"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.title)
def test_every_cell_in_every_format(cell: object, format: str) -> None:
    """Nothing is left of the names inside."""
    from rnntrace.render import Style, render
    from rnntrace.report.gradient_derivation import gradient_equations_report

    projected = int("projection" in cell.title)  # type: ignore[attr-defined]
    text = render(
        gradient_equations_report(ModuleSpec(cell=cell, input_size=3, hidden_size=2, proj_size=projected)), format, Style()
    )  # type: ignore[arg-type]
    assert ".before" not in text
    assert ".pre" not in text


def test_a_loss_needs_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """Equations know of none."""
    assert "--loss belongs to gradients with numbers put in" in refused(capsys, "explain", "lstm", "--loss", "last")
    assert "give --backward and" in refused(capsys, "explain", "lstm", "--backward", "--truncate", "2")
