"""What an ONNX model says beside its recurrent nodes: initial states that it holds, and nodes where none are read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from commandline import all_in, ask, refused
from onnx import TensorProto, helper, numpy_helper

import rnntrace
from rnntrace.model.dtypes import Array

pytestmark = [pytest.mark.usefixtures("folder"), pytest.mark.slow]

STEPS, BATCH, SIZE, HIDDEN = 4, 2, 3, 2
FLOAT = TensorProto.FLOAT


def weights() -> list[Any]:
    """W, R and B of an LSTM as initializers."""
    generator = np.random.default_rng(0)
    shapes = {"W": (1, 4 * HIDDEN, SIZE), "R": (1, 4 * HIDDEN, HIDDEN), "B": (1, 8 * HIDDEN)}
    return [stored(name, generator.uniform(-0.8, 0.8, shape).astype("f4")) for name, shape in shapes.items()]


def stored(name: str, array: Array) -> Any:
    """An initializer."""
    return numpy_helper.from_array(np.asarray(array), name)


def lstm(*extra: str, name: str = "lstm", y: str = "Y") -> Any:
    """An LSTM node; `extra` are its inputs behind sequence_lens."""
    return helper.make_node("LSTM", ["X", "W", "R", "B", "", *extra], [y], name=name, hidden_size=HIDDEN)


def saved(
    nodes: Sequence[Any], initializers: Sequence[Any], inputs: Sequence[str] = ("X",), functions: Sequence[Any] = ()
) -> Path:
    """A model of these nodes; shapes are left open."""
    values = [helper.make_tensor_value_info(name, FLOAT, None) for name in inputs]
    graph = helper.make_graph(list(nodes), "g", values, [helper.make_tensor_value_info("Y", FLOAT, None)])
    graph.initializer.extend(initializers)
    onnx.save(helper.make_model(graph, functions=list(functions)), "model.onnx")
    return Path("model.onnx")


def computed(op: str, *inputs: str, output: str = "h", **attributes: Any) -> Any:
    """A node that makes the initial state."""
    return helper.make_node(op, list(inputs), [output], **attributes)


SHAPE = stored("shape", np.array([1, BATCH, HIDDEN]))
ROW, ZEROS = stored("row", np.full(HIDDEN, 0.5, "f4")), stored("row", np.zeros(HIDDEN, "f4"))
ONE = helper.make_tensor("value", FLOAT, [1], [1.0])
AXES = stored("axes", np.array([0]))

# The ways in which exporters write an initial state, once with numbers and once with zeros, which change nothing.
STATES: dict[str, tuple[list[Any], list[Any], list[Any]]] = {
    "Expand": ([computed("Expand", "row", "shape")], [ROW, SHAPE], [ZEROS, SHAPE]),
    "Identity": ([computed("Identity", "row")], [ROW], [ZEROS]),
    "Unsqueeze, then Tile": (
        [computed("Unsqueeze", "row", "axes", output="u"), computed("Tile", "u", "shape")],
        [ROW, SHAPE, AXES],
        [ZEROS, SHAPE, AXES],
    ),
    "Concat": ([computed("Concat", "row", "row", axis=0)], [ROW], [ZEROS]),
    "Expand to the size of X": (
        [computed("Shape", "X", output="s"), computed("Expand", "row", "s")],
        [ROW],
        [ZEROS],
    ),
    "Split": ([helper.make_node("Split", ["row"], ["h", "rest"], axis=0)], [ROW], [ZEROS]),
}


WORKED_OUT = {"Expand"}
"""Those with a value of the right rank; the others need the size of X, or are no states."""


@pytest.mark.parametrize("name", STATES)
def test_states_that_the_model_holds_are_not_left_out(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """However they are made of what is stored, both the hidden and the cell state; zeros change nothing."""
    nodes, numbers, zeros = STATES[name]
    for states, said in ((("h",), "h0"), (("", "h"), "c0"), (("h", "h"), "h0")):
        path = saved([*nodes, lstm(*states)], [*weights(), *numbers])
        if name in WORKED_OUT:
            answer = ask(capsys, "compare", path, "--batch", str(BATCH), "--seed", "1", "-q")
            assert (answer.code, f"the model holds {said}" in answer.err) == (0, True)
        else:
            fragments = ("LSTM node lstm", f"initial_{said[0]}", "made of X" if "size of X" in name else "")
            assert all_in(fragments, refused(capsys, "inspect", path))
            assert all_in(fragments, refused(capsys, "compare", path))
        path = saved([*nodes, lstm(*states)], [*weights(), *zeros])
        assert ask(capsys, "compare", path, "--seed", "1", "-q").code == 0


def test_constant_of_shape_is_what_its_value_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Zeros by default, as exporters have it, of whatever shape."""
    shapes = [computed("Shape", "X", output="shape")]
    for before, initializers in (([], [SHAPE]), (shapes, [])):
        path = saved([*before, computed("ConstantOfShape", "shape"), lstm("h", "h")], [*weights(), *initializers])
        assert ask(capsys, "compare", path, "--seed", "1", "-q").code == 0
        path = saved([*before, computed("ConstantOfShape", "shape", value=ONE), lstm("h", "h")], [*weights(), *initializers])
        if before:
            assert all_in(("initial_h", "made of X"), refused(capsys, "compare", path))
        else:
            assert "the model holds h0, c0" in ask(capsys, "compare", path, "--batch", "2", "--seed", "1", "-q").err


@pytest.mark.parametrize(
    "node",
    [
        computed("Add", "row", "row"),
        computed("DequantizeLinear", "row", "row"),
        computed("RandomNormal", shape=[1, BATCH, HIDDEN]),
        computed("Constant", value_floats=[1.0, 2.0]),
    ],
    ids=lambda node: str(node.op_type),
)
def test_what_else_is_computed_is_refused_even_of_zeros(node: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Operators whose values are not known without running them."""
    path = saved([node, lstm("h")], [*weights(), ZEROS])
    assert "initial_h" in refused(capsys, "compare", path)


def test_states_that_come_from_the_inputs_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """An input, a part of one, or what is worked out from one when the model runs: zeros are taken for it, and that is said."""
    signals = (
        "--input",
        json.dumps(np.ones((STEPS, BATCH, SIZE)).tolist()),
        "--expected",
        json.dumps(np.ones((STEPS, BATCH, HIDDEN)).tolist()),
    )
    given = json.dumps(np.full((1, BATCH, HIDDEN), 0.5).tolist())
    for nodes, inputs in (
        ([], ("X", "h")),
        ([computed("Slice", "H", "axes", "axes")], ("X", "H")),
        ([computed("Tanh", "Z")], ("X", "Z")),
    ):
        path = saved([*nodes, lstm("h")], [*weights(), AXES], inputs)
        answer = ask(capsys, "compare", path, *signals, "-q")
        assert (answer.code, "initial state, h0, and zeros are taken for it: see --h0" in answer.err) == (1, True)
        assert "zeros are taken" not in ask(capsys, "compare", path, *signals, "-q", "--h0", given).err
    node = helper.make_node("LSTM", ["X", "W", "R", "B", "n"], ["Y"], hidden_size=HIDDEN)
    path = saved([node], weights(), ("X", "n"))
    assert "all are taken to be as long as the input: see --lengths" in ask(capsys, "compare", path, *signals, "-q").err
    lengths = ",".join([str(STEPS)] * BATCH)
    assert "see --lengths" not in ask(capsys, "compare", path, *signals, "-q", "--lengths", lengths).err


def test_a_state_that_is_made_of_one_tensor_twice_is_followed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """In whichever order its parts are met, and however long the way is."""
    twice = [
        computed("Identity", "row", output="a"),
        computed("Identity", "a", output="b"),
        computed("Concat", "a", "b", axis=0),
    ]
    chain = [
        computed("Identity", "row", output="n0"),
        *(computed("Identity", f"n{k}", output=f"n{k + 1}") for k in range(3000)),
    ]
    for nodes in (twice, [*chain, computed("Identity", "n3000")]):
        assert "initial_h" in refused(capsys, "compare", saved([*nodes, lstm("h")], [*weights(), ROW]))
        assert ask(capsys, "compare", saved([*nodes, lstm("h")], [*weights(), ZEROS]), "--seed", "1", "-q").code == 0


def test_a_graph_that_reads_itself_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """Such a model is none, and nothing hangs on it."""
    loop = [computed("Identity", "b", output="a"), computed("Identity", "a", output="b"), computed("Concat", "a", "b", axis=0)]
    assert ask(capsys, "compare", saved([*loop, lstm("h")], weights()), "--seed", "1", "-q").code in (0, 2)


def test_peepholes_and_lengths_that_are_computed_are_not_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Not taken for none, nor for whole sequences: read where it can be told what comes of it, and else refused."""
    peep, lengths = stored("row", np.ones((1, 3 * HIDDEN), "f4")), stored("n", np.array([1, 2], np.int32))
    path = saved([computed("Identity", "row", output="P"), lstm("", "", "P")], [*weights(), peep])
    ((spec, found),) = rnntrace.load(path).values()
    assert spec.peepholes
    np.testing.assert_array_equal(found[0, "forward"].arrays["p"], np.ones((3, HIDDEN)))
    path = saved([computed("Abs", "row", output="P"), lstm("", "", "P")], [*weights(), peep])
    assert "P is no constant of the model but computed by Abs" in refused(capsys, "compare", path)
    node = lstm()
    node.input[4] = "L"
    path = saved([computed("Abs", "n", output="L"), node], [*weights(), lengths])
    assert all_in(("sequence_lens is stored", "computed by Abs", "--lengths"), refused(capsys, "compare", path))


def test_a_weight_that_is_computed_is_named_with_what_computes_it(capsys: pytest.CaptureFixture[str]) -> None:
    """W and R have to be there; a B that is not a constant is not left out either."""
    for name in "WRB":
        tensors = {tensor.name: tensor for tensor in weights()}
        tensors[name].name = "other"
        path = saved([computed("Neg", "other", output=name), lstm()], list(tensors.values()))
        assert f"{name} is no constant of the model but computed by Neg" in refused(capsys, "compare", path)


def test_a_cell_that_is_spelled_out_in_a_loop_is_called_one(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no weight by a name to be read from it."""
    names = ("h", "x")
    nodes = [
        helper.make_node("MatMul", ["h", "Rt"], ["a"]),
        helper.make_node("Tanh", ["a"], ["n"]),
        helper.make_node("Identity", ["n"], ["y"]),
    ]
    body = helper.make_graph(
        nodes,
        "body",
        [helper.make_tensor_value_info(name, FLOAT, None) for name in names],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in ("n", "y")],
    )
    scan = helper.make_node("Scan", ["h0", "X"], ["last", "Y"], body=body, num_scan_inputs=1)
    line = refused(capsys, "compare", saved([scan], [stored("Rt", np.ones((2, 2), "f4"))], ("X", "h0")))
    assert all_in(("no RNN, LSTM or GRU node", "a cell is spelled out in the body of a Scan"), line)


def test_of_several_nodes_the_one_concerned_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The other is judged by its name."""
    odd = lstm(name="odd", y="Z")
    odd.attribute.append(helper.make_attribute("activations", ["Sigmoid", "Gelu", "Tanh"]))
    path = saved([odd, lstm()], weights())
    assert all_in(("LSTM node odd", "Gelu"), refused(capsys, "compare", path))
    assert ask(capsys, "compare", path, "--module", "lstm", "--seed", "1", "-q").code == 0
    assert ask(capsys, "compare", path, "--ignore", "odd", "--seed", "1", "-q").code == 0
