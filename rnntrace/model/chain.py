"""What stands around a recurrent module in a model of several layers: what it reads, and what is made of its output."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnntrace.model.dtypes import Array

if TYPE_CHECKING:
    from rnntrace.model.module import Module


@dataclass(frozen=True)
class Dense:
    """A layer that makes activation(v W + b) of every vector v, with W (I, O) and b (O,) if there is one.

    `activation` is "softmax", or one of `equations.activations`. Without W it is the activation alone.
    """

    name: str
    W: Array | None
    b: Array | None
    activation: str

    def __str__(self) -> str:
        kind = "Activation" if self.W is None else f"Dense, {self.W.shape[1]}"
        return f"{self.name} ({kind}, {self.activation})"


@dataclass(frozen=True)
class Lookup:
    """An embedding: row k of the table (V, D) for the token k. With `masks_zero` the token 0 is masked."""

    name: str
    table: Array
    masks_zero: bool

    def __str__(self) -> str:
        return f"{self.name} (Embedding, {self.table.shape[0]} tokens)"


@dataclass(frozen=True)
class Before:
    """What a module reads: the output of the layer `layer`, or the model's input where that is empty, through some layers.

    `unknown` names a layer in between that is not replayed; nothing is known of what is in front of it then. It is `assumed`
    where the file has weights alone, and sizes that fit.
    """

    layer: str = ""
    through: tuple[Dense | Lookup, ...] = ()
    unknown: str = ""
    assumed: bool = False


@dataclass(frozen=True)
class Behind:
    """What a model makes of a module's output: some layers, and where they do not lead to the end the one that they end at."""

    layers: tuple[Dense, ...] = ()
    unknown: str = ""


def chain_of(modules: Mapping[str, "Module"]) -> tuple[str, ...]:
    """The modules of one model in the order in which each reads the one before; none where they are no such chain."""
    after: dict[str, str] = {}
    for prefix, module in modules.items():
        before = module.before
        if before is None or before.unknown or (below := _prefix(before.layer, modules)) is None or below in after:
            return ()
        after[below] = prefix
    order, place = [], ""
    while (place := after.pop(place, "")) != "":
        order.append(place)
    return tuple(order) if len(order) == len(modules) else ()


def _prefix(layer: str, modules: Mapping[str, "Module"]) -> str | None:
    """The module whose last layer this is, "" for the model's input; None if there is none."""
    if not layer:
        return ""
    return next((prefix for prefix in modules if prefix.split("+")[-1] == layer), None)
