"""`trace` and `replay`: a module's every gate and state, beside torch's own or alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rnntrace.engine.judge.options import JudgeOptions, check_mode
from rnntrace.engine.judge.result import Result
from rnntrace.engine.replay.replay import replay as replay_engine
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.cell import Cell
from rnntrace.errors import SignalError, UsageError
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs, SignalRequest
from rnntrace.model.keys import Key
from rnntrace.model.layouts import weights_from_torch
from rnntrace.model.signals import assemble, check_not_empty, no_state
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.verbs.given.arrays import array_of
from rnntrace.verbs.given.cells import cell as own_cell
from rnntrace.verbs.given.cells import module_with
from rnntrace.verbs.given.keywords import pass_on, several
from rnntrace.verbs.given.modules import check_weights
from rnntrace.verbs.given.sources import whole_numbers
from rnntrace.verbs.judged import judged


def trace(
    module: Any,
    x: Any,
    hx: Any = None,
    *,
    lengths: Sequence[int] | None = None,
    replay: Literal["free", "forced"] = "free",
    replay_dtype: str | None = None,
    tolerance: str = "torch",
    rtol: float | None = None,
    atol: float | None = None,
    lam: float | None = None,
    drift: bool = True,
    mistake: str | Sequence[str] = (),
    blind: bool = False,
    capture: str = "auto",
    terms: bool = False,
    cell: Cell | str | Path | None = None,
    weights: Any = None,
) -> Result:
    """Trace a module of torch.nn (RNN, LSTM, GRU or one of their cells) on x.

    x is a tensor, array or nested list in the module's own layout: (T, B, I), (B, T, I) with batch_first, or (T, I); a cell
    is called for every t. hx is h0, or (h0, c0) for an LSTM, in torch's shapes, zeros by default. `lengths` packs the batch.
    With `terms` the trace also keeps W_ih·x + b_ih and W_hh·h + b_hh of every gate: `trace["f.input"]`, `trace["f.recurrent"]`.
    How the replay is judged is said as in `run`.

    Of a `cell` of your own, its text or a file of it, the module is any callable (x_t, states) → states, called for every t:
    see `frameworks.torch.stepped`. Its `weights` are its parameters, under the names of the text, or what is given.

    The module is run under no_grad in eval mode and left as it was. Raises RnnTraceError for inputs that do not fit.
    """
    keywords = locals()
    judging = pass_on(JudgeOptions, keywords, keep="terms" if terms else "gates", mistakes=several(mistake))
    if cell is not None:
        return _stepped(own_cell(cell), module, weights, x, hx, lengths, judging)
    from rnntrace.frameworks.torch import modules as framework
    from rnntrace.frameworks.torch.run import observe

    spec = framework.spec_of(module)
    if weights is not None:
        raise UsageError("`weights` belong to a `cell` of your own: a module of torch.nn has its own")
    given: Sequence[Any] = () if hx is None else hx if spec.has_cell_state else (hx,)
    if spec.has_cell_state and hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
        raise SignalError(f"hx of {spec.kind} should be (h0, c0), and is {type(hx).__name__}")
    states = dict(zip(spec.cell.states, map(array_of, given), strict=False))
    request = SignalRequest(x=array_of(x), states=states, lengths=None if lengths is None else whole_numbers(array_of(lengths)))
    inputs = assemble(spec, request, framework.drawing(spec, "normal")).rounded(spec.precision)
    check_not_empty(inputs.lengths)
    origin = {f"{state}0": "zeros" for state in spec.cell.states if state not in states}
    weights = weights_from_torch(spec, framework.parameters(module, spec))
    observation = observe(module, spec, inputs, judging.capture)
    return judged(spec, weights, inputs, observation, judging, origin=origin)


def _stepped(
    cell: Cell, step: Any, weights: Any, x: Any, hx: Any, lengths: Sequence[int] | None, judging: JudgeOptions
) -> Result:
    """The trace of a callable of a user's own, one layer in one direction."""
    from rnntrace.frameworks.torch.stepped import observe

    if lengths is not None:
        raise UsageError("`lengths` pack a batch for torch.nn: a `cell` of your own is called for every step")
    if weights is None and not hasattr(step, "named_parameters"):
        raise UsageError(
            "a callable that is no module of torch has no parameters: give them as `weights`, by the names of the text"
        )
    module = module_with(cell, dict(step.named_parameters()) if weights is None else weights)
    spec, names = module.spec, cell.states
    if spec.num_layers > 1 or spec.bidirectional:
        raise UsageError("a `cell` of your own is called for one layer in one direction: these weights are of more")
    given = hx if isinstance(hx, Mapping) else dict(zip(names, hx if isinstance(hx, tuple | list) else (hx,), strict=False))
    states = {name.removesuffix("0"): array_of(values)[None] for name, values in given.items() if values is not None}
    if strange := [name for name in states if name not in names]:
        raise SignalError(f"hx has {', '.join(strange)}, and the states of {cell.kind} are {', '.join(names)}")
    inputs = assemble(spec, SignalRequest(x=array_of(x), states=states), np.zeros).rounded(spec.precision)
    origin = {f"{state}0": "zeros" for state in names if state not in states}
    weights = module.weights.rounded(spec.precision)
    return judged(spec, weights, inputs, observe(step, spec, inputs), judging, origin=origin)


def replay(
    spec: ModuleSpec,
    weights: Weights,
    inputs: Inputs,
    replay: Literal["free", "forced"] = "free",
    *,
    known: Mapping[Key, Array] | None = None,
) -> Trace:
    """Replay a module with numpy alone, no framework. Everything is time-major: see `Inputs`.

    Forced, the state before each step is taken from `known`: (layer, direction, "h") → (T, B, R) for every layer and
    direction, and other states where they are known. Where the only state of a cell has another name, it stands for h.
    Raises RnnTraceError where weights, inputs or known states do not fit the spec.
    """
    check_mode(replay)
    check_weights(spec, weights)
    _check_inputs(spec, inputs)
    if replay == "free":
        return replay_engine(spec, weights, inputs)
    shape = (inputs.steps, inputs.batch, spec.output_size)
    for column in spec.layer_directions:
        key = (*column, spec.cell.output)
        found = (known or {}).get(key)
        if found is None or found.shape != shape:
            given = "none" if found is None else f"one of shape {found.shape}"
            raise UsageError(f"a forced replay needs known[{key}] of shape {shape}, and there is {given}")
    return replay_engine(spec, weights, inputs, known=known)


def _check_inputs(spec: ModuleSpec, inputs: Inputs) -> None:
    if inputs.x.ndim != 3 or inputs.x.shape[2] != spec.input_size or 0 in inputs.x.shape:
        raise SignalError(f"x should have shape (T, B, {spec.input_size}), and has shape {inputs.x.shape}")
    for state in spec.cell.states:
        expected = (len(spec.layer_directions), inputs.batch, spec.size_of(state))
        found = np.shape(inputs.states[state]) if state in inputs.states else None
        if found != expected:
            raise SignalError(f"{state}0 should have shape {expected}, and {f'has shape {found}' if found else 'is not given'}")
    for state in inputs.states.keys() - spec.cell.states:
        raise SignalError(no_state(spec, state))
    lengths = inputs.lengths
    if lengths is not None and (len(lengths) != inputs.batch or not all(1 <= n <= inputs.steps for n in lengths)):
        raise SignalError(f"lengths should be {inputs.batch} numbers from 1 to {inputs.steps}, and are {lengths}")
