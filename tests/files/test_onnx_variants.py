"""ONNX' recurrent operators with all that they may be given, beside ONNX Runtime."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnntrace
from rnntrace.engine.judge.verdict import Verdict

onnx = pytest.importorskip("onnx", reason="onnx, which makes the models, is not there")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime, which gives what is right, is not there")

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
FUNCTIONS = {"RNN": 1, "LSTM": 3, "GRU": 2}
NUMBERED = {"Affine": 2, "Elu": 1, "HardSigmoid": 2, "LeakyRelu": 1, "ScaledTanh": 2, "ThresholdedRelu": 1}
"""How many numbers an activation takes."""
PLAIN = ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus")
T, B, I, H = 6, 3, 3, 4


@dataclass
class Drawn:
    """A model of one node, and what ONNX Runtime makes of x."""

    path: Path
    x: np.ndarray
    signals: dict[str, Any]
    found: dict[str, np.ndarray]
    attributes: dict[str, Any]
    weights: dict[str, np.ndarray]


def numbers(rng: random.Random, names: list[str]) -> dict[str, list[float]]:
    """Alpha and beta for those that take them, in their order."""
    alphas = [round(rng.uniform(0.1, 0.9), 2) for name in names if NUMBERED.get(name)]
    betas = [round(rng.uniform(0.2, 0.8), 2) for name in names if NUMBERED.get(name) == 2]
    return {key: found for key, found in (("activation_alpha", alphas), ("activation_beta", betas)) if found}


def drawn(folder: Path, seed: int, operator: str = "", changes: dict[str, Any] | None = None) -> Drawn:
    """One of the product of all options, told by its seed; `changes` replace what was drawn."""
    rng, draw = random.Random(seed), np.random.default_rng(seed)
    operator = operator or rng.choice([*GATES])
    direction = rng.choice(["forward", "reverse", "bidirectional"])
    count, gates = 1 + (direction == "bidirectional"), GATES[operator]
    attributes: dict[str, Any] = {"hidden_size": H, "direction": direction}
    if rng.random() < 0.7:
        names = [rng.choice([*PLAIN, *NUMBERED]) for _ in range(FUNCTIONS[operator] * count)]
        attributes |= {"activations": names, **numbers(rng, names)}
    if rng.random() < 0.5:
        attributes["clip"] = round(rng.uniform(0.1, 1.5), 2)
    if operator == "LSTM" and rng.random() < 0.4:
        attributes["input_forget"] = 1
    if operator == "GRU":
        attributes["linear_before_reset"] = rng.randint(0, 1)
    attributes |= changes or {}

    def uniform(*shape: int) -> np.ndarray:
        return draw.uniform(-0.7, 0.7, shape).astype(np.float32)

    weights = {"W": uniform(count, gates * H, I), "R": uniform(count, gates * H, H)}
    if rng.random() < 0.8:
        weights["B"] = uniform(count, 2 * gates * H)
    if operator == "LSTM" and rng.random() < 0.6:
        weights["P"] = uniform(count, 3 * H)
    x = draw.normal(size=(T, B, I)).astype(np.float32)
    feeds: dict[str, np.ndarray] = {"X": x}
    signals: dict[str, Any] = {}
    if rng.random() < 0.5:
        feeds["sequence_lens"] = np.array(rng.sample(range(T + 1), B), np.int32)
        signals["lengths"] = [*map(int, feeds["sequence_lens"])]
    for name, own in (("initial_h", "h0"), ("initial_c", "c0")) if operator == "LSTM" else (("initial_h", "h0"),):
        if rng.random() < 0.5:
            feeds[name] = signals[own] = uniform(count, B, H)
    path = folder / f"{operator}{seed}.onnx"
    found = run(path, operator, attributes, weights, feeds)
    return Drawn(path, x, signals, found, attributes, weights)


def run(
    path: Path, operator: str, attributes: dict[str, Any], weights: dict[str, np.ndarray], feeds: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Write the model, and run it."""
    outputs = ["Y", "Y_h", *(["Y_c"] if operator == "LSTM" else [])]
    inputs = ["X", "W", "R", "B", "sequence_lens", "initial_h", *(["initial_c", "P"] if operator == "LSTM" else [])]
    inputs = [name if name in weights or name in feeds else "" for name in inputs]
    node = onnx.helper.make_node(operator, inputs, outputs, name="cell", **attributes)
    types = {"sequence_lens": onnx.TensorProto.INT32}
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [
            onnx.helper.make_tensor_value_info(name, types.get(name, onnx.TensorProto.FLOAT), [None] * array.ndim)
            for name, array in feeds.items()
        ],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(None, feeds), strict=True))


def judged(case: Drawn, found: dict[str, np.ndarray] | None = None, path: Path | None = None) -> rnntrace.Result:
    result = rnntrace.compare(path or case.path, case.x, expected=found or case.found, **case.signals)
    assert isinstance(result, rnntrace.Result)
    return result


def tame(case: Drawn) -> bool:
    """Whether nothing has grown beyond what single precision can tell."""
    return all(np.isfinite(values).all() and np.abs(values).max() < 1e3 for values in case.found.values())


@pytest.mark.parametrize("seed", range(30))
def test_what_onnx_runtime_computes(seed: int, tmp_path: Path) -> None:
    """Any combination of options agrees within what rounding can do, and one wrong value does not."""
    case = drawn(tmp_path, seed)
    if not tame(case):
        pytest.skip("this one grows beyond bounds")
    result = judged(case)
    assert result.passed or result.verdict is Verdict.UNDECIDED, result
    wrong = case.found["Y"].copy()
    place = np.unravel_index(np.abs(wrong).argmax(), wrong.shape)
    wrong[place] += 0.05 * (1 + abs(wrong[place]))
    assert not judged(case, {**case.found, "Y": wrong}).passed


@pytest.mark.slow
def test_hundreds_of_them(tmp_path: Path) -> None:
    """Most agree with evidence; none fails."""
    verdicts = [judged(case).verdict for seed in range(1000, 1400) if tame(case := drawn(tmp_path, seed))]
    assert not verdicts.count(Verdict.FAIL)
    assert sum(verdict.passed for verdict in verdicts) > 0.9 * len(verdicts) > 300


def swapped(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """P read as i, f, o where it is i, o, f."""
    i, o, f = np.split(weights["P"], 3, axis=1)
    return {**weights, "P": np.concatenate([i, f, o], axis=1)}


LSTM = {"direction": "forward", "activations": ["HardSigmoid", "Tanh", "Tanh"]}
LSTM |= {"activation_alpha": [0.3], "activation_beta": [0.5], "clip": 0.4, "input_forget": 0}
WRONG: dict[str, dict[str, Any]] = {
    "the clip left out": {"clip": 1e6},
    "gates coupled": {"input_forget": 1},
    "the default alpha": {"activation_alpha": [0.2]},
    "another activation": {"activations": ["HardSigmoid", "Softsign", "Tanh"]},
}


def with_peepholes(folder: Path) -> Iterator[int]:
    yield from (seed for seed in range(40) if "P" in drawn(folder, seed, "LSTM", LSTM).weights)


@pytest.mark.parametrize("name", [*WRONG, "peepholes swapped"])
def test_what_is_read_otherwise_fails(name: str, tmp_path: Path) -> None:
    """The model says another thing than what gave the outputs: the replay does not agree with them."""
    seed = next(with_peepholes(tmp_path))
    case = drawn(tmp_path, seed, "LSTM", LSTM)
    assert judged(case).passed
    other = {**case.attributes, **WRONG.get(name, {})}
    weights = swapped(case.weights) if name == "peepholes swapped" else case.weights
    feeds = {
        "X": case.x,
        **{{"h0": "initial_h", "c0": "initial_c"}[key]: case.signals[key] for key in case.signals if key != "lengths"},
    }
    if "lengths" in case.signals:
        feeds["sequence_lens"] = np.array(case.signals["lengths"], np.int32)
    path = tmp_path / "other.onnx"
    run(path, "LSTM", other, weights, feeds)
    result = judged(case, path=path)
    assert result.verdict is Verdict.FAIL
    assert result.comparison.first_failure is not None


REFUSED = {
    "no alpha": ({"activations": ["Affine", "Tanh", "Tanh"]}, ("Affine", "no default for alpha")),
    "no beta": (
        {"activations": ["ScaledTanh", "Tanh", "Tanh"], "activation_alpha": [1.0]},
        ("ScaledTanh", "no default for beta"),
    ),
    "too few": ({"activations": ["Tanh"]}, ("activations should be 3", "are 1")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_onnx_leaves_open_is_refused(name: str, tmp_path: Path) -> None:
    attributes, words = REFUSED[name]
    node = onnx.helper.make_node("LSTM", ["X", "W", "R"], ["Y"], name="cell", hidden_size=H, **attributes)
    value = onnx.helper.make_tensor_value_info
    weights = {"W": np.ones((1, 4 * H, I), np.float32), "R": np.ones((1, 4 * H, H), np.float32)}
    tensors = [onnx.numpy_helper.from_array(array, key) for key, array in weights.items()]
    graph = onnx.helper.make_graph([node], "g", [value("X", 1, [T, B, I])], [value("Y", 1, None)], tensors)
    path = tmp_path / "open.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(rnntrace.RnnTraceError) as caught:
        rnntrace.load(path)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_kind_does_not_take_a_variants_weights(tmp_path: Path) -> None:
    """Peepholes and clips are no detail: weights of a variant are for that variant alone."""
    path = drawn(tmp_path, next(with_peepholes(tmp_path)), "LSTM", LSTM).path
    bias = "bias=False" not in str(rnntrace.load(path))
    sizes: dict[str, Any] = {"input_size": I, "hidden": H, "bias": bias, "seed": 1, "weights": path}
    with pytest.raises(rnntrace.RnnTraceError, match="no module that fits"):
        rnntrace.run("lstm", **sizes)
    same = {"peepholes": True, "clip": 0.4, "recurrent_activation": "hard_sigmoid:0.3"}
    assert rnntrace.run("lstm", **sizes, **same).passed
    with pytest.raises(rnntrace.RnnTraceError, match="no module that fits"):
        rnntrace.run("lstm", **sizes, **{**same, "clip": 0.5})
