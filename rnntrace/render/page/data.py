"""What the script of a page reads: its words for operators, and the numbers of a play."""

import json
from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Expr, Op
from rnntrace.equations.notation import UNICODE, binding, formula, needed
from rnntrace.equations.parameters import TERMS
from rnntrace.report.page import Play, Strip, Track


def words() -> str:
    """Which parameters a term reads, and how an operator is spelled, as the script's own constants."""
    terms = {op.value: [role and role.value for role in roles] for op, roles in TERMS.items()}
    spellings = {
        op.value: {"text": text.replace("{times}", UNICODE.scalars), "binds": binding(op), "needs": needed(op)}
        for op, text in UNICODE.spellings.items()
        if "{0}" in text and op not in TERMS
    }
    return f"const TERMS = {_json(terms)};\nconst SPELLINGS = {_json(spellings)};\n"


def play_data(play: Play, digits: int) -> str:
    """A play as JSON that can stand in a page."""
    cells = list(dict.fromkeys(track.cell for track in play.tracks))
    opens = play.opens
    own = next(k for k, track in enumerate(play.tracks) if (track.layer, track.direction) == (opens.layer, opens.direction))
    return _json(
        {
            "digits": digits,
            "other": play.other,
            "first": play.first,
            "steps": play.steps,
            "items": play.items,
            "units": play.units.tolist(),
            "x": _array(play.x),
            "valid": None if play.valid is None else _bits(play.valid),
            "merges": play.merges,
            "limit": play.limit,
            "forced": play.forced,
            "scales": {strip.symbol: strip.scale.value for track in play.tracks for strip in track.strips},
            "opens": {
                "track": own,
                "symbol": opens.symbol,
                "t": opens.t,
                "item": play.items.index(opens.item),
                "unit": opens.unit,
            },
            "cells": [_cell(cell, play) for cell in cells],
            "tracks": [_track(track, cells.index(track.cell)) for track in play.tracks],
        }
    )


def _cell(cell: Cell, play: Play) -> dict[str, Any]:
    """A declaration with its equations as they are written, and what the blocks of its parameters are called."""
    return {
        "title": cell.title,
        "states": cell.states,
        "output": cell.output,
        "steps": [
            {
                "symbol": step.symbol,
                "role": step.role,
                "text": formula(step, UNICODE, play.spec.declared),
                "expression": _tree(step.expression),
            }
            for step in cell.steps
        ],
        "parameters": [
            {
                "name": one.name,
                "role": one.role.value,
                "gates": one.gates,
                "blocks": [one.block(gate) for gate in one.gates or ("",)],
            }
            for one in cell.parameters
        ],
    }


def _tree(expr: Expr) -> dict[str, Any]:
    found: dict[str, Any] = {"op": expr.op.value}
    if expr.args:
        found["args"] = [_tree(arg) for arg in expr.args]
    if expr.name:
        found["name"] = expr.name
    return found | ({"value": expr.value} if expr.op is Op.CONSTANT else {})


def _track(track: Track, cell: int) -> dict[str, Any]:
    def of(strips: dict[str, Any]) -> dict[str, Any]:
        return {symbol: _array(values) for symbol, values in strips.items() if values is not None}

    return {
        "layer": track.layer,
        "direction": track.direction,
        "cell": cell,
        "weights": {name: _array(array) for name, array in track.weights.arrays.items()},
        "start": {state: _array(values) for state, values in track.start.items()},
        "values": of({strip.symbol: strip.values for strip in track.strips}),
        "beside": of({strip.symbol: strip.beside for strip in track.strips}),
        "wrong": {strip.symbol: _flags(strip) for strip in track.strips if strip.wrong is not None and strip.wrong.any()},
    }


def _flags(strip: Strip) -> dict[str, Any]:
    assert strip.wrong is not None
    return {"shape": strip.wrong.shape, "data": _bits(strip.wrong)}


def _array(array: NDArray[Any]) -> dict[str, Any]:
    """Numbers in float32 where that holds them, else in float64."""
    with np.errstate(over="ignore"):
        small = array.astype("<f4")
    exact = np.array_equal(small, array, equal_nan=True)
    return {"shape": array.shape, "data": ("f:" if exact else "d:") + _text(small if exact else array.astype("<f8"))}


def _bits(flags: NDArray[Any]) -> str:
    return "b:" + _text(flags.astype("u1"))


def _text(array: NDArray[Any]) -> str:
    return b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _json(value: Any) -> str:
    """JSON without spaces; `<` could end the element it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
