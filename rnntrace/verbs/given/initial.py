"""What a model in a file starts from by itself, where nobody gave anything else: initial states and lengths that it holds."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from rnntrace.errors import SignalError
from rnntrace.model.module import Module
from rnntrace.model.signals import sizes, to_own_layout
from rnntrace.verbs.given.sources import Sources


def as_held(module: Module, sources: Sources) -> Sources:
    """The signals asked for, with initial states and lengths as the model holds them unless they were given.

    Raises SignalError where these are for another number of items than there are.
    """
    states = {name: array for name, array in module.states.items() if name not in sources.given}
    lengths = None if {"lengths", "mask"} & sources.given else module.lengths
    if not states and lengths is None:
        return sources
    spec, request = module.spec, sources.request
    _, batch = sizes(spec, request)
    unbatched = request.x.ndim == 2 if request.x is not None else request.unbatched
    for name, items in [*((name, array.shape[1]) for name, array in states.items()), ("lengths", len(lengths or ()) or batch)]:
        if items != batch:
            raise SignalError(
                f"the model holds {name} for {items} item{'s' * (items != 1)} of the batch, and there are {batch}: "
                f"feed it with {items}, or give `{name}`"
            )
    held = {name.removesuffix("0"): to_own_layout(spec, name, array, unbatched) for name, array in states.items()}
    found = [*states, *([] if lengths is None else ["lengths"])]
    names, keywords = (", ".join(f"{quote}{name}{quote}" for name in found) for quote in ("", "`"))
    return replace(
        sources,
        request=replace(request, states={**request.states, **held}, lengths=lengths or request.lengths),
        origin={**sources.origin, **dict.fromkeys(states, "from the model")},
        warnings=(*sources.warnings, f"the model holds {names}, which the replay uses: see {keywords}"),
    )


def held_apart(names: tuple[str, str], mine: Module, theirs: Module, sources: Sources) -> Iterator[str]:
    """A sentence for each initial state, and for the lengths, that two models hold and that nobody gave, if they differ."""
    for name in dict.fromkeys([*mine.states, *theirs.states]):
        own, other = mine.states.get(name), theirs.states.get(name)
        alike = other is own if own is None or other is None else np.array_equal(own, other, equal_nan=True)
        if name not in sources.given and not alike:
            yield f"{names[0]} and {names[1]} do not hold the same {name}"
    if not {"lengths", "mask"} & sources.given and mine.lengths != theirs.lengths:
        yield f"{names[0]} and {names[1]} do not hold the same lengths"
