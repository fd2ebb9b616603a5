"""How much a replay costs, as ratios of CPU time against a peer in the same run, one thread, medians of interleaved pairs.

    python benchmarks/replay.py            everything, printed and written to benchmarks/results.json
    python benchmarks/replay.py torch      one part of it: torch, verdict, variants, peers, growth, commands or long

A replay keeps every gate and state; torch's own call, its peer, keeps h alone.
"""

import json
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measure import Figure, clock, in_turns, table

# isort: split
import commands
import long
import numpy as np
import peers
import torch
import variants
import verdict
from threadpoolctl import threadpool_info

from rnntrace.engine.replay.replay import replay
from rnntrace.frameworks.torch import modules as framework
from rnntrace.model.inputs import Inputs
from rnntrace.model.layouts import weights_from_torch

SIZES = ((50, 1, 3, 2), (1000, 1, 64, 64), (1000, 16, 128, 128), (200, 64, 256, 512), (1000, 64, 256, 256))
"""(T, B, I, H)"""
FORCED = {"LSTM": (0.5, 0.9, 1.3, 1.4, 1.5), "GRU": (0.2, 0.1, 0.7, 1.0, 1.0), "RNN": (0.2, 0.1, 0.7, 1.0, 1.0)}
FREE = {"LSTM": (2.0, 3.0, 2.0, 1.7, 1.5), "GRU": (1.2,) * 5, "RNN": (1.2,) * 5}
"""What is aimed at, by kind, size after size."""


class Case:
    """A module of torch on random input, and what a replay of it takes."""

    def __init__(self, kind: str, size: tuple[int, int, int, int], layers: int = 1) -> None:
        T, B, I, H = size
        torch.manual_seed(0)
        self.module, self.x = getattr(torch.nn, kind)(I, H, layers), torch.randn(T, B, I)
        spec = framework.spec_of(self.module)
        zeros = np.zeros((layers, B, H), np.float32)
        inputs = Inputs(self.x.numpy(), zeros, zeros if kind == "LSTM" else None)
        self.arguments = spec, weights_from_torch(spec, framework.parameters(self.module, spec)), inputs
        self.known = {(0, "forward", "h"): self.torch()[0].numpy()}
        self.name, self.size = kind, f"T={T} B={B} I={I} H={H}"

    def torch(self) -> Any:
        """The framework's own call."""
        with torch.no_grad():
            return self.module(self.x)

    def free(self) -> object:
        """A free-running replay."""
        return replay(*self.arguments)

    def forced(self) -> object:
        """A replay forced with torch's h."""
        return replay(*self.arguments, known=self.known)

    def products(self) -> None:
        """The matrix products of a forced replay alone, in blocks of the same length."""
        from rnntrace.engine.replay.replay import BLOCK

        _, weights, inputs = self.arguments
        column, rows = weights[0, "forward"], inputs.steps * inputs.batch
        sides = ((inputs.x.reshape(rows, -1), column.W_ih), (self.known[0, "forward", "h"].reshape(rows, -1), column.W_hh))
        for values, W in sides:
            matrix = np.ascontiguousarray(W.reshape(-1, W.shape[2]).T)
            out = np.empty((BLOCK, matrix.shape[1]), np.float32)
            for first in range(0, rows, BLOCK):
                block = values[first : first + BLOCK]
                block.dot(matrix, out[: len(block)])


def against_torch(pairs: int) -> list[Figure]:
    """Free-running and forced against the framework's call."""
    found = []
    for kind in ("LSTM", "GRU", "RNN"):
        for place, size in enumerate(SIZES):
            case = Case(kind, size)
            for work, run, targets in (("forced", case.forced, FORCED), ("free-running", case.free, FREE)):
                ours, theirs = _clocked(run), _clocked(case.torch)
                found.append(in_turns(f"{kind} {work}", case.size, "torch.nn", ours, theirs, targets[kind][place], pairs))
    return found


def _clocked(work: Callable[[], object]) -> Callable[[], float]:
    return lambda: clock(work)


def growth(pairs: int) -> list[Figure]:
    """Twice as much of something takes twice the time; products are most of it; memory is the trace's own."""
    found = []
    T, B, I, H = 500, 8, 64, 64
    base = Case("LSTM", (T, B, I, H))
    doubled = {
        "2 T": Case("LSTM", (2 * T, B, I, H)),
        "2 B": Case("LSTM", (T, 2 * B, I, H)),
        "2 layers": Case("LSTM", (T, B, I, H), 2),
    }
    for name, case in doubled.items():
        found.append(in_turns("LSTM free-running", name, base.size, _clocked(case.free), _clocked(base.free), 2.1, pairs))
    for kind in ("LSTM", "GRU", "RNN"):
        case = Case(kind, (200, 64, 256, 256))
        work, peer = f"{kind}: products alone", "forced replay"
        found.append(in_turns(work, case.size, peer, _clocked(case.products), _clocked(case.forced), 0.6, pairs))
    return found


def memory() -> str:
    """Peak of what a replay allocates, as a multiple of the trace."""
    lines = ["| replay | size | trace, MB | peak / trace |", "|---|---|---|---|"]
    for kind in ("LSTM", "GRU", "RNN"):
        for size in ((1000, 1, 64, 64), (1000, 16, 128, 128), (200, 64, 256, 512)):
            case = Case(kind, size)
            for work, run in (("forced", case.forced), ("free-running", case.free)):
                tracemalloc.start()
                trace: Any = run()
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                own = sum(array.nbytes for array in trace.columns.values())
                lines.append(f"| {kind} {work} | {case.size} | {own / 1e6:.1f} | {peak / own:.2f} |")
    return "\n".join(lines)


PARTS = {
    "torch": (against_torch, 7),
    "verdict": (verdict.figures, 7),
    "variants": (variants.figures, 5),
    "peers": (peers.figures, 3),
    "growth": (growth, 5),
    "commands": (commands.figures, 5),
}


def kernels() -> str:
    """Which kernels numpy's BLAS has chosen for this processor, in words."""
    pools = [pool for pool in threadpool_info() if "architecture" in pool]
    found = [f"{pool['internal_api']} {pool['version']}, {pool['architecture']}" for pool in pools]
    return f"numpy {np.__version__} on {' and '.join(found) or 'an unknown BLAS'}"


def main() -> None:
    """Measure, print and write down."""
    torch.set_num_threads(1)
    print(kernels(), flush=True)
    wanted = sys.argv[1:] or [*PARTS, "long"]
    results: dict[str, Any] = {}
    for part in wanted:
        if part == "long":
            results[part] = long.runs()
            print(f"\n## {part}\n\n{long.table(results[part])}", flush=True)
            continue
        measure, pairs = PARTS[part]
        results[part] = measure(pairs)
        print(f"\n## {part}\n\n{table(results[part])}", flush=True)
        if part == "growth":
            print(f"\n{memory()}", flush=True)
    file = Path(__file__).with_name("results.json")
    document = json.loads(file.read_text()) | {part: [asdict(figure) for figure in found] for part, found in results.items()}
    file.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
