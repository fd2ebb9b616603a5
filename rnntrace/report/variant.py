"""A variant of a cell in words."""

from collections.abc import Iterator

from rnntrace.model.merges import CONCAT
from rnntrace.model.spec import ModuleSpec


def variant(spec: ModuleSpec) -> Iterator[str]:
    """What the cell has that torch's plain ones do not."""
    activations = spec.unusual_activations
    if "nonlinearity" in activations:
        yield activations["nonlinearity"]
    beside = {
        "peepholes": spec.peepholes,
        "coupled gates": spec.coupled,
        "layer norm": spec.layer_norm,
        "independent units": spec.independent,
        f"clip {spec.clip}": spec.clip is not None,
    }
    yield from (words for words, there in beside.items() if there)
    whose = {"recurrent_activation": "gates", "activation": "candidate", "cell_activation": "cell state"}
    yield from (f"{words} {activations[name]}" for name, words in whose.items() if name in activations)
    if spec.merges:
        yield f"merge {spec.merge}"
    if spec.inner_merge != CONCAT:
        yield f"merge {spec.inner_merge} between layers"
    if spec.reverse_activations:
        yield f"in reverse {', '.join(spec.reverse_activations)}"
