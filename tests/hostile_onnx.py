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
    "onnx with peepholes": unreadable("peephole", lambda: model(inputs=("X", "W", "R", "B", "", "", "", "P"))),
    "onnx with a wrong hidden size": unreadable("hidden_size is", lambda: model(hidden_size=2**60)),
    "onnx with another direction": unreadable("direction should be", lambda: model(direction=EVIL)),
    "onnx with other activations": unreadable("activations", lambda: model(activations=[EVIL, "Tanh", "Tanh"])),
    "onnx with an unknown attribute": unreadable("is not supported", lambda: model(**{EVIL: 1})),
    "onnx with a clip": unreadable("is not supported", lambda: model(clip=1.0)),
    "onnx with a subgraph for an attribute": unreadable("is not supported", lambda: model(body=BRANCH)),
    "onnx with a subgraph beside": loads(lambda: model(node("c", "d", operator="If", then_branch=BRANCH, else_branch=BRANCH))),
    "onnx with text for a size": unreadable(".", lambda: model(hidden_size="two")),
    "onnx whose LSTM reads itself": loads(lambda: model(node("Y", "X"))),
    "onnx with a node that reads itself": loads(lambda: model(node("X", "X"))),
    "onnx with a ring of nodes": loads(lambda: model(chain)),
    "onnx with an unknown operator": loads(lambda: model(node("a", "b", operator=EVIL, domain="evil"))),
    "onnx with an evil name": loads(lambda: model(lambda found: setattr(found.graph.node[0], "name", EVIL))),
    "onnx with metadata": loads(lambda: model(lambda found: found.metadata_props.add(key=EVIL, value="x" * 10_000))),
    "onnx of a later version": loads(lambda: model(lambda found: setattr(found, "ir_version", 2**40))),
}
