"""The report of a file of weights: which recurrent modules it holds."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rnntrace.errors import show
from rnntrace.model.dtypes import Array
from rnntrace.model.layouts import FRAMEWORK
from rnntrace.model.spec import ModuleSpec, command_line
from rnntrace.model.weights import Weights
from rnntrace.report.table import SCHEMA, Column, Report, Scale, Table

ASSUMED = "shapes do not tell tanh from relu, time first from batch first, or dropout: assumed are tanh, time first and none"


@dataclass(frozen=True)
class Inspection:
    """A file of weights: its name, its recurrent modules by prefix, and how many tensors belong to none."""

    file: str
    modules: Mapping[str, tuple[ModuleSpec, Weights]]
    other_tensors: int


def inspect_report(inspection: Inspection, *, weights: bool = False) -> Report:
    """What a file holds; with `weights` also how the weights of each gate are spread."""
    count = len(inspection.modules)
    tables = [_modules(inspection.modules)]
    if weights:
        tables += [_spread(prefix, spec, found) for prefix, (spec, found) in inspection.modules.items()]
    return Report(
        headline=(((inspection.file,), (FRAMEWORK,)), ((ASSUMED,), ())),
        tables=tuple(tables),
        conclusion=(
            f"{count} recurrent module" + ("s" if count != 1 else ""),
            f"{inspection.other_tensors} other tensor" + ("s" if inspection.other_tensors != 1 else ""),
        ),
        passed=None,
        document=_document(inspection, weights),
    )


def _modules(modules: Mapping[str, tuple[ModuleSpec, Weights]]) -> Table:
    specs = [spec for spec, _ in modules.values()]
    numbers = {
        "input": [spec.input_size for spec in specs],
        "hidden": [spec.hidden_size for spec in specs],
        "layers": [spec.num_layers for spec in specs],
        "directions": [len(spec.directions) for spec in specs],
        "projection": [spec.proj_size for spec in specs],
        "parameters": [spec.parameters for spec in specs],
    }
    return Table(
        "recurrent modules",
        (
            _names("module", [show(prefix) or "(no prefix)" for prefix in modules]),
            _names("kind", [spec.kind for spec in specs]),
            _names("dtype", [spec.dtype for spec in specs]),
            _names("bias", ["yes" if spec.bias else "no" for spec in specs]),
            *(Column(heading, np.array(values), Scale.COUNT, "sizes", "sizes") for heading, values in numbers.items()),
        ),
    )


MEASURES: dict[str, Callable[[Array], np.floating]] = {
    "smallest": np.min,
    "largest": np.max,
    "mean": np.mean,
    "deviation": np.std,
}


def _statistics(spec: ModuleSpec, weights: Weights) -> list[dict[str, Any]]:
    """How the weights of each gate are spread, a row for each block of each layer and direction."""
    return [
        {"layer": layer, "direction": direction, "weights": name}
        | {measure: float(function(values)) for measure, function in MEASURES.items()}
        for (layer, direction), found in weights.columns.items()
        for name, values in found.by_gate(spec.cell.gates)
    ]


def _spread(prefix: str, spec: ModuleSpec, weights: Weights) -> Table:
    rows = _statistics(spec, weights)
    return Table(
        f"weights of {show(prefix) or 'the module'}",
        (
            Column("layer", np.array([row["layer"] for row in rows]), Scale.INDEX),
            _names("direction", [row["direction"] for row in rows]),
            _names("weights", [row["weights"] for row in rows]),
            *(
                Column(measure, np.array([row[measure] for row in rows]), section="spread", group="spread")
                for measure in MEASURES
            ),
        ),
    )


def _names(heading: str, words: list[str]) -> Column:
    return Column(heading, np.array(words, object), Scale.NAME)


def _document(inspection: Inspection, weights: bool) -> dict[str, Any]:
    modules = []
    for prefix, (spec, found) in inspection.modules.items():
        entry = {
            "prefix": prefix,
            "layout": FRAMEWORK,
            "spec": asdict(spec),
            "parameters": spec.parameters,
            "run": command_line(spec),
        }
        if weights:
            entry["statistics"] = _statistics(spec, found)
        modules.append(entry)
    return {
        "schema": SCHEMA,
        "command": "inspect",
        "file": inspection.file,
        "modules": modules,
        "other_tensors": inspection.other_tensors,
        "assumed": {"nonlinearity": "tanh", "batch_first": False, "dropout": 0.0},
    }
