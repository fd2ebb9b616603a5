"""Backward passes in two courses' and a book's own words, axes and arrangement: beside autograd of loops in that notation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused

import rnntrace
from rnntrace.model.dtypes import Array

Tensors = dict[str, torch.Tensor]
SIZES = [(3, 5, 2, 4), (4, 4, 4, 4)]
"""Of input, hidden state, batch and time; where all are one, shapes tell no axes."""


def drawn(**shapes: tuple[int, ...]) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for name, shape in shapes.items()
    }


def gates(a: torch.Tensor, order: str, axis: int) -> Tensors:
    return dict(zip(order, a.chunk(len(order), axis), strict=True))


def cs231n(kind: str, w: Tensors, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor | None) -> Tensors:
    """h (N, T, H), and the last h and c (N, H), of x (N, T, D)."""
    hs = []
    c = torch.zeros_like(h) if c is None else c
    for t in range(x.shape[1]):
        a = x[:, t] @ w["Wx"] + h @ w["Wh"] + w["b"]
        if kind == "rnn":
            h = torch.tanh(a)
        else:
            gate = gates(a, "ifog", 1)
            c = torch.sigmoid(gate["f"]) * c + torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])
            h = torch.sigmoid(gate["o"]) * torch.tanh(c)
        hs.append(h)
    return {"h": torch.stack(hs, 1), "next_h": h, "next_c": c}


def coursera(kind: str, w: Tensors, x: torch.Tensor, a: torch.Tensor, c: torch.Tensor | None) -> Tensors:
    """a (n_a, m, T), and the last a and c (n_a, m), of x (n_x, m, T)."""
    found = []
    c = torch.zeros_like(a) if c is None else c
    for t in range(x.shape[2]):
        if kind == "rnn":
            a = torch.tanh(w["Wax"] @ x[:, :, t] + w["Waa"] @ a + w["ba"])
        else:
            both = torch.cat([a, x[:, :, t]])
            f, i, o = (torch.sigmoid(w[f"W{gate}"] @ both + w[f"b{gate}"]) for gate in "fio")
            c = f * c + i * torch.tanh(w["Wc"] @ both + w["bc"])
            a = o * torch.tanh(c)
        found.append(a)
    return {"a": torch.stack(found, 2), "a_next": a, "c_next": c}


class Case:
    """Weights and signals of one kind in a notation, the gradients that come to its outputs, and autograd's own."""

    def __init__(self, course: str, kind: str, sizes: tuple[int, ...], steps: int) -> None:
        I, H, B, _ = sizes
        G, self.kind, self.of_course = {"rnn": 1, "lstm": 4}[kind], kind, course == "cs231n"
        if self.of_course:
            self.weights = drawn(Wx=(I, G * H), Wh=(H, G * H), b=(G * H,))
            self.signals = drawn(x=(B, steps, I), h0=(B, H), c0=(B, H))
        else:
            if kind == "rnn":
                self.weights = drawn(Wax=(H, I), Waa=(H, H), ba=(H, 1))
            else:
                self.weights = drawn(**{f"W{gate}": (H, H + I) for gate in "fico"}, **{f"b{gate}": (H, 1) for gate in "fico"})
            self.signals = drawn(x=(I, B, steps), a0=(H, B), c0=(H, B))
        if kind == "rnn":
            self.signals.pop("c0")
        self.outputs = (cs231n if self.of_course else coursera)(kind, self.weights, *self._in_order())

    def _in_order(self) -> Any:
        start = self.signals["h0" if self.of_course else "a0"]
        return self.signals["x"], start, self.signals.get("c0")

    def gradients(self, given: Tensors) -> dict[str, Array]:
        """Autograd's, by the names of what they are of, where these come to the outputs."""
        loss = sum((self.outputs[name] * gradient).sum() for name, gradient in given.items())
        everything = {**self.weights, **self.signals}
        found = torch.autograd.grad(loss, [*everything.values()], allow_unused=True)
        return {name: gradient.numpy() for name, gradient in zip(everything, found, strict=True) if gradient is not None}


def saved(file: str, arrays: dict[str, Any]) -> None:
    np.savez(file, **{name: array.detach().numpy() if torch.is_tensor(array) else array for name, array in arrays.items()})


@pytest.mark.slow
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
@pytest.mark.parametrize("course", ["cs231n", "coursera"])
def test_a_sequence(course: str, kind: str, sizes: tuple[int, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """As the assignment hands it in: right, with a mistake in one gradient, and with the order of its gates another."""
    case = Case(course, kind, sizes, sizes[3])
    given = {"h" if case.of_course else "a": torch.randn(case.outputs["h" if case.of_course else "a"].shape).double()}
    right = {f"d{name}": array for name, array in case.gradients(given).items()}
    saved("w.npz", case.weights)
    saved("x.npz", case.signals)
    saved("up.npz", {f"d{name}": array for name, array in given.items()})
    asked = ("backward", "w.npz", "--input", "x.npz", "--grad", "up.npz", "--expected", "mine.npz", "-q")

    def code(arrays: dict[str, Array]) -> int:
        saved("mine.npz", arrays)
        return ask(capsys, *asked).code

    assert code(right) == 0
    for name, array in right.items():
        assert code({name: array, **_whole(right, name)}) == 0
        assert code({**right, name: array * 1.01}) == 1
        if array.ndim > 1 and array.shape[0] == array.shape[1]:
            assert code({**right, name: array.swapaxes(0, 1)}) == 1
    if kind == "lstm":
        swapped = (
            {name: np.roll(array, sizes[1], -1) for name, array in right.items() if name in ("dWx", "dWh", "db")}
            if case.of_course
            else {"dWi": right["dWf"], "dWf": right["dWi"]}
        )
        assert code({**right, **swapped}) == 1
    Path("mine.json").write_text(json.dumps({name: np.round(array, 5).tolist() for name, array in right.items()}))
    assert "PASS (rounded)" in ask(capsys, *asked[:-3], "--expected", "mine.json", "-q").out
    right["dx"][0, 0] += 3e-5
    Path("mine.json").write_text(json.dumps({name: np.round(array, 5).tolist() for name, array in right.items()}))
    assert ask(capsys, *asked[:-3], "--expected", "mine.json", "-q").out.startswith("FAIL  first at ∂x, t=")


def _whole(right: dict[str, Array], name: str) -> dict[str, Array]:
    """The gates beside one that has an array of its own."""
    return {other: array for other, array in right.items() if len(name) == 3 and other[:2] == name[:2] and other[2] in "fico"}


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
@pytest.mark.parametrize("course", ["cs231n", "coursera"])
def test_a_step(course: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One step of the course: `prev_h` and `next_h`, `a_prev` and `a_next`; the order of the words is the course's."""
    case = Case(course, kind, (3, 5, 2, 1), 1)
    H, B = 5, 2
    of_next = {"next_h": (B, H), "next_c": (B, H)} if case.of_course else {"a_next": (H, B), "c_next": (H, B)}
    given = {name: torch.randn(shape).double() for name, shape in of_next.items() if kind == "lstm" or "c" not in name}
    given = {name: gradient for name, gradient in given.items() if kind == "lstm" or name != "next_c"}
    names = {"h0": "dprev_h", "c0": "dprev_c"} if case.of_course else {"x": "dxt", "a0": "da_prev", "c0": "dc_prev"}
    right = {names.get(name, f"d{name}"): array for name, array in case.gradients(given).items()}
    step = "dx" if case.of_course else "dxt"
    right[step] = right[step][:, 0] if case.of_course else right[step][:, :, 0]
    saved("w.npz", case.weights)
    starts = {names.get(name, f"d{name}")[1:]: array for name, array in case.signals.items()}
    starts[step[1:]] = starts[step[1:]][:, 0] if case.of_course else starts[step[1:]][:, :, 0]
    saved("x.npz", starts)
    saved("up.npz", {f"d{name}": array for name, array in given.items()})
    saved("mine.npz", right)
    asked = ("backward", "w.npz", "--input", "x.npz", "--grad", "up.npz", "--expected", "mine.npz", "-q")
    assert ask(capsys, *asked).code == 0
    state = "dprev_h" if case.of_course else "da_prev"
    saved("mine.npz", {**right, state: right[state] + 1e-3})
    answer = ask(capsys, *asked)
    assert (answer.code, "∂h0" in answer.out) == (1, True)


def test_a_book_whose_layout_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """d2l's matrices are named by x, h and gate, and lie transposed."""
    torch.manual_seed(0)
    lstm, x = torch.nn.LSTM(3, 2).double(), torch.randn(4, 1, 3).double()
    lstm(x)[0].sum().backward()
    words = dict(zip("ifgo", "ifco", strict=True))

    def in_book(name: str, of: str, prefix: str = "") -> dict[str, Array]:
        matrix = getattr(lstm, name)
        blocks = (matrix.grad if prefix else matrix).detach().numpy().reshape(4, 2, -1)
        return {f"{prefix}{of}{words[gate]}": blocks[place].T.squeeze() for place, gate in enumerate("ifgo")}

    with torch.no_grad():
        lstm.bias_hh_l0.zero_()
    np.savez("w.npz", **in_book("weight_ih_l0", "W_x"), **in_book("weight_hh_l0", "W_h"), **in_book("bias_ih_l0", "b_"))
    lstm.zero_grad()
    lstm(x)[0].sum().backward()
    np.save("x.npy", x.numpy())
    right = {**in_book("weight_ih_l0", "W_x", "d"), **in_book("weight_hh_l0", "W_h", "d"), **in_book("bias_ih_l0", "b_", "d")}
    np.savez("mine.npz", **right)
    asked = ("backward", "w.npz", "--layout", "d2l", "--input", "x.npy", "--expected", "mine.npz", "-q")
    assert ask(capsys, *asked).code == 0
    right["dW_hf"] = right["dW_hf"].T
    np.savez("mine.npz", **right)
    answer = ask(capsys, *asked)
    assert (answer.code, "∂W_hf" in answer.out) == (1, True)


def test_what_is_not_judged_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """What comes from outside, the head, and what has no gradient in the file; some gates alone are refused."""
    case = Case("coursera", "lstm", (3, 5, 2, 4), 4)
    saved("w.npz", {**case.weights, "Wy": np.ones((2, 5)), "by": np.ones((2, 1))})
    saved("x.npz", case.signals)
    up = {"a": torch.ones(5, 2, 4).double()}
    right = {f"d{name}": array for name, array in case.gradients(up).items()}
    saved("mine.npz", {**right, "da": np.ones((5, 2, 4)), "dWy": np.ones((2, 5))})
    asked = ("backward", "w.npz", "--input", "x.npz", "--expected", "mine.npz")
    answer = ask(capsys, *asked, "-q")
    assert answer.code == 0
    assert all_in(("what a backward pass is given is not judged: da", "not read: dWy"), answer.err)
    saved("mine.npz", {"dWf": right["dWf"]})
    assert all_in(("dWf is there", "those of i, g, o are missing"), refused(capsys, *asked))
    saved("mine.npz", {**right, "dWf": right["dWf"].T})
    assert "dWf should have shape (5, 8), and has shape (8, 5)" in refused(capsys, *asked)
    saved("mine.npz", {"dx": right["dx"], "dxt": right["dx"]})
    assert "dx and dxt both mean x" in refused(capsys, *asked)


def test_the_mistake_is_named_in_a_course_too(capsys: pytest.CaptureFixture[str]) -> None:
    """The hint of a FAIL finds what was forgotten: what c hands back."""
    case = Case("cs231n", "lstm", (3, 4, 2, 5), 5)
    saved("w.npz", case.weights)
    saved("x.npz", case.signals)
    values = {name: tensor.detach().numpy() for name, tensor in {**case.weights, **case.signals}.items()}
    h, c, kept, d = values["h0"], values["c0"], [], {name: np.zeros_like(values[name]) for name in ("Wx", "Wh", "b", "x")}
    for t in range(5):
        i, f, o, g = np.split(values["x"][:, t] @ values["Wx"] + h @ values["Wh"] + values["b"], 4, 1)
        i, f, o, g = *(1 / (1 + np.exp(-a)) for a in (i, f, o)), np.tanh(g)
        kept.append((h, c, i, f, o, g))
        c = f * c + i * g
        h = o * np.tanh(c)
        kept[-1] += (np.tanh(c),)
    dh = np.zeros_like(h)
    for t in reversed(range(5)):
        before, c_before, i, f, o, g, tanh_c = kept[t]
        dh = dh + 1
        dc = dh * o * (1 - tanh_c**2)  # and what the step after hands back
        gate = (dc * g * i * (1 - i), dc * c_before * f * (1 - f), dh * tanh_c * o * (1 - o), dc * i * (1 - g**2))
        da = np.concatenate(gate, 1)
        d["x"][:, t], dh = da @ values["Wx"].T, da @ values["Wh"].T
        d["Wx"] += values["x"][:, t].T @ da
        d["Wh"] += before.T @ da
        d["b"] += da.sum(0)
    np.savez("mine.npz", **{f"d{name}": array for name, array in d.items()})
    answer = ask(capsys, "backward", "w.npz", "--input", "x.npz", "--expected", "mine.npz")
    assert answer.code == 1
    hint = answer.err.strip().rpartition("rnntrace diagnose ")[2].split()
    assert "EXPLAINED  lstm.flow.c-not-carried" in ask(capsys, "diagnose", *hint).out


def test_in_python_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """`grad` in the course's axes is what explain starts from too."""
    case = Case("coursera", "lstm", (3, 5, 2, 4), 4)
    saved("w.npz", case.weights)
    saved("x.npz", case.signals)
    saved("up.npz", {"da": torch.randn(5, 2, 4).double()})
    result = rnntrace.backward("w.npz", "x.npz", grad="up.npz")
    assert result.passed
    asked = ("explain", "w.npz", "--input", "x.npz", "--grad", "up.npz", "--backward", "--at", "t=2,unit=1,item=1")
    told = json.loads(ask(capsys, *asked, "-f", "json").out)
    values = {entry["symbol"]: entry["value"] for entry in told["derivation"]}
    key = next(symbol for symbol in values if symbol.startswith("∂f"))
    assert values[key] == pytest.approx(float(result.gradients.of("f")[1, 1, 1]))
