"""The JSON of a backward pass: the whole result, whatever the view."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.engine.backward.norms import Norms
from rnntrace.engine.judge.pairing import Place
from rnntrace.equations.adjoint import gradient, handed_on, pre_activation
from rnntrace.model.backward import HANDED_IN
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import LayerDirection
from rnntrace.model.layouts import parameter_name, parameters_of, part_shapes
from rnntrace.report.gradient_rows import existing, heading
from rnntrace.report.mistakes import blind_document, told
from rnntrace.report.norms import norms_document, norms_per_step
from rnntrace.report.table import SCHEMA
from rnntrace.version import __version__


def document(result: BackwardResult, norms: Mapping[LayerDirection, Norms]) -> dict[str, Any]:
    """The whole result as plain mappings, lists and arrays; the keys are documented in docs/json.md."""
    compared, seen, spec = result.comparison, result.observation, result.spec
    theirs = {} if seen.parameters is None else _by_name(result, seen.parameters)
    per_step = norms_per_step(spec, norms)
    return {
        "schema": SCHEMA,
        "command": "backward",
        "verdict": str(result.verdict),
        "passed": result.passed,
        "spec": spec.document(),
        "seed": result.seed,
        "environment": {
            "rnntrace": __version__,
            "numpy": np.__version__,
            "framework": seen.framework,
            "version": seen.version,
            "path": seen.path,
            "not_captured": seen.not_captured or None,
        },
        "loss": {"name": result.loss.name, "value": result.loss.value, "gradients": dict(result.loss.gradients)},
        "truncate": result.truncate,
        "clip": {**asdict(result.clipping), "total_norm": result.norm},
        "gradients": [
            {
                "layer": layer,
                "direction": direction,
                "symbol": _plain(symbol),
                "of": _kind(result, symbol),
                "values": existing(result.inputs, values),
                "framework": existing(result.inputs, seen.columns.get((layer, direction, symbol))),
            }
            for (layer, direction, symbol), values in result.gradients.columns.items()
        ],
        "parameters": {
            name: {"values": values, "framework": theirs.get(name), "norm_per_step": per_step[name]}
            for name, values in _by_name(result, result.gradients.parameters).items()
        },
        "signals": {
            name: {"values": values, "framework": seen.signals.get(name)} for name, values in result.gradients.signals.items()
        },
        "norms": norms_document(norms),
        "differences": [{**asdict(found), "name": heading(found.name)} for found in compared.differences],
        "first_failure": place_document(result, compared.first_failure),
        "worst": place_document(result, compared.worst),
        "missing": missing(result),
        "tolerance": asdict(compared.tolerance),
        "warnings": list(result.warnings),
        **({"mistakes": [told(mistake) for mistake in result.mistakes]} if result.mistakes else {}),
        **({"blind": blind_document(result.blind)} if result.blind else {}),
    }


def place_document(result: BackwardResult, found: Place | None) -> dict[str, Any] | None:
    """A place: `index` is the item and the unit of a gradient at step t, and row and column of one that belongs to no step."""
    if found is None:
        return None
    return {
        "layer": found.layer,
        "direction": found.direction,
        "symbol": _plain(found.symbol) if found.t else found.symbol.removeprefix("∂"),
        "of": _kind(result, found.symbol) if found.t else "whole",
        "t": found.t or None,
        "index": [found.item, found.unit],
        "replay": found.replay,
        "framework": found.framework,
    }


def _plain(symbol: str) -> str:
    """The symbol that a gradient is of: `f` of `∂f` and of `∂f.pre`."""
    return symbol.removeprefix("∂").partition(".")[0]


def _kind(result: BackwardResult, symbol: str) -> str:
    name, states = _plain(symbol), result.spec.cell.states
    if symbol == pre_activation(name):
        return "pre"
    if symbol == gradient(name):
        return "state" if name in states else "gate"
    return "handed on" if symbol == handed_on(name) else "term"


def _by_name(result: BackwardResult, found: Any) -> dict[str, Array]:
    """Gradients of parameters under torch's names, as far as they are all there."""
    whole = all(found[column].arrays.keys() >= result.spec.shapes(column[0]).keys() for column in result.spec.layer_directions)
    return parameters_of(result.spec, found) if whole else {}


def missing(result: BackwardResult) -> tuple[str, ...]:
    """Of gradients that were handed in, those of parameters, x and initial states that were not, by torch's names."""
    seen, spec = result.observation, result.spec
    if seen.framework != HANDED_IN or seen.parameters is None:
        return ()
    parameters = {
        parameter_name(spec, part, *column): name in seen.parameters[column].arrays
        for column in spec.layer_directions
        for name, part in zip(spec.shapes(column[0]), part_shapes(spec, column[0]), strict=True)
    }
    signals = {name: name in seen.signals for name in result.gradients.signals}
    return tuple(name for name, given in (parameters | signals).items() if not given)
