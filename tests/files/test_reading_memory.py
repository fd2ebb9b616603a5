"""How much memory reading takes: no more than twice the size of the file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from formats import NAMED

pytestmark = [
    pytest.mark.usefixtures("folder"),
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process its peak"),
]

PEAK = """
import sys
import rnntrace
rnntrace.load(sys.argv[1])
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
"""Not resource.getrusage, which remembers what the process was before it became this one."""


def weights(size: int) -> dict[str, np.ndarray]:
    """An LSTM of two layers, as torch has it."""
    rows = 4 * size
    shapes = {"weight_ih": (rows, size), "weight_hh": (rows, size), "bias_ih": (rows,), "bias_hh": (rows,)}
    return {f"{name}_l{layer}": np.ones(shape, "f") for layer in range(2) for name, shape in shapes.items()}


def onnx_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """The same as two nodes."""
    from onnx import TensorProto, helper, numpy_helper

    hidden = len(arrays["weight_ih_l0"]) // 4
    stored, nodes, source = [numpy_helper.from_array(np.array([1]), "axes")], [], "X"
    for layer in range(2):
        bias = np.concatenate([arrays[f"bias_ih_l{layer}"], arrays[f"bias_hh_l{layer}"]])
        parts = {"W": arrays[f"weight_ih_l{layer}"], "R": arrays[f"weight_hh_l{layer}"], "B": bias}
        stored += [numpy_helper.from_array(array[None], f"{name}{layer}") for name, array in parts.items()]
        inputs = [source, *(f"{name}{layer}" for name in parts)]
        nodes.append(helper.make_node("LSTM", inputs, [f"Y{layer}"], hidden_size=hidden))
        nodes.append(helper.make_node("Squeeze", [f"Y{layer}", "axes"], [source := f"S{layer}"]))
    signals = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("X", "S1")]
    model = helper.make_model(helper.make_graph(nodes, "g", signals[:1], signals[1:], stored))
    return bytes(model.SerializeToString())


WRITERS = {how: NAMED[how] for how in ("npz", "pt", "safetensors")} | {"onnx": onnx_bytes}


def peak(content: bytes) -> int:
    """Bytes that a process has at most which loads such a file."""
    Path("file.bin").write_bytes(content)
    done = subprocess.run([sys.executable, "-c", PEAK, "file.bin"], capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024


@pytest.mark.parametrize("how", WRITERS)
def test_twice_the_file_is_enough(how: str) -> None:
    """What a large file takes more than a small one of its kind; a tenth more for what the system rounds up."""
    small, large = (WRITERS[how](weights(size)) for size in (8, 1024))
    assert len(large) > 60_000_000
    assert peak(large) - peak(small) < 2.1 * (len(large) - len(small))
