"""`diagnose`: which known mistake explains outputs that do not agree."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.search import Diagnosis
from rnntrace.engine.diagnose.search import diagnose as search
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.tolerance import make_tolerance
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.equations.cell import Cell
from rnntrace.errors import SignalError, UsageError
from rnntrace.files.columns import columns_of
from rnntrace.files.grid import grid
from rnntrace.files.ignored import Ignored
from rnntrace.model.axes import Axes
from rnntrace.model.dtypes import Array
from rnntrace.model.limits import MAX_VALUES, over
from rnntrace.model.signals import trace_size
from rnntrace.model.vocabulary import Name
from rnntrace.report.diagnose import diagnosis_report, explained
from rnntrace.report.table import Report
from rnntrace.verbs.compare_one import compare_with_expected, merged_readings
from rnntrace.verbs.given.arrays import label_of
from rnntrace.verbs.given.keywords import given, pass_on, refuse, several
from rnntrace.verbs.given.overrides import FileOverrides, course_of, own_states, read_weights
from rnntrace.verbs.given.sources import own_signals, read_sources
from rnntrace.verbs.given.traces import is_trace, opened
from rnntrace.verbs.shown import Shown

if TYPE_CHECKING:
    # Few diagnoses are of gradients.
    from rnntrace.engine.backward.judge import BackwardResult

OF_WEIGHTS = (
    *(
        "cell",
        "module",
        "names",
        "layout",
        "config",
        "graph_inputs",
        "ignore",
        "nonlinearity",
        "batch_first",
        "go_backwards",
        "reset",
        "recurrent_activation",
        "merge",
    ),
    *("unbatched", "input", "axes", "text", "alphabet", "h0", "c0", "states", "lengths", "mask", "tolerance"),
    *("scale", "zero_point", "q", "columns"),
)
"""What a trace says by itself."""
OF_GRADIENTS = ("loss", "target", "grad", "truncate", "clip_norm", "clip_value")
"""What belongs to a backward pass."""
SECONDS = 10.0
"""How long mistakes are tried."""


@dataclass(frozen=True, repr=False)
class ShownDiagnosis(Shown, Diagnosis):
    """A diagnosis that shows itself, with the result that it is about and the name of where that is from."""

    result: "Result | BackwardResult" = field(kw_only=True)
    source: str = field(default="", kw_only=True)

    @property
    def explained(self) -> bool:
        """Whether nothing is left to explain."""
        return explained(self.result, self)

    def report(self) -> Report:
        """The answers in full, and what else there is to say."""
        return diagnosis_report(self.source, self.result, self)


def diagnose(
    weights: Any,
    input: Any = None,
    expected: Any = None,
    *,
    seconds: float = SECONDS,
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
    tolerance: str = "torch",
    rtol: float | None = None,
    atol: float | None = None,
    lam: float | None = None,
    backward: bool = False,
    loss: str = "sum",
    target: Any = None,
    grad: Any = None,
    truncate: int | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
) -> ShownDiagnosis:
    """The known mistakes that explain what differs in a result or saved trace, or between weights and `expected` outputs.

    Everything is given as in `compare`, and beside `expected` a result or trace stands for its weights and signals. Nothing is
    tried unless the result failed. Where mistakes were made on purpose, what is explained are the replay's outputs, and else
    the framework's. Hypotheses are judged by rtol and atol, never bit by bit. The `seconds` count from before files are read,
    and nothing is begun when they are over. Raises RnnTraceError for what cannot be read, if no time is given, for a trace too
    long for memory, and without anything to explain.

    Of a `backward` pass, `expected` are gradients, of the loss that is described as in `backward`.
    """
    keywords = locals()
    options = given(diagnose, keywords)
    if not seconds > 0:
        raise UsageError(f"`seconds` is a number of seconds above 0, not {seconds:g}")
    end = time.monotonic() + seconds
    judging = pass_on(JudgeOptions, keywords)
    label = label_of(weights)
    if backward:
        refuse(options, ("columns",), "is for tables of outputs, and not for gradients: leave it out")
        refuse(options, ("scale", "zero_point", "q"), "is for integers of outputs, and not for gradients: leave it out")
        return _of_gradients(label, keywords, end)
    refuse(options, OF_GRADIENTS, "belongs to gradients: give `backward` too, or leave it out")
    found_trace = is_trace(weights)
    if found_trace:
        weights = opened(weights)
    if found_trace and expected is None:
        refuse(
            options, OF_WEIGHTS, f"belongs to weights, and {label} is a saved trace, which is explained as it is: leave it out"
        )
        results = [weights]
    elif expected is None:
        raise UsageError(f"{label} holds weights: give the outputs that are to be explained as `expected`, and their `input`")
    else:
        ignored = Ignored(several(ignore))
        on_grid, in_columns = grid(scale, zero_point, q), columns_of(columns)
        overrides = pass_on(FileOverrides, keywords, names=several(names), ignored=ignored, grid=on_grid)
        modules = read_weights(weights, overrides)
        any_batch_first = any(module.spec.batch_first for module in modules.values())
        own = own_states(modules)
        course = course_of(modules)
        described = {"batch_first": any_batch_first, "own_states": own, "course": course}
        signals = own_signals(weights, options) or pass_on(
            read_sources, keywords, **described, ignored=ignored, columns=in_columns.signals
        )
        beside = partial(
            compare_with_expected,
            sources=signals,
            judging=judging,
            expected=expected,
            ignored=ignored,
            grid=on_grid,
            columns=in_columns.results,
        )
        try:
            results = [*beside(modules).values()]
        except SignalError:
            # An output as wide as one direction is explained by each way to merge both.
            results = [result for found in merged_readings(beside, modules, overrides).values() for result in found.values()]
            if not results:
                raise
        ignored.check()
        if on_grid:
            on_grid.check()
        in_columns.check()
        if course and results[0].contradictions and results[0].comparison.verdict.passed:
            apart = results[0].contradictions[0]
            raise UsageError(
                f"mistakes are looked for in the cell, whose outputs agree, and not in the head behind it: {apart}"
            )
    for result in results:
        found = _searched(result, end - time.monotonic(), judging)
        if explained(result, found):
            break
    return ShownDiagnosis(**vars(found), result=result, source=label)


def _of_gradients(label: str, keywords: Mapping[str, Any], end: float) -> ShownDiagnosis:
    """What explains gradients that were handed in."""
    from rnntrace.engine.backward.diagnose import diagnose_backward
    from rnntrace.verbs.backward import backward

    if keywords["expected"] is None:
        raise UsageError(f"{label} holds weights: give the gradients that are to be explained as `expected`, and their `input`")
    result = pass_on(backward, keywords, source=keywords["weights"], weights=None)
    found = Diagnosis.of_nothing()
    if result.verdict is Verdict.FAIL:
        found = diagnose_backward(result, seconds=end - time.monotonic())
    return ShownDiagnosis(**vars(found), result=result, source=label)


def _searched(result: Result, seconds: float, judging: JudgeOptions) -> Diagnosis:
    """Nothing is tried where the time was over while the files were read and judged."""
    if result.verdict is not Verdict.FAIL:
        return Diagnosis.of_nothing()
    values = trace_size(result.spec, result.inputs.steps, result.inputs.batch, len(result.spec.cell.symbols))
    if values > MAX_VALUES:
        limit = over("MAX_VALUES", MAX_VALUES)
        raise UsageError(f"a trace of {values:,} values is {limit}: what is tried is held in memory, so diagnose a shorter run")
    own = judging.tolerance_for(result.spec)
    tolerance = own if own.of_trajectory else make_tolerance("torch", result.spec.dtype)
    given = result.replayed_outputs if result.mistakes else given_values(result)
    half_units = {name: values for name, values in result.observation.half_units.items() if name in given}
    case = Case.of(result.spec, result.weights, result.inputs)
    return search(case, given, tolerance, seconds=seconds, half_units=half_units)


def given_values(result: Result) -> Mapping[Name, Array]:
    """The outputs of the other side and, if a user gave them, gates and states.

    That of the last layer is in the output already, which may have been read wrongly where it was not.
    """
    observation, in_last = result.observation, (result.spec.num_layers - 1, result.spec.cell.output)
    gates = observation.captured if observation.framework == "expected" else {}
    in_output = "output" in observation.outputs
    states = {key: values for key, values in gates.items() if not in_output or (key[0], key[2]) != in_last}
    return dict([*observation.outputs.items(), *states.items()])
