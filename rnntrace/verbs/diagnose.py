"""`diagnose`: which known mistake explains outputs that do not agree."""

import time
from collections.abc import Mapping

from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.search import Diagnosis
from rnntrace.engine.diagnose.search import diagnose as search
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.tolerance import make_tolerance
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.errors import UsageError, show
from rnntrace.model.dtypes import Array
from rnntrace.model.limits import MAX_VALUES, over
from rnntrace.model.signals import trace_size
from rnntrace.model.vocabulary import Name
from rnntrace.verbs.compare import ReadSources
from rnntrace.verbs.compare_one import compare_with_expected
from rnntrace.verbs.compare_two import is_trace
from rnntrace.verbs.given.overrides import FileOverrides, read_weights
from rnntrace.verbs.given.sources import read_sources
from rnntrace.verbs.open_trace import open_trace

SECONDS = 10.0
"""How long mistakes are tried."""


def diagnose_file(
    file: str,
    expected: str | None = None,
    *,
    overrides: FileOverrides | None = None,
    sources: ReadSources = read_sources,
    judging: JudgeOptions | None = None,
    seconds: float = SECONDS,
) -> tuple[Result, Diagnosis]:
    """Judge saved weights by `expected` outputs, or take a saved trace with its verdict, and explain what differs.

    The seconds count from before the files are read, and nothing is begun when they are over.
    Raises RnnTraceError for files that cannot be read, and without anything to explain.
    """
    _check_time(seconds)
    end = time.monotonic() + seconds
    overrides, judging = overrides or FileOverrides(), judging or JudgeOptions()
    if is_trace(file):
        if expected is not None:
            raise UsageError(f"{show(file)} is a saved trace, which holds its expected outputs: leave --expected out")
        result = open_trace(file)
    elif expected is None:
        raise UsageError(
            f"{show(file)} holds weights: give the outputs that are to be explained as --expected, and their --input"
        )
    else:
        modules = read_weights(file, overrides)
        signals = sources(batch_first=any(module.spec.batch_first for module in modules.values()))
        (result,) = compare_with_expected(modules, signals, judging, expected, overrides.ignored).values()
        overrides.ignored.check()
    return result, _searched(result, end - time.monotonic(), judging)


def diagnose(result: Result, *, seconds: float = SECONDS, judging: JudgeOptions | None = None) -> Diagnosis:
    """The known mistakes that explain what differs in a result; nothing is tried unless that failed.

    Where mistakes were made on purpose, what is explained are the replay's outputs, and else the framework's. Hypotheses are
    judged by rtol and atol, never bit by bit. Raises UsageError if no time is given, and for a trace too long for memory.
    """
    _check_time(seconds)
    return _searched(result, seconds, judging or JudgeOptions())


def _check_time(seconds: float) -> None:
    if not seconds > 0:
        raise UsageError(f"--time-limit is a number of seconds above 0, not {seconds:g}")


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
    given = result.replayed_outputs if result.mistakes else _given(result)
    half_units = {name: values for name, values in result.observation.half_units.items() if name in given}
    case = Case.of(result.spec, result.weights, result.inputs)
    return search(case, given, tolerance, seconds=seconds, half_units=half_units)


def _given(result: Result) -> Mapping[Name, Array]:
    """The outputs of the other side and, if a user gave them, gates and states.

    The last layer's h is in the output already, which may have been read wrongly where h was not.
    """
    observation, last = result.observation, result.spec.num_layers - 1
    gates = observation.captured if observation.framework == "expected" else {}
    in_output = "output" in observation.outputs
    states = {key: values for key, values in gates.items() if not in_output or (key[0], key[2]) != (last, "h")}
    return dict([*observation.outputs.items(), *states.items()])
