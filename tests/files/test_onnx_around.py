"""What stands around a recurrent node of ONNX is named, past operators that only arrange."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

import rnntrace
from rnntrace.cli.app import exit_code


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    """Tokens → embedding → two layers of GRU → matrix product → softmax, with transposes and a Squeeze in between."""
    draw = np.random.default_rng(0).normal

    def stored(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(draw(size=shape).astype(np.float32), name)

    def node(operator: str, inputs: str, output: str, **attributes: object) -> object:
        return helper.make_node(operator, inputs.split(), [output], name=f"my_{output}", **attributes)

    nodes = [
        node("Gather", "table tokens", "looked"),
        node("Transpose", "looked", "x", perm=[1, 0, 2]),
        node("GRU", "x W R", "y", hidden_size=4),
        node("Squeeze", "y axes", "flat"),
        node("GRU", "flat W2 R2", "y2", hidden_size=4),
        node("Squeeze", "y2 axes", "flat2"),
        node("MatMul", "flat2 head", "scores"),
        node("Softmax", "scores", "probabilities"),
    ]
    tensors = [stored("table", 9, 3), stored("W", 1, 12, 3), stored("R", 1, 12, 4), stored("head", 4, 5)]
    tensors += [stored("W2", 1, 12, 4), stored("R2", 1, 12, 4), numpy_helper.from_array(np.array([1]), "axes")]
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["b", "t"])
    out = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["t", "b", 5])
    save(helper.make_model(helper.make_graph(nodes, "g", [tokens], [out], tensors)), str(tmp_path / "tagger.onnx"))
    return tmp_path / "tagger.onnx"


def test_the_operators_around_a_stack_are_named(tagger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In front of the first layer and behind the last one; a stack is replayed as before."""
    (module,) = rnntrace.inspect(tagger).modules.values()
    assert module.spec.num_layers == 2
    assert module.before is not None
    assert (module.before.unknown, module.behind.unknown) == ("Gather my_looked", "MatMul my_scores")
    assert exit_code(["inspect", str(tagger)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "my_y+my_y2 reads Gather my_looked, which is not replayed" in out
    assert "my_y+my_y2 is followed by MatMul my_scores, which is not replayed" in out


def test_nothing_around(tagger: Path) -> None:
    """An input of the graph, arranged, is read as it is; another layer is no neighbour."""
    import onnx

    model = onnx.load(str(tagger))
    del model.graph.node[6:], model.graph.node[0]
    model.graph.node[0].input[0] = "tokens"
    onnx.save(model, str(tagger))
    (module,) = rnntrace.inspect(tagger).modules.values()
    assert (module.before, module.behind.unknown) == (None, "")
