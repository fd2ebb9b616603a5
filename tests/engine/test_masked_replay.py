"""A mask (T, B): the steps that count are computed as if there were no others, and states are handed on past the rest."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.windows import replay_windows
from rnntrace.errors import SignalError
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.inputs import Inputs, SignalRequest
from rnntrace.model.masks import as_lengths, held, latest, of_lengths
from rnntrace.model.signals import assemble, has_holes, with_mask
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.verbs.given.arrays import array_of
from rnntrace.verbs.load import load

STEPS, BATCH = 9, 4
MASK = np.random.default_rng(3).random((STEPS, BATCH)) < 0.6
MASK[:, 2], MASK[:, 3] = True, False
"""Of the items the third has no step left out, and the fourth none that counts."""


def module_of(kind: str, *, layers: int = 2) -> tuple[torch.nn.RNNBase, ModuleSpec, Weights]:
    """A module of torch in both directions, and what we know of it."""
    torch.manual_seed(0)
    module: torch.nn.RNNBase = getattr(torch.nn, kind)(3, 4, layers, bidirectional=True, dtype=torch.float64)
    return module, *load(module)[""]


def inputs_of(spec: ModuleSpec, mask: Flags | None = None, lengths: tuple[int, ...] | None = None) -> Inputs:
    """Signals that are drawn, states too."""
    generator = np.random.default_rng(1)
    rows = len(spec.layer_directions)
    states = {state: generator.normal(size=(rows, BATCH, spec.size_of(state))) for state in spec.cell.states}
    return Inputs(generator.normal(size=(STEPS, BATCH, 3)), states=states, mask=mask, lengths=lengths)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_steps_that_count_are_those_of_torch_without_the_others(kind: str) -> None:
    """Item by item, in both directions and a stack; at steps left out nothing is computed."""
    module, spec, weights = module_of(kind)
    inputs = inputs_of(spec, MASK)
    trace = replay(spec, weights, inputs)
    for item in range(BATCH - 1):
        counts = MASK[:, item]
        start = tuple(torch.tensor(states[:, item]) for states in inputs.states.values())
        with torch.no_grad():
            output, final = module(torch.tensor(inputs.x[counts, item]), start if len(start) > 1 else start[0])
        np.testing.assert_allclose(trace.output[counts, item], output, atol=1e-14)
        assert not trace.output[~counts, item].any()
        assert np.isnan(trace["h", 0, "reverse"][~counts, item]).all()
        for state, values in zip(spec.cell.states, final if len(start) > 1 else (final,), strict=True):
            np.testing.assert_allclose(trace.final(state)[:, item], values, atol=1e-14)
    for state in spec.cell.states:
        assert np.array_equal(trace.final(state)[:, -1], inputs.states[state][:, -1])


def test_forced_and_in_windows_it_is_the_same_replay() -> None:
    """Forced with its own states, and a few steps at a time."""
    _, spec, weights = module_of("LSTM")
    inputs = inputs_of(spec, MASK)
    trace = replay(spec, weights, inputs)
    # What lies at steps left out is not read.
    known = {key: np.nan_to_num(values, nan=7.0) for key, values in trace.columns.items() if key[2] in spec.cell.states}
    forced = replay(spec, weights, inputs, known=known)
    for key, values in trace.columns.items():
        np.testing.assert_allclose(forced.columns[key], values, atol=1e-14)
    for column in spec.layer_directions:
        order = [slice(first, first + 3) for first in range(0, STEPS, 3)]
        found = list(replay_windows(spec, weights, inputs, column, order[:: -1 if column[1] == "reverse" else 1], known))
        for window in found:
            np.testing.assert_allclose(window.values["c"], trace.columns[*column, "c"][window.steps], atol=1e-14)
        row = spec.layer_directions.index(column)
        np.testing.assert_allclose(found[-1].final["c"][0], trace.final("c")[row], atol=1e-14)


@pytest.mark.parametrize("lengths", [(9, 5, 9, 1), (3, 3, 3, 3)])
def test_a_mask_of_what_lies_behind_the_ends_is_lengths(lengths: tuple[int, ...]) -> None:
    """Bit by bit, as a mask and as the lengths that it becomes."""
    _, spec, weights = module_of("GRU")
    mask = of_lengths(lengths, STEPS)
    packed = with_mask(spec, inputs_of(spec), mask)
    assert (packed.lengths, packed.mask, as_lengths(mask)) == (lengths, None, lengths)
    one, other = (replay(spec, weights, inputs_of(spec, mask, given)) for mask, given in ((mask, None), (None, lengths)))
    for key, values in one.columns.items():
        assert np.array_equal(values, other.columns[key], equal_nan=True)
    assert all(np.array_equal(values, other.outputs[name]) for name, values in one.outputs.items())
    assert one.final_step("forward").tolist() == [*lengths]


def test_what_a_mask_becomes_and_what_is_refused() -> None:
    """None where all steps count; a mask where lengths cannot say it; an error where it fits nothing."""
    spec = ModuleSpec(kind="GRU", input_size=1, hidden_size=2, batch_first=True)
    x = np.zeros((2, 3, 1), np.float32)

    def assembled(mask: object, lengths: tuple[int, ...] | None = None, x: Array = x) -> tuple[object, object, bool]:
        request = SignalRequest(x=x, mask=array_of(mask), lengths=lengths)
        found = assemble(spec, request, np.zeros)
        return found.lengths, None if found.mask is None else found.mask.T.astype(int).tolist(), has_holes(spec, request)

    assert assembled([[1, 1, 1], [1, 1, 1]]) == (None, None, False)
    assert assembled([[1, 1, 1], [1, 1, 0]]) == ((3, 2), None, False)
    assert assembled([[1, 1, 1], [1, 1, 0]], (3, 2)) == ((3, 2), None, False)
    assert assembled([[1, 1, 1], [0, 0, 0]]) == (None, [[1, 1, 1], [0, 0, 0]], True)
    # A single sequence has no lengths.
    assert assembled([1, 1, 0], x=x[0]) == (None, [[1, 1, 0]], True)
    for mask, lengths, says in (
        ([[1, 1], [1, 1], [1, 1]], None, "should have shape (2, 3)"),
        ([[1, 1, 1], [1, 1, 0.5]], None, "holds other numbers"),
        ([[0, 0, 0], [0, 0, 0]], None, "nothing is left to replay"),
        ([[1, 1, 1], [1, 1, 0]], (3, 1), "leave one of them out"),
    ):
        with pytest.raises(SignalError) as error:
            assembled(mask, lengths)
        assert says in str(error.value)


def test_what_is_held_where_steps_are_left_out() -> None:
    """Numbers by hand: the last that counted, and zero in front."""
    mask = np.array([[0, 1], [1, 0], [0, 0], [1, 1]], bool)
    values = np.arange(1.0, 9.0).reshape(4, 2, 1)
    assert latest(mask).T.tolist() == [[-1, 1, 1, 3], [0, 0, 0, 3]]
    assert held(values, mask)[..., 0].T.tolist() == [[0, 3, 3, 7], [2, 2, 2, 8]]
    inputs = replace(Inputs(values, states={}), mask=mask)
    assert (inputs.ends.tolist(), inputs.counted(0).tolist(), inputs.not_finite) == ([4, 4], [2, 4], ())
    values[2] = np.nan
    assert inputs.not_finite == ()
