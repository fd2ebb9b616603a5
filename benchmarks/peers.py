"""Other ways to see an LSTM's gates, or its states: each is what somebody writes who does not have rnntrace."""

import warnings
from collections.abc import Callable
from importlib.util import find_spec

from measure import Figure, clock, in_turns

# isort: split
import numpy as np
import torch
from torch import nn

from rnntrace.engine.replay.replay import replay
from rnntrace.frameworks.torch import modules as framework
from rnntrace.frameworks.torch.capture import capture_gates
from rnntrace.model.inputs import Inputs
from rnntrace.model.layouts import weights_from_torch

SIZES = ((50, 1, 3, 2), (1000, 1, 64, 64), (200, 16, 128, 128), (50, 64, 256, 512))
"""(T, B, I, H)"""


def notebook_loop(module: nn.LSTM, x: torch.Tensor) -> list[torch.Tensor]:
    """A product per gate and step, every gate kept, as lessons write it."""
    W_ih, W_hh = (dict(zip("ifgo", getattr(module, name).chunk(4), strict=True)) for name in ("weight_ih_l0", "weight_hh_l0"))
    b_ih, b_hh = (dict(zip("ifgo", getattr(module, name).chunk(4), strict=True)) for name in ("bias_ih_l0", "bias_hh_l0"))
    h = c = torch.zeros(x.shape[1], module.hidden_size)
    kept = []
    for x_t in x:
        a = {gate: x_t @ W_ih[gate].T + b_ih[gate] + h @ W_hh[gate].T + b_hh[gate] for gate in "ifgo"}
        i, f, g, o = torch.sigmoid(a["i"]), torch.sigmoid(a["f"]), torch.tanh(a["g"]), torch.sigmoid(a["o"])
        c = f * c + i * g
        h = o * torch.tanh(c)
        kept += [i, f, g, o, c, h]
    return kept


def cell_loop(module: nn.LSTM, x: torch.Tensor) -> Callable[[], object]:
    """nn.LSTMCell step by step: h and c, no gates."""
    cell = nn.LSTMCell(module.input_size, module.hidden_size)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in module.state_dict().items()})

    def run() -> list[torch.Tensor]:
        h = c = torch.zeros(x.shape[1], module.hidden_size)
        kept = []
        for x_t in x:
            h, c = cell(x_t, (h, c))
            kept += [h, c]
        return kept

    return run


def hooked(module: nn.LSTM, x: torch.Tensor) -> Callable[[], object]:
    """torch.ao.nn.quantizable.LSTM, whose activations are modules, with a hook on each. Its weights are its own."""
    from torch.ao.nn.quantizable import LSTM

    other, kept = LSTM(module.input_size, module.hidden_size), []
    for part in other.modules():
        if not [*part.children()]:
            part.register_forward_hook(lambda _, __, output: kept.append(output))

    def run() -> object:
        kept.clear()
        return other(x)

    return run


def onnx_reference(module: nn.LSTM, x: torch.Tensor) -> Callable[[], object]:
    """onnx.reference.ReferenceEvaluator on one LSTM node: h and the last c, no gates. ONNX orders the gates i, o, f, c."""
    from onnx import TensorProto, helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    def in_order(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        i, f, g, o = getattr(module, name).detach().chunk(4)
        return torch.cat([i, o, f, g])[None].numpy()

    constants = {
        "W": in_order("weight_ih_l0"),
        "R": in_order("weight_hh_l0"),
        "B": np.concatenate([in_order("bias_ih_l0"), in_order("bias_hh_l0")], axis=1),
    }
    node = helper.make_node("LSTM", ["X", *constants], ["Y", "Y_h", "Y_c"], hidden_size=module.hidden_size)
    graph = helper.make_graph(
        [node],
        "lstm",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("Y", "Y_h", "Y_c")],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)]))
    return lambda: evaluator.run(None, {"X": x.numpy()})


def logged(module: nn.LSTM, x: torch.Tensor) -> Callable[[], object]:
    """torchlens, which keeps what every operator of a model gives: here of the notebook's loop."""
    from torchlens import trace

    class Loop(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return notebook_loop(module, x)[-1]

    return lambda: trace(Loop(), x)


def figures(pairs: int) -> list[Figure]:
    """A free replay with all gates against each."""
    found = []
    for T, B, I, H in SIZES:
        torch.manual_seed(0)
        module, x = nn.LSTM(I, H), torch.randn(T, B, I)
        spec = framework.spec_of(module)
        weights, zeros = weights_from_torch(spec, framework.parameters(module, spec)), np.zeros((1, B, H), np.float32)
        inputs = Inputs(x.numpy(), zeros, zeros)

        def captured(module: nn.LSTM = module, x: torch.Tensor = x, spec: object = spec, inputs: Inputs = inputs) -> object:
            def run() -> dict[str, object]:
                output, (h_n, c_n) = module(x)
                return {"output": output.numpy(), "h_n": h_n.numpy(), "c_n": c_n.numpy()}

            return capture_gates(run, spec, inputs)  # type: ignore[arg-type]

        def free(spec: object = spec, weights: object = weights, inputs: Inputs = inputs) -> object:
            return replay(spec, weights, inputs)  # type: ignore[arg-type]

        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            peers: dict[str, Callable[[], object]] = {
                "loop of a notebook": lambda module=module, x=x: notebook_loop(module, x),  # type: ignore[misc]
                "loop over nn.LSTMCell": cell_loop(module, x),
                "TorchDispatchMode": captured,
                "quantizable.LSTM, hooked": hooked(module, x),
                "onnx.reference": onnx_reference(module, x),
            }
            # It takes seconds for fifty steps, and minutes for a thousand.
            if find_spec("torchlens") and SIZES[0] == (T, B, I, H):
                peers["torchlens"] = logged(module, x)
            for name, peer in peers.items():
                size, ours = f"T={T} B={B} I={I} H={H}", lambda free=free: clock(free)
                theirs = lambda peer=peer: clock(peer)  # noqa: E731
                found.append(in_turns("LSTM free-running", size, name, ours, theirs, 1.0, pairs))
    return found
