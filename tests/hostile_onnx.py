"""Bad and strange .onnx, written by the onnx package; nothing in them is ever run."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from commandline import EVIL
from hostile import Entry, flipped, loads, unreadable
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = {
    "W": np.linspace(-1, 1, 24, dtype=np.float32).reshape(1, 8, 3),
    "R": np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 8, 2),
    "B": np.zeros((1, 16), np.float32),
}
"""An LSTM of 3 inputs and 2 units."""


def model(change: Callable[[Any], Any] | None = None, inputs: Sequence[str] = ("X", "W", "R", "B"), **attributes: Any) -> bytes:
    """A model with one LSTM, and something changed in it."""
    node = helper.make_node("LSTM", inputs, ["Y", "Y_h", "Y_c"], "lstm", **{"hidden_size": 2, **attributes})
    tensors = [numpy_helper.from_array(array, name) for name, array in WEIGHTS.items()]
    graph = helper.make_graph([node], "graph", [], [], tensors)
    found = helper.make_model(graph)
    if change:
        change(found)
    content: bytes = found.SerializeToString()
    return content


def tensor(number: int, **fields: Any) -> bytes:
    """The same with fields of one weight set to anything at all; of a list the values are put in its place."""

    def change(found: Any) -> None:
        weight = found.graph.initializer[number]
        for name, value in fields.items():
            if isinstance(value, list):
                del getattr(weight, name)[:]
                getattr(weight, name).extend(value)
            else:
                setattr(weight, name, value)

    return model(change)


def outside(path: str) -> bytes:
    """The same with a weight in another file."""

    def change(found: Any) -> None:
        weight = found.graph.initializer[0]
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in {"location": path, "offset": "0", "length": "96"}.items():
            weight.external_data.add(key=key, value=value)

    return model(change)


def node(*names: str, operator: str = "Identity", **attributes: Any) -> Callable[[Any], Any]:
    """Another node in front of the LSTM, from the first name to the others."""
    return lambda found: found.graph.node.insert(0, helper.make_node(operator, names[:1], names[1:], **attributes))


def chain(found: Any) -> None:
    """Thousands of nodes in a ring, and the LSTM reads one of them."""
    found.graph.node.extend(helper.make_node("Identity", [f"X{k}" if k else "X"], [f"X{k + 1}"]) for k in range(4_000))
    found.graph.node.append(helper.make_node("Identity", ["X4000"], ["X"]))


def makes(*nodes: Any, place: str = "W", **tensors: Any) -> Callable[[], bytes]:
    """The same with one input, named `made`, that nodes make of stored tensors."""

    def change(found: Any) -> None:
        lstm = found.graph.node[0]
        order = ["X", "W", "R", "B", "sequence_lens", "initial_h"]
        inputs = ["made" if name == place else name if name in "XWRB" else "" for name in order]
        del lstm.input[:], found.graph.node[:]
        lstm.input.extend(inputs)
        found.graph.node.extend([*nodes, lstm])
        found.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items())

    return lambda: model(change)


def op(operator: str, *inputs: str, made: str = "made", **attributes: Any) -> Any:
    """A node that makes something."""
    return helper.make_node(operator, inputs, [made], **attributes)


def message(number: int, content: bytes) -> bytes:
    """A field of protobuf that holds another message, or bytes."""
    size, written = len(content), bytearray([number << 3 | 2] if number < 16 else [number << 3 & 0x7F | 0x82, number >> 4])
    while size > 0x7F:
        written.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(written) + bytes([size]) + content


def branches(depth: int, inner: bytes = b"") -> bytes:
    """A model with an If inside an If and so on; the innermost branch has these fields."""
    graph = inner
    for _ in range(depth):
        graph = message(1, message(4, b"If") + message(5, message(1, b"then_branch") + message(6, graph)))
    return b"\x08\x0a" + message(7, graph)


def functions(*calls: Sequence[int]) -> Callable[[], bytes]:
    """The same with local functions F0, F1, …, of which each calls those of these numbers, and a call of the last."""

    def change(found: Any) -> None:
        for number, called in enumerate(calls):
            nodes = [helper.make_node(f"F{other}", ["x"], [f"y{place}"], domain="local") for place, other in enumerate(called)]
            opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
            found.functions.append(helper.make_function("local", f"F{number}", ["x"], ["y0"], nodes, opsets))
        found.graph.node.append(helper.make_node(f"F{len(calls) - 1}", ["X"], ["z"], domain="local"))

    return lambda: model(change)


HUGE, LONG = np.array([2**20, 2**20]), np.array([1, 8, 2**20])
ROW = np.ones(1, np.float32)
BRANCH = helper.make_graph([], "branch", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
ONNX = r"not a readable \.onnx: "

ONNX_FILES: dict[str, Entry] = {
    "onnx as torch writes it": loads(model),
    "onnx that is cut off": unreadable(ONNX, lambda: model()[:120]),
    "onnx without its last byte": unreadable(".", lambda: model()[:-1]),
    "onnx with a bit over": unreadable(".", lambda: flipped(model(), 3)),
    "onnx of its first field": unreadable("no RNN, LSTM or GRU node", lambda: b"\x08\x0a"),
    "onnx with weights in passwd": unreadable("in a file that is never opened", lambda: outside("/etc/passwd")),
    "onnx with weights in a neighbour": unreadable("in a file that is never opened", lambda: outside("picture")),
    "onnx with weights in a folder above": unreadable("in a file that is never opened", lambda: outside("../../etc/passwd")),
    "onnx with weights on the network": unreadable("in a file that is never opened", lambda: outside("http://localhost/x")),
    "onnx of giant sizes": unreadable("over the limit|should have", lambda: tensor(0, dims=[1, 2**40, 2**40])),
    "onnx of sizes that overflow": unreadable("over the limit|should have", lambda: tensor(0, dims=[2**62, 2**62, 4])),
    "onnx of a negative size": unreadable("dimensions above 0", lambda: tensor(0, dims=[1, -8, 3])),
    "onnx of no size": unreadable("dimensions above 0", lambda: tensor(0, dims=[])),
    "onnx of too many values": unreadable("values, and", lambda: tensor(0, raw_data=bytes(400))),
    "onnx of half a value": unreadable(".", lambda: tensor(0, raw_data=bytes(97))),
    "onnx of whole numbers": unreadable("should hold floats", lambda: tensor(0, data_type=TensorProto.INT32)),
    "onnx of text": unreadable("should hold floats", lambda: tensor(0, data_type=TensorProto.STRING)),
    "onnx of an unknown type": unreadable("should hold floats", lambda: tensor(0, data_type=999)),
    "onnx of complex numbers": unreadable("should hold floats", lambda: tensor(0, data_type=TensorProto.COMPLEX64)),
    "onnx of 4 bits": unreadable("should hold floats", lambda: tensor(0, data_type=TensorProto.FLOAT4E2M1)),
    "onnx of NaN": loads(lambda: tensor(0, raw_data=np.full(24, np.nan, np.float32).tobytes())),
    "onnx without weights": unreadable("it has no W|is no constant", lambda: model(inputs=("X",))),
    "onnx with weights as inputs": unreadable("is no constant", lambda: model(inputs=("X", "V", "R", "B"))),
    "onnx with peepholes that are not there": unreadable(
        "P is no constant", lambda: model(inputs=("X", "W", "R", "B", "", "", "", "P"))
    ),
    "onnx with a wrong hidden size": unreadable("hidden_size is", lambda: model(hidden_size=2**60)),
    "onnx with another direction": unreadable("direction should be", lambda: model(direction=EVIL)),
    "onnx with other activations": unreadable(
        "activation .* is not one of ONNX", lambda: model(activations=[EVIL, "Tanh", "Tanh"])
    ),
    "onnx with an unknown attribute": unreadable("is not supported", lambda: model(**{EVIL: 1})),
    "onnx with a clip of nothing": unreadable("above 0", lambda: model(clip=0.0)),
    "onnx with a clip that is no number": unreadable("above 0", lambda: model(clip=float("nan"))),
    "onnx with endless numbers of activations": loads(lambda: model(activation_alpha=[0.5] * 10_000)),
    "onnx with a subgraph for an attribute": unreadable("is not supported", lambda: model(body=BRANCH)),
    "onnx with a subgraph beside": loads(lambda: model(node("c", "d", operator="If", then_branch=BRANCH, else_branch=BRANCH))),
    "onnx with text for a size": unreadable(".", lambda: model(hidden_size="two")),
    "onnx whose LSTM reads itself": loads(lambda: model(node("Y", "X"))),
    "onnx with a node that reads itself": loads(lambda: model(node("X", "X"))),
    "onnx with a ring of nodes": loads(lambda: model(chain)),
    "onnx with an unknown operator": loads(lambda: model(node("a", "b", operator=EVIL, domain="evil"))),
    "onnx with an evil name": loads(lambda: model(lambda found: setattr(found.graph.node[0], "name", EVIL))),
    "onnx with metadata": loads(lambda: model(lambda found: found.metadata_props.add(key=EVIL, value="x" * 10_000))),
    "onnx expanded to 2**40": unreadable(
        "1,099,511,627,776 values are over the limit", makes(op("Expand", "v", "s"), v=ROW, s=HUGE)
    ),
    "onnx filled to 2**40": unreadable(
        "1,099,511,627,776 values are over the limit", makes(op("ConstantOfShape", "s"), s=HUGE)
    ),
    "onnx filled to 2**248": unreadable("over the limit", makes(op("ConstantOfShape", "s"), s=np.full(4, 2**62))),
    "onnx filled to less than nothing": unreadable("0 or more", makes(op("ConstantOfShape", "s"), s=np.array([-1, 2]))),
    "onnx with states expanded to 2**40": unreadable(
        "initial_h is stored.*over the limit", makes(op("Expand", "v", "s"), place="initial_h", v=ROW, s=HUGE)
    ),
    "onnx with many lengths": unreadable(
        "sequence_lens are over the limit",
        makes(op("Expand", "v", "s"), place="sequence_lens", v=np.ones(1, np.int64), s=np.array([2**26])),
    ),
    "onnx of one tensor 10,000 times": unreadable(
        "made has .* values, over the limit|has [0-9,]+ values, over the limit",
        makes(op("ConstantOfShape", "s", made="a"), op("Concat", *["a"] * 10_000, axis=2), s=LONG),
    ),
    "onnx doubled 60 times": unreadable(
        "values, over the limit",
        makes(
            op("Identity", "W", made="a0"),
            *(op("Concat", f"a{k}", f"a{k}", made=f"a{k + 1}", axis=2) for k in range(60)),
            op("Identity", "a60"),
        ),
    ),
    "onnx of a chain of products": unreadable(
        "values, over the limit",
        makes(
            op("ConstantOfShape", "s", made="a0"),
            *(op("Mul", f"a{k}", f"a{k}", made=f"a{k + 1}") for k in range(5_000)),
            op("Identity", "a5000"),
            s=LONG,
        ),
    ),
    "onnx of a chain of views": unreadable(
        "W should have shape",
        makes(
            op("ConstantOfShape", "s", made="a0"),
            *(op("Transpose", f"a{k}", made=f"a{k + 1}", perm=[0, 1, 2]) for k in range(9_000)),
            op("Slice", "a9000", "f", "l", "x"),
            s=LONG,
            f=np.array([0]),
            l=np.array([7]),
            x=np.array([1]),
        ),
    ),
    "onnx gathered from all over": unreadable(
        "over the limit",
        makes(op("Expand", "i", "s", made="all"), op("Gather", "W", "all"), i=np.zeros(1, np.int64), s=np.array([2**26])),
    ),
    "onnx reshaped to 2**40": unreadable("computed by Reshape, which cannot be done", makes(op("Reshape", "W", "s"), s=HUGE)),
    "onnx with 1,000 axes more": unreadable(
        "computed by Unsqueeze, which cannot be done", makes(op("Unsqueeze", "W", "s"), s=np.arange(1_000))
    ),
    "onnx of a ring of constants": unreadable(
        "made of itself", makes(op("Identity", "a", made="b"), op("Identity", "b", made="a"), op("Add", "a", "b"))
    ),
    "onnx transposed in no order": unreadable(
        "computed by Transpose, which cannot", makes(op("Transpose", "W", perm=[7, 7, 7]))
    ),
    "onnx with an axis out of range": unreadable("computed by Concat, which cannot", makes(op("Concat", "W", axis=2**40))),
    "onnx with a scale of no shape": unreadable(
        "computed by DequantizeLinear, which cannot",
        makes(op("DequantizeLinear", "a", "s"), a=np.ones((1, 8, 3), np.int8), s=np.ones((2, 2, 2), np.float32)),
    ),
    "onnx scaled along nothing": unreadable(
        "computed by DequantizeLinear, which cannot",
        makes(op("DequantizeLinear", "a", "s"), a=np.ones((), np.int8), s=np.ones(2, np.float32)),
    ),
    "onnx cast to text": unreadable("computed by Cast, which cannot", makes(op("Cast", "W", to=TensorProto.STRING))),
    "onnx without what an operator reads": unreadable("computed by Mul, which cannot", makes(op("Mul", "W"))),
    "onnx of an operator with an evil name": unreadable("computed by", makes(op(EVIL, "W"))),
    "onnx with branches in branches": unreadable("no RNN, LSTM or GRU node", lambda: branches(20)),
    "onnx with 1,000 branches in branches": unreadable(ONNX, lambda: branches(1_000)),
    "onnx with many nodes in a branch": unreadable("over the limit of 10,000", lambda: branches(3, message(1, b"") * 2**20)),
    "onnx with a function that calls itself": unreadable("or call themselves", functions([0])),
    "onnx with functions that call twice": unreadable("over the limit of 10,000", functions([], *([k, k] for k in range(40)))),
    "onnx with functions in functions": unreadable("too deep inside one another", functions([], *([k] for k in range(150)))),
    "onnx with a function of its own": loads(functions([])),
    "onnx of a later version": loads(lambda: model(lambda found: setattr(found, "ir_version", 2**40))),
}
