"""What arrays may be that no name tells: from their shapes alone, as a framework would lay them out."""

from collections.abc import Iterator, Mapping
from itertools import permutations

from rnntrace.equations.cells import TORCH_CELLS
from rnntrace.errors import show

Shape = tuple[int, ...]

FEW = 6
"""Arrays that are listed."""
MOST = 24
"""Matrices that are looked at, two at a time."""
MOST_READINGS = 2
"""Readings that are told."""


def listed(shapes: Mapping[str, Shape]) -> str:
    """The first of these arrays with their shapes, and how many there are beside."""
    some = ", ".join(f"{show(name)[:40] or 'one'} {_told(shape)}" for name, shape in [*shapes.items()][:FEW])
    return some + (f" and {len(shapes) - FEW} more" if len(shapes) > FEW else "")


def likely(shapes: Mapping[str, Shape]) -> str:
    """The likely reading of two of these arrays, in words; empty if shapes do not tell any.

    Of a plain RNN, whose matrices look like those of any two layers, nothing is told.
    """
    found = dict.fromkeys(_readings(shapes))
    return " or ".join([*found][:MOST_READINGS])


def _readings(shapes: Mapping[str, Shape]) -> Iterator[str]:
    some = [shape for shape in shapes.values() if len(shape) in (2, 3) and 0 not in shape][:MOST]
    if len(some) == 1 and len(some[0]) == 2:
        yield from _joined(some[0], [shape for shape in shapes.values() if len(shape) == 1])
    for W, U in permutations(some, 2):
        for cell in TORCH_CELLS:
            if (gates := len(cell.gates)) > 1:
                yield from _as_cell(W, U, gates, cell.kind)


def _as_cell(W: Shape, U: Shape, gates: int, kind: str) -> Iterator[str]:
    """As torch has it, (G·H, I) and (G·H, H), as Keras, (I, G·H) and (H, G·H), or as ONNX, (D, G·H, I) and (D, G·H, H)."""
    shapes = f"{_told(W)} and {_told(U)} look like"
    if len(W) == len(U) == 2:
        if W[0] == U[0] == gates * U[1]:
            yield f"{shapes} torch's weight_ih and weight_hh of {kind}({W[1]}, {U[1]}): see `names`"
        if W[1] == U[1] == gates * U[0]:
            yield f"{shapes} a Keras kernel and recurrent_kernel of {kind}({W[0]}, {U[0]}): pass `layout=keras`"
    elif len(W) == len(U) == 3 and W[0] == U[0] in (1, 2) and W[1] == U[1] == gates * U[2]:
        yield f"{shapes} ONNX's W and R of {kind}({W[2]}, {U[2]}): pass `layout=onnx`"


def _joined(W: Shape, vectors: list[Shape]) -> Iterator[str]:
    """One matrix (I + H, 4H) on x and h together, with a bias (4H,), as TensorFlow 1 has it."""
    H = W[1] // 4
    if W[1] == 4 * H and W[0] > H and (4 * H,) in vectors:
        yield f"{_told(W)} looks like a TensorFlow 1 kernel on [x; h] of LSTM({W[0] - H}, {H}): pass `layout=tf1`"


def _told(shape: Shape) -> str:
    return str(shape)[:40]
