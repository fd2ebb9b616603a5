"""Gradients of parameters as a framework or a course arranges these: each lies where its parameter does."""

from collections.abc import Iterable, Mapping

import numpy as np

from rnntrace.model.arranged import GATES, Slot, stacked
from rnntrace.model.conventions import Convention
from rnntrace.model.dtypes import Array
from rnntrace.model.names import BIAS, JOINED, gate_of
from rnntrace.model.spec import ModuleSpec

_OF_PART = {"weight_ih": ("W_ih",), "weight_hh": ("W_hh",), JOINED: ("W_ih", "W_hh"), BIAS: ("b_ih",), "bias_ih": ("b_ih",)}
"""The parameters that a part has gradients of."""


def has_part(slot: Slot, spec: ModuleSpec) -> bool:
    """Whether gradients of it are read, and its gates are the module's."""
    part, words = slot
    return part in _OF_PART and all(gate_of(word, spec.family) for word in words)


def shapes_of(row: Convention, spec: ModuleSpec, slot: Slot) -> tuple[tuple[int, ...], ...]:
    """The shapes that an array of a part may have: one of a matrix, and a bias may have an axis of length 1."""
    part, words = slot
    H, I = spec.hidden_size, spec.input_size
    rows = (len(words) or len(GATES[spec.family])) * H
    columns = {"weight_ih": I, "weight_hh": H, JOINED: H + I}.get(part)
    if columns is None:
        return (rows,), (rows, 1), (1, rows)
    return ((columns, rows) if row.transposed else (rows, columns),)


def missing_gates(row: Convention, spec: ModuleSpec, slots: Mapping[Slot, str]) -> tuple[str, list[str]]:
    """A name of a part that only some gates have an array of, and the letters of the others; none where all have theirs."""
    for (part, words), name in slots.items():
        if words:
            found = {gate_of(word, spec.family) for own, named in slots if own == part for word in named}
            if left := [gate for gate in row.order(spec.cell) if gate not in found]:
                return name, left
    return "", []


def arranged_gradients(row: Convention, spec: ModuleSpec, column: Mapping[Slot, Array]) -> dict[str, Array]:
    """Those of the parameters of a layer (G, H, ·) by their names, from arrays of `shapes_of` with all gates of each part.

    Only what is given is there; that of one bias is that of either, unless b_hh is multiplied by a gate.
    """
    there = {part for part, _ in column}
    # Zeros stand for a matrix that is not given.
    needed = {JOINED} if JOINED in there else {"weight_ih", "weight_hh"}
    zeros: dict[Slot, Array] = {(part, ()): np.zeros(shapes_of(row, spec, (part, ()))[0]) for part in needed - there}
    arrays = stacked(row, {**column, **zeros})
    if BIAS in there and not (spec.family == "GRU" and spec.reset_after):
        arrays["b_hh"] = arrays["b_ih"]
        return {name: arrays[name] for name in (*_given(there), "b_hh")}
    return {name: arrays[name] for name in _given(there)}


def _given(parts: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(name for part in parts for name in _OF_PART[part])
