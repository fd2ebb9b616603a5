"""What a variant of a cell costs: a free replay of it, against one of the plain cell of the same size."""

from functools import partial
from typing import Any

from measure import Figure, clock, in_turns

# isort: split
import numpy as np

from rnntrace.engine.replay.replay import replay
from rnntrace.model.inputs import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

SIZES = ((50, 1, 3, 2), (1000, 1, 64, 64), (1000, 16, 128, 128), (200, 64, 256, 512))
"""(T, B, I, H)"""
TARGET = 1.3
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "LSTM": (
        {"peepholes": True},
        {"coupled": True},
        {"clip": 3.0},
        {"peepholes": True, "clip": 3.0},
        {"recurrent_activation": "hard_sigmoid"},
        {"activation": "relu"},
        {"activation": "elu"},
        {"layer_norm": True},
    ),
    "GRU": ({"reset_after": False}, {"clip": 3.0}, {"activation": "leaky_relu"}),
    "RNN": ({"independent": True}, {"clip": 3.0}, {"nonlinearity": "softsign"}),
}


def figures(pairs: int) -> list[Figure]:
    """Each variant at each size."""
    found = []
    for kind, variants in VARIANTS.items():
        for size in SIZES:
            plain = _replay(kind, size, {})
            for options in variants:
                words = ", ".join(name if value is True else f"{name} {value}" for name, value in options.items())
                sides = partial(clock, _replay(kind, size, options)), partial(clock, plain)
                T, B, I, H = size
                found.append(in_turns(f"{kind}, {words}", f"T={T} B={B} I={I} H={H}", f"plain {kind}", *sides, TARGET, pairs))
    return found


def _replay(kind: str, size: tuple[int, int, int, int], options: dict[str, Any]) -> Any:
    """A call of the replay on random weights and inputs."""
    T, B, I, H = size
    spec = ModuleSpec(kind=kind, input_size=I, hidden_size=H, **options)
    rng = np.random.default_rng(0)
    arrays = {name: rng.uniform(-1, 1, shape).astype(np.float32) / H**0.5 for name, shape in spec.shapes(0).items()}
    zeros = np.zeros((1, B, H), np.float32)
    inputs = Inputs(rng.normal(size=(T, B, I)).astype(np.float32), zeros, zeros if spec.has_cell_state else None)
    return partial(replay, spec, Weights({(0, "forward"): LayerWeights(arrays=arrays)}), inputs)
