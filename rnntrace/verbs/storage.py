"""Where a run that is too long for memory keeps what it computes: arrays in a temporary file."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnntrace.files.spool import spooled
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key
from rnntrace.model.signals import Inputs
from rnntrace.model.spec import ModuleSpec


@dataclass(frozen=True)
class Storage:
    """Arrays (T, B, ·) in a file: the replay, torch's h, what is out of tolerance, and both sides' output."""

    replay: dict[Key, Array]
    framework: dict[Key, Array]
    out: dict[Key, Flags]
    outputs: dict[str, Array]

    @classmethod
    def make(cls, spec: ModuleSpec, inputs: Inputs, symbols: Collection[str], dtype: np.dtype[Any], folder: Path) -> "Storage":
        """Raises FileError where the folder has no room for this and for what will be saved of it."""
        R, theirs, rows = spec.output_size, spec.precision.replay, (inputs.steps, inputs.batch)
        shapes: dict[tuple[str, Any], tuple[int, np.dtype[Any]]] = {}
        for layer, direction in spec.layer_directions:
            for symbol in symbols:
                shapes["replay", (layer, direction, symbol)] = R if symbol == "h" else spec.hidden_size, dtype
            shapes["framework", (layer, direction, "h")] = R, theirs
            for name in ("h", "output") if layer == spec.num_layers - 1 else ("h",):
                shapes["out", (layer, direction, name)] = R, np.dtype(bool)
        for side, format in (("replay", dtype), ("framework", theirs)):
            shapes["outputs", side] = R * len(spec.directions), format
        arrays = spooled(folder, {name: ((*rows, size), format) for name, (size, format) in shapes.items()})
        groups = ("replay", "framework", "out", "outputs")
        return cls(*({key: array for (found, key), array in arrays.items() if found == group} for group in groups))

    def output(self, side: str, spec: ModuleSpec, direction: str) -> Array:
        """What a direction gives to the output of one side, (T, B, R)."""
        return self.outputs[side][..., spec.output_units(direction)]
