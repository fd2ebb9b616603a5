"""Mistakes made on purpose in a backward pass, and those that gradients cannot show."""

from typing import Any

import numpy as np
import pytest

import rnntrace
from rnntrace.engine.backward.mistakes import gradient_mistakes
from rnntrace.errors import UsageError
from rnntrace.model.layouts import parameters_of
from rnntrace.report.backward import backward_report
from rnntrace.report.select import View

KINDS = ["rnn", "lstm", "gru"]


def ids(result: Any) -> set[str]:
    return {spot.mistake.id for spot in result.blind.spots}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_mistake_is_judged_wrong_or_the_run_is_blind_to_it(kind: str) -> None:
    """Every one of the catalogue, beside finite differences: with one item those that average over items alone."""
    options: dict[str, Any] = {"seed": 1, "steps": 3, "hidden": 3, "input_size": 3, "h0": "random", "check": "fd"}
    options |= {"c0": "random"} if kind == "lstm" else {}
    result = rnntrace.backward(kind, blind=True, **options)
    assert result.passed
    assert ids(result) == {f"{kind}.sum.mean-over-items"}
    for mistake in gradient_mistakes(result.spec.cell):
        if mistake.id in {*ids(result), "gru.flow.untransposed"}:
            with pytest.raises(UsageError, match=f"it needs {mistake.needs}"):
                rnntrace.backward(kind, mistake=mistake.id, **options)
            continue
        wrong = rnntrace.backward(kind, mistake=mistake.id, **options)
        assert (wrong.verdict.name, [made.id for made in wrong.mistakes]) == ("FAIL", [mistake.id])
        report = backward_report(wrong, View(frozenset({"gradients", "states", "parameters", "norms", "terms"})))
        assert any(mistake.id in " ".join(left) for left, _ in report.headline)


@pytest.mark.slow
def test_what_one_step_cannot_show_is_said_with_what_would() -> None:
    """Carries need several steps, f an initial c."""
    result = rnntrace.backward("lstm", seed=1, steps=1, blind=True)
    by = {spot.mistake.id: spot.shown_by for spot in result.blind.spots} if result.blind else {}
    assert by["lstm.flow.c-not-carried"] == "4 steps (`steps=4`)"
    assert by["lstm.slope.f-left-out"] == "initial states that are not zero (`h0=random`, `c0=random`)"
    shown = rnntrace.backward("lstm", seed=1, steps=4, batch=2, h0="random", c0="random", input_size=2, blind=True)
    assert ids(shown) == set()
    assert shown.blind is not None
    assert shown.blind.possible == len(gradient_mistakes(shown.spec.cell))


def test_a_run_that_cannot_show_a_mistake_says_so() -> None:
    """It passes, and the last line says what that is worth."""
    result = rnntrace.backward("lstm", seed=1, steps=1, mistake="c-not-carried")
    assert result.passed
    report = backward_report(result, View(frozenset({"states"})))
    assert "these gradients do not reveal the mistake" in report.conclusion


def test_a_part_of_the_gradients_shows_a_part_of_the_mistakes() -> None:
    """x alone says nothing of sums over steps, and other gradients of the same run would."""
    right = rnntrace.backward("gru", seed=1, steps=4, batch=2, h0="random")
    given = (right.spec, right.weights), right.inputs.x
    hx = right.inputs.states["h"]
    alone = rnntrace.backward(*given, hx, expected={"x": right.gradients.signals["x"]}, blind=True)
    assert {"gru.sum.overwritten", "gru.sum.one-bias"} < ids(alone)
    assert alone.blind is not None
    assert {spot.shown_by for spot in alone.blind.spots} == {"other gradients of this run beside the replay"}
    assert "gru.sum.sign" not in ids(alone)
    whole = rnntrace.backward(*given, hx, expected=parameters_of(right.spec, right.gradients.parameters), blind=True)
    assert "gru.sum.overwritten" not in ids(whole)


def test_finite_differences_fail_what_torch_fails() -> None:
    """Pairs of mistakes, and clipping on both sides; too large a module is undecided, and so is what is truncated."""
    wrong = rnntrace.backward("gru", seed=1, steps=3, batch=2, check="fd", mistake="sum.sign+sum.one-bias", clip_norm=1.0)
    assert wrong.verdict.name == "FAIL"
    assert wrong.observation.framework == "finite differences"
    assert rnntrace.backward("gru", seed=1, steps=3, check="fd", clip_norm=1.0, loss="last").passed
    assert rnntrace.backward("gru", seed=1, hidden=100, steps=30, check="fd").verdict.name == "UNDECIDED"
    assert rnntrace.backward("gru", seed=1, steps=3, check="fd", truncate=2).verdict.name == "UNDECIDED"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"check": "torch"}, "`check` is fd"),
        ({"check": "fd", "expected": {"x": np.zeros((3, 1, 3))}}, "leave one of them out"),
        ({"mistake": "sum.sign", "replay_dtype": "float64"}, "cannot be combined with `mistake`"),
        ({"mistake": "sum.signs"}, "the nearest is lstm.sum.sign; `rnntrace mistakes lstm` with `backward` lists all"),
    ],
)
def test_what_does_not_go_together(options: dict[str, Any], says: str) -> None:
    """In a sentence."""
    with pytest.raises(UsageError, match=says):
        rnntrace.backward("lstm", seed=1, steps=3, **options)
