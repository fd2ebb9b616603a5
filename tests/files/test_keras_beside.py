"""What a Keras file says beside its recurrent layers: masks, and which sigmoid its gates have."""

import json
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commandline import all_in, ask, refused

import rnntrace
from rnntrace.model.dtypes import Array

pytestmark = [
    pytest.mark.usefixtures("folder"),
    pytest.mark.slow,
    # Keras has numpy make arrays of torch's tensors in a way that numpy means to drop.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
needs_keras = pytest.mark.skipif(find_spec("keras") is None, reason="Keras, which gives what is right, is not there")

STEPS, BATCH, SIZE = 6, 3, 3


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
def names_start_anew(request: pytest.FixtureRequest) -> None:
    """Layers without a name of their own are numbered through a session."""
    if "keras" in request.fixturenames:
        request.getfixturevalue("keras").utils.clear_session()


def saved(keras: Any, layers: list[Any], how: str = ".keras") -> tuple[Path, Any]:
    """A Sequential of these layers with every weight drawn, in a file, and the model itself."""
    model = keras.Sequential(layers)
    generator = np.random.default_rng(5)
    model.set_weights([generator.uniform(-0.7, 0.7, array.shape).astype(array.dtype) for array in model.get_weights()])
    path = Path("model" + how)
    (model.save_weights if how == ".weights.h5" else model.save)(path)
    return path, model


def x_of(value: float = 0.0, lengths: tuple[int, ...] = (), front: tuple[int, ...] = ()) -> Array:
    """An input (B, T, I) whose masked steps have the value: those behind `lengths`, and as many in front."""
    x = np.random.default_rng(0).standard_normal((BATCH, STEPS, SIZE)).astype("f4")
    for item, length in enumerate(lengths):
        x[item, length:] = value
    for item, count in enumerate(front):
        x[item, :count] = value
    return x


def judged(capsys: pytest.CaptureFixture[str], path: Path, x: Array, output: Array, *flags: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a comparison with outputs."""
    np.save("x.npy", x)
    np.save("y.npy", output)
    arguments = (path, "--input", "x.npy", "--expected", "y.npy", *flags)
    answer = ask(capsys, "compare", *arguments, "-f", "json")
    assert answer.code in (0, 1), answer
    quiet = ask(capsys, "compare", *arguments, "-q")
    return answer.code, json.loads(answer.out) | {"line": quiet.out, "said": quiet.err}


# --- masks ------------------------------------------------------------------------------------------------------------

LAYERS: dict[str, Any] = {
    "lstm": lambda L: [L.LSTM(4, return_sequences=True)],
    "gru, last output": lambda L: [L.GRU(4)],
    "both directions": lambda L: [L.Bidirectional(L.LSTM(4, return_sequences=True))],
    "both directions, last output": lambda L: [L.Bidirectional(L.GRU(4))],
    "backwards": lambda L: [L.LSTM(4, return_sequences=True, go_backwards=True)],
    "a stack": lambda L: [L.LSTM(4, return_sequences=True), L.Dropout(0.3), L.LSTM(4, return_sequences=True)],
    "behind dropout": lambda L: [L.Dropout(0.3), L.SimpleRNN(4, return_sequences=True)],
    "zeros asked for": lambda L: [L.RNN(L.LSTMCell(4), return_sequences=True, zero_output_for_mask=True)],
}


@needs_keras
@pytest.mark.parametrize("how", [".keras", ".h5"])
@pytest.mark.parametrize("name", LAYERS)
def test_steps_masked_at_the_end_are_lengths(name: str, how: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What Keras gives passes, at every step, and what a port without the mask gives does not."""
    L = keras.layers
    path, model = saved(keras, [L.Input((STEPS, SIZE)), L.Masking(-1.0), *LAYERS[name](L)], how)
    x = x_of(-1.0, (6, 4, 2))
    right = np.asarray(model(x).detach())
    code, found = judged(capsys, path, x, right)
    assert (code, found["inputs"]["lengths"]) == (0, [6, 4, 2]), found["line"]
    assert "masking" in found["said"]
    assert "masked by masking (Masking)" in ask(capsys, "inspect", path).out
    plain = keras.Sequential([layer for layer in model.layers if type(layer).__name__ != "Masking"])
    code, found = judged(capsys, path, x, np.asarray(plain(x).detach()))
    assert (code, found["verdict"]) == (1, "FAIL")
    if right.ndim == 3:
        # What stands at masked steps is judged too.
        wrong = right.copy()
        wrong[1, -1, -1] += 0.01
        assert judged(capsys, path, x, wrong)[0] == 1


@needs_keras
def test_a_mask_that_leaves_out_nothing_changes_nothing(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named, and the outputs are judged."""
    L = keras.layers
    path, model = saved(keras, [L.Input((STEPS, SIZE)), L.Masking(-1.0), L.LSTM(4, return_sequences=True)])
    right = np.asarray(model(x_of()).detach())
    code, found = judged(capsys, path, x_of(), right)
    assert (code, found["inputs"]["lengths"]) == (0, None)
    assert "masking (Masking) masks no step of this input" in found["said"]
    assert judged(capsys, path, x_of(), right + 0.01)[1]["verdict"] == "FAIL"
    # Zeros are what stands behind the layer where it masks: the outputs of steps that count would be others.
    code, found = judged(capsys, path, x_of(0.0, (6, 4, 2)), right)
    assert (code, found["verdict"]) == (1, "UNDECIDED")
    assert "--lengths" in found["line"]


MERGED: dict[str, Any] = {
    "summed": lambda L: [L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode="sum")],
    "averaged, last output": lambda L: [L.Bidirectional(L.GRU(4), merge_mode="ave")],
}


@needs_keras
@pytest.mark.parametrize("name", {**LAYERS, **MERGED})
def test_steps_masked_anywhere(name: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """In front, in between, at the end, and a whole sequence: as Keras computes it, and not as a port without the mask."""
    L = keras.layers
    path, model = saved(keras, [L.Input((STEPS, SIZE)), L.Masking(-1.0), *{**LAYERS, **MERGED}[name](L)])
    x = x_of(-1.0, (6, 5, 0), (0, 2, 0))
    x[0, 2] = x[0, 3] = -1.0
    right = np.asarray(model(x).detach())
    code, found = judged(capsys, path, x, right)
    assert (code, found["inputs"]["lengths"]) == (0, None), found["line"]
    assert found["inputs"]["mask"] == [[1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 1, 0], [0] * 6]
    assert "masking (Masking) masks 11 steps of this input" in found["said"]
    if right.ndim == 3:
        for item, step in ((0, 3), (1, 0), (1, 5), (2, 3)):
            wrong = right.copy()
            wrong[item, step, 0] += 0.01
            assert judged(capsys, path, x, wrong)[0] == 1, (item, step)
    plain = keras.Sequential([layer for layer in model.layers if type(layer).__name__ != "Masking"])
    code, found = judged(capsys, path, x, np.asarray(plain(x).detach()))
    assert (code, found["verdict"]) == (1, "FAIL")
    if name == "lstm":
        answer = ask(capsys, "diagnose", path, "--input", "x.npy", "--expected", "y.npy")
        assert (answer.code, "lstm.lengths.ignored" in answer.out) == (0, True)
        # Beside Keras itself, gates and all; torch has no such mask.
        assert ask(capsys, "compare", path, "--input", "x.npy", "-q").code == 0
        assert "torch has no masks" in refused(capsys, "compare", path, "--input", "x.npy", "--framework", "torch")


@needs_keras
def test_lengths_that_say_otherwise_than_the_mask(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Lengths that are the mask's are taken; others leave open which of the two is meant."""
    L = keras.layers
    path, model = saved(keras, [L.Input((STEPS, SIZE)), L.Masking(-1.0), L.LSTM(4, return_sequences=True)])
    x = x_of(-1.0, (6, 4, 2))
    right = np.asarray(model(x).detach())
    assert judged(capsys, path, x, right, "--lengths", "6,4,2")[0] == 0
    code, found = judged(capsys, path, x, right, "--lengths", "6,4,3")
    assert (code, found["verdict"]) == (1, "UNDECIDED")
    assert "masks other steps" in found["line"]


@needs_keras
@pytest.mark.parametrize("how", [".keras", ".h5"])
@pytest.mark.parametrize("functional", [False, True])
def test_an_embeddings_mask_is_given(how: str, functional: bool, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Its input is not at hand, so that x does not show it; what is right is never FAIL."""
    L = keras.layers
    parts = [
        L.Embedding(9, SIZE, mask_zero=True),
        L.Dropout(0.1),
        L.LSTM(4, return_sequences=True, name="low"),
        L.GRU(2, name="high"),
    ]
    start = L.Input((STEPS,), dtype="int32")
    if functional:
        value = start
        for part in parts:
            value = part(value)
        model = keras.Model(start, value)
        path = Path("model" + how)
        model.save(path)
    else:
        path, model = saved(keras, [start, *parts], how)
    tokens = np.random.default_rng(1).integers(1, 9, (BATCH, STEPS))
    tokens[1, 4:] = tokens[2, 2:] = 0
    counts = keras.ops.convert_to_tensor(tokens != 0)
    embedded = parts[0](tokens)
    low = parts[2](embedded, mask=counts)
    x, right, high = (np.asarray(value.detach()) for value in (embedded, low, parts[3](low, mask=counts)))
    code, found = judged(capsys, path, x, right, "--module", "low")
    assert (code, found["verdict"]) == (1, "UNDECIDED")
    assert all_in(("(Embedding)", "does not show which", "--lengths"), found["line"])
    assert judged(capsys, path, x, right, "--module", "low", "--lengths", "6,4,2")[0] == 0
    assert judged(capsys, path, x, right, "--module", "low", "--lengths", "6,4,3")[0] == 1
    assert judged(capsys, path, x, right, "--module", "low", "--mask", json.dumps((tokens != 0).tolist()))[0] == 0
    # The mask goes on to what stands above.
    code, found = judged(capsys, path, right, high, "--module", "high")
    assert (code, found["verdict"]) == (1, "UNDECIDED")
    assert judged(capsys, path, right, high, "--module", "high", "--lengths", "6,4,2")[0] == 0


@needs_keras
@pytest.mark.filterwarnings("ignore:Layer .* does not support masking:UserWarning")
@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning")
def test_masks_find_their_way_through_a_model(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Into models inside, past layers that change values, not behind a last output, and by the call's own argument."""
    L = keras.layers
    start = L.Input((STEPS, SIZE))
    inside = keras.Sequential([L.Input((STEPS, SIZE)), L.LSTM(SIZE, return_sequences=True, name="a")], name="inside")
    value = L.Dense(SIZE)(inside(L.Masking(name="m")(start)))
    value = L.LSTM(4, name="b")(value)
    value = L.LSTM(4, return_sequences=True, name="c")(L.RepeatVector(STEPS)(value))
    mask = L.Input((STEPS,), dtype="bool")
    value = L.LSTM(4, name="d")(value, mask=mask)
    path = Path("model.keras")
    keras.Model([start, mask], value).save(path)
    answer = ask(capsys, "inspect", path, "-f", "json")
    masks = {entry["prefix"]: entry["mask"] for entry in json.loads(answer.out)["modules"]}
    assert masks == {
        "inside/a": "m (Masking)",
        "b": "m (Masking)",
        "c": None,
        "d": "the mask that d is called with",
    }
    # torch has no masks, and is told of none.
    answer = ask(capsys, "compare", path, "--module", "b", "--seed", "1", "-q")
    assert (answer.code, all_in(("m (Masking) masks steps: none is masked here",), answer.err)) == (0, True)


# --- which sigmoid ----------------------------------------------------------------------------------------------------


def sigmoid(a: Array) -> Array:
    """The smooth one."""
    return 1 / (1 + np.exp(-a))


def hard_of_keras2(a: Array) -> Array:
    """As the documentation of Keras 2 has it: 0 below -2.5, 1 above 2.5, and 0.2·a + 0.5 in between."""
    return np.select([a < -2.5, a > 2.5], [0.0, 1.0], 0.2 * a + 0.5)


def hard_of_keras3(a: Array) -> Array:
    """As the documentation of Keras 3 has it: 0 below -3, 1 above 3, and a/6 + 0.5 in between."""
    return np.select([a <= -3, a >= 3], [0.0, 1.0], a / 6 + 0.5)


def lstm_by_hand(x: Array, kernel: Array, recurrent: Array, bias: Array, squash: Any) -> Array:
    """Outputs (B, T, H) of Keras' LSTM, whose gates lie as i, f, c, o."""
    h = c = np.zeros((len(x), len(recurrent)))
    outputs = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = squash(f) * c + squash(i) * np.tanh(g)
        h = squash(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, axis=1)


def old_weights(version: str | None, *, declared: bool = False) -> tuple[Path, tuple[Array, ...]]:
    """An LSTM(3, 4) as Keras 2 wrote it: its weights alone, or with a configuration that says hard_sigmoid."""
    generator = np.random.default_rng(2)
    arrays = tuple(generator.uniform(-1.5, 1.5, shape).astype("f4") for shape in ((SIZE, 16), (4, 16), (16,)))
    names = [f"lstm_1/{name}:0" for name in ("kernel", "recurrent_kernel", "bias")]
    path = Path("old.h5")
    with h5py.File(path, "w") as file:
        if version is not None:
            file.attrs["keras_version"] = version.encode()
        if declared:
            options = {"name": "lstm_1", "recurrent_activation": "hard_sigmoid", "return_sequences": True}
            config = {"class_name": "Sequential", "config": [{"class_name": "LSTM", "config": options}]}
            file.attrs["model_config"] = json.dumps(config).encode()
        root = file.create_group("model_weights") if declared else file
        root.attrs["layer_names"] = [b"lstm_1"]
        group = root.create_group("lstm_1")
        group.attrs["weight_names"] = [name.encode() for name in names]
        for name, array in zip(names, arrays, strict=True):
            group[name] = array
    return path, arrays


BY_VERSION = {"1.2.2": hard_of_keras2, "2.0.8": hard_of_keras2, "2.2.5": hard_of_keras2, "2.3.0": sigmoid, "2.3.0-tf": sigmoid,
              "2.15.0": sigmoid, "3.1.0": sigmoid}  # fmt: skip


@pytest.mark.parametrize("version", BY_VERSION)
def test_the_version_decides_what_weights_alone_have(version: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Hard gates by default before Keras 2.3, and that is said; the flag says otherwise."""
    path, arrays = old_weights(version)
    x, other = x_of(), sigmoid if BY_VERSION[version] is not sigmoid else hard_of_keras2
    code, found = judged(capsys, path, x, lstm_by_hand(x, *arrays, BY_VERSION[version]))
    name = "sigmoid" if BY_VERSION[version] is sigmoid else "hard_sigmoid"
    assert (code, found["spec"]["recurrent_activation"]) == (0, name), found["line"]
    assert "recurrent_activation" in found["assumed"]
    shown = ask(capsys, "compare", path, "--input", "x.npy", "--expected", "y.npy").out
    assert f"not recorded in the file, assumed: forward, gates {name}" in shown
    assert f"assumed forward and {name}" in ask(capsys, "inspect", path).out
    assert judged(capsys, path, x, lstm_by_hand(x, *arrays, other))[1]["verdict"] == "FAIL"
    if not version.startswith("3"):
        said = "sigmoid" if other is sigmoid else "hard_sigmoid"
        assert judged(capsys, path, x, lstm_by_hand(x, *arrays, other), "--recurrent-activation", said)[0] == 0


@pytest.mark.parametrize("version", ["2.2.4-tf", "2.1.6-tf", None])
def test_what_the_version_leaves_open_is_undecided_until_it_is_said(
    version: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """TensorFlow 1 and 2.0 had different gates and wrote the same version."""
    path, arrays = old_weights(version)
    x = x_of()
    for name, squash in {"sigmoid": sigmoid, "hard_sigmoid": hard_of_keras2}.items():
        right = lstm_by_hand(x, *arrays, squash)
        code, found = judged(capsys, path, x, right)
        assert (code, found["verdict"]) == (1, "UNDECIDED")
        assert all_in((version or "does not tell its version", "--recurrent-activation"), found["line"])
        assert judged(capsys, path, x, right, "--recurrent-activation", name)[0] == 0
        assert judged(capsys, path, x, right + 0.001, "--recurrent-activation", name)[1]["verdict"] == "FAIL"
    answer = ask(capsys, "compare", path, "--seed", "1", "-q")
    assert (answer.code, answer.out.split()[0]) == (1, "UNDECIDED")


def test_a_file_that_says_its_gates_is_not_contradicted(capsys: pytest.CaptureFixture[str]) -> None:
    """A flag that repeats it is accepted; gates that torch has no need another judge."""
    path, arrays = old_weights("2.1.5", declared=True)
    x = x_of()
    right = lstm_by_hand(x, *arrays, hard_of_keras2)
    for flags in ((), ("--recurrent-activation", "hard_sigmoid")):
        code, found = judged(capsys, path, x, right, *flags)
        assert (code, found["assumed"]) == (0, [])
    assert judged(capsys, path, x, lstm_by_hand(x, *arrays, sigmoid))[1]["verdict"] == "FAIL"
    assert judged(capsys, path, x, lstm_by_hand(x, *arrays, hard_of_keras3))[1]["verdict"] == "FAIL"
    line = refused(capsys, "compare", path, "--recurrent-activation", "sigmoid", "--input", "x.npy", "--expected", "y.npy")
    assert all_in(("--recurrent-activation sigmoid contradicts", "says hard_sigmoid"), line)
    line = refused(capsys, "compare", path, "--framework", "torch")
    assert all_in(("gates are hard_sigmoid", "torch has no", "--expected"), line)
    line = refused(capsys, "run", "lstm", "-i", "3", "-H", "4", "--weights", path)
    assert "it holds lstm_1: run lstm -i 3 -H 4 --recurrent-activation hard_sigmoid" in line


@needs_keras
@pytest.mark.parametrize("how", [".keras", ".h5", ".weights.h5"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_hard_gates_of_keras_3(kind: str, how: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Its slope is 1/6; of weights alone the flag says so, by Keras' own name for it."""
    L = keras.layers
    layer = getattr(L, kind)(5, return_sequences=True, recurrent_activation="hard_sigmoid")
    path, model = saved(keras, [L.Input((STEPS, SIZE)), layer], how)
    x = 3 * x_of()
    flags = ("--recurrent-activation", "hard_sigmoid") if how == ".weights.h5" else ()
    code, found = judged(capsys, path, x, np.asarray(model(x).detach()), *flags)
    assert (code, found["spec"]["recurrent_activation"]) == (0, "hard_sigmoid_keras3"), found["line"]
    # Keras writes it as relu6(a + 3) / 6, which rounds elsewhere.
    assert judged(capsys, path, x, np.asarray(model(x).detach()), *flags, "--tolerance", "rounding")[0] == 0
    assert judged(capsys, path, x, np.asarray(model(x).detach()) + 1e-3, *flags)[0] == 1
    if how == ".weights.h5":
        assert judged(capsys, path, x, np.asarray(model(x).detach()))[0] == 1


def test_plain_arrays_of_a_port_can_have_hard_gates(capsys: pytest.CaptureFixture[str]) -> None:
    """A state_dict does not say what it was brought over from."""
    _, (kernel, recurrent, bias) = old_weights("2.1.5")
    # Keras keeps the candidate third, as torch does.
    np.savez("w.npz", weight_ih_l0=kernel.T, weight_hh_l0=recurrent.T, bias_ih_l0=bias, bias_hh_l0=0 * bias)
    x = x_of()
    for name, squash in {"hard_sigmoid": hard_of_keras2, "hard_sigmoid_keras3": hard_of_keras3, "sigmoid": sigmoid}.items():
        right = lstm_by_hand(x, kernel, recurrent, bias, squash)
        path = Path("w.npz")
        assert judged(capsys, path, x, right, "--batch-first", "--recurrent-activation", name)[0] == 0
        assert judged(capsys, path, x, right, "--batch-first")[0] == (0 if name == "sigmoid" else 1)
    np.savez("rnn.npz", weight_ih_l0=np.ones((2, 3)), weight_hh_l0=np.ones((2, 2)))
    line = refused(capsys, "compare", "rnn.npz", "--recurrent-activation", "hard_sigmoid")
    assert "--recurrent-activation belongs to LSTM and GRU" in line


def test_hard_gates_are_spelled_with_their_line(capsys: pytest.CaptureFixture[str]) -> None:
    """In the derivation of a value, with its numbers."""
    path, arrays = old_weights("2.1.5", declared=True)
    x = x_of()[:1]
    np.save("x.npy", x)
    spec, weights = rnntrace.load(path)["lstm_1"]
    trace = rnntrace.replay(
        spec, weights, rnntrace.Inputs(x.swapaxes(0, 1), np.zeros((1, 1, 4), "f4"), np.zeros((1, 1, 4), "f4"))
    )
    gate = hard_of_keras2(x[0, 0].astype(float) @ arrays[0].astype(float) + arrays[2])[:4]
    np.testing.assert_allclose(trace["i", 0, "forward"][0, 0], gate, rtol=1e-5)
    assert np.all((trace["i", 0, "forward"] >= 0) & (trace["i", 0, "forward"] <= 1))
    answer = ask(capsys, "explain", path, "--input", "x.npy", "--at", "t=1,unit=0,gate=i")
    assert all_in(("clip(0.2000·(W_ii[0] x₁ + ", f"= {gate[0]:.4f}\n"), answer.out)


def test_other_layers_that_are_recurrent_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Convolutions, cells inside one another, classes of one's own; those beside them are judged by their names."""
    for kind, inner, says in (
        ("ConvLSTM2D", {}, "ConvLSTM2D"),
        ("RNN", {"cell": {"class_name": "StackedRNNCells", "config": {}}}, "RNN around StackedRNNCells"),
        ("Bidirectional", {"layer": {"class_name": "ConvLSTM1D", "config": {}}}, "Bidirectional around ConvLSTM1D"),
    ):
        path, _ = old_weights("2.1.5", declared=True)
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            config["config"].append({"class_name": kind, "config": {"name": "other", **inner}})
            file.attrs["model_config"] = json.dumps(config)
        assert all_in(("layer other", says, "is no SimpleRNN, LSTM or GRU layer"), refused(capsys, "compare", path))
        assert "other is not judged" in ask(capsys, "inspect", path).out
        x = x_of()
        assert judged(capsys, path, x, np.ones((BATCH, STEPS, 4)), "--module", "lstm_1")[1]["verdict"] == "FAIL"


def test_a_mask_is_named_beside_a_second_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever of the two has it: neither is replayed behind one."""
    path, _ = old_weights("2.13.1", declared=True)
    path.rename("plain.h5")
    path, _ = old_weights("2.13.1", declared=True)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"].insert(0, {"class_name": "Masking", "config": {"name": "masked", "mask_value": 0.0}})
        file.attrs["model_config"] = json.dumps(config)
    np.save("x.npy", x_of(lengths=(STEPS, 2, 1)))
    for files in ((path, "plain.h5"), ("plain.h5", path)):
        assert (
            "masked (Masking) masks steps: none is masked here" in ask(capsys, "compare", *files, "--input", "x.npy", "-q").err
        )


@pytest.mark.parametrize("around", ["", "Bidirectional", "RNN"])
def test_a_class_of_ones_own_is_not_taken_for_keras_own(around: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be called LSTM; where classes come from stands beside their names, in newer files."""
    path, _ = old_weights("2.13.1", declared=True)
    for module, is_read in (("keras.layers", True), ("tf_keras.src.layers.rnn.lstm", True), ("theirs.layers", False)):
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            layer = next(layer for layer in config["config"] if layer["config"].get("name") == "lstm_1")
            inner = {"class_name": "LSTMCell" if around == "RNN" else "LSTM", "module": module, "config": layer["config"]}
            options = {"merge_mode": "concat"} if around == "Bidirectional" else {}
            outer = {"name": "other", **options, "cell" if around == "RNN" else "layer": inner}
            config["config"] = [
                layer,
                {"class_name": around, "config": outer} if around else {**inner, "config": {"name": "other"}},
            ]
            file.attrs["model_config"] = json.dumps(config)
        said = refused(capsys, "compare", path)
        assert (f"LSTM{'Cell' * (around == 'RNN')} is not Keras' own but of theirs.layers" in said) is not is_read, said
