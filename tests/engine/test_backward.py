"""Gradients: beside autograd for what torch has, beside finite differences for what it has not, and laws."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnntrace.engine.backward.backward import backward
from rnntrace.engine.backward.clipping import Clipping, clipped, total_norm
from rnntrace.engine.backward.differences import by_differences
from rnntrace.engine.backward.gradients import Gradients
from rnntrace.engine.backward.loss import loss_of
from rnntrace.engine.replay.replay import replay
from rnntrace.equations.adjoint import adjoint
from rnntrace.equations.cells import CELLS, lstm
from rnntrace.equations.notation import LATEX, TEXT, UNICODE, formula
from rnntrace.equations.text import parse
from rnntrace.frameworks.torch.modules import build, parameters
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.layouts import parameters_of, weights_from_torch
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

Problem = tuple[ModuleSpec, Weights, Inputs, dict[str, Array]]
STEPS, BATCH = 6, 3
LENGTHS = (6, 2, 4)


def problem(*, lengths: tuple[int, ...] | None = None, seed: int = 0, steps: int = STEPS, **options: Any) -> Problem:
    """A module in float64 with weights, inputs and gradients of everything that it gives, all drawn."""
    spec = ModuleSpec(**{"input_size": 3, "hidden_size": 4, "dtype": "float64", **options})
    generator = np.random.default_rng(seed)
    columns = {
        column: LayerWeights(
            arrays={name: 0.7 * generator.normal(size=shape) for name, shape in spec.shapes(column[0]).items()}
        )
        for column in spec.layer_directions
    }
    states = {
        state: generator.normal(size=(len(spec.layer_directions), BATCH, spec.size_of(state))) for state in spec.cell.states
    }
    inputs = Inputs(generator.normal(size=(steps, BATCH, spec.input_size)), states=states, lengths=lengths)
    loss = {f"{state}_n": generator.normal(size=values.shape) for state, values in states.items()}
    loss["output"] = generator.normal(size=(steps, BATCH, spec.width))
    return spec, Weights(columns), inputs, loss


def gradients_of(spec: ModuleSpec, weights: Weights, inputs: Inputs, loss: dict[str, Array], **options: Any) -> Gradients:
    return backward(replay(spec, weights, inputs), weights, loss, **options)


def far(mine: Array, theirs: Array) -> float:
    """The largest difference in parts of the largest value, or of 1."""
    return float(np.abs(mine - theirs).max() / max(1.0, np.abs(theirs).max()))


def of_torch(
    spec: ModuleSpec, weights: Weights, inputs: Inputs, loss: dict[str, Array], call: Callable[..., Any] | None = None
) -> dict[str, Array]:
    """Autograd's gradients, by the names of parameters, x and initial states."""
    module = build(spec)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in parameters_of(spec, weights).items()})
    leaves = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in inputs.signals.items()}
    hx: Any = tuple(leaves[f"{state}0"] for state in spec.cell.states)
    hx = hx if len(hx) > 1 else hx[0]
    if call is not None:
        output, finals = call(module, leaves["x"], hx)
    elif inputs.lengths:
        output, finals = module(pack_padded_sequence(leaves["x"], torch.tensor(inputs.lengths), enforce_sorted=False), hx)
        output, _ = pad_packed_sequence(output, total_length=inputs.steps)
    else:
        output, finals = module(leaves["x"], hx)
    finals = finals if isinstance(finals, tuple) else (finals,)
    total = (output * torch.from_numpy(loss["output"])).sum()
    for state, values in zip(spec.cell.states, finals, strict=True):
        total = total + (values * torch.from_numpy(loss[f"{state}_n"])).sum()
    total.backward()
    found = {**dict(module.named_parameters()), **leaves}
    return {name: leaf.grad.numpy() for name, leaf in found.items()}


def assert_near(found: Gradients, theirs: dict[str, Array], apart: float) -> None:
    mine = {**parameters_of(found.spec, found.parameters), **found.signals}
    assert {name: far(mine[name], array) for name, array in theirs.items() if far(mine[name], array) > apart} == {}
    assert mine.keys() == theirs.keys()


MODULES = [
    {"kind": kind, **options}
    for kind in ("RNN", "LSTM", "GRU")
    for options in (
        {},
        {"bias": False},
        {"num_layers": 3},
        {"bidirectional": True, "num_layers": 2},
        *([{"nonlinearity": "relu"}] if kind == "RNN" else []),
        *([{"proj_size": 2}, {"proj_size": 2, "bidirectional": True, "num_layers": 2}] if kind == "LSTM" else []),
    )
]


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["batched", "packed"])
@pytest.mark.parametrize("options", MODULES, ids=lambda options: "-".join(map(str, options.values())))
def test_gradients_are_autograds(options: dict[str, Any], lengths: tuple[int, ...] | None) -> None:
    """Of parameters, x and initial states, in float64 within 1e-12 of the largest; the module is seen to read all of them."""
    given = problem(**options, lengths=lengths)
    theirs = of_torch(*given)
    assert all(np.abs(array).max() > 0 for array in theirs.values())
    assert_near(gradients_of(*given), theirs, 1e-12)


VARIANTS: dict[str, dict[str, Any]] = {
    "peepholes": {"kind": "LSTM", "peepholes": True},
    "coupled": {"kind": "LSTM", "coupled": True},
    "clip": {"kind": "LSTM", "clip": 0.8},
    "layer norm": {"kind": "LSTM", "layer_norm": True},
    "hard": {"kind": "LSTM", "recurrent_activation": "hard_sigmoid"},
    "curves": {"kind": "LSTM", "activation": "elu", "recurrent_activation": "softsign", "cell_activation": "softplus"},
    "leaky": {"kind": "GRU", "activation": "leaky_relu:0.1"},
    "reset before": {"kind": "GRU", "reset_after": False},
    "thresholded": {"kind": "RNN", "nonlinearity": "thresholded_relu:0.2"},
    "independent": {"kind": "RNN", "independent": True},
    "product of directions": {"kind": "GRU", "bidirectional": True, "merge": "mul"},
    "mean of directions": {"kind": "RNN", "bidirectional": True, "merge": "ave", "num_layers": 2, "inner_merge": "sum"},
}
SLOW = """
m = 0.9 * m[t-1] + 0.1 * tanh(W_c x + U_c h[t-1])
q = max(m, U_q h[t-1]) / (1 + abs(x)) - exp(-m) * min(m, 0.3)
h = tanh(q) * σ(W_o x + U_o (q * h[t-1]))
"""


@pytest.mark.parametrize("name", [*VARIANTS, "a cell of one's own"])
def test_gradients_are_finite_differences(name: str) -> None:
    """Of what torch lacks, by our own replay moved a little; packed, so that everything is at work."""
    options = VARIANTS.get(name) or {"kind": "", "cell": parse(SLOW), "input_size": 4}
    spec, weights, inputs, loss = problem(**options, lengths=LENGTHS)
    observed = by_differences(spec, weights, inputs, loss)
    assert observed.parameters is not None
    found = gradients_of(spec, weights, inputs, loss)
    for column in spec.layer_directions:
        for parameter, theirs in observed.parameters[column].arrays.items():
            assert far(found.parameters[column].arrays[parameter], theirs) < 3e-8, (column, parameter)
    for signal, theirs in observed.signals.items():
        assert far(found.signals[signal], theirs) < 3e-8, signal


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("length", [1, 2, 4, 9])
def test_truncated_as_torch_detaches(kind: str, length: int) -> None:
    """Every so many steps, two layers."""

    def detached(module: Any, x: torch.Tensor, hx: Any) -> tuple[torch.Tensor, Any]:
        outputs = []
        for first in range(0, STEPS, length):
            output, hx = module(x[first : first + length], hx)
            outputs.append(output)
            if first + length < STEPS:
                hx = tuple(h.detach() for h in hx) if isinstance(hx, tuple) else hx.detach()
        return torch.cat(outputs), hx

    given = problem(kind=kind, num_layers=2)
    theirs = of_torch(*given, call=detached)
    assert_near(gradients_of(*given, truncate=length), theirs, 1e-12)


@pytest.mark.parametrize("options", [{"kind": "LSTM", "num_layers": 2}, {"kind": "GRU", "bidirectional": True}])
def test_laws(options: dict[str, Any]) -> None:
    """Twice the loss has twice the gradients; items do not see each other; gradients of a sum are sums."""
    spec, weights, inputs, loss = problem(**options)
    once = gradients_of(spec, weights, inputs, loss)
    twice = gradients_of(spec, weights, inputs, {name: 2 * values for name, values in loss.items()})
    for key, values in once.columns.items():
        np.testing.assert_allclose(twice.columns[key], 2 * values, rtol=1e-12, atol=1e-14)
    alone = [
        gradients_of(
            spec,
            weights,
            Inputs(inputs.x[:, item : item + 1], states={s: v[:, item : item + 1] for s, v in inputs.states.items()}),
            {name: values[:, item : item + 1] for name, values in loss.items()},
        )
        for item in range(BATCH)
    ]
    together = np.concatenate([one.signals["x"] for one in alone], axis=1)
    np.testing.assert_allclose(together, once.signals["x"], rtol=1e-12, atol=1e-14)
    for column in spec.layer_directions:
        for name, values in once.parameters[column].arrays.items():
            total = sum(one.parameters[column].arrays[name] for one in alone)
            np.testing.assert_allclose(total, values, rtol=1e-11, atol=1e-13)


def test_by_hand() -> None:
    """An RNN of one unit and two steps: h1 = tanh(w x1), h2 = tanh(w x2 + u h1), L = h2, with pencil and paper."""
    spec = ModuleSpec(kind="RNN", input_size=1, hidden_size=1, bias=False, dtype="float64")
    w, u, (x1, x2) = 0.5, -0.3, (1.0, 2.0)
    weights = Weights({(0, "forward"): LayerWeights(np.array([[[w]]]), np.array([[[u]]]))})
    inputs = Inputs(np.array([[[x1]], [[x2]]]), np.zeros((1, 1, 1)))
    h1 = np.tanh(w * x1)
    h2 = np.tanh(w * x2 + u * h1)
    a2 = 1 - h2**2
    a1 = a2 * u * (1 - h1**2)
    found = gradients_of(spec, weights, inputs, {"h_n": np.ones((1, 1, 1))})
    np.testing.assert_allclose(found.of("h").ravel(), [a2 * u, 1], rtol=1e-14)
    np.testing.assert_allclose(found.before_activation("h").ravel(), [a1, a2], rtol=1e-14)
    np.testing.assert_allclose(found.parameters[0, "forward"].W_ih.ravel(), [a1 * x1 + a2 * x2], rtol=1e-14)
    np.testing.assert_allclose(found.parameters[0, "forward"].W_hh.ravel(), [a2 * h1], rtol=1e-14)
    np.testing.assert_allclose(found.signals["x"].ravel(), [a1 * w, a2 * w], rtol=1e-14)
    np.testing.assert_allclose(found.norms("h"), [abs(a2 * u), 1], rtol=1e-14)


@pytest.mark.parametrize("name", ["sum", "last", "mse"])
def test_losses_are_those_of_torch(name: str) -> None:
    """Their values, and their gradients by the output of a packed batch."""
    spec, weights, inputs, _ = problem(kind="GRU", lengths=LENGTHS)
    trace = replay(spec, weights, inputs)
    target = np.random.default_rng(1).normal(size=trace.output.shape)
    output = torch.from_numpy(trace.output.copy()).requires_grad_()
    there = torch.from_numpy(np.arange(STEPS)[:, None] < np.asarray(LENGTHS))
    loss = {
        "sum": lambda: output[there].sum(),
        "last": lambda: sum(output[length - 1, item].sum() for item, length in enumerate(LENGTHS)),
        "mse": lambda: torch.nn.functional.mse_loss(output[there], torch.from_numpy(target)[there]),
    }[name]()
    loss.backward()
    found = loss_of(name, trace, target if name == "mse" else None)
    assert found.value == pytest.approx(float(loss.detach()), rel=1e-12)
    np.testing.assert_allclose(found.gradients["output"], output.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_clipping_is_torchs() -> None:
    """By norm and by value, one after the other."""
    spec, weights, inputs, loss = problem(kind="LSTM", num_layers=2)
    found = gradients_of(spec, weights, inputs, loss).parameters
    leaves = {name: torch.zeros(array.shape, dtype=torch.float64) for name, array in parameters_of(spec, found).items()}
    for name, array in parameters_of(spec, found).items():
        leaves[name].grad = torch.from_numpy(array.copy())
    norm = torch.nn.utils.clip_grad_norm_(leaves.values(), 0.5)
    assert total_norm(found) == pytest.approx(float(norm), rel=1e-12)
    mine = parameters_of(spec, clipped(found, Clipping(norm=0.5)))
    for name, leaf in leaves.items():
        np.testing.assert_allclose(mine[name], leaf.grad.numpy(), rtol=1e-6)
    torch.nn.utils.clip_grad_value_(leaves.values(), 0.01)
    mine = parameters_of(spec, clipped(found, Clipping(0.5, 0.01)))
    for name, leaf in leaves.items():
        np.testing.assert_allclose(mine[name], leaf.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("cell", [*CELLS, lstm(layer_norm=True, peepholes=True)], ids=lambda cell: cell.title)
def test_an_adjoint_is_spelled(cell: Any) -> None:
    """In every notation, with its transposed matrices."""
    found = adjoint(cell).cell
    for notation in (UNICODE, LATEX, TEXT):
        text = "\n".join(formula(step, notation, found.parameters) for step in found.steps)
        assert "None" not in text
        assert text.count("(") == text.count(")")
        assert ("ᵀ" in text or r"^\top" in text) == any(role.role == "matrix on a state" for role in found.parameters)


def test_weights_come_from_torch() -> None:
    """The problem's weights are what torch would be given: both ways give the same arrays."""
    spec, weights, *_ = problem(kind="LSTM", proj_size=2)
    module = build(spec)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in parameters_of(spec, weights).items()})
    again = weights_from_torch(spec, parameters(module, spec))
    assert all((again[0, "forward"].arrays[name] == array).all() for name, array in weights[0, "forward"].arrays.items())
