"""`compare`: which of its forms a request means."""

from collections.abc import Mapping
from dataclasses import dataclass

from rnntrace.api.compare_one import Told, compare_with_expected, compare_with_torch, read_weights
from rnntrace.api.compare_two import compare_traces, compare_weights, is_trace
from rnntrace.api.judging import Judging
from rnntrace.api.sources import Sources
from rnntrace.errors import UsageError
from rnntrace.files import label
from rnntrace.report.result import Result


@dataclass(frozen=True)
class Compared:
    """The results by module; `from_shapes` if what the modules are was told from shapes."""

    results: Mapping[str, Result]
    from_shapes: bool


def compare(
    file: str,
    other: str | None = None,
    *,
    told: Told | None = None,
    sources: Sources | None = None,
    judging: Judging | None = None,
    expected: str | None = None,
    distribution: str = "normal",
    seed: int | None = None,
    device: str = "cpu",
) -> Compared:
    """Compare saved weights with torch or with `expected` outputs, or two files: saved traces, or weights on the same input.

    Raises RnnTraceError for files that cannot be read or compared.
    """
    told, sources, judging = told or Told(), sources or Sources(), judging or Judging()
    if other is not None and expected is not None:
        raise UsageError("--expected judges one file of weights: leave it or the second file out")
    if other is not None and is_trace(file):
        return Compared(compare_traces(file, other, judging), from_shapes=False)
    modules = read_weights(file, told)
    if other is not None:
        names = label(file), label(other)
        second = read_weights(other, told)
        results = compare_weights(modules, second, sources, judging, names, distribution=distribution, seed=seed)
    elif expected is not None:
        results = compare_with_expected(modules, sources, judging, expected)
    else:
        results = compare_with_torch(modules, sources, judging, distribution=distribution, seed=seed, device=device)
    return Compared(results, from_shapes=True)
