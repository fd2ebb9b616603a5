"""`rnntrace diagnose` for its user: exit codes, sentences, JSON, the line that points to it, and real frameworks' files."""

import json
import shlex
import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused

import rnntrace
import rnntrace.verbs.diagnose
from rnntrace.engine.judge.pairing import pair_outputs
from rnntrace.engine.judge.tolerance import TORCH_TOLERANCES
from rnntrace.engine.judge.verdict import compare
from rnntrace.model.dtypes import DTYPES, Array

pytestmark = [
    pytest.mark.usefixtures("folder"),
    # Keras has numpy make arrays of torch's tensors in a way that numpy means to drop.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
STEPS, BATCH, SIZE = 5, 2, 3
INPUT = ("--input", "x.npy")


@pytest.fixture
def x() -> Array:
    """An input (T, B, I), also in a file."""
    found = np.random.default_rng(1).standard_normal((STEPS, BATCH, SIZE)).astype(np.float32)
    np.save("x.npy", found)
    return found


def module_of(kind: str, seed: int = 0, **options: Any) -> Any:
    """A module of torch.nn, its parameters also in w.pt."""
    torch.manual_seed(seed)
    module = getattr(torch.nn, kind)(SIZE, SIZE, **options)
    torch.save(module.state_dict(), "w.pt")
    return module


def output_of(module: Any, x: Array) -> Array:
    """What torch gives."""
    with torch.no_grad():
        found: Array = module(torch.from_numpy(x))[0].numpy()
    return found


def reordered(state: dict[str, Any], order: list[int]) -> dict[str, Any]:
    """A state_dict with its blocks of gates in another order."""
    return {name: torch.cat([array.chunk(len(order))[block] for block in order]) for name, array in state.items()}


def diagnosed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """The JSON of a diagnosis."""
    answer = ask(capsys, "diagnose", *arguments, "--format", "json")
    found: dict[str, Any] = json.loads(answer.out)
    assert answer.code == (0 if found["explained"] or found["verdict"] in ("PASS", "IDENTICAL") else 1)
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [answer["id"] for answer in found["answers"]]


# --- what is said ---------------------------------------------------------------------------------------------------------


def test_an_explanation_says_what_and_how_to_mend_it(x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """The mistake in a sentence, the mending, where it comes from, the difference before and after; exit code 0."""
    module = module_of("LSTM")
    np.save("y.npy", output_of(module, x))
    torch.save(reordered(module.state_dict(), [0, 3, 1, 2]), "onnx-order.pt")
    answer = ask(capsys, "diagnose", "onnx-order.pt", *INPUT, "--expected", "y.npy")
    assert answer.code == 0
    assert all_in(
        ("read in the order i o f g instead of i f g o", "fix", "ONNX, WebNN", "without it"),
        answer.out,
    )
    # Taken from the file as it says, the blocks are in torch's order again.
    assert "make i f g o of it by taking blocks [0, 2, 3, 1]" in answer.out
    assert answer.out.splitlines()[-1].startswith("EXPLAINED  lstm.gate-order.iofc · ")


def test_agreement_is_nothing_to_explain(x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is tried, the exit code is 0, and the JSON has the verdict, no explanation and no answers."""
    np.save("y.npy", output_of(module_of("GRU"), x))
    answer = ask(capsys, "diagnose", "w.pt", *INPUT, "--expected", "y.npy", "--quiet")
    assert (answer.code, answer.out) == (0, "PASS  the outputs agree: there is nothing to explain\n")
    found = diagnosed(capsys, "w.pt", *INPUT, "--expected", "y.npy")
    assert (found["verdict"], found["explained"], found["answers"], found["tried"]) == ("PASS", False, [], 0)


def test_what_could_not_be_judged_is_not_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """A run on NaN is UNDECIDED: nothing is tried, and the exit code is 1."""
    ask(capsys, "run", "gru", "--input", '[["nan", 1, 1]]', "--seed", "1", "--quiet", "--save", "t.npz")
    answer = ask(capsys, "diagnose", "t.npz", "--quiet")
    assert (answer.code, answer.out) == (1, "UNDECIDED  nothing could be judged: no mistake would show\n")
    assert diagnosed(capsys, "t.npz")["tried"] == 0


def test_no_explanation_is_exit_code_one(x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake and a value that is off: how many were tried, what came nearest, and where that fails."""
    y = output_of(module_of("RNN"), x[::-1].copy())
    y[1, 0, 2] += 0.05
    np.save("y.npy", y)
    answer = ask(capsys, "diagnose", "w.pt", *INPUT, "--expected", "y.npy")
    assert answer.code == 1
    assert all_in(("NOT EXPLAINED  none of ", "nearest", "first not explained", "layer 0, forward, t="), answer.out)
    found = diagnosed(capsys, "w.pt", *INPUT, "--expected", "y.npy")
    assert (found["explained"], found["answers"]) == (False, [])
    assert found["nearest"]["id"] == "rnn.time.reversed"
    assert found["nearest"]["after"] == pytest.approx(0.05, abs=1e-6)
    assert found["nearest"]["before"] == found["before"] > 0.1
    assert (found["nearest"]["unexplained"]["t"], found["nearest"]["unexplained"]["unit"]) == (2, 2)


def test_what_explains_less_than_half_is_not_named(x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """Outputs of other weights: no mistake is nearest, but what it may be is said, and the first place that differs."""
    module_of("RNN", 5)
    np.save("y.npy", output_of(torch.nn.RNN(SIZE, SIZE), x))
    answer = ask(capsys, "diagnose", "w.pt", *INPUT, "--expected", "y.npy")
    assert answer.code == 1
    assert all_in(("NOT EXPLAINED  none of ", "it may be ", "other weights", "first that differs"), answer.out)
    assert not any(word in answer.out for word in ("nearest", "fix", "rnn."))
    found = diagnosed(capsys, "w.pt", *INPUT, "--expected", "y.npy")
    assert (found["explained"], found["answers"], found["nearest"]) == (False, [], None)
    assert any("other weights" in kind for kind in found["may_be"])
    assert (found["first"]["symbol"], found["first"]["t"]) == ("output", 1)


@pytest.mark.parametrize(("limit", "tried"), [("50", False), ("1000", True)])
def test_the_time_counts_from_reading_on(
    limit: str, tried: bool, x: Array, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a clock that goes a hundred seconds on while the weights are read."""
    clock = [0.0]
    read = rnntrace.verbs.diagnose.read_weights

    def slowly(*arguments: Any) -> Any:
        clock[0] += 100
        return read(*arguments)

    monkeypatch.setattr("rnntrace.verbs.diagnose.read_weights", slowly)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    module = module_of("LSTM")
    np.save("y.npy", output_of(module, x[::-1].copy()))
    found = json.loads(ask(capsys, "diagnose", "w.pt", *INPUT, "--expected", "y.npy", "--time-limit", limit, "-f", "json").out)
    assert (found["tried"] > 0) is tried
    assert found["explained"] is tried


def test_the_time_limit_is_kept_and_said(x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """A search that was cut off does not claim to have tried everything."""
    module_of("LSTM", 5)
    np.save("y.npy", output_of(torch.nn.LSTM(SIZE, SIZE), x))
    answer = ask(capsys, "diagnose", "w.pt", *INPUT, "--expected", "y.npy", "--time-limit", "1e-6", "--quiet")
    assert answer.code == 1
    assert answer.out.endswith("time limit reached before all pairs were tried: see --time-limit\n")


def test_two_mistakes_are_one_answer(x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """Their ids are joined by +, their sentences by semicolons."""
    module = module_of("RNN")
    with torch.no_grad():
        wrong = torch.nn.RNN(SIZE, SIZE)
        wrong.load_state_dict(module.state_dict())
        wrong.bias_hh_l0.zero_()
        y = wrong(torch.from_numpy(x).flip(0))[0].numpy()
    np.save("y.npy", y)
    (answer,) = diagnosed(capsys, "w.pt", *INPUT, "--expected", "y.npy")["answers"]
    assert answer["id"] == "rnn.bias.hh-dropped+rnn.time.reversed"
    assert answer["family"] == "bias+time"
    assert "; " in answer["says"]
    assert "; " in answer["fix"]
    assert answer["after"] < 1e-6 < answer["before"]


def test_a_saved_trace_with_a_mistake_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """What `run --mistake --save` writes is a riddle that diagnose solves, without weights or input beside it."""
    flags = ("--seed", "1", "--quiet", "--save", "t.npz")
    assert ask(capsys, "run", "gru", "--mistake", "equation.z-inverted", *flags).code == 1
    assert ids(diagnosed(capsys, "t.npz")) == ["gru.equation.z-inverted"]
    assert ask(capsys, "run", "gru", "--seed", "1", "--quiet", "--save", "right.npz").code == 0
    assert diagnosed(capsys, "right.npz")["tried"] == 0


def test_a_saved_trace_of_a_framework_that_differs_is_explained(x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the replay is right, the framework's outputs are the ones to explain."""
    module = module_of("GRU")
    result = rnntrace.trace(module, x)
    other = rnntrace.trace(module, x[::-1].copy())
    tolerance = TORCH_TOLERANCES["float32"]
    quantities = pair_outputs(result.trace, result.trace, other.observation.outputs)
    failed = replace(
        result,
        observation=replace(result.observation, outputs=other.observation.outputs),
        comparison=compare(quantities, tolerance, DTYPES["float32"]),
    )
    rnntrace.save(failed, "t.npz")
    assert ids(diagnosed(capsys, "t.npz")) == ["gru.time.reversed"]


def test_compare_names_the_very_line_to_type(x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """The line on stderr, pasted as it is, explains the FAIL; a person sees it, a file format and --quiet do not."""
    module = module_of("GRU", batch_first=True)
    np.savez("a b.npz", x=x.swapaxes(0, 1), h0=np.ones((1, BATCH, SIZE)))
    np.save("y.npy", output_of(module, x.swapaxes(0, 1).copy()))
    arguments = ["compare", "w.pt", "--batch-first", "--input", "a b.npz", "--expected", "y.npy", "--atol", "0.0001"]
    answer = ask(capsys, *arguments, "--digits", "2")
    assert answer.code == 1
    (line,) = [line for line in answer.err.splitlines() if "to look for the mistake: " in line]
    words = shlex.split(line.partition("mistake: ")[2])
    assert words[:3] == ["rnntrace", "diagnose", "w.pt"]
    assert sorted(words[3:]) == sorted(arguments[2:])
    assert ids(diagnosed(capsys, *words[2:])) == ["gru.state.h0-ignored"]
    for silent in ("--quiet", "--format=json", "--format=html"):
        assert "to look for" not in ask(capsys, *arguments, silent).err


def test_a_run_that_fails_names_the_way_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    """--save, and then diagnose; with a mistake on purpose there is nothing to look for."""
    failed = ask(capsys, "run", "lstm", "--seed", "1", "--tolerance", "exact", "-T", "20", "-H", "8")
    assert failed.code == 1
    assert "run again with --save t.npz, then rnntrace diagnose t.npz" in failed.err
    assert "diagnose" not in ask(capsys, "run", "lstm", "--mistake", "gate-order.iofc").err


def test_what_cannot_be_diagnosed_is_refused(x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what is missing or too much."""
    module_of("LSTM")
    np.save("y.npy", x)
    ask(capsys, "run", "rnn", "--seed", "1", "--quiet", "--save", "t.npz")
    assert "give the outputs that are to be explained as --expected" in refused(capsys, "diagnose", "w.pt")
    assert "output should have shape (4, 1, 2)" in refused(capsys, "diagnose", "t.npz", "--expected", "y.npy")
    assert "--lengths belongs to weights" in refused(capsys, "diagnose", "t.npz", "--lengths", "4,2")
    assert "--expected needs --input" in refused(capsys, "diagnose", "w.pt", "--expected", "y.npy")
    assert "seconds above 0" in refused(capsys, "diagnose", "w.pt", *INPUT, "--expected", "y.npy", "--time-limit", "0")
    assert "there is no such file" in refused(capsys, "diagnose", "missing.pt", "--expected", "y.npy")


# --- what frameworks do ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Keras on torch, with its settings in a folder of its own."""
    if find_spec("keras") is None:
        pytest.skip("Keras, which writes the files of these tests, is not there")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        import keras

        yield keras


def layer_of(keras: Any, name: str, x: Array, **options: Any) -> tuple[list[Array], Array, Any]:
    """A Keras layer's weights, all of them drawn, what it predicts (T, B, H), and its model."""
    layer = getattr(keras.layers, name)(SIZE, return_sequences=True, **options)
    model = keras.Sequential([keras.layers.Input((STEPS, SIZE)), layer])
    generator = np.random.default_rng(5)
    model.set_weights([generator.uniform(-0.7, 0.7, array.shape).astype(array.dtype) for array in model.get_weights()])
    predicted = model.predict(x.swapaxes(0, 1), verbose=0, batch_size=BATCH)
    return model.get_weights(), np.asarray(predicted).swapaxes(0, 1), model


def saved(kernel: Array, recurrent: Array, b_ih: Array, b_hh: Array) -> None:
    """A state_dict in w.npz."""
    parts = {"weight_ih_l0": kernel, "weight_hh_l0": recurrent, "bias_ih_l0": b_ih, "bias_hh_l0": b_hh}
    np.savez("w.npz", **parts)


@pytest.mark.slow
def test_a_keras_gru_read_in_torchs_order(keras: Any, x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """Keras keeps z r n; copied as they lie into torch's parameters, the blocks must be read in that order."""
    (kernel, recurrent, bias), y, _ = layer_of(keras, "GRU", x)
    saved(kernel.T, recurrent.T, *bias)
    np.save("y.npy", y)
    found = diagnosed(capsys, "w.npz", *INPUT, "--expected", "y.npy")
    assert ids(found) == ["gru.gate-order.zrn"]
    assert "Keras 3" in found["answers"][0]["frameworks"]


@pytest.mark.slow
def test_a_keras_kernel_that_was_not_transposed(keras: Any, x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """Gate by gate copied, but each block as Keras multiplies it, from the left."""
    (kernel, recurrent, bias), y, _ = layer_of(keras, "LSTM", x)
    blocks = np.concatenate(np.split(recurrent, 4, axis=1))
    saved(kernel.T, blocks, bias, 0 * bias)
    np.save("y.npy", y)
    assert ids(diagnosed(capsys, "w.npz", *INPUT, "--expected", "y.npy")) == ["lstm.transpose.W_hh"]


def test_a_keras_kernel_that_was_reshaped(keras: Any, x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """A shape that fits is no transpose."""
    (kernel, recurrent, bias), y, _ = layer_of(keras, "LSTM", x)
    saved(kernel.reshape(kernel.T.shape), recurrent.reshape(recurrent.T.shape), bias, 0 * bias)
    np.save("y.npy", y)
    assert ids(diagnosed(capsys, "w.npz", *INPUT, "--expected", "y.npy")) == ["lstm.transpose.reshaped"]


def test_reset_before_against_torch(keras: Any, x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """A Keras GRU with reset_after=False beside torch's on the same weights, told from either side."""
    (kernel, recurrent, bias), y, model = layer_of(keras, "GRU", x, reset_after=False)
    blocks = [torch.from_numpy(array.copy()) for array in (kernel.T, recurrent.T, bias, 0 * bias)]
    module = module_of("GRU")
    state = dict(zip(module.state_dict(), blocks, strict=True))
    module.load_state_dict(reordered(state, [1, 0, 2]))
    torch.save(module.state_dict(), "w.pt")
    np.save("keras.npy", y)
    np.save("torch.npy", output_of(module, x))
    found = diagnosed(capsys, "w.pt", *INPUT, "--expected", "keras.npy")
    assert ids(found) == ["gru.equation.reset-before"]
    model.save("model.keras")
    np.save("x.npy", x.swapaxes(0, 1))
    np.save("torch.npy", output_of(module, x).swapaxes(0, 1))
    assert ids(diagnosed(capsys, "model.keras", *INPUT, "--expected", "torch.npy")) == ["gru.equation.reset-after"]


def test_a_keras_layer_with_the_hard_sigmoid(keras: Any, x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """recurrent_activation="hard_sigmoid" is Keras 3's, a/6 + 1/2."""
    (kernel, recurrent, bias), y, _ = layer_of(keras, "LSTM", x, recurrent_activation="hard_sigmoid")
    saved(kernel.T, recurrent.T, bias, 0 * bias)
    np.save("y.npy", y)
    assert ids(diagnosed(capsys, "w.npz", *INPUT, "--expected", "y.npy")) == ["lstm.activation.hard-sigmoid-6"]


def test_torchs_blocks_in_an_onnx_file(x: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """torch's i f g o put into an ONNX node, which means i o f c by its blocks: read as i g o f, all is well."""
    onnx = pytest.importorskip("onnx")
    module = module_of("LSTM")
    state = {name: array.numpy() for name, array in module.state_dict().items()}
    biases = np.concatenate([state["bias_ih_l0"], state["bias_hh_l0"]])[None]
    constants = {"W": state["weight_ih_l0"][None], "R": state["weight_hh_l0"][None], "B": biases}
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["X", "W", "R", "B"], ["Y"], hidden_size=SIZE)],
        "net",
        [helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, [None, None, SIZE])],
        [helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, [None, 1, None, SIZE])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), "net.onnx")
    np.save("y.npy", output_of(module, x))
    assert ids(diagnosed(capsys, "net.onnx", *INPUT, "--expected", "y.npy")) == ["lstm.gate-order.icof"]


def test_a_few_values_tell_no_format(capsys: pytest.CaptureFixture[str]) -> None:
    """Three outputs that bfloat16 happens to hold, a little off, were not for that reason computed in it."""
    right, given = np.array([0.502, -0.251, 0.7525]), np.array([0.5, -0.25, 0.75])
    zero, one = np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    np.savez("w.npz", weight_ih_l0=one, weight_hh_l0=zero, bias_ih_l0=zero[0], bias_hh_l0=zero[0])
    np.save("x.npy", np.arctanh(right).astype(np.float32).reshape(-1, 1, 1))
    np.save("y.npy", given.astype(np.float32).reshape(-1, 1, 1))
    answer = ask(capsys, "diagnose", "w.npz", *INPUT, "--expected", "y.npy", "--nonlinearity", "tanh")
    assert answer.code == 1, answer
    assert "bfloat16" not in answer.out
