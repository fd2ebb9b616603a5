"""What people hold of a Keras model is what `predict` gives: of unequal layers, one above the other, with heads behind them."""

import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commandline import all_in, ask, refused
from thorough import in_turn

import rnntrace
from rnntrace.model.dtypes import Array

pytestmark = [
    pytest.mark.usefixtures("folder"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.skipif(find_spec("keras") is None, reason="Keras, which writes the files of these tests, is not there"),
]

STEPS, BATCH, SIZE, TOKENS = 5, 2, 3, 7


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Keras on torch, with its settings in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        import keras

        yield keras


@pytest.fixture(autouse=True)
def _names_anew(keras: Any) -> None:
    """The first LSTM of a test is named lstm, whatever other tests have built."""
    keras.utils.clear_session(free_memory=False)


def saved(keras: Any, layers: list[Any], how: str = ".keras", *, tokens: bool = False) -> tuple[Path, Array, Array]:
    """A Sequential with weights of its own, its input and what it predicts."""
    random = np.random.default_rng(5)
    model = keras.Sequential([keras.layers.Input((STEPS,) if tokens else (STEPS, SIZE)), *layers])
    model.set_weights([random.uniform(-0.7, 0.7, array.shape).astype(array.dtype) for array in model.get_weights()])
    path = Path("model" + how)
    model.save(path)
    x = random.normal(size=(BATCH, STEPS, SIZE)).astype("f")
    if tokens:
        x = random.integers(1, TOKENS, (BATCH, STEPS)).astype("f")
        x[0, 3:] = 0
    return path, x, np.asarray(model.predict(x, verbose=0))


def judged(capsys: pytest.CaptureFixture[str], path: Path, x: Array, output: Array, *flags: str) -> tuple[int, str]:
    """The exit code, and everything that is said."""
    np.savez("x.npz", x=x)
    np.savez("y.npz", output=output)
    answer = ask(capsys, "compare", path, "--input", "x.npz", "--expected", "y.npz", "-q", *flags)
    return answer.code, answer.out + answer.err


Build = Callable[[Any], list[Any]]
MODELS: dict[str, tuple[Build, tuple[str, ...]]] = {
    "two kinds": (
        lambda L: [L.LSTM(8, return_sequences=True), L.GRU(4, return_sequences=True)],
        ("lstm is replayed, and gru reads what it gives", "judged: output"),
    ),
    "three sizes": (
        lambda L: [L.LSTM(6, return_sequences=True), L.LSTM(5, return_sequences=True), L.LSTM(4)],
        ("lstm_1 is replayed, and lstm_2 reads",),
    ),
    "a softmax": (lambda L: [L.LSTM(4), L.Dropout(0.2), L.Dense(3, activation="softmax")], ("judged: dense", "softmax")),
    "a stack and a head": (
        lambda L: [L.GRU(4, return_sequences=True), L.GRU(4), L.Dense(6, activation="relu"), L.Dense(1)],
        ("judged: dense_1",),
    ),
    "at every step": (
        lambda L: [L.Bidirectional(L.LSTM(4, return_sequences=True)), L.TimeDistributed(L.Dense(2, activation="tanh"))],
        ("judged: time_distributed",),
    ),
    "final steps of two directions": (
        lambda L: [L.Bidirectional(L.GRU(4), merge_mode="sum"), L.Dense(3, activation="sigmoid")],
        ("judged: dense",),
    ),
    "backwards": (
        lambda L: [L.LSTM(4, go_backwards=True, return_sequences=True), L.GRU(3, return_sequences=True), L.Dense(2)],
        ("judged: dense",),
    ),
    "between": (
        lambda L: [L.LSTM(4, return_sequences=True), L.Dense(6, activation="elu"), L.GRU(3), L.Activation("softmax")],
        ("the input goes through dense (Dense, 6, elu)", "judged: activation"),
    ),
    "in front": (lambda L: [L.Dense(4, activation="relu"), L.SimpleRNN(3)], ("the input goes through dense",)),
    "masked": (
        lambda L: [L.Masking(0.0), L.LSTM(4, return_sequences=True), L.GRU(3, return_sequences=True), L.Dense(2)],
        ("judged: dense",),
    ),
}


@pytest.mark.parametrize(("name", "how"), in_turn(((name,) for name in MODELS), [".keras", ".h5"]))
def test_what_a_model_predicts_passes(name: str, how: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Any other output fails, at the place where it is wrong, and it is said what was replayed and judged."""
    build, says = MODELS[name]
    path, x, output = saved(keras, build(keras.layers), how)
    code, said = judged(capsys, path, x, output)
    assert code == 0, said
    assert all_in(says, said)
    wrong = output.copy()
    wrong[1, ..., -1] += 0.01
    code, said = judged(capsys, path, x, wrong)
    assert (code, "item 1" in said, f"unit {output.shape[-1] - 1}" in said) == (1, True, True), said


@pytest.mark.parametrize("masked", [True, False])
def test_tokens_are_looked_up(masked: bool, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """And those that are 0 masked, where the embedding masks them."""
    L = keras.layers
    layers = [L.Embedding(TOKENS, 3, mask_zero=masked), L.LSTM(4, return_sequences=True), L.GRU(5), L.Dense(2)]
    path, x, output = saved(keras, layers, tokens=True)
    code, said = judged(capsys, path, x, output)
    assert code == 0, said
    assert "which embedding (Embedding, 7 tokens) looks up" in said
    assert ("masks where they are 0" in said) is masked
    assert judged(capsys, path, x, output + 0.01)[0] == 1
    for other, says in ((x + 1, "has the tokens 0 to 6"), (x + 0.5, "whole numbers"), (-x, "has the tokens 0 to 6")):
        np.savez("x.npz", x=other)
        assert says in refused(capsys, "compare", path, "--input", "x.npz", "--expected", "y.npz")
    # Vectors are still taken, as what stands behind the embedding.
    vectors = np.random.default_rng(0).normal(size=(BATCH, STEPS, 3)).astype("f")
    mask = () if not masked else ("--mask", str(np.ones((BATCH, STEPS), int).tolist()))
    assert judged(capsys, path, vectors, output, *mask)[0] == 1


def test_an_output_that_both_fit(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A head as wide as the layer: the one that agrees is meant; nothing else passes."""
    L = keras.layers
    path, x, output = saved(keras, [L.LSTM(3, return_sequences=True), L.Dense(3, activation="tanh")])
    assert all_in(("judged: dense",), judged(capsys, path, x, output)[1])
    spec, weights = next(iter(rnntrace.load(path).values()))
    trace = rnntrace.replay(
        spec, weights, rnntrace.Inputs(x.swapaxes(0, 1), np.zeros((1, 2, 3), "f"), np.zeros((1, 2, 3), "f"))
    )
    own = trace.outputs["output"].swapaxes(0, 1)
    code, said = judged(capsys, path, x, own)
    assert (code, "judged: output" in said) == (0, True)
    for wrong in (output + 0.01, own + 0.01, np.zeros_like(own), (own + output) / 2):
        assert judged(capsys, path, x, wrong)[0] == 1


def test_what_is_not_replayed_is_named(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Behind a module and between two of them; nothing is skipped in silence."""
    L = keras.layers
    layers = [L.LSTM(8, return_sequences=True), L.LayerNormalization(), L.GRU(4)]
    path, x, output = saved(keras, layers)
    np.savez("x.npz", x=x)
    np.savez("y.npz", output=output)
    line = refused(capsys, "compare", path, "--input", "x.npz", "--expected", "y.npz")
    assert all_in(("gru reads layer_normalization (LayerNormalization), which is not replayed", "--module"), line)
    told = ask(capsys, "inspect", path).out
    assert all_in(("lstm is followed by layer_normalization", "gru reads layer_normalization"), told)
    path, x, output = saved(keras, [L.LSTM(4, name="first"), L.BatchNormalization(), L.Dense(2)])
    np.savez("y.npz", output=output)
    line = refused(capsys, "compare", path, "--input", "x.npz", "--expected", "y.npz")
    assert all_in(("behind first stands batch_normalization (BatchNormalization), which is not replayed",), line)


def test_initial_states_and_modules_of_a_chain(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """An initial state belongs to one module; a module that is chosen reads the input itself; all run beside torch."""
    L = keras.layers
    path, x, output = saved(keras, [L.LSTM(8, return_sequences=True), L.GRU(4)])
    np.savez("x.npz", x=x)
    np.savez("y.npz", output=output)
    given = ["compare", str(path), "--input", "x.npz"]
    h0 = str(np.ones((1, BATCH, 8)).tolist())
    assert "--h0 belongs to one module" in refused(capsys, *given, "--expected", "y.npz", "--h0", h0)
    assert "8" in refused(capsys, *given, "--expected", "y.npz", "--module", "gru")
    answer = ask(capsys, *given, "-q")
    assert (answer.code, answer.out[:27]) == (0, "PASS  2 of 2 modules agree "), answer
    assert "lstm is replayed, and gru reads what it gives" in answer.err


def test_weights_alone_are_a_chain_if_their_sizes_fit(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Which is said: the file tells no order."""
    L = keras.layers
    _, x, output = saved(keras, [L.LSTM(8, return_sequences=True), L.GRU(4)], ".h5")
    with h5py.File("model.h5", "r+") as file:
        weights = file["model_weights"]
        with h5py.File("weights.h5", "w") as alone:
            for name in weights:
                weights.copy(name, alone)
            alone.attrs["layer_names"] = weights.attrs["layer_names"]
            alone.attrs["keras_version"] = file.attrs["keras_version"]
    code, said = judged(capsys, Path("weights.h5"), x, output)
    assert (code, "the file tells no order, and their sizes fit" in said) == (0, True), said
    assert judged(capsys, Path("weights.h5"), x, output + 0.01)[0] == 1
