"""Activations as Keras' files say them: by name, or as a layer or function with a configuration.

The names and defaults: keras/src/activations/activations.py and keras/src/layers/activations/; those of Keras 2 beside them.
"""

from collections.abc import Mapping
from typing import Any

from rnntrace.equations.activations import OF_KERAS, parse_activation
from rnntrace.errors import SpecError, WeightsError, show


def activation_of(found: Any, hard_sigmoid: str) -> str:
    """The activation of a configuration; `hard_sigmoid` is the one of this name. Raises WeightsError for any other."""
    if found is None:
        return "linear"
    if isinstance(found, Mapping):
        kind, config = str(found.get("class_name")), found.get("config")
        if kind == "function" or not isinstance(config, Mapping):
            return activation_of(config if isinstance(config, str) else kind, hard_sigmoid)
        return _of_layer(kind, config, hard_sigmoid)
    if found == "hard_sigmoid":
        return hard_sigmoid
    if isinstance(found, str) and found in OF_KERAS:
        return OF_KERAS[found]
    raise WeightsError(
        f"the activation {show(str(found))[:40]} is not supported: expected {', '.join([*OF_KERAS, 'hard_sigmoid'])}"
    )


def _of_layer(kind: str, config: Mapping[str, Any], hard_sigmoid: str) -> str:
    """A layer in place of a name, which may have numbers of its own."""
    plain = all(config.get(name) in (None, 0, 0.0) for name in ("max_value", "negative_slope", "threshold"))
    try:
        if kind == "LeakyReLU":
            # Keras 3 calls it so, Keras 2 by the letter.
            return parse_activation(f"leaky_relu:{float(config.get('negative_slope', config.get('alpha', 0.3)))!r}")
        if kind == "ELU":
            return parse_activation(f"elu:{float(config.get('alpha', 1.0))!r}")
        if kind == "ReLU" and plain:
            return "relu"
        if kind == "Activation":
            return activation_of(config.get("activation"), hard_sigmoid)
    except (TypeError, ValueError, SpecError):
        pass
    raise WeightsError(
        f"the activation {show(kind)[:40]} is not supported with this configuration: expected a name such as tanh"
    )
