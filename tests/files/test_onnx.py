"""ONNX models: those that torch exports against torch itself, and those built by hand against a loop written here."""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from commandline import EVIL, all_in, ask, refused
from onnx import TensorProto, helper, numpy_helper

import rnntrace
from rnntrace.model.dtypes import Array

pytestmark = pytest.mark.usefixtures("folder")

STEPS, BATCH, SIZE, HIDDEN = 4, 3, 2, 3
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def verdict(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """The JSON of a comparison, whatever its verdict."""
    answer = ask(capsys, "compare", *arguments, "--format", "json")
    assert answer.code in (0, 1), answer
    found: dict[str, Any] = json.loads(answer.out)
    assert (answer.code == 0) == found["passed"]
    return found


def inspected(capsys: pytest.CaptureFixture[str], path: str | Path) -> list[dict[str, Any]]:
    """What inspect says of the modules in a file."""
    answer = ask(capsys, "inspect", path, "--format", "json")
    assert (answer.code, answer.err) == (0, ""), answer
    modules: list[dict[str, Any]] = json.loads(answer.out)["modules"]
    return modules


# --- what torch exports -----------------------------------------------------------------------------------------------

EXPORTED: list[tuple[str, bool, dict[str, Any]]] = [
    ("RNN", False, {}),
    ("RNN", False, {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("RNN", False, {"num_layers": 3, "bias": False, "dtype": "float64"}),
    ("LSTM", False, {"num_layers": 3, "bidirectional": True}),
    ("LSTM", False, {"bias": False, "batch_first": True, "dtype": "float64"}),
    ("LSTM", False, {"num_layers": 2, "dropout": 0.5, "dtype": "float16"}),
    ("GRU", False, {"num_layers": 2, "batch_first": True}),
    ("GRU", False, {"num_layers": 3, "bidirectional": True, "bias": False, "dtype": "float64"}),
    ("GRU", False, {"bidirectional": True, "dtype": "float16"}),
    ("LSTM", True, {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", True, {"bias": False, "dtype": "float64"}),
    ("GRU", True, {"num_layers": 2, "bidirectional": True, "dtype": "float16"}),
]
"""Kind, whether torch's newer exporter, which is slow, writes it, and options."""


def exported(module: torch.nn.Module, x: torch.Tensor, *, newer: bool) -> Path:
    """The module as torch writes it."""
    path = Path("model.onnx")
    options: dict[str, Any] = {"external_data": False, "verbose": False} if newer else {}
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(module, (x,), path, dynamo=newer, **options)
    finally:
        logging.disable(logging.NOTSET)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "newer", "options"), EXPORTED)
def test_what_torch_exports_gives_what_torch_computes(
    kind: str, newer: bool, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """One module again, whatever the number of nodes, with torch's sizes; torch's own output and states pass."""
    torch.manual_seed(0)
    dtype = options.get("dtype", "float32")
    module = getattr(torch.nn, kind)(SIZE, HIDDEN, **options | {"dtype": getattr(torch, dtype)}).eval()
    shape = (BATCH, STEPS, SIZE) if options.get("batch_first") else (STEPS, BATCH, SIZE)
    x = torch.randn(*shape, dtype=getattr(torch, dtype))
    path = exported(module, x, newer=newer)
    (found,) = inspected(capsys, path)
    told = {"kind": kind, "input_size": SIZE, "hidden_size": HIDDEN, "bias": True, "num_layers": 1, "bidirectional": False}
    told |= {"nonlinearity": "tanh" if kind == "RNN" else None, "dtype": dtype} | options
    # The model transposes what it is given, so that the nodes have time first; dropout is left out of it.
    told |= {"batch_first": False, "dropout": 0.0}
    assert {name: found["spec"][name] for name in told} == told
    assert found["layout"] == "ONNX"
    assert found["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    with torch.no_grad():
        output, states = module(x)
    arrays = {"output": output, "h_n": states[0] if kind == "LSTM" else states}
    if kind == "LSTM":
        arrays["c_n"] = states[1]
    # NumPy's format holds all of these.
    np.save("x.npy", x.numpy())
    np.savez("expected.npz", **{name: array.numpy() for name, array in arrays.items()})
    judged = ["--input", "x.npy", "--expected", "expected.npz", *(["--batch-first"] if options.get("batch_first") else [])]
    answer = verdict(capsys, path, *judged)
    assert answer["passed"], answer["first_failure"]
    assert {name for name, array in answer["expected"].items() if array is not None} == set(arrays)
    # The weights are torch's, to the last bit.
    ((_, weights),) = rnntrace.load(path).values()
    last = options.get("num_layers", 1) - 1
    theirs = getattr(module, f"weight_hh_l{last}").detach().numpy()
    np.testing.assert_array_equal(weights[last, "forward"].W_hh.reshape(-1, HIDDEN), theirs)
    wrong = arrays["h_n"].numpy().copy()
    wrong[-1, -1, -1] += 0.1
    np.savez("expected.npz", **{name: array.numpy() for name, array in arrays.items()} | {"h_n": wrong})
    assert not verdict(capsys, path, *judged)["passed"]


@pytest.mark.slow
def test_cells_and_the_newer_exporters_rnn_have_no_node(capsys: pytest.CaptureFixture[str]) -> None:
    """Both come out as single operators, which are no recurrent module any more; the line says what to do."""
    fragments = ("no RNN, LSTM or GRU node", "state_dict")
    path = exported(torch.nn.RNN(SIZE, HIDDEN), torch.zeros(STEPS, BATCH, SIZE), newer=True)
    assert all_in(fragments, refused(capsys, "inspect", path))
    path = exported(torch.nn.LSTMCell(SIZE, HIDDEN), torch.zeros(BATCH, SIZE), newer=False)
    assert all_in(fragments, refused(capsys, "compare", path))


def test_two_modules_of_one_model_stay_two(capsys: pytest.CaptureFixture[str]) -> None:
    """A Linear between them keeps them apart, and each is judged by itself."""

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.GRU(SIZE, HIDDEN, num_layers=2)
            self.middle = torch.nn.Linear(HIDDEN, SIZE)
            self.decoder = torch.nn.GRU(SIZE, HIDDEN)

        def forward(self, x: torch.Tensor) -> Any:
            return self.decoder(self.middle(self.encoder(x)[0]))[0]

    path = exported(Model().eval(), torch.randn(STEPS, BATCH, SIZE), newer=False)
    found = inspected(capsys, path)
    assert [module["spec"]["num_layers"] for module in found] == [2, 1]
    assert ask(capsys, "compare", path, "--module", found[1]["prefix"], "--seed", "1", "-q").code == 0
    assert all_in(
        ("choose with --module",), refused(capsys, "compare", path, "--expected", "[[[1.0]]]", "--input", "[[[1, 2]]]")
    )


# --- nodes built by hand ----------------------------------------------------------------------------------------------


@dataclass
class Node:
    """An operator with its weights (D, G·H, ·), which names its inputs by the names of ONNX."""

    op_type: str
    tensors: dict[str, Array]
    attributes: dict[str, Any]
    inputs: tuple[str, ...] = ("X", "W", "R", "B")
    name: str = "node"

    def proto(self, prefix: str = "", x: str = "X", outputs: Sequence[str] = ("Y", "Y_h")) -> Any:
        """The node, whose own tensors have a prefix."""
        inputs = [x, *(prefix + name if name in self.tensors else name for name in self.inputs[1:])]
        return helper.make_node(self.op_type, inputs, list(outputs), name=self.name, hidden_size=HIDDEN, **self.attributes)

    def initializers(self, prefix: str = "") -> list[Any]:
        """Its tensors as constants of a graph."""
        return [numpy_helper.from_array(array, prefix + name) for name, array in self.tensors.items()]


def drawn(op_type: str, directions: int = 1, size: int = SIZE, seed: int = 0, **attributes: Any) -> Node:
    """A node with random weights and biases in float32."""
    generator = np.random.default_rng(seed)
    rows = GATES[op_type] * HIDDEN
    shapes = {"W": (directions, rows, size), "R": (directions, rows, HIDDEN), "B": (directions, 2 * rows)}
    tensors = {name: generator.uniform(-0.8, 0.8, shape).astype(np.float32) for name, shape in shapes.items()}
    return Node(op_type, tensors, attributes)


def saved(nodes: Sequence[Any], initializers: Sequence[Any] = (), inputs: Sequence[str] = ("X",)) -> Path:
    """A model of these nodes; shapes are left open."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs]
    graph = helper.make_graph(list(nodes), "g", values, [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)])
    graph.initializer.extend(initializers)
    onnx.save(helper.make_model(graph), "model.onnx")
    return Path("model.onnx")


def one(node: Node) -> Path:
    """A model of one node."""
    return saved([node.proto()], node.initializers())


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def looped(
    node: Node, X: Array, h: Array | None = None, c: Array | None = None, *, lengths: Sequence[int] = ()
) -> dict[str, Array]:
    """Y (T, D, B, H), Y_h and Y_c (D, B, H) after the equations on ONNX's page on the operator, in float64, item by item."""
    steps, batch, _ = X.shape
    gates, directions = GATES[node.op_type], len(node.tensors["W"])
    Y, Y_h, Y_c = (np.zeros(shape) for shape in ((steps, directions, batch, HIDDEN), *[(directions, batch, HIDDEN)] * 2))
    for d in range(directions):
        W, R = (node.tensors[name][d].astype(np.float64) for name in "WR")
        Wb, Rb = np.split(node.tensors.get("B", np.zeros((directions, 2 * len(W))))[d].astype(np.float64), 2)
        for b in range(batch):
            state = np.zeros(HIDDEN) if h is None else h[d, b].astype(np.float64)
            cell = np.zeros(HIDDEN) if c is None else c[d, b].astype(np.float64)
            times = list(range(lengths[b] if lengths else steps))
            for t in times[::-1] if d == 1 or node.attributes.get("direction") == "reverse" else times:
                from_x, from_h = (np.split(a, gates) for a in (W @ X[t, b] + Wb, R @ state + Rb))
                if node.op_type == "RNN":
                    a = from_x[0] + from_h[0]
                    state = np.maximum(a, 0) if "Relu" in node.attributes.get("activations", ()) else np.tanh(a)
                elif node.op_type == "LSTM":
                    i, o, f = (sigmoid(from_x[k] + from_h[k]) for k in range(3))
                    cell = f * cell + i * np.tanh(from_x[3] + from_h[3])
                    state = o * np.tanh(cell)
                else:
                    z, r = (sigmoid(from_x[k] + from_h[k]) for k in range(2))
                    if node.attributes.get("linear_before_reset"):
                        n = np.tanh(from_x[2] + r * from_h[2])
                    else:
                        n = np.tanh(from_x[2] + np.split(R, 3)[2] @ (r * state) + np.split(Rb, 3)[2])
                    state = (1 - z) * n + z * state
                Y[t, d, b] = state
            Y_h[d, b], Y_c[d, b] = state, cell
    return {"Y": Y, "Y_h": Y_h, **({"Y_c": Y_c} if node.op_type == "LSTM" else {})}


def x_of(size: int = SIZE, seed: int = 7) -> Array:
    """An input (T, B, I)."""
    return np.random.default_rng(seed).standard_normal((STEPS, BATCH, size)).astype(np.float32)


def signals(X: Array, expected: dict[str, Array]) -> list[str]:
    """The arguments that have a file judged."""
    np.save("x.npy", X)
    np.savez("expected.npz", **expected)
    return ["--input", "x.npy", "--expected", "expected.npz"]


def built() -> Iterator[Node]:
    """Every operator, direction and way to reset, with and without biases."""
    for op_type, options in (
        ("RNN", {}),
        ("RNN", {"activations": ["Relu"]}),
        ("LSTM", {}),
        ("GRU", {"linear_before_reset": 1}),
        ("GRU", {"linear_before_reset": 0}),
        ("GRU", {}),
    ):
        yield drawn(op_type, **options)
        yield drawn(op_type, direction="reverse", **options)
        twice = {name: value * 2 if name == "activations" else value for name, value in options.items()}
        yield drawn(op_type, 2, direction="bidirectional", **twice)
        bare = drawn(op_type, **options)
        del bare.tensors["B"]
        yield Node(op_type, bare.tensors, options, ("X", "W", "R"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "node", [*built()], ids=lambda node: f"{node.op_type} {node.attributes}{'' if 'B' in node.tensors else ' bare'}"
)
def test_a_node_gives_what_its_equations_give(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    """Outputs in ONNX's own shapes are judged by a loop that knows nothing of ours; each of them."""
    X, expected = x_of(), looped(node, x_of())
    path = one(node)
    assert verdict(capsys, path, *signals(X, expected))["passed"]
    for name, array in expected.items():
        wrong = array.copy()
        wrong[-1, -1, -1] += 0.01
        assert not verdict(capsys, path, *signals(X, expected | {name: wrong}))["passed"], name


def test_where_a_gru_resets_makes_a_difference(capsys: pytest.CaptureFixture[str]) -> None:
    """The numbers of one do not pass for the other."""
    for way in (0, 1):
        expected = looped(drawn("GRU", linear_before_reset=1 - way), x_of())
        assert not verdict(capsys, one(drawn("GRU", linear_before_reset=way)), *signals(x_of(), expected))["passed"]


@pytest.mark.parametrize("op_type", GATES)
def test_lengths_and_initial_states_are_inputs(op_type: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the model takes as inputs is given as --lengths, --h0 and --c0; in both directions."""
    node = drawn(op_type, 2, direction="bidirectional", **({"linear_before_reset": 1} if op_type == "GRU" else {}))
    node.inputs = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c")[: 7 if op_type == "LSTM" else 6]
    path = saved([node.proto()], node.initializers(), ["X", *node.inputs[4:]])
    h, c = (np.random.default_rng(seed).standard_normal((2, BATCH, HIDDEN)).astype(np.float32) for seed in (1, 2))
    np.save("h.npy", h)
    np.save("c.npy", c)
    lengths = [2, STEPS, 1]
    expected = looped(node, x_of(), h, c, lengths=lengths)
    given = ["--h0", "h.npy", *(["--c0", "c.npy"] if op_type == "LSTM" else []), "--lengths", "2,4,1"]
    assert verdict(capsys, path, *signals(x_of(), expected), *given)["passed"]
    assert not verdict(capsys, path, *signals(x_of(), expected), *given[:-1], "2,4,2")["passed"]


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("batch", [BATCH, 2])
def test_layout_1_is_batch_first(op_type: str, batch: int, capsys: pytest.CaptureFixture[str]) -> None:
    """X (B, T, I), Y (B, T, D, H), Y_h (B, D, H); with as many items as directions, too."""
    node = drawn(op_type, 2, direction="bidirectional", layout=1)
    X = x_of()[:, :batch]
    expected = looped(node, X)
    turned = {"Y": expected["Y"].transpose(2, 0, 1, 3)} | {
        name: expected[name].swapaxes(0, 1) for name in expected if name != "Y"
    }
    path = one(node)
    assert inspected(capsys, path)[0]["spec"]["batch_first"]
    assert verdict(capsys, path, *signals(X.swapaxes(0, 1), turned))["passed"]


@pytest.mark.parametrize(
    ("format", "name"),
    [
        (TensorProto.DOUBLE, "float64"),
        (TensorProto.FLOAT16, "float16"),
        (TensorProto.BFLOAT16, "bfloat16"),
        (TensorProto.FLOAT, "float32"),
    ],
)
@pytest.mark.parametrize("raw", [True, False])
def test_every_format_of_floats_is_read(format: int, name: str, raw: bool) -> None:
    """As raw bytes or as a list of numbers; the values are the ones that were written."""
    node = drawn("LSTM")
    values = {key: np.round(array * 8) / 8 for key, array in node.tensors.items()}
    tensors = []
    for key, array in values.items():
        if raw:
            written = {"float64": "<f8", "float16": "<f2", "float32": "<f4"}.get(name)
            # A bfloat16 is the upper half of a float32, and these numbers need no more.
            bits = array.astype(written).tobytes() if written else (array.view("<u4") >> 16).astype("<u2").tobytes()
            tensors.append(helper.make_tensor(key, format, array.shape, bits, raw=True))
        else:
            tensors.append(helper.make_tensor(key, format, array.shape, array.flatten().tolist()))
    ((spec, weights),) = rnntrace.load(saved([node.proto()], tensors)).values()
    assert spec.dtype == name
    i, o, f, g = np.split(values["W"][0], 4)
    np.testing.assert_array_equal(weights[0, "forward"].W_ih, np.stack([i, f, g, o]))


def test_weights_may_be_constant_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    """As in models whose initializers were folded into the graph."""
    node = drawn("GRU", linear_before_reset=1)
    constants = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in node.initializers()]
    assert verdict(capsys, saved([*constants, node.proto()]), *signals(x_of(), looped(node, x_of())))["passed"]


def test_zero_peepholes_and_zero_states_do_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    """Exporters write them for nothing."""
    node = drawn("LSTM")
    node.inputs = ("X", "W", "R", "B", "", "initial_h", "initial_c", "P")
    node.tensors |= {"P": np.zeros((1, 3 * HIDDEN), np.float32)}
    node.tensors |= {name: np.zeros((1, BATCH, HIDDEN), np.float32) for name in ("initial_h", "initial_c")}
    assert verdict(capsys, one(node), *signals(x_of(), looped(node, x_of())))["passed"]


# --- stacks -----------------------------------------------------------------------------------------------------------


def constant(name: str, *values: int) -> Any:
    """A list of axes or a shape."""
    return numpy_helper.from_array(np.array(values, np.int64), name)


def stack(between: Sequence[Any], *, low: Node | None = None, high: Node | None = None, extra: Sequence[Any] = ()) -> Path:
    """Two nodes, `low` and `high`, with operators that lead from Y0 to X1."""
    low = low or drawn("LSTM")
    high = high or drawn("LSTM", size=HIDDEN, seed=1)
    low.name, high.name = "low", "high"
    nodes = [low.proto("a_", outputs=("Y0", "Y_h0")), *between, high.proto("b_", x="X1", outputs=("Y", "Y_h"))]
    return saved(nodes, [*low.initializers("a_"), *high.initializers("b_"), *extra])


def squeeze(source: str = "Y0", target: str = "X1", axis: int = 1) -> tuple[Any, Any]:
    """Takes the axis of a single direction away."""
    return helper.make_node("Squeeze", [source, "axes"], [target]), constant("axes", axis)


def both_ways(seed: int, size: int = SIZE, **attributes: Any) -> Node:
    """An LSTM of two directions."""
    return drawn("LSTM", 2, size, seed, direction="bidirectional", **attributes)


def test_a_stack_is_followed_through_what_only_moves_values(capsys: pytest.CaptureFixture[str]) -> None:
    """Squeeze, Transpose with Reshape, Identity and Dropout: two layers are one module, with the numbers of both."""
    node, axes = squeeze(target="s")
    path = stack([node, helper.make_node("Dropout", ["s"], ["d"]), helper.make_node("Identity", ["d"], ["X1"])], extra=[axes])
    assert [*rnntrace.load(path)] == ["low+high"]
    below = looped(drawn("LSTM"), x_of())
    above = looped(drawn("LSTM", size=HIDDEN, seed=1), below["Y"][:, 0])
    expected = {"Y": above["Y"], "Y_h": np.concatenate([below["Y_h"], above["Y_h"]])}
    assert verdict(capsys, path, *signals(x_of(), expected))["passed"]


def test_a_stack_of_two_directions_gives_the_numbers_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    """Y (T, D, B, H) is turned and joined to (T, B, D·H)."""
    moves = [
        helper.make_node("Transpose", ["Y0"], ["t"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["t", "shape"], ["X1"]),
    ]
    path = stack(moves, low=both_ways(0), high=both_ways(1, 2 * HIDDEN), extra=[constant("shape", 0, 0, -1)])
    below = looped(both_ways(0), x_of())
    above = looped(both_ways(1, 2 * HIDDEN), np.concatenate(list(below["Y"].swapaxes(0, 1)), axis=-1))
    assert verdict(capsys, path, *signals(x_of(), {"Y": above["Y"]}))["passed"]


def turned(*perm: int) -> list[Any]:
    """A Squeeze, then a Transpose."""
    return [squeeze(target="s")[0], helper.make_node("Transpose", ["s"], ["X1"], perm=list(perm))]


def handed_on() -> Node:
    """A decoder that starts where the encoder ended."""
    node = drawn("LSTM", size=HIDDEN)
    node.inputs = ("X", "W", "R", "B", "", "Y_h0")
    return node


AXES, SHAPE = constant("axes", 1), constant("shape", 0, 0, -1)
APART: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "another hidden size": ([squeeze()[0]], {"high": "wide"}),
    "another operator": ([squeeze()[0]], {"high": drawn("GRU", size=HIDDEN)}),
    "bias in one": ([squeeze()[0]], {"high": "bare"}),
    "another direction": ([squeeze()[0]], {"high": drawn("LSTM", size=HIDDEN, direction="reverse")}),
    "something between": ([squeeze(target="s")[0], helper.make_node("Tanh", ["s"], ["X1"])], {}),
    "the last state": ([helper.make_node("Identity", ["Y_h0"], ["X1"])], {}),
    "the final state handed on": ([squeeze()[0]], {"high": handed_on()}),
    "time and batch turned": (turned(1, 0, 2), {}),
    "units turned to time": (turned(2, 1, 0), {}),
    "an operator of another domain": (
        [squeeze(target="s")[0], helper.make_node("Dropout", ["s"], ["X1"], domain="com.example")],
        {},
    ),
    "directions joined before they are turned": (
        [helper.make_node("Reshape", ["Y0", "shape"], ["X1"])],
        {"low": both_ways(0), "high": both_ways(1, 2 * HIDDEN)},
    ),
    "layout 1 above layout 0": ([squeeze()[0]], {"high": drawn("LSTM", size=HIDDEN, layout=1)}),
}


@pytest.mark.parametrize("reason", APART)
def test_nodes_that_torch_would_not_stack_are_not_joined(reason: str) -> None:
    """Sizes, options, other operators between, and axes that do not arrive where they should."""
    between, options = APART[reason]
    options = dict(options)
    if options.get("high") == "bare":
        options["high"] = drawn("LSTM", size=HIDDEN)
        del options["high"].tensors["B"]
        options["high"].inputs = ("X", "W", "R")
    path = stack(between, extra=[AXES, SHAPE], **({} if options.get("high") == "wide" else options))
    if options.get("high") == "wide":
        model = onnx.load(path)
        for tensor in [tensor for tensor in model.graph.initializer if tensor.name.startswith("b_")]:
            shape = {"b_W": (1, 8, HIDDEN), "b_R": (1, 8, 2), "b_B": (1, 16)}[tensor.name]
            tensor.CopyFrom(numpy_helper.from_array(np.ones(shape, np.float32), tensor.name))
        (size,) = [attribute for attribute in model.graph.node[-1].attribute if attribute.name == "hidden_size"]
        size.i = 2
        onnx.save(model, path)
    assert [*rnntrace.load(path)] == ["low", "high"]


def test_transposes_that_undo_one_another_are_followed() -> None:
    """As two batch-first modules one after the other are exported."""
    there = [
        squeeze(target="s")[0],
        helper.make_node("Transpose", ["s"], ["t"], perm=[1, 0, 2]),
        helper.make_node("Transpose", ["t"], ["X1"], perm=[1, 0, 2]),
    ]
    assert [*rnntrace.load(stack(there, extra=[AXES]))] == ["low+high"]


def test_nodes_without_names_or_with_the_same_are_all_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Each has a name of its own, also where the number that would be given is another's name; control codes are shown."""
    nodes, tensors = [], []
    for number, name in enumerate(["", "", "LSTM_2", "", "a/b", "a/b", EVIL]):
        node = drawn("LSTM", seed=number)
        node.name = name
        nodes.append(node.proto(f"{number}_", outputs=(f"Y{number}",)))
        tensors += node.initializers(f"{number}_")
    path = saved(nodes, tensors)
    names = [*rnntrace.load(path)]
    assert len(set(names)) == 7
    assert names[0] == "LSTM"
    assert {"LSTM_2", "a/b", EVIL} < set(names)
    assert EVIL not in ask(capsys, "inspect", path).out


# --- what is refused --------------------------------------------------------------------------------------------------


def with_input(name: str, array: Array) -> Node:
    """An LSTM with one more tensor stored in the model."""
    node = drawn("LSTM")
    order = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    node.inputs = tuple(one if one in ("X", "W", "R", "B", name) else "" for one in order)
    node.tensors[name] = array
    return node


ONES = np.ones((1, BATCH, HIDDEN), np.float32)
REFUSED: dict[str, tuple[Node, tuple[str, ...]]] = {
    "a clip of nothing": (drawn("LSTM", clip=0.0), ("LSTM node node", "above 0")),
    "another activation": (
        drawn("LSTM", activations=["Sigmoid", "Gelu", "Tanh"]),
        ("the activation Gelu is not one of ONNX", "hardsigmoid"),
    ),
    "too few activations": (
        drawn("RNN", 2, direction="bidirectional", activations=["Tanh"]),
        ("RNN node", "activations should be 2, 1 a direction, and are 1"),
    ),
    "no alpha": (
        drawn("GRU", activations=["ThresholdedRelu", "Tanh"]),
        ("GRU node", "ThresholdedRelu has no default for alpha"),
    ),
    "an unknown attribute": (drawn("LSTM", peephole=1), ("peephole",)),
    "peepholes of another size": (with_input("P", np.ones((1, 4 * HIDDEN), np.float32)), ("P should have shape (1, 9)",)),
    "stored h of another rank": (with_input("initial_h", ONES[0]), ("initial_h should have shape (1, batch, 3)",)),
    "stored c of another size": (with_input("initial_c", ONES[..., :2]), ("initial_c should have shape (1, batch, 3)",)),
    "direction": (drawn("LSTM", direction="sideways"), ("direction", "forward, reverse, bidirectional", "sideways")),
    "too few directions": (drawn("LSTM", direction="bidirectional"), ("W should have shape (2, 12, 2)", "(1, 12, 2)")),
    "another hidden size": (
        Node("LSTM", {**drawn("LSTM").tensors, "R": np.ones((1, 12, 4), "f4")}, {}),
        ("should have shape",),
    ),
    "integers": (
        Node("LSTM", {name: array.astype(np.int32) for name, array in drawn("LSTM").tensors.items()}, {}),
        ("W should hold floats of 16, 32 or 64 bits",),
    ),
    "flat weights": (
        Node("LSTM", {**drawn("LSTM").tensors, "W": np.ones(24, "f4")}, {}),
        ("W should have two or three dimensions",),
    ),
    "no R": (Node("LSTM", drawn("LSTM").tensors, {}, ("X", "W")), ("no W or no R",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_by_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says which node, what it has and what was expected."""
    node, fragments = REFUSED[name]
    path = one(node)
    assert all_in(fragments, refused(capsys, "inspect", path))
    refused(capsys, "compare", path)


def test_weights_that_lie_elsewhere_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """In another file, also where the graph moves them."""
    node = drawn("LSTM")
    tensors = {tensor.name: tensor for tensor in node.initializers()}
    tensors["W"].data_location = TensorProto.EXTERNAL
    tensors["W"].external_data.add(key="location", value="/etc/passwd")
    tensors["W"].ClearField("raw_data")
    path = saved([node.proto()], list(tensors.values()))
    assert all_in(("W lies outside the model", "external_data=False"), refused(capsys, "inspect", path))
    tensors["W"].name = "W0"
    path = saved([helper.make_node("Identity", ["W0"], ["W"]), node.proto()], list(tensors.values()))
    assert all_in(("W0 lies outside the model", "external_data=False"), refused(capsys, "inspect", path))


def test_a_list_of_axes_that_lies_elsewhere_is_not_looked_for() -> None:
    """Such a stack is not joined, and no file is opened."""
    axes = constant("axes", 1)
    axes.data_location = TensorProto.EXTERNAL
    axes.external_data.add(key="location", value="axes.bin")
    axes.ClearField("raw_data")
    Path("axes.bin").write_bytes(np.array([1]).tobytes())
    assert [*rnntrace.load(stack([squeeze()[0]], extra=[axes]))] == ["low", "high"]


def test_operators_of_another_domain_are_not_taken_for_onnx_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Beside a real one they are left alone; alone, there is no recurrent node."""
    node = drawn("LSTM")
    foreign = helper.make_node("LSTM", ["X", "W", "R"], ["Z"], domain="com.example", hidden_size=HIDDEN)
    assert [*rnntrace.load(saved([foreign, node.proto()], node.initializers()))] == ["node"]
    assert all_in(("no RNN, LSTM or GRU node",), refused(capsys, "inspect", saved([foreign], node.initializers())))
    spelled = node.proto()
    spelled.domain = "ai.onnx"
    assert [*rnntrace.load(saved([spelled], node.initializers()))] == ["node"]
