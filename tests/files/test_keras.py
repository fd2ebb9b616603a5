"""Keras' files against Keras: what it predicts is what the replay gives, from each of its three ways to save a model."""

import json
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commandline import all_in, ask, refused
from thorough import in_turn, some

import rnntrace
from rnntrace.equations.activations import OF_KERAS
from rnntrace.model.dtypes import Array

pytestmark = [
    pytest.mark.usefixtures("folder"),
    # Keras has numpy make arrays of torch's tensors in a way that numpy means to drop.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # It is not imported yet: it reads its settings when it is.
    pytest.mark.skipif(find_spec("keras") is None, reason="Keras, which writes the files of these tests, is not there"),
]

STEPS, BATCH, SIZE = 5, 2, 3
HOWS = (".keras", ".weights.h5", ".h5")


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Keras on torch, with its settings in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        import keras

        yield keras


Build = Callable[[Any], list[Any]]
"""The layers of a Sequential, from keras.layers."""

ONE: dict[str, tuple[Build, dict[str, Any]]] = {
    "simple": (lambda L: [L.SimpleRNN(4, return_sequences=True)], {"kind": "RNN", "nonlinearity": "tanh"}),
    "lstm": (lambda L: [L.LSTM(4, return_sequences=True)], {"kind": "LSTM"}),
    "gru": (lambda L: [L.GRU(4, return_sequences=True)], {"kind": "GRU", "reset_after": True}),
    "gru, reset before": (
        lambda L: [L.GRU(4, return_sequences=True, reset_after=False)],
        {"kind": "GRU", "reset_after": False},
    ),
    "last output": (lambda L: [L.LSTM(4)], {"kind": "LSTM"}),
    "no bias": (lambda L: [L.LSTM(4, use_bias=False, return_sequences=True)], {"bias": False}),
    "gru, no bias": (lambda L: [L.GRU(4, use_bias=False)], {"bias": False, "kind": "GRU"}),
    "both directions": (
        lambda L: [L.Bidirectional(L.LSTM(4, return_sequences=True))],
        {"kind": "LSTM", "bidirectional": True},
    ),
    "both directions, last output": (lambda L: [L.Bidirectional(L.SimpleRNN(4))], {"kind": "RNN", "bidirectional": True}),
    "both directions, reset before": (
        lambda L: [L.Bidirectional(L.GRU(4, return_sequences=True, reset_after=False))],
        {"bidirectional": True, "reset_after": False},
    ),
    "both directions, gru": (lambda L: [L.Bidirectional(L.GRU(4, return_sequences=True))], {"bidirectional": True}),
    "both directions, each its layer": (
        lambda L: [
            L.Bidirectional(
                L.LSTM(4, return_sequences=True, name="to"),
                backward_layer=L.LSTM(4, return_sequences=True, go_backwards=True, name="fro"),
            )
        ],
        {"bidirectional": True},
    ),
    "a cell": (lambda L: [L.RNN(L.LSTMCell(4), return_sequences=True)], {"kind": "LSTM"}),
    "a cell, reset before": (lambda L: [L.RNN(L.GRUCell(4, reset_after=False))], {"kind": "GRU", "reset_after": False}),
    "a cell in both directions": (
        lambda L: [L.Bidirectional(L.RNN(L.GRUCell(4), return_sequences=True))],
        {"kind": "GRU", "bidirectional": True},
    ),
    "dropout inside": (lambda L: [L.LSTM(4, dropout=0.5, recurrent_dropout=0.5, return_sequences=True)], {"kind": "LSTM"}),
}
"""Models of one layer that a file of weights alone tells too, with what it should be read as."""

DECLARED: dict[str, tuple[Build, dict[str, Any]]] = {
    "relu": (lambda L: [L.SimpleRNN(4, activation="relu", return_sequences=True)], {"nonlinearity": "relu"}),
    "relu, both directions": (
        lambda L: [L.Bidirectional(L.SimpleRNN(4, activation="relu", return_sequences=True))],
        {"nonlinearity": "relu", "bidirectional": True},
    ),
    "backwards": (lambda L: [L.GRU(4, go_backwards=True, return_sequences=True)], {"reverse": True}),
    "backwards, last output": (lambda L: [L.LSTM(4, go_backwards=True)], {"reverse": True}),
    "a stack": (
        lambda L: [L.LSTM(4, return_sequences=True), L.Dropout(0.2), L.LSTM(4, return_sequences=True)],
        {"num_layers": 2},
    ),
    "a stack, last output": (
        lambda L: [L.GRU(4, return_sequences=True), L.Dropout(0.2), L.GRU(4, return_sequences=True), L.GRU(4)],
        {"num_layers": 3},
    ),
    "a stack in both directions": (
        lambda L: [
            L.Bidirectional(L.LSTM(4, return_sequences=True)),
            L.SpatialDropout1D(0.2),
            L.Bidirectional(L.LSTM(4, return_sequences=True)),
        ],
        {"num_layers": 2, "bidirectional": True},
    ),
    "a stack in both directions, last output": (
        lambda L: [L.Bidirectional(L.SimpleRNN(2, return_sequences=True)), L.Bidirectional(L.SimpleRNN(2))],
        {"num_layers": 2, "bidirectional": True},
    ),
    **{
        f"merged by {merge}, {what}": (
            lambda L, merge=merge, last=last: [L.Bidirectional(L.LSTM(4, return_sequences=not last), merge_mode=merge)],
            {"bidirectional": True, "merge": merge},
        )
        for merge in ("sum", "mul", "ave")
        for what, last in {"every step": False, "last output": True}.items()
    },
    "a stack that is merged": (
        lambda L: [
            L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode="sum"),
            L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode="sum"),
        ],
        {"num_layers": 2, "merge": "sum", "inner_merge": "sum"},
    ),
    "a stack that is merged, last output": (
        lambda L: [
            L.Bidirectional(L.SimpleRNN(4, return_sequences=True), merge_mode="ave"),
            L.Bidirectional(L.SimpleRNN(4), merge_mode="ave"),
        ],
        {"num_layers": 2, "merge": "ave", "inner_merge": "ave"},
    ),
    "relu in one direction": (
        lambda L: [
            L.Bidirectional(
                L.SimpleRNN(4, name="to"), backward_layer=L.SimpleRNN(4, go_backwards=True, activation="relu", name="fro")
            )
        ],
        {"nonlinearity": "tanh", "reverse_activations": ("relu",)},
    ),
    **{
        f"candidate {name}": (
            lambda L, name=name: [L.LSTM(4, activation=name, return_sequences=True)],
            {"activation": own, "cell_activation": own},
        )
        for name, own in OF_KERAS.items()
        if name not in ("tanh", "exponential")
    },
    **{
        f"gates {name}": (
            lambda L, name=name: [L.GRU(4, recurrent_activation=name, return_sequences=True)],
            {"recurrent_activation": own},
        )
        for name, own in {"hard_sigmoid": "hard_sigmoid_keras3", "relu": "relu", "softsign": "softsign"}.items()
    },
    "hidden state elu": (lambda L: [L.SimpleRNN(4, activation="elu", return_sequences=True)], {"nonlinearity": "elu"}),
    "no activation": (lambda L: [L.GRU(4, activation=None, return_sequences=True)], {"activation": "linear"}),
    "a layer as activation": (
        lambda L: [L.SimpleRNN(4, activation=L.LeakyReLU(negative_slope=0.15), return_sequences=True)],
        {"nonlinearity": "leaky_relu:0.15"},
    ),
    "a stack, reset before": (
        lambda L: [L.GRU(4, return_sequences=True, reset_after=False), L.GRU(4, reset_after=False)],
        {"num_layers": 2, "reset_after": False},
    ),
}
"""Models whose configuration is needed to know them."""


def x_of(seed: int = 0) -> Array:
    """An input (B, T, I), as Keras has it."""
    return np.random.default_rng(seed).standard_normal((BATCH, STEPS, SIZE)).astype(np.float32)


def filled(model: Any) -> Any:
    """The model with every weight drawn, biases too, which Keras has start alike."""
    generator = np.random.default_rng(5)
    model.set_weights([generator.uniform(-0.7, 0.7, array.shape).astype(array.dtype) for array in model.get_weights()])
    return model


def sequential(keras: Any, layers: list[Any]) -> Any:
    """A Sequential of these layers on an input (T, I), with weights."""
    return filled(keras.Sequential([keras.layers.Input((STEPS, SIZE)), *layers]))


def written(model: Any, how: str) -> Path:
    """The model saved in one of three ways."""
    path = Path("model" + how)
    if how == ".weights.h5":
        model.save_weights(path)
    else:
        model.save(path)
    return path


def predicted(model: Any, *inputs: Array) -> Any:
    """What Keras gives, as numpy arrays."""
    return model.predict(list(inputs) if len(inputs) > 1 else inputs[0], verbose=0, batch_size=BATCH)


def signals(**arrays: Array) -> list[str]:
    """The arguments with which Keras' outputs judge a file."""
    np.save("x.npy", x_of())
    np.savez("expected.npz", **arrays)
    return ["--input", "x.npy", "--expected", "expected.npz"]


def only(path: Path) -> Any:
    """The specification of the one module in a file."""
    ((spec, _),) = rnntrace.load(path).values()
    return spec


def inspected(path: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What inspect says of the modules in a file."""
    answer = ask(capsys, "inspect", path, "--format", "json")
    assert (answer.code, answer.err) == (0, ""), answer
    modules: list[dict[str, Any]] = json.loads(answer.out)["modules"]
    return modules


def verdict(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """The JSON of a comparison, whatever its verdict."""
    answer = ask(capsys, "compare", *arguments, "--format", "json")
    assert answer.code in (0, 1), answer
    found: dict[str, Any] = json.loads(answer.out)
    assert (answer.code == 0) == found["passed"]
    return found


# --- what Keras saves, and what it predicts ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", ONE)
def test_one_layer_gives_what_keras_predicts(name: str, how: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Kind, sizes and number of parameters are Keras', and its prediction passes; from a file of weights alone as well."""
    build, expected = ONE[name]
    model = sequential(keras, build(keras.layers))
    path = written(model, how)
    spec = only(path)
    told = {"input_size": SIZE, "hidden_size": 4, "num_layers": 1, "batch_first": True, **expected}
    if name == "gru, no bias" and how == ".weights.h5":
        # Nothing tells where it resets; after the product is the default.
        assert spec.reset_after
    assert {field: getattr(spec, field) for field in told} == told
    (module,) = inspected(path, capsys)
    assert module["parameters"] == model.count_params()
    assert module["layout"] == "Keras 3"
    assert verdict(capsys, path, *signals(output=predicted(model, x_of())))["passed"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "how"), in_turn(((name,) for name in DECLARED), [".keras", ".h5"]))
def test_a_declared_model_gives_what_keras_predicts(
    name: str, how: str, keras: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stacks are one module of several layers; relu and go_backwards are read from the configuration."""
    build, expected = DECLARED[name]
    model = sequential(keras, build(keras.layers))
    path = written(model, how)
    spec = only(path)
    assert {field: getattr(spec, field) for field in expected} == expected
    (module,) = inspected(path, capsys)
    assert module["parameters"] == model.count_params()
    output = predicted(model, x_of())
    assert verdict(capsys, path, *signals(output=output))["passed"]
    # Were the output not judged, another would pass too.
    output[-1, ..., -1] += 0.01
    assert not verdict(capsys, path, *signals(output=output))["passed"]


@pytest.mark.slow
@pytest.mark.parametrize("name", some(DECLARED, 3))
def test_weights_alone_are_read_by_a_configuration(name: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`to_json()` beside them says what the whole model would: the same modules, and the same verdicts."""
    build, expected = DECLARED[name]
    model = sequential(keras, build(keras.layers))
    path = written(model, ".weights.h5")
    Path("model.json").write_text(model.to_json(), encoding="utf-8")
    ((_, (spec, weights)),) = rnntrace.load(path, config="model.json").items()
    assert {field: getattr(spec, field) for field in expected} == expected
    ((_, (other, same)),) = rnntrace.load(written(model, ".keras")).items()
    assert spec == other
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(weights.arrays, same.arrays, strict=True))
    output = predicted(model, x_of())
    assert verdict(capsys, path, *signals(output=output), "--config", "model.json")["passed"]
    output[-1, ..., -1] += 0.01
    assert not verdict(capsys, path, *signals(output=output), "--config", "model.json")["passed"]
    for command in ("inspect", "explain"):
        assert ask(capsys, command, path, "--config", "model.json").code == 0


@pytest.mark.slow
def test_a_configuration_that_does_not_fit_is_refused(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Of another file, of a file that has one, of none, and what is none."""
    L = keras.layers
    model = sequential(keras, [L.LSTM(4, return_sequences=True)])
    path, whole = written(model, ".weights.h5"), written(model, ".keras")
    Path("right.json").write_text(model.to_json(), encoding="utf-8")
    Path("other.json").write_text(sequential(keras, [L.GRU(4)]).to_json(), encoding="utf-8")
    Path("deep.json").write_text("[" * 100_000, encoding="utf-8")
    Path("list.json").write_text("[1, 2]", encoding="utf-8")
    np.savez("w.npz", weight_ih_l0=np.ones((4, 3), "f"), weight_hh_l0=np.ones((4, 4), "f"))
    for source, config, says in (
        (path, "other.json", "gru"),
        (whole, "right.json", "it holds its own configuration"),
        ("w.npz", "right.json", "--config belongs to Keras' weights"),
        (path, "deep.json", "not valid JSON"),
        (path, "list.json", "is no model's configuration"),
        (path, "gone.json", "gone.json: it cannot be read"),
        (path, "w.npz", "not valid JSON"),
    ):
        for command in ("inspect", "compare"):
            assert says in refused(capsys, command, source, "--config", config), (source, config)
    assert all_in(("without its weights", "--config beside weights alone"), refused(capsys, "inspect", "right.json"))


@pytest.mark.slow
@pytest.mark.parametrize("how", HOWS)
def test_states_are_judged_without_the_axis_of_layers(how: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """return_state gives h and c as (B, H); each is judged, by itself and beside the output."""
    layers = keras.layers
    start = layers.Input((STEPS, SIZE))
    model = filled(keras.Model(start, layers.LSTM(4, return_sequences=True, return_state=True)(start)))
    path = written(model, how)
    output, h, c = predicted(model, x_of())
    assert verdict(capsys, path, *signals(output=output, h_n=h, c_n=c))["passed"]
    found = verdict(capsys, path, *signals(output=output, h_n=h, c_n=c + 0.01))
    assert [entry["name"] for entry in found["differences"] if not entry["passed"]] == ["c_n"]
    assert verdict(capsys, path, *signals(h_n=h))["passed"]
    assert not verdict(capsys, path, *signals(h_n=h + 0.01))["passed"]


def test_states_of_a_stack_are_those_of_its_last_layer(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """(B, H) again; both are judged, and the layer below is not claimed to be."""
    layers = keras.layers
    start = layers.Input((STEPS, SIZE))
    below = layers.LSTM(4, return_sequences=True)(start)
    model = filled(keras.Model(start, layers.LSTM(4, return_sequences=True, return_state=True)(below)))
    path = written(model, ".keras")
    output, h, c = predicted(model, x_of())
    assert only(path).num_layers == 2
    assert verdict(capsys, path, *signals(output=output, h_n=h, c_n=c))["passed"]
    for wrong in ({"h_n": h + 0.01}, {"c_n": c + 0.01}):
        found = verdict(capsys, path, *signals(**{"output": output, "h_n": h, "c_n": c} | wrong))
        failed = [(entry["name"], entry["passed"]) for entry in found["differences"] if not entry["passed"]]
        assert failed == [(name, False) for name in wrong]
        assert found["first_failure"]["layer"] == 1


def test_what_the_weights_alone_do_not_tell_can_be_said(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """--nonlinearity and --go-backwards say what a file of weights leaves open; without them the verdict is FAIL."""
    for option, arguments in (
        ({"activation": "relu"}, ["--nonlinearity", "relu"]),
        ({"go_backwards": True}, ["--go-backwards"]),
    ):
        model = sequential(keras, [keras.layers.SimpleRNN(4, return_sequences=True, **option)])
        path, judged = written(model, ".weights.h5"), signals(output=predicted(model, x_of()))
        assert not verdict(capsys, path, *judged)["passed"], option
        assert verdict(capsys, path, *judged, *arguments)["passed"], option
        # A flag that repeats what a file says is accepted, and one that contradicts it is not.
        assert verdict(capsys, written(model, ".keras"), *judged, *arguments)["passed"], option
        other = sequential(keras, [keras.layers.SimpleRNN(4, return_sequences=True)])
        assert "contradicts" in refused(capsys, "compare", written(other, ".keras"), *judged, *arguments)


@pytest.mark.parametrize("merge", ["sum", "mul", "ave"])
def test_weights_alone_do_not_tell_how_directions_merge(merge: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """--merge says it; where one way alone agrees, that is what is read, and said aloud; wrong numbers pass by none."""
    L = keras.layers
    model = sequential(keras, [L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode=merge)])
    path, output = written(model, ".weights.h5"), predicted(model, x_of())
    judged = signals(output=output)
    assert "merge" in inspected(path, capsys)[0]["assumed"]
    assert verdict(capsys, path, *judged, "--merge", merge)["passed"]
    found = ask(capsys, "compare", path, *judged, "-q")
    assert (found.code, f"--merge {merge} alone agrees" in found.err) == (0, True)
    for other in {"sum", "mul", "ave"} - {merge}:
        assert not verdict(capsys, path, *judged, "--merge", other)["passed"]
    assert "as wide as one direction" in refused(capsys, "compare", path, *judged, "--merge", "concat")
    assert "contradicts" in refused(capsys, "compare", written(model, ".keras"), *judged, "--merge", "concat")
    output[0, 1, 2] += 0.01
    assert "as wide as one direction" in refused(capsys, "compare", path, *signals(output=output))


def test_two_directions_that_are_not_joined_have_their_states(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """merge_mode=None gives two outputs: side by side they are the module's, and each one's last is a row of h_n."""
    L = keras.layers
    model = sequential(keras, [L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode=None)])
    forward, reverse = predicted(model, x_of())
    path = written(model, ".keras")
    assert verdict(capsys, path, *signals(output=np.concatenate([forward, reverse], 2)))["passed"]
    assert not verdict(capsys, path, *signals(output=np.concatenate([reverse, forward], 2)))["passed"]


def test_one_of_two_files_tells_the_direction(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever comes first; the weights alone are taken for forward, which is another module."""
    model = sequential(keras, [keras.layers.SimpleRNN(4, go_backwards=True, return_sequences=True)])
    files = written(model, ".keras"), written(model, ".weights.h5")
    assert "they are different modules" in refused(capsys, "compare", *files)
    for pair in (files, files[::-1]):
        answer = ask(capsys, "compare", *pair, "--go-backwards", "--seed", "1", "-q")
        assert (answer.code, answer.out.split()[0]) == (0, "IDENTICAL"), answer
    assert ask(capsys, "compare", files[0], files[0], "--go-backwards", "--seed", "1", "-q").code == 0


@pytest.mark.parametrize("how", [".keras", ".h5"])
def test_functional_models_are_stacked_by_who_reads_whom(how: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Two branches, one of two layers through a Dropout and one alone, listed in an order that is not theirs."""
    layers = keras.layers
    start = layers.Input((STEPS, SIZE))
    low = layers.LSTM(4, return_sequences=True, name="low")(start)
    aside = layers.LSTM(4, return_sequences=True, name="aside")(start)
    high = layers.LSTM(4, return_sequences=True, name="high")(layers.Dropout(0.5)(low))
    changed = layers.LSTM(4, return_sequences=True, name="changed")(layers.Dense(4)(high))
    model = filled(keras.Model(start, [high, aside, changed]))
    path = written(model, how)
    found = rnntrace.load(path)
    assert {name: spec.num_layers for name, (spec, _) in found.items()} == {"low+high": 2, "aside": 1, "changed": 1}
    for name, output in zip(("low+high", "aside"), predicted(model, x_of()), strict=False):
        assert verdict(capsys, path, *signals(output=output), "--module", name)["passed"], name


@pytest.mark.parametrize("how", [".keras", ".h5"])
def test_a_model_inside_a_model_has_its_layers_read(how: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Names lead through the models around a layer; two models may have layers of the same name."""
    layers = keras.layers

    def inner(name: str) -> Any:
        stack = [layers.LSTM(3, return_sequences=True, name="a"), layers.LSTM(3, return_sequences=True, name="b")]
        return keras.Sequential([layers.Input((STEPS, SIZE)), *stack], name=name)

    start = layers.Input((STEPS, SIZE))
    first, second = inner("first"), inner("second")
    middle = first(start)
    model = filled(keras.Model(start, [middle, second(middle)]))
    path = written(model, how)
    assert [*rnntrace.load(path)] == ["first/a+first/b", "second/a+second/b"]
    below, above = predicted(model, x_of())
    assert verdict(capsys, path, *signals(output=below), "--module", "first/a+first/b")["passed"]
    judged = signals(output=above)
    np.save("x.npy", below)
    assert verdict(capsys, path, *judged, "--module", "second/a+second/b")["passed"]


@pytest.mark.parametrize("how", [".keras", ".h5"])
def test_models_inside_models_inside_a_model(how: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """However deep, and with the same name in both: each layer has its own weights."""
    layers = keras.layers

    def inner(name: str, *more: Any) -> Any:
        stack = [layers.LSTM(SIZE, return_sequences=True, name="same"), *more]
        return keras.Sequential([layers.Input((STEPS, SIZE)), *stack], name=name)

    both = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="both")
    outer = keras.Sequential([layers.Input((STEPS, SIZE)), inner("one"), inner("two", both)], name="outer")
    model = sequential(keras, [outer])
    path = written(model, how)
    assert [*rnntrace.load(path)] == ["outer/one/same", "outer/two/same", "outer/two/both"]
    x = x_of()
    for number, name in enumerate(("outer/one/same", "outer/two/same", "outer/two/both")):
        layer = (outer.layers[0].layers + outer.layers[1].layers)[number]
        output = np.asarray(keras.ops.convert_to_numpy(layer(x)))
        judged = signals(output=output)
        np.save("x.npy", x)
        assert verdict(capsys, path, *judged, "--module", name)["passed"], name
        x = output


def test_a_layer_of_ones_own_class_does_no_harm(keras: Any) -> None:
    """It need not tell its name, and what is inside is not read; the layers around it are."""

    class Own(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.inside = keras.layers.GRU(4, return_sequences=True)

        def build(self, shape: Any) -> None:
            self.inside.build(shape)

        def call(self, x: Any) -> Any:
            return self.inside(x)

        def get_config(self) -> dict[str, Any]:
            return {}

    lstms = [keras.layers.LSTM(4, return_sequences=True, name=name) for name in ("below", "above")]
    path = written(sequential(keras, [lstms[0], Own(), lstms[1]]), ".keras")
    assert [*rnntrace.load(path)] == ["below", "above"]


def test_layers_of_one_name_in_a_file_of_weights_are_all_there(keras: Any) -> None:
    """Where a name does not tell layers apart, their groups do."""
    layers = keras.layers
    inside = [
        keras.Sequential([layers.Input((STEPS, SIZE)), layers.LSTM(SIZE, return_sequences=True, name="a")]) for _ in range(2)
    ]
    path = written(sequential(keras, inside), ".weights.h5")
    assert [*rnntrace.load(path)] == ["layers/sequential/layers/lstm", "layers/sequential_1/layers/lstm"]


def test_other_layers_between_and_around_do_no_harm(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Embedding, Masking, TimeDistributed and Dense are counted as other tensors, and stop a stack where they stand in it."""
    layers = keras.layers
    start = layers.Input((STEPS,), dtype="int32")
    value = layers.Embedding(7, 3, mask_zero=True)(start)
    value = layers.Masking()(value)
    value = layers.LSTM(4, return_sequences=True, name="below")(value)
    value = layers.TimeDistributed(layers.Dense(4))(value)
    value = layers.LSTM(4, name="above")(value)
    model = filled(keras.Model(start, layers.Dense(2)(value)))
    for how in (".keras", ".h5"):
        path = written(model, how)
        assert [*rnntrace.load(path)] == ["below", "above"]
        assert "2 recurrent modules · 0 other tensors" in ask(capsys, "inspect", path).out


def test_a_shared_layer_is_one_module(keras: Any) -> None:
    """A layer that is used twice has one set of weights, and is stacked on nothing."""
    layers = keras.layers
    one, two = layers.Input((STEPS, SIZE)), layers.Input((STEPS, SIZE))
    below = layers.LSTM(SIZE, return_sequences=True, name="below")(one)
    shared = layers.LSTM(SIZE, name="shared")
    model = filled(keras.Model([one, two], layers.Add()([shared(below), shared(two)])))
    assert [*rnntrace.load(written(model, ".keras"))] == ["below", "shared"]


def test_a_layer_of_an_encoder_that_hands_on_its_state_is_no_stack(keras: Any) -> None:
    """A decoder that takes the encoder's states stands beside the encoder, whichever sequence it reads."""
    layers = keras.layers
    one, two = layers.Input((STEPS, SIZE)), layers.Input((STEPS, SIZE))
    sequence, h, c = layers.LSTM(4, return_sequences=True, return_state=True, name="encoder")(one)
    for read in (two, sequence):
        model = filled(keras.Model([one, two], layers.LSTM(4, name="decoder")(read, initial_state=[h, c])))
        for how in (".keras", ".h5"):
            assert [*rnntrace.load(written(model, how))] == ["encoder", "decoder"]


def test_a_model_of_ones_own_class_is_read_from_its_weights(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Its configuration lists no layers, so kinds are told from shapes, and what is assumed is said."""

    class Own(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = keras.layers.SimpleRNN(4, return_sequences=True, name="encoder")

        def call(self, x: Any) -> Any:
            return self.encoder(x)

    model = Own()
    model(x_of())
    path = written(filled(model), ".keras")
    answer = ask(capsys, "inspect", path)
    assert all_in(("encoder", "the file does not tell tanh from relu or forward from go_backwards"), answer.out)
    assert verdict(capsys, path, *signals(output=predicted(model, x_of())))["passed"]


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_other_precisions_are_read(dtype: str, keras: Any) -> None:
    """The format of the stored numbers is the module's, and the numbers are Keras'."""
    # Keras cannot draw an orthogonal matrix in half precision.
    options = {"dtype": dtype, "recurrent_initializer": "glorot_uniform"}
    model = keras.Sequential([keras.layers.Input((STEPS, SIZE)), keras.layers.LSTM(4, **options)])
    path = written(model, ".keras")
    ((spec, weights),) = rnntrace.load(path).values()
    assert spec.dtype == dtype
    kernel = model.layers[0].cell.kernel.value.detach().double().numpy()
    np.testing.assert_array_equal(weights[0, "forward"].W_ih.reshape(16, SIZE), kernel.T)


def test_half_precision_of_an_unknown_kind_is_refused(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The older file does not say what its two bytes a number mean."""
    options = {"dtype": "bfloat16", "recurrent_initializer": "glorot_uniform"}
    path = written(keras.Sequential([keras.layers.Input((STEPS, SIZE)), keras.layers.LSTM(4, **options)]), ".h5")
    assert all_in(("kernel should hold floats of 16, 32 or 64 bits",), refused(capsys, "inspect", path))


# --- what is refused --------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Build, tuple[str, ...]]] = {
    "activation": (lambda L: [L.LSTM(4, activation="gelu")], ("layer lstm", "activation gelu", "expected tanh")),
    "activation of SimpleRNN": (lambda L: [L.SimpleRNN(4, activation="softmax")], ("activation softmax",)),
    "recurrent_activation": (
        lambda L: [L.GRU(4, recurrent_activation="mish")],
        ("layer gru", "activation mish", "hard_sigmoid"),
    ),
    "directions apart": (
        lambda L: [
            L.Bidirectional(L.GRU(4, name="to"), backward_layer=L.GRU(4, go_backwards=True, reset_after=False, name="fro"))
        ],
        ("reset_after",),
    ),
    "backwards first": (
        lambda L: [L.Bidirectional(L.LSTM(4, go_backwards=True, name="to"), backward_layer=L.LSTM(4, name="fro"))],
        ("go_backwards inside Bidirectional",),
    ),
    "several cells": (
        lambda L: [L.RNN([L.LSTMCell(4), L.LSTMCell(4)])],
        ("no SimpleRNN, LSTM or GRU layer",),
    ),
    "nothing recurrent": (lambda L: [L.Dense(4)], ("no SimpleRNN, LSTM or GRU layer",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", [".keras", ".h5"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_by_name(name: str, how: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says which layer, what it has and what was expected."""
    build, fragments = REFUSED[name]
    keras.utils.clear_session()
    path = written(sequential(keras, build(keras.layers)), how)
    assert all_in(fragments, refused(capsys, "inspect", path))


def test_torch_is_not_asked_to_reset_before_the_product(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --expected another framework that has such a GRU judges it; torch is refused by name."""
    path = written(sequential(keras, [keras.layers.GRU(4, reset_after=False)]), ".keras")
    assert all_in(("resets", "torch has no", "--expected"), refused(capsys, "compare", path, "--framework", "torch"))
    answer = ask(capsys, "compare", path, "--seed", "1", "--quiet")
    assert (answer.code, answer.out[:4]) == (0, "PASS")


# --- mistakes are seen ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["blocks", "off by 1e-3", "directions"])
def test_a_fault_in_a_file_is_seen(fault: str, keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Two gates swapped, one weight a little off, both directions swapped: FAIL, and a place."""
    model = sequential(keras, [keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))])
    path = written(model, ".weights.h5")
    with h5py.File(path, "r+") as file:
        there, back = (file[f"layers/bidirectional/{way}_layer/cell/vars/0"] for way in ("forward", "backward"))
        if fault == "blocks":
            kernel = back[()]
            back[...] = kernel.reshape(SIZE, 4, 4)[:, [1, 0, 2, 3]].reshape(SIZE, 16)
        elif fault == "off by 1e-3":
            there[2, 1] += 1e-3
        else:
            there[...], back[...] = back[()], there[()]
    found = verdict(capsys, path, *signals(output=predicted(model, x_of())))
    assert not found["passed"]
    direction = "reverse" if fault == "blocks" else "forward"
    assert (found["first_failure"]["layer"], found["first_failure"]["direction"]) == (0, direction)
    if fault == "off by 1e-3":
        # The gate block is the input gate's, and the unit the second.
        assert (found["first_failure"]["t"], found["first_failure"]["unit"]) == (1, 1)


def test_a_fault_in_the_last_layer_of_a_stack_is_seen(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the last output alone, the states of the last layer are judged, and no other is claimed to be."""
    stack = [keras.layers.LSTM(4, return_sequences=True), keras.layers.LSTM(4)]
    model = sequential(keras, stack)
    path, output = written(model, ".keras"), predicted(model, x_of())
    assert verdict(capsys, path, *signals(output=output))["passed"]
    assert "judged as h_n" in ask(capsys, "compare", path, *signals(output=output)).err
    output[1, 2] += 0.01
    failure = verdict(capsys, path, *signals(output=output))["first_failure"]
    assert (failure["layer"], failure["symbol"], failure["item"], failure["unit"]) == (1, "h_n", 1, 2)


# --- what older Keras wrote -------------------------------------------------------------------------------------------


def legacy(config: Any, weights: dict[str, dict[str, Array]], *, whole: bool = True) -> Path:
    """A file as Keras 1 and 2 wrote it: weights by layer and name, and the configuration as JSON."""
    path = Path("old.h5")
    with h5py.File(path, "w") as file:
        if whole:
            file.attrs["model_config"] = json.dumps(config).encode()
        root = file.create_group("model_weights") if whole else file
        root.attrs["layer_names"] = [name.encode() for name in weights]
        for layer, arrays in weights.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in arrays]
            for name, array in arrays.items():
                group[name] = array
    return path


def stored(owner: str, *shapes: tuple[int, ...], seed: int = 0) -> dict[str, Array]:
    """Random arrays under the names that TensorFlow gave them."""
    generator = np.random.default_rng(seed)
    names = ("kernel:0", "recurrent_kernel:0", "bias:0")
    return {
        f"{owner}/{name}": generator.standard_normal(shape).astype("f4") for name, shape in zip(names, shapes, strict=False)
    }


LSTM_SHAPES = ((3, 8), (2, 8), (8,))


def layer(kind: str, name: str, inbound: Any = None, **options: Any) -> dict[str, Any]:
    """A layer of an old configuration, all of whose other options are the defaults."""
    found: dict[str, Any] = {"class_name": kind, "config": {"name": name, "units": 2, "use_bias": True, **options}}
    return found if inbound is None else {**found, "name": name, "inbound_nodes": inbound}


def test_a_gru_without_the_option_resets_before_the_product() -> None:
    """Keras before 2.1.3 had no reset_after."""
    config = {"class_name": "Sequential", "config": [layer("GRU", "gru_1")]}
    path = legacy(config, {"gru_1": stored("gru_1", (3, 6), (2, 6), (6,))})
    spec = only(path)
    assert (spec.kind, spec.reset_after, spec.batch_first) == ("GRU", False, True)


def test_names_of_keras_2_are_found_with_and_without_a_group_for_the_cell() -> None:
    """`lstm/lstm_cell/kernel:0` since TensorFlow 2.2, `lstm_1/kernel:0` before."""
    config = {"class_name": "Sequential", "config": {"layers": [layer("LSTM", "lstm_1", time_major=True)]}}
    for owner in ("lstm_1/lstm_cell_4", "lstm_1"):
        arrays = stored(owner, *LSTM_SHAPES)
        ((spec, weights),) = rnntrace.load(legacy(config, {"lstm_1": arrays})).values()
        assert not spec.batch_first, "time_major"
        np.testing.assert_array_equal(weights[0, "forward"].W_ih.reshape(8, 3), arrays[f"{owner}/kernel:0"].T)


def test_a_functional_model_of_keras_2_is_stacked_by_its_lists() -> None:
    """inbound_nodes are lists of [layer, node, tensor, options]."""
    layers = [
        {"class_name": "InputLayer", "name": "x", "config": {"name": "x"}, "inbound_nodes": []},
        layer("LSTM", "a", [[["x", 0, 0, {}]]], return_sequences=True),
        {"class_name": "Dropout", "name": "d", "config": {"name": "d"}, "inbound_nodes": [[["a", 0, 0, {}]]]},
        layer("LSTM", "b", [[["d", 0, 0, {}]]]),
        layer("LSTM", "c", [[["x", 0, 0, {}]]]),
        layer("LSTM", "decoder", [[["a", 0, 0, {}], ["a", 0, 1, {}], ["a", 0, 2, {}]]]),
    ]
    weights = {
        "a": stored("a/lstm_cell", *LSTM_SHAPES),
        "b": stored("b/lstm_cell_1", (2, 8), *LSTM_SHAPES[1:]),
        "c": stored("c/lstm_cell_2", *LSTM_SHAPES),
        "decoder": stored("decoder/lstm_cell_3", (2, 8), *LSTM_SHAPES[1:]),
    }
    path = legacy({"class_name": "Model", "config": {"name": "m", "layers": layers}}, weights)
    assert {name: spec.num_layers for name, (spec, _) in rnntrace.load(path).items()} == {"a+b": 2, "c": 1, "decoder": 1}


def test_directions_and_models_inside_are_told_apart_in_a_file_of_old_weights() -> None:
    """Two recurrent matrices in one group are two directions only if they are called so."""
    both = {
        **stored("bidirectional_1/forward_lstm_1/lstm_cell_1", *LSTM_SHAPES, seed=1),
        **stored("bidirectional_1/backward_lstm_1/lstm_cell_2", *LSTM_SHAPES, seed=2),
    }
    inner = {**stored("a/lstm_cell", *LSTM_SHAPES), **stored("b/lstm_cell_1", (2, 8), *LSTM_SHAPES[1:])}
    path = legacy(None, {"bidirectional_1": both, "inner": inner, "dense": {"dense/kernel:0": np.ones((2, 2))}}, whole=False)
    found = rnntrace.load(path)
    assert {name: spec.bidirectional for name, (spec, _) in found.items()} == {
        "bidirectional_1": True,
        "inner/a": False,
        "inner/b": False,
    }
    reverse = found["bidirectional_1"][1][0, "reverse"].W_hh.reshape(8, 2)
    np.testing.assert_array_equal(reverse, both["bidirectional_1/backward_lstm_1/lstm_cell_2/recurrent_kernel:0"].T)


@pytest.mark.parametrize(
    ("arrays", "fragments"),
    [
        (stored("l", (3, 8), (2, 8), (9,)), ("layer l", "bias should have shape (8,)", "(9,)")),
        (stored("l", (3, 9), (2, 8), (8,)), ("layer l", "kernel should have shape (3, 8)")),
        (stored("l", (3, 8), (2, 7)), ("layer l", "recurrent_kernel")),
        ({**stored("l", *LSTM_SHAPES), "l/more:0": np.ones(2, "f4")}, ("layer l", "kernel, recurrent_kernel", "4 arrays")),
        ({"l/recurrent_kernel:0": np.ones((2, 8), "f4")}, ("layer l", "1 arrays")),
        (
            {"l/kernel:0": np.ones((3, 8), "i4"), "l/recurrent_kernel:0": np.ones((2, 8), "f4")},
            ("floats of 16, 32 or 64 bits",),
        ),
    ],
)
def test_weights_that_cannot_be_are_refused(
    arrays: dict[str, Array], fragments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Shapes, numbers of arrays and types are checked, with and without a configuration."""
    config = {"class_name": "Sequential", "config": {"layers": [layer("LSTM", "l")]}}
    assert all_in(fragments, refused(capsys, "inspect", legacy(config, {"l": arrays})))
    refused(capsys, "inspect", legacy(None, {"l": arrays}, whole=False))


def test_a_layer_without_weights_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """What the configuration promises has to be there."""
    config = {"class_name": "Sequential", "config": {"layers": [layer("LSTM", "l")]}}
    line = refused(capsys, "inspect", legacy(config, {"other": stored("other", *LSTM_SHAPES)}))
    assert all_in(("layer l", "no weights are stored for it"), line)


def test_what_reads_a_last_output_is_no_layer_of_a_stack() -> None:
    """Torch hands whole sequences from layer to layer."""
    config = {"class_name": "Sequential", "config": {"layers": [layer("LSTM", "a"), layer("LSTM", "b")]}}
    weights = {"a": stored("a/lstm_cell", *LSTM_SHAPES), "b": stored("b/lstm_cell", (2, 8), *LSTM_SHAPES[1:])}
    assert [*rnntrace.load(legacy(config, weights))] == ["a", "b"]
    config["config"]["layers"][0]["config"]["return_sequences"] = True  # type: ignore[index]
    assert [*rnntrace.load(legacy(config, weights))] == ["a+b"]
