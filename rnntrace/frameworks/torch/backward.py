"""torch's gradients: of parameters and inputs by autograd, and of every gate and state, seen on its native path.

In the backward pass a dispatch mode sees the operators that the derivatives of ATen's steps run (derivatives.yaml):
`sigmoid_backward(gradient, gate)`, and `mul(gradient, gate)` for what the gate was multiplied with. A gate is told by where it
lies in memory, which is that of the forward pass: the graph keeps it there.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rnntrace.equations import cells
from rnntrace.equations.adjoint import gradient, pre_activation
from rnntrace.equations.cell import Cell
from rnntrace.errors import FrameworkError
from rnntrace.frameworks.torch.capture import (
    STEP_OPERATORS,
    CaptureFailed,
    Place,
    Recorder,
    as_array,
    capture_gates,
    on_native_path,
    places,
    sequences,
)
from rnntrace.frameworks.torch.modules import first_line, to_numpy
from rnntrace.frameworks.torch.run import call, forward, not_to_capture, own_signals, path_of
from rnntrace.model.backward import BackwardObservation
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key
from rnntrace.model.layouts import weights_from_torch
from rnntrace.model.signals import to_time_major
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

SLOPES = ("sigmoid_backward", "tanh_backward", "threshold_backward")
"""Operators that take the gradient of an activation's value and that value, and give the gradient of its argument."""
MULTIPLIED: dict[Cell, dict[str, str]] = {
    cells.LSTM: {"o": gradient("h"), "i": gradient("c")},
    cells.LSTM_PROJECTED: {"o": "∂unprojected", "i": gradient("c")},
    cells.GRU: {"z": gradient("h")},
}
"""By cell: whose gradient is multiplied by which gate."""


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps what a backward pass does with the gates that lie at known addresses."""

    def __init__(self, spec: ModuleSpec, known: Mapping[int, Place], found: dict[Key, Array]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.multiplied = MULTIPLIED.get(spec.cell, {})
        self.known, self.found = known, found

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """See Recorder."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in (*SLOPES, "mul") and isinstance(args[1], torch.Tensor) and (place := self.known.get(args[1].data_ptr())):
            if name in SLOPES:
                self._keep(place, gradient(place.symbol), args[0])
                self._keep(place, pre_activation(place.symbol), result)
            elif place.symbol in self.multiplied:
                self._keep(place, self.multiplied[place.symbol], args[0])
        return result

    def _keep(self, place: Place, symbol: str, value: torch.Tensor) -> None:
        target = self.found.get((place.layer, place.direction, symbol))
        if target is not None and value.shape == (len(place.running), target.shape[2]):
            target[place.t, place.running] = as_array(value)


def observe_backward(
    module: Any,
    spec: ModuleSpec,
    inputs: Inputs,
    loss: Mapping[str, Array],
    capture: str = "auto",
    *,
    truncate: int | None = None,
) -> BackwardObservation:
    """torch's gradients of the loss whose gradients by output, h_n and c_n, time-major, are `loss`; the module stays as it is.

    What is captured comes from the native path, and so do then all gradients. With `truncate` the module is called for so many
    steps at a time, with the states detached in between. Raises FrameworkError.
    """
    was_training = module.training
    module.eval()
    try:
        if truncate is None or truncate >= inputs.steps:
            return _at_once(module, spec, inputs, loss, capture)
        if spec.bidirectional or inputs.lengths is not None:
            what = "two directions" if spec.bidirectional else "a packed batch"
            return BackwardObservation.of_nothing(f"torch cannot detach the states of {what} inside of a call")
        return _in_pieces(module, spec, inputs, loss, capture, truncate)
    except RuntimeError as error:
        raise FrameworkError(f"torch could not run {spec.kind} in {spec.dtype} backward: {first_line(error)}") from error
    finally:
        module.train(was_training)


def _at_once(module: Any, spec: ModuleSpec, inputs: Inputs, loss: Mapping[str, Array], capture: str) -> BackwardObservation:
    reason = not_to_capture(spec, inputs, capture)
    if not reason:
        try:
            return _captured(module, spec, inputs, loss)
        except CaptureFailed as failure:
            reason = str(failure)
    with torch.enable_grad():
        found = _gradients(module, spec, inputs, loss)
    return _observation(module, spec, path_of(module, spec, inputs), inputs, found, {}, {}, reason)


def _in_pieces(
    module: Any, spec: ModuleSpec, inputs: Inputs, loss: Mapping[str, Array], capture: str, length: int
) -> BackwardObservation:
    """So many steps at a time, each from the states that the ones before have left."""
    found: list[BackwardObservation] = []
    states = inputs.states
    for first in range(0, inputs.steps, length):
        piece = slice(first, min(first + length, inputs.steps))
        part = replace(inputs, x=inputs.x[piece], states=states)
        own = {name: values for name, values in loss.items() if piece.stop == inputs.steps and name != "output"}
        nothing = np.zeros((inputs.steps, inputs.batch, spec.width), inputs.x.dtype)
        own["output"] = loss.get("output", nothing)[piece]
        found.append(_at_once(module, spec, part, own, capture))
        # On the path that the piece has taken: another would hand on states that its own gates do not give.
        with torch.no_grad(), on_native_path() if found[-1].columns else nullcontext():
            outputs = call(module, spec, part)
        states = {state: outputs[f"{state}_n"] for state in spec.cell.states}
    parameters = [one.parameters for one in found if one.parameters is not None]

    def together(of: Callable[[BackwardObservation], Mapping[Key, Array]]) -> dict[Key, Array]:
        return {key: np.concatenate([of(one)[key] for one in found]) for key in of(found[0])}

    return replace(
        found[0],
        parameters=_total(parameters) if len(parameters) == len(found) else None,
        signals={**found[0].signals, "x": np.concatenate([one.signals["x"] for one in found])},
        columns=together(lambda one: one.columns),
        forward=together(lambda one: one.forward),
    )


def _total(parts: Sequence[Weights]) -> Weights:
    """The sum of gradients."""
    first, *rest = parts
    return Weights(
        {
            column: LayerWeights(
                arrays={name: sum((part[column].arrays[name] for part in rest), array) for name, array in own.arrays.items()}
            )
            for column, own in first.columns.items()
        }
    )


def _captured(module: Any, spec: ModuleSpec, inputs: Inputs, loss: Mapping[str, Array]) -> BackwardObservation:
    """Everything on the native path. Raises CaptureFailed."""
    with torch.no_grad():
        gates = capture_gates(lambda: call(module, spec, inputs), spec, inputs)
    own = {gradient(symbol): spec.hidden_size for _, symbol in STEP_OPERATORS[spec.cell] if symbol}
    names = {*own, *(pre_activation(symbol[1:]) for symbol in own), *MULTIPLIED.get(spec.cell, {}).values()}
    found = sequences(spec, inputs, dict.fromkeys(names, spec.hidden_size))
    watched = {name for name, _ in STEP_OPERATORS[spec.cell]}
    with torch.enable_grad(), on_native_path():
        given = _Gradients(module, spec, inputs)
        with Recorder(watched) as recorder:
            outputs = given.forward()
        where = zip(recorder.addresses, places(recorder.operators, spec, inputs), strict=True)
        known = {address: place for address, place in where if place.symbol and len(place.running)}
        with _Watch(spec, known, found):
            grads = given.backward(outputs, loss)
    columns = {key: values for key, values in found.items() if _is_whole(values, inputs)}
    return _observation(module, spec, "native", inputs, grads, columns, gates, "")


def _is_whole(values: Array, inputs: Inputs) -> bool:
    """Whether something was found for every step that exists."""
    valid = inputs.valid
    return not np.isnan(values if valid is None else values[valid]).all(axis=-1).any()


class _Gradients:
    """A forward and a backward pass that leave no trace in the module."""

    def __init__(self, module: Any, spec: ModuleSpec, inputs: Inputs) -> None:
        self.module, self.spec, self.inputs = module, spec, inputs
        self.signals = {
            name: tensor.requires_grad_() for name, tensor in own_signals(module, spec, inputs, inputs.signals).items()
        }
        self.parameters = dict(module.named_parameters())

    def forward(self) -> dict[str, torch.Tensor]:
        return forward(self.module, self.spec, self.inputs, self.signals)

    def backward(self, outputs: Mapping[str, torch.Tensor], loss: Mapping[str, Array]) -> dict[str, torch.Tensor | None]:
        """By the name of a parameter, x, h0 or c0."""
        wanted = {name: outputs[name] for name in loss}
        given = own_signals(self.module, self.spec, self.inputs, loss)
        leaves = {**{name: leaf for name, leaf in self.parameters.items() if leaf.requires_grad}, **self.signals}
        # A graph that is kept keeps the gates where they lie.
        grads = torch.autograd.grad(
            [*wanted.values()], [*leaves.values()], [given[name] for name in wanted], retain_graph=True, allow_unused=True
        )
        return dict(zip(leaves, grads, strict=True))


def _gradients(module: Any, spec: ModuleSpec, inputs: Inputs, loss: Mapping[str, Array]) -> dict[str, torch.Tensor | None]:
    given = _Gradients(module, spec, inputs)
    return given.backward(given.forward(), loss)


def _observation(
    module: Any,
    spec: ModuleSpec,
    path: str,
    inputs: Inputs,
    grads: Mapping[str, torch.Tensor | None],
    columns: Mapping[Key, Array],
    gates: Mapping[Key, Array],
    not_captured: str,
) -> BackwardObservation:
    own = {name: to_numpy(tensor) for name, tensor in grads.items() if tensor is not None}
    signals = {name: to_time_major(spec, name, own.pop(name), inputs.unbatched) for name in inputs.signals if name in own}
    whole = len(own) == len(dict(module.named_parameters()))
    return BackwardObservation(
        framework="torch",
        version=torch.__version__.partition("+")[0],
        path=path,
        parameters=weights_from_torch(spec, own) if whole else None,
        signals=signals,
        columns=columns,
        forward=gates,
        not_captured=not_captured,
    )
