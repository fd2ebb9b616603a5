"""Rows of the gates' blocks that were taken for those of other gates or units."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial

import numpy as np

from rnntrace.engine.diagnose.case import Case, Change, Entry
from rnntrace.equations.cell import Cell
from rnntrace.equations.parameters import Role
from rnntrace.model.dtypes import Array
from rnntrace.model.weights import LayerWeights

Block = tuple[str, str, int]
"""The block of a gate: whose it is, the name of the parameter that holds it, and its number there."""
_UNITS = "a hidden size above 1"


def row_mistakes(cell: Cell, kind: str) -> Iterator[Entry]:
    """All of a cell."""
    if len(cell.gates) > 1:
        yield from _interleaved(cell, kind)
    yield from _neighbours(cell, kind)


def _interleaved(cell: Cell, kind: str) -> Iterator[Entry]:
    gates, spaced = len(cell.gates), " ".join(cell.gates)

    def apart(array: Array, _: Sequence[str]) -> Array:
        """Rows that lie unit by unit taken for rows that lie gate by gate."""
        return array.reshape(-1, len(array), *array.shape[2:]).swapaxes(0, 1)

    def together(array: Array, _: Sequence[str]) -> Array:
        """The other way round."""
        return array.swapaxes(0, 1).reshape(array.shape)

    by_unit = f"unit by unit ({spaced} of unit 0, then of unit 1)"
    fix = f"take a block of H rows for each gate; or, if rows do lie unit by unit, one row in {gates}"
    for name, change, says in (
        ("read", apart, f"rows were read {by_unit} instead of gate by gate"),
        ("stored", together, f"rows were put {by_unit}, and then read gate by gate"),
    ):
        yield Entry(
            id=f"{kind}.interleaved.{name}",
            says=says,
            fix=fix,
            change=rearranged(change),
            frameworks=("Chainer",),
        )


def _neighbours(cell: Cell, kind: str) -> Iterator[Entry]:
    """Rows of the unit next to it, of one gate or, where blocks are cut out a row too late or too early, of all."""
    for gate in cell.gates:
        for name, step in (("next", -1), ("previous", 1)):
            yield Entry(
                id=f"{kind}.neighbour.{gate}-{name}",
                says=f"every unit used {gate} of the {name} unit: its rows were read one too {_WHEN[name]}",
                fix=f"read unit k of {gate} at row k of its block",
                change=_if_units(rearranged(partial(_one_block, gate, step)), step),
                needs=_UNITS if step < 0 else "a hidden size above 2",
                rare=True,
            )
    for name, step in (("next", -1), ("previous", 1)):
        if len(cell.gates) > 1:
            yield Entry(
                id=f"{kind}.neighbour.rows-{name}",
                says=f"all blocks of gates were cut out one row too {_WHEN[name]}, so that one unit of each is of another gate",
                fix="cut block k out of the rows from k·H on, up to (k + 1)·H",
                change=rearranged(partial(_all_blocks, step)),
                rare=True,
            )


_WHEN = {"next": "late", "previous": "early"}


def _one_block(gate: str, step: int, array: Array, gates: Sequence[str]) -> Array:
    blocks = array.copy()
    if gate in gates:
        place = gates.index(gate)
        blocks[place] = np.roll(array[place], step, axis=0)
    return blocks


def _all_blocks(step: int, array: Array, _: Sequence[str]) -> Array:
    return np.roll(array.reshape(-1, *array.shape[2:]), step, axis=0).reshape(array.shape)


def _if_units(change: Change, step: int) -> Change:
    """With two units, the one before is the one behind."""
    return lambda case: change(case) if case.spec.hidden_size > (1 if step < 0 else 2) else None


def rearranged(change: Callable[[Array, Sequence[str]], Array], roles: Collection[Role] = tuple(Role)) -> Change:
    """The gate blocks (G, H, …) of all that plays one of these roles, in however many parameters it lies, in the same way.

    `change` is told which gates these are.
    """

    def changed(case: Case) -> Case:
        groups = [places for role, places in blocks_of(case.cell).items() if role in roles]

        def of(weights: LayerWeights) -> LayerWeights:
            arrays = {name: array.copy() for name, array in weights.arrays.items()}
            for places in groups:
                there = [place for place in places if place[1] in arrays]
                if there:
                    stacked = np.stack([weights.arrays[name][block] for _, name, block in there])
                    for (_, name, block), values in zip(there, change(stacked, [gate for gate, *_ in there]), strict=True):
                        arrays[name][block] = values
            return LayerWeights(arrays=arrays)

        return case.with_weights(of)

    return changed


def blocks_of(cell: Cell) -> dict[Role, list[Block]]:
    """By role, in the order of the gates."""
    found: dict[Role, list[Block]] = {}
    for parameter in cell.parameters:
        for block, gate in enumerate(parameter.gates):
            found.setdefault(parameter.role, []).append((gate, parameter.name, block))
    return {role: sorted(places, key=lambda place: cell.gates.index(place[0])) for role, places in found.items()}
