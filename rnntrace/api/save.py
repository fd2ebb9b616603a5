"""`save`: a trace on disk, whole or not at all; `dump`: its content."""

from pathlib import Path
from typing import Any

from rnntrace.files import check_writable, dump_tensors
from rnntrace.files.atomic import replace_files
from rnntrace.model.dtypes import Array
from rnntrace.report.result import Result
from rnntrace.report.run import document


def save(result: Result, path: str | Path) -> None:
    """Save a result as .npz or .safetensors, by the suffix of the path. Raises UsageError and FileError."""
    target = Path(path)
    check_writable(target)
    replace_files([(target, dump(result, target))])


def dump(result: Result, path: Path) -> bytes:
    """The content of a saved trace, .npz or .safetensors by the suffix of the path.

    Arrays lie under `replay/0/forward/f`, `framework/0/forward/f`, `inputs/x`, `outputs/h_n`, `expected/h_n`; in the first
    two (T, B, H) with NaN at steps that do not exist. Everything else of the JSON document lies in the metadata.
    """
    arrays: dict[str, Array] = {}
    for (layer, direction, symbol), values in (*result.trace.columns.items(), *result.trace.terms.items()):
        arrays[f"replay/{layer}/{direction}/{symbol}"] = values
    for (layer, direction, symbol), values in result.framework_values.items():
        arrays[f"framework/{layer}/{direction}/{symbol}"] = values
    metadata: dict[str, Any] = document(result, "run")
    for group in ("inputs", "outputs", "expected"):
        for name, values in metadata[group].items():
            if hasattr(values, "dtype"):
                arrays[f"{group}/{name}"] = values
    left_out = {"trace", "outputs", "expected"}
    metadata = {key: value for key, value in metadata.items() if key not in left_out}
    metadata["inputs"] = {"lengths": result.inputs.lengths}
    return dump_tensors(path.suffix, arrays, metadata)
