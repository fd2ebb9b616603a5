"""What a whole verdict costs: `rnntrace.trace` of a module of torch.nn, its own pass included, against that pass alone."""

from functools import partial
from typing import Any

import torch
from measure import Figure, clock, in_turns

import rnntrace

SIZES = ((50, 1, 3, 2), (1000, 1, 64, 64), (1000, 16, 128, 128), (200, 64, 256, 512), (1000, 64, 256, 256))
"""(T, B, I, H)"""
TARGETS: dict[str, tuple[float | None, ...]] = {
    "LSTM": (8.0, 5.0, 3.5, 3.0, 2.5),
    "GRU": (None, None, 2.0, 2.0, 2.0),
    "RNN": (None, None, 2.0, 2.0, 2.0),
}
"""What is aimed at, by kind, size after size."""


def figures(pairs: int) -> list[Figure]:
    """Each kind at each size, without torch's gates, for which it would run a second time, operator by operator."""
    found = []
    for kind, targets in TARGETS.items():
        for (T, B, I, H), target in zip(SIZES, targets, strict=True):
            torch.manual_seed(0)
            module, x = getattr(torch.nn, kind)(I, H), torch.randn(T, B, I)
            assert rnntrace.trace(module, x, capture="off").passed
            size = f"T={T} B={B} I={I} H={H}"
            sides = partial(clock, partial(_traced, module, x)), partial(clock, partial(_alone, module, x))
            found.append(in_turns(f"{kind} verdict", size, "torch.nn", *sides, target, pairs))
    return found


def _traced(module: Any, x: torch.Tensor) -> object:
    return rnntrace.trace(module, x, capture="off")


def _alone(module: Any, x: torch.Tensor) -> object:
    with torch.no_grad():
        return module(x)
