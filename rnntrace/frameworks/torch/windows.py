"""torch.nn followed through a sequence that is too long for it: one layer and direction, a window of steps at a time.

Each window starts from the states that the last one left. That gives the bits of one call for all on most processors;
on others, and with lengths, where other rows stand side by side, the last bits may differ (tests hold both).
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from rnntrace.errors import FrameworkError
from rnntrace.frameworks.torch.modules import first_line
from rnntrace.frameworks.torch.run import call, one_layer, path_of
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.spec import FORWARD, ModuleSpec


def path_taken(module: Any, spec: ModuleSpec, inputs: Inputs) -> str:
    """The path that one call for the whole sequence would take."""
    with _asked(spec):
        return path_of(module, spec, inputs)


class Follower:
    """One layer of a module in one direction; windows are given as time runs in that direction.

    torch has no module that runs in reverse alone: for that direction both run, and the forward one is of no interest.
    """

    def __init__(self, module: Any, spec: ModuleSpec, layer: int, direction: str, path: str) -> None:
        directions = (FORWARD,) if direction == FORWARD else spec.directions
        self.module, self.spec = one_layer(module, spec, layer, directions)
        self.row, self.path = directions.index(direction), path

    def __call__(self, inputs: Inputs) -> tuple[Array, dict[str, Array]]:
        """h (T, B, R) of a window, zero at steps that do not exist, and the states (1, B, ·) after it.

        `inputs` are those of the window, with lengths from 0 to T; items without steps keep states. Raises FrameworkError.
        """
        lengths = np.asarray(inputs.lengths or (inputs.steps,) * inputs.batch)
        running = lengths > 0
        before = inputs.states
        h = np.zeros((inputs.steps, inputs.batch, inputs.h0.shape[2]), inputs.h0.dtype)
        after = {state: values.copy() for state, values in before.items()}
        if running.any():
            rows = len(self.spec.layer_directions)
            present = Inputs(
                inputs.x[:, running],
                states={state: np.repeat(values[:, running], rows, axis=0) for state, values in before.items()},
                lengths=None if inputs.lengths is None else tuple(lengths[running].tolist()),
                unbatched=inputs.unbatched,
            )
            outputs = self._outputs(present)
            h[:, running] = np.split(outputs["output"], rows, axis=2)[self.row]
            for state, values in after.items():
                values[:, running] = outputs[f"{state}_n"][self.row]
        return h, after

    def _outputs(self, inputs: Inputs) -> Mapping[str, Array]:
        with _asked(self.spec), _on(self.path, packed=inputs.lengths is not None):
            return call(self.module, self.spec, inputs)


@contextmanager
def _asked(spec: ModuleSpec) -> Iterator[None]:
    """Around what torch is asked for, without gradients. Raises FrameworkError where it cannot."""
    try:
        with torch.no_grad():
            yield
    except RuntimeError as error:
        raise FrameworkError(f"torch could not run {spec.kind} in {spec.dtype}: {first_line(error)}") from error


@contextmanager
def _on(path: str, *, packed: bool) -> Iterator[None]:
    """On the path of the whole sequence: torch unpacks a window in which all items go on, and takes oneDNN for it."""
    if not packed or path != "native":
        yield
        return
    with warnings.catch_warnings():
        # Entering and leaving the context warns about TF32, which has no part in this.
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield
