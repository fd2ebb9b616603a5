"""What a framework gives as gradients, to be judged against a replay of the backward pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rnntrace.model.dtypes import Array
from rnntrace.model.keys import Key
from rnntrace.model.weights import Weights

HANDED_IN, NOTHING_GIVEN = "expected", "none"
"""What stands for a framework where somebody gave the gradients, and where nobody did."""


@dataclass(frozen=True)
class BackwardObservation:
    """A framework's gradients of one loss, time-major.

    `parameters` are those of the parameters, `signals` those of x (T, B, I) and of the initial states, h0 (L·D, B, R). Of the
    steps, `columns` holds by (layer, direction, symbol of the adjoint) what was captured, and `forward` the gates and states of
    the same forward pass; both are empty where `not_captured` says why. `half_units` are those of the last digit of values that
    were typed, by (layer, direction, name of the gradient).
    """

    framework: str
    version: str
    path: str
    parameters: Weights | None = None
    signals: Mapping[str, Array] = field(default_factory=dict)
    columns: Mapping[Key, Array] = field(default_factory=dict)
    forward: Mapping[Key, Array] = field(default_factory=dict)
    not_captured: str = ""
    half_units: Mapping[Key, Array] = field(default_factory=dict)

    @classmethod
    def of_nothing(cls, why: str) -> "BackwardObservation":
        """Where nobody gave gradients, and why."""
        return cls(NOTHING_GIVEN, "", "", not_captured=why)
