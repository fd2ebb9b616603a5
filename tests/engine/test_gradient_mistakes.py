"""Mistakes in a hand-written backward pass: each is found again, alone and in pairs, from typed numbers too."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from thorough import some

from rnntrace.engine.backward.calculation import Calculation, GradientMistake
from rnntrace.engine.backward.diagnose import diagnose_backward
from rnntrace.engine.backward.gradients import Gradients
from rnntrace.engine.backward.judge import BackwardResult, judge_backward
from rnntrace.engine.backward.loss import Loss
from rnntrace.engine.backward.mistakes import gradient_mistakes
from rnntrace.engine.diagnose.search import Diagnosis
from rnntrace.engine.replay.replay import replay
from rnntrace.equations.adjoint import gradient
from rnntrace.equations.cells import GRU, GRU_RESET_BEFORE, LSTM, RNN_TANH, lstm
from rnntrace.equations.text import parse
from rnntrace.model.backward import BackwardObservation
from rnntrace.model.inputs import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

SORTS: dict[str, dict[str, Any]] = {
    "rnn": {"kind": "RNN"},
    "lstm": {"kind": "LSTM"},
    "gru": {"kind": "GRU"},
    "lstm of two layers": {"kind": "LSTM", "num_layers": 2},
    "peepholes": {"kind": "LSTM", "peepholes": True},
    "gru, both directions": {"kind": "GRU", "bidirectional": True},
}


def calculation(options: dict[str, Any], seed: int = 0) -> Calculation:
    """A square module of three units, five steps and two items."""
    spec = ModuleSpec(**{"input_size": 3, "hidden_size": 3, **options})
    generator = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    weights = Weights(
        {
            column: LayerWeights(
                arrays={name: drawn(*shape) * np.float32(0.7) for name, shape in spec.shapes(column[0]).items()}
            )
            for column in spec.layer_directions
        }
    )
    states = {state: drawn(len(spec.layer_directions), 2, 3) for state in spec.cell.states}
    trace = replay(spec, weights, Inputs(drawn(5, 2, 3), states=states))
    return Calculation.of(trace, weights, {"output": drawn(5, 2, spec.width)})


def made(right: Calculation, mistakes: Sequence[GradientMistake]) -> Gradients | None:
    """What comes of these mistakes."""
    found: Calculation | None = right
    for mistake in mistakes:
        found = mistake.change(found) if found is not None else None
    return None if found is None else found.run()


def handed_in(right: Calculation, given: Gradients, decimals: int | None = None) -> BackwardResult:
    """Parameters', x's and initial states' gradients, as a student gives them, in float32 or typed."""
    spec = right.trace.spec

    def typed(array: np.ndarray) -> np.ndarray:
        return array if decimals is None else np.round(array.astype(np.float64), decimals)

    columns = given.parameters.columns
    parameters = {c: LayerWeights(arrays={n: typed(a) for n, a in own.arrays.items()}) for c, own in columns.items()}
    signals = {name: typed(array) for name, array in given.signals.items()}
    half_units = {}
    if decimals is not None:
        half = 0.5 * 10.0**-decimals
        half_units = {(*c, gradient(n)): np.full(a.shape, half) for c, own in parameters.items() for n, a in own.arrays.items()}
        half_units |= {(*spec.layer_directions[0], gradient(n)): np.full(a.shape, half) for n, a in signals.items()}
    observed = BackwardObservation("expected", "", "", Weights(parameters), signals, half_units=half_units)
    return judge_backward(spec, right.weights, right.trace.inputs, Loss("given", right.loss), observed)


def diagnosed(right: Calculation, given: Gradients, decimals: int | None = None) -> Diagnosis:
    result = handed_in(right, given, decimals)
    assert not result.passed
    return diagnose_backward(result, seconds=60)


@pytest.mark.slow
@pytest.mark.parametrize("decimals", [None, 4])
@pytest.mark.parametrize("sort", SORTS)
def test_each_mistake_is_the_only_answer(sort: str, decimals: int | None) -> None:
    """A third of them by default, others of each sort."""
    right = calculation(SORTS[sort])
    possible = gradient_mistakes(right.trace.spec.cell)
    tried = 0
    for mistake in some(possible[list(SORTS).index(sort) % 3 :], 3):
        given = made(right, [mistake])
        if given is not None:
            tried += 1
            found = diagnosed(right, given, decimals)
            assert [answer.id for answer in found.answers] == [mistake.id]
    assert tried >= len(possible) // 4


@pytest.mark.slow
@pytest.mark.parametrize("decimals", [None, 4])
@pytest.mark.parametrize("sort", ["rnn", "lstm", "gru"])
def test_pairs_are_found(sort: str, decimals: int | None) -> None:
    """Two mistakes of different families: they are among the answers."""
    right = calculation(SORTS[sort])
    pairs = [pair for pair in combinations(gradient_mistakes(right.trace.spec.cell), 2) if pair[0].family != pair[1].family]
    for pair in some(pairs[:: max(len(pairs) // 5, 1)], 1)[:5]:
        given = made(right, pair)
        if given is not None:
            found = diagnosed(right, given, decimals)
            assert "+".join(mistake.id for mistake in pair) in [answer.id for answer in found.answers]


def test_right_gradients_have_nothing_to_explain() -> None:
    for sort in SORTS.values():
        right = calculation(sort)
        assert handed_in(right, right.run()).passed
        assert handed_in(right, right.run(), 4).passed


def test_noise_and_other_weights_are_not_explained() -> None:
    """What no mistake makes is not called one."""
    right, other = calculation(SORTS["rnn"]), calculation(SORTS["rnn"], seed=1)
    found = diagnosed(right, other.run())
    assert not found.answers
    assert found.first is not None
    assert found.exhausted


CELLS = {
    "rnn": RNN_TANH,
    "lstm": LSTM,
    "gru": GRU,
    "gru, reset before": GRU_RESET_BEFORE,
    "layer norm": lstm(layer_norm=True),
    "one's own": parse("f = σ(W_f x + U_f h[t-1])\nh = f * h[t-1] + (1 - f) * tanh(W_c x + U_c (f * h[t-1]))\n"),
}


@pytest.mark.parametrize("name", CELLS)
def test_the_catalogue_is_of_the_cell(name: str) -> None:
    """Ids of their own; whatever is read from equations changes them; everyone knows its fix."""
    found = gradient_mistakes(CELLS[name])
    assert len({mistake.id for mistake in found}) == len(found) >= 9
    assert all(mistake.says and mistake.fix for mistake in found)
    assert {mistake.family for mistake in found} >= {"flow", "sum", "step"}
