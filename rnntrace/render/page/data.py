"""What the script of a page reads: its words for operators, and the numbers of a play."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.equations.adjoint import Adjoint, on_paper, written
from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Expr, Op, now
from rnntrace.equations.notation import UNICODE, binding, formula, needed
from rnntrace.equations.parameters import TERMS
from rnntrace.report.page import Play, Track
from rnntrace.report.table import Scale


def words(plays: Sequence[Play]) -> str:
    """Which parameters a term reads, and how the operators of these cells are spelled, as the script's own constants."""
    steps = [step for play in plays for track in play.tracks for step in track.cell.steps]
    used = {part.op for step in steps for part in step.expression.walk()}
    terms = {op.value: [role and role.value for role in roles] for op, roles in TERMS.items()}
    spellings = {
        op.value: {"text": text.replace("{times}", UNICODE.scalars), "binds": binding(op), "needs": needed(op)}
        for op, text in UNICODE.spellings.items()
        if op in used and "{0}" in text and op not in TERMS
    }
    return f"const TERMS = {_json(terms)};\nconst SPELLINGS = {_json(spellings)};\n"


def play_data(play: Play, digits: int) -> str:
    """A play as JSON that can stand in a page."""
    cells = list(dict.fromkeys((track.cell, track.adjoint) for track in play.tracks))
    part, opens = play.part, play.opens
    where = [(track.layer, track.direction, play.back is None or track.adjoint is not None) for track in play.tracks]
    return _json(
        {
            "digits": digits,
            "other": play.other,
            "first": part.first,
            "steps": len(play.x),
            "items": part.items,
            "units": part.units.tolist(),
            "x": _array(play.x),
            "valid": None if play.valid is None else _bits(play.valid),
            "merges": play.merges,
            "forced": play.forced,
            "back": None if play.back is None else asdict(play.back) | {"output": _array(play.back.output)},
            "opens": {
                "track": where.index((opens.layer, opens.direction, True)),
                "symbol": opens.symbol,
                "t": opens.t,
                "item": part.items.index(opens.item),
                "unit": opens.unit,
            },
            "cells": [_cell(*cell, play) for cell in cells],
            "tracks": [_track(track, cells.index((track.cell, track.adjoint))) for track in play.tracks],
        }
    )


def _cell(cell: Cell, adjoint: Adjoint | None, play: Play) -> dict[str, Any]:
    """A declaration with its equations as they are written, and what the blocks of its parameters are called."""
    declared = play.spec.declared
    lines = written(adjoint) if adjoint else [(None, step) for step in cell.steps]
    found: dict[str, Any] = {
        "title": cell.title,
        "states": cell.states,
        "output": cell.output,
        "steps": [
            {
                "symbol": step.symbol,
                "role": step.role,
                "text": formula(line, UNICODE, declared, left),
                "expression": _tree(step.expression),
            }
            for step, (left, line) in zip(cell.steps, lines, strict=True)
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
    if adjoint:
        into = [[term.leaf.name, term.gradient] for term in adjoint.terms if term.leaf.op is Op.INPUT_TERM]
        found |= {"intoX": into, "onX": adjoint.on_x}
    return found


def _tree(expr: Expr) -> dict[str, Any]:
    found: dict[str, Any] = {"op": expr.op.value}
    if expr.args:
        found["args"] = [_tree(arg) for arg in expr.args]
    if expr.name:
        found["name"] = expr.name
    return found | ({"value": expr.value} if expr.op is Op.CONSTANT else {})


def _track(track: Track, cell: int) -> dict[str, Any]:
    """What is there of a layer in a direction."""
    wrong = {strip.symbol: strip.wrong for strip in track.strips if strip.wrong is not None and strip.wrong.any()}
    return {
        "layer": track.layer,
        "direction": track.direction,
        "back": track.adjoint is not None,
        "cell": cell,
        "limit": track.limit,
        "names": {symbol: name_of(track, symbol) for symbol in track.cell.symbols if track.adjoint},
        "gates": [strip.symbol for strip in track.strips if strip.scale is Scale.UNIT],
        "weights": {} if track.adjoint else {name: _array(array) for name, array in track.weights.arrays.items()},
        "start": {state: _array(values) for state, values in track.start.items()},
        "values": {strip.symbol: _array(strip.values) for strip in track.strips},
        "beside": {strip.symbol: _array(strip.beside) for strip in track.strips if strip.beside is not None},
        "wrong": {symbol: {"shape": flags.shape, "data": _bits(flags)} for symbol, flags in wrong.items()},
    }


def name_of(track: Track, symbol: str) -> str:
    """What a quantity is called on the page: of gradients, as on paper."""
    if track.adjoint is None:
        return symbol
    if symbol in track.cell.states:
        symbol = f"δ{symbol.removeprefix('∂').removesuffix('.before')}"
    return on_paper(now(symbol)).name


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
