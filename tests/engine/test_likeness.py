"""What nothing explains: what it may be rests on a test, and which input tells answers apart was tried."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from test_diagnose import STEPS, arrays, drawn, explained, gru, loop, lstm, rnn

from rnntrace.engine.diagnose.agreement import Target
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.distinguish import distinguish
from rnntrace.engine.diagnose.likeness import likenesses
from rnntrace.engine.diagnose.mistake import catalogue, outputs_of
from rnntrace.engine.diagnose.search import Diagnosis, diagnose
from rnntrace.engine.diagnose.starts import starts_elsewhere
from rnntrace.engine.judge.tolerance import TORCH_TOLERANCES
from rnntrace.model.dtypes import Array

TOLERANCE = TORCH_TOLERANCES["float64"]


def may_be(case: Case, output: Array) -> str:
    """The first thing that it may be."""
    right, fit = outputs_of(case) or {}, Target.of(case, {"output": output}, TOLERANCE)
    return likenesses(case, right, fit, fit.off(right))[0]


def right(case: Case) -> Array:
    found: Array = (outputs_of(case) or {})["output"]
    return found


def dense(values: Array) -> Array:
    return values @ np.random.default_rng(1).normal(size=(values.shape[-1],) * 2) + 0.3


BEHIND: dict[str, tuple[Callable[[Array], Array], str]] = {
    "added": (lambda y: y + 0.25, "with 0.25 added"),
    "scaled": (lambda y: 3 * y, "times 3"),
    "negated": (lambda y: -y, "times -1"),
    "squashed": (lambda y: 1 / (1 + np.exp(-4 * y)), "a function of each right output alone"),
    "cut off": (lambda y: np.maximum(y, 0), "a function of each right output alone"),
    "dense": (dense, "a linear function of the right outputs"),
    "zeros": (np.zeros_like, "are zero"),
    "a constant": (lambda y: np.full_like(y, 0.5), "are 0.5"),
    "shuffled": (lambda y: np.random.default_rng(2).permuted(y, axis=None), "in other places"),
    "in other weights": (lambda y: np.tanh(np.random.default_rng(3).normal(size=y.shape)), "other weights altogether"),
}


@pytest.mark.parametrize("what", BEHIND)
def test_what_was_done_to_right_outputs_is_told(what: str) -> None:
    """Right outputs with something behind them that no mistake is."""
    change, says = BEHIND[what]
    case = drawn("GRU", 40, batch=6)
    assert says in may_be(case, change(right(case)))


def test_where_it_differs_is_told() -> None:
    """One unit, one item, the steps behind the first two; and right but for small errors everywhere."""
    case = drawn("LSTM", 41, batch=6)
    for part, says in (
        (np.s_[:, :, 2], "something in unit 2 alone"),
        (np.s_[:, 1], "something in item 1 alone"),
        (np.s_[3], "something in step 4 alone"),
        (np.s_[2:], "the first 2 steps are right"),
    ):
        output = right(case).copy()
        noise = np.random.default_rng(0).normal(size=output[part].shape)
        output[part] += 0.2 * np.sign(noise) + 0.3 * noise
        assert says in may_be(case, output)
    noise = 0.002 * np.random.default_rng(1).normal(size=right(case).shape)
    assert "a small difference everywhere" in may_be(case, right(case) + noise)


@pytest.mark.parametrize(("kind", "step"), [("RNN", rnn), ("LSTM", lstm), ("GRU", gru)])
def test_other_initial_states_are_looked_for(kind: str, step: Callable) -> None:  # type: ignore[type-arg]
    """States in which another sequence had ended: some states give the outputs; for other weights none do."""
    case = drawn(kind, 42)
    # Six steps of four units are more values than there are states.
    x = np.random.default_rng(5).standard_normal((12, 3, 4))
    case = case.with_inputs(x=x)
    given = arrays(case)
    elsewhere = loop({**given, "h0": given["h0"][::-1] * 0.5, "c0": given["c0"][::-1] * 0.5}, step)["output"]
    assert "initial states other than those given" in may_be(case, elsewhere)
    other = right(replace(case, weights=drawn(kind, 43).weights))
    allowed = np.full(other.shape, 1e-6)
    assert not starts_elsewhere(case, other, allowed)
    assert starts_elsewhere(case, elsewhere, allowed)


def test_another_shape_is_told() -> None:
    """Where the last axis is another, nothing can be laid side by side."""
    case = drawn("RNN", 44)
    found = diagnose(case, {"output": np.zeros((STEPS, 3, 7))}, TOLERANCE, seconds=5)
    assert (found.answers, found.before, found.first) == ((), np.inf, None)
    assert "has shape (5, 3, 7), and this module gives (5, 3, 4)" in found.may_be[0]


# --- nearest --------------------------------------------------------------------------------------------------------------


def off_by(case: Case, id: str, error: float) -> Diagnosis:
    """What is said of a mistake with an error beside it, in one value of every step."""
    outputs = outputs_of(case, [mistake for mistake in catalogue(case.cell) if mistake.id == id]) or {}
    output = outputs["output"].copy()
    output[:, 0, 0] += error
    return explained(case, {"output": output})


@pytest.mark.slow
def test_nearest_explains_more_than_half() -> None:
    """A gate order beside a small error is nearest; beside a larger one than the order makes, nothing is."""
    case = drawn("GRU", 45)
    near, far = off_by(case, "gru.gate-order.zrn", 0.02), off_by(case, "gru.gate-order.zrn", 2.0)
    assert near.nearest is not None
    assert near.nearest.id == "gru.gate-order.zrn"
    assert near.nearest.after == pytest.approx(0.02)
    assert near.before > 0.04
    assert (far.nearest, far.answers) == (None, ())
    assert far.may_be
    assert far.first is not None
    assert (far.first.symbol, far.first.t, far.first.unit) == ("output", 1, 0)


# --- told apart -----------------------------------------------------------------------------------------------------------


def chosen(case: Case, *ids: str) -> list[tuple]:  # type: ignore[type-arg]
    known = {mistake.id: mistake for mistake in catalogue(case.cell)}
    return [tuple(known[part] for part in id.split("+")) for id in ids]


def test_an_input_is_named_only_if_it_tells_them_apart() -> None:
    """From zero states with one item, nothing handed on looks like items for steps; states tell the resets apart as well."""
    case = drawn("GRU", 46, batch=1)
    case = case.with_inputs(h0=0 * case.inputs.h0)
    held = "gru.recurrence.h-not-updated"
    alike = chosen(case, f"gru.equation.reset-before+{held}", f"gru.bias.hidden-outside-reset+{held}")
    first, second = (outputs_of(case, mistakes) for mistakes in alike)
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(first["output"], second["output"], atol=1e-12)
    found = distinguish(case, alike, TOLERANCE)
    assert found is not None
    assert found.change.says == "initial states that are not zero"
    assert found.groups == ((0,), (1,))
    # On such states they do differ.
    states = np.random.default_rng(0).normal(size=case.inputs.h0.shape)
    first, second = (outputs_of(case.with_inputs(h0=states), mistakes) for mistakes in alike)
    assert first is not None
    assert second is not None
    assert np.abs(first["output"] - second["output"]).max() > 1e-3


def test_equal_hypotheses_stay_together() -> None:
    """i and f exchanged in the weights or in the equation are the same everywhere; another order is told from both."""
    case = drawn("LSTM", 47)
    same = chosen(case, "lstm.gate-order.fico", "lstm.equation.gates-of-c-swapped")
    assert distinguish(case, same, TOLERANCE) is None
    found = distinguish(case, [*same, *chosen(case, "lstm.gate-order.iofc")], TOLERANCE)
    assert found is not None
    assert (found.groups, found.alike) == (((0, 1), (2,)), 2)


def test_coarse_outputs_need_a_larger_difference() -> None:
    """What two hypotheses differ by must show in as many digits as are given."""
    from rnntrace.engine.diagnose.digits import Digits

    case = drawn("LSTM", 48)
    pair = chosen(case, "lstm.gate-order.iofc", "lstm.gate-order.ocif")
    assert distinguish(case, pair, TOLERANCE) is not None
    assert distinguish(case, pair, TOLERANCE, Digits("a grid of 64", "grid", 64.0)) is None


# --- gates and states that were given -------------------------------------------------------------------------------------


def test_given_gates_are_evidence() -> None:
    """Two mistakes that give the same outputs, told apart by a gate; and gates alone name one."""
    case = drawn("LSTM", 49)
    mistake = chosen(case, "lstm.gate-order.fico")[0]
    from rnntrace.engine.diagnose.mistake import values_of

    values = values_of(case, mistake)
    assert values is not None
    outputs = {"output": values["output"]}
    both = [answer.id for answer in explained(case, outputs).answers]
    assert both == ["lstm.gate-order.fico", "lstm.equation.gates-of-c-swapped"]
    with_gate = {**outputs, (0, "forward", "i"): values[0, "forward", "i"]}
    assert [answer.id for answer in explained(case, with_gate).answers] == ["lstm.gate-order.fico"]  # type: ignore[arg-type]
    gate = {(0, "forward", "f"): values[0, "forward", "f"]}
    assert "lstm.gate-order.fico" in [answer.id for answer in explained(case, gate).answers]  # type: ignore[arg-type]
