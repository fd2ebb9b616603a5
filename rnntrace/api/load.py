"""`load` and `inspect`: the recurrent modules in a file of weights."""

from collections.abc import Sequence
from pathlib import Path

from rnntrace.errors import WeightsError, show
from rnntrace.files import label, read_source
from rnntrace.files.ignored import Ignored
from rnntrace.files.tensors import Tensors
from rnntrace.model.dtypes import DTYPES
from rnntrace.model.layouts import group_by_module, recognise, weights_from_torch
from rnntrace.model.module import Module, untold
from rnntrace.model.names import Renaming
from rnntrace.model.spec import ModuleSpec, command_line
from rnntrace.model.weights import Weights
from rnntrace.report.inspect import Inspection


def load(path: str | Path, *, names: Sequence[str] = (), ignore: Sequence[str] = ()) -> dict[str, tuple[ModuleSpec, Weights]]:
    """Every recurrent module in a file of weights: prefix → (spec, weights); a bare state_dict has prefix "".

    The file is a state_dict as .pt, .safetensors, .npz or .json, or a model as .onnx, .keras, .weights.h5 or .h5; `names`
    are patterns for parameters that are not named as in torch, see `Renaming`, `ignore` for what to leave out, see `Ignored`.
    Kind and sizes of a state_dict are told from shapes alone; what they cannot tell is assumed (tanh, time first, no dropout).
    Raises FileError if the file cannot be read, WeightsError if it holds no recurrent module or an impossible one, and
    UsageError for a pattern that fits nothing.
    """
    return {
        prefix: (module.spec, module.weights) for prefix, module in inspect(path, names=names, ignore=ignore).modules.items()
    }


def inspect(path: str | Path, *, names: Sequence[str] = (), ignore: Sequence[str] = ()) -> Inspection:
    """What a file of weights holds: its recurrent modules as in `load`, and the number of its other tensors."""
    ignored = Ignored(tuple(ignore))
    inspection = Inspection(label(str(path)), *read_modules(str(path), names, ignored))
    ignored.check()
    return inspection


def load_weights(source: str, spec: ModuleSpec) -> Weights:
    """The weights of the one module that `spec` describes in a file or typed JSON. Raises FileError and WeightsError."""
    if not source:
        raise WeightsError("--weights needs the name of a file, or JSON, and is empty")
    modules, _ = read_modules(source)
    fitting = [module.weights for module in modules.values() if _fits(module.spec, spec)]
    if len(fitting) == 1:
        return fitting[0]
    holds = "; ".join(
        f"{show(prefix) or 'a state_dict'}: {module.spec.torch_lacks or 'run ' + command_line(module.spec)}"
        for prefix, module in modules.items()
    )
    if fitting:
        raise WeightsError(f"{label(source)} holds {len(fitting)} modules that fit these flags, and one was expected: {holds}")
    raise WeightsError(f"{label(source)} holds no module that fits {command_line(spec)}; it holds {holds}")


def read_modules(source: str, names: Sequence[str] = (), ignored: Ignored | None = None) -> tuple[dict[str, Module], int]:
    """The recurrent modules in a file or typed JSON by prefix, and how many tensors belong to none.

    Raises FileError and WeightsError.
    """
    renaming = Renaming(names)
    tensors = (ignored or Ignored()).without(read_source(source))
    if tensors.modules:
        return dict(tensors.modules), tensors.others
    own: dict[str, str] = {}
    for name in (*tensors.arrays, *tensors.refused):
        if (torchs := renaming(name)) in own:
            raise WeightsError(
                f"{label(source)}: {show(own[torchs])} and {show(name)} are both read as {show(torchs)}: see --names"
            )
        own[torchs] = name
    groups = group_by_module(own)
    modules = {}
    for prefix, parameters in groups.items():
        try:
            modules[prefix.removesuffix(".")] = _module(tensors, {name: own[prefix + name] for name in parameters})
        except WeightsError as error:
            raise WeightsError(f"{label(source)}, {show(prefix.removesuffix('.')) or 'state_dict'}: {error}") from None
    if not modules and tensors.metadata:
        raise WeightsError(f"{label(source)} is a saved trace, and weights were expected: `rnntrace show` shows it")
    if not modules:
        raise WeightsError(
            f"{label(source)} holds no recurrent module: expected parameters named like weight_ih_l0 and weight_hh_l0, "
            "or --names to say which they are"
        )
    return modules, len(own) - sum(map(len, groups.values()))


def _module(tensors: Tensors, own: dict[str, str]) -> Module:
    """A module from its parameters: torch's name → that of the file."""
    for name, theirs in own.items():
        found = tensors.refused.get(theirs) or tensors.dtypes[theirs]
        if found not in DTYPES:
            raise WeightsError(f"{name} should hold floats of 16, 32 or 64 bits, and holds {found}")
    parameters = {name: tensors.arrays[theirs] for name, theirs in own.items()}
    dtypes = {tensors.dtypes[theirs] for theirs in own.values()}
    spec = recognise(parameters, dtypes.pop() if len(dtypes) == 1 else "float32")
    return Module(spec, weights_from_torch(spec, parameters), assumed=untold(spec))


def _fits(found: ModuleSpec, wanted: ModuleSpec) -> bool:
    shape = ("kind", "input_size", "hidden_size", "num_layers", "bidirectional", "bias", "proj_size", "reset_after", "reverse")
    return all(getattr(found, name) == getattr(wanted, name) for name in shape)
