"""Which frameworks there are: a name, and the module that is the framework; see `protocol`."""

from collections.abc import Collection, Iterator

from rnntrace.errors import MissingExtraError, UsageError
from rnntrace.frameworks.protocol import Framework
from rnntrace.model.extras import optional
from rnntrace.model.spec import ModuleSpec

FRAMEWORKS = {
    "torch": "rnntrace.frameworks.torch",
    "keras": "rnntrace.frameworks.keras",
    "onnxruntime": "rnntrace.frameworks.onnxruntime",
}
"""By the name that a user gives: the module that is the framework. It is loaded only when it is asked for."""
IN_TURN = ("torch", "onnxruntime", "keras")
"""Which is asked first where nobody chose one."""


def framework(name: str) -> Framework:
    """The framework of this name. Raises UsageError if there is none, and MissingExtraError if it is not installed."""
    if name not in FRAMEWORKS:
        raise UsageError(f"unknown framework {name!r}: choose one of {', '.join(FRAMEWORKS)}")
    found: Framework = optional(FRAMEWORKS[name])
    return found


def framework_for(spec: ModuleSpec, name: str | None = None, needs: Collection[str] = ()) -> Framework | None:
    """The framework of this name; without one torch, or where torch lacks the module another that is installed and has it.

    `needs` are names of `protocol` for what it has to offer. None if no framework has all. Raises UsageError if the one that
    was asked for lacks it.
    """
    if name is None:
        # To learn that they have no cell of somebody's own, frameworks need not be loaded.
        return None if spec.is_custom else next(_having(spec, needs), None)
    found = framework(name)
    if lack := found.lacks(spec) or ", ".join(need for need in needs if need not in found.OFFERS):
        others = [other.NAME for other in _having(spec, needs)]
        instead = f"choose {' or '.join(others)} as `framework`" if others else "choose another `framework`"
        raise UsageError(f"{name} has no {lack}: {instead}, or give outputs of its own, as `expected` of compare")
    return found


def _having(spec: ModuleSpec, needs: Collection[str]) -> Iterator[Framework]:
    for name in IN_TURN:
        try:
            found = framework(name)
        except MissingExtraError:
            continue
        if found.OFFERS.issuperset(needs) and not found.lacks(spec):
            yield found
