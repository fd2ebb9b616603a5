"""Mistakes in what is summed: over steps, over items, and in which order the blocks of gates stand."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np

from rnntrace.engine.backward.calculation import Calculation, Change, GradientMistake
from rnntrace.engine.backward.gradients import Gradients
from rnntrace.equations.cell import Cell
from rnntrace.model.dtypes import Array
from rnntrace.model.weights import LayerWeights, Weights


def sum_mistakes(cell: Cell) -> Iterator[GradientMistake]:
    """Of parameters, over steps and items."""
    kind = cell.slug

    def weighed(weights: Callable[[int], Array]) -> Change:
        return lambda right: replace(right, weigh=weights(right.trace.inputs.steps)) if right.trace.inputs.steps > 1 else None

    yield GradientMistake(
        f"{kind}.sum.overwritten",
        "each step overwrites the gradients of the parameters: those of the first step are left",
        "dW += …, and not dW = …: parameters get a share from every step",
        change=weighed(lambda steps: np.eye(steps)[0]),
    )
    yield GradientMistake(
        f"{kind}.sum.last-step-alone",
        "parameters get their gradients from the last step alone",
        "go back over all steps, and add what each gives",
        change=weighed(lambda steps: np.eye(steps)[-1]),
    )
    yield GradientMistake(
        f"{kind}.sum.mean-over-steps",
        "gradients of the parameters are averaged over the steps",
        "they are sums over the steps: the loss decides whether anything is averaged",
        change=weighed(lambda steps: np.full(steps, 1 / steps)),
    )

    def scaled(of: Callable[[Calculation], float], *, whole: bool) -> Change:
        def change(right: Calculation) -> Calculation | None:
            scale = of(right)
            return None if scale == 1 else right.read(lambda found: _scaled(found, scale, whole=whole))

        return change

    yield GradientMistake(
        f"{kind}.sum.mean-over-items",
        "gradients of the parameters are averaged over the batch",
        "they are sums over the items, unless the loss is a mean",
        needs="a batch of two or more",
        change=scaled(lambda right: 1 / right.trace.inputs.batch, whole=False),
    )
    yield GradientMistake(
        f"{kind}.sum.loss-is-a-mean",
        "every gradient is too small by the number of values of the output: the loss was a mean, and not a sum",
        "use one and the same loss on both sides",
        change=scaled(lambda right: 1 / right.trace.output.size, whole=True),
    )
    yield GradientMistake(
        f"{kind}.sum.sign",
        "every gradient has the other sign",
        "∂L/∂ is what L grows by; an optimiser's step goes the other way",
        change=scaled(lambda right: -1.0, whole=True),
    )
    yield GradientMistake(
        f"{kind}.sum.one-bias",
        "one of the two biases gets no gradient",
        "b_ih and b_hh stand beside each other in a gate's sum: both get Σ ∂a",
        change=lambda right: right.read(lambda found: _parameters(found, lambda own: _zeroed(own, "b_hh"))),
    )
    yield GradientMistake(
        f"{kind}.sum.matrices-transposed",
        "gradients of the matrices are transposed: x · ∂aᵀ for ∂a · xᵀ",
        "dW has the shape of W: the outer product of ∂a and what W multiplies, in this order",
        needs="square matrices",
        change=lambda right: right.read(lambda found: _parameters(found, _transposed)),
    )


def _parameters(found: Gradients, change: Callable[[LayerWeights], LayerWeights]) -> Gradients:
    columns = {column: change(own) for column, own in found.parameters.columns.items()}
    return replace(found, parameters=Weights(columns))


def _zeroed(own: LayerWeights, name: str) -> LayerWeights:
    return own.replaced(**{name: np.zeros_like(own.arrays[name])}) if name in own.arrays else own


def _transposed(own: LayerWeights) -> LayerWeights:
    square = {name: array for name, array in own.arrays.items() if array.ndim == 3 and array.shape[1] == array.shape[2]}
    return own.replaced(**{name: np.swapaxes(array, 1, 2) for name, array in square.items()})


def _scaled(found: Gradients, scale: float, *, whole: bool) -> Gradients:
    def times(array: Array) -> Array:
        return array * array.dtype.type(scale)

    found = _parameters(found, lambda own: LayerWeights(arrays={name: times(array) for name, array in own.arrays.items()}))
    if not whole:
        return found
    columns = {key: times(array) for key, array in found.columns.items()}
    return replace(found, columns=columns, signals={name: times(array) for name, array in found.signals.items()})


def order_mistakes(cell: Cell) -> Iterator[GradientMistake]:
    """Blocks of gates in the gradients of parameters."""
    kind, gates = cell.slug, cell.gates
    if len(gates) > 4:
        return
    for order in permutations(range(len(gates))):
        if [*order] != sorted(order):
            names = "".join(gates[number] for number in order)

            def read(found: Gradients, order: tuple[int, ...] = order) -> Gradients:
                return _parameters(found, lambda own: _reordered(own, order))

            yield GradientMistake(
                f"{kind}.order.{names}",
                f"gradients of the parameters have their blocks of gates in the order {' '.join(names)}",
                f"the blocks of the weights are {' '.join(gates)}: use the same order for their gradients",
                change=lambda right, read=read: right.read(read),  # type: ignore[misc]
            )


def _reordered(own: LayerWeights, order: tuple[int, ...]) -> LayerWeights:
    blocks = {name: array[[*order]] for name, array in own.arrays.items() if array.ndim > 1 and len(array) == len(order)}
    return own.replaced(**blocks)
