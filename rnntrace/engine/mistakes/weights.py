"""Mistakes with weights: the order of the gates, transposes, biases."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np

from rnntrace.engine.mistakes.mistake import Case, Change, Mistake
from rnntrace.equations.cells import Cell
from rnntrace.model.conventions import CONVENTIONS
from rnntrace.model.dtypes import Array
from rnntrace.model.weights import LayerWeights, Weights

FORGET_BIAS = 1.0
"""What frameworks add to the forget gate's bias: Jozefowicz et al. 2015."""
_BIASES = "biases (leave --no-bias out)"
_SQUARE = "an input as large as the hidden state, in every layer (-i 2 -H 2)"


def weight_mistakes(cell: Cell, kind: str) -> Iterator[Mistake]:
    """All of a cell."""
    yield from _gate_orders(cell, kind)
    if len(cell.gates) > 1:
        yield from _interleaved(cell, kind)
    yield from _transposes(kind)
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
            change=_rearranged(lambda array, order=order: array[[order.index(gate) for gate in cell.gates]]),  # type: ignore[misc]
            frameworks=known[order],
        )


def _frameworks(cell: Cell, order: str) -> tuple[str, ...]:
    return tuple(found.framework for found in CONVENTIONS if cell.kind != "RNN" and found.order(cell.kind) == order)


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
            change=_rearranged(change),
            frameworks=("Chainer",),
        )


def _transposes(kind: str) -> Iterator[Mistake]:
    def transposed(name: str) -> Change:
        def change(case: Case) -> Case | None:
            arrays = [getattr(weights, name) for weights in case.weights.columns.values()]
            if any(array.shape[1] != array.shape[2] or array.shape[2] == 1 for array in arrays):
                return None
            return case.with_weights(lambda weights: replace(weights, **{name: getattr(weights, name).swapaxes(1, 2)}))

        return change

    def reshaped(weights: LayerWeights) -> LayerWeights:
        """(G·H, N) read as (N, G·H) without moving a value, then transposed."""
        return replace(
            weights,
            **{
                name: array.reshape(-1, array.shape[0] * array.shape[1]).T.reshape(array.shape)
                for name, array in weights.arrays.items()
                if name in ("W_ih", "W_hh")
            },
        )

    yield Mistake(
        id=f"{kind}.transpose.W_hh",
        says="W_hh of every gate was transposed: h @ W_hh instead of W_hh @ h",
        fix="compute W_hh @ h, which for rows of a batch is h @ W_hh.T",
        change=transposed("W_hh"),
        frameworks=("Keras 3", "TF1 BasicLSTMCell", "flax linen"),
        needs="a hidden size above 1 and no projection",
    )
    yield Mistake(
        id=f"{kind}.transpose.W_ih",
        says="W_ih of every gate was transposed: x @ W_ih instead of W_ih @ x",
        fix="compute W_ih @ x, which for rows of a batch is x @ W_ih.T",
        change=transposed("W_ih"),
        frameworks=("Keras 3", "TF1 BasicLSTMCell", "flax linen"),
        needs=_SQUARE,
    )
    yield Mistake(
        id=f"{kind}.transpose.both",
        says="W_ih and W_hh of every gate were both transposed",
        fix="compute W_ih @ x and W_hh @ h, which for rows of a batch are x @ W_ih.T and h @ W_hh.T",
        change=lambda case: (first := transposed("W_ih")(case)) and transposed("W_hh")(first),
        frameworks=("Keras 3",),
        needs=_SQUARE,
    )
    yield Mistake(
        id=f"{kind}.transpose.reshaped",
        says="the weights were brought to another shape with reshape where they should have been transposed",
        fix="use .T: reshape keeps the values in their order in memory, so rows do not become columns",
        change=lambda case: case.with_weights(reshaped),
    )


def _biases(cell: Cell, kind: str) -> Iterator[Mistake]:
    def biased(change: Callable[[Array, Array], tuple[Array, Array]]) -> Change:
        def changed(weights: LayerWeights) -> LayerWeights:
            assert weights.b_ih is not None
            assert weights.b_hh is not None
            b_ih, b_hh = change(weights.b_ih, weights.b_hh)
            return replace(weights, b_ih=b_ih, b_hh=b_hh)

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
        return replace(weights, b_ih=b_ih.astype(dtype), b_hh=b_hh)

    return lambda case: case.with_weights(changed)


def _rearranged(change: Callable[[Array], Array]) -> Change:
    """Gate blocks (G, H, …) of both matrices and both biases, all in the same way."""

    def changed(weights: LayerWeights) -> LayerWeights:
        return replace(
            weights, **{name: np.ascontiguousarray(change(array)) for name, array in weights.arrays.items() if name != "W_hr"}
        )

    return lambda case: case.with_weights(changed)


def directions_swapped(case: Case) -> Case | None:
    """The weights of the two directions in each other's place."""
    if not case.spec.bidirectional:
        return None
    other = {"forward": "reverse", "reverse": "forward"}
    columns = {(layer, direction): case.weights[layer, other[direction]] for layer, direction in case.spec.columns}
    return replace(case, weights=Weights(columns))
