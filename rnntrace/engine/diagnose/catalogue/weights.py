"""Mistakes with weights: the order of the gates, and biases."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations, permutations

import numpy as np

from rnntrace.engine.diagnose.case import Case, Change, Entry
from rnntrace.engine.diagnose.catalogue.activations import MATRICES
from rnntrace.engine.diagnose.catalogue.rows import rearranged, row_mistakes
from rnntrace.engine.diagnose.catalogue.transposes import transpose_mistakes
from rnntrace.equations import cells
from rnntrace.equations.cell import Cell
from rnntrace.equations.parameters import Role
from rnntrace.model.conventions import CONVENTIONS
from rnntrace.model.dtypes import Array
from rnntrace.model.weights import LayerWeights

MOST_PERMUTED = 4
"""Up to so many gates, every order of them is tried."""
FORGET_BIAS = 1.0
"""What frameworks add to the forget gate's bias: Jozefowicz et al. 2015."""
_BIASES = "biases (leave `bias=False` out)"


def weight_mistakes(cell: Cell, kind: str) -> Iterator[Entry]:
    """All of a cell."""
    yield from _gate_orders(cell, kind)
    yield from row_mistakes(cell, kind)
    yield from transpose_mistakes(cell, kind)
    yield from _biases(cell, kind)


def _gate_orders(cell: Cell, kind: str) -> Iterator[Entry]:
    """Every order of the blocks but the right one, those of frameworks first; of many gates those with two exchanged."""
    # A layer norm of the cell state has a scale for it, and no block of a matrix.
    gates = tuple(gate for gate in cell.gates if any(cell.of(role, gate) for role in MATRICES)) or cell.gates
    orders: list[tuple[str, ...]] = [order for order in _orders(gates) if order != gates]
    known = {order: _frameworks(cell, order) for order in orders}
    right = " ".join(gates)
    for order in sorted(orders, key=lambda order: not known[order]):
        # The candidate of an LSTM is called c nearly everywhere but in torch.
        names = ["c" if gate == "g" else gate for gate in order]
        spaced, blocks = " ".join(order), [order.index(gate) for gate in gates]
        yield Entry(
            id=f"{kind}.gate-order.{('' if all(len(name) == 1 for name in names) else '-').join(names)}",
            says=f"the blocks of gates were read in the order {spaced} instead of {right}",
            fix=f"read them as {right}; or, if the weights do lie as {spaced}, make {right} of it by taking blocks {blocks}",
            change=rearranged(partial(reordered, order)),
            frameworks=known[order],
        )


def _orders(gates: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if len(gates) <= MOST_PERMUTED:
        yield from permutations(gates)
        return
    for first, second in combinations(gates, 2):
        yield tuple({first: second, second: first}.get(gate, gate) for gate in gates)


def reordered(order: Sequence[str], array: Array, gates: Sequence[str]) -> Array:
    """Blocks that lie in this order, as far as there are such, taken for those of these gates."""
    own = [gate for gate in order if gate in gates]
    own += [gate for gate in gates if gate not in order]
    return array[[own.index(gate) for gate in gates]]


def _frameworks(cell: Cell, order: Sequence[str]) -> tuple[str, ...]:
    return tuple(found.framework for found in CONVENTIONS if [*found.order(cell)] == [*order])


def _biases(cell: Cell, kind: str) -> Iterator[Entry]:
    found = [parameter for parameter in cell.parameters if parameter.is_bias]
    biases = [parameter.name for parameter in reversed(found)]
    whole = [(Role.INPUT_BIAS, cell.gates), (Role.RECURRENT_BIAS, cell.gates)]
    fix = f"add {' and '.join(reversed(biases))}, {'each ' if len(biases) > 1 else ''}once"

    def mistake(name: str, change: Callable[[LayerWeights], dict[str, Array]], says: str) -> Entry:
        changed = _if_biases(lambda weights: weights.replaced(**change(weights)))
        return Entry(id=f"{kind}.bias.{name}", says=says, fix=fix, change=changed, needs=_BIASES)

    def dropped(*names: str) -> Callable[[LayerWeights], dict[str, Array]]:
        return lambda weights: {name: np.zeros_like(weights.arrays[name]) for name in names}

    def twice(name: str) -> Callable[[LayerWeights], dict[str, Array]]:
        # Once more beside x, where both sides have one.
        place = found[0].name if len({parameter.gates for parameter in found}) == 1 else name
        return lambda weights: {place: weights.arrays[place] + weights.arrays[name]}

    for bias in biases:
        yield mistake(f"{bias.removeprefix('b_')}-dropped", dropped(bias), f"{bias} was left out")
    if len(biases) > 1:
        both = "both" if len(biases) == 2 else "all"
        yield mistake(f"{both}-dropped", dropped(*biases), f"{both} biases were left out")
    for bias in biases:
        yield mistake(f"{bias.removeprefix('b_')}-twice", twice(bias), f"{bias} was added twice")
    if set(cell.symbols) == set(cells.GRU.symbols) and [(bias.role, bias.gates) for bias in found] == whole:
        yield from _beside_a_reset(cell, kind)
    if set(cell.symbols) == set(cells.LSTM.symbols) and any("f" in bias.gates for bias in found):
        yield from _of_forget_gate(cell, kind)


def _if_biases(change: Callable[[LayerWeights], LayerWeights]) -> Change:
    return lambda case: case.with_weights(change) if case.spec.bias else None


def _beside_a_reset(cell: Cell, kind: str) -> Iterator[Entry]:
    """Which of a GRU's biases is which counts, for a reset gate acts on one of them."""
    b_hh, b_ih = (parameter.name for parameter in reversed(cell.parameters) if parameter.is_bias)
    of_candidate = (np.array(cell.gates) == "n")[:, None]

    def merged(weights: LayerWeights) -> LayerWeights:
        ih, hh = weights.arrays[b_ih], weights.arrays[b_hh]
        inside = np.where(of_candidate, 0, hh).astype(hh.dtype)
        return weights.replaced(**{b_ih: ih + np.where(of_candidate, hh, 0), b_hh: inside})

    def exchanged(weights: LayerWeights) -> LayerWeights:
        return weights.replaced(**{b_ih: weights.arrays[b_hh], b_hh: weights.arrays[b_ih]})

    yield Entry(
        id=f"{kind}.bias.hidden-outside-reset",
        says="b_hn was added outside the reset gate, as if it could be summed with b_in",
        fix="keep b_hn inside: n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))",
        change=_if_biases(merged),
        frameworks=("Core ML",),
        needs=_BIASES,
    )
    yield Entry(
        id=f"{kind}.bias.exchanged",
        says=f"{b_ih} and {b_hh} were exchanged",
        fix="b_hn belongs inside the reset gate, b_in outside of it",
        change=_if_biases(exchanged),
        needs=_BIASES,
    )


def _of_forget_gate(cell: Cell, kind: str) -> Iterator[Entry]:
    for name, sign, says in (
        ("added", 1, "1 was added to the forget gate's bias on top of the stored biases"),
        (
            "missing",
            -1,
            "1 is missing from the forget gate's bias: the stored biases hold it already, and it was taken off",
        ),
    ):
        yield Entry(
            id=f"{kind}.forget-bias.{name}",
            says=says,
            fix="add the stored biases and nothing else: torch has no forget bias apart from them",
            change=_with_forget_bias(sign * FORGET_BIAS),
            frameworks=("TF1 BasicLSTMCell", "haiku"),
        )


def _with_forget_bias(added: float) -> Change:
    def change(case: Case) -> Case:
        biases = [parameter for parameter in case.cell.parameters if parameter.is_bias]
        first = next(parameter for parameter in biases if "f" in parameter.gates)

        def changed(weights: LayerWeights) -> LayerWeights:
            dtype = next(iter(weights.arrays.values())).dtype
            zeros = {bias.name: np.zeros((len(bias.gates), case.spec.hidden_size), dtype) for bias in biases}
            arrays = {name: weights.arrays.get(name, zero) for name, zero in zeros.items()}
            to_forget_gate = added * (np.array(first.gates) == "f")[:, None]
            return weights.replaced(**{**arrays, first.name: (arrays[first.name] + to_forget_gate).astype(dtype)})

        return case.with_weights(changed)

    return change
