"""rnntrace: see inside recurrent networks. Every gate and state, step by step, beside the framework's own result.

    result = rnntrace.trace(torch.nn.LSTM(3, 2), x)
    result.verdict, result.trace["f", 0, "forward"]

The names below are loaded when they are first used, so that `import rnntrace` loads neither torch nor numpy.
"""

from rnntrace.version import __version__ as __version__

TYPE_CHECKING = False
"""As type checkers know it: typing itself takes longer to import than it takes to fall into an interrupt."""

if TYPE_CHECKING:
    from rnntrace.course.check import check_exercise as check_exercise
    from rnntrace.course.grade import grade as grade
    from rnntrace.course.new import new_exercise as new_exercise
    from rnntrace.course.worksheet import worksheet as worksheet
    from rnntrace.engine.judge.result import Result as Result
    from rnntrace.engine.judge.verdict import Verdict as Verdict
    from rnntrace.engine.replay.trace import Trace as Trace
    from rnntrace.errors import RnnTraceError as RnnTraceError
    from rnntrace.model.inputs import Inputs as Inputs
    from rnntrace.model.spec import ModuleSpec as ModuleSpec
    from rnntrace.model.weights import LayerWeights as LayerWeights
    from rnntrace.model.weights import Weights as Weights
    from rnntrace.verbs.backward import backward as backward
    from rnntrace.verbs.cells import cells as cells
    from rnntrace.verbs.compare import compare as compare
    from rnntrace.verbs.diagnose import diagnose as diagnose
    from rnntrace.verbs.explain import explain as explain
    from rnntrace.verbs.given.cells import cell as cell
    from rnntrace.verbs.inspect import inspect as inspect
    from rnntrace.verbs.layouts import layouts as layouts
    from rnntrace.verbs.load import load as load
    from rnntrace.verbs.mistakes import mistakes as mistakes
    from rnntrace.verbs.open_trace import open_trace as open_trace
    from rnntrace.verbs.plot import plot as plot
    from rnntrace.verbs.results import Results as Results
    from rnntrace.verbs.run import run as run
    from rnntrace.verbs.save import save as save
    from rnntrace.verbs.trace import replay as replay
    from rnntrace.verbs.trace import trace as trace
    from rnntrace.verbs.watch import Traces as Traces
    from rnntrace.verbs.watch import watch as watch

_HOMES = {
    "trace": "rnntrace.verbs.trace",
    "replay": "rnntrace.verbs.trace",
    "watch": "rnntrace.verbs.watch",
    "load": "rnntrace.verbs.load",
    "inspect": "rnntrace.verbs.inspect",
    "run": "rnntrace.verbs.run",
    "compare": "rnntrace.verbs.compare",
    "backward": "rnntrace.verbs.backward",
    "explain": "rnntrace.verbs.explain",
    "diagnose": "rnntrace.verbs.diagnose",
    "mistakes": "rnntrace.verbs.mistakes",
    "layouts": "rnntrace.verbs.layouts",
    "cell": "rnntrace.verbs.given.cells",
    "cells": "rnntrace.verbs.cells",
    "plot": "rnntrace.verbs.plot",
    "save": "rnntrace.verbs.save",
    "open_trace": "rnntrace.verbs.open_trace",
    "new_exercise": "rnntrace.course.new",
    "check_exercise": "rnntrace.course.check",
    "worksheet": "rnntrace.course.worksheet",
    "grade": "rnntrace.course.grade",
    "Result": "rnntrace.engine.judge.result",
    "Results": "rnntrace.verbs.results",
    "Trace": "rnntrace.engine.replay.trace",
    "Traces": "rnntrace.verbs.watch",
    "Verdict": "rnntrace.engine.judge.verdict",
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
