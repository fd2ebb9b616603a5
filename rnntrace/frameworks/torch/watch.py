"""Calls of the recurrent modules inside a larger model of torch, seen by hooks while the model runs.

A hook copies what a module was given, its weights and what it gave. It adds nothing to the graph, draws nothing and changes
no bit. It is registered anew before each call, so that it comes after every other hook and sees what the caller gets.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.utils.hooks import RemovableHandle

from rnntrace.errors import RnnTraceError, UsageError
from rnntrace.frameworks.torch.backward import observe_backward
from rnntrace.frameworks.torch.modules import DEVICES, build, first_line, load_weights, recurrent_inside, spec_of, to_numpy
from rnntrace.frameworks.torch.run import check_autocast, observe
from rnntrace.model.backward import BackwardObservation
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs, SignalRequest
from rnntrace.model.kinds import KINDS
from rnntrace.model.layouts import parameter_shapes, weights_from_torch
from rnntrace.model.observation import Observation
from rnntrace.model.signals import assemble, to_time_major
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights


@dataclass(frozen=True)
class Call:
    """One call of a recurrent module: copies, so that nothing that happens later changes them.

    `outputs` are output, h_n and c_n as the caller got them, time-major; a cell's call is a sequence of one step.
    `states_given` is False where hx was left out. `drops` says that dropout acted between the layers. Where backward passes
    are followed, `passed_back` gathers what comes back to the outputs, of all of them together.
    """

    spec: ModuleSpec
    weights: Weights
    inputs: Inputs
    outputs: dict[str, Array]
    states_given: bool
    drops: bool
    grad: bool
    device: str
    passed_back: dict[str, Array] | None = None


Report = Callable[[str, Call | str], None]
"""Takes the name of a module and its call, or the reason why the call cannot be judged."""


def recurrent_modules(model: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Every module inside a model that can be followed, by qualified name, and the names of those that cannot, with the reason.

    Raises UsageError if there is none to follow.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"watch needs a model of torch.nn, and got {type(model).__name__}")
    followed, others = recurrent_inside(model)
    if not followed:
        found = "".join(f"; {name or 'the model'} cannot be followed: {reason}" for name, reason in others.items())
        raise UsageError(f"watch follows torch.nn's {', '.join(KINDS)}, and {type(model).__name__} holds none{found}")
    return followed, others


@contextmanager
def following(modules: dict[str, Any], report: Report, gradients: dict[str, dict[str, Array]] | None = None) -> Iterator[None]:
    """Report every call of the modules while the block runs; afterwards their hooks are as they were, and so are tensors'.

    What comes back in backward passes is followed where `gradients` take it: of parameters, by name of the module and theirs.
    """
    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(_Follower(name, module, report, None if gradients is None else gradients.setdefault(name, {})))
        yield


class _Follower:
    """The hooks of one module."""

    def __init__(self, name: str, module: Any, report: Report, gradients: dict[str, Array] | None) -> None:
        self.name, self.module, self.report, self.gradients = name, module, report, gradients
        self.of_tensors: list[RemovableHandle] = []
        self.weights: Weights | None = None
        self.after: RemovableHandle | None = None

    def __enter__(self) -> None:
        self.before = self.module.register_forward_pre_hook(self._to_the_end)
        if self.gradients is not None:
            for name, parameter in self.module.named_parameters():
                if parameter.requires_grad:
                    self.of_tensors.append(parameter.register_hook(partial(_gather, self.gradients, name, to_numpy)))

    def __exit__(self, *_: object) -> None:
        self.before.remove()
        if self.after is not None:
            self.after.remove()
        for handle in self.of_tensors:
            handle.remove()

    def _to_the_end(self, module: Any, args: Any) -> None:
        if self.after is not None:
            self.after.remove()
        self.after = module.register_forward_hook(self._see, with_kwargs=True)

    def _see(self, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        try:
            grad = torch.is_grad_enabled()
            with torch.no_grad():
                seen: Call | str = self._call(grad, module, output, *args, **kwargs)
        except RnnTraceError as error:
            seen = str(error)
        except Exception as error:  # Whatever it is, the model runs on as it would without being watched.
            seen = f"its signals could not be read: {first_line(error)}"
        self.report(self.name, seen)

    def _call(self, grad: bool, module: Any, output: Any, input: Any, hx: Any = None) -> Call:
        spec = spec_of(module)
        device = (input.data if isinstance(input, PackedSequence) else input).device
        if device.type not in DEVICES:
            raise UsageError(f"it ran on the device {device.type}, and values can be read from {', '.join(DEVICES)}")
        check_autocast(spec, device.type)
        inputs = _inputs(spec, input, hx)
        drops = bool(module.training and spec.dropout and spec.num_layers > 1)
        outputs = _outputs(spec, output, inputs)
        back = self._gathering(spec, output, inputs) if self.gradients is not None and grad else None
        return Call(spec, self._weights(spec, module), inputs, outputs, hx is not None, drops, grad, str(device), back)

    def _gathering(self, spec: ModuleSpec, returned: Any, inputs: Inputs) -> dict[str, Array]:
        """Where the gradients of a call's outputs are put, time-major, as a backward pass brings them."""
        gathered: dict[str, Array] = {}
        for name, tensor in _tensors(spec, returned).items():
            data = tensor.data if isinstance(tensor, PackedSequence) else tensor
            if data.requires_grad:
                bring = partial(_brought, spec, name, tensor, inputs.unbatched)
                self.of_tensors.append(data.register_hook(partial(_gather, gathered, name, bring)))
        return gathered

    def _weights(self, spec: ModuleSpec, module: Any) -> Weights:
        """A copy of the weights; the copy of the call before if they are still the same."""
        if spec.is_cell:
            tensors = {name: getattr(module, name) for name in parameter_shapes(spec)}
        else:
            # Weights that are computed anew for every call, as under weight dropout, lie here as this call used them.
            tensors = dict(zip(module._flat_weights_names, module._flat_weights, strict=True))
        weights = weights_from_torch(spec, {name: to_numpy(tensor) for name, tensor in tensors.items()})
        if self.weights is None or not _same(self.weights, weights):
            self.weights = weights
        return self.weights


def _same(one: Weights, other: Weights) -> bool:
    return all(np.array_equal(*pair, equal_nan=True) for pair in zip(one.arrays, other.arrays, strict=True))


def _inputs(spec: ModuleSpec, x: Any, hx: Any) -> Inputs:
    """What a module was given, brought to the time-major form. Raises SignalError where there is nothing to trace."""
    lengths = None
    if isinstance(x, PackedSequence):
        x, unpacked = pad_packed_sequence(x, spec.batch_first)
        lengths = tuple(unpacked.tolist())
    states: dict[str, Any] = dict(zip(("h0", "c0"), map(_copy, _states(hx)), strict=False))
    request = SignalRequest(x=_copy(x[None] if spec.is_cell else x), lengths=lengths, **states)
    return assemble(spec, request, np.zeros)


def _gather(gathered: dict[str, Array], name: str, bring: Callable[[Any], Array], grad: Any) -> None:
    """Add a gradient to what came before; a hook that gives nothing leaves it as it is."""
    with torch.no_grad():
        found = np.array(bring(grad))
    gathered[name] = gathered[name] + found if name in gathered else found


def _brought(spec: ModuleSpec, name: str, output: Any, unbatched: bool, grad: Any) -> Array:
    """The gradient of an output of a module, time-major."""
    if isinstance(output, PackedSequence):
        grad, _ = pad_packed_sequence(output._replace(data=grad), spec.batch_first)
    return to_time_major(spec, name, _copy(grad), unbatched)


def _tensors(spec: ModuleSpec, returned: Any) -> dict[str, Any]:
    """What a module gave by name: output, h_n and, for an LSTM, c_n; of a cell its states are both."""
    output, states = (None, _states(returned)) if spec.is_cell else (returned[0], _states(returned[1]))
    return {**({} if spec.is_cell else {"output": output}), **dict(zip(("h_n", "c_n"), states, strict=False))}


def _outputs(spec: ModuleSpec, returned: Any, inputs: Inputs) -> dict[str, Array]:
    """What a module gave, time-major: output, h_n and, for an LSTM, c_n."""
    tensors = _tensors(spec, returned)
    output = tensors.get("output", tensors["h_n"][None] if spec.is_cell else None)
    if isinstance(output, PackedSequence):
        output, _ = pad_packed_sequence(output, spec.batch_first)
    tensors = {**tensors, "output": output}
    return {name: to_time_major(spec, name, _copy(tensor), inputs.unbatched) for name, tensor in tensors.items()}


def _states(hx: Any) -> tuple[Any, ...]:
    """h, or h and c, from how torch takes and gives them."""
    if hx is None:
        return ()
    return tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)


def _copy(tensor: torch.Tensor) -> Array:
    return np.array(to_numpy(tensor))


def observe_call_backward(call: Call, loss: Mapping[str, Array], capture: str) -> BackwardObservation:
    """torch's gradients for the `loss` that came back to a call, from a module built alike, outside the user's pass.

    Raises FrameworkError.
    """
    device = torch.device(call.device).type
    with torch.random.fork_rng(devices=[]), torch.autocast(device, enabled=False):
        module = build(call.spec, call.device)
        load_weights(module, call.spec, call.weights)
        return observe_backward(module, call.spec, call.inputs, loss, capture)


def observe_call(call: Call, capture: str) -> Observation:
    """What the module gave in a call, with its gates from a module built alike and run again, outside the user's pass.

    Raises FrameworkError and UsageError.
    """
    device = torch.device(call.device).type
    with torch.random.fork_rng(devices=[]), torch.autocast(device, enabled=False):
        module = build(call.spec, call.device)
        load_weights(module, call.spec, call.weights)
        return observe(module, call.spec, call.inputs, capture, outputs=call.outputs, grad=call.grad)
