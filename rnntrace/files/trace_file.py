"""A saved trace as a file: arrays and metadata in a form of their own, with a version; it does not change when a report does.

Arrays lie under `replay/0/forward/f` and `framework/0/forward/f`, (T, B, H) with NaN at steps that do not count, as 0 and 1
under `out_of_tolerance/0/forward/f`, under `weights/0/forward/W_hh`, and in the module's own layout under `inputs/x`,
`outputs/h_n`, `expected/h_n`, and a mask of 0 and 1 under `inputs/mask`. Where the framework's outputs came by another path
than its gates, what each layer gives on that path lies under `hidden/0/forward/h`. All else is metadata: see `TraceFile`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnntrace.errors import FileError, show
from rnntrace.files import dump_tensors, map_tensors
from rnntrace.files.tensors import Tensors
from rnntrace.files.writing import Content
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.inputs import Inputs, SignalRequest
from rnntrace.model.keys import Key
from rnntrace.model.merges import LAST_OUTPUT
from rnntrace.model.observation import Observation
from rnntrace.model.signals import assemble, to_own_layout, to_time_major
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

VERSION = 2
"""Of the form in which traces are saved. 1 is that of rnntrace 0.1.0, whose metadata are the JSON document of the run."""


@dataclass(frozen=True)
class TraceFile:
    """What is saved of a run.

    `replayed` holds gates, states and terms by (layer, direction, symbol), and `outputs` what comes of them, time-major.
    `tolerance` has the fields of a `Tolerance`, `mode` is free or forced, and `mistakes` are the ids of deliberate
    ones; the rest is as in a `Result`.
    """

    spec: ModuleSpec
    weights: Weights
    inputs: Inputs
    replayed: Mapping[Key, Array]
    outputs: Mapping[str, Array]
    observation: Observation
    out_of_tolerance: Mapping[Key, Flags]
    verdict: str
    mode: str
    tolerance: Mapping[str, Any]
    seed: int | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()

    def dump(self, path: Path) -> Content:
        """What writes it, .npz or .safetensors by the suffix of the path; arrays that lie in files go through in pieces."""
        seen = self.observation
        columns: dict[str, Mapping[Key, Any]] = {
            "replay": self.replayed,
            "framework": seen.values,
            "hidden": seen.hidden if seen.on_two_paths else {},
            "weights": {
                (*column, name): array for column, layer in self.weights.columns.items() for name, array in layer.arrays.items()
            },
            "out_of_tolerance": {key: flags.view("uint8") for key, flags in self.out_of_tolerance.items()},
        }
        arrays = {
            f"{group}/{layer}/{direction}/{symbol}": array
            for group, found in columns.items()
            for (layer, direction, symbol), array in found.items()
        }
        for group, found in (("inputs", self.inputs.signals), ("outputs", self.outputs), ("expected", seen.outputs)):
            arrays |= {
                f"{group}/{name}": to_own_layout(self.spec, name, array, self.inputs.unbatched) for name, array in found.items()
            }
        if self.inputs.mask is not None:
            arrays["inputs/mask"] = to_own_layout(self.spec, "x", self.inputs.mask.view("uint8"), self.inputs.unbatched)
        metadata = {
            "version": VERSION,
            "verdict": self.verdict,
            "spec": self.spec.document(),
            "replay": self.mode,
            "tolerance": dict(self.tolerance),
            "framework": {name: getattr(seen, name) for name in _OF_FRAMEWORK},
            "seed": self.seed,
            "lengths": self.inputs.lengths,
            "origin": dict(self.origin),
            "warnings": self.warnings,
            "mistakes": self.mistakes,
        }
        return dump_tensors(path.suffix, arrays, metadata)


_OF_FRAMEWORK = ("framework", "version", "device", "threads", "path", "captured_path", "not_captured")
"""The fields of an observation that are no arrays."""


def read_trace(path: Path) -> TraceFile:
    """A saved trace, as it says of itself. Long arrays stay in the file, as read-only numpy.memmaps.

    Raises FileError for any other file, and for a trace of a later version.
    """
    tensors = map_tensors(path)
    try:
        metadata = json.loads(tensors.metadata)
        version = metadata.get("version", metadata.get("schema"))
        if version not in range(1, VERSION + 1):
            raise FileError(
                f"{show(str(path))} is a trace of version {show(str(version))}, and this rnntrace reads versions up to "
                f"{VERSION}: open it with a later one"
            )
        return _restored(tensors, metadata if version == VERSION else _of_version_1(metadata))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise FileError(f"{show(str(path))} holds no trace: expected a file that rnntrace has saved") from None


def _of_version_1(document: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a trace that rnntrace 0.1.0 has saved, in today's form."""
    seen = document["environment"]
    told = {"captured_path": seen["captured"] or "", "not_captured": seen["not_captured"] or ""}
    return {
        **document,
        "replay": document["replay"]["mode"],
        "framework": {name: told.get(name, seen.get(name)) for name in _OF_FRAMEWORK},
        "mistakes": [mistake["id"] for mistake in document.get("mistakes", ())],
    }


def _restored(tensors: Tensors, metadata: Mapping[str, Any]) -> TraceFile:
    spec = ModuleSpec.from_document(metadata["spec"])
    groups: dict[str, dict[str, Array]] = {}
    for name, array in tensors.arrays.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = array
    signals = groups["inputs"]
    lengths = None if metadata["lengths"] is None else tuple(metadata["lengths"])
    states = {state: signals[f"{state}0"] for state in spec.cell.states}
    request = SignalRequest(x=signals["x"], states=states, lengths=lengths, mask=signals.get("mask"))
    inputs = assemble(spec, request, draw=np.zeros, quantities=0)
    replayed, theirs, hidden = (_by_key(groups.get(group, {})) for group in ("replay", "framework", "hidden"))
    for key, values in (*replayed.items(), *theirs.items(), *hidden.items()):
        if values.shape != (inputs.steps, inputs.batch, spec.size_of(key[2])) or key[:2] not in spec.layer_directions:
            raise ValueError(key)
    seen: dict[str, Any] = {
        name: show(value) if isinstance(value, str) else value for name, value in metadata["framework"].items()
    }
    given = groups.get("expected", {})
    observation = Observation(
        **{name: seen[name] for name in _OF_FRAMEWORK},
        outputs={name: to_time_major(spec, name, array, inputs.unbatched) for name, array in given.items()},
        hidden=hidden or theirs,
        captured=theirs if seen["captured_path"] else {},
    )
    shapes = {"output": (inputs.steps, inputs.batch, spec.width)}
    if spec.merges:
        shapes[LAST_OUTPUT] = (1, inputs.batch, spec.width)
    shapes |= {f"{state}_n": initial.shape for state, initial in inputs.states.items()}
    for name, values in observation.outputs.items():
        if shapes[name] != values.shape:
            raise ValueError(name)
    return TraceFile(
        spec,
        _weights(spec, groups["weights"]),
        inputs,
        replayed,
        {name: to_time_major(spec, name, groups["outputs"][name], inputs.unbatched) for name in shapes},
        observation,
        {},
        metadata["verdict"],
        metadata["replay"],
        metadata["tolerance"],
        metadata["seed"],
        {name: show(word) for name, word in metadata["origin"].items()},
        tuple(metadata["warnings"]),
        tuple(metadata["mistakes"]),
    )


def _by_key(arrays: Mapping[str, Array]) -> dict[Key, Array]:
    """`0/forward/f` as (0, "forward", "f")."""
    keys = {name: name.split("/") for name in arrays}
    return {(int(layer), direction, symbol): arrays[name] for name, (layer, direction, symbol) in keys.items()}


def _weights(spec: ModuleSpec, arrays: Mapping[str, Array]) -> Weights:
    found = _by_key(arrays)
    columns = {}
    for column in spec.layer_directions:
        shapes = spec.shapes(column[0])
        if {name: array.shape for (*of, name), array in found.items() if (*of,) == column} != shapes:
            raise ValueError(column)
        # Some formats sort by name; the order of parameters is the cell's.
        columns[column] = LayerWeights(arrays={name: found[*column, name] for name in shapes})
    return Weights(columns)
