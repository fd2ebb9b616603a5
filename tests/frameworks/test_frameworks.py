"""Keras and ONNX Runtime beside the same replay as torch: what they show, what they lack, and that wrong weights fail."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from commandline import all_in, ask, refused

import rnntrace
from rnntrace.errors import UsageError
from rnntrace.frameworks.registry import FRAMEWORKS, framework
from rnntrace.frameworks.torch import modules
from rnntrace.model.inputs import Inputs
from rnntrace.model.observation import Observation
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights

pytestmark = pytest.mark.slow

OTHERS = ("keras", "onnxruntime")
MODULES: dict[str, dict[str, Any]] = {
    "LSTM": {"kind": "LSTM"},
    "GRU": {"kind": "GRU"},
    "RNN": {"kind": "RNN"},
    "RNN with relu": {"kind": "RNN", "nonlinearity": "relu", "batch_first": True},
    "stack of LSTM in both directions": {"kind": "LSTM", "num_layers": 2, "bidirectional": True},
    "stack of GRU in both directions": {"kind": "GRU", "num_layers": 2, "bidirectional": True},
    "LSTM without biases": {"kind": "LSTM", "bias": False},
    "GRU without biases": {"kind": "GRU", "bias": False, "num_layers": 2},
    "RNN in both directions": {"kind": "RNN", "bidirectional": True, "num_layers": 3},
}
REVERSED = ({"kind": "LSTM"}, {"kind": "GRU"}, {"kind": "GRU", "reset_after": False}, {"kind": "RNN"})
CLOSE = {"rtol": 0, "atol": 8 * float(np.finfo(np.float32).eps)}


def case(lengths: tuple[int, ...] | None = None, **options: Any) -> tuple[ModuleSpec, Weights, Inputs]:
    """A module with weights and signals drawn by torch."""
    spec = ModuleSpec(input_size=3, hidden_size=4, **options)
    modules.seed(5)
    weights, draw = modules.drawn_weights(spec), modules.drawing(spec, "normal")
    shape = (len(spec.layer_directions), 2, 4)
    return spec, weights, Inputs(draw((5, 2, 3)), draw(shape), draw(shape) if spec.has_cell_state else None, lengths)


def observed(name: str, spec: ModuleSpec, weights: Weights, inputs: Inputs, capture: str = "on") -> Observation:
    """What a framework makes of it."""
    beside = framework(name)
    module = beside.build(spec)
    beside.load(module, spec, weights)
    return beside.observe(module, spec, inputs, capture)


@pytest.mark.parametrize("lengths", [None, (5, 3)], ids=["all steps", "lengths"])
@pytest.mark.parametrize("options", MODULES.values(), ids=MODULES)
@pytest.mark.parametrize("name", OTHERS)
def test_it_computes_what_torch_computes(name: str, options: dict[str, Any], lengths: tuple[int, ...] | None) -> None:
    """Outputs, final states and each layer's own h; torch is the oracle, at the steps that exist."""
    spec, weights, inputs = case(lengths, **options)
    found, right = (observed(each, spec, weights, inputs) for each in (name, "torch"))
    assert found.outputs.keys() == right.outputs.keys()
    for output, values in right.outputs.items():
        np.testing.assert_allclose(found.outputs[output], values, **CLOSE)
    assert found.hidden.keys() == right.hidden.keys()
    for key, values in right.hidden.items():
        np.testing.assert_allclose(found.hidden[key], values, **CLOSE)


@pytest.mark.parametrize("lengths", [None, (5, 3)], ids=["all steps", "lengths"])
@pytest.mark.parametrize("options", MODULES.values(), ids=MODULES)
def test_keras_shows_each_gate(options: dict[str, Any], lengths: tuple[int, ...] | None) -> None:
    """Every gate and state at every step, beside torch's own; NaN where a step does not exist."""
    spec, weights, inputs = case(lengths, **options)
    found, right = (observed(each, spec, weights, inputs).captured for each in ("keras", "torch"))
    assert (
        found.keys() == right.keys() == {(*column, symbol) for column in spec.layer_directions for symbol in spec.cell.symbols}
    )
    for key, values in right.items():
        np.testing.assert_allclose(found[key], values, **CLOSE)


@pytest.mark.parametrize("options", REVERSED, ids=str)
@pytest.mark.parametrize("name", OTHERS)
def test_the_reverse_direction_is_forward_on_what_is_flipped(name: str, options: dict[str, Any]) -> None:
    """reverse = flip ∘ forward ∘ flip, gates too where they are shown; torch has no such module."""
    spec, weights, inputs = case(**options)
    there = observed(name, replace(spec, reverse=True), weights.reversed(), inputs)
    back = observed(name, spec, weights, replace(inputs, x=inputs.x[::-1]))
    np.testing.assert_array_equal(there.outputs["output"], back.outputs["output"][::-1])
    np.testing.assert_array_equal(there.outputs["h_n"], back.outputs["h_n"])
    for symbol in spec.cell.symbols if there.captured else ():
        np.testing.assert_array_equal(there.captured[0, "reverse", symbol], back.captured[0, "forward", symbol][::-1])


@pytest.mark.parametrize("name", OTHERS)
def test_a_gru_that_resets_before_the_product(name: str) -> None:
    """What torch has no form of: by hand, in float64."""
    spec, weights, inputs = case(kind="GRU", reset_after=False)
    W, R, b, c = (weights[0, "forward"].arrays[part].astype(np.float64) for part in ("W_ih", "W_hh", "b_ih", "b_hh"))
    h, found = inputs.h0[0].astype(np.float64), observed(name, spec, weights, inputs)

    def affine(gate: int, x: Any, h: Any) -> Any:
        return x @ W[gate].T + b[gate] + h @ R[gate].T + c[gate]

    for t, x in enumerate(inputs.x.astype(np.float64)):
        r, z = (1 / (1 + np.exp(-affine(gate, x, h))) for gate in (0, 1))
        h = (1 - z) * np.tanh(affine(2, x, r * h)) + z * h
        np.testing.assert_allclose(found.outputs["output"][t], h, **CLOSE)


@pytest.mark.parametrize(
    ("name", "activation", "slope"),
    [("keras", "hard_sigmoid_keras3", 1 / 6), ("keras", "hard_sigmoid", 0.2), ("onnxruntime", "hard_sigmoid", 0.2)],
)
def test_a_hard_sigmoid_of_either_slope(name: str, activation: str, slope: float) -> None:
    """0.2 a + 0.5, which Keras takes as a function, and a / 6 + 0.5, which ONNX Runtime lacks."""
    spec, weights, inputs = case(kind="LSTM", recurrent_activation=activation)
    W, R, b, c = (weights[0, "forward"].arrays[part].astype(np.float64) for part in ("W_ih", "W_hh", "b_ih", "b_hh"))
    assert inputs.c0 is not None
    h, state = inputs.h0[0].astype(np.float64), inputs.c0[0].astype(np.float64)
    found = observed(name, spec, weights, inputs)
    for t, x in enumerate(inputs.x.astype(np.float64)):
        i, f, g, o = (x @ W[gate].T + b[gate] + h @ R[gate].T + c[gate] for gate in range(4))
        i, f, o = (np.clip(slope * value + 0.5, 0, 1) for value in (i, f, o))
        state = f * state + i * np.tanh(g)
        h = o * np.tanh(state)
        np.testing.assert_allclose(found.outputs["output"][t], h, **CLOSE)
    assert ("hard_sigmoid_keras3" in framework("onnxruntime").lacks(spec)) == (activation == "hard_sigmoid_keras3")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("keras", {"kind": "LSTM", "proj_size": 2}, "LSTM with a projection"),
        ("keras", {"kind": "GRUCell"}, "GRUCell outside of a layer"),
        ("onnxruntime", {"kind": "LSTM", "proj_size": 2}, "LSTM with a projection"),
        ("onnxruntime", {"kind": "GRU", "dtype": "float64"}, "GRU in float64"),
        ("torch", {"kind": "GRU", "reset_after": False}, "GRU that resets before the matrix product"),
    ],
    ids=str,
)
def test_what_it_lacks_is_said(name: str, options: dict[str, Any], words: str) -> None:
    """In words that fit behind `has no`."""
    assert framework(name).lacks(ModuleSpec(input_size=3, hidden_size=4, **options)) == words


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_run_judges_beside_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One seed gives the same weights, signals and replay beside each."""
    found = json.loads(ask(capsys, "run", "gru", "--seed", "42", "--format", "json", "--framework", name).out)
    right = json.loads(ask(capsys, "run", "gru", "--seed", "42", "--format", "json").out)
    assert (found["verdict"] in ("PASS", "IDENTICAL"), found["environment"]["framework"]) == (True, name)
    assert found["inputs"] == right["inputs"]
    assert [quantity["values"] for quantity in found["trace"]] == [quantity["values"] for quantity in right["trace"]]
    shown = {quantity["symbol"] for quantity in found["trace"] if quantity["framework"] is not None}
    assert shown == ({"h"} if name == "onnxruntime" else {"r", "z", "n", "h"})


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.usefixtures("folder")
def test_compare_judges_weights_beside_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And given outputs as well: both must agree, and one wrong output is a FAIL."""
    spec, weights, inputs = case(kind="LSTM")
    names = {"W_ih": "weight_ih_l0", "W_hh": "weight_hh_l0", "b_ih": "bias_ih_l0", "b_hh": "bias_hh_l0"}
    arrays = weights[0, "forward"].arrays
    np.savez("w.npz", **{own: arrays[part].reshape(-1, *arrays[part].shape[2:]) for part, own in names.items()})
    np.savez("x.npz", x=inputs.x)
    output = observed(name, spec, weights, replace(inputs, h0=0 * inputs.h0, c0=0 * inputs.h0)).outputs["output"]
    for change, code in ((0.0, 0), (1e-3, 1)):
        np.savez("y.npz", output=output + np.float32(change))
        answer = ask(capsys, "compare", "w.npz", "--input", "x.npz", "--framework", name, "--expected", "y.npz", "-q")
        assert answer.code == code
        assert all_in((f"{name}: PASS",), answer.out)


@pytest.mark.parametrize("name", OTHERS)
def test_wrong_weights_fail(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One weight of the framework's own another one: FAIL, and the first gate that is wrong is named where gates are shown."""
    beside = framework(name)
    load = beside.load

    def wrong(module: Any, spec: ModuleSpec, weights: Weights) -> None:
        changed = weights[0, "forward"].arrays["W_ih"].copy()
        changed[1, 0, 0] += 0.1
        load(module, spec, Weights({(0, "forward"): weights[0, "forward"].replaced(W_ih=changed)}))

    monkeypatch.setattr(beside, "load", wrong)
    answer = ask(capsys, "run", "lstm", "--seed", "1", "--h0", "random", "--c0", "random", "--framework", name, "-q")
    assert answer.code == 1
    assert all_in(("FAIL", "first at f (forget gate)" if name == "keras" else "first at h"), answer.out)


def test_what_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Other frameworks, devices where there is one alone, and other words for --capture."""
    assert all_in(("jax", "torch, keras, onnxruntime"), refused(capsys, "run", "lstm", "--framework", "jax"))
    assert all_in(("--device",), refused(capsys, "run", "lstm", "--framework", "keras", "--device", "cuda"))
    for name in FRAMEWORKS:
        with pytest.raises(UsageError, match="choose one of auto, on, off"):
            rnntrace.run("rnn", framework=name, capture="sometimes")


def test_capture_says_why_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """ONNX Runtime never shows gates; Keras shows those of short runs unless they are asked for."""
    answer = ask(capsys, "run", "lstm", "--framework", "onnxruntime", "--capture", "on", "--seed", "1")
    assert all_in(("ONNX Runtime shows no gates",), answer.out + answer.err)
    spec, weights, inputs = case(kind="RNN")
    long = replace(inputs, x=np.zeros((2_001, 2, 3), np.float32))
    found = observed("keras", spec, weights, long, "auto")
    assert all_in(("2,001 steps", "`capture=on`"), found.not_captured)
    assert observed("keras", spec, weights, inputs, "off").not_captured == "not asked for"


def test_they_are_loaded_only_when_they_are_asked_for() -> None:
    """A run beside torch loads neither."""
    code = (
        "import sys; from rnntrace.cli.app import exit_code; exit_code(['run', 'lstm', '--quiet', '--seed', '1']);"
        "print([name for name in ('keras', 'onnxruntime', 'onnx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
