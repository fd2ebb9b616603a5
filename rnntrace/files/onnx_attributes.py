"""What the attributes of a recurrent node say of its cell: activations with their numbers, coupled gates, clipped sums.

The rules are those of onnx/defs/rnn/defs.cc and, where it leaves something open, of ONNX Runtime.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rnntrace.errors import WeightsError, show
from rnntrace.model.spec_checks import ACTIVATIONS_OF

DEFAULTS = {"RNN": ("tanh",), "LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh")}
"""The activations of each operator in one direction, in the order of `ACTIVATIONS_OF`."""
NUMBERS = {
    "affine": ("alpha", "beta"),
    "elu": ("alpha",),
    "hardsigmoid": ("alpha", "beta"),
    "leakyrelu": ("alpha",),
    "scaledtanh": ("alpha", "beta"),
    "thresholdedrelu": ("alpha",),
    **dict.fromkeys(("relu", "sigmoid", "softplus", "softsign", "tanh"), ()),
}
"""What each activation takes; others are not ONNX'."""
NO_DEFAULT = {"affine": "alpha", "scaledtanh": "beta", "thresholdedrelu": "alpha"}
"""Up to which number those have none: ONNX names no default, and ONNX Runtime takes 0."""
UNDERSTOOD = {
    "hidden_size",
    "direction",
    "activations",
    "activation_alpha",
    "activation_beta",
    "clip",
    "linear_before_reset",
    "layout",
    "input_forget",
    "output_sequence",
}
"""Attributes that are read; output_sequence, of the first version, says only whether Y is returned."""


def options_of(operator: str, attributes: Mapping[str, Any], directions: int) -> dict[str, Any]:
    """The options of a ModuleSpec that the attributes give. Raises WeightsError, by name, for what is not supported."""
    for name in attributes:
        if name not in UNDERSTOOD:
            raise WeightsError(f"the attribute {show(name)} is not supported: expected a node without it")
    names = ACTIVATIONS_OF[operator]
    words = list(_activations(operator, attributes, directions))
    forward, reverse = words[: len(names)], words[len(names) :]
    clip = attributes.get("clip")
    return {
        **dict(zip(names, forward, strict=True)),
        "reverse_activations": tuple(reverse),
        "clip": None if clip is None else as_typed(clip),
        **({"coupled": bool(attributes.get("input_forget", 0))} if operator == "LSTM" else {}),
        **({"reset_after": bool(attributes.get("linear_before_reset", 0))} if operator == "GRU" else {}),
    }


def _activations(operator: str, attributes: Mapping[str, Any], directions: int) -> Iterator[str]:
    """Each activation with its numbers, those of the forward direction first.

    `activation_alpha` and `activation_beta` are used up in order, by activations that take them alone.
    """
    wanted = DEFAULTS[operator] * directions
    given = [text(word) for word in attributes.get("activations", ())] or wanted
    if len(given) != len(wanted):
        raise WeightsError(f"activations should be {len(wanted)}, {len(DEFAULTS[operator])} a direction, and are {len(given)}")
    numbers = {name: iter(attributes.get(f"activation_{name}", ())) for name in ("alpha", "beta")}
    for word in given:
        name = word.lower()
        if name not in NUMBERS:
            raise WeightsError(f"the activation {show(word)} is not one of ONNX': expected {', '.join(NUMBERS)}")
        found = [(which, next(numbers[which], None)) for which in NUMBERS[name]]
        last = NO_DEFAULT.get(name)
        for which, number in found:
            if number is None and last is not None and which <= last:
                raise WeightsError(f"the activation {show(word)} has no default for {which}: expected activation_{which}")
        told = [number for _, number in found if number is not None]
        if found and found[0][1] is None and told:
            raise WeightsError(f"the activation {show(word)} has a beta and no alpha: expected activation_alpha")
        yield ":".join([name, *(repr(as_typed(number)) for number in told)])


def as_typed(number: float) -> float:
    """A number that the file holds in 32 bits, as its writer typed it: 0.3 for 0.30000001192092896."""
    return float(str(np.float32(number)))


def text(value: Any) -> str:
    """A string of an attribute."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
