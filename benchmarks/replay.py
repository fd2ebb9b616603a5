"""How much a replay costs, as ratios against torch's own call in the same run, one thread, interleaved, medians.

    python benchmarks/replay.py            print the table
    python benchmarks/replay.py --json     print the figures as JSON

The lesson-sized case is the one that `rnntrace run` is made for. Whole commands are set against `import torch`, which is most
of what a short command costs.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import torch  # noqa: E402

import rnntrace  # noqa: E402
from rnntrace.engine.replay import replay  # noqa: E402

PAIRS = 9
SIZES = ((50, 1, 3, 8), (50, 1, 3, 2), (1000, 1, 64, 64), (1000, 16, 128, 128), (200, 64, 256, 512))
"""(T, B, I, H); the first is the lesson-sized case."""


@dataclass(frozen=True)
class Figure:
    """One line: medians in milliseconds, and the median of the ratios of interleaved pairs."""

    work: str
    size: str
    ours_ms: float
    peer_ms: float
    ratio: float


def clock(work: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def compare(work: str, size: str, ours: Callable[[], object], peer: Callable[[], object], pairs: int = PAIRS) -> Figure:
    """Both in turns, after one warm-up each."""
    ours(), peer()
    times = [(clock(ours), clock(peer)) for _ in range(pairs)]
    return Figure(work, size, median(a for a, _ in times), median(b for _, b in times), median(a / b for a, b in times))


def replays() -> list[Figure]:
    """Free-running and forced, all gates kept, against the framework's call."""
    figures = []
    for kind in ("RNN", "LSTM", "GRU"):
        for T, B, I, H in SIZES:
            torch.manual_seed(0)
            module, x = getattr(torch.nn, kind)(I, H), torch.randn(T, B, I)
            result = rnntrace.trace(module, x, capture="off")
            known = result.observation.hidden

            def framework(module: torch.nn.Module = module, x: torch.Tensor = x) -> None:
                with torch.no_grad():
                    module(x)

            def free(result: rnntrace.Result = result) -> None:
                replay(result.spec, result.weights, result.inputs)

            def forced(result: rnntrace.Result = result, known: object = known) -> None:
                replay(result.spec, result.weights, result.inputs, known=known)  # type: ignore[arg-type]

            size = f"T={T} B={B} I={I} H={H}"
            figures += [
                compare(f"{kind} free-running", size, free, framework),
                compare(f"{kind} forced", size, forced, framework),
            ]
    return figures


def commands() -> list[Figure]:
    """Whole processes."""

    def process(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    run = process("-m", "rnntrace", "run", "lstm", "--hidden", "2", "--seed", "1")
    help_text = process("-m", "rnntrace", "--help")
    return [
        compare("rnntrace run lstm", "against import torch", run, process("-c", "import torch"), 5),
        compare("rnntrace --help", "against import typer, rich.table", help_text, process("-c", "import typer, rich.table"), 5),
    ]


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    figures = [*replays(), *commands()]
    if "--json" in sys.argv[1:]:
        print(json.dumps([asdict(figure) for figure in figures], indent=1))
        return
    print("| work | size | rnntrace, ms | peer, ms | ratio |\n|---|---|---|---|---|")
    for figure in figures:
        print(f"| {figure.work} | {figure.size} | {figure.ours_ms:.2f} | {figure.peer_ms:.2f} | {figure.ratio:.2f} |")


if __name__ == "__main__":
    main()
