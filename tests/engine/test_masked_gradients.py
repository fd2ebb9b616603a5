"""Gradients of masked sequences: steps that are left out hand them on as they are, beside a loop of torch's cells."""

from typing import Any

import numpy as np
import pytest
import torch

import rnntrace
from rnntrace.engine.backward.backward import backward
from rnntrace.engine.backward.differences import by_differences
from rnntrace.engine.backward.loss import loss_of
from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import Trace
from rnntrace.frameworks.torch.squeezed import observe_masked
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.layouts import parameters_of
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights
from rnntrace.verbs.load import load

STEPS, BATCH = 9, 4
MASK = np.random.default_rng(3).random((STEPS, BATCH)) < 0.6
MASK[:, 2], MASK[:, 3] = True, False
"""Of the items the third has no step left out, and the fourth none that counts."""
KINDS = ["RNN", "LSTM", "GRU"]


def problem(kind: str, layers: int = 1, **options: Any) -> tuple[torch.nn.RNNBase, Trace, Weights, dict[str, Array]]:
    """A module of torch in both directions, a masked forward pass, and gradients of all that it gives."""
    torch.manual_seed(0)
    module: torch.nn.RNNBase = getattr(torch.nn, kind)(3, 4, layers, bidirectional=True, dtype=torch.float64, **options)
    spec, weights = load(module)[""]
    generator = np.random.default_rng(1)
    rows = len(spec.layer_directions)
    states = {state: generator.normal(size=(rows, BATCH, spec.size_of(state))) for state in spec.cell.states}
    trace = replay(spec, weights, Inputs(generator.normal(size=(STEPS, BATCH, 3)), states=states, mask=MASK))
    loss = {f"{state}_n": generator.normal(size=values.shape) for state, values in states.items()}
    loss["output"] = generator.normal(size=trace.output.shape)
    return module, trace, weights, loss


def of_a_loop(module: torch.nn.RNNBase, trace: Trace, loss: dict[str, Array], truncate: int | None) -> dict[str, Array]:
    """Autograd's gradients of one layer, step by step through torch's cells: a masked step keeps the states.

    What is truncated are states between two steps that count: neither the initial state nor the final one is detached.
    """
    spec, inputs, kind = trace.spec, trace.inputs, module.mode.partition("_")[0]
    leaves = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in inputs.signals.items()}
    mask, total = torch.from_numpy(MASK)[..., None], torch.zeros((), dtype=torch.float64)
    for row, direction in enumerate(spec.directions):
        cell = getattr(torch.nn, f"{kind}Cell")(3, 4, dtype=torch.float64)
        suffix = "_reverse" if direction == "reverse" else ""
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            leaf = getattr(module, f"{name}_l0{suffix}").detach().clone().requires_grad_()
            leaves[f"{name}_l0{suffix}"] = leaf
            delattr(cell, name)
            setattr(cell, name, leaf)
        states = [leaves[f"{state}0"][row] for state in spec.cell.states]
        of_output = torch.from_numpy(loss["output"][..., spec.output_units(direction)])
        order = [*range(STEPS)][:: 1 if direction == "forward" else -1]
        for number, t in enumerate(order):
            if truncate and number % truncate == 0:
                within = torch.from_numpy(MASK[order[:number]].any(axis=0) & MASK[order[number:]].any(axis=0))[:, None]
                states = [torch.where(within, state.detach(), state) for state in states]
            found = cell(leaves["x"][t], tuple(states) if len(states) > 1 else states[0])
            found = found if isinstance(found, tuple) else (found,)
            states = [torch.where(mask[t], new, old) for new, old in zip(found, states, strict=True)]
            total = total + (torch.where(mask[t], states[0], torch.zeros(())) * of_output[t]).sum()
        for state, values in zip(spec.cell.states, states, strict=True):
            total = total + (values * torch.from_numpy(loss[f"{state}_n"][row])).sum()
    total.backward()
    return {name: leaf.grad.numpy() for name, leaf in leaves.items() if leaf.grad is not None}


def assert_near(spec: ModuleSpec, found: Any, theirs: dict[str, Array]) -> None:
    mine = {**parameters_of(spec, found.parameters), **found.signals}
    assert theirs.keys() == mine.keys()
    for name, array in theirs.items():
        np.testing.assert_allclose(mine[name], array, rtol=0, atol=1e-12 * max(1.0, np.abs(array).max()), err_msg=name)


@pytest.mark.parametrize("truncate", [None, 1, 2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_a_loop(kind: str, truncate: int | None) -> None:
    """Of parameters, x and initial states, in both directions, truncated or not; an item of masked steps alone too."""
    module, trace, weights, loss = problem(kind)
    assert_near(trace.spec, backward(trace, weights, loss, truncate=truncate), of_a_loop(module, trace, loss, truncate))


@pytest.mark.parametrize("kind", KINDS)
def test_of_layers_as_torch_has_them_packed(kind: str) -> None:
    """Steps that count, one behind the other, are a packed batch to torch; of gates and states at every step as well."""
    module, trace, weights, loss = problem(kind, layers=2)
    found = backward(trace, weights, loss)
    theirs = observe_masked(module, trace.spec, trace.inputs, loss)
    assert theirs.parameters is not None
    assert_near(trace.spec, found, {**parameters_of(trace.spec, theirs.parameters), **theirs.signals})
    assert theirs.columns
    for key, values in theirs.columns.items():
        assert np.array_equal(np.isnan(values[..., 0]), ~MASK)
        np.testing.assert_allclose(found.columns[key], values, rtol=0, atol=1e-12 * max(1.0, np.nanmax(np.abs(values))))


def test_of_what_torch_has_not() -> None:
    """Beside finite differences."""
    spec = ModuleSpec(kind="GRU", input_size=2, hidden_size=2, reset_after=False, dtype="float64")
    generator = np.random.default_rng(0)
    arrays = {name: generator.normal(size=shape) for name, shape in spec.shapes(0).items()}
    weights = Weights({(0, "forward"): LayerWeights(arrays=arrays)})
    inputs = Inputs(generator.normal(size=(STEPS, BATCH, 2)), states={"h": generator.normal(size=(1, BATCH, 2))}, mask=MASK)
    trace = replay(spec, weights, inputs)
    loss = loss_of("sum", trace).gradients
    theirs = by_differences(spec, weights, inputs, loss)
    assert theirs.parameters is not None
    found = backward(trace, weights, loss)
    for name, array in parameters_of(spec, theirs.parameters).items():
        np.testing.assert_allclose(parameters_of(spec, found.parameters)[name], array, atol=1e-7)
    np.testing.assert_allclose(found.signals["h0"], theirs.signals["h0"], atol=1e-7)


def test_the_last_step_of_a_masked_item_is_its_last_that_counts() -> None:
    """… for the loss of it."""
    _, trace, _, _ = problem("RNN")
    there = loss_of("last", trace).gradients["output"]
    assert [np.flatnonzero(there[:, item, 0]).tolist() for item in range(BATCH)] == [
        [np.flatnonzero(MASK[:, item])[-1]] if MASK[:, item].any() else [] for item in range(BATCH)
    ]


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_judged_in_float32(kind: str) -> None:
    """Beside torch, step by step too, with weights that drift; a gradient that is wrong is not passed."""
    mask = np.random.default_rng(5).random((60, 2)) < 0.5
    result = rnntrace.backward(kind, seed=1, steps=60, batch=2, hidden=8, bidirectional=True, mask=mask)
    assert result.passed
    assert result.observation.columns
    wrong = {"weight_hh_l0": parameters_of(result.spec, result.gradients.parameters)["weight_hh_l0"] * 1.01}
    judged = rnntrace.backward((result.spec, result.weights), result.inputs.x, mask=mask, expected=wrong)
    assert not judged.passed
