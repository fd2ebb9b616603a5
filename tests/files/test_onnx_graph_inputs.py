"""ONNX models whose weights are inputs of the graph, as in ONNX's own tests of its operators: their values are given beside."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from commandline import all_in, ask, refused
from onnx import TensorProto, helper, numpy_helper

import rnntrace
from rnntrace.errors import FileError
from rnntrace.model.dtypes import Array

pytestmark = pytest.mark.usefixtures("folder")

STEPS, BATCH, SIZE, HIDDEN = 5, 2, 3, 4
SHAPES = {"W": (1, 4 * HIDDEN, SIZE), "R": (1, 4 * HIDDEN, HIDDEN), "B": (1, 8 * HIDDEN), "P": (1, 3 * HIDDEN)}
H0 = (1, BATCH, HIDDEN)


def written(*held: str) -> tuple[dict[str, Array], Array, Array]:
    """model.onnx, of which these inputs are initializers: values of all, x, and what ONNX Runtime gives."""
    random = np.random.default_rng(1)
    shapes = {**SHAPES, "start": H0}
    values = {name: random.normal(size=shape).astype("f") for name, shape in shapes.items()}
    x = random.normal(size=(STEPS, BATCH, SIZE)).astype("f")
    node = helper.make_node("LSTM", ["X", "W", "R", "B", "", "start", "", "P"], ["Y"], hidden_size=HIDDEN)
    free = {"X": x.shape, **{name: shape for name, shape in shapes.items() if name not in held}}
    graph = helper.make_graph(
        [node],
        "lstm",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in free.items()],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values[name], name) for name in held],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.save(model, "model.onnx")
    given = {name: array for name, array in values.items() if name not in held}
    (Y,) = onnxruntime.InferenceSession("model.onnx").run(None, {"X": x, **given})
    return given, x, Y


@pytest.mark.parametrize("held", [(), ("B", "P")])
def test_weights_are_given_beside_the_model(held: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Peepholes and an initial state among them; with another weight it fails."""
    given, x, Y = written(*held)
    np.savez("w.npz", **given)
    np.savez("x.npz", x=x)
    np.savez("y.npz", Y=Y)
    for command in ("compare", "diagnose"):
        line = [command, "model.onnx", "--weights", "w.npz", "--input", "x.npz", "--expected", "y.npz"]
        assert ask(capsys, *line).code == 0
    given["R"][0, 3, 2] += 0.01
    result = rnntrace.compare("model.onnx", graph_inputs=given, input=x, expected={"Y": Y})
    assert isinstance(result, rnntrace.Result)
    assert not result.passed
    assert [*rnntrace.load("model.onnx", graph_inputs=given)] == ["LSTM"]
    spelt = rnntrace.compare("model.onnx", graph_inputs={**given, "p": given["W"]}, input=x, expected={"Y": Y})
    assert isinstance(spelt, rnntrace.Result)
    assert any("not read, as the graph has no such input: p" in warning for warning in spelt.warnings)


def test_what_is_not_given_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """And what is of other names, or belongs to another file, is refused."""
    given, _, _ = written()
    assert "W is no constant of the model, but an input of it: give its values to compare by --weights" in refused(
        capsys, "compare", "model.onnx"
    )
    np.savez("w.npz", **given)
    np.savez("others.npz", w=given["W"])
    line = refused(capsys, "compare", "model.onnx", "--weights", "others.npz")
    assert all_in(("--weights holds w", "the inputs without a value are X, W, R, B, P, start"), line)
    assert "--weights belongs to a model of ONNX" in refused(capsys, "compare", "w.npz", "--weights", "w.npz")
    sources: list[Any] = [given, "[[1.0]]"]
    for source in sources:
        with pytest.raises(FileError, match="`graph_inputs` belongs to a model of ONNX"):
            rnntrace.load(source, graph_inputs=given)
    assert Path("model.onnx").stat().st_size < 1000
