"""`load`: the recurrent modules of weights in a file or in memory."""

from collections.abc import Sequence
from typing import Any

from rnntrace.files.ignored import Ignored
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.verbs.given.arrays import label_of
from rnntrace.verbs.given.keywords import several
from rnntrace.verbs.given.modules import check_judged, check_layout, modules_of


def load(
    weights: Any,
    *,
    names: str | Sequence[str] = (),
    layout: str | None = None,
    config: Any = None,
    graph_inputs: Any = None,
    ignore: str | Sequence[str] = (),
) -> dict[str, tuple[ModuleSpec, Weights]]:
    """Every recurrent module of some weights: prefix → (spec, weights); a bare state_dict has prefix "".

    Weights are a file: a state_dict as .pt, .safetensors, .npz or .json, or a model as .onnx, .keras, .weights.h5 or .h5; or,
    in memory, a state_dict of tensors or arrays, or a model of torch. `names` are patterns for parameters that are not named
    as in torch, see `Renaming`, `layout` is the framework or course, a row of `layouts`, whose plain arrays they are, and
    `ignore` for what to leave out, see `Ignored`. Arrays may be a list then, as Keras' get_weights gives it.
    `graph_inputs` are weights, and initial states, that a model of ONNX gets as inputs: arrays by name, or a file of them.
    `config` says what weights of Keras alone are the weights of: a file, text or dictionary as `model.to_json()` gives it.
    Kind and sizes of a state_dict are told from shapes alone; what they cannot tell is assumed (tanh, time first, no dropout).
    Initial states that a model holds are no weights: `compare`, `diagnose`, `run` and `explain` start from them.
    Raises FileError if the file cannot be read, WeightsError if it holds no recurrent module, an impossible one or
    one with tensors beside its parameters that change what it computes, and UsageError for a pattern that fits nothing.
    """
    ignored = Ignored(several(ignore))
    contents = modules_of(weights, several(names), ignored, layout, config=config, graph_inputs=graph_inputs)
    check_layout(layout, {label_of(weights): contents.modules})
    ignored.check()
    check_judged(weights, contents)
    return {prefix: (module.spec, module.weights) for prefix, module in contents.modules.items()}
