"""How a layer of two directions joins what they give: torch puts both side by side, and Keras' Bidirectional has more ways.

See merge_mode in keras/src/layers/rnn/bidirectional.py.
"""

from collections.abc import Callable

import numpy as np

from rnntrace.model.dtypes import Array

CONCAT = "concat"
"""Side by side, on the last axis."""
MERGED = "merged"
"""In place of a direction, for what both give together where they are not side by side."""

LAST_OUTPUT = "last_output"
"""The name of an output: what both give at their final steps, merged, which no part of the final states is."""


MERGES: dict[str, Callable[[Array, Array], Array]] = {
    CONCAT: lambda forward, reverse: np.concatenate([forward, reverse], axis=-1),
    "sum": lambda forward, reverse: forward + reverse,
    "mul": lambda forward, reverse: forward * reverse,
    "ave": lambda forward, reverse: (forward + reverse) / 2,
}
"""By Keras' name: of arrays, and all but the first of a framework's tensors too."""
