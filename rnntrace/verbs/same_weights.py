"""How two files of weights belong together: the same weights, the same in another arrangement, or others altogether."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from rnntrace.errors import show
from rnntrace.model.inputs import Inputs
from rnntrace.model.module import Module
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights
from rnntrace.verbs.given.overrides import Modules
from rnntrace.verbs.input_differences import weights_apart

ARRANGEMENTS = ("gate-order", "transpose", "interleaved", "bias", "direction", "layers")
"""Families of mistakes that arrange weights otherwise, and compute nothing else."""
LARGEST = 2**22
"""Weights of more numbers are not arranged on trial."""
MANY = 4
"""So many sentences on blocks that differ are given one by one."""


def as_layer(spec: ModuleSpec, like: ModuleSpec) -> ModuleSpec:
    """A cell as the layer of one step that it is, or the other way round, where the other side is one; else as it is."""
    alone = all(one.num_layers == 1 and len(one.directions) == 1 and not one.reverse for one in (spec, like))
    if spec.is_cell == like.is_cell or spec.family != like.family or not alone or like.proj_size or spec.proj_size:
        return spec
    return replace(spec, kind=like.kind, batch_first=like.batch_first, dropout=like.dropout)


def paired(first: Modules, second: Modules, names: tuple[str, str]) -> list[tuple[str, str]] | None:
    """Which module stands beside which: those of one name, or, where there is one of a kind and size in each, that one."""
    if len(first) == len(second) == 1:
        return list(zip(first, second, strict=True))
    by_name = [(prefix, prefix) for prefix in first if prefix in second]
    if len(by_name) == max(len(first), len(second)):
        return by_name
    sides = [{prefix: _size(module.spec) for prefix, module in modules.items()} for modules in (first, second)]
    alone = [len(set(side.values())) == len(side) for side in sides]
    if not all(alone) or {*sides[0].values()} != {*sides[1].values()}:
        return None
    theirs = {size: prefix for prefix, size in sides[1].items()}
    return [(prefix, theirs[size]) for prefix, size in sides[0].items()]


def _size(spec: ModuleSpec) -> tuple[object, ...]:
    return spec.family, spec.input_size, spec.hidden_size, spec.num_layers, spec.bidirectional, spec.proj_size


def arrangement(names: Sequence[str], spec: ModuleSpec, mine: Module, theirs: Module, inputs: Inputs) -> Iterator[str]:
    """What the weights of two modules have to do with one another, in sentences; block by block where no word says it all."""
    weights, changed = (module.weights.astype(spec.precision.replay) for module in (mine, theirs))
    apart = [*weights_apart(weights, changed, spec.cell)]
    if apart and _agree(weights, changed, _eps(mine, theirs)):
        yield f"{names[0]} and {names[1]} hold the same weights, but for the rounding to {_coarser(mine, theirs).dtype}"
        return
    found = _arranged(spec, weights, changed, inputs, _eps(mine, theirs)) if apart else ""
    if found:
        yield f"{names[1]} holds the weights of {names[0]} in another arrangement: {found}"
        return
    blocks = sum(1 for own in weights.columns.values() for _ in own.by_gate(spec.cell))
    if len(apart) == blocks > MANY:
        yield f"{names[0]} and {names[1]} hold other weights altogether: every block differs, such as {show(apart[0])}"
        return
    yield from apart


def _coarser(mine: Module, theirs: Module) -> ModuleSpec:
    return max(mine.spec, theirs.spec, key=lambda spec: spec.precision.eps)


def _eps(mine: Module, theirs: Module) -> float:
    """How far equal weights may be apart in two number formats, in parts of their size; nothing in one and the same."""
    return 0.0 if mine.spec.dtype == theirs.spec.dtype else _coarser(mine, theirs).precision.eps


def _arranged(spec: ModuleSpec, weights: Weights, changed: Weights, inputs: Inputs, eps: float) -> str:
    """Which arrangement makes the second weights of the first, or the first of the second, in words; empty if none does."""
    if all(_agree_in_sum(weights[column], changed[column], eps) for column in spec.layer_directions):
        return "both biases together are the same, and apart they are not"
    if sum(array.size for array in weights.arrays) > LARGEST:
        return ""
    from rnntrace.engine.diagnose.case import Case
    from rnntrace.engine.diagnose.mistake import catalogue

    for one, other in ((weights, changed), (changed, weights)):
        case = Case.of(spec, one, inputs)
        for mistake in catalogue(spec.cell):
            if mistake.family.startswith(ARRANGEMENTS):
                found = mistake.change(case)
                if found is not None and found.weights is not one and _agree(found.weights, other, eps):
                    return f"{mistake.says} ({mistake.id})"
    return ""


def _agree(mine: Weights, theirs: Weights, eps: float) -> bool:
    """Whether every array is the same, or lies within the rounding of a format."""
    return mine.columns.keys() == theirs.columns.keys() and all(
        own.arrays.keys() == theirs[column].arrays.keys()
        and all(_equal(array, theirs[column].arrays[name], eps) for name, array in own.arrays.items())
        for column, own in mine.columns.items()
    )


def _agree_in_sum(mine: LayerWeights, theirs: LayerWeights, eps: float) -> bool:
    """Whether all but the biases is the same, and so is their sum: one bias stands for both."""
    biases = ("b_ih", "b_hh")
    sums = [[side.arrays[name] for name in biases if name in side.arrays] for side in (mine, theirs)]
    rest = {*mine.arrays, *theirs.arrays} - {*biases}
    if not all(sums) or not rest <= mine.arrays.keys() & theirs.arrays.keys():
        return False
    same = all(_equal(mine.arrays[name], theirs.arrays[name], eps) for name in rest)
    small = max(eps, 4 * float(np.finfo(sums[0][0].dtype).eps))
    return same and _equal(sum(sums[0][1:], sums[0][0]), sum(sums[1][1:], sums[1][0]), small)


def _equal(mine: np.ndarray, theirs: np.ndarray, eps: float) -> bool:
    if mine.shape != theirs.shape:
        return False
    return np.array_equal(mine, theirs) if not eps else bool((np.abs(mine - theirs) <= eps * (np.abs(theirs) + 1e-8)).all())
