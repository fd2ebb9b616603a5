"""Which layers of a Keras model get a mask, and what it comes from: keras/src/layers/core/{masking,embedding}.py."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rnntrace.model.module import Mask

PASSING = ("Dropout", "SpatialDropout1D", "GaussianNoise", "ActivityRegularization")
"""Layers that may stand between two of a stack: outside of training they give on what they get."""
UNCHANGED = ("InputLayer", *PASSING)
"""Layers whose output shows where the steps of their input are masked."""
ENDING = ("Flatten", "GlobalAveragePooling1D", "GlobalMaxPooling1D")
"""Layers behind which there are no steps."""


class Masks:
    """Follows masks through the layers of one model. Every layer that is not known to end one is taken to hand it on."""

    def __init__(self, path: str, outer: Mask | None) -> None:
        self._path, self._outer = path, outer
        self._leaving: dict[str, Mask | None] = {}

    def arriving(self, name: str, sources: Sequence[str | None] | None, layer: Mapping[str, Any]) -> Mask | None:
        """The mask of what a layer reads: of `sources`, or of the layers that its own nodes name."""
        nodes = layer.get("inbound_nodes") or []
        named = list(_histories(nodes)) if sources is None else [source for source in sources if source is not None]
        if not named:
            return self._outer
        found = next((mask for source in named if (mask := self._leaving.get(source))), None)
        given = any(isinstance(node, dict) and (node.get("kwargs") or {}).get("mask") for node in nodes)
        return found or (Mask(f"the mask that {self._path}{name} is called with") if given else None)

    def passing(self, name: str, kind: str, config: Mapping[str, Any], arriving: Mask | None) -> None:
        """Notes the mask of what a layer gives."""
        inner = config.get("layer")
        steps = inner["config"] if kind == "Bidirectional" and isinstance(inner, dict) else config
        unseen = arriving and replace(arriving, value=None)
        if kind == "Masking":
            self._leaving[name] = Mask(f"{self._path}{name} (Masking)", float(config.get("mask_value", 0.0)))
        elif kind == "Embedding":
            self._leaving[name] = Mask(f"{self._path}{name} (Embedding)") if config.get("mask_zero") else None
        elif kind in UNCHANGED:
            self._leaving[name] = arriving
        else:
            self._leaving[name] = None if kind in ENDING or steps.get("return_sequences") is False else unseen

    def leaving(self, name: str, mask: Mask | None) -> None:
        """Notes the mask of what a model inside gives."""
        self._leaving[name] = mask and replace(mask, value=None)

    def of(self, name: str | None) -> Mask | None:
        """That of a layer's output."""
        return self._leaving.get(name) if name is not None else self._outer


def _histories(nodes: Any) -> Iterator[str]:
    """The names of the layers that nodes read, in the words of Keras 2, [layer, node, tensor, options], and of Keras 3."""
    pending = [nodes]
    while pending:
        found = pending.pop()
        if isinstance(found, dict):
            history = found.get("keras_history")
            if isinstance(history, list) and history:
                yield str(history[0])
            pending += found.values()
        elif isinstance(found, list):
            if len(found) >= 3 and isinstance(found[0], str) and all(isinstance(number, int) for number in found[1:3]):
                yield found[0]
            pending += found
