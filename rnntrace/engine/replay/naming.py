"""What a program calls the symbols of a declaration: names of its own, for those of a declaration are data."""

from collections.abc import Mapping
from dataclasses import replace

from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Expr

_LETTERS = frozenset("acdefghijklmnopqrsuvwyz")
"""What a program may call a symbol as its declaration does: b_h, W_x and h_t are names of its own."""


def names_of(cell: Cell) -> dict[str, str]:
    """A name for each symbol and gate of the declaration."""
    symbols = dict.fromkeys((*cell.symbols, *cell.gates, *cell.given))
    return {symbol: symbol if symbol in _LETTERS else f"s{number}" for number, symbol in enumerate(symbols)}


def renamed(cell: Cell, names: Mapping[str, str]) -> Cell:
    """The same cell with these names for its symbols and gates."""

    def called(expr: Expr) -> Expr:
        return replace(expr, name=names[expr.name] if expr.name else "", args=tuple(map(called, expr.args)))

    return replace(
        cell,
        gates=tuple(names[gate] for gate in cell.gates),
        states=tuple(names[state] for state in cell.states),
        steps=tuple(replace(step, symbol=names[step.symbol], expression=called(step.expression)) for step in cell.steps),
        given=tuple(names[name] for name in cell.given),
        narrow=tuple(names[name] for name in cell.narrow),
        parameters=tuple(replace(found, gates=tuple(names[gate] for gate in found.gates)) for found in cell.parameters),
    )
