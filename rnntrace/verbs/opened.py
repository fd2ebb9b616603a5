"""`open_trace`: a saved trace, which is judged again: nobody can tell who wrote what a file says of itself."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.tolerance import LAMBDA, Tolerance
from rnntrace.engine.judge.verdict import Comparison, Verdict
from rnntrace.engine.replay.trace import TERMS, VALUES, Trace, term_symbols
from rnntrace.errors import FileError, show
from rnntrace.files import map_tensors
from rnntrace.files.tensors import Tensors
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import Key
from rnntrace.model.observation import Observation
from rnntrace.model.signals import SignalRequest, assemble, to_time_major
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights
from rnntrace.report.table import SCHEMA
from rnntrace.verbs.displayed import DisplayedResult

if TYPE_CHECKING:
    from rnntrace.engine.diagnose.mistake import Mistake


def open_trace(path: str | Path) -> Result:
    """A saved trace with a verdict of its own. No framework is loaded. Raises FileError for any other file.

    Long arrays stay in the file, as read-only numpy.memmaps. The verdict that the file says is not believed: see `rejudged`.
    """
    from rnntrace.engine.judge.rejudge import rejudged

    result, judging, verdict = _read(path)
    again = rejudged(result, judging, verdict)
    if again.verdict is not verdict:
        remark = f"{show(str(path))} says {verdict}: judged again it is {again.verdict}"
        again = replace(again, warnings=(*again.warnings, remark))
    return again


def _read(path: str | Path) -> tuple[Result, JudgeOptions, Verdict]:
    """A saved trace without a verdict, how it was judged, and the verdict that it says."""
    tensors = map_tensors(Path(path))
    try:
        metadata = json.loads(tensors.metadata)
        if metadata["schema"] != SCHEMA:
            raise FileError(f"{show(str(path))} has schema {metadata['schema']}, and this version reads schema {SCHEMA}")
        verdict = Verdict(metadata["verdict"])
        judging = _judging(metadata, verdict)
        return _restored(tensors, metadata, judging), judging, verdict
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise FileError(f"{show(str(path))} holds no trace: expected a file that `rnntrace run --save` has written") from None


def _judging(metadata: Mapping[str, Any], verdict: Verdict) -> JudgeOptions:
    """How a trace was judged. One that failed does not pass as a drift: --no-drift may have been asked for."""
    told = Tolerance(**metadata["tolerance"])
    given = told.kind == "torch" and not told.rounding
    return JudgeOptions(
        tolerance=told.kind if told.n is None else f"{told.kind}:{told.n}",
        rtol=told.rtol if given else None,
        atol=told.atol if given else None,
        lam=told.lam if told.rounding and told.lam != LAMBDA else None,
        replay=metadata["replay"]["mode"],
        drift=verdict is not Verdict.FAIL,
    )


def _restored(tensors: Tensors, metadata: Mapping[str, Any], judging: JudgeOptions) -> Result:
    """What the file holds, without a verdict."""
    spec = ModuleSpec.from_document(metadata["spec"])
    groups: dict[str, dict[str, Array]] = {}
    for name, array in tensors.arrays.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = array
    signals = groups["inputs"]
    lengths = None if metadata["lengths"] is None else tuple(metadata["lengths"])
    request = SignalRequest(x=signals["x"], h0=signals["h0"], c0=signals.get("c0", "zeros"), lengths=lengths)
    inputs = assemble(spec, request, draw=np.zeros, quantities=0)
    replayed, theirs, hidden = (_by_key(groups.get(group, {})) for group in ("replay", "framework", "hidden"))
    # Some formats sort by name; the order of computation is the cell's. States are always there, gates if they were kept.
    found = {*spec.cell.states, *(symbol for *_, symbol in replayed)}
    kept = [symbol for symbol in spec.cell.symbols if symbol in found]
    trace = Trace(
        spec,
        inputs,
        {
            VALUES: {(*column, symbol): replayed[*column, symbol] for column in spec.layer_directions for symbol in kept},
            TERMS: {
                key: replayed[key]
                for column in spec.layer_directions
                for symbol in term_symbols(spec.cell)
                if (key := (*column, symbol)) in replayed
            },
        },
    )
    for key, values in (*replayed.items(), *theirs.items(), *hidden.items()):
        if values.shape != (inputs.steps, inputs.batch, spec.size_of(key[2])) or key[:2] not in spec.layer_directions:
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
        hidden=hidden or theirs,
        captured=theirs if seen["captured"] else {},
        captured_path=seen["captured"] or "",
        not_captured=seen["not_captured"] or "",
    )
    rows, size = len(spec.layer_directions), spec.output_size
    shapes = {"output": (inputs.steps, inputs.batch, len(spec.directions) * size), "h_n": (rows, inputs.batch, size)}
    shapes |= {"c_n": (rows, inputs.batch, spec.hidden_size)} if spec.has_cell_state else {}
    for name, values in observation.outputs.items():
        if shapes[name] != values.shape:
            raise ValueError(name)
    return DisplayedResult(
        spec,
        _weights(spec, groups["weights"]),
        inputs,
        trace,
        {name: to_time_major(spec, name, groups["outputs"][name], inputs.unbatched) for name in shapes},
        observation,
        Comparison(Verdict.UNDECIDED, judging.tolerance_for(spec), (), None, None, {}, 0),
        metadata["replay"]["mode"],
        metadata["seed"],
        {name: show(word) for name, word in metadata["origin"].items()},
        tuple(metadata["warnings"]),
        _mistakes(spec, metadata.get("mistakes", ())),
        False,
    )


def _mistakes(spec: ModuleSpec, saved: Sequence[Mapping[str, Any]]) -> tuple["Mistake", ...]:
    """Those of the catalogue that were saved, by id; few traces have any."""
    if not saved:
        return ()
    from rnntrace.engine.diagnose.mistake import catalogue

    known = {mistake.id: mistake for mistake in catalogue(spec.cell)}
    return tuple(known[mistake["id"]] for mistake in saved)


def _by_key(arrays: Mapping[str, Array]) -> dict[Key, Array]:
    """`0/forward/f` as (0, "forward", "f")."""
    keys = {name: name.split("/") for name in arrays}
    return {(int(layer), direction, symbol): arrays[name] for name, (layer, direction, symbol) in keys.items()}


def _weights(spec: ModuleSpec, arrays: Mapping[str, Array]) -> Weights:
    columns: dict[tuple[int, str], dict[str, Array]] = {}
    for (layer, direction, name), array in _by_key(arrays).items():
        columns.setdefault((layer, direction), {})[name] = array
    for layer, direction in spec.layer_directions:
        shapes = spec.shapes(layer)
        if {name: array.shape for name, array in columns[layer, direction].items()} != shapes:
            raise ValueError(columns)
        # Some formats sort by name; the order of parameters is the cell's.
        columns[layer, direction] = {name: columns[layer, direction][name] for name in shapes}
    return Weights({column: LayerWeights(arrays=parts) for column, parts in columns.items()})
