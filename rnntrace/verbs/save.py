"""`save`: a trace on disk, whole or not at all. `open_trace` reads it again."""

from dataclasses import asdict
from pathlib import Path

from rnntrace.engine.judge.result import Result
from rnntrace.files import check_writable
from rnntrace.files.atomic import replace_files
from rnntrace.files.trace_file import TraceFile
from rnntrace.files.writing import Content


def save(result: Result, path: str | Path) -> None:
    """Save a result as .npz or .safetensors, by the suffix of the path. Raises UsageError and FileError."""
    target = Path(path)
    check_writable(target)
    replace_files([(target, dump(result, target))])


def dump(result: Result, path: Path) -> Content:
    """What writes a saved trace, .npz or .safetensors by the suffix of the path; see `files.trace_file`."""
    trace = TraceFile(
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
    return trace.dump(path)
