"""The recurrent modules of a state_dict, told from names and shapes alone."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np

from rnntrace.errors import WeightsError, show
from rnntrace.files import digits
from rnntrace.files.tensors import Tensors
from rnntrace.model import beside
from rnntrace.model.computed import Computed, computed
from rnntrace.model.dtypes import DTYPES
from rnntrace.model.layouts import group_by_module, recognise, weights_from_torch
from rnntrace.model.module import DEQUANTISED, Contents, Module, Refused, unrecorded
from rnntrace.model.names import Renaming
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights


def recognised_by_names(source: str, tensors: Tensors, renaming: Renaming) -> Contents:
    """The modules by prefix. One that is impossible, or has tensors beside its parameters, is refused by itself.

    Raises WeightsError if two names mean one parameter.
    """
    computed_weights = computed(tensors.arrays, tensors.dtypes)
    tensors = _with(tensors, computed_weights)
    theirs: dict[str, str] = {}
    for name in (*tensors.arrays, *tensors.refused):
        if (torchs := renaming(name)) in theirs:
            raise WeightsError(
                f"{source}: {show(theirs[torchs])} and {show(name)} are both read as {show(torchs)}: see `names`"
            )
        theirs[torchs] = name
    groups = group_by_module(theirs)
    parameters = {prefix + name for prefix, names in groups.items() for name in names}
    forms = beside.owners([name for name in theirs if name not in parameters], groups)
    shapes = {name: tensors.arrays[own].shape if own in tensors.arrays else None for name, own in theirs.items()}
    saved = beside.signals([own for name, own in theirs.items() if name not in parameters])
    remarks = _remarks(computed_weights.values())
    modules: dict[str, Module] = {}
    refused: dict[str, Refused] = {}
    for prefix in dict.fromkeys((*groups, *forms)):
        own = {name: theirs[prefix + name] for name in groups.get(prefix, ())}
        strange = beside.strangers(prefix, shapes, {prefix + name for name in own}, parameters)
        found = _judged(tensors, prefix, own, [theirs[name] for name in dict.fromkeys((*strange, *forms.get(prefix, ())))])
        if isinstance(found, Module):
            levels = tensors.levels.get(prefix)
            said = (*remarks.get(prefix, ()), *([DEQUANTISED] if levels else []))
            modules[prefix.removesuffix(".")] = replace(found, signals=saved, remarks=said, levels=levels)
        else:
            refused[prefix.removesuffix(".")] = found
    return Contents(modules, refused, len(theirs) - len(parameters))


def _with(tensors: Tensors, weights: Mapping[str, Computed]) -> Tensors:
    """The tensors of a file with these weights in place of what they are computed from."""
    gone = {source for weight in weights.values() for source in weight.sources}
    typed = {name: texts for name, texts in tensors.typed.items() if name not in gone and name not in weights}
    # What is read as it stands keeps its digits.
    alone = {name: weight.sources[0] for name, weight in weights.items() if len(weight.sources) == 1}
    return replace(
        tensors,
        arrays={name: array for name, array in tensors.arrays.items() if name not in gone}
        | {name: weight.array for name, weight in weights.items()},
        dtypes=dict(tensors.dtypes) | {name: weight.dtype for name, weight in weights.items()},
        typed=typed | {name: tensors.typed[source] for name, source in alone.items() if source in tensors.typed},
    )


def _remarks(weights: Iterable[Computed]) -> dict[str, tuple[str, ...]]:
    """By prefix of the module: a sentence for each way in which weights of it were computed."""
    ways: dict[str, dict[str, list[str]]] = {}
    for weight in weights:
        ways.setdefault(weight.owner, {}).setdefault(weight.how, []).append(weight.weight)
    return {owner: tuple(f"{beside.listed(names)} {how}" for how, names in found.items()) for owner, found in ways.items()}


def _judged(tensors: Tensors, prefix: str, own: Mapping[str, str], strange: Collection[str]) -> Module | Refused:
    """The module of these parameters, torch's name → that of the file; `strange` are the names of what is beside them."""
    where = show(prefix.removesuffix(".")) or "state_dict"
    nature = beside.nature(strange)
    sign = f"a sign of {nature or 'a cell of its own'}"
    try:
        module = _module(tensors, own)
    except WeightsError as error:
        advice = f"; it has {beside.listed(strange)}, {sign}: save the weights as torch's own module has them"
        return Refused(where, f"{error}{advice if strange else ''}", nature)
    if not strange:
        return module
    kind = module.spec.kind
    plain = f"{kind}({module.spec.input_size}, {module.spec.hidden_size})"
    flags = beside.ignoring(prefix, strange, [*own.values()])
    reason = (
        f"beside the parameters of {plain} it has {beside.listed(strange)}, {sign}: to judge the plain {kind}, pass {flags}"
    )
    return Refused(where, reason, nature or "a cell of its own")


def _module(tensors: Tensors, own: Mapping[str, str]) -> Module:
    for name, theirs in own.items():
        found = tensors.refused.get(theirs) or tensors.dtypes[theirs]
        if found not in DTYPES:
            raise WeightsError(f"{name} should hold floats of 16, 32 or 64 bits, and holds {found}")
    parameters = {name: tensors.arrays[theirs] for name, theirs in own.items()}
    dtypes = {tensors.dtypes[theirs] for theirs in own.values()}
    spec = recognise(parameters, dtypes.pop() if len(dtypes) == 1 else "float32")
    half_units = half_units_of(spec, tensors, own)
    return Module(spec, weights_from_torch(spec, parameters), assumed=unrecorded(spec), half_units=half_units)


def half_units_of(spec: ModuleSpec, tensors: Tensors, own: Mapping[str, str]) -> Weights | None:
    """Half a unit of the last digit of parameters that were typed, 0 of others; None if none were. `own` as in `_module`."""
    typed = {name: half for name, theirs in own.items() if (half := tensors.half_units(theirs, digits.SIGNALS)) is not None}
    exact = {name: np.zeros_like(tensors.arrays[theirs]) for name, theirs in own.items() if name not in typed}
    return weights_from_torch(spec, {**typed, **exact}) if typed else None
