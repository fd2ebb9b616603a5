"""Recurrent modules as a user gives them: weights in a file or in memory, a model of torch, or what `load` and `run` gave."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from rnntrace.equations.expression import Op
from rnntrace.errors import UsageError, WeightsError, show
from rnntrace.files.grid import Grid
from rnntrace.files.ignored import Ignored
from rnntrace.files.keras_config import read_config
from rnntrace.files.tensors import Tensors
from rnntrace.model import likely
from rnntrace.model.command_line import command_line
from rnntrace.model.conventions import BY_NAME, CONVENTIONS, TORCH, Convention
from rnntrace.model.kinds import KINDS, command_name, parse_kind
from rnntrace.model.layouts import weights_from_torch
from rnntrace.model.merges import CONCAT
from rnntrace.model.module import Contents, Module, Refused
from rnntrace.model.names import Renaming
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.spec_checks import OF_FAMILIES, USUAL
from rnntrace.model.weights import Weights
from rnntrace.verbs.given.arrays import label_of, tensors_of
from rnntrace.verbs.given.cells import cell
from rnntrace.verbs.given.keywords import pass_on, several
from rnntrace.verbs.given.plain_arrays import recognised_in_layout, told_by_names
from rnntrace.verbs.given.sources import Sources
from rnntrace.verbs.given.state_dict import recognised_by_names
from rnntrace.verbs.layouts import convention_named

if TYPE_CHECKING:
    from rnntrace.engine.judge.result import Result


MOST_ARRAYS = 100
"""In a file with more no layout is tried that nobody named."""


def modules_of(
    source: Any,
    names: Sequence[str] = (),
    ignored: Ignored | None = None,
    layout: str | None = None,
    grid: Grid | None = None,
    config: Any = None,
    graph_inputs: Any = None,
) -> Contents:
    """The recurrent modules of a source by prefix, those that cannot be judged among them.

    Plain arrays are in the `layout` of a framework, or in that which their names tell; what says its own layout keeps it, see
    `check_layout`. The `config` of a Keras model, its `to_json()` in a file or as text, says what a file of its weights holds;
    `graph_inputs` are arrays by name, or a file of them, for the inputs of a model of ONNX that are weights or states.
    Raises FileError, and WeightsError if there is none.
    """
    row = None if layout is None else convention_named(layout)
    if (specified := _specified(source)) is not None:
        return Contents({prefix: _checked(*pair) for prefix, pair in specified.items()})
    if is_torch_module(source):
        return _of_torch(source)
    if row is not None and isinstance(source, list | tuple):
        source = {str(number): array for number, array in enumerate(source)}
    if not isinstance(source, str | Path | Mapping):
        what = "a file, a state_dict, a model of torch, a pair (spec, weights) or a result"
        raise WeightsError(f"expected weights, which are {what}, and got {type(source).__name__}")
    tensors = (ignored or Ignored()).without(tensors_of(source, _beside(config, graph_inputs)))
    if grid and not tensors.contents:
        # What a fixed-point port multiplies by is on the grid itself: its weights are exact.
        tensors = replace(grid(tensors), steps={})
    contents = tensors.contents or _of_arrays(label_of(source), tensors, Renaming(names), row)
    if contents.modules or contents.refused:
        return contents
    if tensors.metadata:
        raise WeightsError(f"{label_of(source)} is a saved trace, and weights were expected: `rnntrace show` shows it")
    raise WeightsError(
        f"{label_of(source)} holds no recurrent module: expected parameters named like weight_ih_l0 and weight_hh_l0, "
        f"or `names` to say which they are{_instead(tensors)}"
    )


def _beside(config: Any, graph_inputs: Any) -> dict[str, Any]:
    """What the reader of a file is given beside it."""
    found: dict[str, Any] = {} if config is None else {"config": read_config(config)}
    return found if graph_inputs is None else {**found, "graph_inputs": tensors_of(graph_inputs).arrays}


def _of_arrays(label: str, tensors: Tensors, names: Renaming, row: Convention | None) -> Contents:
    """The modules of arrays: in the layout that was named, under torch's names, or in the layout that their names tell."""
    if row is not None or not names.of_whole_parameters:
        in_layout = recognised_in_layout(label, tensors, row or BY_NAME[TORCH], names)
        if in_layout.modules or in_layout.refused:
            return in_layout
    contents = recognised_by_names(label, tensors, names)
    if contents.modules or contents.refused or row is not None:
        return contents
    told = told_by_names(tensors)
    if told is None:
        return contents
    found = recognised_in_layout(label, tensors, told, names)
    remark = f"read in the layout of {told.framework}, as the names of the arrays tell: see `layout`"
    return replace(
        found, modules={prefix: replace(one, remarks=(remark, *one.remarks)) for prefix, one in found.modules.items()}
    )


def check_layout(layout: str | None, files: Mapping[str, Mapping[str, Module]]) -> None:
    """Raises UsageError if a layout is named that none of some files, by label, has: their own names or format say another."""
    modules = [module for found in files.values() for module in found.values()]
    if layout is not None and modules and all(module.layout != convention_named(layout).framework for module in modules):
        found = ", ".join(dict.fromkeys(module.layout for module in modules))
        raise UsageError(f"`layout={layout}` contradicts {' and '.join(files)}, in the layout of {found}: leave it out")


def module_for(source: Any, spec: ModuleSpec, layout: str | None = None) -> Module:
    """The one module that `spec` describes among those of a source. Raises FileError, WeightsError and UsageError."""
    if isinstance(source, str) and not source:
        raise WeightsError("`weights` needs the name of a file, or JSON, and is empty")
    contents = modules_of(source, layout=layout)
    check_layout(layout, {label_of(source): contents.modules})
    fitting = [module for module in contents.modules.values() if _fits(module, spec)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        check_judged(source, contents)
    holds = "; ".join(
        f"{show(prefix) or 'a state_dict'}: {'run ' + line if (line := command_line(module.spec)) else module.spec.torch_lacks}"
        for prefix, module in contents.modules.items()
    )
    if fitting:
        raise WeightsError(f"{label_of(source)} holds {len(fitting)} modules that fit, and one was expected: {holds}")
    raise WeightsError(f"{label_of(source)} holds no module that fits {command_line(spec) or spec}; it holds {holds}")


VARIANTS = (
    "peepholes",
    "coupled",
    "clip",
    "reset_before",
    "activation",
    "recurrent_activation",
    "cell_activation",
    "reverse_activations",
    "merge",
    "layer_norm",
    "independent",
)
"""Keywords of what a kind may have that torch's has not."""


def spec_of_kind(kind: Any, sources: Sources, keywords: Mapping[str, Any]) -> ModuleSpec:
    """The module of a kind, or of a cell of one's own in its place, as a verb's keywords describe it.

    It has as many inputs as a text has characters, or 3; a cell that takes its input unit by unit as many as units. Raises
    SpecError for a kind that there is not, and a module that cannot exist.
    """
    own = None if keywords["cell"] is None else cell(keywords["cell"])
    if (kind is None) == (own is None):
        kinds = ", ".join(map(command_name, KINDS))
        raise UsageError(f"expected a kind ({kinds}), or `cell` in its place" + (", and not both" if own else ""))
    wanted, usual = keywords["input_size"], sources.input_size or 3
    if own and any(part.op is Op.INPUT for step in own.steps for part in step.expression.walk()):
        usual = sources.input_size or keywords["hidden"]
    sizes = {
        "input_size": usual if wanted is None else wanted,
        "hidden_size": keywords["hidden"],
        "num_layers": keywords["layers"],
    }
    variant = {
        "reset_after": not keywords["reset_before"],
        "reverse_activations": several(keywords["reverse_activations"]),
        "merge": keywords["merge"] or CONCAT,
    }
    return pass_on(ModuleSpec, keywords, kind="" if own else parse_kind(str(kind)), cell=own, **sizes, **variant)


def check_judged(source: Any, contents: Contents) -> None:
    """Raises WeightsError if a module is there that cannot be judged."""
    for refused in contents.refused.values():
        raise WeightsError(f"{label_of(source)}, {refused}")


def is_torch_module(source: Any) -> bool:
    """Whether this is a module of torch.nn, or a model that is one; torch is not loaded to tell."""
    return any(base.__module__ == "torch.nn.modules.module" for base in type(source).__mro__)


def is_result(source: Any) -> "TypeGuard[Result]":
    """Whether this is a result; none can be there before its module is loaded."""
    module = sys.modules.get("rnntrace.engine.judge.result")
    return module is not None and isinstance(source, module.Result)


def _specified(source: Any) -> Mapping[str, tuple[ModuleSpec, Weights]] | None:
    """Specifications with weights by prefix, as in a result, a pair, or a dictionary of pairs; None for anything else."""
    if is_result(source):
        return {source.name: (source.spec, source.weights)}
    pairs = source if isinstance(source, Mapping) else {"": source}
    if pairs and all(isinstance(pair, tuple) and [*map(type, pair)] == [ModuleSpec, Weights] for pair in pairs.values()):
        return pairs
    return None


def check_weights(spec: ModuleSpec, weights: Weights) -> None:
    """Raises WeightsError where weights do not have the shapes of a module."""
    for layer, direction in spec.layer_directions:
        expected = spec.shapes(layer)
        column = weights.columns.get((layer, direction))
        found = {} if column is None else {name: array.shape for name, array in column.arrays.items()}
        if found != expected:
            raise WeightsError(f"the weights of layer {layer}, {direction}, should have shapes {expected}, and have {found}")


def _checked(spec: ModuleSpec, weights: Weights) -> Module:
    check_weights(spec, weights)
    return Module(spec, weights)


def _of_torch(model: Any) -> Contents:
    """The modules of torch.nn in a model by their names in it."""
    from rnntrace.frameworks.torch.modules import parameters, recurrent_inside, spec_of

    found, others = recurrent_inside(model)
    modules: dict[str, Module] = {}
    for name, module in found.items():
        spec = spec_of(module)
        try:
            modules[name] = Module(spec, weights_from_torch(spec, parameters(module, spec)))
        except NotImplementedError:
            where = show(name) or "the model"
            raise WeightsError(f"{where} is on the device meta, where weights have no values: load them first") from None
    if not modules and not others:
        raise WeightsError(f"the {type(model).__name__} holds no recurrent module of torch.nn")
    refused = {name: Refused(show(name) or "the model", reason, "a module of its own") for name, reason in others.items()}
    known = sum(len([*module.parameters()]) for module in found.values())
    return Contents(modules, refused, len([*model.parameters()]) - known)


def _instead(tensors: Tensors) -> str:
    """What a file holds in which nothing is recognised, and what it may be."""
    shapes = {name: array.shape for name, array in tensors.arrays.items()}
    if not shapes:
        return ""
    told = told_by_names(tensors)
    reading = likely.likely(shapes) if told is None else f"they are called as in the layout of {told.framework}, see `layout`"
    reading = reading or " or ".join(f"pass `layout={name}`" for name in _fitting(tensors))
    return f"; it holds {likely.listed(shapes)}" + (f": {reading}" if reading else "")


def _fitting(tensors: Tensors) -> Iterator[str]:
    """The layouts, as they are typed, in which arrays of these names are modules."""
    for row in CONVENTIONS if len(tensors.arrays) <= MOST_ARRAYS else ():
        with suppress(WeightsError):
            found = recognised_in_layout("", tensors, row, Renaming())
            if found.modules and not found.refused:
                word = row.framework.lower().partition(" ")[0]
                yield word if convention_named(word) is row else f"'{row.framework.lower()}'"


def _fits(module: Module, wanted: ModuleSpec) -> bool:
    """Whether a module is the one that is wanted, but for its number format and layout, and what its file cannot tell."""
    shape = ("kind", "input_size", "hidden_size", "num_layers", "bidirectional", "bias", "proj_size", "reset_after", "reverse")
    joined = () if module.leaves_open("merge") else ("merge",)
    # A state_dict holds parameters alone; of a model's layers shapes may leave tanh or relu open.
    open_ones = (*USUAL, "clip", "reverse_activations") if module.layout == TORCH else {*module.assumed} & {"nonlinearity"}
    told = [name for name in OF_FAMILIES if name not in open_ones]
    return all(getattr(module.spec, name) == getattr(wanted, name) for name in (*shape, *joined, *told))
