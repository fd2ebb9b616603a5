"""Mistakes with weights: the order of the gates, and biases."""

from collections.abc import Callable, Iterator
from itertools import permutations

import numpy as np

from rnntrace.engine.diagnose.catalogue.rows import rearranged, row_mistakes
from rnntrace.engine.diagnose.catalogue.transposes import transpose_mistakes
from rnntrace.engine.diagnose.mistake import Change, Mistake
from rnntrace.equations.cells import Cell
from rnntrace.model.conventions import CONVENTIONS
from rnntrace.model.dtypes import Array
from rnntrace.model.weights import LayerWeights

FORGET_BIAS = 1.0
"""What frameworks add to the forget gate's bias: Jozefowicz et al. 2015."""
_BIASES = "biases (leave --no-bias out)"


def weight_mistakes(cell: Cell, kind: str) -> Iterator[Mistake]:
    """All of a cell."""
    yield from _gate_orders(cell, kind)
    yield from row_mistakes(cell, kind)
    yield from transpose_mistakes(cell, kind)
    yield from _biases(cell, kind)


def _gate_orders(cell: Cell, kind: str) -> Iterator[Mistake]:
    """Every order of the blocks but the right one; those of frameworks first."""
    orders = ["".join(order) for order in permutations(cell.gates) if order != cell.gates]
    known = {order: _frameworks(cell, order) for order in orders}
    right = " ".join(cell.gates)
    for order in sorted(orders, key=lambda order: not known[order]):
        # The candidate of an LSTM is called c nearly everywhere but in torch.
        name = order.replace("g", "c")
        spaced, blocks = " ".join(order), [order.index(gate) for gate in cell.gates]
        yield Mistake(
            id=f"{kind}.gate-order.{name}",
            says=f"the blocks of gates were read in the order {spaced} instead of {right}",
            fix=f"read them as {right}; or, if the weights do lie as {spaced}, make {right} of it by taking blocks {blocks}",
            change=rearranged(lambda array, order=order: array[[order.index(gate) for gate in cell.gates]]),  # type: ignore[misc]
            frameworks=known[order],
        )


def _frameworks(cell: Cell, order: str) -> tuple[str, ...]:
    return tuple(found.framework for found in CONVENTIONS if len(order) > 1 and found.order(cell) == order)


def _biases(cell: Cell, kind: str) -> Iterator[Mistake]:
    def biased(change: Callable[[Array, Array], tuple[Array, Array]]) -> Change:
        def changed(weights: LayerWeights) -> LayerWeights:
            assert weights.b_ih is not None
            assert weights.b_hh is not None
            b_ih, b_hh = change(weights.b_ih, weights.b_hh)
            return weights.replaced(b_ih=b_ih, b_hh=b_hh)

        return lambda case: case.with_weights(changed) if case.spec.bias else None

    none = np.zeros_like
    for name, change, says in (
        ("hh-dropped", lambda ih, hh: (ih, none(hh)), "b_hh was left out"),
        ("ih-dropped", lambda ih, hh: (none(ih), hh), "b_ih was left out"),
        ("both-dropped", lambda ih, hh: (none(ih), none(hh)), "both biases were left out"),
        ("hh-twice", lambda ih, hh: (ih + hh, hh), "b_hh was added twice"),
        ("ih-twice", lambda ih, hh: (ih + ih, hh), "b_ih was added twice"),
    ):
        fix = "add b_ih and b_hh, each once"
        yield Mistake(id=f"{kind}.bias.{name}", says=says, fix=fix, change=biased(change), needs=_BIASES)
    if cell.kind == "GRU":
        candidate = cell.gates.index("n")

        def merged(ih: Array, hh: Array) -> tuple[Array, Array]:
            of_candidate = (np.arange(len(cell.gates)) == candidate)[:, None]
            return ih + np.where(of_candidate, hh, 0), np.where(of_candidate, 0, hh).astype(hh.dtype)

        yield Mistake(
            id=f"{kind}.bias.hidden-outside-reset",
            says="b_hn was added outside the reset gate, as if it could be summed with b_in",
            fix="keep b_hn inside: n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))",
            change=biased(merged),
            frameworks=("Core ML",),
            needs=_BIASES,
        )
        yield Mistake(
            id=f"{kind}.bias.exchanged",
            says="b_ih and b_hh were exchanged",
            fix="b_hn belongs inside the reset gate, b_in outside of it",
            change=biased(lambda ih, hh: (hh, ih)),
            needs=_BIASES,
        )
    if cell.kind == "LSTM":
        forget = (np.array(cell.gates) == "f")[:, None]
        for name, sign, says in (
            ("added", 1, "1 was added to the forget gate's bias on top of the stored biases"),
            (
                "missing",
                -1,
                "1 is missing from the forget gate's bias: the stored biases hold it already, and it was taken off",
            ),
        ):
            yield Mistake(
                id=f"{kind}.forget-bias.{name}",
                says=says,
                fix="add the stored biases and nothing else: torch has no forget bias apart from them",
                change=_with_forget_bias(sign * FORGET_BIAS * forget),
                frameworks=("TF1 BasicLSTMCell", "haiku"),
            )


def _with_forget_bias(added: Array) -> Change:
    def changed(weights: LayerWeights) -> LayerWeights:
        shape, dtype = weights.W_ih.shape[:2], weights.W_ih.dtype
        b_ih = (np.zeros(shape) if weights.b_ih is None else weights.b_ih) + added
        b_hh = np.zeros(shape, dtype) if weights.b_hh is None else weights.b_hh
        return weights.replaced(b_ih=b_ih.astype(dtype), b_hh=b_hh)

    return lambda case: case.with_weights(changed)
