"""torch.nn, by which everything is drawn, and beside which a replay is judged unless another framework is named."""

from rnntrace.frameworks.protocol import DEVICES, GATES, WINDOWS
from rnntrace.frameworks.torch.modules import build as build
from rnntrace.frameworks.torch.modules import load_weights as load
from rnntrace.frameworks.torch.run import observe as observe
from rnntrace.model.spec import ModuleSpec

__all__ = ["NAME", "OFFERS", "build", "lacks", "load", "observe"]

NAME = "torch"
OFFERS = frozenset({GATES, DEVICES, WINDOWS})


def lacks(spec: ModuleSpec) -> str:
    """What of this module torch has no form of."""
    return spec.torch_lacks.removeprefix("a ")
