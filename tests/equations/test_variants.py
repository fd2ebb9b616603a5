"""Variants of the RNN, LSTM and GRU, and every operator, against loops that are written by hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from own_cells import BATCH, STEPS, drawn
from strategies import Problem, problem

from rnntrace.engine.judge.rules import Format
from rnntrace.engine.replay.replay import replay
from rnntrace.equations import cells
from rnntrace.equations import expression as ex
from rnntrace.equations.activations import ACTIVATIONS
from rnntrace.equations.adjoint import adjoint
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import Expr
from rnntrace.equations.parameters import Parameter, Role
from rnntrace.errors import SpecError
from rnntrace.model.dtypes import DTYPES
from rnntrace.model.inputs import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

Values = dict[str, np.ndarray]


def σ(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": σ,
    "tanh": np.tanh,
    "relu": lambda a: np.where(a > 0, a, 0),
    "linear": lambda a: a,
    "hard_sigmoid": lambda a: np.clip(0.2 * a + 0.5, 0, 1),
    "hard_sigmoid:0.3:0.4": lambda a: np.clip(0.3 * a + 0.4, 0, 1),
    "hard_sigmoid_keras3": lambda a: np.clip(a / 6 + 0.5, 0, 1),
    "softplus": lambda a: np.log(1 + np.exp(a)),
    "softsign": lambda a: a / (1 + abs(a)),
    "elu": lambda a: np.where(a > 0, a, np.exp(a) - 1),
    "elu:0.3": lambda a: np.where(a > 0, a, 0.3 * (np.exp(a) - 1)),
    "selu": lambda a: 1.0507009873554805 * np.where(a > 0, a, 1.6732632423543772 * (np.exp(a) - 1)),
    "leaky_relu": lambda a: np.where(a > 0, a, 0.01 * a),
    "leaky_relu:0.2": lambda a: np.where(a > 0, a, 0.2 * a),
    "thresholded_relu:0.1": lambda a: np.where(a > 0.1, a, 0),
    "relu6": lambda a: np.clip(a, 0, 6),
    "hard_tanh": lambda a: np.clip(a, -1, 1),
    "silu": lambda a: a * σ(a),
    "exponential": np.exp,
    "affine:0.5:-0.1": lambda a: 0.5 * a - 0.1,
    "scaled_tanh:1.7159:0.6667": lambda a: 1.7159 * np.tanh(0.6667 * a),
}


def normed(a: np.ndarray) -> np.ndarray:
    mean = a.mean(-1, keepdims=True)
    return (a - mean) / np.sqrt(((a - mean) ** 2).mean(-1, keepdims=True) + 1e-5)


def lstm(w: Values, x: np.ndarray, h: np.ndarray, c: np.ndarray, o: dict[str, Any]) -> Values:
    """One step."""
    blocks, peeping = "igo" if o.get("coupled") else "ifgo", "io" if o.get("coupled") else "ifo"
    gate, candidate = (CURVES[o.get(name, usual)] for name, usual in ACTIVATED)
    out = CURVES[o.get("cell_activation", o.get("activation", "tanh"))]

    def inside(symbol: str, cell_state: np.ndarray) -> np.ndarray:
        k = blocks.index(symbol)
        a = x @ w["W_ih"][k].T + h @ w["W_hh"][k].T
        if "b_ih" in w:
            a = a + w["b_ih"][k] + w["b_hh"][k]
        if o.get("peepholes") and symbol in peeping:
            a = a + w["p"][peeping.index(symbol)] * cell_state
        if o.get("layer_norm"):
            a = w["gain"][k] * normed(a) + w["shift"][k]
        return a if "clip" not in o else np.minimum(np.maximum(a, -o["clip"]), o["clip"])

    i = gate(inside("i", c))
    f = 1 - i if o.get("coupled") else gate(inside("f", c))
    g = candidate(inside("g", c))
    new = f * c + i * g
    gate_o = gate(inside("o", new))
    shown = w["gain"][-1] * normed(new) + w["shift"][-1] if o.get("layer_norm") else new
    return {"i": i, "f": f, "g": g, "o": gate_o, "c": new, "h": gate_o * out(shown)}


def gru(w: Values, x: np.ndarray, h: np.ndarray, c: np.ndarray, o: dict[str, Any]) -> Values:
    """One step."""
    gate, candidate = (CURVES[o.get(name, usual)] for name, usual in ACTIVATED)
    clip = (lambda a: a) if "clip" not in o else (lambda a: np.minimum(np.maximum(a, -o["clip"]), o["clip"]))
    seen = [x @ w["W_ih"][k].T + w["b_ih"][k] for k in range(3)]
    r, z = (gate(clip(seen[k] + h @ w["W_hh"][k].T + w["b_hh"][k])) for k in range(2))
    if o.get("reset_after", True):
        n = candidate(clip(seen[2] + r * (h @ w["W_hh"][2].T + w["b_hh"][2])))
    else:
        n = candidate(clip(seen[2] + (r * h) @ w["W_hh"][2].T + w["b_hh"][2]))
    return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * h}


def rnn(w: Values, x: np.ndarray, h: np.ndarray, c: np.ndarray, o: dict[str, Any]) -> Values:
    """One step."""
    a = x @ w["W_ih"][0].T + (w["b_ih"][0] if "b_ih" in w else 0)
    a = a + (w["p"][0] * h if o.get("independent") else h @ w["W_hh"][0].T + (w["b_hh"][0] if "b_hh" in w else 0))
    if o.get("layer_norm"):
        a = w["gain"][0] * normed(a) + w["shift"][0]
    if "clip" in o:
        a = np.minimum(np.maximum(a, -o["clip"]), o["clip"])
    return {"h": CURVES[o.get("nonlinearity", "tanh")](a)}


HAND = {"LSTM": lstm, "GRU": gru, "RNN": rnn}
ACTIVATED = (("recurrent_activation", "sigmoid"), ("activation", "tanh"))
EVERY = (
    *(("LSTM", {"activation": name, "cell_activation": "tanh"}) for name in CURVES),
    *(("LSTM", {"cell_activation": name}) for name in CURVES),
    *(("GRU", {"recurrent_activation": name}) for name in CURVES if name != "exponential"),
    *(("RNN", {"nonlinearity": name}) for name in CURVES),
    ("LSTM", {"peepholes": True}),
    ("LSTM", {"coupled": True}),
    ("LSTM", {"clip": 0.3}),
    ("LSTM", {"layer_norm": True}),
    ("LSTM", {"peepholes": True, "coupled": True, "clip": 0.4, "recurrent_activation": "hard_sigmoid"}),
    ("LSTM", {"peepholes": True, "clip": 0.4, "activation": "relu", "cell_activation": "softsign"}),
    ("LSTM", {"peepholes": True, "layer_norm": True, "coupled": True}),
    ("GRU", {"clip": 0.2}),
    ("GRU", {"clip": 0.2, "reset_after": False, "activation": "elu:0.3"}),
    ("RNN", {"independent": True}),
    ("RNN", {"independent": True, "clip": 0.3, "nonlinearity": "relu"}),
    ("RNN", {"layer_norm": True}),
)


def small(spec: ModuleSpec) -> Problem:
    """A few steps with small weights, under which nothing grows beyond bounds, whatever the activation."""
    case = problem(spec, steps=5, batch=3)
    columns = {
        column: LayerWeights(arrays={name: 0.3 * array for name, array in found.arrays.items()})
        for column, found in case.weights.columns.items()
    }
    return replace(case, weights=Weights(columns))


def by_hand(spec: ModuleSpec, weights: Any, inputs: Any, options: dict[str, Any]) -> dict[Any, np.ndarray]:
    """Every quantity of every layer and direction."""
    found: dict[Any, np.ndarray] = {}
    below = inputs.x
    for layer in range(spec.num_layers):
        for direction in spec.directions:
            row = spec.layer_directions.index((layer, direction))
            h, c = inputs.h0[row], inputs.h0[row] if inputs.c0 is None else inputs.c0[row]
            steps: dict[int, Values] = {}
            order = range(len(below)) if direction == "forward" else range(len(below) - 1, -1, -1)
            for t in order:
                steps[t] = HAND[spec.kind](dict(weights[layer, direction].arrays), below[t], h, c, options)
                h, c = steps[t]["h"], steps[t].get("c", c)
            found |= {(layer, direction, s): np.stack([steps[t][s] for t in range(len(below))]) for s in steps[0]}
        below = np.concatenate([found[layer, direction, "h"] for direction in spec.directions], axis=2)
    return found


@pytest.mark.parametrize("shape", [{}, {"num_layers": 2, "bidirectional": True}], ids=["one layer", "layers and directions"])
@pytest.mark.parametrize(("kind", "options"), EVERY, ids=str)
def test_a_variant_is_the_loop_written_by_hand(kind: str, options: dict[str, Any], shape: dict[str, Any]) -> None:
    """Free, and forced with the loop's own states."""
    spec = ModuleSpec(kind=kind, input_size=3, hidden_size=5, dtype="float64", **options, **shape)
    case = small(spec)
    right = by_hand(spec, case.weights, case.inputs, options)
    known = {key: values for key, values in right.items() if key[2] in spec.cell.states}
    for trace in (replay(spec, case.weights, case.inputs), replay(spec, case.weights, case.inputs, known=known)):
        assert {*trace.columns} == {*right}
        for key, values in right.items():
            np.testing.assert_allclose(trace.columns[key], values, rtol=1e-12, atol=1e-12, err_msg=str(key))


@pytest.mark.parametrize(("kind", "options"), EVERY, ids=str)
def test_single_precision_stays_within_the_bound(kind: str, options: dict[str, Any]) -> None:
    """The replay in float32 from the states of the replay in float64, each step by itself."""
    spec = ModuleSpec(kind=kind, input_size=3, hidden_size=8, **options)
    case = small(spec)
    single = {name: array.astype(np.float32) for name, array in case.weights[0, "forward"].arrays.items()}
    weights = Weights({(0, "forward"): LayerWeights(arrays=single)})
    arrays = (case.inputs.x, case.inputs.h0, case.inputs.c0)
    inputs = Inputs(*(None if array is None else array.astype(np.float32) for array in arrays))
    theirs = replay(spec, weights, inputs)
    known = {key: values for key, values in theirs.columns.items() if key[2] in spec.cell.states}
    ours = replay(
        spec,
        weights,
        inputs,
        known=known,
        dtype=np.dtype("float64"),
        rounding=Format.of(DTYPES["float32"], np.dtype("float64")),
    )
    assert ours.bounds is not None
    for key, values in ours.columns.items():
        assert (np.abs(values - theirs.columns[key]) <= ours.bounds.columns[key]).all(), key


def test_every_activation_is_tried() -> None:
    assert {name.partition(":")[0] for name in CURVES} == {*ACTIVATIONS}


ODD = Cell(
    kind="Odd",
    title="odd cell",
    gates=("a", "m"),
    states=("h",),
    steps=(
        Step("a", "gate", ex.exp(-Expr(ex.Op.ABS, (ex.input_term("a") + ex.recurrent_term("a", ex.before("h")),)))),
        Step(
            "m",
            "candidate",
            Expr(ex.Op.MAXIMUM, (ex.input_(), Expr(ex.Op.MINIMUM, (ex.gain("m", ex.before("h")), ex.shift("m"))))),
        ),
        Step("h", "hidden state", ex.now("a") * ex.input_() + (1 - ex.now("a")) * (ex.now("m") / ex.softplus(ex.now("a")))),
    ),
    parameters=(
        Parameter("W", Role.INPUT_MATRIX, ("a",)),
        Parameter("U", Role.RECURRENT_MATRIX, ("a",)),
        Parameter("b", Role.INPUT_BIAS, ("a",)),
        Parameter("v", Role.GAIN, ("m",)),
        Parameter("s", Role.SHIFT, ("m",)),
    ),
)
"""What no variant has: x unit by unit, quotients, minima and maxima."""


def test_other_operators_are_what_they_say() -> None:
    spec, weights, inputs = drawn(ODD)
    w, h = weights[0, "forward"].arrays, inputs.h0[0]
    trace = replay(spec, weights, inputs)
    for t in range(STEPS):
        x = inputs.x[t]
        a = np.exp(-abs(x @ w["W"][0].T + w["b"][0] + h @ w["U"][0].T))
        m = np.maximum(x, np.minimum(w["v"][0] * h, w["s"][0]))
        h = a * x + (1 - a) * (m / np.log(1 + np.exp(a)))
        for symbol, values in (("a", a), ("m", m), ("h", h)):
            assert values.shape == (BATCH, 3)
            np.testing.assert_allclose(trace[symbol][t], values, rtol=1e-12, atol=1e-13)


def test_no_operator_is_without_a_cell() -> None:
    """Those of the backward pass in an adjoint."""
    declared = [
        adjoint(cells.lstm(layer_norm=True)).cell,
        *cells.CELLS,
        ODD,
        *(ModuleSpec(kind=kind, input_size=1, hidden_size=2, **options).cell for kind, options in EVERY),
        adjoint(cells.RNN_RELU).cell,
    ]
    assert {part.op for cell in declared for step in cell.steps for part in step.expression.walk()} == {*ex.Op}


REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a GRU's peepholes": ({"kind": "GRU", "peepholes": True}, ("`peepholes`", "LSTM", "GRU")),
    "an RNN's gates": ({"kind": "RNN", "recurrent_activation": "sigmoid"}, ("`recurrent_activation`", "RNN has no gates")),
    "a clip at nothing": ({"kind": "LSTM", "clip": 0.0}, ("`clip`", "above 0")),
    "a clip that is no number": ({"kind": "LSTM", "clip": float("nan")}, ("`clip`", "above 0")),
    "numbers that are wanted": ({"kind": "RNN", "nonlinearity": "affine"}, ("affine:alpha:beta",)),
    "numbers that are not": ({"kind": "RNN", "nonlinearity": "tanh:2"}, ("takes no numbers", "gives 1")),
    "a word for a number": ({"kind": "RNN", "nonlinearity": "elu:much"}, ("finite", "'much'")),
    "one activation for three": (
        {"kind": "LSTM", "bidirectional": True, "reverse_activations": ("relu",)},
        ("`reverse_activations` are 3", "1"),
    ),
    "activations of no direction": ({"kind": "RNN", "reverse_activations": ("relu",)}, ("two directions",)),
    "both at once": ({"kind": "RNN", "independent": True, "layer_norm": True}, ("`independent`", "`layer_norm`")),
    "an option of a cell of one's own": ({"cell": ODD, "clip": 1.0}, ("`clip`", "odd cell")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    options, words = REFUSED[name]
    with pytest.raises(SpecError) as caught:
        ModuleSpec(**{"input_size": 3, "hidden_size": 3, **options})
    assert all(word in str(caught.value) for word in words), caught.value


def test_onnx_and_keras_call_them_so() -> None:
    spec = ModuleSpec(
        kind="LSTM", input_size=3, hidden_size=2, recurrent_activation="HardSigmoid:0.25:0.5", activation="LeakyRelu"
    )
    assert (spec.recurrent_activation, spec.activation, spec.cell_activation) == (
        "hard_sigmoid:0.25",
        "leaky_relu",
        "leaky_relu",
    )
    assert ModuleSpec.from_document(spec.document()) == spec
    assert ModuleSpec(cell=cells.lstm(peepholes=True), input_size=3, hidden_size=2).peepholes
    assert str(ModuleSpec(kind="LSTM", input_size=3, hidden_size=2, clip=3.0)) == "LSTM(3, 2, clip=3.0)"


def test_each_direction_has_its_activations() -> None:
    """The reverse direction's are its own; a module of two alike says nothing of them."""
    sizes: dict[str, Any] = {"kind": "GRU", "input_size": 3, "hidden_size": 4, "bidirectional": True, "dtype": "float64"}
    spec = ModuleSpec(**sizes, reverse_activations=("hard_sigmoid", "relu"))
    case = small(spec)
    trace = replay(spec, case.weights, case.inputs)
    for direction, options in (("forward", {}), ("reverse", {"recurrent_activation": "hard_sigmoid", "activation": "relu"})):
        for key, values in by_hand(spec, case.weights, case.inputs, options).items():
            if key[1] == direction:
                np.testing.assert_allclose(trace.columns[key], values, rtol=1e-12, atol=1e-12)
    assert ModuleSpec(**sizes, reverse_activations=("sigmoid", "tanh")) == ModuleSpec(**sizes)
