"""One layer as an ONNX model, for runtimes that are set beside the replay."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from rnntrace.model.conventions import BY_NAME, ONNX
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights


def as_onnx(spec: ModuleSpec, weights: Weights) -> bytes:
    """A model with one node: X (T, B, I) to Y (T, D, B, H) and Y_h (D, B, H)."""
    order = [spec.cell.gates.index(gate) for gate in BY_NAME[ONNX].order(spec.cell)]
    columns = [weights[0, direction] for direction in spec.directions]
    arrays = {
        "W": np.stack([found.W_ih[order].reshape(-1, spec.input_size) for found in columns]),
        "R": np.stack([found.W_hh[order].reshape(-1, spec.hidden_size) for found in columns]),
    }
    if spec.bias:
        both = [np.stack([b[order].ravel() for b in (found.b_ih, found.b_hh) if b is not None]).ravel() for found in columns]
        arrays["B"] = np.stack(both)
    options: dict[str, Any] = {"hidden_size": spec.hidden_size}
    options["direction"] = "bidirectional" if spec.bidirectional else "forward"
    if spec.cell.kind == "GRU":
        options["linear_before_reset"] = int(spec.reset_after)
    if spec.nonlinearity == "relu":
        options["activations"] = ["Relu"] * len(columns)
    node = helper.make_node(spec.cell.kind, ["X", *arrays], ["Y", "Y_h"], **options)
    signals = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("X", "Y", "Y_h")]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph([node], "layer", signals[:1], signals[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
