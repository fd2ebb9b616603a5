"""torch's gradients of masked sequences: it takes no mask, and packs the steps that count, one behind the other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.frameworks.torch.backward import observe_backward
from rnntrace.model.backward import BackwardObservation
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.inputs import Inputs
from rnntrace.model.spec import ModuleSpec


def observe_masked(
    module: Any,
    spec: ModuleSpec,
    inputs: Inputs,
    loss: Mapping[str, Array],
    capture: str = "auto",
    *,
    truncate: int | None = None,
) -> BackwardObservation:
    """As `observe_backward`, of the steps that count alone; everything stands where the mask has it. Raises FrameworkError.

    A sequence without such a step is not given to torch: what comes to its end is the gradient of its initial state.
    """
    assert inputs.mask is not None
    if truncate is not None and truncate < inputs.steps:
        return BackwardObservation.of_nothing("torch cannot detach the states of a masked batch inside of a call")
    squeezed = _Squeezed(inputs.mask)
    if not squeezed.lengths:
        return BackwardObservation.of_nothing("every step is masked, and nothing is left for torch")
    states = {state: values[:, squeezed.items] for state, values in inputs.states.items()}
    part = Inputs(squeezed.taken(inputs.x), states=states, lengths=squeezed.lengths)
    own = {name: squeezed.taken(array) if name == "output" else array[:, squeezed.items] for name, array in loss.items()}
    found = observe_backward(module, spec, part, own, capture)
    signals = {}
    for name, values in found.signals.items():
        if name == "x":
            signals[name] = squeezed.put_back(values, 0)
        else:
            signals[name] = np.zeros((len(values), inputs.batch, values.shape[2]), values.dtype)
            signals[name][:] = loss.get(f"{name.removesuffix('0')}_n", 0)
            signals[name][:, squeezed.items] = values

    def back(columns: Mapping[Any, Array]) -> dict[Any, Array]:
        return {key: squeezed.put_back(values, np.nan) for key, values in columns.items()}

    return BackwardObservation(
        found.framework,
        found.version,
        f"{found.path}, packed without the masked steps",
        found.parameters,
        signals,
        back(found.columns),
        back(found.forward),
        found.not_captured,
    )


class _Squeezed:
    """The steps that count of the items that have any, moved to the front."""

    def __init__(self, mask: Flags) -> None:
        self.shape = mask.shape
        self.items: NDArray[np.int_] = np.flatnonzero(mask.any(axis=0))
        counts = mask[:, self.items]
        self.lengths = tuple(map(int, counts.sum(axis=0)))
        # Behind them stand the others, in any order.
        self.rows = np.argsort(~counts, axis=0, kind="stable")
        self.there = np.take_along_axis(counts, self.rows, axis=0)

    def taken(self, values: Array) -> Array:
        """(T, B, ·) of the mask, as it is packed."""
        return np.take_along_axis(values[:, self.items], self.rows[..., None], axis=0)

    def put_back(self, values: Array, missing: float) -> Array:
        """The other way round; what is masked is `missing`."""
        found = np.full((*self.shape, values.shape[2]), missing, values.dtype)
        step, item = np.nonzero(self.there)
        found[self.rows[step, item], self.items[item]] = values[step, item]
        return found
