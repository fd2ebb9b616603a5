"""Matrices that were transposed, or brought to another shape where they should have been."""

from collections.abc import Callable, Iterator

import numpy as np

from rnntrace.engine.diagnose.case import Case, Change, Entry
from rnntrace.equations.cell import Cell
from rnntrace.equations.parameters import Role
from rnntrace.model.dtypes import Array

_SQUARE = "an input as large as the hidden state, in every layer (-i 2 -H 2)"
_NOT_SQUARE = "inputs and units above 1, of another number of inputs than units where gates are taken one by one (-i 3 -H 2)"
_TRANSPOSED = "Keras 3", "TF1 BasicLSTMCell", "flax linen"

Turn = Callable[[Array], Array]
"""A matrix (G, H, N), the blocks of all gates, with its values in other places."""


def transpose_mistakes(cell: Cell, kind: str) -> Iterator[Entry]:
    """All of a cell."""
    yield from _transposed(cell, kind)
    apart = all(len(parameter.gates) == 1 for parameter in cell.parameters if parameter.name in matrices_of(cell))
    yield from _reshaped(kind, matrices_of(cell), one_block=apart)


def matrices_of(cell: Cell, *roles: Role) -> tuple[str, ...]:
    """The names of those on x and on a state, in this order; or of one of these."""
    roles = roles or (Role.INPUT_MATRIX, Role.RECURRENT_MATRIX)
    return tuple(parameter.name for role in roles for parameter in cell.parameters if parameter.role is role)


def _transposed(cell: Cell, kind: str) -> Iterator[Entry]:
    def transposed(*names: str) -> Change:
        def change(case: Case) -> Case | None:
            arrays = [weights.arrays[name] for weights in case.weights.columns.values() for name in names]
            if any(array.shape[1] != array.shape[2] or array.shape[2] == 1 for array in arrays):
                return None
            return case.with_weights(
                lambda weights: weights.replaced(**{name: weights.arrays[name].swapaxes(1, 2) for name in names})
            )

        return change

    matrices = matrices_of(cell)
    read = {parameter.name: "x" if parameter.role is Role.INPUT_MATRIX else cell.output for parameter in cell.parameters}
    alone = {parameter.name: len(parameter.gates) == 1 < len(cell.gates) for parameter in cell.parameters}
    for name in reversed(matrices):
        v, whose = read[name], "" if alone[name] else " of every gate"
        yield Entry(
            id=f"{kind}.transpose.{name}",
            says=f"{name}{whose} was transposed: {v} @ {name} instead of {name} @ {v}",
            fix=f"compute {name} @ {v}, which for rows of a batch is {v} @ {name}.T",
            change=transposed(name),
            frameworks=_TRANSPOSED,
            needs=_SQUARE if v == "x" else "a hidden size above 1 and no projection",
        )
    for called, role in (("recurrent", Role.RECURRENT_MATRIX), ("input", Role.INPUT_MATRIX)):
        if 1 < len(own := matrices_of(cell, role)) < len(matrices):
            yield Entry(
                id=f"{kind}.transpose.{called}",
                says=f"{' and '.join(own)} were transposed, each by itself",
                fix=f"compute {' and '.join(f'{name} @ {read[name]}' for name in own)}",
                change=transposed(*own),
                frameworks=_TRANSPOSED,
                needs=_SQUARE if called == "input" else "a hidden size above 1 and no projection",
            )
    if len(matrices) > 1:
        products = " and ".join(f"{name} @ {read[name]}" for name in matrices)
        of_rows = " and ".join(f"{read[name]} @ {name}.T" for name in matrices)
        yield Entry(
            id=f"{kind}.transpose.both",
            says=f"{' and '.join(matrices)}{whose} were {'both' if len(matrices) == 2 else 'all'} transposed",
            fix=f"compute {products}, which for rows of a batch are {of_rows}",
            change=transposed(*matrices),
            frameworks=("Keras 3",),
            needs=_SQUARE,
        )


def _reshaped(kind: str, matrices: tuple[str, ...], *, one_block: bool) -> Iterator[Entry]:
    """A shape that fits is no transpose: values keep their order in memory, so rows do not become columns.

    Where each has `one_block`, that is the whole, and of a square one, as on h, there is nothing but the transpose.
    """
    yield _reshape(
        f"{kind}.transpose.reshaped",
        "the weights were brought to another shape with reshape where they should have been transposed",
        _whole(read),
        matrices,
    )
    yield _reshape(
        f"{kind}.transpose.reshaped-back",
        "the weights were transposed and then brought back to their shape with reshape",
        _whole(stored),
        matrices,
    )
    if one_block:
        return
    yield _reshape(
        f"{kind}.transpose.reshaped-blocks",
        "the block of each gate was brought to another shape with reshape where it should have been transposed",
        _by_block(read),
        matrices,
        frameworks=("cuDNN",),
    )
    yield _reshape(
        f"{kind}.transpose.reshaped-blocks-back",
        "the block of each gate was transposed, but its values lie as if it had been brought to that shape with reshape",
        _by_block(stored),
        matrices,
        frameworks=("cuDNN", "CuDNNGRU and CuDNNLSTM of Keras 2"),
    )
    for name in matrices:
        for id, turn, says in (
            (f"reshaped-{name}", read, "was brought to another shape with reshape where it should have been transposed"),
            (f"reshaped-back-{name}", stored, "was transposed and then brought back to its shape with reshape"),
        ):
            yield _reshape(f"{kind}.transpose.{id}", f"{name} alone {says}", _whole(turn), (name,), rare=True)


def read(array: Array) -> Array:
    """(M, N) read as (N, M) without moving a value, then transposed."""
    return array.reshape(array.shape[::-1]).T


def stored(array: Array) -> Array:
    """(M, N) transposed, and that read as (M, N) without moving a value."""
    return array.T.reshape(array.shape)


def _whole(turn: Turn) -> Turn:
    return lambda array: turn(array.reshape(-1, array.shape[2])).reshape(array.shape)


def _by_block(turn: Turn) -> Turn:
    def turned(array: Array) -> Array:
        blocks = array.copy()
        for gate, block in enumerate(array):
            blocks[gate] = turn(block)
        return blocks

    return turned


def _reshape(
    id: str, says: str, turn: Turn, names: tuple[str, ...], *, frameworks: tuple[str, ...] = (), rare: bool = False
) -> Entry:
    def change(case: Case) -> Case | None:
        arrays = [weights.arrays[name] for weights in case.weights.columns.values() for name in names]
        # Of a square block, nothing is left but its transpose.
        if all(np.array_equal(turn(array), array.swapaxes(1, 2)) for array in arrays):
            return None
        columns, matrices = case.weights.columns.values(), matrices_of(case.cell)
        if any(weights.arrays[name].shape[2] == 1 for weights in columns for name in matrices):
            return None
        return case.with_weights(lambda weights: weights.replaced(**{name: turn(weights.arrays[name]) for name in names}))

    fix = "use .T: reshape keeps the values in their order in memory, so rows do not become columns"
    if "blocks" in id:
        fix = "bring each block to its shape with reshape and leave .T out, if it is cuDNN's; else use .T alone"
    return Entry(id, says, fix, change, frameworks=frameworks, needs=_NOT_SQUARE, rare=rare)
