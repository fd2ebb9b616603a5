"""What is what in the bare list of arrays that Keras' get_weights gives, told from shapes."""

from collections.abc import Mapping, Sequence
from itertools import product

from rnntrace.errors import WeightsError

Shape = tuple[int, ...]
Slots = dict[tuple[str, tuple[str, ...]], str]
"""By part and gates: the name of an array."""

_PARTS = ("weight_ih", "weight_hh", "bias")
_STACKED = (4, 3, 1)
_KERAS_1 = {"icfo": 12, "zrh": 9}
"""Keras 1 had an array for each gate, in these orders, W, U and b of each."""


def by_position(shapes: Mapping[str, Shape]) -> list[Slots]:
    """The recurrent layers among arrays in their order: kernel, recurrent kernel and, where there is one, bias of each.

    Raises WeightsError where shapes leave it open which they are.
    """
    names, found, at = [*shapes], [], 0
    while at < len(names):
        slots = _keras_1(names[at:], shapes) or _stacked(names[at:], shapes)
        found += [slots] if slots else []
        at += len(slots) or 1
    return found


def _stacked(names: Sequence[str], shapes: Mapping[str, Shape]) -> Slots:
    """kernel (I, G·H), recurrent_kernel (H, G·H) and bias (G·H,), or (2, G·H) of a GRU with two."""
    if len(names) < 2 or any(len(shapes[name]) != 2 for name in names[:2]):
        return {}
    (_, width), (H, recurrent) = (shapes[name] for name in names[:2])
    gates = next((gates for gates in _STACKED if width == recurrent == gates * H and H), 0)
    has_bias = len(names) > 2 and shapes[names[2]] in ((width,), *([(2, width)] if gates == 3 else []))
    # Two square matrices may be those of any two layers.
    if not gates or (gates == 1 and not has_bias):
        return {}
    return {(part, ()): name for part, name in zip(_PARTS, names[: 2 + has_bias], strict=False)}


def _keras_1(names: Sequence[str], shapes: Mapping[str, Shape]) -> Slots:
    for order, count in _KERAS_1.items():
        some = names[:count]
        W, U, b = (shapes[name] for name in names[:3]) if len(names) >= 3 else ((), (), ())
        if len(some) < count or len(W) != 2 or (U, b) != ((W[1], W[1]), (W[1],)):
            continue
        if [shapes[name] for name in some] != [W, U, b] * (count // 3):
            continue
        if W == U:
            raise WeightsError(
                f"{count} arrays from {some[0]} on may be a layer of Keras 1, gate by gate, or {count // 3} SimpleRNN layers: "
                f"give them names, such as W_i, U_i, b_i for the gates"
            )
        return {(part, (gate,)): name for (gate, part), name in zip(product(order, _PARTS), some, strict=True)}
    return {}
