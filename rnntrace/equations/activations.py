"""Activations by name, with the numbers that some of them take: `tanh`, `hard_sigmoid:0.25:0.5`, `leaky_relu:0.1`.

The names and defaults are ONNX' (onnx/defs/rnn/defs.cc) and Keras' (keras/src/activations/activations.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from rnntrace.equations.expression import (
    Expr,
    clip,
    constant,
    elu,
    exp,
    hard_sigmoid,
    leaky_relu,
    relu,
    sigmoid,
    softplus,
    softsign,
    tanh,
    thresholded_relu,
)
from rnntrace.errors import SpecError, show


@dataclass(frozen=True)
class Activation:
    """How an activation is built, of an expression and its numbers; `defaults` are those, None for one that has to be given."""

    build: Callable[..., Expr]
    defaults: tuple[float | None, ...] = ()


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""Klambauer et al. 2017 (arXiv:1706.02515), appendix: the fixed point of mean 0 and variance 1."""

ACTIVATIONS = {
    "sigmoid": Activation(sigmoid),
    "tanh": Activation(tanh),
    "relu": Activation(relu),
    "linear": Activation(lambda a: a),
    "hard_sigmoid": Activation(hard_sigmoid, (0.2, 0.5)),
    "hard_sigmoid_keras3": Activation(lambda a: hard_sigmoid(a, 1 / 6)),
    "softplus": Activation(softplus),
    "softsign": Activation(softsign),
    "elu": Activation(elu, (1.0,)),
    "selu": Activation(lambda a: constant(SELU_SCALE) * elu(a, SELU_ALPHA)),
    "leaky_relu": Activation(leaky_relu, (0.01,)),
    "thresholded_relu": Activation(thresholded_relu, (None,)),
    "relu6": Activation(lambda a: clip(a, 0.0, 6.0)),
    "hard_tanh": Activation(lambda a: clip(a, -1.0, 1.0)),
    "silu": Activation(lambda a: a * sigmoid(a)),
    "exponential": Activation(exp),
    "affine": Activation(lambda a, alpha, beta: constant(alpha) * a + constant(beta), (None, 0.0)),
    "scaled_tanh": Activation(lambda a, alpha, beta: constant(alpha) * tanh(constant(beta) * a), (None, None)),
}
"""By name. The hard sigmoid of Keras 3 has the slope 1/6, where that of ONNX and of Keras before has 0.2."""
OF_KERAS = {
    **{name: name for name in ("tanh", "sigmoid", "relu", "linear", "elu", "selu", "softplus", "softsign", "relu6")},
    **{name: name for name in ("exponential", "hard_tanh", "silu")},
    "swish": "silu",
    # Whose default is another than ONNX'.
    "leaky_relu": "leaky_relu:0.2",
}
"""What Keras calls an activation, and what it is called here; what hard_sigmoid is there depends on the version."""
_PLAIN = {name.replace("_", ""): name for name in ACTIVATIONS}


def parse_activation(text: str) -> str:
    """The activation as it is written here, from ONNX' or Keras' name and its numbers: `HardSigmoid:0.2` is `hard_sigmoid`.

    Raises SpecError for a name that is not known, and numbers that do not go with it.
    """
    word, *numbers = text.split(":")
    name = _PLAIN.get(word.strip().lower().replace("_", ""))
    if name is None:
        raise SpecError(f"unknown activation {show(text)!r}: choose one of {', '.join(ACTIVATIONS)}")
    defaults = ACTIVATIONS[name].defaults
    if len(numbers) > len(defaults):
        takes = f"{len(defaults)} number" + ("" if len(defaults) == 1 else "s")
        raise SpecError(
            f"the activation {name} takes {takes if defaults else 'no numbers'}, and {show(text)!r} gives {len(numbers)}"
        )
    given = [*map(_number, numbers), *defaults[len(numbers) :]]
    if None in given:
        wanted = ":".join(("alpha", "beta")[: len(defaults)])
        raise SpecError(f"the activation {name} has no default for its numbers: write {name}:{wanted}")
    while given and given[-1] == defaults[len(given) - 1]:
        given.pop()
    return ":".join([name, *(f"{number:g}" if float(f"{number:g}") == number else repr(number) for number in given)])


def activated(text: str, argument: Expr) -> Expr:
    """The activation of an expression. Raises SpecError as `parse_activation` does."""
    name, *numbers = parse_activation(text).split(":")
    activation = ACTIVATIONS[name]
    return activation.build(argument, *map(float, numbers), *activation.defaults[len(numbers) :])


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise SpecError(f"the numbers of an activation are finite, and one of them is {show(text)!r}")
    return number
