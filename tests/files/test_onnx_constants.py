"""Weights, initial states and lengths that an ONNX model makes of what it stores, against the onnx package's own evaluator."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from commandline import all_in, ask, refused
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from test_onnx import BATCH, HIDDEN, SIZE, drawn, exported, inspected, looped, saved, signals, verdict, x_of

import rnntrace
from rnntrace.model.dtypes import Array

pytestmark = [pytest.mark.usefixtures("folder"), pytest.mark.slow]

ROWS = 4 * HIDDEN
RANDOM = np.random.default_rng(3)


def numbers(*shape: int) -> Array:
    """Values in float32."""
    return RANDOM.uniform(-0.8, 0.8, shape).astype(np.float32)


def whole(*values: int, dtype: str = "int64") -> Any:
    """A list of whole numbers."""
    return np.array(values, dtype)


def node(op: str, *inputs: str, made: str = "W", **attributes: Any) -> Any:
    """A node; `made` names what it makes."""
    return helper.make_node(op, list(inputs), [made], **attributes)


INT8 = RANDOM.integers(-128, 127, (1, ROWS, SIZE)).astype(np.int8)
WAYS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "Identity": ({"a": numbers(1, ROWS, SIZE)}, [node("Identity", "a")]),
    "Transpose": ({"a": numbers(SIZE, ROWS, 1)}, [node("Transpose", "a")]),
    "Transpose in an order": ({"a": numbers(SIZE, 1, ROWS)}, [node("Transpose", "a", perm=[1, 2, 0])]),
    "Reshape": ({"a": numbers(ROWS, 1, SIZE), "s": whole(1, -1, SIZE)}, [node("Reshape", "a", "s")]),
    "Reshape that copies a size": ({"a": numbers(1, ROWS * SIZE), "s": whole(0, ROWS, SIZE)}, [node("Reshape", "a", "s")]),
    "Reshape of a transpose": (
        {"a": numbers(SIZE, ROWS), "s": whole(1, ROWS, SIZE)},
        [node("Transpose", "a", made="t"), node("Reshape", "t", "s")],
    ),
    "Squeeze": ({"a": numbers(1, 1, ROWS, SIZE), "s": whole(1)}, [node("Squeeze", "a", "s")]),
    "Unsqueeze": ({"a": numbers(ROWS, SIZE), "s": whole(-3)}, [node("Unsqueeze", "a", "s")]),
    "Slice": (
        {"a": numbers(3, ROWS + 2, SIZE), "b": whole(1, -2), "e": whole(2, -100), "x": whole(0, 1), "s": whole(1, -1)},
        [node("Slice", "a", "b", "e", "x", "s", made="t"), node("Slice", "t", "f", "l", "x2")],
    ),
    "Gather": (
        {"a": numbers(ROWS, 4), "p": whole(3, -4)},
        [node("Gather", "a", "p", axis=1, made="t"), node("Unsqueeze", "t", "z")],
    ),
    "Concat": ({"a": numbers(1, 5, SIZE), "b": numbers(1, ROWS - 5, SIZE)}, [node("Concat", "a", "b", axis=1)]),
    "Cast": ({"a": RANDOM.uniform(-1, 1, (1, ROWS, SIZE)), "unused": numbers(1)}, [node("Cast", "a", to=TensorProto.FLOAT)]),
    "Mul, Add, Sub, Div": (
        {"a": numbers(1, ROWS, SIZE), "b": numbers(ROWS, 1), "c": numbers(SIZE), "d": np.float32(1.7)},
        [
            node("Mul", "a", "b", made="p"),
            node("Add", "p", "c", made="q"),
            node("Sub", "q", "b", made="r"),
            node("Div", "r", "d"),
        ],
    ),
    "DequantizeLinear": (
        {"a": INT8, "s": np.float32(0.01), "z": np.int8(-5)},
        [node("DequantizeLinear", "a", "s", "z")],
    ),
    "DequantizeLinear row by row": (
        {"a": INT8, "s": np.linspace(0.001, 0.02, ROWS, dtype="f4"), "z": np.arange(ROWS).astype(np.int8)},
        [node("DequantizeLinear", "a", "s", "z", axis=1)],
    ),
    "DequantizeLinear of int32": (
        {"a": INT8.astype(np.int32) * 999, "s": np.float32(1e-5)},
        [node("DequantizeLinear", "a", "s")],
    ),
    "Expand": ({"a": numbers(ROWS, 1), "s": whole(1, 1, SIZE)}, [node("Expand", "a", "s")]),
    "ConstantOfShape": (
        {"s": whole(1, ROWS, SIZE)},
        [node("ConstantOfShape", "s", value=helper.make_tensor("v", TensorProto.FLOAT, [1], [0.25]))],
    ),
    "Constant": (
        {"s": whole(1, ROWS, SIZE)},
        [node("Constant", made="row", value_floats=[0.5, -0.25]), node("Expand", "row", "s")],
    ),
    "Where and Equal": (
        {"a": numbers(1, ROWS, SIZE), "b": numbers(SIZE), "p": whole(1, 2), "q": whole(1, 1)},
        [node("Equal", "p", "q", made="c"), node("Where", "c", "a", "b")],
    ),
    "Shape": (
        {"a": numbers(ROWS * SIZE), "like": numbers(7, 1, ROWS, SIZE)},
        [node("Shape", "like", made="s", start=1), node("Reshape", "a", "s")],
    ),
}
"""What is stored, and the nodes that make W of it, by way."""
SHARED = {"f": whole(0), "l": whole(ROWS), "x2": whole(1), "z": whole(0)}


def model(stored: dict[str, Any], nodes: Sequence[Any], order: Sequence[str] = (), inputs: Sequence[str] = ("X",)) -> Path:
    """An LSTM whose W is made by nodes; its other inputs are `order`."""
    lstm = drawn("LSTM")
    names = ["X", "W", "R", "B", *order]
    tensors = {**{name: lstm.tensors[name] for name in "WRB"}, **SHARED, **stored}
    made = {output for one in nodes for output in one.output}
    outputs = ["Y", "Y_h", "Y_c"]
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items() if name not in made]
    return saved([*nodes, helper.make_node("LSTM", names, outputs, name="node", hidden_size=HIDDEN)], initializers, inputs)


def reference(path: Path, X: Array, name: str = "Y") -> Array:
    """What the onnx package's evaluator makes of a model."""
    found = onnx.load(path)
    del found.graph.output[:]
    found.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    (values,) = ReferenceEvaluator(found).run(None, {"X": X})
    return np.asarray(values)


@pytest.mark.parametrize("way", WAYS)
def test_weights_that_are_made_of_constants(way: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The evaluator's W to the last bit, and its outputs; another value anywhere fails. The opset is the newest."""
    path = model(*WAYS[way])
    ((_, weights),) = rnntrace.load(path).values()
    i, o, f, g = np.split(reference(path, x_of(), "W")[0], 4)
    np.testing.assert_array_equal(weights[0, "forward"].W_ih, np.stack([i, f, g, o]))
    Y = reference(path, x_of())
    assert verdict(capsys, path, *signals(x_of(), {"Y": Y}))["passed"]
    Y[1, 0, 0, 0] += 0.01
    found = verdict(capsys, path, *signals(x_of(), {"Y": Y}))
    assert (found["passed"], found["first_failure"]["t"]) == (False, 2)


def test_older_operators_have_attributes_for_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    """Axes of Squeeze and Unsqueeze up to opset 12, and all of Slice up to 9."""
    a = numbers(1, ROWS + 3, SIZE)
    nodes = [
        node("Squeeze", "a", axes=[0], made="s"),
        node("Slice", "s", starts=[3], ends=[99], axes=[0], made="t"),
        node("Unsqueeze", "t", axes=[0]),
    ]
    ((_, weights),) = rnntrace.load(model({"a": a}, nodes)).values()
    i, o, f, g = np.split(a[0, 3:], 4)
    np.testing.assert_array_equal(weights[0, "forward"].W_ih, np.stack([i, f, g, o]))


def test_dequantised_weights_are_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    """By name, where they were judged; also behind another operator."""
    stored, (dequantise,) = WAYS["DequantizeLinear"]
    dequantise = helper.make_node("DequantizeLinear", list(dequantise.input), ["d"])
    answer = ask(capsys, "compare", model(stored, [dequantise, node("Identity", "d")]), "--seed", "1", "-q")
    assert (answer.code, "W dequantised: the model holds integers and a scale" in answer.err) == (0, True)
    assert "dequantised" not in ask(capsys, "compare", model(*WAYS["Identity"]), "--seed", "1", "-q").err


WRONG: dict[str, tuple[dict[str, Any], list[Any], tuple[str, ...]]] = {
    "an operator of none of ours": ({"a": numbers(1, ROWS, SIZE)}, [node("Tanh", "a")], ("computed by Tanh",)),
    "below one of ours": (
        {"a": numbers(1, ROWS, SIZE)},
        [node("Tanh", "a", made="t"), node("Identity", "t")],
        ("W is no constant of the model but computed by Tanh",),
    ),
    "of another domain": (
        {"a": numbers(1, ROWS, SIZE)},
        [node("Identity", "a", domain="com.example")],
        ("computed by Identity",),
    ),
    "an input": ({}, [node("Identity", "X")], ("W is no constant of the model but made of X, which the model is given",)),
    "itself": (
        {},
        [node("Identity", "u", made="v"), node("Identity", "v", made="u"), node("Identity", "u")],
        ("made of itself",),
    ),
    "sizes that do not fit": (
        {"a": numbers(5), "s": whole(1, ROWS, SIZE)},
        [node("Reshape", "a", "s")],
        ("computed by Reshape, which cannot be done",),
    ),
    "an axis too many": ({"a": numbers(5)}, [node("Concat", "a", "a", axis=3)], ("computed by Concat, which cannot be done",)),
    "no axis at all": ({"a": INT8, "s": numbers(3)}, [node("DequantizeLinear", "a", "s", axis=0)], ("computed by Dequant",)),
    "of two types": ({"a": numbers(ROWS), "b": INT8}, [node("Mul", "a", "b")], ("computed by Mul, which cannot be done",)),
    "integers": ({"a": INT8}, [node("Identity", "a")], ("W should hold floats", "int8")),
    "a vector": ({"a": numbers(5)}, [node("Identity", "a")], ("W should have two or three dimensions",)),
    "an output too many": (
        {"a": numbers(1, ROWS, SIZE)},
        [helper.make_node("Identity", ["a"], ["b", "W"])],
        ("computed by Identity",),
    ),
    "the second of two": (
        {"a": numbers(2, ROWS, SIZE)},
        [helper.make_node("Split", ["a"], ["b", "W"], axis=0, num_outputs=2)],
        ("computed by Split",),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_worked_out_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the operator at which it ends, or by the input that it needs."""
    stored, nodes, fragments = WRONG[name]
    assert all_in(("LSTM node node", *fragments), refused(capsys, "compare", model(stored, nodes)))


def test_what_thousands_read_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node of many readers."""
    from rnntrace.files import onnx_operators

    calls = []
    before = onnx_operators.OPERATORS["Mul"]
    monkeypatch.setitem(onnx_operators.OPERATORS, "Mul", lambda call: (calls.append(1), before(call))[1])
    nodes = [node("Mul", "a", "a", made="p"), node("Concat", *["p"] * 200, axis=1, made="all"), node("Identity", "all")]
    nodes[-1:] = [node("Slice", "all", "f", "l", "x2")]
    rnntrace.load(model({"a": numbers(1, ROWS, SIZE)}, nodes))
    assert len(calls) == 1


# --- initial states and lengths ---------------------------------------------------------------------------------------


def started(
    op: str, *, layout: int = 0, directions: int = 2, lengths: Sequence[int] = ()
) -> tuple[Path, dict[str, Array], Any]:
    """A model that holds its states, through an Identity, with the states (D, B, H) and its right outputs."""
    attributes = {"direction": "bidirectional" if directions == 2 else "reverse"}
    attributes |= {"layout": 1} if layout else {}
    found = drawn(op, directions, **attributes, **({"linear_before_reset": 1} if op == "GRU" else {}))
    states = {name: numbers(directions, BATCH, HIDDEN) for name in ("initial_h", "initial_c")[: 2 if op == "LSTM" else 1]}
    found.inputs = ("X", "W", "R", "B", "L" if lengths else "", *(f"{name}_made" for name in states))
    expected = looped(found, x_of(), states["initial_h"], states.get("initial_c"), lengths=lengths)
    tensors = [numpy_helper.from_array(array.swapaxes(0, 1) if layout else array, name) for name, array in states.items()]
    tensors += [numpy_helper.from_array(whole(*lengths, dtype="int32"), "L0")] if lengths else []
    nodes = [node("Identity", name, made=f"{name}_made") for name in states]
    nodes += [node("Identity", "L0", made="L")] if lengths else []
    path = saved([*nodes, found.proto()], [*found.initializers(), *tensors])
    if layout:
        turned = {name: array.swapaxes(0, 1) for name, array in expected.items() if name != "Y"}
        expected = {"Y": expected["Y"].transpose(2, 0, 1, 3), **turned}
    return path, states, expected


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("layout", [0, 1])
def test_states_of_the_model_are_where_it_starts(op: str, layout: int, capsys: pytest.CaptureFixture[str]) -> None:
    """In both layouts; that is said, and it makes a difference. What is given as a flag counts instead."""
    path, states, expected = started(op, layout=layout)
    X = x_of().swapaxes(0, 1) if layout else x_of()
    judged = signals(X, expected)
    assert verdict(capsys, path, *judged)["passed"]
    answer = ask(capsys, "compare", path, *judged)
    names = ("h0", "c0")[: len(states)]
    assert all_in((f"the model holds {', '.join(names)}", "see --h0"), answer.err)
    assert all_in(tuple(f"{name}: from the model" for name in names), answer.out)
    for name, own in zip(names, states, strict=True):
        assert not verdict(capsys, path, *judged, f"--{name}", "zeros")["passed"]
        assert verdict(capsys, path, *judged, f"--{name}", json.dumps(states[own].tolist()))["passed"]
    wrong = {
        **expected,
        "Y_h": expected["Y_h"] + np.float32(0.01) * (np.arange(expected["Y_h"].size) == 0).reshape(expected["Y_h"].shape),
    }
    assert not verdict(capsys, path, *signals(X, wrong))["passed"]


def test_lengths_of_the_model_are_those_of_the_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    """Unless others are given."""
    path, _, expected = started("LSTM", lengths=(2, 4, 1))
    judged = signals(x_of(), expected)
    assert verdict(capsys, path, *judged)["passed"]
    assert "holds h0, c0, lengths" in ask(capsys, "inspect", path).out
    assert "the model holds h0, c0, lengths" in ask(capsys, "compare", path, *judged, "-q").err
    assert not verdict(capsys, path, *judged, "--lengths", "2,4,2")["passed"]


def test_states_for_another_batch_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With what to do; torch is fed with as many items as they are for."""
    path, _, expected = started("LSTM")
    assert "the model holds h0 for 3 items of the batch, and there are 1" in refused(capsys, "compare", path)
    judged = signals(x_of()[:, :2], {name: array[..., :2, :] for name, array in expected.items()})
    assert "the model holds h0 for 3 items of the batch, and there are 2" in refused(capsys, "compare", path, *judged)
    assert ask(capsys, "compare", path, "--batch", "3", "--seed", "1", "-q").code == 0


def test_diagnose_starts_from_the_states_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    """Who starts from zeros there has made a mistake, which is found."""
    path, _, _ = started("RNN", directions=1)
    zeros = looped(drawn("RNN", 1, direction="reverse"), x_of())
    answer = ask(capsys, "diagnose", path, *signals(x_of(), {"Y": zeros["Y"]}))
    assert all_in(("the model holds h0", "h0-ignored"), answer.err + answer.out)


def test_explain_starts_from_the_states_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    """As compare does."""
    path, states, _ = started("RNN", directions=1)
    np.save("x.npy", x_of())
    told = ask(capsys, "explain", path, "--at", "t=4,unit=0", "--input", "x.npy", "--format", "json").out
    plain = ask(capsys, "explain", path, "--at", "t=4,unit=0", "--input", "x.npy", "--h0", "zeros", "--format", "json").out
    typed = json.dumps(states["initial_h"].tolist())
    given = ask(capsys, "explain", path, "--at", "t=4,unit=0", "--input", "x.npy", "--h0", typed, "--format", "json").out
    assert json.loads(told)["derivation"] == json.loads(given)["derivation"] != json.loads(plain)["derivation"]


def test_run_starts_from_the_states_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    """Whose weights it was given, whatever the order of axes that the flags say."""
    path, states, _ = started("LSTM")
    for batch_first in ([], ["--batch-first"]):
        Path("trace.npz").unlink(missing_ok=True)
        module = ["run", "lstm", "-i", str(SIZE), "-H", str(HIDDEN), "--bidirectional", "--weights", path, *batch_first]
        answer = ask(capsys, *module, "--batch", str(BATCH), "--seed", "1", "-q", "--save", "trace.npz")
        assert (answer.code, "the model holds h0, c0" in answer.err) == (0, True)
        trace = rnntrace.open_trace("trace.npz")
        np.testing.assert_array_equal(trace.inputs.h0, states["initial_h"])
        np.testing.assert_array_equal(trace.inputs.c0, states["initial_c"])


def test_layers_that_start_in_other_ways_stay_apart() -> None:
    """One holds its state, and the other is given one; or both hold theirs for another number of items."""
    low, high = drawn("RNN"), drawn("RNN", size=HIDDEN, seed=1)
    low.name, high.name = "low", "high"
    squeeze = helper.make_node("Squeeze", ["Y0", "axes"], ["X1"])

    def layers(low_starts: int, high_starts: int | None) -> list[str]:
        low.inputs, high.inputs = (("X", "W", "R", "B", "", state) for state in ("low_h", "high_h"))
        nodes = [low.proto("a_", outputs=("Y0",)), squeeze, high.proto("b_", x="X1", outputs=("Y",))]
        batches = {"low_h": low_starts, "high_h": high_starts}
        tensors = [*low.initializers("a_"), *high.initializers("b_"), numpy_helper.from_array(whole(1), "axes")]
        tensors += [numpy_helper.from_array(numbers(1, n, HIDDEN), name) for name, n in batches.items() if n is not None]
        return [*rnntrace.load(saved(nodes, tensors, ["X", *(name for name, n in batches.items() if n is None)]))]

    assert layers(2, 2) == ["low+high"]
    assert layers(2, 3) == ["low", "high"]
    assert layers(2, None) == ["low", "high"]


def test_two_models_with_other_states_are_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Their weights are the same; a state that is given counts for both."""
    path, states, _ = started("GRU")
    Path("first.onnx").write_bytes(path.read_bytes())
    found = onnx.load(path)
    (tensor,) = (one for one in found.graph.initializer if one.name == "initial_h")
    tensor.CopyFrom(numpy_helper.from_array(states["initial_h"] + 1, "initial_h"))
    onnx.save(found, path)
    answer = ask(capsys, "compare", "first.onnx", path, "--batch", "3", "--seed", "1", "-q")
    assert (answer.code, "do not hold the same h0" in answer.out) == (1, True)
    assert ask(capsys, "compare", "first.onnx", path, "--batch", "3", "--seed", "1", "-q", "--h0", "zeros").code == 0


class Learned(torch.nn.Module):
    """An LSTM that starts from parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(SIZE, HIDDEN, 2, bidirectional=True)
        self.h0, self.c0 = (torch.nn.Parameter(torch.randn(4, 1, HIDDEN)) for _ in range(2))

    def forward(self, x: torch.Tensor) -> Any:
        """From states that were expanded to the batch."""
        return self.lstm(x, (self.h0.expand(-1, BATCH, -1), self.c0.expand(-1, BATCH, -1).contiguous()))


@pytest.mark.parametrize("newer", [False, True])
def test_learned_states_that_torch_exports(newer: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Two layers of two directions stay one module, with the states of both; torch's own outputs pass."""
    torch.manual_seed(0)
    learned, x = Learned().eval(), torch.randn(4, BATCH, SIZE)
    path = exported(learned, x, newer=newer)
    (found,) = inspected(capsys, path)
    assert found["spec"]["num_layers"] == 2
    with torch.no_grad():
        output, (h_n, c_n) = learned(x)
    right = {"output": output.numpy(), "h_n": h_n.numpy(), "c_n": c_n.numpy()}
    assert verdict(capsys, path, *signals(x.numpy(), right))["passed"]
    right["h_n"] = right["h_n"].copy()
    right["h_n"][0, 0, 0] += 0.01
    assert not verdict(capsys, path, *signals(x.numpy(), right))["passed"]


WRONG_STATES: dict[str, tuple[Array, str]] = {
    "rank": (numbers(BATCH, HIDDEN), "initial_h should have shape (1, batch, 3), and has shape (3, 3)"),
    "size": (numbers(1, BATCH, HIDDEN + 1), "initial_h should have shape (1, batch, 3)"),
    "type": (np.ones((1, BATCH, HIDDEN), np.int64), "initial_h should hold floats"),
}


@pytest.mark.parametrize("name", WRONG_STATES)
def test_states_that_do_not_fit_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By name."""
    array, said = WRONG_STATES[name]
    path = model({"h": array}, [], ["", "h"])
    assert all_in(("LSTM node node", said), refused(capsys, "compare", path))
    lengths = model({"n": numbers(2)}, [], ["n"])
    assert "sequence_lens should be whole numbers" in refused(capsys, "compare", lengths)
