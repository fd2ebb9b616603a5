"""rnntrace: see inside recurrent networks. Every gate and state, step by step, beside the framework's own result.

    result = rnntrace.trace(torch.nn.LSTM(3, 2), x)
    result.verdict, result.trace["f", 0, "forward"]

The names below are loaded when they are first used, so that `import rnntrace` loads neither torch nor numpy.
"""

TYPE_CHECKING = False
"""As type checkers know it: typing itself takes longer to import than it takes to fall into an interrupt."""

if TYPE_CHECKING:
    from rnntrace.api.diagnose import diagnose as diagnose
    from rnntrace.api.load import inspect as inspect
    from rnntrace.api.load import load as load
    from rnntrace.api.opened import open_trace as open_trace
    from rnntrace.api.plot import plot as plot
    from rnntrace.api.saved import save as save
    from rnntrace.api.trace import replay as replay
    from rnntrace.api.trace import trace as trace
    from rnntrace.api.watch import Traces as Traces
    from rnntrace.api.watch import watch as watch
    from rnntrace.engine.compare import Verdict as Verdict
    from rnntrace.engine.trace import Trace as Trace
    from rnntrace.errors import RnnTraceError as RnnTraceError
    from rnntrace.model.signals import Inputs as Inputs
    from rnntrace.model.spec import ModuleSpec as ModuleSpec
    from rnntrace.model.weights import LayerWeights as LayerWeights
    from rnntrace.model.weights import Weights as Weights
    from rnntrace.report.result import Result as Result

__version__ = "0.1.0"

_HOMES = {
    "trace": "rnntrace.api.trace",
    "replay": "rnntrace.api.trace",
    "watch": "rnntrace.api.watch",
    "load": "rnntrace.api.load",
    "inspect": "rnntrace.api.load",
    "diagnose": "rnntrace.api.diagnose",
    "plot": "rnntrace.api.plot",
    "save": "rnntrace.api.saved",
    "open_trace": "rnntrace.api.opened",
    "Result": "rnntrace.report.result",
    "Trace": "rnntrace.engine.trace",
    "Traces": "rnntrace.api.watch",
    "Verdict": "rnntrace.engine.compare",
    "ModuleSpec": "rnntrace.model.spec",
    "Inputs": "rnntrace.model.signals",
    "Weights": "rnntrace.model.weights",
    "LayerWeights": "rnntrace.model.weights",
    "RnnTraceError": "rnntrace.errors",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rnntrace' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
