"""What a framework made of the inputs, to be judged against a replay."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rnntrace.model.dtypes import Array

UNKNOWN_PATH = "unknown path"
"""The path of outputs that the framework does not give again, to the last bit, on the same inputs."""


@dataclass(frozen=True)
class Observation:
    """What a framework made of the inputs, time-major.

    `outputs`: output (T, B, D·R) and final states such as h_n (L·D, B, R), from the path the framework takes by itself.
    `hidden`: (layer, direction, "h") → (T, B, R), what every layer gives on that path. `captured`: the framework's own gates
    and states by (layer, direction, symbol), from `captured_path`; empty where `not_captured` says why. `half_units` are those
    of the last digit of values that were typed, in their shape, by the name of an output or by (layer, direction, symbol).
    """

    framework: str
    version: str
    device: str
    threads: int
    path: str
    outputs: Mapping[str, Array]
    hidden: Mapping[tuple[int, str, str], Array]
    captured: Mapping[tuple[int, str, str], Array] = field(default_factory=dict)
    captured_path: str = ""
    not_captured: str = ""
    half_units: Mapping[str | tuple[int, str, str], Array] = field(default_factory=dict)

    @classmethod
    def of_nothing(cls) -> "Observation":
        """Where no framework has the module, and nobody gave outputs."""
        return cls("none", "", "", 0, "", {}, {})

    @property
    def values(self) -> Mapping[tuple[int, str, str], Array]:
        """The framework's own gates and states: those that were captured, and else the h of every layer."""
        return self.captured or self.hidden

    @property
    def on_two_paths(self) -> bool:
        """Whether gates and outputs come from different paths: each then goes with the h of its own."""
        return self.captured_path not in ("", self.path)
