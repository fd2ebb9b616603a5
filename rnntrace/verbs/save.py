"""`save`: a trace on disk, whole or not at all. `open_trace` reads it again."""

from dataclasses import asdict, replace
from pathlib import Path

from rnntrace.engine.judge.result import Result
from rnntrace.errors import UsageError
from rnntrace.files import check_writable
from rnntrace.files.atomic import replace_files
from rnntrace.files.trace_file import TraceFile
from rnntrace.files.writing import Content
from rnntrace.verbs.open_trace import judged_again


def save(result: Result, path: str | Path) -> None:
    """Save a result as .npz or .safetensors, by the suffix of the path. Raises UsageError and FileError."""
    target = Path(path)
    check_writable(target)
    replace_files([(target, dump(result, target))])


def dump(result: Result, path: Path) -> Content:
    """What writes a saved trace, .npz or .safetensors by the suffix of the path; see `files.trace_file`."""
    return _trace_of(result).dump(path)


def dump_compared(result: Result, path: Path) -> Content:
    """As `dump`, of a result of `compare`. Raises UsageError where its verdict rests on what no trace keeps.

    That are the digits of typed numbers, a head behind the module, and questions that a file leaves open: opened again, the
    trace would say something else.
    """
    trace = _trace_of(result)
    again = judged_again(replace(trace, observation=replace(trace.observation, half_units={})))
    if again is not result.verdict:
        raise UsageError(
            f"the verdict is {result.verdict}, and rests on what a saved trace does not keep, which would say {again}: "
            "leave `save` out, or write the report with `output`"
        )
    return trace.dump(path)


def _trace_of(result: Result) -> TraceFile:
    return TraceFile(
        result.spec,
        result.weights,
        result.inputs,
        {**result.trace.columns, **result.trace.terms},
        result.replayed_outputs,
        result.observation,
        result.comparison.out_of_tolerance,
        str(result.verdict),
        result.replay,
        asdict(result.comparison.tolerance),
        result.seed,
        result.origin,
        result.warnings,
        tuple(mistake.id for mistake in result.mistakes),
    )
