"""`trace` and `replay`: a module's every gate and state, beside the framework's, with a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rnntrace.engine.compare import judge
from rnntrace.engine.quantities import pair_outputs, pair_up
from rnntrace.engine.replay import replay as replay_engine
from rnntrace.engine.rounding import Format
from rnntrace.engine.tolerance import make_tolerance
from rnntrace.engine.trace import Key, Trace
from rnntrace.errors import SignalError, UsageError
from rnntrace.frameworks import Observation
from rnntrace.model.dtypes import Array, rounded
from rnntrace.model.layouts import weights_from_torch
from rnntrace.model.signals import Inputs, SignalRequest, State, assemble
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.report.result import Result


@dataclass(frozen=True)
class Judging:
    """How a replay is run and judged; see the flags of the same names."""

    capture: str = "auto"
    tolerance: str = "torch"
    rtol: float | None = None
    atol: float | None = None
    replay: str = "free"
    replay_dtype: str | None = None
    keep_terms: bool = False


def trace(
    module: Any,
    x: Any,
    hx: Any = None,
    *,
    lengths: Sequence[int] | None = None,
    replay: Literal["free", "forced"] = "free",
    tolerance: str = "torch",
    capture: str = "auto",
    terms: bool = False,
) -> Result:
    """Trace a module of torch.nn (RNN, LSTM, GRU or one of their cells) on x.

    x is a tensor, array or nested list in the module's own layout: (T, B, I), (B, T, I) with batch_first, or (T, I); a cell
    is called for every t. hx is h0, or (h0, c0) for an LSTM, in torch's shapes, zeros by default. `lengths` packs the batch.
    With `terms` the trace also keeps W_ih·x + b_ih and W_hh·h + b_hh of every gate: `trace["f.input"]`, `trace["f.recurrent"]`.
    The module is run under no_grad in eval mode and left as it was. Raises RnnTraceError for inputs that do not fit.
    """
    from rnntrace.frameworks import torch as framework

    spec = framework.spec_of(module)
    wanted = 2 if spec.has_cell_state else 1
    states = (hx if isinstance(hx, (tuple, list)) else (hx,)) if hx is not None else ()
    if hx is not None and len(states) != wanted:
        raise SignalError(f"hx of {spec.kind} should be {'(h0, c0)' if wanted == 2 else 'h0 alone'}")
    initial: list[State] = [*map(_array, states), "zeros", "zeros"]
    request = SignalRequest(
        x=_array(x),
        h0=initial[0],
        c0=initial[1],
        lengths=None if lengths is None else tuple(int(length) for length in lengths),
    )
    inputs = as_seen_by(spec, assemble(spec, request, framework.drawing(spec, "normal")))
    judging = Judging(replay=replay, tolerance=tolerance, capture=capture, keep_terms=terms)
    return result_of(module, spec, inputs, judging)


def replay(
    spec: ModuleSpec,
    weights: Weights,
    inputs: Inputs,
    *,
    replay: Literal["free", "forced"] = "free",
    known: Mapping[Key, Array] | None = None,
) -> Trace:
    """Replay a module with numpy alone, no framework.

    Forced, the state before each step is taken from `known`: (layer, direction, "h") → (T, B, R), and "c" where it is known.
    """
    _check_mode(replay)
    if replay == "forced" and not known:
        raise UsageError("a forced replay needs the hidden states to force it with: pass known={(layer, direction, 'h'): …}")
    return replay_engine(spec, weights, inputs, known=known if replay == "forced" else None)


def as_seen_by(spec: ModuleSpec, inputs: Inputs) -> Inputs:
    """The inputs rounded to the module's number format, as the framework will see them."""
    x, h0 = rounded(inputs.x, spec.precision), rounded(inputs.h0, spec.precision)
    c0 = None if inputs.c0 is None else rounded(inputs.c0, spec.precision)
    return Inputs(x, h0, c0, inputs.lengths, inputs.unbatched)


def result_of(
    module: Any,
    spec: ModuleSpec,
    inputs: Inputs,
    judging: Judging,
    *,
    seed: int | None = None,
    origin: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> Result:
    """Run a torch module, replay it free and forced, and compare."""
    from rnntrace.frameworks import torch as framework

    weights = weights_from_torch(spec, framework.parameters(module))
    observation = framework.observe(module, spec, inputs, judging.capture)
    return judged(spec, weights, inputs, observation, judging, seed=seed, origin=origin, warnings=warnings)


def judged(
    spec: ModuleSpec,
    weights: Weights,
    inputs: Inputs,
    observation: Observation,
    judging: Judging,
    *,
    seed: int | None = None,
    origin: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> Result:
    """Replay free and, as far as the other side's states are known, forced; compare with what was observed."""
    _check_mode(judging.replay)
    allowed = make_tolerance(judging.tolerance, spec.dtype, judging.rtol, judging.atol)
    dtype = None if judging.replay_dtype is None else np.dtype(judging.replay_dtype)
    rounding = Format.of(spec.precision, dtype or spec.precision.replay) if allowed.rounding else None

    def replayed(known: Mapping[Key, Array] | None) -> Trace:
        bounded = None if known is None else rounding
        terms = judging.keep_terms
        return replay_engine(spec, weights, inputs, known=known, dtype=dtype, keep_terms=terms, rounding=bounded)

    own = observation.captured or observation.hidden
    free = judging.replay == "free"
    # Where not every layer's h is known, single steps cannot be judged, and the trajectory is.
    forced = replayed(own if all((*column, "h") in own for column in spec.columns) else None)
    # The gates may come from another path than the outputs: each is forced with the states of its own path.
    forced_outputs = replayed(observation.hidden) if observation.captured_path not in ("", observation.path) else forced
    shown = replayed(None) if free else forced
    quantities = [
        *pair_up(shown, forced, own),
        *pair_outputs(shown if free else forced_outputs, forced_outputs, observation.outputs),
    ]
    unsound = _not_finite(inputs, weights)
    comparison = judge(quantities, allowed, spec.precision, sound=not unsound)
    notes = [*warnings, *unsound, *_notes(spec, judging, observation)]
    return Result(spec, weights, inputs, shown, observation, comparison, judging.replay, seed, dict(origin or {}), tuple(notes))


def _not_finite(inputs: Inputs, weights: Weights) -> list[str]:
    """What holds NaN or infinity, in sentences."""
    arrays = [array for column in weights.columns.values() for array in column.arrays.values()]
    names = [*inputs.not_finite, *([] if all(np.isfinite(array).all() for array in arrays) else ["a weight"])]
    return [f"{name} holds NaN or infinity" for name in names]


def _notes(spec: ModuleSpec, judging: Judging, observation: Observation) -> list[str]:
    notes = []
    if spec.dropout and spec.num_layers > 1:
        notes.append(f"dropout {spec.dropout:g} acts between layers in training only: this is eval mode, where it does nothing")
    elif spec.dropout:
        notes.append(f"dropout {spec.dropout:g} acts between layers, and there is one layer: it does nothing")
    if judging.capture == "on" and observation.not_captured:
        notes.append(f"torch's gates could not be captured: {observation.not_captured}")
    return notes


def _check_mode(mode: str) -> None:
    if mode not in ("free", "forced"):
        raise UsageError(f"unknown replay {mode!r}: choose free or forced")


def _array(values: Any) -> Array:
    """A tensor, array or nested list as a numpy float array."""
    if hasattr(values, "detach"):
        from rnntrace.frameworks.torch import to_numpy

        values = to_numpy(values)
    try:
        array = np.asarray(values, dtype=None if getattr(values, "dtype", None) is not None else np.float64)
    except (ValueError, TypeError):
        raise SignalError("expected numbers in an array, tensor or lists of equal length") from None
    if array.dtype.kind not in "fiub":
        raise SignalError(f"expected numbers, and got an array of {array.dtype}")
    return array if array.dtype.kind == "f" else array.astype(np.float64)
