"""Cells as texts: what they compute, that they say what the built-in ones say, and what is refused, and where."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from strategies import problem

import rnntrace
from rnntrace.engine.replay.replay import replay
from rnntrace.equations import cells
from rnntrace.equations.cell import Cell
from rnntrace.equations.text import parse
from rnntrace.errors import RnnTraceError
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights
from rnntrace.verbs.cells import BUILT_IN, text_of

Values = dict[str, np.ndarray]


def σ(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def norm(a: np.ndarray) -> np.ndarray:
    return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)


def mgu(w: Values, x: np.ndarray, s: Values) -> Values:
    f = σ(x @ w["W_f"].T + s["h"] @ w["U_f"].T + w["b_f"])
    n = np.tanh(x @ w["W_n"].T + (f * s["h"]) @ w["U_n"].T + w["b_n"])
    return {"f": f, "n": n, "h": (1 - f) * s["h"] + f * n}


def mingru(w: Values, x: np.ndarray, s: Values) -> Values:
    z = σ(x @ w["W_z"].T + w["b_z"])
    return {"z": z, "h": (1 - z) * s["h"] + z * (x @ w["W_h"].T + w["b_h"])}


def indrnn(w: Values, x: np.ndarray, s: Values) -> Values:
    return {"h": np.maximum(x @ w["W"].T + w["u"] * s["h"] + w["b"], 0)}


def sru(w: Values, x: np.ndarray, s: Values) -> Values:
    f = σ(x @ w["W_f"].T + w["v_f"] * s["c"] + w["b_f"])
    r = σ(x @ w["W_r"].T + w["v_r"] * s["c"] + w["b_r"])
    c = f * s["c"] + (1 - f) * (x @ w["W"].T)
    return {"f": f, "r": r, "c": c, "h": r * c + (1 - r) * x}


def lem(w: Values, x: np.ndarray, s: Values) -> Values:
    """Rusch et al. 2022 (arXiv:2110.04744), with the step 0.5 and its output called h."""
    a = 0.5 * σ(s["h"] @ w["V_a"].T + x @ w["W_a"].T + w["b_a"])
    b = 0.5 * σ(s["h"] @ w["V_b"].T + x @ w["W_b"].T + w["b_b"])
    z = (1 - b) * s["z"] + b * np.tanh(s["h"] @ w["V_z"].T + x @ w["W_z"].T + w["b_z"])
    return {"a": a, "b": b, "z": z, "h": (1 - a) * s["h"] + a * np.tanh(z @ w["V_h"].T + x @ w["W_h"].T + w["b_h"])}


def star(w: Values, x: np.ndarray, s: Values) -> Values:
    z = np.tanh(x @ w["W_z"].T + w["b_z"])
    k = σ(x @ w["W_k"].T + s["s"] @ w["U_k"].T + w["b_k"])
    return {"z": z, "k": k, "s": np.tanh((1 - k) * s["s"] + k * z)}


def slstm(w: Values, x: np.ndarray, s: Values) -> Values:
    """Beck et al. 2024 (arXiv:2405.04517), stabilised, with exponential gates."""
    i, f, z, o = (x @ w[f"W_{g}"].T + s["h"] @ w[f"U_{g}"].T + w[f"b_{g}"] for g in "ifzo")
    m = np.maximum(f + s["m"], i)
    j, k = np.exp(i - m), np.exp(f + s["m"] - m)
    c, n = k * s["c"] + j * np.tanh(z), k * s["n"] + j
    return {"m": m, "c": c, "n": n, "h": σ(o) * (c / n)}


def normed(w: Values, x: np.ndarray, s: Values) -> Values:
    i, f, g, o = (w[f"g_{k}"] * norm(x @ w[f"W_{k}"].T + s["h"] @ w[f"U_{k}"].T) + w[f"s_{k}"] for k in "ifgo")
    c = σ(f) * s["c"] + σ(i) * np.tanh(g)
    return {"c": c, "h": σ(o) * np.tanh(norm(c))}


def odd(w: Values, x: np.ndarray, s: Values) -> Values:
    a = abs(x @ w["A"].T) / 2 - np.clip(s["h"] @ w["B"].T, -0.5, 0.25)
    e = np.where(a > 0, a, 0.3 * (np.exp(a) - 1)) + np.where(a > 0, a, 0.01 * a)
    return {"a": a, "e": e, "h": np.minimum(np.log(1 + np.exp(e)), a / (1 + abs(a))) - (-w["q"]) * s["h"] + 1e-1}


TEXTS: dict[str, tuple[Callable[..., Values], str]] = {
    "mgu": (
        mgu,
        """
        # a minimal gated unit
        f = σ(W_f x + U_f h[t-1] + b_f)           # forget gate
        n = tanh(W_n x + U_n (f ⊙ h[t-1]) + b_n)  # candidate
        h = (1 - f) ⊙ h[t-1] + f ⊙ n
        """,
    ),
    "minGRU": (mingru, "z_t = sigmoid(W_z x_t + b_z)\nh_t = (1 - z_t) * h_prev + z_t * (W_h x_t + b_h)"),
    "IndRNN": (indrnn, "hₜ = relu(W xₜ + u ⊙ hₜ₋₁ + b)"),
    "SRU": (
        sru,
        """
        f = σ(W_f x + v_f ⊙ c[t-1] + b_f)
        r = σ(W_r x + v_r ⊙ c[t-1] + b_r)
        c = f ⊙ c[t-1] + (1 - f) ⊙ (W x)
        h = r ⊙ c + (1 - r) ⊙ x
        """,
    ),
    "LEM": (
        lem,
        """
        a = 0.5 σ(V_a h_{t-1} + W_a x + b_a)
        b = 0.5 σ(V_b h_{t-1} + W_b x + b_b)
        z = (1 - b) ⊙ z_{t-1} + b ⊙ tanh(V_z h_{t-1} + W_z x + b_z)
        h = (1 - a) ⊙ h_{t-1} + a ⊙ tanh(V_h z + W_h x + b_h)
        """,
    ),
    "STAR": (star, "z = tanh(W_z x + b_z)\nk = σ(W_k x + U_k s[t-1] + b_k)\ns = tanh((1 - k) ⊙ s[t-1] + k ⊙ z)"),
    "sLSTM": (
        slstm,
        """
        i = W_i x + U_i h[t-1] + b_i
        f = W_f x + U_f h[t-1] + b_f
        m = max(f + m[t-1], i)
        j = exp(i - m)
        k = exp(f + m[t-1] - m)
        z = tanh(W_z x + U_z h[t-1] + b_z)
        o = σ(W_o x + U_o h[t-1] + b_o)
        c = k c[t-1] + j z
        n = k n[t-1] + j
        h = o (c / n)
        """,
    ),
    "layer-norm LSTM": (
        normed,
        "\n".join(
            [
                *(f"{k} = {'tanh' if k == 'g' else 'σ'}(g_{k} ⊙ layer_norm(W_{k} x + U_{k} h[t-1]) + s_{k})" for k in "ifgo"),
                "c = f ⊙ c[t-1] + i ⊙ g",
                "h = o ⊙ tanh(LN(c))",
            ]
        ),
    ),
    "odd": (
        odd,
        """
        a = |A @ x| / 2 - clip(B h_prev, -0.5, 1/4)
        e = elu(a, 0.3) + leaky_relu(a)
        h = min(softplus(e), softsign(a)) - -q ⊙ h_prev + 1e-1
        """,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_computes_what_its_equations_say(name: str) -> None:
    """Against a loop in numpy, from states that are drawn."""
    step, text = TEXTS[name]
    cell = parse(text, f"{name}.cell")
    spec = ModuleSpec(cell=cell, input_size=4, hidden_size=4, dtype="float64")
    rng = np.random.default_rng(8)
    arrays = {key: rng.uniform(-0.6, 0.6, shape) for key, shape in spec.shapes(0).items()}
    states = {state: rng.uniform(0.2, 1, (1, 2, 4)) for state in cell.states}
    x = rng.normal(size=(5, 2, 4))
    trace = replay(spec, Weights({(0, "forward"): LayerWeights(arrays=arrays)}), rnntrace.Inputs(x, states=states))
    now = {state: values[0] for state, values in states.items()}
    flat = {key: array.reshape(array.shape[1:]) for key, array in arrays.items()}
    for t in range(len(x)):
        found = step(flat, x[t], now)
        for symbol, values in found.items():
            np.testing.assert_allclose(trace[symbol][t], values, rtol=1e-12, atol=1e-13, err_msg=f"{symbol}, t={t + 1}")
        now = {state: found[state] for state in cell.states}


VARIANTS: dict[str, Cell] = {
    **BUILT_IN,
    "clip": cells.lstm(clip=0.3, recurrent_activation="hard_sigmoid_keras3", activation="elu:0.3"),
    "all at once": cells.lstm(peepholes=True, coupled=True, clip=1.5, activation="leaky_relu:0.2", cell_activation="softsign"),
    "normed": cells.rnn(layer_norm=True, nonlinearity="scaled_tanh:1.7159:0.6667"),
    "reset before": cells.gru(reset_after=False, recurrent_activation="hard_sigmoid:0.3", activation="thresholded_relu:0.1"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_text_of_a_built_in_cell_is_the_cell(name: str) -> None:
    """Written out and read again it replays to the bit, also in a stack of both directions."""
    cell = VARIANTS[name]
    again = parse(text_of(cell), "again.cell")
    assert [step.role for step in again.steps] == [step.role for step in cell.steps]
    sizes = {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True}
    case = problem(ModuleSpec(cell=cell, **sizes), steps=6, batch=2)
    own = ModuleSpec(cell=again, **sizes)
    columns = {}
    for column, weights in case.weights.columns.items():
        blocks = dict(weights.by_gate(cell))
        columns[column] = LayerWeights(arrays={parameter.name: blocks[parameter.name][None] for parameter in again.parameters})
    theirs, ours = (replay(s, w, case.inputs) for s, w in ((case.spec, case.weights), (own, Weights(columns))))
    assert {*theirs} == {*ours}
    for key in theirs:
        np.testing.assert_array_equal(theirs.columns[key], ours.columns[key], err_msg=str(key))


BAD: dict[str, tuple[str, tuple[str, ...]]] = {
    "python": ("h = __import__('os').system('ls') + h_prev", ("bad.cell:1:5", "means nothing here")),
    "attributes": ("h = h_prev.real", ("bad.cell:1:11", "'.'")),
    "lambda": ("h = lambda x: h_prev", ("bad.cell:1:13", "':'")),
    "a tower of powers": ("h = 9**9**9**9 + h_prev", ("bad.cell:1:7", "expected a name")),
    "brackets": ("h = " + "(" * 60 + "h_prev" + ")" * 60, ("bad.cell:1", "40 brackets")),
    "matrices of matrices": ("h = " + "W " * 60 + "h_prev", ("bad.cell:1", "40 brackets")),
    "many words": ("h = " + " + ".join(["h_prev"] * 300), ("bad.cell:1", "150 words")),
    "many equations": ("\n".join(f"a{k} = h_prev" for k in range(300)) + "\nh = h_prev", ("bad.cell:101", "100 equations")),
    "10 MB": ("h = h_prev # " + "x" * 10_000_000, ("bad.cell", "over the limit")),
    "a value before it is known": ("h = f ⊙ h_prev\nf = σ(x)", ("bad.cell:1:5", "f of this step", "line 2", "f[t-1]")),
    "a cycle": ("a = b + h_prev\nb = a\nh = b", ("bad.cell:1:5", "b of this step")),
    "twice": ("h = h_prev\nh = h_prev", ("bad.cell:2:1", "twice", "line 1")),
    "two roles": ("f = W_q x\nn = W_q + h_prev\nh = n + f", ("bad.cell:2:5", "W_q is a bias here", "a matrix on x in line 1")),
    "two matrices": ("h = U x + U h_prev", ("bad.cell:1:11", "U is a matrix on a quantity", "matrix on x in column 5")),
    "no equation": ("h tanh(x)", ("bad.cell:1:1", "expected an equation")),
    "no right side": ("h =", ("bad.cell:1:4", "the end of the line")),
    "a bracket left open": ("h = tanh(h_prev", ("bad.cell:1:16", "closing bracket")),
    "a bracket too many": ("h = h_prev)", ("bad.cell:1:11", "found )")),
    "no such function": ("h = sigmod(W x + h_prev)", ("bad.cell:1:5", "unknown function sigmod", "sigmoid")),
    "a function as a name": ("tanh = h_prev", ("bad.cell:1:1", "tanh is a function")),
    "x computed": ("x = h_prev", ("bad.cell:1:1", "x is the input")),
    "x of before": ("h = h_prev + x_prev", ("bad.cell:1:14", "x is read at this step alone")),
    "arguments": ("h = max(h_prev)", ("bad.cell:1:5", "max takes 2 arguments, and has 1")),
    "no number": ("h = clip(h_prev, x, 1)", ("bad.cell:1:18", "takes numbers")),
    "by zero": ("h = h_prev + 1/0", ("bad.cell:1:15", "divides by zero")),
    "infinity": ("h = 1e999 h_prev", ("bad.cell:1:5", "no finite number")),
    "nothing recurrent": ("h = tanh(W x)", ("bad.cell", "no recurrent cell")),
    "no output": ("y = y_prev + z_prev\nz = y", ("bad.cell", "y, z", "call the output h")),
    "a state of nobody": ("h = q[t-1]", ("bad.cell:1:5", "no equation computes q")),
    "a number": ("h = 3\ng = h_prev", ("bad.cell:1:5", "h is a number")),
    "a matrix on a number": ("h = W 2 + h_prev", ("bad.cell:1:7", "W is a matrix here")),
    "nothing": ("# only this\n", ("bad.cell", "there is none")),
    "a null": ("h = h_prev\0", ("bad.cell:1:11", "means nothing")),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_text_is_refused_at_its_place(name: str, tmp_path: Path) -> None:
    """In one line, soon, and nothing of it is run."""
    text, words = BAD[name]
    path = tmp_path / "bad.cell"
    path.write_text(text, encoding="utf-8")
    start = time.process_time()
    with pytest.raises(RnnTraceError) as caught:
        ModuleSpec(cell=rnntrace.cell(path), input_size=2, hidden_size=2)
    assert time.process_time() - start < 2
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert message.isprintable()


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.cell").write_bytes(b"h = \xff\xfe")
    for path, words in ((tmp_path / "b.cell", "UTF-8"), (tmp_path / "missing.cell", "No such file"), (tmp_path, "directory")):
        with pytest.raises(RnnTraceError, match=words):
            rnntrace.cell(path)


@pytest.mark.parametrize("name", ["run", "exec", "batch", "add", "numpy", "scan_t", "W", "α", "h'"])
def test_names_are_data(name: str) -> None:
    """Whatever a quantity is called, it reaches no program as it is."""
    cell = parse(f"{name} = tanh(A x + B h[t-1])\nh = {name} ⊙ h[t-1] + c_{name} ⊙ {name}")
    spec = ModuleSpec(cell=cell, input_size=2, hidden_size=3)
    case = problem(spec, steps=3, batch=1)
    assert np.isfinite(replay(spec, case.weights, case.inputs)["h"]).all()


def test_gates_of_one_form_are_computed_together() -> None:
    """A text is as fast as a built-in cell: its program has the same lines."""
    from rnntrace.engine.replay.writer import compiled

    own, built = parse(text_of(cells.LSTM)), cells.LSTM
    texts = [
        compiled(cell, (), (4, 4), there=tuple(parameter.name for parameter in cell.parameters), padded=False).text
        for cell in (own, built)
    ]
    assert texts[0] == texts[1]
