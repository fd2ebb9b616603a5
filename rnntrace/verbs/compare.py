"""`compare`: weights beside a framework, against expected outputs, or beside other weights; and two traces."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.equations.cell import Cell
from rnntrace.errors import SignalError, UsageError
from rnntrace.files.columns import columns_of
from rnntrace.files.grid import grid
from rnntrace.files.ignored import Ignored
from rnntrace.frameworks.registry import FRAMEWORKS
from rnntrace.model.axes import Axes
from rnntrace.verbs.chained import in_chain, with_behind
from rnntrace.verbs.compare_one import compare_with_expected, compare_with_framework, merged_readings
from rnntrace.verbs.compare_two import compare_traces, compare_weights
from rnntrace.verbs.given.arrays import label_of, labels_of
from rnntrace.verbs.given.keywords import given, pass_on, several
from rnntrace.verbs.given.modules import is_result
from rnntrace.verbs.given.naming import listed
from rnntrace.verbs.given.overrides import FileOverrides, Modules, course_of, own_states, read_files
from rnntrace.verbs.given.sources import SIGNALS, Sources, own_signals, read_sources
from rnntrace.verbs.given.traces import is_trace, opened
from rnntrace.verbs.results import Results


def compare(
    weights: Any,
    input: Any = None,
    *,
    other: Any = None,
    expected: Any = None,
    require: str | Sequence[str] = (),
    framework: str | None = None,
    cell: Cell | str | Path | None = None,
    module: str | None = None,
    names: str | Sequence[str] = (),
    layout: str | None = None,
    config: Any = None,
    graph_inputs: Any = None,
    ignore: str | Sequence[str] = (),
    nonlinearity: str | None = None,
    batch_first: bool = False,
    go_backwards: bool = False,
    reset: str | None = None,
    recurrent_activation: str | None = None,
    merge: str | None = None,
    dropout: float = 0.0,
    device: str = "cpu",
    steps: int | None = None,
    batch: int | None = None,
    unbatched: bool = False,
    axes: str | Axes | None = None,
    scale: str | float | None = None,
    zero_point: int = 0,
    q: str | None = None,
    columns: str | None = None,
    text: str | Sequence[str] = (),
    alphabet: str | None = None,
    h0: Any = None,
    c0: Any = None,
    states: Mapping[str, Any] | None = None,
    lengths: Sequence[int] | None = None,
    mask: Any = None,
    dist: str = "normal",
    seed: int | None = None,
    capture: str = "auto",
    tolerance: str = "torch",
    rtol: float | None = None,
    atol: float | None = None,
    lam: float | None = None,
    drift: bool = True,
    rounded: bool = True,
    mistake: str | Sequence[str] = (),
    blind: bool = False,
    replay: str = "free",
    replay_dtype: str | None = None,
    keep: str = "gates",
) -> Result | Results:
    """Replay weights by hand beside a framework, judge them by `expected` values, or find where `other` weights differ.

    `weights` are a file, a state_dict of tensors or arrays, a model of torch, a pair (spec, weights), or a result or saved
    trace, whose own signals are taken where none are given; `other` is the same. Two traces, or two results, are compared
    as they are. `input`, h0, c0, `axes`, `lengths` and `mask` are as in `run`; `states` are those at t = 0 of other names
    ({"m0": …}). `expected` is an array (the output), what torch returns, a dictionary of output, h_n, c_n, gates and states
    ("f", "0.forward.f"), or a file, in the same order of axes; `require` names what it has to hold. No framework is run
    beside it unless `framework` names one: then both must agree. Integers among them, and among weights, become numbers by
    `scale` (1/128) and `zero_point`, or by `q` ("1.15" is 2^-15);
    `columns` ("x=2-4, h=5-8") says which of a table of text are whose. Of a `cell` of your own, its text or a file of it,
    weights are arrays under the names of the text. What weights leave open is said by `nonlinearity`, `batch_first`,
    `go_backwards`, `recurrent_activation`, `merge`, `reset` ("before" or "after" the product) and `dropout`; `names`, `layout`,
    `config`, `graph_inputs` (of the first) and `ignore` are as in `load`, and `module` chooses one module.

    Gives a result, or for several modules or sides `Results` by name. Raises RnnTraceError for what cannot be read or compared.
    """
    keywords = locals()
    options = given(compare, keywords)
    ignored = Ignored(several(ignore))
    on_grid, in_columns = grid(scale, zero_point, q), columns_of(columns)
    overrides = pass_on(FileOverrides, keywords, names=several(names), ignored=ignored, grid=on_grid)
    judging = pass_on(JudgeOptions, keywords, mistakes=several(mistake))
    _refuse_contradictions(judging, other, expected, framework, require, device)
    if other is not None and is_trace(weights) and (is_trace(other) or not is_result(weights)):
        if not SIGNALS.isdisjoint(options) or overrides != FileOverrides() or columns:
            raise UsageError("two saved traces hold their module and input: leave out what describes them")
        return compare_traces(weights, other, judging)
    if other is None and is_trace(weights):
        weights = opened(weights)
    modules, *second = read_files([weights] if other is None else [weights, other], overrides)
    any_batch_first = any(module.spec.batch_first for module in modules.values())
    own = own_states(modules)
    described = {"batch_first": any_batch_first, "own_states": own, "course": course_of(modules)}
    signals = own_signals(weights, options) or pass_on(
        read_sources, keywords, **described, ignored=ignored, columns=in_columns.signals
    )
    beside = partial(compare_with_framework, modules, judging=judging, device=device)
    sides: dict[str, dict[str, Result]] = {}
    if other is not None:
        labels = labels_of(weights, other)
        sides[""] = compare_weights(modules, second[0], signals, judging, labels, distribution=dist, seed=seed)
    elif expected is not None:
        against: dict[str, Any] = {
            "judging": judging,
            "expected": expected,
            "ignored": ignored,
            "require": several(require),
            "grid": on_grid,
            "columns": in_columns.results,
        }

        def judge(modules: Modules, sources: Sources) -> dict[str, Result]:
            return _beside_expected(partial(compare_with_expected, sources=sources, **against), modules, overrides)

        sides["expected"] = with_behind(judge, modules, signals, judging, expected, in_columns.results)
        if framework is not None:
            sides[framework] = beside(in_chain(modules, signals), framework=framework)
    else:
        sides[""] = beside(in_chain(modules, signals), framework=framework, distribution=dist, seed=seed)
    ignored.check()
    if on_grid:
        on_grid.check()
    in_columns.check()
    results = _named(weights, expected, modules, sides)
    return next(iter(results.values())) if len(results) == 1 else Results(results)


def _beside_expected(
    judged: Callable[[Modules], dict[str, Result]], modules: Modules, overrides: FileOverrides
) -> dict[str, Result]:
    """The results beside what is expected; of an output as wide as one direction with both merged, if one way alone agrees."""
    try:
        return judged(modules)
    except SignalError:
        found = merged_readings(judged, modules, overrides)
        agreeing = [merge for merge, results in found.items() if all(result.passed for result in results.values())]
        if len(agreeing) != 1:
            raise
    (merge,) = agreeing
    remark = f"the output is as wide as one direction, and read as both of them merged: `merge={merge}` alone agrees"
    return {prefix: replace(result, warnings=(*result.warnings, remark)) for prefix, result in found[merge].items()}


def _refuse_contradictions(
    judging: JudgeOptions, other: Any, expected: Any, framework: str | None, require: Sequence[str], device: str
) -> None:
    """Raises UsageError for what does not go together."""
    if other is not None and (expected is not None or framework is not None):
        option = "`expected`" if expected is not None else "`framework`"
        raise UsageError(f"{option} judges one file of weights: leave it or the second file out")
    if other is not None and (judging.mistakes or judging.blind):
        option = "`mistake`" if judging.mistakes else "`blind`"
        raise UsageError(f"{option} asks about one file of weights: leave it or the second file out")
    if require and expected is None:
        raise UsageError("`require` says what `expected` has to hold: give that too, or leave `require` out")
    if framework is not None and framework not in FRAMEWORKS:
        raise UsageError(f"unknown framework {framework!r}: choose one of {', '.join(FRAMEWORKS)}")
    without_torch = other is not None or (expected is not None and framework is None)
    for option, asked in {"`capture`": judging.capture != "auto", "`device`": device != "cpu"}.items():
        if without_torch and asked:
            raise UsageError(f"{option} says how torch runs, which is left out here: leave {option} out too")


def _named(weights: Any, expected: Any, modules: Modules, sides: Mapping[str, Mapping[str, Result]]) -> dict[str, Result]:
    """The results by module, and by the side that judged it if there are two, with what is to be said of the weights.

    Outputs that were saved beside the weights, and that nobody was told to judge, are named.
    """
    results: dict[str, Result] = {}
    aside = dict.fromkeys(signal for module in modules.values() for signal in module.signals)
    remark = f"{label_of(weights)} holds {listed([*aside])} beside the weights, which is not read: see `expected`"
    for side, found in sides.items():
        for prefix, result in found.items():
            name = " · ".join(filter(None, (prefix, side if len(sides) > 1 else "")))
            if aside and not _are_one(weights, expected) and side in ("", "expected"):
                result = replace(result, unused=(*result.unused, *aside), warnings=(*result.warnings, remark))
            results[name] = replace(result, name=name, assumed=modules[prefix].assumed)
    return results


def _are_one(weights: Any, expected: Any) -> bool:
    """Whether outputs are looked for where the weights are."""
    named = isinstance(weights, str | Path) and isinstance(expected, str | Path)
    return weights is expected or (named and str(weights) == str(expected))
