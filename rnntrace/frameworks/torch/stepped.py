"""A module of a user's own, of a cell that torch does not have: called once for every step, (x_t, states) → states."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from rnntrace.errors import UsageError
from rnntrace.frameworks.torch.modules import to_numpy
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.observation import Observation
from rnntrace.model.spec import ModuleSpec

PATH = "step by step"


def observe(step: Callable[[Any, Any], Any], spec: ModuleSpec, inputs: Inputs) -> Observation:
    """What the module gives at every step, under no_grad: all of its states.

    x_t is (B, I) and each state (B, H), a tensor where the cell has one state and else a tuple in the order of the cell's. It
    gives back the same, or a dictionary of them by name. Raises UsageError for anything else.
    """
    states = spec.cell.states
    now = {state: _tensor(inputs.states[state][0], spec) for state in states}
    found: dict[str, list[Array]] = {state: [] for state in states}
    with torch.no_grad():
        for x in inputs.x:
            given = now[states[0]] if len(states) == 1 else tuple(now.values())
            now = _by_name(step(_tensor(x, spec), given), spec, inputs.batch)
            for state, values in now.items():
                found[state].append(to_numpy(values))
    sequences = {(0, spec.directions[0], state): np.stack(values) for state, values in found.items()}
    output = sequences[0, spec.directions[0], spec.cell.output]
    return Observation(
        framework="torch",
        version=torch.__version__,
        device="cpu",
        threads=torch.get_num_threads(),
        path=PATH,
        outputs={"output": output, **{f"{state}_n": values[-1:] for (*_, state), values in sequences.items()}},
        hidden={(0, spec.directions[0], spec.cell.output): output},
        captured=sequences,
        captured_path=PATH,
    )


def _tensor(values: Array, spec: ModuleSpec) -> torch.Tensor:
    return torch.from_numpy(np.array(values)).to(getattr(torch, spec.dtype))


def _by_name(given: Any, spec: ModuleSpec, batch: int) -> dict[str, torch.Tensor]:
    """The states that a step gives, in the order of the cell's."""
    states = spec.cell.states
    wanted = f"the states {', '.join(states)}" if len(states) > 1 else f"the state {states[0]}"
    if isinstance(given, torch.Tensor) and len(states) == 1:
        given = (given,)
    if isinstance(given, Mapping) and {*given} == {*states}:
        given = tuple(given[state] for state in states)
    if not isinstance(given, tuple | list) or len(given) != len(states):
        raise UsageError(f"the module should give {wanted} back for (x_t, states), and gives a {type(given).__name__}")
    for state, values in zip(states, given, strict=True):
        shape = (batch, spec.size_of(state))
        if not isinstance(values, torch.Tensor) or values.shape != shape:
            found = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
            raise UsageError(f"the module should give {state} of shape {shape}, and gives {found}")
    return dict(zip(states, given, strict=True))
