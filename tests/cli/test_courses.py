"""Two courses' own arrays, words and axes: judged as they are, with no flag."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import all_in, ask, refused

from rnntrace.model.dtypes import Array

BESIDE = Path(__file__).parents[3] / "shared" / "courses"
FOLDERS = [Path(os.environ.get("RNNTRACE_COURSES") or BESIDE), BESIDE]
FOLDER = next((folder for folder in FOLDERS if (folder / "README.md").is_file()), None)
PRINTED = ("rnn_step_forward", "rnn_forward", "lstm_step_forward", "lstm_forward")

Arrays = dict[str, Array]


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def softmax(z: Array) -> Array:
    return np.exp(z) / np.exp(z).sum(axis=0)


def cs231n(weights: Arrays, x: Array, h: Array, c: Array, order: str = "ifog") -> tuple[Array, Array]:
    """h and c (N, T, H) as the course's loop computes them; without an order the RNN."""
    hs, cs = [], []
    for t in range(x.shape[1]):
        a = x[:, t] @ weights["Wx"] + h @ weights["Wh"] + weights["b"]
        if order:
            gate = dict(zip(order, np.split(a, 4, axis=1), strict=True))
            c = sigmoid(gate["f"]) * c + sigmoid(gate["i"]) * np.tanh(gate["g"])
            h = sigmoid(gate["o"]) * np.tanh(c)
        else:
            h = np.tanh(a)
        hs, cs = [*hs, h], [*cs, c]
    return np.stack(hs, 1), np.stack(cs, 1)


def coursera(p: Arrays, x: Array, a: Array, *, swapped: bool = False) -> Arrays:
    """a, c (n_a, m, T) and y (n_y, m, T) as the course's loop computes them, or with i and f swapped."""
    c, found = np.zeros_like(a), {"a": [], "c": [], "y": []}
    i, f = ("f", "i") if swapped else ("i", "f")
    for t in range(x.shape[2]):
        if "Wax" in p:
            a = np.tanh(p["Wax"] @ x[:, :, t] + p["Waa"] @ a + p["ba"])
            y = softmax(p["Wya"] @ a + p["by"])
        else:
            both = np.concatenate([a, x[:, :, t]])
            gates = {g: p[f"W{g}"] @ both + p[f"b{g}"] for g in "fico"}
            c = sigmoid(gates[f]) * c + sigmoid(gates[i]) * np.tanh(gates["c"])
            a = sigmoid(gates["o"]) * np.tanh(c)
            y = softmax(p["Wy"] @ a + p["by"])
        for name, value in (("a", a), ("c", c), ("y", y)):
            found[name].append(value)
    return {name: np.stack(values, 2) for name, values in found.items()}


def parameters(kind: str, n_x: int, n_a: int, n_y: int) -> Arrays:
    """As the assignment draws them."""
    rng = np.random.default_rng(1)
    if kind == "rnn":
        shapes = {"Wax": (n_a, n_x), "Waa": (n_a, n_a), "ba": (n_a, 1), "Wya": (n_y, n_a), "by": (n_y, 1)}
    else:
        shapes = {f"W{gate}": (n_a, n_a + n_x) for gate in "fico"} | {f"b{gate}": (n_a, 1) for gate in "fico"}
        shapes |= {"Wy": (n_y, n_a), "by": (n_y, 1)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


@pytest.mark.skipif(FOLDER is None, reason="the courses' printed numbers are not there: see RNNTRACE_COURSES")
@pytest.mark.parametrize("case", PRINTED)
def test_the_printed_numbers_come_out(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the flag and without; h0 taken as zero, a gate's block exchanged and the bias forgotten are FAIL."""
    assert FOLDER is not None
    folder = FOLDER / case
    weights, inputs = (dict(np.load(folder / f"{name}.npz")) for name in ("weights", "inputs"))
    expected = ("--expected", folder / "expected.json", "-q")
    own = ("compare", folder / "weights.npz", "--input", folder / "inputs.npz", *expected)
    assert ask(capsys, *own).code == 0
    assert ask(capsys, *own, "--layout", "cs231n").code == 0
    np.savez("x.npz", x=inputs["x"])
    assert ask(capsys, "compare", folder / "weights.npz", "--input", "x.npz", *expected).code == 1
    for wrong in ({"b": 0 * weights["b"]}, {"Wh": np.roll(weights["Wh"], weights["Wh"].shape[0] if "lstm" in case else 1, 1)}):
        np.savez("w.npz", **{**weights, **wrong})
        assert ask(capsys, "compare", "w.npz", "--input", folder / "inputs.npz", *expected).code == 1
    assert refused(capsys, *own, "--layout", "matlab")


@pytest.mark.parametrize("sizes", [(3, 5, 2, 4), (4, 4, 4, 4)])
def test_cs231n_in_a_loop_of_its_own(sizes: tuple[int, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A sequence, batch first, and a step, also where sizes do not tell the axes; torch's order of gates is FAIL."""
    D, H, N, T = sizes
    rng = np.random.default_rng(0)
    weights = {"Wx": rng.standard_normal((D, 4 * H)), "Wh": rng.standard_normal((H, 4 * H)), "b": rng.standard_normal(4 * H)}
    x, h0, zeros = rng.standard_normal((N, T, D)), rng.standard_normal((N, H)), np.zeros((N, H))
    np.savez("w.npz", **weights)
    np.savez("x.npz", x=x, h0=h0)
    np.savez("h.npz", h=cs231n(weights, x, h0, zeros)[0])
    np.savez("torchs.npz", h=cs231n(weights, x, h0, zeros, "ifgo")[0])
    np.savez("turned.npz", h=cs231n(weights, x.swapaxes(0, 1), h0, zeros)[0].swapaxes(0, 1)) if N == T else None
    asked = ("compare", "w.npz", "--input", "x.npz", "-q", "--expected")
    assert ask(capsys, *asked, "h.npz").code == 0
    assert ask(capsys, *asked, "torchs.npz").code == 1
    if N == T:
        assert ask(capsys, *asked, "turned.npz").code == 1
    step = cs231n(weights, x[:, :1], h0, zeros)
    np.savez("s.npz", x=x[:, 0], prev_h=h0, prev_c=zeros)
    np.savez("n.npz", next_h=step[0][:, 0], next_c=step[1][:, 0])
    assert ask(capsys, "compare", "w.npz", "--input", "s.npz", "--expected", "n.npz", "-q").code == 0
    np.savez("n.npz", next_h=step[0][:, 0], next_c=step[0][:, 0])
    assert ask(capsys, "compare", "w.npz", "--input", "s.npz", "--expected", "n.npz", "-q").code == 1


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
@pytest.mark.parametrize("sizes", [(3, 5, 2, 4, 2), (4, 4, 4, 4, 4)])
def test_coursera_in_a_loop_of_its_own(kind: str, sizes: tuple[int, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """x (n_x, m, T), a, c and the softmax of the head; another axis, another gate, or another softmax is FAIL."""
    n_x, n_a, m, T, n_y = sizes
    rng = np.random.default_rng(0)
    p, x, a0 = parameters(kind, n_x, n_a, n_y), rng.standard_normal((n_x, m, T)), rng.standard_normal((n_a, m))
    right = coursera(p, x, a0)
    right = right if kind == "lstm" else {"a": right["a"], "y_pred": right["y"]}
    y = "y" if kind == "lstm" else "y_pred"

    def code(expected: dict[str, Any], **signals: Any) -> int:
        np.savez("p.npz", **p)
        np.savez("x.npz", **{"x": x, "a0": a0, **signals})
        np.savez("e.npz", **expected)
        return ask(capsys, "compare", "p.npz", "--input", "x.npz", "--expected", "e.npz", "-q").code

    assert code(right) == 0
    Path("e.json").write_text(json.dumps({name: np.round(array, 8).tolist() for name, array in right.items()}))
    assert ask(capsys, "compare", "p.npz", "--input", "x.npz", "--expected", "e.json", "-q").code == 0
    assert code({**right, "a": right["a"] + 1e-3}) == 1
    assert code(right, a0=0 * a0) == 1
    wrong = np.exp(right[y]) / np.exp(right[y]).sum(axis=0)
    assert code({**right, y: wrong}) == 1
    assert y in ask(capsys, "compare", "p.npz", "--input", "x.npz", "--expected", "e.npz", "-q").out
    assert all_in(
        ("in the head behind it", f"{y} is not"),
        refused(capsys, "diagnose", "p.npz", "--input", "x.npz", "--expected", "e.npz"),
    )
    if kind == "lstm":
        assert code({"a": coursera(p, x, a0, swapped=True)["a"]}) == 1
    step = {f"{name}_next" if name in "ac" else "yt_pred": array[:, :, 0] for name, array in right.items()}
    np.savez("x.npz", xt=x[:, :, 0], a_prev=a0, **({"c_prev": 0 * a0} if kind == "lstm" else {}))
    np.savez("e.npz", **step)
    assert ask(capsys, "compare", "p.npz", "--input", "x.npz", "--expected", "e.npz", "-q").code == 0
    np.savez("y.npz", **{y: right[y]})
    assert all_in(
        (y, "beside the hidden state"), refused(capsys, "compare", "p.npz", "--input", "x.npz", "--expected", "y.npz")
    )
    if m == T:
        assert code({**right, "a": right["a"].swapaxes(1, 2)}) == 1


def test_a_y_without_its_head_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is dropped without a word."""
    p = parameters("rnn", 3, 5, 2)
    x, a0 = np.ones((3, 2, 4)), np.zeros((5, 2))
    right = coursera(p, x, a0)
    np.savez("p.npz", **{name: array for name, array in p.items() if name not in ("Wya", "by")})
    np.savez("x.npz", x=x)
    np.savez("e.npz", a=right["a"], y=right["y"])
    answer = ask(capsys, "compare", "p.npz", "--input", "x.npz", "--expected", "e.npz")
    assert answer.code == 0
    assert "y is not judged" in answer.err


def test_sequences_of_other_lengths_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """By name, and not cut off."""
    p = parameters("lstm", 3, 5, 2)
    np.savez("p.npz", **p)
    np.savez("x.npz", x=np.ones((3, 2, 4)))
    np.savez("e.npz", a=np.ones((5, 2, 3)))
    assert "output should have shape" in refused(capsys, "compare", "p.npz", "--input", "x.npz", "--expected", "e.npz")
    np.savez("x.npz", x=np.ones((3, 2, 4)), xt=np.ones((3, 2)))
    assert "x and xt both mean x" in refused(capsys, "compare", "p.npz", "--input", "x.npz", "--expected", "e.npz")
    assert "coursera" in ask(capsys, "layouts", "coursera").out
    assert all_in(("cs231n", "i f o g"), ask(capsys, "layouts", "cs231n").out)
