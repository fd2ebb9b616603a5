"""A variant of a cell in words."""

from collections.abc import Iterator

from rnntrace.model.merges import CONCAT
from rnntrace.model.spec import ModuleSpec


def variant(spec: ModuleSpec) -> Iterator[str]:
    """What the cell has that torch's plain ones do not."""
    if spec.nonlinearity not in (None, "tanh"):
        yield spec.nonlinearity
    beside = {
        "peepholes": spec.peepholes,
        "coupled gates": spec.coupled,
        "layer norm": spec.layer_norm,
        "independent units": spec.independent,
        f"clip {spec.clip}": spec.clip is not None,
    }
    yield from (words for words, there in beside.items() if there)
    if spec.recurrent_activation not in (None, "sigmoid"):
        yield f"gates {spec.recurrent_activation}"
    if spec.activation not in (None, "tanh"):
        yield f"candidate {spec.activation}"
    if spec.cell_activation not in (None, spec.activation):
        yield f"cell state {spec.cell_activation}"
    if spec.merges:
        yield f"merge {spec.merge}"
    if spec.inner_merge != CONCAT:
        yield f"merge {spec.inner_merge} between layers"
    if spec.reverse_activations:
        yield f"in reverse {', '.join(spec.reverse_activations)}"
