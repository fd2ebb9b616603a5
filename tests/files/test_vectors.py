"""Numbers that other projects published: weights, inputs and outputs of recurrent networks, replayed by ours.

The vectors are looked for in $RNNTRACE_VECTORS, then beside the repository in ../shared/vectors.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnntrace
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs, SignalRequest, State
from rnntrace.model.layouts import weights_from_torch
from rnntrace.model.signals import assemble, to_own_layout
from rnntrace.model.spec import ModuleSpec

BESIDE = Path(__file__).parents[3] / "shared" / "vectors"
FOLDERS = [Path(os.environ.get("RNNTRACE_VECTORS") or BESIDE), BESIDE]
FOLDER = next((folder for folder in FOLDERS if (folder / "cases.json").is_file()), None)
CASES: dict[str, dict[str, Any]] = (
    {} if FOLDER is None else {case["id"]: case for case in json.loads((FOLDER / "cases.json").read_text())["cases"]}
)

RESET_BEFORE = (
    "linear_before_reset=0 (torch GRU is linear_before_reset=1)",
    "reset_after=False",
    "resetAfter=false",
)
"""How the sources call a GRU that resets before the matrix product, where that is all that torch has no."""

REPLAYABLE = [name for name, case in CASES.items() if case["torch_replayable"]]
RESETTING_BEFORE = [name for name, case in CASES.items() if case.get("why_not_torch") in RESET_BEFORE]

MISPRINT = ("ort_tests__TestLSTMShorterSeqInMiddle", "output", (1, 0, 2), 6.135e-5)
"""A literal in ONNX Runtime's test that is off by this much; its case states a tolerance wide enough to hide it."""
OTHERS_THERE = {"atol": 2e-6, "rtol": 1e-5}
"""The tolerance of all other numbers in that case, which is that of its siblings."""

FROM_UNROUNDED = {
    "tflm__lstm_gate_level_row0",
    "ngraph__rnn_cell_no_bias",
    "ngraph__lstm_cell_no_bias_no_peepholes",
    "ngraph__lstm_cell_zero_bias_peepholes",
    "ngraph__lstm_cell_zero_bias_peepholes_constant",
    "burn__birnn_h0",
    "burn__bigru_h0",
    "burn__gru_h0",
    "burn__bigru_fullprec_h0",
    "burn__bilstm_state",
}
"""Cases whose float64 reference was computed before an initial state or input was rounded to the float32 that is stored."""

BLIND_TO_THE_RESET = {
    "ort_tests__ForwardDefaultActivationsSimpleWeightsNoBiasTwoRows",
    "ort_tests__ReverseDefaultActivationsSimpleWeightsNoBiasTwoRows",
    "ort_tests__BidirectionalDefaultActivationsSimpleWeightsNoBiasTwoRows",
    "keras_tests__gru_correctness_3",
}
"""Cases in which it makes no difference where the GRU resets: the candidate is saturated at 1, or all units are alike."""

WITH_GATES_APART = [
    name
    for name in REPLAYABLE
    if CASES[name]["group"] in ("burn", "candle", "ort_tests", "pytorch") and CASES[name]["kind"] != "RNN"
]
"""Cases with several gates, of the groups whose weights differ from gate to gate."""

pytestmark = pytest.mark.skipif(not CASES, reason="no test vectors in $RNNTRACE_VECTORS or ../shared/vectors")


@dataclass(frozen=True)
class Vector:
    """One case: a module, its parameters under torch's names, signals in the module's own layout, and published numbers."""

    spec: ModuleSpec
    parameters: dict[str, Array]
    request: SignalRequest
    expected: dict[str, Array]
    reference: dict[str, Array]
    tolerance: dict[str, float]

    def inputs(self) -> Inputs:
        """The signals as the engine takes them."""
        return assemble(self.spec, self.request, _nothing_is_drawn)

    def replayed(self) -> dict[str, Array]:
        """The outputs of the replay with numpy alone, in the module's own layout."""
        inputs = self.inputs()
        trace = rnntrace.replay(self.spec, weights_from_torch(self.spec, self.parameters), inputs)
        return {name: to_own_layout(self.spec, name, array, inputs.unbatched) for name, array in trace.outputs.items()}

    def in_float64(self) -> "Vector":
        """The same case in float64."""
        wide = {name: array.astype(np.float64) for name, array in self.parameters.items()}
        signals = {name: _wide(getattr(self.request, name)) for name in ("x", "h0", "c0")}
        return replace(
            self, spec=replace(self.spec, dtype="float64"), parameters=wide, request=replace(self.request, **signals)
        )


def _wide(signal: State | None) -> Any:
    return signal.astype(np.float64) if isinstance(signal, np.ndarray) else signal


def _nothing_is_drawn(shape: tuple[int, ...]) -> Array:
    raise AssertionError(f"nothing is drawn in a test vector, and {shape} was asked for")


def _arrays(name: str) -> dict[str, Array]:
    assert FOLDER is not None
    with np.load(FOLDER / CASES[name]["npz"]) as file:
        return dict(file)


def _group(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


@cache
def vector(name: str) -> Vector:
    """A case that torch can express. A single reverse direction is stored flipped in time, as a forward one."""
    arrays, config = _arrays(name), CASES[name]["config"]
    sizes = ("input_size", "hidden_size", "num_layers", "bidirectional", "bias", "batch_first", "proj_size", "dtype")
    spec = ModuleSpec(kind=config["module"], nonlinearity=config.get("nonlinearity"), **{key: config[key] for key in sizes})
    signals = _group(arrays, "in/")
    lengths = signals.pop("lengths", None)
    outputs = [_group(arrays, "exp/"), _group(arrays, "ref64/")]
    if spec.is_cell:
        # A cell's states are stored with the axis of layers that a cell does not have.
        for group in (signals, *outputs):
            group |= {key: array[0] for key, array in group.items() if key in ("h0", "c0", "h_n", "c_n")}
    request = SignalRequest(lengths=None if lengths is None else tuple(map(int, lengths)), **signals)
    return Vector(spec, _group(arrays, "sd/"), request, *outputs, CASES[name]["tolerance"])


@cache
def reset_before(name: str) -> Vector:
    """A case with a GRU that resets before the matrix product, brought from the source's layout to torch's."""
    native, stated = _group(_arrays(name), "native/"), _group(_arrays(name), "exp_native/")
    bring = {"ort_tests": _from_onnx, "keras_tests": _from_keras, "webnn": _from_webnn}[CASES[name]["group"]]
    attributes = CASES[name]["config"].get("onnx_attributes", {})
    parameters, request, expected = bring(native, stated, reverse=attributes.get("direction") == "reverse")
    rows, size = parameters["weight_ih_l0"].shape
    spec = ModuleSpec(
        kind="GRU",
        input_size=size,
        hidden_size=rows // 3,
        bidirectional="weight_ih_l0_reverse" in parameters,
        bias="bias_ih_l0" in parameters,
        dtype=str(parameters["weight_ih_l0"].dtype),
        reset_after=False,
    )
    return Vector(spec, parameters, request, expected, {}, CASES[name]["tolerance"])


Brought = tuple[dict[str, Array], SignalRequest, dict[str, Array]]


def _from_onnx(native: dict[str, Array], stated: dict[str, Array], *, reverse: bool) -> Brought:
    """Takes X (T, B, I), W (dirs, 3H, I), R (dirs, 3H, H), B (dirs, 6H) with the biases of W first, Y (T, dirs, B, H)."""
    parameters = {}
    for direction, suffix in enumerate(("_l0", "_l0_reverse")[: len(native["W"])]):
        parameters["weight_ih" + suffix] = _rzn(native["W"][direction])
        parameters["weight_hh" + suffix] = _rzn(native["R"][direction])
        if "B" in native:
            of_input, of_hidden = np.split(native["B"][direction], 2)
            parameters |= {"bias_ih" + suffix: _rzn(of_input), "bias_hh" + suffix: _rzn(of_hidden)}
    in_time = slice(None, None, -1 if reverse else 1)
    lengths = native.get("sequence_lens")
    request = SignalRequest(
        x=native["X"][in_time],
        h0=native.get("initial_h", "zeros"),
        lengths=None if lengths is None else tuple(map(int, lengths)),
    )
    expected = {"output": np.concatenate(list(stated["Y"][in_time].swapaxes(0, 1)), axis=2)}
    if "Y_h" in stated:
        expected["h_n"] = stated["Y_h"]
    return parameters, request, expected


def _from_keras(native: dict[str, Array], stated: dict[str, Array], *, reverse: bool) -> Brought:
    """Takes x (B, T, I), kernel (I, 3H), recurrent_kernel (H, 3H), one bias; the last h is stated."""
    assert not reverse
    parameters = {
        "weight_ih_l0": _rzn(native["kernel"].T),
        "weight_hh_l0": _rzn(native["recurrent_kernel"].T),
        "bias_ih_l0": _rzn(native["bias"]),
        "bias_hh_l0": np.zeros_like(native["bias"]),
    }
    return parameters, SignalRequest(x=native["x"].swapaxes(0, 1)), {"h_n": stated["out0"][None]}


def _from_webnn(native: dict[str, Array], stated: dict[str, Array], *, reverse: bool) -> Brought:
    """Takes x (T, B, I), weight (1, 3H, I), recurrentWeight (1, 3H, H), two biases; the last h is stated."""
    assert not reverse
    names = {"weight_ih": "weight", "weight_hh": "recurrentWeight", "bias_ih": "bias", "bias_hh": "recurrentBias"}
    parameters = {f"{name}_l0": _rzn(native[theirs][0]) for name, theirs in names.items()}
    request = SignalRequest(x=native["x"], h0=native["initialHiddenState"])
    return parameters, request, {"h_n": stated["h_n"][None]}


def _rzn(stacked: Array) -> Array:
    """Blocks in the order z, r, n, which all three sources use, in torch's order r, z, n."""
    update, reset, candidate = np.split(stacked, 3)
    return np.concatenate([reset, update, candidate])


def _disagreements(found: dict[str, Array], expected: dict[str, Array], atol: float, rtol: float) -> Iterator[str]:
    """Every published number, NaN being none, that is further off than atol + rtol·|it|."""
    assert any(np.isfinite(array).any() for array in expected.values())
    for name, published in expected.items():
        assert found[name].shape == published.shape
        difference = np.abs(found[name].astype(np.float64) - published)
        for index in np.argwhere(difference > atol + rtol * np.abs(published)):
            place = tuple(map(int, index))
            yield f"{name}{list(place)}: {found[name][place]}, published {published[place]}"


def test_no_case_was_lost() -> None:
    """A hundred cases are torch's, ten more are GRUs that reset before the matrix product, and all names are different."""
    assert len(REPLAYABLE) == 100
    assert len(RESETTING_BEFORE) == 10
    assert set(REPLAYABLE) >= FROM_UNROUNDED
    assert len(WITH_GATES_APART) == 30
    assert len(CASES) == 180


@pytest.mark.parametrize("name", REPLAYABLE)
def test_the_replay_gives_the_published_numbers(name: str) -> None:
    """With numpy alone every published number is met within the tolerance that its source states."""
    case = vector(name)
    assert list(_disagreements(case.replayed(), case.expected, **case.tolerance)) == []


@pytest.mark.parametrize("name", REPLAYABLE)
def test_the_replay_in_float64_is_the_reference(name: str) -> None:
    """In float64 the replay and an independent float64 implementation differ by rounding alone."""
    case = vector(name).in_float64()
    atol = 3e-8 if name in FROM_UNROUNDED else 1e-14
    assert set(case.reference) == set(case.replayed())
    assert list(_disagreements(case.replayed(), case.reference, atol, 0.0)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", REPLAYABLE)
def test_torch_gives_the_published_numbers_and_its_gates_agree(name: str) -> None:
    """A torch module with the published weights passes, every gate and state captured, and meets the published numbers."""
    torch = pytest.importorskip("torch")
    case = vector(name)
    spec, request = case.spec, case.request
    options: dict[str, Any] = {"bias": spec.bias, "dtype": getattr(torch, spec.dtype)}
    if spec.family == "RNN":
        options["nonlinearity"] = spec.nonlinearity
    if not spec.is_cell:
        options |= {key: getattr(spec, key) for key in ("num_layers", "bidirectional", "batch_first")}
    module = getattr(torch.nn, spec.kind)(spec.input_size, spec.hidden_size, **options)
    module.load_state_dict({key: torch.from_numpy(array) for key, array in case.parameters.items()})
    states = [state for state in (request.h0, request.c0) if isinstance(state, np.ndarray)]
    if states and spec.has_cell_state:
        states = [*states, np.zeros_like(states[0])][:2]
    hx = None if not states else tuple(states) if spec.has_cell_state else states[0]
    result = rnntrace.trace(module, request.x, hx, lengths=request.lengths, capture="on")
    assert result.passed, result.comparison.first_failure
    assert set(result.observation.captured) == set(result.trace)
    assert list(_disagreements(result.expected, case.expected, **case.tolerance)) == []
    assert list(_disagreements(result.outputs, case.expected, **case.tolerance)) == []


def test_the_one_misprint_is_found_and_nothing_else_in_its_case() -> None:
    """In the case with a wrong literal, the literal is off by what is known, and all others keep their siblings' tolerance."""
    name, output, place, off = MISPRINT
    case = vector(name)
    found = case.replayed()
    assert len(list(_disagreements(found, case.expected, **OTHERS_THERE))) == 1
    assert abs(found[output][place] - case.expected[output][place]) == pytest.approx(off, rel=1e-3)


@pytest.mark.parametrize("name", RESETTING_BEFORE)
def test_a_gru_that_resets_before_the_product_gives_the_published_numbers(name: str) -> None:
    """What torch cannot run, the replay can: ONNX's linear_before_reset=0, Keras' and WebNN's reset_after=False."""
    case = reset_before(name)
    assert list(_disagreements(case.replayed(), case.expected, **case.tolerance)) == []


@pytest.mark.parametrize("name", RESETTING_BEFORE)
def test_the_published_numbers_tell_where_a_gru_resets(name: str) -> None:
    """Torch's GRU, which resets after the product, does not meet them, but for the four cases that cannot tell."""
    case = reset_before(name)
    after = replace(case, spec=replace(case.spec, reset_after=True))
    told_apart = list(_disagreements(after.replayed(), case.expected, **case.tolerance)) != []
    assert told_apart == (name not in BLIND_TO_THE_RESET)


@pytest.mark.parametrize("name", WITH_GATES_APART)
def test_two_gates_in_each_others_place_are_seen(name: str) -> None:
    """With any two gates of the weights swapped, the replay no longer gives the published numbers."""
    case = vector(name)
    gates = case.spec.cell.gates
    for first, second in combinations(range(len(gates)), 2):
        order = list(range(len(gates)))
        order[first], order[second] = second, first
        swapped = {
            key: np.concatenate([np.split(array, len(gates))[block] for block in order])
            for key, array in case.parameters.items()
        }
        found = replace(case, parameters=swapped).replayed()
        assert list(_disagreements(found, case.expected, **case.tolerance)) != [], (gates[first], gates[second])
