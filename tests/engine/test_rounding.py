"""The rounding bounds: worked by hand for one unit, and never exceeded by honest computations."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.rounding import error_bounds
from rnntrace.engine.judge.rules import ACTIVATION_ERROR, EXACT, Bounded, Format
from rnntrace.engine.judge.tolerance import LAMBDA
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.engine.replay.replay import replay
from rnntrace.equations import cells
from rnntrace.model.dtypes import DTYPES, Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.observation import Observation
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights
from rnntrace.verbs.judged import judged


def random_weights(spec: ModuleSpec, generator: np.random.Generator, scale: float) -> Weights:
    """Weights of a spec, normal times `scale`, that float32 holds exactly."""
    gates, hidden, size = len(spec.cell.gates), spec.hidden_size, spec.output_size

    def draw(*shape: int) -> np.ndarray:
        return (scale * generator.standard_normal(shape)).astype(np.float32).astype(np.float64)

    return Weights(
        {
            (layer, direction): LayerWeights(
                draw(gates, hidden, spec.layer_input_size(layer)),
                draw(gates, hidden, size),
                draw(gates, hidden) if spec.bias else None,
                draw(gates, hidden) if spec.bias else None,
                draw(size, hidden) if spec.proj_size else None,
            )
            for layer, direction in spec.layer_directions
        }
    )


@pytest.mark.parametrize("lam", [LAMBDA, 0.5])
def test_one_unit_by_hand(lam: float) -> None:
    """h = tanh(w·x + b + v·h0 + d): each rule of the analysis once, written out."""
    w, b, v, d, x, h0, u = 0.5, 0.1, -0.8, 0.2, 2.0, 0.25, 1e-3
    weights = LayerWeights(
        *(np.array(part).reshape(shape) for part, shape in ((w, (1, 1, 1)), (v, (1, 1, 1)), (b, (1, 1)), (d, (1, 1))))
    )
    one, exact = np.ones((1, 1, 1)), np.zeros((1, 1, 1))
    bounds = error_bounds(
        cells.RNN_TANH, weights, Bounded(x * one, exact), {"h": h0 * one}, ("h",), None, Format(u, 0.0, lam), {}
    )
    bound = bounds["h"].item()
    gamma = lam * math.sqrt(2) * u
    before = gamma * (abs(w * x) + abs(b)) + gamma * (abs(v * h0) + abs(d))
    total = w * x + b + v * h0 + d
    before += u * abs(total)
    h = math.tanh(total)
    assert bound == pytest.approx((1 - h * h + 0.77 * before) * before + ACTIVATION_ERROR * u * abs(h), rel=1e-12)


@pytest.mark.parametrize(("symbol", "function"), [("i", lambda a: 1 / (1 + np.exp(-a))), ("g", np.tanh)])
def test_an_activation_passes_on_all_that_its_argument_may_be_off(symbol: str, function: Callable[[Array], Array]) -> None:
    """Without rounding: the ends of every interval of arguments are within the bound, and that within the steepest slope."""
    a, error = (grid[:, None, None] for grid in map(np.ravel, np.meshgrid(np.linspace(-6, 6, 121), np.geomspace(1e-6, 4, 40))))
    one, none = np.ones((4, 1, 1)), np.zeros((4, 1))
    zero = np.zeros_like(a)
    bounds = error_bounds(
        cells.LSTM,
        LayerWeights(one, 0 * one, none, none),
        Bounded(a, error),
        {"h": zero, "c": zero},
        ("h", "c"),
        None,
        EXACT,
        {},
    )
    furthest = np.maximum(np.abs(function(a + error) - function(a)), np.abs(function(a - error) - function(a)))
    assert (furthest <= bounds[symbol] * (1 + 1e-9)).all()
    steepest = 0.25 if symbol == "i" else 1.0
    assert (bounds[symbol] <= steepest * error * (1 + 1e-9)).all()


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(
    "options",
    [
        {"kind": "RNN"},
        {"kind": "RNN", "nonlinearity": "relu"},
        {"kind": "LSTM", "bidirectional": True},
        {"kind": "LSTM", "proj_size": 2, "bias": False},
        {"kind": "GRU", "num_layers": 2},
        {"kind": "GRU", "reset_after": False},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_float32_stays_within_the_bound(options: dict[str, object], scale: float) -> None:
    """A forced float32 replay is within the bound of a forced float64 replay, at every value."""
    spec = ModuleSpec(input_size=5, hidden_size=7, **options)
    generator = np.random.default_rng(3)
    weights = random_weights(spec, generator, scale)
    x = generator.standard_normal((6, 3, 5)).astype(np.float32)
    rows = len(spec.layer_directions)
    c0 = np.zeros((rows, 3, 7), np.float32) if spec.has_cell_state else None
    inputs = Inputs(x, np.zeros((rows, 3, spec.output_size), np.float32), c0)
    free = replay(spec, weights, inputs)
    known = {key: values for key, values in free.columns.items() if key[2] == "h"}
    rounding = Format.of(DTYPES["float32"], np.dtype(np.float64))
    fine = replay(spec, weights, inputs, known=known, dtype=np.dtype(np.float64), rounding=rounding)
    coarse = replay(spec, weights, inputs, known=known)
    assert fine.bounds is not None
    for key, values in fine.columns.items():
        difference = np.abs(coarse.columns[key] - values)
        assert (difference <= fine.bounds.columns[key]).all(), key
        assert (fine.bounds.columns[key] < 1e-2 * (1 + np.abs(values)) * (1 + scale) ** 2).all(), "a bound that bounds nothing"


def test_bound_grows_with_the_roundoff() -> None:
    """Half the precision has more than 1000 times the bound of single precision."""
    spec = ModuleSpec(kind="LSTM", input_size=3, hidden_size=4)
    weights = random_weights(spec, np.random.default_rng(1), 0.5)
    inputs = Inputs(np.ones((3, 1, 3)), np.zeros((1, 1, 4)), np.zeros((1, 1, 4)))
    known = {key: values for key, values in replay(spec, weights, inputs).columns.items() if key[2] == "h"}
    bounds = []
    for name in ("float32", "float16"):
        rounding = Format.of(DTYPES[name], np.dtype(np.float64))
        trace = replay(spec, weights, inputs, known=known, dtype=np.dtype(np.float64), rounding=rounding)
        assert trace.bounds is not None
        bounds.append(trace.bounds["c"])
    assert (bounds[1] > 1000 * bounds[0]).all()


@pytest.mark.parametrize("tolerance", ["torch", "rounding"])
def test_a_sum_that_overflows_inside_is_undecided(tolerance: str) -> None:
    """40000 + 40000 - 60000 fits in float16, and a part of it does not: torch loses the value, which is no mistake of anyone.

    The same values in float32, where nothing overflows, pass; and a wrong weight beside them is still found.
    """
    spec = ModuleSpec(kind="RNN", input_size=3, hidden_size=1, nonlinearity="relu", bias=False, dtype="float16")
    weights = Weights({(0, "forward"): LayerWeights(np.ones((1, 1, 3)), np.zeros((1, 1, 1)))})
    inputs = Inputs(np.array([[[40000.0, 40000.0, -60000.0]]]), np.zeros((1, 1, 1)))

    def verdict(spec: ModuleSpec, output: float) -> Verdict:
        observed = {"output": np.full((1, 1, 1), output)}
        observation = Observation("expected", "", "", 0, "", observed, {(0, "forward", "h"): observed["output"]})
        return judged(spec, weights, inputs, observation, JudgeOptions(tolerance=tolerance)).verdict

    assert verdict(spec, np.inf) is Verdict.UNDECIDED
    assert verdict(spec, 20000.0).passed
    assert verdict(spec, 21000.0) is Verdict.FAIL
    assert verdict(replace(spec, dtype="float32"), np.inf) is Verdict.FAIL
