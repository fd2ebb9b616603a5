"""Recurrent nodes inside branches, loops, scans and local functions of an ONNX model."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from commandline import all_in, ask, refused
from onnx import TensorProto, helper, numpy_helper
from test_onnx import HIDDEN, Node, drawn, exported, looped, saved, signals, verdict, x_of

import rnntrace

pytestmark = [pytest.mark.usefixtures("folder"), pytest.mark.slow]


def value(name: str) -> Any:
    """An input or output of a graph, of an open shape."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def graph(nodes: Sequence[Any], output: str, initializers: Sequence[Any] = (), inputs: Sequence[str] = ()) -> Any:
    """A branch or a body."""
    return helper.make_graph(list(nodes), "inside", [value(name) for name in inputs], [value(output)], list(initializers))


def branching(*, own: bool, name: str = "choice") -> tuple[Path, dict[str, Node]]:
    """An LSTM in each branch of an If, with weights of the branch's own or both with those of the outer graph."""
    lstms = {"then": drawn("LSTM", seed=1), "else": drawn("LSTM", seed=2 if own else 1)}
    graphs = {
        f"{branch}_branch": graph([lstm.proto(outputs=(f"Y_{branch}",))], f"Y_{branch}", lstm.initializers() if own else ())
        for branch, lstm in lstms.items()
    }
    choice = helper.make_node("If", ["c"], ["Y"], name=name, **graphs)
    return saved([choice], () if own else lstms["then"].initializers(), ["X", "c"]), lstms


@pytest.mark.parametrize("own", [True, False])
def test_each_branch_is_judged_by_its_name(own: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """With its own weights or the outer graph's; the outputs of one do not pass for the other's."""
    path, lstms = branching(own=own)
    answer = ask(capsys, "inspect", path)
    assert all_in(("choice.then.node", "choice.else.node", "2 recurrent modules · 0 other tensors"), answer.out)
    for branch, lstm in lstms.items():
        right = looped(lstm, x_of())
        chosen = ["--module", f"choice.{branch}.node"]
        assert verdict(capsys, path, *signals(x_of(), right), *chosen)["passed"]
        right["Y"][2, 0, 1, 1] += 0.01
        assert not verdict(capsys, path, *signals(x_of(), right), *chosen)["passed"]
        other = ["--module", f"choice.{'else' if branch == 'then' else 'then'}.node"]
        assert verdict(capsys, path, *signals(x_of(), looped(lstm, x_of())), *other)["passed"] is not own
    assert "choose with --module" in refused(capsys, "compare", path, *signals(x_of(), right))


def test_a_name_means_what_is_nearest() -> None:
    """A branch's own W counts, and not the outer graph's of the same name; what it makes of that is worked out too."""
    outer, inner = drawn("LSTM", seed=1), drawn("LSTM", seed=2)
    (own,) = [tensor for tensor in inner.initializers() if tensor.name == "W"]
    own.name = "W0"
    branch = graph([helper.make_node("Identity", ["W0"], ["W"]), inner.proto(outputs=("Z",))], "Z", [own])
    choice = helper.make_node("If", ["c"], ["Z1"], then_branch=branch, else_branch=graph([], "X"))
    found = rnntrace.load(saved([outer.proto(), choice], outer.initializers(), ["X", "c"]))
    assert [*found] == ["node", "If.then.node"]
    for name, W in (("node", outer.tensors["W"]), ("If.then.node", inner.tensors["W"])):
        i, o, f, g = np.split(W[0], 4)
        np.testing.assert_array_equal(found[name][1][0, "forward"].W_ih, np.stack([i, f, g, o]))


def test_what_an_inner_graph_is_given_hides_what_is_stored_outside(capsys: pytest.CaptureFixture[str]) -> None:
    """An input W of a loop's body is no constant, whatever else has that name."""
    lstm = drawn("LSTM")
    body = graph([lstm.proto(outputs=("Z",))], "Z", inputs=("W",))
    loop = helper.make_node("Loop", ["n", "", "W"], ["Y"], name="loop", body=body)
    path = saved([loop], lstm.initializers(), ["X", "n"])
    assert all_in(("LSTM node loop.body.node", "W is no constant of the model"), refused(capsys, "compare", path))


@pytest.mark.parametrize("operator", ["Loop", "Scan"])
def test_a_body_is_judged_like_any_other(operator: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A state that the loop hands on is given as --h0; where it is not, that is said."""
    gru = drawn("GRU", linear_before_reset=1)
    gru.inputs = ("X", "W", "R", "B", "", "h")
    body = graph([gru.proto(outputs=("Z", "h_next"))], "h_next", inputs=("h",))
    inputs = ["n", "", "h0"] if operator == "Loop" else ["h0"]
    attributes = {} if operator == "Loop" else {"num_scan_inputs": 0}
    outer = helper.make_node(operator, inputs, ["Y"], name="around", body=body, **attributes)
    path = saved([outer], gru.initializers(), ["X", "n", "h0"])
    h = np.random.default_rng(5).standard_normal((1, 3, HIDDEN)).astype(np.float32)
    np.save("h.npy", h)
    judged = signals(x_of(), looped(gru, x_of(), h))
    assert [*rnntrace.load(path)] == ["around.body.node"]
    assert verdict(capsys, path, *judged, "--h0", "h.npy")["passed"]
    answer = ask(capsys, "compare", path, *judged, "-q")
    assert (answer.code, "the model gives this layer an initial state, h0" in answer.err) == (1, True)


def test_layers_inside_a_branch_are_one_module() -> None:
    """As outside; and a layer above in the outer graph is not joined to one that may never run."""
    low, high = drawn("LSTM"), drawn("LSTM", size=HIDDEN, seed=1)
    low.name, high.name = "low", "high"
    squeeze = helper.make_node("Squeeze", ["Y0", "axes"], ["X1"])
    axes = numpy_helper.from_array(np.array([1]), "axes")
    nodes = [low.proto("a_", outputs=("Y0",)), squeeze, high.proto("b_", x="X1", outputs=("Z",))]
    weights = [*low.initializers("a_"), *high.initializers("b_"), axes]
    choice = helper.make_node("If", ["c"], ["Y"], then_branch=graph(nodes, "Z"), else_branch=graph([], "X"))
    (found,) = rnntrace.load(saved([choice], weights, ["X", "c"])).items()
    assert (found[0], found[1][0].num_layers) == ("If.then.low+If.then.high", 2)
    inside = helper.make_node("If", ["c"], ["X1"], then_branch=graph(nodes[:1], "Y0"), else_branch=graph([], "X"))
    assert [*rnntrace.load(saved([inside, nodes[-1]], weights, ["X", "c"]))] == ["high", "If.then.low"]


def function(lstm: Node, **attributes: Any) -> Any:
    """A local function around an LSTM, which is handed its weights by names of its own; some attributes are those of a call."""
    inside = helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], name="lstm", **lstm.attributes)
    for name, kind in attributes.items():
        inside.attribute.append(onnx.AttributeProto(name=name, type=kind, ref_attr_name=name))
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_function("local", "Layer", ["x", "w", "r", "b"], ["y"], [inside], opsets, [*attributes])


def test_a_function_is_judged_in_each_of_its_calls(capsys: pytest.CaptureFixture[str]) -> None:
    """With what the call hands in, attributes too, which may be made of constants; by the name of the call."""
    layers = [drawn("LSTM", seed=1), drawn("LSTM", seed=2, direction="reverse")]
    kinds = {"hidden_size": onnx.AttributeProto.INT, "direction": onnx.AttributeProto.STRING}
    moved = helper.make_node("Identity", ["0_W"], ["0_V"])
    calls = [
        helper.make_node("Layer", ["X", "0_V", "0_R", "0_B"], ["Y0"], domain="local", hidden_size=HIDDEN),
        helper.make_node("Layer", ["X", "1_W", "1_R", "1_B"], ["Y"], domain="local", hidden_size=HIDDEN, direction="reverse"),
    ]
    path = saved([moved, *calls], [tensor for n, layer in enumerate(layers) for tensor in layer.initializers(f"{n}_")])
    with_functions(path, function(Node("LSTM", {}, {}), **kinds))
    assert [*rnntrace.load(path)] == ["Layer.lstm", "Layer_1.lstm"]
    for name, layer in zip(("Layer.lstm", "Layer_1.lstm"), layers, strict=True):
        right = looped(layer, x_of())
        assert verdict(capsys, path, *signals(x_of(), right), "--module", name)["passed"]
        right["Y_h"][0, 0, 0] += 0.01
        assert not verdict(capsys, path, *signals(x_of(), right), "--module", name)["passed"]


def with_functions(path: Path, *functions: Any) -> Path:
    """The model with local functions."""
    model = onnx.load(path)
    model.functions.extend(functions)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("filled", [0.0, 1.0])
def test_a_function_may_be_told_the_values_of_its_constants(filled: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Initial states of zeros or ones by an attribute of the call."""
    lstm = drawn("LSTM")
    fill = helper.make_node("ConstantOfShape", ["s"], ["h"])
    fill.attribute.append(onnx.AttributeProto(name="value", type=onnx.AttributeProto.TENSOR, ref_attr_name="start"))
    inside = helper.make_node("LSTM", ["x", "w", "r", "b", "", "h"], ["y"], name="lstm", hidden_size=HIDDEN)
    inner = helper.make_function("local", "F", ["x", "w", "r", "b", "s"], ["y"], [fill, inside], [], ["start"])
    start = helper.make_tensor("v", TensorProto.FLOAT, [1], [filled])
    call = helper.make_node("F", ["X", "W", "R", "B", "shape"], ["Y"], domain="local", start=start)
    shape = numpy_helper.from_array(np.array([1, 3, HIDDEN]), "shape")
    path = with_functions(saved([call], [*lstm.initializers(), shape]), inner)
    for value in (0.0, 1.0):
        right = looped(lstm, x_of(), np.full((1, 3, HIDDEN), value))
        assert verdict(capsys, path, *signals(x_of(), right))["passed"] is (value == filled)


def test_attributes_of_a_function_are_none_outside(capsys: pytest.CaptureFixture[str]) -> None:
    """And ONNX' own operators are not what a file says they are."""
    lstm = drawn("LSTM")
    node = lstm.proto()
    node.attribute.append(onnx.AttributeProto(name="direction", type=onnx.AttributeProto.STRING, ref_attr_name="way"))
    assert "that of a function, and there is none" in refused(capsys, "compare", saved([node], lstm.initializers()))
    own = helper.make_function("", "LSTM", ["x", "w", "r", "b"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], [])
    path = with_functions(saved([lstm.proto()], lstm.initializers()), own)
    assert "a function of its own by the name of LSTM" in refused(capsys, "compare", path)


def test_a_function_knows_no_names_but_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A W of the graph around it is none of its own."""
    lstm = drawn("LSTM")
    inner = helper.make_function(
        "local", "F", ["x"], ["y"], [helper.make_node("LSTM", ["x", "W", "R", "B"], ["y"], hidden_size=HIDDEN)], []
    )
    path = saved([helper.make_node("F", ["X"], ["Y"], domain="local", name="call")], lstm.initializers())
    with_functions(path, inner)
    assert all_in(("LSTM node call.LSTM", "W is no constant of the model"), refused(capsys, "compare", path))


def test_nodes_without_names_are_told_apart() -> None:
    """By a number behind what stands in the same graph."""
    lstm = drawn("LSTM")
    lstm.name = ""
    choices = [
        helper.make_node(
            "If", ["c"], [f"Y{n}"], then_branch=graph([lstm.proto(outputs=(f"Z{n}",))], f"Z{n}"), else_branch=graph([], "X")
        )
        for n in range(2)
    ]
    found = [*rnntrace.load(saved(choices, lstm.initializers(), ["X", "c"]))]
    assert found == ["If.then.LSTM", "If_1.then.LSTM"]


class Choosing(torch.nn.Module):
    """A module whose input says which of two layers runs."""

    def __init__(self) -> None:
        super().__init__()
        self.long, self.short = torch.nn.GRU(2, 3), torch.nn.GRU(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One of the layers."""
        if x.sum() > 0:
            y, _ = self.long(x)
        else:
            y, _ = self.short(x)
        return y


def test_branches_that_torch_exports(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a scripted module; torch's own outputs pass for the layer that made them alone."""
    torch.manual_seed(0)
    model, x = Choosing().eval(), torch.randn(4, 3, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(model)
    path = exported(scripted, x, newer=False)
    names = [*rnntrace.load(path)]
    assert sorted(name.split(".")[1] for name in names) == ["else", "then"]
    for name in names:
        layer = model.long if ".then." in name else model.short
        with torch.no_grad():
            output, h_n = layer(x)
        right = {"output": output.numpy(), "h_n": h_n.numpy()}
        assert verdict(capsys, path, *signals(x.numpy(), right), "--module", name)["passed"]
        right["h_n"] = right["h_n"] + np.float32(0.01)
        assert not verdict(capsys, path, *signals(x.numpy(), right), "--module", name)["passed"]
