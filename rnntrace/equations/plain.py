"""A cell as plain data, lists and dictionaries of text and numbers, and the way back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import ARGUMENTS, Expr, Op
from rnntrace.equations.parameters import Parameter, Role
from rnntrace.errors import SpecError

DEEPEST = 100
"""Operators inside one another."""


def as_data(cell: Cell) -> dict[str, Any]:
    """Everything of a declaration, ready for JSON."""
    found = asdict(cell)
    return {name: found[name] for name in ("kind", "title", "gates", "states", "steps", "parameters")}


def from_data(data: Mapping[str, Any]) -> Cell:
    """The cell again. Raises SpecError for anything that `as_data` does not give."""
    try:
        return Cell(
            kind=_text(data["kind"]),
            title=_text(data["title"]),
            gates=tuple(map(_text, data["gates"])),
            states=tuple(map(_text, data["states"])),
            steps=tuple(Step(_text(d["symbol"]), _text(d["role"]), _expression(d["expression"])) for d in data["steps"]),
            parameters=tuple(
                Parameter(_text(d["name"]), Role(d["role"]), tuple(map(_text, d["gates"])), _text(d["stem"]))
                for d in data["parameters"]
            ),
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError("a cell is declared here in a way that rnntrace does not write") from None


def _expression(data: Mapping[str, Any], depth: int = 0) -> Expr:
    op, args = Op(data["op"]), tuple(_expression(argument, depth + 1) for argument in data["args"])
    if len(args) != ARGUMENTS.get(op, 1) or depth > DEEPEST:
        raise ValueError(op)
    return Expr(op, args, _text(data["name"]), float(data["value"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
