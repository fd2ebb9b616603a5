"""Rows of the gates' blocks that were taken for those of other gates or units."""

from collections.abc import Callable, Iterator

import numpy as np

from rnntrace.engine.diagnose.mistake import Change, Mistake
from rnntrace.equations.cells import Cell
from rnntrace.model.dtypes import Array
from rnntrace.model.weights import LayerWeights

_UNITS = "a hidden size above 1"


def row_mistakes(cell: Cell, kind: str) -> Iterator[Mistake]:
    """All of a cell."""
    if len(cell.gates) > 1:
        yield from _interleaved(cell, kind)
    yield from _neighbours(cell, kind)


def _interleaved(cell: Cell, kind: str) -> Iterator[Mistake]:
    gates, spaced = len(cell.gates), " ".join(cell.gates)

    def apart(array: Array) -> Array:
        """Rows that lie unit by unit taken for rows that lie gate by gate."""
        return array.reshape(-1, gates, *array.shape[2:]).swapaxes(0, 1)

    def together(array: Array) -> Array:
        """The other way round."""
        return array.swapaxes(0, 1).reshape(array.shape)

    by_unit = f"unit by unit ({spaced} of unit 0, then of unit 1)"
    fix = f"take a block of H rows for each gate; or, if rows do lie unit by unit, one row in {gates}"
    for name, change, says in (
        ("read", apart, f"rows were read {by_unit} instead of gate by gate"),
        ("stored", together, f"rows were put {by_unit}, and then read gate by gate"),
    ):
        yield Mistake(
            id=f"{kind}.interleaved.{name}",
            says=says,
            fix=fix,
            change=rearranged(change),
            frameworks=("Chainer",),
        )


def _neighbours(cell: Cell, kind: str) -> Iterator[Mistake]:
    """Rows of the unit next to it, of one gate or, where blocks are cut out a row too late or too early, of all."""
    for place, gate in enumerate(cell.gates):
        for name, step in (("next", -1), ("previous", 1)):
            yield Mistake(
                id=f"{kind}.neighbour.{gate}-{name}",
                says=f"every unit used {gate} of the {name} unit: its rows were read one too {_WHEN[name]}",
                fix=f"read unit k of {gate} at row k of its block",
                change=_if_units(rearranged(lambda array, place=place, step=step: _one_block(array, place, step)), step),  # type: ignore[misc]
                needs=_UNITS if step < 0 else "a hidden size above 2",
                rare=True,
            )
    for name, step in (("next", -1), ("previous", 1)):
        if len(cell.gates) > 1:
            yield Mistake(
                id=f"{kind}.neighbour.rows-{name}",
                says=f"all blocks of gates were cut out one row too {_WHEN[name]}, so that one unit of each is of another gate",
                fix="cut block k out of the rows from k·H on, up to (k + 1)·H",
                change=rearranged(
                    lambda array, step=step: np.roll(array.reshape(-1, *array.shape[2:]), step, axis=0).reshape(array.shape)  # type: ignore[misc]
                ),
                rare=True,
            )


_WHEN = {"next": "late", "previous": "early"}


def _one_block(array: Array, place: int, step: int) -> Array:
    blocks = array.copy()
    blocks[place] = np.roll(array[place], step, axis=0)
    return blocks


def _if_units(change: Change, step: int) -> Change:
    """With two units, the one before is the one behind."""
    return lambda case: change(case) if case.spec.hidden_size > (1 if step < 0 else 2) else None


def rearranged(change: Callable[[Array], Array]) -> Change:
    """Gate blocks (G, H, …) of both matrices and both biases, all in the same way."""

    def changed(weights: LayerWeights) -> LayerWeights:
        return weights.replaced(
            **{name: np.ascontiguousarray(change(array)) for name, array in weights.arrays.items() if name != "W_hr"}
        )

    return lambda case: case.with_weights(changed)
