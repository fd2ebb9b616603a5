"""What rounding can do to what a layer of two directions gives, from what it can do to each of them."""

from collections.abc import Mapping

import numpy as np

from rnntrace.engine.judge.rules import Bounded, Format, rules
from rnntrace.equations.expression import Op
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key
from rnntrace.model.merges import MERGES
from rnntrace.model.spec import ModuleSpec


def merged_bounds(merge: str, forward: Bounded, reverse: Bounded, format: Format) -> Array:
    """The bound on two directions' outputs as they are joined by a name in `MERGES`."""
    how = rules(format)
    if merge == "sum":
        return how[Op.ADD](forward, reverse).error
    if merge == "mul":
        return how[Op.MULTIPLY](forward, reverse).error
    if merge == "ave":
        return how[Op.ADD](forward, reverse).error / 2 + format.underflow
    return MERGES[merge](forward.error, reverse.error)


def joined_bounds(
    columns: Mapping[Key, Array],
    bounds: Mapping[Key, Array],
    layer: int,
    spec: ModuleSpec,
    valid: Flags | None,
    format: Format,
) -> Array:
    """The bound on a layer's output (T, B, width), zero at the steps that do not exist."""
    keys = [(layer, direction, spec.cell.output) for direction in spec.directions]
    first, *others = (Bounded(columns[key], bounds[key]) for key in keys)
    bound = merged_bounds(spec.merge_of(layer), first, others[0], format) if others else first.error
    return bound if valid is None else np.where(valid[..., None], bound, bound.dtype.type(0))
