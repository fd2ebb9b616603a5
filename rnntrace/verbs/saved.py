"""`save`: a trace on disk, whole or not at all. `opened` reads it again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnntrace.engine.judge.result import Result
from rnntrace.files import check_writable, dump_tensors
from rnntrace.files.atomic import replace_files
from rnntrace.files.writing import Content
from rnntrace.model.keys import Key
from rnntrace.report.run import document


def save(result: Result, path: str | Path) -> None:
    """Save a result as .npz or .safetensors, by the suffix of the path. Raises UsageError and FileError."""
    target = Path(path)
    check_writable(target)
    replace_files([(target, dump(result, target))])


def dump(result: Result, path: Path) -> Content:
    """What writes a saved trace, .npz or .safetensors by the suffix of the path; arrays that lie in files go through in pieces.

    Arrays lie under `replay/0/forward/f` and `framework/0/forward/f`, (T, B, H) with NaN at steps that do not exist, as 0
    and 1 under `out_of_tolerance/0/forward/f`, under `weights/0/forward/W_hh`, and in the module's own layout under
    `inputs/x`, `outputs/h_n`, `expected/h_n`. Where the framework's outputs came by another path than its gates, the h of that
    path lies under `hidden/0/forward/h`. Everything else of the JSON document lies in the metadata.
    """
    weights = {
        (*column, name): array for column, layer in result.weights.columns.items() for name, array in layer.arrays.items()
    }
    seen = result.observation
    columns: dict[str, Mapping[Key, Any]] = {
        "replay": {**result.trace.columns, **result.trace.terms},
        "framework": result.framework_values,
        "hidden": seen.hidden if seen.captured_path not in ("", seen.path) else {},
        "weights": weights,
        "out_of_tolerance": {key: flags.view("uint8") for key, flags in result.comparison.out_of_tolerance.items()},
    }
    arrays = {
        f"{group}/{layer}/{direction}/{symbol}": array
        for group, found in columns.items()
        for (layer, direction, symbol), array in found.items()
    }
    metadata = document(result, "run")
    for group in ("inputs", "outputs", "expected"):
        arrays |= {f"{group}/{name}": values for name, values in metadata.pop(group).items() if hasattr(values, "dtype")}
    del metadata["trace"]
    metadata |= {"lengths": result.inputs.lengths, "origin": dict(result.origin)}
    return dump_tensors(path.suffix, arrays, metadata)
