"""Torch's own gates: that watching changes nothing, that what is seen is what it is called, and when nothing is seen."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import rnntrace
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.frameworks.torch import capture as torch_capture
from rnntrace.frameworks.torch import modules as framework
from rnntrace.frameworks.torch import run as torch_observe
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import SignalRequest
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.given.sources import Sources
from rnntrace.verbs.run import build_and_trace as run

SPECS = {
    "RNN": ModuleSpec(kind="RNN", input_size=3, hidden_size=4, num_layers=2, bidirectional=True),
    "RNN relu": ModuleSpec(kind="RNN", input_size=3, hidden_size=4, nonlinearity="relu"),
    "LSTM": ModuleSpec(kind="LSTM", input_size=3, hidden_size=4, num_layers=2, bidirectional=True),
    "LSTM projected": ModuleSpec(kind="LSTM", input_size=3, hidden_size=4, num_layers=2, proj_size=2, bidirectional=True),
    "GRU": ModuleSpec(kind="GRU", input_size=3, hidden_size=4, num_layers=2, bidirectional=True),
    "RNNCell": ModuleSpec(kind="RNNCell", input_size=3, hidden_size=4),
    "LSTMCell": ModuleSpec(kind="LSTMCell", input_size=3, hidden_size=4),
    "GRUCell": ModuleSpec(kind="GRUCell", input_size=3, hidden_size=4),
}
DTYPES = ("float64", "float32", "float16", "bfloat16")


def captured(spec: ModuleSpec, *, steps: int = 5, lengths: tuple[int, ...] | None = None, capture: str = "on") -> Result:
    """A run on three items with random initial states."""
    c0 = "random" if spec.has_cell_state else "zeros"
    request = SignalRequest(steps=steps, batch=3, h0="random", c0=c0, lengths=lengths)
    return run(spec, Sources(request), JudgeOptions(capture=capture), seed=11)


def before(result: Result, state: str, layer: int, direction: str) -> Array:
    """Torch's own state before each step, of sequences without padding."""
    sequence = result.observation.captured[layer, direction, state]
    first = result.trace.initial(state, layer, direction)[None]
    return np.concatenate([sequence[1:], first] if direction == "reverse" else [first, sequence[:-1]])


# --- watching changes nothing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [None, (5, 3, 2), (2, 5, 4)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if not spec.is_cell])
def test_watched_states_are_the_bits_of_an_unwatched_call(name: str, dtype: str, lengths: tuple[int, ...] | None) -> None:
    """The captured h and c are, bit for bit, what the module gives when nobody watches it on the same path."""
    spec = replace(SPECS[name], dtype=dtype)
    module = framework.build(spec)
    x = torch.randn(5, 3, 3, dtype=getattr(torch, dtype))
    result = rnntrace.trace(module, x, lengths=lengths, capture="on")
    own = result.observation.captured
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            if lengths is None:
                output, final = module(x)
            else:
                packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
                packed_output, final = module(packed)
                output, _ = nn.utils.rnn.pad_packed_sequence(packed_output, total_length=5)
    last = spec.num_layers - 1
    seen = np.concatenate([own[last, direction, "h"] for direction in spec.directions], axis=2)
    exists = np.ones((5, 3), bool) if lengths is None else np.arange(5)[:, None] < np.array(lengths)
    assert np.isnan(seen[~exists]).all()
    assert seen[exists].tobytes() == output.numpy()[exists].tobytes()
    finals = dict(zip("hc", final, strict=True)) if isinstance(final, tuple) else {"h": final}
    ends = np.array(lengths or (5,) * 3) - 1
    for state, values in finals.items():
        for row, (layer, direction) in enumerate(spec.layer_directions):
            at_end = own[layer, direction, state][0 if direction == "reverse" else ends, np.arange(3)]
            assert at_end.tobytes() == values[row].numpy().tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECS)
def test_outputs_and_replay_do_not_depend_on_capture(name: str, dtype: str) -> None:
    """With capture on or off the framework's outputs, its hidden states and the replay have the same bits."""
    spec = replace(SPECS[name], dtype=dtype)
    on, off = captured(spec), captured(spec, capture="off")
    assert on.observation.captured
    assert not off.observation.captured
    assert on.observation.path == off.observation.path
    for mine, other in (
        (on.observation.outputs, off.observation.outputs),
        (on.observation.hidden, off.observation.hidden),
        (on.trace.columns, off.trace.columns),
    ):
        assert set(mine) == set(other)
        for key, values in mine.items():
            assert values.tobytes() == other[key].tobytes()


@pytest.mark.parametrize("name", SPECS)
def test_a_run_gives_the_same_bits_while_it_is_watched(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the module returns while its operators are watched is what it returns on the native path unwatched."""
    spec = replace(SPECS[name], dtype="float64")
    watched: list[Any] = []
    capture_gates = torch_observe.capture_gates

    def capture(run_module: Any, *rest: Any) -> Any:
        def run_and_keep() -> Any:
            watched.append(run_module())
            return watched[-1]

        return capture_gates(run_and_keep, *rest)

    monkeypatch.setattr(torch_observe, "capture_gates", capture)
    result = captured(spec)
    assert len(watched) == 1
    assert result.observation.captured
    assert set(watched[0]) == set(result.observation.outputs)
    for signal, values in result.observation.outputs.items():
        assert watched[0][signal].tobytes() == values.tobytes()


# --- what is seen is what it is called --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GRU", "GRUCell"])
def test_captured_gates_make_the_hidden_state_of_a_gru(name: str) -> None:
    """Torch's own z and n mix the candidate and the state before: h = (1 - z)·n + z·h_before."""
    result = captured(SPECS[name])
    own = result.observation.captured
    for column in result.spec.layer_directions:
        z, n, h = (own[(*column, symbol)] for symbol in "znh")
        np.testing.assert_allclose((1 - z) * n + z * before(result, "h", *column), h, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["LSTM", "LSTMCell"])
def test_captured_gates_make_the_states_of_an_lstm(name: str) -> None:
    """Torch's own gates make its states: c = f·c_before + i·g and h = o·tanh(c)."""
    result = captured(SPECS[name])
    own = result.observation.captured
    for column in result.spec.layer_directions:
        i, f, g, o, c, h = (own[(*column, symbol)] for symbol in "ifgoch")
        np.testing.assert_allclose(f * before(result, "c", *column) + i * g, c, rtol=0, atol=1e-6)
        np.testing.assert_allclose(o * np.tanh(c), h, rtol=0, atol=1e-6)


def test_a_captured_projected_state_is_what_is_carried() -> None:
    """In a projected LSTM the captured h is W_hr·(o·tanh(c)), as small as the projection."""
    result = captured(SPECS["LSTM projected"])
    own = result.observation.captured
    for layer, direction in result.spec.layer_directions:
        o, c, h = (own[layer, direction, symbol] for symbol in "och")
        W_hr = result.weights[layer, direction].W_hr
        assert h.shape == (5, 3, 2)
        np.testing.assert_allclose((o * np.tanh(c)) @ W_hr.T, h, rtol=0, atol=1e-6)


def logistic(values: Array) -> Array:
    return 1 / (1 + np.exp(-values))


@pytest.mark.parametrize("name", SPECS)
def test_each_captured_gate_comes_from_its_own_rows(name: str) -> None:
    """Each gate follows from its block of torch's weights: i, f, g, o in an LSTM, r, z, n in a GRU, top to bottom."""
    spec = replace(SPECS[name], dtype="float64")
    torch.manual_seed(12)
    module = framework.build(spec)
    result = rnntrace.trace(module, torch.randn(5, 3, 3, dtype=torch.float64), capture="on")
    own = result.observation.captured
    parameters = {key: value.detach().numpy() for key, value in module.named_parameters()}
    below = result.inputs.x
    for layer in range(spec.num_layers):
        for direction in spec.directions:
            suffix = "" if spec.is_cell else f"_l{layer}" + ("_reverse" if direction == "reverse" else "")
            seen = below @ parameters["weight_ih" + suffix].T + parameters["bias_ih" + suffix]
            h = before(result, "h", layer, direction)
            felt = h @ parameters["weight_hh" + suffix].T + parameters["bias_hh" + suffix]
            if spec.family == "RNN":
                total = seen + felt
                expected = {"h": np.maximum(total, 0) if spec.nonlinearity == "relu" else np.tanh(total)}
            elif spec.family == "LSTM":
                i, f, g, o = np.split(seen + felt, 4, axis=2)
                expected = {"i": logistic(i), "f": logistic(f), "g": np.tanh(g), "o": logistic(o)}
            else:
                (r_in, z_in, n_in), (r_h, z_h, n_h) = np.split(seen, 3, axis=2), np.split(felt, 3, axis=2)
                r = logistic(r_in + r_h)
                expected = {"r": r, "z": logistic(z_in + z_h), "n": np.tanh(n_in + r * n_h)}
            for symbol, values in expected.items():
                np.testing.assert_allclose(own[layer, direction, symbol], values, rtol=0, atol=1e-12)
        below = np.concatenate([own[layer, direction, "h"] for direction in spec.directions], axis=2)


# --- when nothing is captured -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_capture_off_captures_nothing(name: str) -> None:
    """With capture off there are no gates of torch's, it says so, and the hidden states are compared all the same."""
    result = captured(SPECS[name], capture="off")
    assert result.observation.captured == {}
    assert result.observation.captured_path == ""
    assert result.observation.not_captured == "not asked for"
    assert result.framework_values == result.observation.hidden
    assert result.passed
    assert {"h", "output", "h_n"} <= {difference.name for difference in result.comparison.differences}


@pytest.mark.parametrize("capture", ["auto", "on"])
@pytest.mark.parametrize("name", SPECS)
def test_small_runs_are_captured(name: str, capture: str) -> None:
    """On a small run capture is on of itself, on the native path."""
    result = captured(SPECS[name], capture=capture)
    assert result.observation.not_captured == ""
    assert result.observation.captured_path == "native"
    assert set(result.observation.captured) == set(result.trace)


@pytest.mark.parametrize(("steps", "is_captured"), [(2_000, True), (2_001, False)])
def test_auto_stops_at_its_limit_of_steps(steps: int, is_captured: bool) -> None:
    """Capture auto follows 2,000 steps and not one more, and says how many there were and what to do."""
    spec = ModuleSpec(kind="RNN", input_size=1, hidden_size=1)
    result = run(spec, Sources(SignalRequest(steps=steps)), JudgeOptions(capture="auto"), seed=13)
    assert result.passed
    assert bool(result.observation.captured) is is_captured
    if not is_captured:
        assert "2,001 steps" in result.observation.not_captured
        assert "the limit of 2,000 steps" in result.observation.not_captured
        assert "`capture=on`" in result.observation.not_captured


def test_auto_counts_every_layer_and_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of steps counts a step of each layer and direction: 2 layers × 2 directions × 5 steps are 20."""
    monkeypatch.setattr(torch_observe, "MAX_CAPTURED_STEPS", 20)
    assert captured(SPECS["LSTM"], capture="auto").observation.captured
    monkeypatch.setattr(torch_observe, "MAX_CAPTURED_STEPS", 19)
    observation = captured(SPECS["LSTM"], capture="auto").observation
    assert observation.captured == {}
    assert observation.not_captured.startswith("20 steps with ")


def test_auto_stops_at_its_limit_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of values counts all gates and states: 20 steps × 3 items × 4 units × 6 quantities are 1,440."""
    monkeypatch.setattr(torch_observe, "MAX_CAPTURED_VALUES", 1_440)
    assert captured(SPECS["LSTM"], capture="auto").observation.captured
    monkeypatch.setattr(torch_observe, "MAX_CAPTURED_VALUES", 1_439)
    observation = captured(SPECS["LSTM"], capture="auto").observation
    assert observation.captured == {}
    assert "1,440 values are over the limit of" in observation.not_captured
    assert "1,439 values" in observation.not_captured


def test_capture_on_knows_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for, gates are captured above both limits."""
    monkeypatch.setattr(torch_observe, "MAX_CAPTURED_STEPS", 0)
    monkeypatch.setattr(torch_observe, "MAX_CAPTURED_VALUES", 0)
    assert captured(SPECS["GRU"], capture="on").observation.captured


# --- another torch ----------------------------------------------------------------------------------------------------


def assert_unavailable(result: Result, reason: str = "") -> None:
    """No gate is shown, the reason is given, and the run is judged by the hidden states as if capture were off."""
    said = result.observation.not_captured
    assert result.observation.captured == {}
    assert result.observation.captured_path == ""
    assert said
    assert reason in said
    assert f"torch's gates could not be captured: {said}" in result.warnings
    assert result.passed
    assert {difference.name for difference in result.comparison.differences} == {
        "h",
        *(f"{state}_n" for state in result.spec.cell.states),
        "output",
    }


def simulate(monkeypatch: pytest.MonkeyPatch, spec: ModuleSpec, operators: list[tuple[str, str]]) -> None:
    """Expect other operators of torch than those it runs: the same as torch running others than expected."""
    monkeypatch.setitem(torch_capture.STEP_OPERATORS, spec.cell, tuple(operators))


def more_or_fewer(name: str) -> Iterator[list[tuple[str, str]]]:
    """The operators of one step with one of them expected twice, or not at all though it is watched for."""
    expected = list(torch_capture.STEP_OPERATORS[SPECS[name].cell])
    for place, step in enumerate(expected):
        yield [*expected[:place], step, *expected[place:]]
        rest = [*expected[:place], *expected[place + 1 :]]
        if step[0] in {operator for operator, _ in rest}:
            yield rest


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [None, (2, 5, 4)], ids=["full", "packed"])
@pytest.mark.parametrize("name", SPECS)
def test_more_or_fewer_operators_make_gates_unavailable(
    name: str, lengths: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torch that runs one operator more or fewer in a step than expected has no gates to show."""
    spec = SPECS[name]
    for operators in list(more_or_fewer(name)):
        simulate(monkeypatch, spec, operators)
        assert_unavailable(captured(spec, lengths=None if spec.is_cell else lengths), "other operators than expected")


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [None, (2, 5, 4)], ids=["full", "packed"])
@pytest.mark.parametrize("name", SPECS)
def test_another_order_of_operators_makes_gates_unavailable(
    name: str, lengths: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torch that runs two neighbouring operators in another order has no gates to show."""
    spec = SPECS[name]
    expected = list(torch_capture.STEP_OPERATORS[spec.cell])
    for place in range(len(expected) - 1):
        first, second = expected[place : place + 2]
        if first[0] != second[0]:
            simulate(monkeypatch, spec, [*expected[:place], second, first, *expected[place + 2 :]])
            assert_unavailable(captured(spec, lengths=None if spec.is_cell else lengths), "other operators than expected")


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [None, (2, 5, 4)], ids=["full", "packed"])
@pytest.mark.parametrize(
    ("name", "state", "place"),
    [
        ("RNN", "h", 0),
        ("RNN relu", "h", 0),
        ("RNNCell", "h", 0),
        *((name, "h", place) for name in ("GRU", "GRUCell") for place in (0, 2, 4, 5, 7, 8)),
        *((name, state, place) for name in ("LSTM", "LSTMCell") for state in "hc" for place in (0, 5, 6, 8)),
        *(("LSTM projected", "c", place) for place in (0, 5, 6, 8, 9)),
    ],
)
def test_states_from_another_operator_make_gates_unavailable(
    name: str, state: str, place: int, lengths: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a state read from another operator than the one that makes it, it would not be torch's output, and is not shown."""
    spec = SPECS[name]
    expected = [(operator, "" if symbol == state else symbol) for operator, symbol in torch_capture.STEP_OPERATORS[spec.cell]]
    assert expected[place][1] == ""
    expected[place] = (expected[place][0], state)
    simulate(monkeypatch, spec, expected)
    assert_unavailable(captured(spec, lengths=None if spec.is_cell else lengths))


@pytest.mark.parametrize(
    ("name", "one", "other"), [("LSTM", "i", "f"), ("LSTM", "f", "o"), ("LSTMCell", "i", "o"), ("GRU", "r", "z")]
)
def test_gates_under_one_anothers_names_fail(name: str, one: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that computed two gates in the other order would show each under the other's name: the verdict says FAIL."""
    spec = SPECS[name]
    renamed = {one: other, other: one}
    simulate(
        monkeypatch,
        spec,
        [(operator, renamed.get(symbol, symbol)) for operator, symbol in torch_capture.STEP_OPERATORS[spec.cell]],
    )
    result = captured(spec)
    assert result.verdict is Verdict.FAIL
    assert {difference.name for difference in result.comparison.differences if not difference.passed} == {one, other}


# --- what a user sees -------------------------------------------------------------------------------------------------


@pytest.fixture
def _warn_always() -> Iterator[None]:
    """Make torch repeat warnings that it gives once in a process."""
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(always)


@pytest.mark.slow
@pytest.mark.usefixtures("_warn_always")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("capture", ["on", "off"])
@pytest.mark.parametrize("name", SPECS)
def test_no_warning_reaches_the_user(name: str, capture: str, dtype: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What torch warns of while it is built, run and watched stays off the screen, and the filters are as they were."""
    spec = replace(SPECS[name], dtype=dtype)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        filters = list(warnings.filters)
        for lengths in (None,) if spec.is_cell else (None, (2, 5, 4), (5, 5, 5)):
            captured(spec, lengths=lengths, capture=capture)
        assert list(warnings.filters) == filters
    assert [str(warning.message) for warning in heard] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("_warn_always")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_trace_can_be_traced_again_without_a_warning(dtype: str) -> None:
    """What one trace holds, though it is read-only, can be the input and the initial state of another."""
    module = nn.GRU(3, 3, dtype=getattr(torch, dtype))
    first = rnntrace.trace(module, np.random.default_rng(14).standard_normal((4, 2, 3)))
    assert not first.trace["h"].flags.writeable
    assert rnntrace.trace(module, first.trace["h"], first.trace.final("h")).passed


@pytest.mark.parametrize("is_enabled", [True, False], ids=["on", "off"])
def test_capture_gives_onednn_back(is_enabled: bool) -> None:
    """Whether oneDNN is on or off for the user, it is so again after a capture, which needs it off."""
    before_ = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = is_enabled
    try:
        result = captured(SPECS["LSTM"])
        assert torch.backends.mkldnn.enabled is is_enabled
    finally:
        torch.backends.mkldnn.enabled = before_
    assert result.observation.captured
    assert is_enabled or result.observation.path == "native"
