"""`load` and `inspect`: the recurrent modules in a file of weights."""

from collections.abc import Sequence
from pathlib import Path

from rnntrace.errors import WeightsError, show
from rnntrace.files import label, read_source
from rnntrace.files.tensors import Tensors
from rnntrace.model.dtypes import DTYPES, Array
from rnntrace.model.layouts import group_by_module, recognise, weights_from_torch
from rnntrace.model.spec import ModuleSpec, command_line
from rnntrace.model.weights import Weights
from rnntrace.report.inspect import Inspection


def load(path: str | Path) -> dict[str, tuple[ModuleSpec, Weights]]:
    """Every recurrent module in a .pt, .safetensors or .npz file: prefix → (spec, weights); a bare state_dict has prefix "".

    Kind and sizes are told from shapes alone; what they cannot tell is assumed (tanh, time first, no dropout). Raises
    FileError if the file cannot be read and WeightsError if it holds no recurrent module or an impossible one.
    """
    return dict(inspect(path).modules)


def inspect(path: str | Path) -> Inspection:
    """What a file of weights holds: its recurrent modules as in `load`, and the number of its other tensors."""
    modules, others = read_modules(str(path))
    found = {prefix: (spec, weights_from_torch(spec, parameters)) for prefix, (spec, parameters) in modules.items()}
    return Inspection(label(str(path)), found, others)


def load_parameters(source: str, spec: ModuleSpec) -> dict[str, Array]:
    """The parameters of the one module that `spec` describes in a file or typed JSON, under torch's names.

    Raises FileError and WeightsError.
    """
    if not source:
        raise WeightsError("--weights needs the name of a file, or JSON, and is empty")
    modules, _ = read_modules(source)
    fitting = [(prefix, parameters) for prefix, (found, parameters) in modules.items() if _fits(found, spec)]
    if len(fitting) == 1:
        return fitting[0][1]
    holds = "; ".join(f"{show(prefix) or 'a state_dict'}: run {command_line(found)}" for prefix, (found, _) in modules.items())
    if fitting:
        raise WeightsError(f"{label(source)} holds {len(fitting)} modules that fit these flags, and one was expected: {holds}")
    raise WeightsError(f"{label(source)} holds no module that fits {command_line(spec)}; it holds {holds}")


def read_modules(source: str) -> tuple[dict[str, tuple[ModuleSpec, dict[str, Array]]], int]:
    """The recurrent modules in a file or typed JSON, and how many tensors belong to none.

    Each is prefix → (spec, parameters under torch's names). Raises FileError and WeightsError.
    """
    tensors = read_source(source)
    all_names = [*tensors.arrays, *tensors.refused]
    groups = group_by_module(all_names)
    modules = {}
    for prefix, names in groups.items():
        try:
            modules[prefix.removesuffix(".")] = _module(tensors, prefix, names)
        except WeightsError as error:
            raise WeightsError(f"{label(source)}, {show(prefix.removesuffix('.')) or 'state_dict'}: {error}") from None
    if not modules:
        raise WeightsError(
            f"{label(source)} holds no recurrent module: expected parameters named like weight_ih_l0 and weight_hh_l0"
        )
    return modules, len(all_names) - sum(map(len, groups.values()))


def _module(tensors: Tensors, prefix: str, names: Sequence[str]) -> tuple[ModuleSpec, dict[str, Array]]:
    for name in names:
        found = tensors.refused.get(prefix + name) or tensors.dtypes[prefix + name]
        if found not in DTYPES:
            raise WeightsError(f"{name} should hold floats of 16, 32 or 64 bits, and holds {found}")
    parameters = {name: tensors.arrays[prefix + name] for name in names}
    dtypes = {tensors.dtypes[prefix + name] for name in names}
    return recognise(parameters, dtypes.pop() if len(dtypes) == 1 else "float32"), parameters


def _fits(found: ModuleSpec, wanted: ModuleSpec) -> bool:
    shape = ("kind", "input_size", "hidden_size", "num_layers", "bidirectional", "bias", "proj_size")
    return all(getattr(found, name) == getattr(wanted, name) for name in shape)
