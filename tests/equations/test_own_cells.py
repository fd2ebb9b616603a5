"""A cell that is declared and nowhere else known has everything that torch's have: beside loops written by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_cells import MGU, PEEPHOLE, SLOW, STAR, STEPS, drawn

import rnntrace
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.mistake import apply, catalogue
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.rounding import Typed
from rnntrace.engine.judge.rules import EXACT, Format
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.engine.replay.replay import replay
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import before, diagonal
from rnntrace.equations.notation import LATEX, UNICODE, formula
from rnntrace.model.conventions import BY_NAME, TORCH
from rnntrace.model.dtypes import DTYPES
from rnntrace.model.inputs import Inputs, SignalRequest
from rnntrace.model.module import Module
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights
from rnntrace.render import RENDERERS, Style, render
from rnntrace.report.explain import equations_report
from rnntrace.report.run import run_report
from rnntrace.report.select import PARTS, View
from rnntrace.verbs.compare_one import compare_with_expected
from rnntrace.verbs.derived import ShownExplanation
from rnntrace.verbs.explain import explain
from rnntrace.verbs.given.sources import Sources

CELLS = {"MGU": MGU, "peephole": PEEPHOLE, "STAR": STAR, "slow": SLOW}
Values = dict[str, np.ndarray]


def σ(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def mgu(w: LayerWeights, x: np.ndarray, before: Values) -> Values:
    """One step, by hand."""
    h = before["h"]
    (W_f, W_n), (U_f, U_n), (b_f, b_n) = w.arrays["W"], w.arrays["U"], w.arrays["b"]
    f = σ(x @ W_f.T + b_f + h @ U_f.T)
    n = np.tanh(x @ W_n.T + b_n + (f * h) @ U_n.T)
    return {"f": f, "n": n, "h": (1 - f) * h + f * n}


def peephole(w: LayerWeights, x: np.ndarray, before: Values) -> Values:
    """One step, by hand: i and f see the cell state before, o that of this step."""
    h, c = before["h"], before["c"]
    p_i, p_f, p_o = w.arrays["p"]
    a_i, a_f, a_g, a_o = (x @ w.W_ih[k].T + w.b_ih[k] + (h @ w.W_hh[k].T + w.b_hh[k]) for k in range(4))
    i, f, g = σ(a_i + p_i * c), σ(a_f + p_f * c), np.tanh(a_g)
    new = f * c + i * g
    o = σ(a_o + p_o * new)
    return {"i": i, "f": f, "g": g, "c": new, "o": o, "h": o * np.tanh(new)}


def star(w: LayerWeights, x: np.ndarray, before: Values) -> Values:
    """One step, by hand."""
    s, (W_k, W_z), (U_k,), (b_k, b_z) = before["s"], w.arrays["W"], w.arrays["U"], w.arrays["b"]
    z = np.tanh(x @ W_z.T + b_z)
    k = σ(x @ W_k.T + b_k + s @ U_k.T)
    return {"z": z, "k": k, "s": np.tanh((1 - k) * s + k * z)}


def slow(w: LayerWeights, x: np.ndarray, before: Values) -> Values:
    """One step, by hand: i sees the slow memory before, o the cell state of this step."""
    h, c, m, (p_i, p_o) = before["h"], before["c"], before["m"], w.arrays["p"]
    a_i, a_f, a_g, a_o = (x @ w.W_ih[k].T + w.b_ih[k] + (h @ w.W_hh[k].T + w.b_hh[k]) for k in range(4))
    i, f, g = σ(a_i + p_i * m), σ(a_f), np.tanh(a_g)
    c = f * c + i * g
    m = f * m + (1 - f) * c
    o = σ(a_o + p_o * c)
    return {"i": i, "f": f, "g": g, "c": c, "m": m, "o": o, "h": o * np.tanh(c + m)}


HAND: dict[str, Callable[..., Values]] = {"MGU": mgu, "peephole": peephole, "STAR": star, "slow": slow}
OUTPUT = {"MGU": "h", "peephole": "h", "STAR": "s", "slow": "h"}


def by_hand(name: str, spec: ModuleSpec, weights: Weights, inputs: Inputs, dtype: str = "float64") -> dict[object, np.ndarray]:
    """Every gate and state of every layer and direction, step by step."""
    found: dict[object, np.ndarray] = {}
    below = inputs.x.astype(dtype)
    for layer in range(spec.num_layers):
        halves = []
        for direction in spec.directions:
            row = spec.layer_directions.index((layer, direction))
            now = {state: values[row].astype(dtype) for state, values in inputs.states.items()}
            w = weights[layer, direction].astype(np.dtype(dtype))
            order = range(STEPS) if direction == "forward" else range(STEPS - 1, -1, -1)
            steps: dict[int, Values] = {}
            for t in order:
                steps[t] = now = HAND[name](w, below[t], now)
            for symbol in spec.cell.symbols:
                found[layer, direction, symbol] = np.stack([steps[t][symbol] for t in range(STEPS)])
            halves.append(found[layer, direction, OUTPUT[name]])
        below = np.concatenate(halves, axis=2)
    return found


def named(inputs: Inputs) -> Values:
    """The initial states as a user gives them."""
    return {f"{state}0": values for state, values in inputs.states.items()}


def compared(name: str, tmp_path: Path, wrong: Callable[[LayerWeights], LayerWeights] = lambda w: w) -> rnntrace.Result:
    """The replay beside what somebody computes by hand, with weights that may have gone wrong on the way."""
    spec, weights, inputs = drawn(CELLS[name])
    found = by_hand(name, spec, Weights({key: wrong(w) for key, w in weights.columns.items()}), inputs)
    expected = {"output": found[0, "forward", OUTPUT[name]]} | {
        symbol: found[0, "forward", symbol] for symbol in spec.cell.gates
    }
    np.savez(tmp_path / "expected.npz", **expected)
    request = SignalRequest(x=inputs.x, states=inputs.states)
    modules = {"": Module(spec, weights)}
    (result,) = compare_with_expected(modules, Sources(request), JudgeOptions(), str(tmp_path / "expected.npz")).values()
    return result


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 3, "bidirectional": True}], ids=["one layer", "layers and directions"])
@pytest.mark.parametrize("name", CELLS)
def test_a_replay_is_the_loop_written_by_hand(name: str, options: dict[str, object], dtype: str) -> None:
    """Every gate and state of every layer and direction, free and forced with the loop's own states."""
    spec, weights, inputs = drawn(CELLS[name], dtype=dtype, **options)
    expected = by_hand(name, spec, weights, inputs)
    known = {key: values for key, values in expected.items() if key[2] in spec.cell.states}  # type: ignore[index]
    for trace in (rnntrace.replay(spec, weights, inputs), rnntrace.replay(spec, weights, inputs, "forced", known=known)):
        assert set(trace.columns) == set(expected)
        for key, values in trace.columns.items():
            np.testing.assert_allclose(
                values, expected[key], rtol=0, atol=1e-13 if dtype == "float64" else 3e-6, err_msg=str(key)
            )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", CELLS)
def test_honest_rounding_stays_within_its_bound_and_fills_some_of_it(name: str, dtype: str) -> None:
    """A loop in the format itself, each step from its own states: no difference is above its bound, and some are near it."""
    spec, weights, inputs = drawn(CELLS[name], dtype=dtype, hidden_size=8)
    theirs = by_hand(name, spec, weights, inputs, dtype)
    known = {key: values.astype(np.float32) for key, values in theirs.items() if key[2] in spec.cell.states}  # type: ignore[index]
    trace = replay(
        spec, weights, inputs, known=known, dtype=np.dtype(np.float64), rounding=Format.of(DTYPES[dtype], np.dtype(np.float64))
    )
    assert trace.bounds is not None
    for key, values in trace.columns.items():
        share = np.abs(values - theirs[key].astype(np.float64)) / trace.bounds.columns[key]
        assert share.max() <= 1, key
        assert share.max() > 0.02, key


INDRNN = Cell("IndRNN", "units by themselves", ("h",), ("h",), (Step("h", "hidden state", diagonal("h", before("h"))),))


def test_a_diagonal_has_the_bound_of_its_product() -> None:
    """Alone, p ⊙ h is off by at most the roundings of one product, and by half the last digit of a p that was typed."""
    spec, weights, inputs = drawn(INDRNN, dtype="float16", hidden_size=50)
    p, h = weights[0, "forward"].arrays["p"][0], inputs.h0[0].astype(np.float64)
    formats = Format.of(DTYPES["float16"], np.dtype(np.float64))
    inputs = Inputs(inputs.x[:1], inputs.h0)

    def bound(format: Format, typed: Typed | None = None) -> np.ndarray:
        trace = replay(spec, weights, inputs, dtype=np.dtype(np.float64), rounding=format, typed=typed)
        assert trace.bounds is not None
        return trace.bounds["h"][0]

    exact = p.astype(np.float64) * h
    off = np.abs((p.astype(np.float16) * h.astype(np.float16)).astype(np.float64) - exact)
    share = off / bound(formats)
    assert 0.5 < share.max() <= 1
    half = {key: LayerWeights(p=np.full((1, 50), 0.005)) for key in weights.columns}
    np.testing.assert_allclose(bound(EXACT, Typed(Weights(half))), 0.005 * np.abs(h), rtol=1e-12)


FORMULAS = {
    ("STAR", "s"): (
        "sₜ = tanh((1 - kₜ) ⊙ sₜ₋₁ + kₜ ⊙ zₜ)",
        r"s_t = \tanh\left(\left(1 - k_t\right) \odot s_{t-1} + k_t \odot z_t\right)",
    ),
    ("slow", "m"): (
        "mₜ = fₜ ⊙ mₜ₋₁ + (1 - fₜ) ⊙ cₜ",
        r"m_t = f_t \odot m_{t-1} + \left(1 - f_t\right) \odot c_t",
    ),
    ("MGU", "f"): ("fₜ = σ(W_f xₜ + b_f + U_f hₜ₋₁)", r"f_t = \sigma\left(W_{f} x_t + b_{f} + U_{f} h_{t-1}\right)"),
    ("MGU", "n"): (
        "nₜ = tanh(W_n xₜ + b_n + U_n (fₜ ⊙ hₜ₋₁))",
        r"n_t = \tanh\left(W_{n} x_t + b_{n} + U_{n} \left(f_t \odot h_{t-1}\right)\right)",
    ),
    ("MGU", "h"): (
        "hₜ = (1 - fₜ) ⊙ hₜ₋₁ + fₜ ⊙ nₜ",
        r"h_t = \left(1 - f_t\right) \odot h_{t-1} + f_t \odot n_t",
    ),
    ("peephole", "i"): (
        "iₜ = σ(W_ii xₜ + b_ii + W_hi hₜ₋₁ + b_hi + p_i ⊙ cₜ₋₁)",
        r"i_t = \sigma\left(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi} + p_{i} \odot c_{t-1}\right)",
    ),
    ("peephole", "o"): (
        "oₜ = σ(W_io xₜ + b_io + W_ho hₜ₋₁ + b_ho + p_o ⊙ cₜ)",
        r"o_t = \sigma\left(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho} + p_{o} \odot c_t\right)",
    ),
}


@pytest.mark.parametrize(("name", "symbol"), FORMULAS)
def test_formulas_have_the_declared_names(name: str, symbol: str) -> None:
    """In Unicode and in LaTeX."""
    cell = CELLS[name]
    (step,) = [step for step in cell.steps if step.symbol == symbol]
    assert tuple(formula(step, notation, cell.parameters) for notation in (UNICODE, LATEX)) == FORMULAS[name, symbol]


@pytest.mark.parametrize("name", CELLS)
def test_explain_lists_every_parameter(name: str) -> None:
    """The equations with shapes, and which part of which array is whose: each block, once."""
    spec, weights, _ = drawn(CELLS[name])
    document = equations_report(spec, BY_NAME[TORCH]).document
    assert [entry["name"] for entry in document["parameters"]] == [
        block for block, _ in weights[0, "forward"].by_gate(spec.cell)
    ]


@pytest.mark.parametrize("name", CELLS)
def test_numbers_put_in_give_the_value(name: str) -> None:
    """Every quantity of a unit at a step is the loop's, and its terms add up to what the activation is taken of."""
    spec, weights, inputs = drawn(CELLS[name], num_layers=2, bidirectional=True)
    expected = by_hand(name, spec, weights, inputs)
    places: list[tuple[dict[str, Any], tuple[int, str]]] = [
        ({"layer": 0, "t": 2, "item": 1, "unit": 1}, (0, "forward")),
        ({"layer": 1, "direction": "reverse", "t": 3, "unit": 2}, (1, "reverse")),
    ]
    for place, key in places:
        explained = explain((spec, weights), **place, input=inputs.x, states=named(inputs))
        assert isinstance(explained, ShownExplanation)
        (moment,) = explained.moments
        for derivation in moment.derivations:
            at = moment.position
            value = expected[(*key, derivation.step.symbol)][at.t - 1, at.item, at.unit]
            assert derivation.value == pytest.approx(value, abs=1e-12)
            total = sum(term.contribution for term in derivation.terms)
            assert total == pytest.approx(derivation.value if derivation.pre_activation is None else derivation.pre_activation)


@pytest.mark.parametrize("name", CELLS)
def test_right_outputs_pass_in_every_form_of_report(name: str, tmp_path: Path) -> None:
    """The verdict, and tables that show each parameter, gate, state and output."""
    result = compared(name, tmp_path)
    assert result.comparison.passed
    report = run_report(result, View(parts=frozenset(PARTS)))
    for format in RENDERERS:
        assert render(report, format, Style())
    told = [column.heading for table in report.tables for column in table.columns]
    for block, array in result.weights[0, "forward"].by_gate(result.spec.cell):
        assert (block if array.ndim == 1 else f"{block}[2]") in told
    assert set(result.spec.cell.symbols) <= set(told)


WRONG: dict[str, tuple[str, Callable[[LayerWeights], LayerWeights], str]] = {
    "the candidate's recurrent block": ("MGU", lambda w: nudged(w, "U", 1), "n"),
    "the forget gate's bias": ("MGU", lambda w: nudged(w, "b", 0), "f"),
    "the forget gate's peephole": ("peephole", lambda w: nudged(w, "p", 1), "f"),
    "the slow memory's peephole": ("slow", lambda w: nudged(w, "p", 0), "i"),
    "the gate of the one state": ("STAR", lambda w: nudged(w, "U", 0), "k"),
    "the output gate's peephole": ("peephole", lambda w: nudged(w, "p", 2), "o"),
}


def nudged(weights: LayerWeights, name: str, place: int) -> LayerWeights:
    """One block a little off."""
    array = weights.arrays[name].copy()
    array[place] += 1e-3
    return weights.replaced(**{name: array})


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_gate_fails_at_its_place(fault: str, tmp_path: Path) -> None:
    """At t = 1 in the gate whose weights are wrong."""
    name, change, symbol = WRONG[fault]
    result = compared(name, tmp_path, change)
    assert result.verdict is Verdict.FAIL
    first = result.comparison.first_failure
    assert first is not None
    assert (first.symbol, first.layer, first.direction, first.t) == (symbol, 0, "forward", 1)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("name", CELLS)
def test_a_saved_trace_opens_with_its_cell(name: str, suffix: str, tmp_path: Path) -> None:
    """Declaration, weights, trace and verdict come back, and can be drawn, explained and told."""
    result = compared(name, tmp_path)
    rnntrace.save(result, tmp_path / f"trace{suffix}")
    again = rnntrace.open_trace(tmp_path / f"trace{suffix}")
    assert again.spec == result.spec
    assert again.comparison.passed
    for key, values in result.trace.columns.items():
        np.testing.assert_array_equal(again.trace.columns[key], values)
    np.testing.assert_array_equal(
        again.weights[0, "forward"].arrays["p" if "p" in again.weights[0, "forward"].arrays else "b"].ndim, 2
    )
    for kind in ("heatmap", "histogram", "lines"):
        rnntrace.plot(again, tmp_path / f"{kind}.svg", kind)


@pytest.mark.parametrize("name", CELLS)
def test_terms_are_kept(name: str) -> None:
    """What a gate sees of x and of a state, by the parameters that it has."""
    spec, weights, inputs = drawn(CELLS[name])
    trace = replay(spec, weights, inputs, keep_terms=True)
    W, b = ("W", "b") if name in ("MGU", "STAR") else ("W_ih", "b_ih")
    arrays = weights[0, "forward"].arrays
    for place, gate in enumerate(spec.cell.gates):
        np.testing.assert_allclose(trace[f"{gate}.input"], inputs.x @ arrays[W][place].T + arrays[b][place], atol=1e-13)


def with_gates(order: list[int], p: list[int]) -> Callable[[LayerWeights], LayerWeights]:
    """The blocks in another order, those of a peephole by themselves."""
    return lambda w: LayerWeights(arrays={name: array[p if name == "p" else order] for name, array in w.arrays.items()})


def turned(name: str) -> Callable[[LayerWeights], LayerWeights]:
    return lambda w: w.replaced(**{name: w.arrays[name].swapaxes(1, 2)})


def dropped(name: str) -> Callable[[LayerWeights], LayerWeights]:
    return lambda w: w.replaced(**{name: 0 * w.arrays[name]})


MISTAKES: dict[str, tuple[str, Callable[[LayerWeights], LayerWeights]]] = {
    "mgu.gate-order.nf": ("MGU", with_gates([1, 0], [])),
    "mgu.transpose.U": ("MGU", turned("U")),
    "mgu.transpose.W": ("MGU", turned("W")),
    "mgu.bias.b-dropped": ("MGU", dropped("b")),
    "star.transpose.U": ("STAR", turned("U")),
    "slowlstm.bias.hh-dropped": ("slow", dropped("b_hh")),
    "peepholelstm.gate-order.fico": ("peephole", with_gates([1, 0, 2, 3], [1, 0, 2])),
    "peepholelstm.transpose.W_hh": ("peephole", turned("W_hh")),
    "peepholelstm.transpose.W_ih": ("peephole", turned("W_ih")),
    "peepholelstm.bias.ih-dropped": ("peephole", dropped("b_ih")),
    "peepholelstm.bias.hh-dropped": ("peephole", dropped("b_hh")),
    "peepholelstm.diagonal.p-dropped": ("peephole", dropped("p")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_went_wrong_with_the_weights_is_named(mistake: str, tmp_path: Path) -> None:
    """A gate order exchanged, a matrix transposed, a bias or the peepholes left out: the one explanation is the right one."""
    name, change = MISTAKES[mistake]
    result = compared(name, tmp_path, change)
    assert result.verdict is Verdict.FAIL
    answers = rnntrace.diagnose(result, seconds=60).answers
    assert [found.id for found in answers[0].mistakes] == [mistake]


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False, "input_size": 2}], ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_every_mistake_of_the_catalogue_can_be_made_or_refuses(name: str, options: dict[str, object]) -> None:
    """None of them knows more of a cell than it declares."""
    case = Case.of(*drawn(CELLS[name], **options))
    assert sum(apply(case, [mistake]) is not None for mistake in catalogue(case.cell)) > 40
