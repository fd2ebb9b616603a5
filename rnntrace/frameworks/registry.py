"""Which frameworks there are: a name, and the module that is the framework; see `protocol`."""

from rnntrace.errors import UsageError
from rnntrace.frameworks.protocol import Framework
from rnntrace.model.extras import optional

FRAMEWORKS = {
    "torch": "rnntrace.frameworks.torch",
    "keras": "rnntrace.frameworks.keras",
    "onnxruntime": "rnntrace.frameworks.onnxruntime",
}
"""By the name that a user gives: the module that is the framework. It is loaded only when it is asked for."""


def framework(name: str) -> Framework:
    """The framework of this name. Raises UsageError if there is none, and MissingExtraError if it is not installed."""
    if name not in FRAMEWORKS:
        raise UsageError(f"unknown framework {name!r}: choose one of {', '.join(FRAMEWORKS)}")
    found: Framework = optional(FRAMEWORKS[name])
    return found
