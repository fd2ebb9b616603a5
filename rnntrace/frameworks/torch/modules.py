"""torch.nn: which module it is, how to build one, its weights, and numbers from torch's generator."""

from typing import Any

import numpy as np
import torch
from torch import nn

from rnntrace.errors import SpecError, UsageError
from rnntrace.model.dtypes import Array
from rnntrace.model.kinds import KINDS
from rnntrace.model.layouts import parameter_shapes, parameters_of, weights_from_torch
from rnntrace.model.signals import Draw
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Devices on which torch computes; it knows others, such as meta, on which it does not."""


def seed(value: int) -> None:
    """Set torch's generator: everything that is drawn afterwards follows from it."""
    torch.manual_seed(value)


def build(spec: ModuleSpec, device: str = "cpu") -> Any:
    """The module of torch.nn that `spec` describes, its parameters drawn as torch does, in eval mode."""
    options: dict[str, Any] = {"bias": spec.bias, "dtype": torch_dtype(spec)}
    if spec.family == "RNN":
        options["nonlinearity"] = spec.nonlinearity
    if spec.kind == "LSTM":
        options["proj_size"] = spec.proj_size
    if not spec.is_cell:
        options |= {
            "num_layers": spec.num_layers,
            "bidirectional": spec.bidirectional,
            "batch_first": spec.batch_first,
            "dropout": spec.dropout if spec.num_layers > 1 else 0.0,
        }
    if device.partition(":")[0] not in DEVICES:
        raise UsageError(f"unknown device {device!r}: choose one of {', '.join(DEVICES)}, with a number as in cuda:0")
    if spec.torch_lacks:
        raise SpecError(f"torch has no {spec.torch_lacks.removeprefix('a ')}: judge it by outputs of its own, with `expected`")
    try:
        return getattr(nn, spec.kind)(spec.input_size, spec.hidden_size, **options).to(torch.device(device)).eval()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"torch cannot use the device {device!r}: {first_line(error)}") from None


def kind_of(module: Any) -> str | None:
    """The module of torch.nn whose forward this one has, which is then its own or a subclass; None for all others."""
    for kind in KINDS:
        base = getattr(nn, kind)
        if isinstance(module, base) and type(module).forward is base.forward and "forward" not in vars(module):
            return kind
    return None


def recurrent_inside(model: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The modules of torch.nn inside a model by qualified name, and of those that are theirs only in part the reason."""
    inside = {name: module for name, module in model.named_modules() if isinstance(module, (nn.RNNBase, nn.RNNCellBase))}
    known = {name: module for name, module in inside.items() if kind_of(module)}
    own = {name: f"{type(module).__name__} has a forward of its own" for name, module in inside.items() if name not in known}
    return known, own


def spec_of(module: Any) -> ModuleSpec:
    """The specification of a user's own module of torch.nn. Raises UsageError for any other module."""
    kind = kind_of(module)
    if kind is None:
        raise UsageError(f"expected one of torch.nn's {', '.join(KINDS)}, and got {type(module).__name__}")
    layer_options: dict[str, Any] = {}
    if isinstance(module, nn.RNNBase):
        layer_options = {
            "num_layers": module.num_layers,
            "bidirectional": module.bidirectional,
            "batch_first": module.batch_first,
            "proj_size": module.proj_size,
            "dropout": float(module.dropout),
        }
    return ModuleSpec(
        kind=kind,
        input_size=module.input_size,
        hidden_size=module.hidden_size,
        bias=bool(module.bias),
        nonlinearity=getattr(module, "nonlinearity", None),
        dtype=str(next(module.parameters()).dtype).removeprefix("torch."),
        **layer_options,
    )


def parameters(module: Any, spec: ModuleSpec) -> dict[str, Array]:
    """Every parameter of a module by torch's name, as numpy arrays; one that is computed, as by weight norm, as it is."""
    return {name: to_numpy(getattr(module, name)) for name in parameter_shapes(spec)}


def load_weights(module: Any, spec: ModuleSpec, weights: Weights) -> None:
    """Copy weights into the module that `spec` describes; shapes were checked before."""
    values = parameters_of(spec, weights)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(np.array(values[name])))


def drawn_weights(spec: ModuleSpec) -> Weights:
    """Weights as torch draws them when it builds the module.

    What torch lacks has the parameters of the module that torch has, if these are the same; others are drawn one after the
    other, as they are declared, from the same distribution: uniform in ±1/√H.
    """
    twin = _plain(spec)
    if twin is not None and all(twin.shapes(layer) == spec.shapes(layer) for layer in range(min(spec.num_layers, 2))):
        found = weights_from_torch(twin, parameters(build(twin), twin))
        return found.reversed() if spec.reverse else found
    bound = spec.hidden_size**-0.5

    def drawn(shape: tuple[int, ...]) -> Array:
        return to_numpy(torch.empty(shape, dtype=torch_dtype(spec)).uniform_(-bound, bound))

    return Weights(
        {
            column: LayerWeights(arrays={name: drawn(shape) for name, shape in spec.shapes(column[0]).items()})
            for column in spec.layer_directions
        }
    )


def _plain(spec: ModuleSpec) -> ModuleSpec | None:
    """The module of torch of this kind and these sizes; None for a cell of one's own."""
    same = ("input_size", "hidden_size", "num_layers", "bidirectional", "bias", "batch_first", "proj_size", "dropout", "dtype")
    options = {name: getattr(spec, name) for name in same}
    return None if spec.is_custom else ModuleSpec(kind=spec.kind, **options)


def drawing(spec: ModuleSpec, distribution: str) -> Draw:
    """Draw arrays from torch's generator in the module's format, `normal` (0, 1) or `uniform` [0, 1)."""
    sample = {"normal": torch.randn, "uniform": torch.rand}.get(distribution)
    if sample is None:
        raise UsageError(f"unknown distribution {distribution!r}: choose normal or uniform")

    def draw(shape: tuple[int, ...]) -> Array:
        return to_numpy(sample(shape, dtype=torch_dtype(spec)))

    return draw


def to_numpy(tensor: torch.Tensor) -> Array:
    """The values in numpy's nearest format: float16 and bfloat16 become float32, which holds them exactly."""
    tensor = tensor.detach().cpu()
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    array: Array = tensor.numpy()
    return array


def torch_dtype(spec: ModuleSpec) -> torch.dtype:
    """The module's number format."""
    dtype: torch.dtype = getattr(torch, spec.dtype)
    return dtype


def first_line(error: BaseException) -> str:
    """The first line of an error, which torch follows by its own call stack."""
    return str(error).strip().partition("\n")[0]
