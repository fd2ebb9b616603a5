"""`save` and `open_trace`: a trace on disk and back, whole or not at all."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.api.displayed import DisplayedResult
from rnntrace.engine.compare import Comparison, Difference, Verdict
from rnntrace.engine.quantities import Place
from rnntrace.engine.tolerance import Tolerance
from rnntrace.engine.trace import Key, Trace, term_symbols
from rnntrace.errors import FileError, show
from rnntrace.files import check_writable, dump_tensors, map_tensors
from rnntrace.files.atomic import replace_files
from rnntrace.files.tensors import Tensors
from rnntrace.files.writing import Content
from rnntrace.frameworks import Observation
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.signals import SignalRequest, assemble, to_time_major
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights
from rnntrace.model.windows import pieces, release
from rnntrace.report.result import Result
from rnntrace.report.run import document
from rnntrace.report.table import SCHEMA

if TYPE_CHECKING:
    from rnntrace.engine.mistakes import Mistake


def save(result: Result, path: str | Path) -> None:
    """Save a result as .npz or .safetensors, by the suffix of the path. Raises UsageError and FileError."""
    target = Path(path)
    check_writable(target)
    replace_files([(target, dump(result, target))])


def dump(result: Result, path: Path) -> Content:
    """What writes a saved trace, .npz or .safetensors by the suffix of the path; arrays that lie in files go through in pieces.

    Arrays lie under `replay/0/forward/f` and `framework/0/forward/f`, (T, B, H) with NaN at steps that do not exist, as 0
    and 1 under `out_of_tolerance/0/forward/f`, under `weights/0/forward/W_hh`, and in the module's own layout under
    `inputs/x`, `outputs/h_n`, `expected/h_n`. Everything else of the JSON document lies in the metadata.
    """
    weights = {
        (*column, name): array for column, layer in result.weights.columns.items() for name, array in layer.arrays.items()
    }
    columns: dict[str, Mapping[Key, Any]] = {
        "replay": {**result.trace.columns, **result.trace.terms},
        "framework": result.framework_values,
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


def open_trace(path: str | Path) -> Result:
    """A saved trace as the result that it was. No framework is loaded. Raises FileError for any other file.

    Long arrays stay in the file, as read-only numpy.memmaps.
    """
    tensors = map_tensors(Path(path))
    try:
        metadata = json.loads(tensors.metadata)
        if metadata["schema"] != SCHEMA:
            raise FileError(f"{show(str(path))} has schema {metadata['schema']}, and this version reads schema {SCHEMA}")
        return _restored(tensors, metadata)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise FileError(f"{show(str(path))} holds no trace: expected a file that `rnntrace run --save` has written") from None


def _restored(tensors: Tensors, metadata: Mapping[str, Any]) -> Result:
    spec = ModuleSpec(**metadata["spec"])
    groups: dict[str, dict[str, Array]] = {}
    for name, array in tensors.arrays.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = array
    signals = groups["inputs"]
    lengths = None if metadata["lengths"] is None else tuple(metadata["lengths"])
    request = SignalRequest(x=signals["x"], h0=signals["h0"], c0=signals.get("c0", "zeros"), lengths=lengths)
    inputs = assemble(spec, request, draw=np.zeros, quantities=0)
    replayed, theirs = _by_key(groups["replay"]), _by_key(groups["framework"])
    # Some formats sort by name; the order of computation is the cell's. States are always there, gates if they were kept.
    found = {*spec.cell.states, *(symbol for *_, symbol in replayed)}
    kept = [symbol for symbol in spec.cell.symbols if symbol in found]
    trace = Trace(
        spec,
        inputs,
        {(*column, symbol): replayed[*column, symbol] for column in spec.columns for symbol in kept},
        {
            key: replayed[key]
            for column in spec.columns
            for symbol in term_symbols(spec.cell)
            if (key := (*column, symbol)) in replayed
        },
    )
    for key, values in (*replayed.items(), *theirs.items()):
        size = spec.output_size if key[2] == "h" else spec.hidden_size
        if values.shape != (inputs.steps, inputs.batch, size) or key[:2] not in spec.columns:
            raise ValueError(key)
    seen: dict[str, Any] = {
        name: show(value) if isinstance(value, str) else value for name, value in metadata["environment"].items()
    }
    observation = Observation(
        framework=seen["framework"],
        version=seen["version"],
        device=seen["device"],
        threads=seen["threads"],
        path=seen["path"],
        outputs={name: to_time_major(spec, name, array, inputs.unbatched) for name, array in groups["expected"].items()},
        hidden=theirs,
        captured=theirs if seen["captured"] else {},
        captured_path=seen["captured"] or "",
        not_captured=seen["not_captured"] or "",
    )
    rows, size = len(spec.columns), spec.output_size
    shapes = {"output": (inputs.steps, inputs.batch, len(spec.directions) * size), "h_n": (rows, inputs.batch, size)}
    shapes |= {"c_n": (rows, inputs.batch, spec.hidden_size)} if spec.has_cell_state else {}
    for name, values in observation.outputs.items():
        if shapes[name] != values.shape:
            raise ValueError(name)
    return DisplayedResult(
        spec,
        _weights(groups["weights"]),
        inputs,
        trace,
        {name: to_time_major(spec, name, groups["outputs"][name], inputs.unbatched) for name in shapes},
        observation,
        _comparison(metadata, groups["out_of_tolerance"]),
        metadata["replay"]["mode"],
        metadata["seed"],
        {name: show(word) for name, word in metadata["origin"].items()},
        tuple(metadata["warnings"]),
        _mistakes(spec, metadata.get("mistakes", ())),
        metadata.get("single_steps", True),
    )


def _mistakes(spec: ModuleSpec, saved: Sequence[Mapping[str, Any]]) -> tuple["Mistake", ...]:
    """Those of the catalogue that were saved, by id; few traces have any."""
    if not saved:
        return ()
    from rnntrace.engine.mistakes import catalogue

    known = {mistake.id: mistake for mistake in catalogue(spec.cell)}
    return tuple(known[mistake["id"]] for mistake in saved)


def _by_key(arrays: Mapping[str, Array]) -> dict[Key, Array]:
    """`0/forward/f` as (0, "forward", "f")."""
    keys = {name: name.split("/") for name in arrays}
    return {(int(layer), direction, symbol): arrays[name] for name, (layer, direction, symbol) in keys.items()}


def _weights(arrays: Mapping[str, Array]) -> Weights:
    columns: dict[tuple[int, str], dict[str, Array]] = {}
    for (layer, direction, name), array in _by_key(arrays).items():
        columns.setdefault((layer, direction), {})[name] = array
    return Weights({column: LayerWeights(**parts) for column, parts in columns.items()})


def _comparison(metadata: Mapping[str, Any], out: Mapping[str, Array]) -> Comparison:
    places = {name: metadata[name] and Place(**metadata[name]) for name in ("first_failure", "worst")}
    return Comparison(
        Verdict(metadata["verdict"]),
        Tolerance(**metadata["tolerance"]),
        tuple(Difference(**difference) for difference in metadata["differences"]),
        places["first_failure"],
        places["worst"],
        {key: _flags(values) for key, values in _by_key(out).items()},
        metadata["not_finite"],
        metadata["by_rounding"],
    )


def _flags(values: NDArray[Any]) -> Flags:
    """Truth values where 0 and 1 lie. Raises ValueError for other bytes, which numpy would count wrongly."""
    for part in pieces(values.shape):
        if (values[part] > 1).any():
            raise ValueError("flags")
        release(values)
    flags: Flags = values.view(bool) if values.dtype == np.uint8 else values.astype(bool)
    return flags
