"""What other tensors of a state_dict may be to its modules, from names and shapes: an embedding, a norm, a linear layer."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rnntrace.model.spec import ModuleSpec

_EMBEDDING = re.compile(r"(?:.*[._])?(?:\w*emb\w*|wte|encoder)\.weight", re.IGNORECASE)
_NORM = re.compile(r"(?:.*[._])?(?:ln|bn|\w*norm)[._\d]*\.weight", re.IGNORECASE)


@dataclass(frozen=True)
class Neighbour:
    """A tensor that fits a module by its shape: `place` is "before" or "behind", `module` the prefix."""

    tensor: str
    shape: tuple[int, ...]
    what: str
    place: str
    module: str


def neighbours(shapes: Mapping[str, tuple[int, ...]], modules: Mapping[str, ModuleSpec]) -> tuple[Neighbour, ...]:
    """What fits in front of a module or behind it, by the names of torch's layers: a matrix is called `….weight`.

    A linear layer (O, I) behind a module has as many columns as its output is wide, an embedding (V, D) in front of one as many
    as it has inputs. A tensor that fits several modules is told of each.
    """
    return tuple(
        Neighbour(name, shape, what, place, prefix)
        for name, shape in shapes.items()
        if name.endswith("weight")
        for prefix, spec in modules.items()
        for what, place in _fits(name, shape, spec)
    )


def _fits(name: str, shape: tuple[int, ...], spec: ModuleSpec) -> Iterator[tuple[str, str]]:
    if len(shape) == 1 and _NORM.fullmatch(name):
        if shape[0] == spec.width:
            yield "norm", "behind"
        elif shape[0] == spec.input_size:
            yield "norm", "before"
    elif len(shape) == 2 and shape[1] == spec.input_size and _EMBEDDING.fullmatch(name):
        yield "embedding", "before"
    elif len(shape) == 2 and shape[1] == spec.width:
        yield "linear layer", "behind"
    elif len(shape) == 2 and shape[0] == spec.input_size:
        yield "linear layer", "before"
