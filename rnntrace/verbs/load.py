"""`load` and `inspect`: the recurrent modules in a file of weights."""

from collections.abc import Sequence
from pathlib import Path

from rnntrace.errors import WeightsError, show
from rnntrace.files import label, read_source
from rnntrace.files.ignored import Ignored
from rnntrace.files.tensors import Tensors
from rnntrace.model import likely
from rnntrace.model.module import Contents, Module
from rnntrace.model.names import Renaming
from rnntrace.model.spec import ModuleSpec, command_line
from rnntrace.model.weights import Weights
from rnntrace.report.inspect import Inspection
from rnntrace.verbs.given.state_dict import recognised_by_names


def load(path: str | Path, *, names: Sequence[str] = (), ignore: Sequence[str] = ()) -> dict[str, tuple[ModuleSpec, Weights]]:
    """Every recurrent module in a file of weights: prefix → (spec, weights); a bare state_dict has prefix "".

    The file is a state_dict as .pt, .safetensors, .npz or .json, or a model as .onnx, .keras, .weights.h5 or .h5; `names`
    are patterns for parameters that are not named as in torch, see `Renaming`, `ignore` for what to leave out, see `Ignored`.
    Kind and sizes of a state_dict are told from shapes alone; what they cannot tell is assumed (tanh, time first, no dropout).
    Initial states that a model holds are no weights: `compare`, `diagnose`, `run` and `explain` start from them.
    Raises FileError if the file cannot be read, WeightsError if it holds no recurrent module, an impossible one or
    one with tensors beside its parameters that change what it computes, and UsageError for a pattern that fits nothing.
    """
    contents = _read(path, names, ignore)
    check_judged(str(path), contents)
    return {prefix: (module.spec, module.weights) for prefix, module in contents.modules.items()}


def inspect(path: str | Path, *, names: Sequence[str] = (), ignore: Sequence[str] = ()) -> Inspection:
    """What a file of weights holds: its recurrent modules as in `load`, those that are refused, and how many other tensors.

    Raises as `load` does, but not for a module of which it can tell what it is: that is listed.
    """
    contents = _read(path, names, ignore)
    if contents.only_wrong:
        check_judged(str(path), contents)
    return Inspection(label(str(path)), contents.modules, contents.others, contents.refused)


def _read(path: str | Path, names: Sequence[str], ignore: Sequence[str]) -> Contents:
    ignored = Ignored(tuple(ignore))
    contents = read_modules(str(path), names, ignored)
    ignored.check()
    return contents


def load_module(source: str, spec: ModuleSpec) -> Module:
    """The one module that `spec` describes in a file or typed JSON. Raises FileError and WeightsError."""
    if not source:
        raise WeightsError("--weights needs the name of a file, or JSON, and is empty")
    contents = read_modules(source)
    fitting = [module for module in contents.modules.values() if _fits(module.spec, spec)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        check_judged(source, contents)
    holds = "; ".join(
        f"{show(prefix) or 'a state_dict'}: {module.spec.torch_lacks or 'run ' + command_line(module.spec)}"
        for prefix, module in contents.modules.items()
    )
    if fitting:
        raise WeightsError(f"{label(source)} holds {len(fitting)} modules that fit these flags, and one was expected: {holds}")
    raise WeightsError(f"{label(source)} holds no module that fits {command_line(spec)}; it holds {holds}")


def check_judged(source: str, contents: Contents) -> None:
    """Raises WeightsError if a module is there that cannot be judged."""
    for refused in contents.refused.values():
        raise WeightsError(f"{label(source)}, {refused}")


def read_modules(source: str, names: Sequence[str] = (), ignored: Ignored | None = None) -> Contents:
    """The recurrent modules in a file or typed JSON, those that cannot be judged among them.

    Raises FileError, and WeightsError if there is none.
    """
    tensors = (ignored or Ignored()).without(read_source(source))
    contents = tensors.contents or recognised_by_names(source, tensors, Renaming(names))
    if contents.modules or contents.refused:
        return contents
    if tensors.metadata:
        raise WeightsError(f"{label(source)} is a saved trace, and weights were expected: `rnntrace show` shows it")
    raise WeightsError(
        f"{label(source)} holds no recurrent module: expected parameters named like weight_ih_l0 and weight_hh_l0, "
        f"or --names to say which they are{_instead(tensors)}"
    )


def _instead(tensors: Tensors) -> str:
    """What a file holds in which nothing is recognised, and what it may be."""
    shapes = {name: array.shape for name, array in tensors.arrays.items()}
    if not shapes:
        return ""
    reading = likely.likely(shapes)
    return f"; it holds {likely.listed(shapes)}" + (f": {reading}" if reading else "")


def _fits(found: ModuleSpec, wanted: ModuleSpec) -> bool:
    shape = ("kind", "input_size", "hidden_size", "num_layers", "bidirectional", "bias", "proj_size", "recurrent_activation")
    return all(getattr(found, name) == getattr(wanted, name) for name in (*shape, "reset_after", "reverse"))
