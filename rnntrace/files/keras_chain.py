"""What stands before and behind each recurrent layer of a Keras model: Dense, Embedding and what passes on what it gets.

The layers: keras/src/layers/core/{dense,embedding}.py, keras/src/layers/activations/activation.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rnntrace.errors import WeightsError, show
from rnntrace.files.keras_activations import activation_of
from rnntrace.files.keras_store import Store
from rnntrace.model.chain import Before, Behind, Dense, Lookup

Config = Mapping[str, Any]


@dataclass
class Surroundings:
    """The layers of one model by name: which layer each reads, and what it does, if that is known."""

    reads: dict[str, str | None] = field(default_factory=dict)
    known: dict[str, Dense | Lookup | None] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    recurrent: set[str] = field(default_factory=set)

    def add(self, name: str, kind: str, reads: str | None, known: Dense | Lookup | None, *, recurrent: bool = False) -> None:
        """A layer, and the name of the one whose output it reads; None where it reads several, or another way."""
        self.reads[name], self.known[name], self.kinds[name] = reads, known, kind
        if recurrent:
            self.recurrent.add(name)

    def before(self, name: str) -> Before:
        """What a recurrent layer reads, through what."""
        through: list[Dense | Lookup] = []
        while (below := self.reads[name]) is not None and below in self.kinds:
            if below in self.recurrent:
                return Before(below, tuple(through))
            if self.kinds[below] in INPUTS:
                return Before("", tuple(through))
            known = self.known[below]
            if known is not None:
                through.insert(0, known)
            elif self.kinds[below] not in UNCHANGED:
                return Before(unknown=self._called(below))
            name = below
        if below is None and name in self.first:
            return Before("", tuple(through))
        return Before(unknown="another model, or several layers")

    @property
    def first(self) -> set[str]:
        """Layers of a Sequential that read the model's input, which need not be a layer of its own."""
        return {name for name, reads in self.reads.items() if reads is None and next(iter(self.reads)) == name}

    def behind(self, name: str) -> Behind:
        """What is made of the output of a recurrent layer, up to the next one."""
        layers: list[Dense] = []
        while len(above := [one for one, reads in self.reads.items() if reads == name]) == 1:
            (name,) = above
            if name in self.recurrent:
                break
            known = self.known[name]
            if isinstance(known, Dense):
                layers.append(known)
            elif self.kinds[name] not in UNCHANGED:
                return Behind(tuple(layers), self._called(name))
        if len(above) > 1:
            return Behind(tuple(layers), " and ".join(map(self._called, above)))
        return Behind(tuple(layers))

    def _called(self, name: str) -> str:
        return f"{show(name)} ({show(self.kinds[name])[:40]})"


INPUTS = ("InputLayer",)
UNCHANGED = ("Masking",)
"""Layers that give on what they get; what they mask is followed elsewhere."""


def known_layer(kind: str, config: Config, path: str, group: str, store: Store, hard_sigmoid: str) -> Dense | Lookup | None:
    """What a layer does that is not recurrent, if it is one that is replayed."""
    if kind == "TimeDistributed" and isinstance(inner := config.get("layer"), Mapping) and inner.get("class_name") == "Dense":
        kind, config = "Dense", inner["config"]
    try:
        if kind == "Activation":
            return Dense(path, None, None, _activation(config, hard_sigmoid))
        if kind == "Softmax" and config.get("axis", -1) == -1:
            return Dense(path, None, None, "softmax")
        if kind == "Dense":
            arrays = store.plain(path, group)
            W, b = arrays[0], arrays[1] if len(arrays) > 1 else None
            if W.ndim == 2 and (b is None or b.shape == W.shape[1:]) and len(arrays) <= 2:
                return Dense(path, W, b, _activation(config, hard_sigmoid))
        if kind == "Embedding":
            (table,) = store.plain(path, group)
            return Lookup(path, table, bool(config.get("mask_zero")))
    except (WeightsError, ValueError, IndexError):
        pass
    return None


def _activation(config: Config, hard_sigmoid: str) -> str:
    found = config.get("activation")
    return "softmax" if found == "softmax" else activation_of(found, hard_sigmoid)
