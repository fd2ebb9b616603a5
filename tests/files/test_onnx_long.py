"""Long initializers of ONNX stay in the file while its graph is read: the same weights, and one reading of every file."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import rnntrace
from rnntrace.errors import FileError, RnnTraceError
from rnntrace.files import onnx_long
from rnntrace.files.protobuf import written

pytestmark = pytest.mark.usefixtures("folder")

HIDDEN = 80
"""So large that R is long, and W is not."""


def tensors() -> dict[str, np.ndarray]:
    """W, R and B of an LSTM."""
    random = np.random.default_rng(0)
    shapes = {"W": (1, 4 * HIDDEN, 3), "R": (1, 4 * HIDDEN, HIDDEN), "B": (1, 8 * HIDDEN)}
    return {name: random.normal(size=shape).astype("f") for name, shape in shapes.items()}


def graph(initializers: list[onnx.TensorProto]) -> onnx.GraphProto:
    """An LSTM with these initializers."""
    node = helper.make_node("LSTM", ["X", "W", "R", "B"], ["Y"], hidden_size=HIDDEN, name="lstm")
    signals = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "XY"]
    return helper.make_graph([node], "g", signals[:1], signals[1:], initializers)


def model() -> onnx.ModelProto:
    """A whole one."""
    return helper.make_model(graph([numpy_helper.from_array(array, name) for name, array in tensors().items()]))


def R_of(content: bytes) -> np.ndarray:
    """R as it is read from such a file, in ONNX' order of gates."""
    Path("model.onnx").write_bytes(content)
    i, f, g, o = rnntrace.load("model.onnx")["lstm"][1][0, "forward"].W_hh.reshape(4, HIDDEN, HIDDEN)
    return np.concatenate([i, o, f, g])[None]


def test_numbers_are_read_where_they_lie() -> None:
    """Of a long tensor; others are in the model as it is parsed."""
    Path("model.onnx").write_bytes(model().SerializeToString())
    found, long = onnx_long.opened(Path("model.onnx"))
    assert [*long] == ["R"]
    assert [len(tensor.raw_data) > 0 for tensor in found.graph.initializer] == [True, False, True]
    assert np.array_equal(numpy_helper.to_array(long["R"]()), tensors()["R"])
    assert np.array_equal(R_of(model().SerializeToString()), tensors()["R"])


def test_what_is_in_no_bytes_is_read_as_ever() -> None:
    """Numbers as protobuf's own floats."""
    whole = model()
    own = whole.graph.initializer[1]
    own.float_data.extend(tensors()["R"].ravel().tolist())
    own.ClearField("raw_data")
    assert np.array_equal(R_of(whole.SerializeToString()), tensors()["R"])


def field(number: int, value: bytes) -> bytes:
    """A field of protobuf as writers write it."""
    return written(number, len(value)) + value


def decoy() -> bytes:
    """Another R."""
    return field(5, numpy_helper.from_array(-tensors()["R"], "R").SerializeToString())


def start_of_R(content: bytes) -> int:
    """Where it stands in the graph."""
    R = model().graph.initializer[1].SerializeToString()
    return content.index(field(5, R))


def with_graph(own: bytes) -> bytes:
    """A model of this graph."""
    empty = model()
    empty.ClearField("graph")
    return empty.SerializeToString() + field(7, own)


def test_two_graphs_are_one() -> None:
    """As protobuf joins them: initializers of both, in their order."""
    first, second = (model().graph for _ in range(2))
    del first.initializer[1:]
    del second.initializer[:1], second.node[:], second.input[:], second.output[:]
    empty = model()
    empty.ClearField("graph")
    parts = [field(7, one.SerializeToString()) for one in (first, second)]
    assert np.array_equal(R_of(empty.SerializeToString() + b"".join(parts)), tensors()["R"])


def test_numbers_that_stand_twice_are_the_last_ones() -> None:
    """As protobuf has it."""
    other = field(9, (-tensors()["R"]).tobytes()) + model().graph.initializer[1].SerializeToString()
    content = model().graph.SerializeToString()
    R = model().graph.initializer[1].SerializeToString()
    assert np.array_equal(R_of(with_graph(content.replace(field(5, R), field(5, other)))), tensors()["R"])


@pytest.mark.parametrize("where", ["in a group", "in a longer number", "both"])
def test_no_reader_sees_another_R(where: str) -> None:
    """A field in a group is none, and one whose length is written in more bytes than it needs is one: read as protobuf does."""
    content = model().graph.SerializeToString()
    at = start_of_R(content)
    R = model().graph.initializer[1].SerializeToString()
    head = written(5, len(R))
    if where != "in a longer number":
        # A group of number 40 starts and ends with the numbers 3 and 4 as its kind.
        content = content[:at] + b"\xc3\x02" + decoy() + b"\xc4\x02" + content[at:]
    if where != "in a group":
        longer = head[:-1] + bytes([head[-1] | 0x80, 0])
        content = content.replace(head + R, longer + R)
    expected = onnx.load_model_from_string(with_graph(content))
    assert np.array_equal(numpy_helper.to_array(expected.graph.initializer[1]), tensors()["R"]), "protobuf sees the right one"
    assert np.array_equal(R_of(with_graph(content)), tensors()["R"])


def test_it_is_read_or_refused_wherever_it_is_cut_off() -> None:
    """No part of a model is taken for the whole."""
    whole = model().SerializeToString()
    for size in (*range(len(whole) - 60, len(whole)), *range(1, len(whole), 997)):
        try:
            onnx.load_model_from_string(whole[:size])
        except Exception:
            Path("part.onnx").write_bytes(whole[:size])
            with pytest.raises(FileError):
                rnntrace.load("part.onnx")


def test_a_shape_that_is_not_that_of_the_numbers_is_refused() -> None:
    """With numbers still in the file as without."""
    wrong = model()
    wrong.graph.initializer[1].dims[:] = [1, 4 * HIDDEN, HIDDEN + 1]
    with pytest.raises(RnnTraceError, match="should have"):
        R_of(wrong.SerializeToString())
