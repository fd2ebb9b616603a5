"""Norms over time: beside autograd's Jacobians, beside the gradients of single steps, and in cases known by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.func import jacrev

from rnntrace.engine.backward import norms, sums
from rnntrace.engine.backward.backward import backward
from rnntrace.engine.backward.norms import norms_of, reach, ways
from rnntrace.engine.replay.replay import replay
from rnntrace.frameworks.torch.modules import build
from rnntrace.model.inputs import Inputs
from rnntrace.model.layouts import parameters_of
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

STEPS, BATCH, HIDDEN = 5, 2, 3
LENGTHS = (5, 3)


def problem(
    scale: float = 0.7, lengths: tuple[int, ...] | None = None, batch: int = BATCH, **options: Any
) -> tuple[ModuleSpec, Weights, Inputs]:
    spec = ModuleSpec(**{"input_size": 2, "hidden_size": HIDDEN, "dtype": "float64", **options})
    generator = np.random.default_rng(3)
    columns = {
        column: LayerWeights(
            arrays={name: scale * generator.normal(size=shape) for name, shape in spec.shapes(column[0]).items()}
        )
        for column in spec.layer_directions
    }
    states = {state: generator.normal(size=(len(columns), batch, spec.size_of(state))) for state in spec.cell.states}
    x = generator.normal(size=(STEPS, batch, spec.input_size))
    return spec, Weights(columns), Inputs(x, states=states, lengths=lengths)


def jacobian_norms(
    spec: ModuleSpec, weights: Weights, x: Any, states: dict[str, Any], backwards: bool
) -> dict[str, list[float]]:
    """Spectral norms of ∂s_t/∂s_1 of one item, by autograd: the layer is called anew from the state behind its first step."""
    module = build(spec)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in parameters_of(spec, weights).items()})
    x = torch.from_numpy(x[::-1].copy() if backwards else x)[:, None]
    names = spec.cell.states

    def onward(steps: Any, *values: Any) -> Any:
        hx = tuple(value[None, None] for value in values)
        _, finals = module(steps, hx if len(hx) > 1 else hx[0])
        finals = finals if isinstance(finals, tuple) else (finals,)
        return dict(zip(names, (final[0, 0] for final in finals), strict=True))

    first = onward(x[:1], *(torch.from_numpy(states[name]) for name in names))
    first = [first[name].detach() for name in names]
    found: dict[str, list[float]] = {name: [1.0] for name in names}
    for t in range(2, len(x) + 1):
        jacobians = jacrev(lambda *values, t=t: onward(x[1:t], *values), argnums=tuple(range(len(names))))(*first)
        for number, name in enumerate(names):
            found[name].append(float(torch.linalg.matrix_norm(jacobians[name][number].detach(), ord=2)))
    return found


MODULES = [
    {"kind": "RNN"},
    {"kind": "RNN", "nonlinearity": "relu"},
    {"kind": "LSTM"},
    {"kind": "LSTM", "proj_size": 2},
    {"kind": "GRU"},
]


@pytest.mark.parametrize("options", MODULES, ids=lambda options: "-".join(map(str, options.values())))
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["batched", "packed"])
def test_what_reaches_a_step_is_autograds(options: dict[str, Any], lengths: tuple[int, ...] | None) -> None:
    """The largest over the items that are still running, within 1e-12."""
    spec, weights, inputs = problem(lengths=lengths, **options)
    mine = reach(replay(spec, weights, inputs), weights, 0, "forward")
    assert mine is not None
    for state in spec.cell.states:
        theirs = np.zeros(STEPS)
        for item, length in enumerate(lengths or (STEPS,) * BATCH):
            states = {name: inputs.states[name][0, item] for name in spec.cell.states}
            norm = jacobian_norms(spec, weights, inputs.x[:length, item], states, backwards=False)[state]
            theirs[:length] = np.maximum(theirs[:length], norm)
        np.testing.assert_allclose(mine[state], theirs, rtol=1e-12)


def test_the_reverse_direction_begins_at_the_end() -> None:
    """… of the input: there the norm is 1, in each layer for itself."""
    spec, weights, inputs = problem(kind="GRU", bidirectional=True, batch=1)
    mine = reach(replay(spec, weights, inputs), weights, 0, "reverse")
    alone = ModuleSpec(kind="GRU", input_size=2, hidden_size=HIDDEN, dtype="float64")
    own = Weights({(0, "forward"): weights[0, "reverse"]})
    theirs = jacobian_norms(alone, own, inputs.x[:, 0], {"h": inputs.states["h"][1, 0]}, backwards=True)["h"]
    assert mine is not None
    np.testing.assert_allclose(mine["h"][::-1], theirs, rtol=1e-12)


def test_pieces_of_jacobians_are_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few are held at once."""
    spec, weights, inputs = problem(kind="LSTM", bidirectional=True)
    trace = replay(spec, weights, inputs)
    at_once = [reach(trace, weights, 0, direction) for direction in spec.directions]
    monkeypatch.setattr(norms, "AT_ONCE", 1)
    for direction, right in zip(spec.directions, at_once, strict=True):
        found = reach(trace, weights, 0, direction)
        assert found is not None
        assert right is not None
        assert all(np.allclose(found[state], right[state], rtol=1e-13) for state in right)


def test_products_beyond_the_range_of_float64() -> None:
    """Of a linear RNN whose state grows 1e3-fold at each step, or shrinks to 1e-3 of it: what leaves the range is inf or 0."""
    for weight, last in ((1e3, np.inf), (1e-3, 0.0)):
        spec = ModuleSpec(kind="RNN", input_size=1, hidden_size=1, nonlinearity="relu", dtype="float64", bias=False)
        weights = Weights(
            {(0, "forward"): LayerWeights(arrays={"W_ih": np.ones((1, 1, 1)), "W_hh": np.full((1, 1, 1), weight)})}
        )
        tiny = np.full((150, 1, 1), 1e-300)
        trace = replay(spec, weights, Inputs(tiny, states={"h": tiny[:1]}))
        found = reach(trace, weights, 0, "forward")
        assert found is not None
        np.testing.assert_allclose(found["h"][[0, 1, 50, 100]], [1, weight, weight**50, weight**100], rtol=1e-12)
        assert found["h"][-1] == last


@pytest.mark.parametrize("of_pairs", [True, False], ids=["pairs", "matrices"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["batched", "packed"])
@pytest.mark.parametrize(
    "options",
    [
        {"kind": "RNN"},
        {"kind": "LSTM", "num_layers": 2, "bidirectional": True},
        {"kind": "LSTM", "proj_size": 2},
        {"kind": "LSTM", "layer_norm": True, "peepholes": True},
        {"kind": "GRU"},
        {"kind": "GRU", "reset_after": False},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_what_each_step_adds(
    options: dict[str, Any], lengths: tuple[int, ...] | None, of_pairs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the gradients that come out where no other step counts for parameters, whichever way products are taken."""
    batch = 2 if of_pairs else 2 * HIDDEN
    lengths = lengths if lengths is None else lengths * (batch // 2)
    spec, weights, inputs = problem(lengths=lengths, batch=batch, **options)
    trace = replay(spec, weights, inputs)
    loss = {"output": np.random.default_rng(4).normal(size=trace.output.shape)}
    monkeypatch.setattr(sums, "AT_ONCE", 50)
    found = norms_of(trace, weights, backward(trace, weights, loss))
    for t in range(STEPS):
        alone = backward(trace, weights, loss, weigh=np.eye(STEPS)[t]).parameters
        for column, own in alone.columns.items():
            for name, array in own.arrays.items():
                assert found[column].parameters[name][t] == pytest.approx(float(np.linalg.norm(array)), rel=1e-7, abs=1e-12)


def test_long_products_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above a limit there are none."""
    spec, weights, inputs = problem(kind="LSTM")
    trace = replay(spec, weights, inputs)
    monkeypatch.setattr(norms, "MOST", 1000)
    assert reach(trace, weights, 0, "forward") is None


def test_why_gradients_fade() -> None:
    """What an LSTM's c keeps is f, what a GRU's h keeps z; an RNN has its weights and the slope of tanh alone."""
    for kind, state, gate in (("LSTM", "c", "f"), ("GRU", "h", "z")):
        spec, weights, inputs = problem(kind=kind, bias=True)
        trace = replay(spec, weights, inputs)
        direct = [way for way in ways(trace, weights, (0, "forward")) if way.factor is not None]
        assert [(way.state, way.factor.name) for way in direct if way.factor is not None] == [(state, gate)]
        assert direct[0].mean == pytest.approx(float(trace[gate].mean()), rel=1e-12)
    spec, weights, inputs = problem(kind="RNN")
    trace = replay(spec, weights, inputs)
    (way,) = ways(trace, weights, (0, "forward"))
    assert way.radius == pytest.approx(float(np.abs(np.linalg.eigvals(weights[0, "forward"].arrays["W_hh"][0])).max()))
    assert way.mean == pytest.approx(float((1 - trace["h"] ** 2).mean()), rel=1e-12)
