"""Where a GRU's reset gate acts, of weights that do not tell: ONNX Runtime and Keras themselves give the right outputs."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from commandline import ask, refused
from onnx import TensorProto, helper

import rnntrace
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import Array

H, I, B, T = 4, 3, 2, 5
WORDS = ["before", "after"]


def gru_of_onnx(linear_before_reset: int) -> tuple[dict[str, Array], Array, Array]:
    """Its weights as plain arrays, its input, and what ONNX Runtime gives."""
    random = np.random.default_rng(3)
    shapes = {"W": (1, 3 * H, I), "R": (1, 3 * H, H), "B": (1, 6 * H)}
    weights = {name: random.normal(size=shape).astype("f") for name, shape in shapes.items()}
    x = random.normal(size=(T, B, I)).astype("f")
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in {"X": x.shape, **shapes}.items()]
    node = helper.make_node("GRU", ["X", "W", "R", "B"], ["Y"], hidden_size=H, linear_before_reset=linear_before_reset)
    graph = helper.make_graph([node], "gru", inputs, [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    (Y,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": x, **weights})
    return weights, x, Y[:, 0]


@pytest.mark.parametrize("after", [0, 1])
def test_onnx_arrays_are_read_either_way(after: int) -> None:
    """The right word passes, the other fails; without one the default is taken, aloud."""
    weights, x, output = gru_of_onnx(after)
    given: dict[str, Any] = {"layout": "onnx", "input": x, "expected": output}
    for word in WORDS:
        result = rnntrace.compare(weights, **given, reset=word)
        assert isinstance(result, rnntrace.Result)
        assert result.passed is (word == WORDS[after])
        assert not any("see `reset`" in warning for warning in result.warnings)
        assert "reset_after" not in result.assumed
    taken = rnntrace.compare(weights, **given)
    assert isinstance(taken, rnntrace.Result)
    assert taken.passed is (after == 0)
    assert "reset_after" in taken.assumed
    assert any("the default of ONNX" in warning for warning in taken.warnings)


def test_the_other_verbs_take_it_as_well() -> None:
    """explain and diagnose work with the cell that was meant; what is right has nothing to explain."""
    weights, x, output = gru_of_onnx(1)
    given: dict[str, Any] = {"layout": "onnx", "input": x, "expected": output}
    assert "gru.equation.reset-after" in str(rnntrace.diagnose(weights, **given))
    assert "gru.equation" not in str(rnntrace.diagnose(weights, **given, reset="after"))
    assert "reset after the matrix product" in str(rnntrace.explain(weights, layout="onnx", reset="after"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("after", [False, True])
def test_a_keras_layer_without_biases_is_read_either_way(after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights, as get_weights gives them, are the same for both."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    layer = keras.layers.GRU(H, use_bias=False, reset_after=after, return_sequences=True)
    x = np.random.default_rng(1).normal(size=(B, T, I)).astype("f")
    layer.build(x.shape)
    random = np.random.default_rng(2)
    weights = [random.normal(size=array.shape).astype("f") for array in layer.get_weights()]
    layer.set_weights(weights)
    output = np.asarray(layer(x).detach())
    for word in WORDS:
        result = rnntrace.compare(weights, layout="keras", input=x, expected=output, batch_first=True, reset=word)
        assert isinstance(result, rnntrace.Result)
        assert result.passed is (word == WORDS[after])


def test_what_a_file_tells_is_not_overridden(folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A Keras GRU with its two biases resets after the product; an LSTM has no reset gate; and there are two words."""
    random = np.random.default_rng(4)
    arrays = {"kernel": random.normal(size=(I, 3 * H)), "recurrent_kernel": random.normal(size=(H, 3 * H))}
    with pytest.raises(UsageError, match=r"`reset=before` contradicts .*, which says after"):
        rnntrace.compare({**arrays, "bias": random.normal(size=(2, 3 * H))}, layout="keras", reset="before")
    lstm = {"kernel": random.normal(size=(I, 4 * H)), "recurrent_kernel": random.normal(size=(H, 4 * H))}
    with pytest.raises(UsageError, match="`reset` belongs to GRU"):
        rnntrace.compare(lstm, layout="keras", reset="after")
    with pytest.raises(UsageError, match="one of before, after, and not both"):
        rnntrace.compare(arrays, layout="keras", reset="both")
    np.savez("lstm.npz", **{name: array.astype("f") for name, array in lstm.items()})
    assert "--reset belongs to GRU" in refused(capsys, "compare", "lstm.npz", "--layout", "keras", "--reset", "after")
    np.savez("gru.npz", **{name: array.astype("f") for name, array in arrays.items()})
    told = ask(capsys, "inspect", "gru.npz", "--layout", "keras").out
    assert "a reset before the matrix product from one after it" in told
