"""`compare`: which of its forms a request means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.errors import UsageError
from rnntrace.files import label
from rnntrace.frameworks import FRAMEWORKS
from rnntrace.verbs.compare_one import compare_with_expected, compare_with_framework
from rnntrace.verbs.compare_two import compare_traces, compare_weights, is_trace
from rnntrace.verbs.given.naming import listed
from rnntrace.verbs.given.overrides import FileOverrides, Modules, read_files
from rnntrace.verbs.given.sources import Sources, read_sources


class ReadSources(Protocol):
    """Reads the signals once it is known which axis of x is time."""

    def __call__(self, *, batch_first: bool) -> Sources:
        """The signals."""


@dataclass(frozen=True)
class Compared:
    """The results by module; `assumed` are the fields of each module's spec that its file does not tell."""

    results: Mapping[str, Result]
    assumed: Mapping[str, tuple[str, ...]]


def compare(
    file: str,
    other: str | None = None,
    *,
    overrides: FileOverrides | None = None,
    sources: ReadSources | None = None,
    judging: JudgeOptions | None = None,
    expected: str | None = None,
    require: Sequence[str] = (),
    framework: str | None = None,
    distribution: str = "normal",
    seed: int | None = None,
    device: str = "cpu",
) -> Compared:
    """Compare saved weights with torch or with `expected` outputs, or two files: saved traces, or weights on the same input.

    `require` names what `expected` has to hold. With it torch is left out, unless `framework` asks for it too: then there are
    two results, and both must agree. Without `sources` the signals are drawn. Raises RnnTraceError for files that cannot be
    read or compared.
    """
    overrides, judging = overrides or FileOverrides(), judging or JudgeOptions()
    if other is not None and (expected is not None or framework is not None):
        option = "--expected" if expected is not None else "--framework"
        raise UsageError(f"{option} judges one file of weights: leave it or the second file out")
    if other is not None and (judging.mistakes or judging.blind):
        option = "--mistake" if judging.mistakes else "--blind"
        raise UsageError(f"{option} asks about one file of weights: leave it or the second file out")
    if require and expected is None:
        raise UsageError("--require says what --expected has to hold: give that too, or leave --require out")
    if framework is not None and framework not in FRAMEWORKS:
        raise UsageError(f"unknown framework {framework!r}: choose one of {', '.join(FRAMEWORKS)}")
    without_torch = other is not None or (expected is not None and framework is None)
    for option, given in {"--capture": judging.capture != "auto", "--device": device != "cpu"}.items():
        if without_torch and given:
            raise UsageError(f"{option} says how torch runs, which is left out here: leave {option} out too")
    if other is not None and is_trace(file):
        if sources is not None or overrides != FileOverrides():
            raise UsageError("two saved traces hold their module and input: leave out the flags that describe them")
        return Compared(compare_traces(file, other, judging), {})
    modules, *second = read_files([file] if other is None else [file, other], overrides)
    signals = (sources or read_sources)(batch_first=any(module.spec.batch_first for module in modules.values()))
    if other is not None:
        names = label(file), label(other)
        results = compare_weights(modules, second[0], signals, judging, names, distribution=distribution, seed=seed)
    elif expected is not None:
        results = compare_with_expected(modules, signals, judging, expected, overrides.ignored, require)
        if framework is not None:
            beside = compare_with_framework(modules, signals, judging, framework=framework, device=device)
            overrides.ignored.check()
            return _both(modules, _named(file, expected, modules, results), framework, beside)
    else:
        results = compare_with_framework(
            modules,
            signals,
            judging,
            framework=framework or "torch",
            distribution=distribution,
            seed=seed,
            device=device,
        )
    overrides.ignored.check()
    results = _named(file, expected, modules, results)
    return Compared(results, {prefix: modules[prefix].assumed for prefix in results})


def _named(file: str, expected: str | None, modules: Modules, results: dict[str, Result]) -> dict[str, Result]:
    """The results with the outputs named that were saved beside the weights, and that nobody was told to judge."""
    found = dict.fromkeys(signal for module in modules.values() for signal in module.signals)
    if not found or file == expected:
        return results
    remark = f"{label(file)} holds {listed([*found])} beside the weights, which is not read: see --expected"
    return {
        prefix: replace(result, unused=(*result.unused, *found), warnings=(*result.warnings, remark))
        for prefix, result in results.items()
    }


def _both(modules: Modules, expected: Mapping[str, Result], framework: str, beside: Mapping[str, Result]) -> Compared:
    """The same modules judged twice; each result is named by what it was judged by."""
    sides = {"expected": expected, framework: beside}
    named = {
        " · ".join(filter(None, (prefix, side))): (result, modules[prefix].assumed)
        for side, results in sides.items()
        for prefix, result in results.items()
    }
    return Compared(
        {name: result for name, (result, _) in named.items()}, {name: assumed for name, (_, assumed) in named.items()}
    )
