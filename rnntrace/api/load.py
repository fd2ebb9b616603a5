"""`load`: the recurrent modules in a file of weights."""

from collections.abc import Sequence
from pathlib import Path

from rnntrace.errors import WeightsError
from rnntrace.files import label, read_source
from rnntrace.files.tensors import Tensors, show
from rnntrace.model.dtypes import DTYPES, Array
from rnntrace.model.layouts import cast, group_by_module, recognise, weights_from_torch
from rnntrace.model.spec import ModuleSpec, command_name
from rnntrace.model.weights import Weights


def load(path: str | Path) -> dict[str, tuple[ModuleSpec, Weights]]:
    """Every recurrent module in a .pt, .safetensors or .npz file: prefix → (spec, weights); a bare state_dict has prefix "".

    Kind and sizes are told from shapes alone; what they cannot tell is assumed (tanh, time first, no dropout). Raises
    FileError if the file cannot be read and WeightsError if it holds no recurrent module or an impossible one.
    """
    found = {}
    for prefix, (spec, parameters) in _modules(str(path)).items():
        found[prefix] = (spec, weights_from_torch(spec, parameters))
    return found


def load_parameters(source: str, spec: ModuleSpec) -> dict[str, Array]:
    """The parameters of the one module that `spec` describes in a file or typed JSON, under torch's names.

    Raises FileError and WeightsError.
    """
    if not source:
        raise WeightsError("--weights needs the name of a file, or JSON, and is empty")
    modules = _modules(source)
    fitting = [(prefix, parameters) for prefix, (found, parameters) in modules.items() if _fits(found, spec)]
    if len(fitting) == 1:
        return cast(fitting[0][1], spec.precision.replay)
    holds = "; ".join(f"{show(prefix) or 'a state_dict'}: run {flags(found)}" for prefix, (found, _) in modules.items())
    if fitting:
        raise WeightsError(f"{label(source)} holds {len(fitting)} modules that fit these flags, and one was expected: {holds}")
    raise WeightsError(f"{label(source)} holds no module that fits {flags(spec)}; it holds {holds}")


def flags(spec: ModuleSpec) -> str:
    """The arguments of `rnntrace run` that describe a module: `lstm -i 3 -H 2 --layers 2 --bidirectional`."""
    words = [command_name(spec.kind), f"-i {spec.input_size}", f"-H {spec.hidden_size}"]
    if spec.num_layers > 1:
        words.append(f"--layers {spec.num_layers}")
    if spec.bidirectional:
        words.append("--bidirectional")
    if not spec.bias:
        words.append("--no-bias")
    if spec.proj_size:
        words.append(f"--proj-size {spec.proj_size}")
    return " ".join(words)


def _modules(source: str) -> dict[str, tuple[ModuleSpec, dict[str, Array]]]:
    """Every recurrent module in a file or typed JSON: prefix → (spec, parameters under torch's names)."""
    tensors = read_source(source)
    modules = {}
    for prefix, names in group_by_module([*tensors.arrays, *tensors.refused]).items():
        try:
            modules[prefix.removesuffix(".")] = _module(tensors, prefix, names)
        except WeightsError as error:
            raise WeightsError(f"{label(source)}, {show(prefix.removesuffix('.')) or 'state_dict'}: {error}") from None
    if not modules:
        raise WeightsError(
            f"{label(source)} holds no recurrent module: expected parameters named like weight_ih_l0 and weight_hh_l0"
        )
    return modules


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
