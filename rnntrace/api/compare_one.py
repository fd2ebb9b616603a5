"""`compare` with one file: saved weights beside torch, and saved weights against given outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from rnntrace.api.judging import Judging, judged
from rnntrace.api.load import read_modules
from rnntrace.api.run import build_and_trace
from rnntrace.api.sources import Sources
from rnntrace.api.trace import as_seen_by
from rnntrace.engine.quantities import OUTPUTS
from rnntrace.engine.trace import Key
from rnntrace.errors import FileError, SignalError, UsageError, show
from rnntrace.files import label, read_source
from rnntrace.frameworks import Observation
from rnntrace.model.dtypes import Array
from rnntrace.model.layouts import cast, weights_from_torch
from rnntrace.model.signals import Inputs, assemble, to_own_layout, to_time_major
from rnntrace.model.spec import ModuleSpec
from rnntrace.report.result import Result

Modules = dict[str, tuple[ModuleSpec, dict[str, Array]]]


@dataclass(frozen=True)
class Told:
    """What a file of weights cannot tell, and which of its modules is meant; see the flags of the same names."""

    module: str | None = None
    nonlinearity: str | None = None
    batch_first: bool = False
    dropout: float = 0.0


def read_weights(source: str, told: Told) -> Modules:
    """The modules to compare, prefix → (spec, parameters), with what shapes cannot tell as it is given.

    Raises UsageError if there is no module of that prefix, or a nonlinearity is given and no RNN is there.
    """
    modules, _ = read_modules(source)
    if told.module is not None:
        if told.module not in modules:
            choices = ", ".join(map(show, modules))
            raise UsageError(f"{label(source)} holds no module {show(told.module)!r}: choose one of {choices}")
        modules = {told.module: modules[told.module]}
    if told.nonlinearity is not None and all(spec.family != "RNN" for spec, _ in modules.values()):
        raise UsageError(f"--nonlinearity belongs to RNN, and {label(source)} holds none: leave it out")
    return {
        prefix: (
            replace(
                spec,
                nonlinearity=told.nonlinearity if spec.family == "RNN" else None,
                batch_first=told.batch_first and not spec.is_cell,
                dropout=0.0 if spec.is_cell else told.dropout,
            ),
            parameters,
        )
        for prefix, (spec, parameters) in modules.items()
    }


def compare_with_torch(
    modules: Modules,
    sources: Sources,
    judging: Judging,
    *,
    distribution: str = "normal",
    seed: int | None = None,
    device: str = "cpu",
) -> dict[str, Result]:
    """Trace every module with torch, each on the signals of `sources`. One seed serves all."""
    results: dict[str, Result] = {}
    for prefix, (spec, parameters) in modules.items():
        results[prefix] = build_and_trace(
            spec, sources, judging, parameters, distribution=distribution, seed=seed, device=device
        )
        seed = results[prefix].seed
    return results


def compare_with_expected(modules: Modules, sources: Sources, judging: Judging, expected: str) -> dict[str, Result]:
    """Replay the one module with numpy alone and judge it by outputs in a file or typed JSON: output, h_n, c_n.

    A single array is the output. What the file does not hold is not judged. With one layer the output is also the hidden
    state before each step, so single steps are judged; with more, the trajectory is. Raises UsageError, FileError and
    SignalError.
    """
    if len(modules) != 1:
        raise UsageError(f"--expected is for one module, and there are {len(modules)}: choose with --module")
    if judging.replay == "forced":
        raise UsageError("--replay forced needs a framework's states, and --expected gives outputs: leave one of them out")
    ((prefix, (spec, parameters)),) = modules.items()
    inputs = as_seen_by(spec, assemble(spec, sources.request, _no_draw))
    outputs, missing = _read_expected(spec, inputs, expected)
    weights = weights_from_torch(spec, cast(parameters, spec.precision.replay))
    notes = [*sources.warnings]
    if missing:
        notes.append(f"not judged, since {label(expected)} does not hold it: {', '.join(missing)}")

    def against(outputs: Mapping[str, Array]) -> Result:
        observation = Observation("expected", "", "", 0, label(expected), outputs, _known(spec, outputs))
        origin = sources.described("given")
        return judged(spec, weights, inputs, observation, judging, origin=origin, warnings=notes)

    result = against(outputs)
    if not result.passed and spec.bidirectional and "output" in outputs:
        swapped = np.roll(outputs["output"], spec.output_size, axis=2)
        if against({"output": swapped}).passed:
            hint = "the output agrees if its halves are swapped: forward comes first in torch"
            result = replace(result, warnings=(*result.warnings, hint))
    return {prefix: result}


def _known(spec: ModuleSpec, outputs: Mapping[str, Array]) -> Mapping[Key, Array]:
    """The hidden states that an output tells: those of the last layer."""
    if "output" not in outputs:
        return {}
    halves = np.split(outputs["output"], len(spec.directions), axis=2)
    last = spec.num_layers - 1
    return {(last, direction, "h"): half for direction, half in zip(spec.directions, halves, strict=True)}


def _read_expected(spec: ModuleSpec, inputs: Inputs, source: str) -> tuple[dict[str, Array], list[str]]:
    """The outputs that a source holds, time-major, and the names of those that it does not."""
    tensors = read_source(source)
    names = [name for name in OUTPUTS if name != "c_n" or spec.has_cell_state]
    found = {name: tensors.arrays[name] for name in names if name in tensors.arrays}
    if not found and len(tensors.arrays) == 1:
        found = {"output": next(iter(tensors.arrays.values()))}
    if not found:
        holds = ", ".join(map(show, [*tensors.arrays, *tensors.refused][:5])) or "nothing"
        raise FileError(f"{label(source)} should hold one array, or some of {', '.join(names)}, and holds {holds}")
    rows, directions = len(spec.columns), len(spec.directions)
    shapes = {
        "output": (inputs.steps, inputs.batch, directions * spec.output_size),
        "h_n": (rows, inputs.batch, spec.output_size),
        "c_n": (rows, inputs.batch, spec.hidden_size),
    }
    for name, array in found.items():
        shape = to_own_layout(spec, name, np.empty(shapes[name]), inputs.unbatched).shape
        if array.shape != shape:
            raise SignalError(
                f"{label(source)}: {name} should have shape {shape}, and has shape {array.shape}{_hint(array, shape)}"
            )
    outputs = {name: to_time_major(spec, name, array, inputs.unbatched) for name, array in found.items()}
    return outputs, [name for name in names if name not in found]


def _hint(array: Array, shape: tuple[int, ...]) -> str:
    """What may have happened to an array of the wrong shape."""
    if array.ndim == len(shape) == 3 and array.shape == (shape[1], shape[0], shape[2]):
        return ": batch and time are the other way round, see --batch-first"
    if array.ndim == len(shape) - 1 and tuple(size for size in shape if size != 1) == tuple(s for s in array.shape if s != 1):
        return ": the batch axis is missing"
    return ""


def _no_draw(shape: tuple[int, ...]) -> Array:
    raise UsageError("--expected needs --input, and h0 and c0 that are zeros or given: random signals would be other ones")
