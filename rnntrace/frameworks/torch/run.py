"""torch.nn at work: run a module, say which path it took, every layer's own hidden states, and its gates."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnntrace.errors import FrameworkError, UsageError
from rnntrace.frameworks.torch.capture import CaptureFailed, capture_gates, native_path
from rnntrace.frameworks.torch.modules import build, first_line, to_numpy, torch_dtype
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.layouts import parameter_name, part_shapes
from rnntrace.model.merges import CONCAT, LAST_OUTPUT, MERGES
from rnntrace.model.observation import UNKNOWN_PATH, Observation
from rnntrace.model.signals import to_own_layout, to_time_major, trace_size
from rnntrace.model.spec import ModuleSpec

MAX_CAPTURED_STEPS = 2_000
"""`capture="auto"` follows torch's operators up to this many cell steps (layers × directions × T)."""
MAX_CAPTURED_VALUES = 2**20
"""… and up to this many values in all gates and states."""


def facts() -> dict[str, str]:
    """What matters of torch's set-up here: threads, the processor's vector instructions, the path of nn.LSTM in float32."""
    spec = ModuleSpec(kind="LSTM", input_size=2, hidden_size=2)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        module = build(spec)
        path = path_of(module, spec, Inputs(np.zeros((1, 1, 2)), np.zeros((1, 1, 2)), np.zeros((1, 1, 2))))
    return {
        "threads of torch": str(torch.get_num_threads()),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "path of nn.LSTM in float32": path,
    }


def check_autocast(spec: ModuleSpec, device: str) -> None:
    """Raises UsageError where torch runs a module partly in another format than its own."""
    if torch.is_autocast_enabled(device):
        inside = str(torch.get_autocast_dtype(device)).removeprefix("torch.")
        raise UsageError(f"autocast mixes {inside} into a module of {spec.dtype}: call the model outside of autocast")


def observe(
    module: Any,
    spec: ModuleSpec,
    inputs: Inputs,
    capture: str = "auto",
    *,
    outputs: Mapping[str, Array] | None = None,
    grad: bool = False,
) -> Observation:
    """Run the module on the inputs in eval mode; `capture` torch's own gates: auto, on or off.

    `outputs` are those of another run, time-major, as far as they are known: they are then what was observed. `grad` is the
    mode that it ran in: oneDNN computes with other bits under no_grad.
    """
    check_autocast(spec, next(module.parameters()).device.type)
    was_training = module.training
    module.eval()
    try:
        with torch.set_grad_enabled(grad):
            again = call(module, spec, inputs)
            outputs = again if outputs is None else outputs
            same = all(np.array_equal(again[name], values, equal_nan=True) for name, values in outputs.items())
            path = path_of(module, spec, inputs) if same else UNKNOWN_PATH
            hidden = _hidden_by_layer(module, spec, inputs, {**again, **outputs})
            with torch.no_grad():
                captured, reason = _capture(module, spec, inputs, capture)
    except RuntimeError as error:
        raise FrameworkError(f"torch could not run {spec.kind} in {spec.dtype}: {first_line(error)}") from error
    finally:
        module.train(was_training)
    return observation(module, path, merged(spec, outputs), hidden, captured, reason)


def merged(spec: ModuleSpec, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Outputs with both directions merged as code behind a module of torch does it, in the module's number format."""
    if not spec.merges:
        return outputs

    def both(values: Array, axis: int) -> Array:
        merge: Any = MERGES[spec.merge]
        return to_numpy(merge(*torch.from_numpy(values).to(torch_dtype(spec)).chunk(2, axis)))

    return {**outputs, "output": both(outputs["output"], 2), LAST_OUTPUT: both(outputs["h_n"][-2:], 0)}


def observation(
    module: Any,
    path: str,
    outputs: Mapping[str, Array],
    hidden: Mapping[tuple[int, str, str], Array],
    captured: Mapping[tuple[int, str, str], Array],
    not_captured: str,
) -> Observation:
    """What was observed, with what there is to know of torch."""
    return Observation(
        framework="torch",
        version=torch.__version__.partition("+")[0],
        device=str(next(module.parameters()).device),
        threads=torch.get_num_threads(),
        path=path,
        outputs=outputs,
        hidden=hidden,
        captured=captured,
        captured_path="native" if captured else "",
        not_captured=not_captured,
    )


def call(module: Any, spec: ModuleSpec, inputs: Inputs) -> dict[str, Array]:
    """Call the module as its user would, in its own layout. Returns output, h_n and, for an LSTM, c_n; time-major."""
    found = forward(module, spec, inputs, own_signals(module, spec, inputs, inputs.signals))
    return {name: to_time_major(spec, name, to_numpy(tensor), inputs.unbatched) for name, tensor in found.items()}


def own_signals(module: Any, spec: ModuleSpec, inputs: Inputs, signals: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    """Time-major signals by name as tensors, as the module takes and gives them."""
    like = next(module.parameters())
    # Copies in C order: other strides make torch choose other operators, and it warns of arrays that it must not write to.
    return {
        name: torch.from_numpy(np.array(to_own_layout(spec, name, array, inputs.unbatched), order="C")).to(like)
        for name, array in signals.items()
    }


def forward(module: Any, spec: ModuleSpec, inputs: Inputs, signals: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the module gives for x and initial states in its own layout: output, h_n and, of an LSTM, c_n."""
    x, *states = signals.values()
    hx = states[0] if len(states) == 1 else tuple(states)
    with warnings.catch_warnings():
        # The path stands in every answer.
        warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
        if spec.is_cell:
            output, hx = _run_cell(module, x, hx)
        elif inputs.lengths is not None:
            packed = pack_padded_sequence(x, torch.tensor(inputs.lengths), spec.batch_first, enforce_sorted=False)
            output, hx = module(packed, hx)
            output, _ = pad_packed_sequence(output, spec.batch_first, total_length=inputs.steps)
        else:
            output, hx = module(x, hx)
    finals = hx if isinstance(hx, tuple) else (hx,)
    return {"output": output, **dict(zip(("h_n", "c_n"), finals, strict=False))}


def _run_cell(module: Any, x: torch.Tensor, hx: Any) -> tuple[torch.Tensor, Any]:
    """Call a cell for every t; its hidden states one after the other, and the last state."""
    steps = []
    for x_t in x:
        hx = module(x_t, hx)
        steps.append(hx[0] if isinstance(hx, tuple) else hx)
    return torch.stack(steps), hx


def path_of(module: Any, spec: ModuleSpec, inputs: Inputs) -> str:
    """Which implementation this module takes here, seen by watching the first two steps of it."""
    if next(module.parameters()).device.type != "cpu":
        return str(next(module.parameters()).device.type)
    lengths = inputs.lengths
    if lengths is not None:
        # torch unpacks a batch whose sequences are equally long, and then takes the path of a batch that was never packed.
        lengths = tuple(1 if length < max(lengths) else min(length, 2) for length in lengths)
    start = replace(inputs, x=inputs.x[: max(lengths or (1,))], lengths=lengths)
    return "native" if native_path(lambda: call(module, spec, start)) else "oneDNN"


def _hidden_by_layer(
    module: Any, spec: ModuleSpec, inputs: Inputs, outputs: Mapping[str, Array]
) -> dict[tuple[int, str, str], Array]:
    """Every layer's own h on the path the module takes.

    The last layer's is the output; the layers below are run one by one. (torch gives a stack the same bits whether it runs
    as one module or layer by layer; a test holds that.)
    """
    found: dict[tuple[int, str, str], Array] = {}
    x, directions = inputs.x, len(spec.directions)
    for layer in range(spec.num_layers):
        if layer == spec.num_layers - 1:
            x = outputs["output"]
        else:
            rows = slice(layer * directions, (layer + 1) * directions)
            states = {state: values[rows] for state, values in inputs.states.items()}
            single, single_spec = one_layer(module, spec, layer, spec.directions)
            x = call(single, single_spec, replace(inputs, x=x, states=states))["output"]
        halves = np.split(x, directions, axis=2)
        found |= {(layer, direction, "h"): half for direction, half in zip(spec.directions, halves, strict=True)}
    return found


def one_layer(module: Any, spec: ModuleSpec, layer: int, directions: tuple[str, ...]) -> tuple[Any, ModuleSpec]:
    """One layer of a stacked module, forward or in both directions, as a module of its own with the same parameters."""
    single = replace(
        spec,
        input_size=spec.layer_input_size(layer),
        num_layers=1,
        bidirectional=len(directions) > 1,
        merge=CONCAT,
        # Inside a stack only the first layer reads batch-first memory, and other strides may take another operator.
        batch_first=spec.batch_first and layer == 0,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        built = build(single, str(next(module.parameters()).device))
        for direction in directions:
            for part in part_shapes(spec, layer):
                source = getattr(module, parameter_name(spec, part, layer, direction))
                getattr(built, parameter_name(single, part, 0, direction)).copy_(source)
    return built, single


def _capture(module: Any, spec: ModuleSpec, inputs: Inputs, wanted: str) -> tuple[Mapping[tuple[int, str, str], Array], str]:
    """Torch's own gates and states, or none and the reason."""
    if reason := not_to_capture(spec, inputs, wanted):
        return {}, reason
    try:
        return capture_gates(lambda: call(module, spec, inputs), spec, inputs), ""
    except CaptureFailed as failure:
        return {}, str(failure)


def not_to_capture(spec: ModuleSpec, inputs: Inputs, wanted: str) -> str:
    """Why torch's own gates are not to be captured; empty if they are."""
    steps = len(spec.layer_directions) * inputs.steps
    values = trace_size(spec, inputs.steps, inputs.batch, len(spec.cell.symbols))
    if wanted == "auto" and (steps > MAX_CAPTURED_STEPS or values > MAX_CAPTURED_VALUES):
        return (
            f"{steps:,} steps with {values:,} values are over the limit of {MAX_CAPTURED_STEPS:,} steps and "
            f"{MAX_CAPTURED_VALUES:,} values; `capture=on` captures them all the same"
        )
    return "not asked for" if wanted == "off" else ""
