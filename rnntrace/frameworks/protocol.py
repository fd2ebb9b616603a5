"""What a framework has to offer, so that a replay can be judged beside it.

A framework is a module of this package with these names. Parameters and signals are always drawn by torch, so that a seed gives
the same numbers beside every framework.
"""

from typing import Any, Protocol

from rnntrace.model.inputs import Inputs
from rnntrace.model.observation import Observation
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights

GATES, DEVICES, WINDOWS = "its own gates", "other devices", "runs in parts"
EMPTY, MASKS = "sequences without steps", "masks with steps left out in front or in between"
"""What a framework may offer beside its outputs: gates and states inside, a choice of device, runs in windows, lengths of 0,
masks that are no lengths."""


class Framework(Protocol):
    """One framework."""

    NAME: str
    """As a user asks for it."""
    OFFERS: frozenset[str]
    """Of GATES, DEVICES, WINDOWS, EMPTY and MASKS, those that it has."""

    def lacks(self, spec: ModuleSpec) -> str:
        """What of this module the framework has no form of, such as `LSTM with a projection`; empty if it can run it."""

    def build(self, spec: ModuleSpec, device: str = "cpu") -> Any:
        """Its own module for a specification that it does not lack, in the mode for use and not for training."""

    def load(self, module: Any, spec: ModuleSpec, weights: Weights) -> None:
        """Put weights into a module that `build` has made."""

    def observe(self, module: Any, spec: ModuleSpec, inputs: Inputs, capture: str = "auto") -> Observation:
        """What the module makes of the inputs; `capture` its gates: auto, on or off. Raises FrameworkError where it cannot."""
