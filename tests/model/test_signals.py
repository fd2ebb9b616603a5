"""x, initial states and lengths: their axes, what is drawn, and what does not fit."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples, lengths_of, requests, specs

from rnntrace.errors import SignalError
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs, SignalRequest
from rnntrace.model.limits import MAX_VALUES
from rnntrace.model.signals import arrange, assemble, check_not_empty, state_shape, to_own_layout, x_shape
from rnntrace.model.spec import ModuleSpec


def spec(kind: str = "LSTM", **options: Any) -> ModuleSpec:
    """A module of input size 3 and hidden size 2, unless said otherwise."""
    return ModuleSpec(**{"kind": kind, "input_size": 3, "hidden_size": 2, **options})


def counting(shape: tuple[int, ...]) -> Array:
    """An array in which every value is another one."""
    return np.arange(1.0, np.prod(shape) + 1).reshape(shape)


def never(shape: tuple[int, ...]) -> Array:
    """Fails: nothing was to be drawn."""
    raise AssertionError(f"drew an array of shape {shape}")


def torch_module(found: ModuleSpec) -> torch.nn.Module:
    """The module of torch.nn in float64."""
    options: dict[str, Any] = {"bias": found.bias, "dtype": torch.float64}
    if not found.is_cell:
        options |= {"num_layers": found.num_layers, "bidirectional": found.bidirectional, "batch_first": found.batch_first}
    if found.kind == "LSTM":
        options["proj_size"] = found.proj_size
    module: torch.nn.Module = getattr(torch.nn, found.kind)(found.input_size, found.hidden_size, **options)
    return module


# --- which axis is which ----------------------------------------------------------------------------------------------


@given(st.data())
@examples(150)
def test_signals_come_back_as_they_went_in(data: st.DataObject) -> None:
    """Brought to the time-major form and back, x, h0 and c0 are what the user gave, whatever the module's layout."""
    found = data.draw(specs())
    steps, batch, unbatched = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4)), data.draw(st.booleans())
    batch = 1 if unbatched else batch
    x = counting(x_shape(found, steps, batch, unbatched))
    h0 = -counting(state_shape(found, batch, found.output_size, unbatched))
    c0 = counting(state_shape(found, batch, found.hidden_size, unbatched)) / 2 if found.has_cell_state else None
    inputs = arrange(found, x, {"h": h0} | ({} if c0 is None else {"c": c0}), None)
    rows = len(found.layer_directions)
    assert inputs.x.shape == (steps, batch, found.input_size)
    assert (inputs.steps, inputs.batch, inputs.unbatched) == (steps, batch, unbatched)
    assert inputs.h0.shape == (rows, batch, found.output_size)
    for name, mine, own in (("x", inputs.x, x), ("h0", inputs.h0, h0), ("c0", inputs.c0, c0)):
        if own is None:
            assert mine is None
            continue
        back = to_own_layout(found, name, mine, unbatched)
        assert back.shape == own.shape
        assert np.array_equal(back, own)


@given(st.data())
@examples(60)
def test_shapes_are_those_that_torch_takes_and_gives(data: st.DataObject) -> None:
    """torch runs on x and states of these shapes, and its output and final states have the shapes of our own layout."""
    found = data.draw(specs())
    steps, batch, unbatched = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3)), data.draw(st.booleans())
    batch = 1 if unbatched else batch
    module = torch_module(found)
    x = torch.zeros(x_shape(found, steps, batch, unbatched), dtype=torch.float64)
    h = torch.zeros(state_shape(found, batch, found.output_size, unbatched), dtype=torch.float64)
    c = torch.zeros(state_shape(found, batch, found.hidden_size, unbatched), dtype=torch.float64)
    state = (h, c) if found.has_cell_state else h
    with torch.no_grad():
        answer = module(x[0], state) if found.is_cell else module(x, state)
    finals = answer if found.is_cell else answer[1]
    h_n = finals[0] if found.has_cell_state else finals
    assert h_n.shape == h.shape
    if found.has_cell_state:
        assert finals[1].shape == c.shape
    if not found.is_cell:
        output = np.zeros((steps, batch, found.output_size * len(found.directions)))
        assert to_own_layout(found, "output", output, unbatched).shape == answer[0].shape


def test_batch_first_and_time_first_are_one_sequence() -> None:
    """Step t of item b is the same vector however the axes of x stand."""
    x = counting((4, 2, 3))
    states = {state: np.zeros((1, 2, 2)) for state in "hc"}
    time_first = arrange(spec(), x, states, None)
    batch_first = arrange(spec(batch_first=True), x.swapaxes(0, 1), states, None)
    assert np.array_equal(time_first.x, x)
    assert np.array_equal(batch_first.x, x)


def test_batch_first_leaves_the_states_alone() -> None:
    """As in torch, h0 is (layers, batch, hidden) with batch_first too."""
    h0 = counting((4, 2, 2))
    inputs = arrange(spec("GRU", num_layers=2, bidirectional=True, batch_first=True), np.zeros((2, 5, 3)), {"h": h0}, None)
    assert np.array_equal(inputs.h0, h0)


# --- what is asked for ------------------------------------------------------------------------------------------------


class Draws:
    """Draws arrays that say which draw they were, and keeps their shapes."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, shape: tuple[int, ...]) -> Array:
        """Ones at the first draw, twos at the second and so on."""
        self.shapes.append(shape)
        return np.full(shape, float(len(self.shapes)))


@pytest.mark.parametrize(
    ("h0", "c0", "drawn"),
    [
        ("zeros", "zeros", [(4, 2, 3)]),
        ("random", "zeros", [(4, 2, 3), (1, 2, 1)]),
        ("zeros", "random", [(4, 2, 3), (1, 2, 2)]),
        ("random", "random", [(4, 2, 3), (1, 2, 1), (1, 2, 2)]),
    ],
)
def test_x_then_h0_then_c0_are_drawn(
    h0: Literal["zeros", "random"], c0: Literal["zeros", "random"], drawn: list[tuple[int, ...]]
) -> None:
    """The order of the draws is x, h0, c0, and what is zero costs no draw."""
    draws = Draws()
    inputs = assemble(spec(proj_size=1), SignalRequest(steps=4, batch=2, h0=h0, c0=c0), draws)
    assert draws.shapes == drawn
    assert inputs.c0 is not None
    assert np.all(inputs.x == 1)
    assert np.all(inputs.h0 == (2 if h0 == "random" else 0))
    assert np.all(inputs.c0 == (len(drawn) if c0 == "random" else 0))


def test_what_is_given_is_not_drawn() -> None:
    """With x, h0 and c0 given nothing is random, and each arrives unchanged."""
    x, h0, c0 = counting((4, 2, 3)), counting((1, 2, 2)), -counting((1, 2, 2))
    inputs = assemble(spec(), SignalRequest(x=x, h0=h0, c0=c0), never)
    assert inputs.c0 is not None
    assert np.array_equal(inputs.x, x)
    assert np.array_equal(inputs.h0, h0)
    assert np.array_equal(inputs.c0, c0)


@given(st.data())
@examples(100)
def test_every_request_that_fits_is_met(data: st.DataObject) -> None:
    """Sizes, lengths and the mask of existing steps are those asked for."""
    found = data.draw(specs())
    request = data.draw(requests(found))
    inputs = assemble(found, request, counting)
    assert (inputs.steps, inputs.batch, inputs.lengths) == (request.steps, request.batch, request.lengths)
    assert (inputs.c0 is not None) == found.has_cell_state
    assert inputs.initial("h") is inputs.h0


def test_only_an_lstm_has_a_cell_state() -> None:
    """Other kinds get none, and an LSTM's is what `initial` gives for c."""
    assert assemble(spec("GRU"), SignalRequest(), counting).c0 is None
    inputs = assemble(spec(), SignalRequest(c0="random"), counting)
    assert inputs.initial("c") is inputs.c0


def test_a_sequence_without_steps_is_for_onnx_alone() -> None:
    """It may be among the signals, and who does not know what comes of it refuses it."""
    assert assemble(spec("GRU"), SignalRequest(batch=2, lengths=(0, 3)), np.zeros).lengths == (0, 3)
    check_not_empty((1, 3))
    check_not_empty(None)
    with pytest.raises(SignalError, match="at least 1, not 0"):
        check_not_empty((3, 0))


@given(st.integers(1, 6).flatmap(lambda steps: st.tuples(st.just(steps), lengths_of(steps, 3))))
@examples(50)
def test_a_step_exists_up_to_the_length_of_its_item(case: tuple[int, tuple[int, ...]]) -> None:
    """`valid` is True exactly for the first `length` steps of each item, and None where nothing is padded."""
    steps, lengths = case
    inputs = Inputs(np.zeros((steps, 3, 1)), np.zeros((1, 3, 1)), None, lengths)
    assert inputs.valid is not None
    assert inputs.valid.shape == (steps, 3)
    assert all(inputs.valid[t, item] == (t < length) for t in range(steps) for item, length in enumerate(lengths))
    assert Inputs(inputs.x, inputs.h0).valid is None


def test_signals_that_are_not_finite_are_named() -> None:
    """NaN and either infinity are found in each signal; large finite values are not."""
    finite = np.full((1, 1, 1), np.finfo(float).max)
    for value in (np.nan, np.inf, -np.inf):
        bad = np.array([[[value]]])
        assert Inputs(bad, finite, finite).not_finite == ("x",)
        assert Inputs(finite, bad, None).not_finite == ("h0",)
        assert Inputs(bad, finite, bad).not_finite == ("x", "c0")
    assert Inputs(finite, finite, finite).not_finite == ()


REFUSED = [
    ({}, {"steps": 0}, ("number of steps", "at least 1", "not 0")),
    ({}, {"steps": -3}, ("number of steps", "at least 1", "not -3")),
    ({}, {"batch": 0}, ("batch size", "at least 1", "not 0")),
    ({}, {"x": np.zeros(3)}, ("(time, batch, input)", "(time, input)", "(3,)")),
    ({}, {"x": np.zeros(())}, ("(time, batch, input)", "()")),
    ({"batch_first": True}, {"x": np.zeros((1, 1, 1, 3))}, ("(batch, time, input)", "(1, 1, 1, 3)")),
    ({}, {"x": np.zeros((4, 2, 5))}, ("input size 3", "(4, 2, 5)", "`input_size=5`")),
    ({}, {"x": np.zeros((4, 5))}, ("input size 3", "(4, 5)", "`input_size=5`")),
    ({}, {"x": np.zeros((0, 2, 3))}, ("at least one step", "(0, 2, 3)")),
    ({}, {"x": np.zeros((4, 0, 3))}, ("one item", "(4, 0, 3)")),
    ({}, {"x": np.zeros((0, 3))}, ("at least one step", "(0, 3)")),
    ({}, {"h0": np.zeros((2, 2))}, ("h0", "(1, 1, 2)", "(2, 2)")),
    ({}, {"h0": np.zeros((1, 1, 3))}, ("h0", "(1, 1, 2)", "(1, 1, 3)")),
    ({"proj_size": 1}, {"h0": np.zeros((1, 1, 2))}, ("h0", "(1, 1, 1)", "(1, 1, 2)")),
    ({"proj_size": 1}, {"c0": np.zeros((1, 1, 1))}, ("c0", "(1, 1, 2)", "(1, 1, 1)")),
    ({"num_layers": 2, "bidirectional": True}, {"h0": np.zeros((2, 1, 2))}, ("h0", "(4, 1, 2)", "(2, 1, 2)")),
    ({}, {"unbatched": True, "h0": np.zeros((1, 1, 3))}, ("h0", "(1, 2)", "(1, 1, 3)")),
    ({"kind": "GRUCell"}, {"h0": np.zeros((1, 2, 2))}, ("h0", "(1, 2)", "(1, 2, 2)")),
    ({"kind": "LSTMCell"}, {"unbatched": True, "c0": np.zeros((2, 2))}, ("c0", "(2,)", "(2, 2)")),
    ({"batch_first": True}, {"batch": 3, "h0": np.zeros((2, 3))}, ("h0", "(1, 3, 2)", "(2, 3)")),
    ({"kind": "GRU"}, {"c0": "random"}, ("c0", "LSTM", "GRU", "leave `c0` out")),
    ({"kind": "RNN"}, {"c0": np.zeros((1, 1, 2))}, ("c0", "LSTM", "RNN", "leave `c0` out")),
    ({}, {"lengths": (5,)}, ("between 1", "number of steps 4", "not 5")),
    ({}, {"lengths": (-1,)}, ("between 1", "not -1")),
    ({}, {"lengths": ()}, ("lengths should be 1", "there are 0")),
    ({}, {"batch": 2, "lengths": (3,)}, ("lengths should be 2", "there are 1")),
    ({"batch_first": True}, {"x": np.zeros((3, 5, 3)), "lengths": (5, 5)}, ("lengths should be 3", "there are 2")),
    ({"kind": "LSTMCell"}, {"lengths": (4,)}, ("`lengths`", "LSTMCell", "leave it out")),
    ({}, {"unbatched": True, "lengths": (4,)}, ("`lengths`", "unbatched", "leave it out")),
    ({}, {"steps": MAX_VALUES}, ("an x of 805,306,368 values", "268,435,456", "fewer steps or items")),
    ({"kind": "RNN"}, {"steps": 2, "batch": MAX_VALUES}, ("an x of 1,610,612,736 values", "268,435,456", "fewer steps")),
    ({"input_size": 1}, {"steps": MAX_VALUES}, ("a trace of 3,221,225,472 values", "268,435,456", "fewer steps or items")),
    ({}, {"x": np.broadcast_to(0.0, (MAX_VALUES // 3, 1, 3))}, ("a trace of 1,073,741,820 values", "268,435,456")),
]


@pytest.mark.parametrize(
    ("options", "request_", "fragments"), REFUSED, ids=[f"{options}-{list(request)}" for options, request, _ in REFUSED]
)
def test_signals_that_do_not_fit_are_refused(
    options: dict[str, Any], request_: dict[str, Any], fragments: tuple[str, ...]
) -> None:
    """The message gives the expected shape or range and the one found; nothing is broadcast."""
    with pytest.raises(SignalError) as caught:
        assemble(spec(**options), SignalRequest(**request_), lambda shape: np.zeros(shape))
    assert [fragment for fragment in fragments if fragment not in str(caught.value)] == [], str(caught.value)
    assert str(caught.value).isprintable()


def test_a_run_that_is_too_large_is_refused_before_anything_is_drawn() -> None:
    """The limit holds for the sizes asked for: nothing is allocated first."""
    with pytest.raises(SignalError, match="over the limit"):
        assemble(spec(), SignalRequest(steps=2**40), never)


def test_an_x_that_is_too_large_is_refused_before_it_is_drawn() -> None:
    """x itself counts too: 2**20 inputs at 2**27 steps are half a petabyte, however small the module."""
    wide = spec("RNN", input_size=2**20, hidden_size=1)
    with pytest.raises(SignalError, match="limit"):
        assemble(wide, SignalRequest(steps=2**27), never)
