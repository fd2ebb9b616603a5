"""Derivations: their numbers are the trace's, their sums give its values, and what is printed can be worked out again."""

import math
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from intervals import Interval, stages, worked_out
from strategies import Problem, examples, problem, problems, specs

import rnntrace
from rnntrace.engine.derivation import Position, Scene
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.cells import CELLS
from rnntrace.equations.notation import LATEX, UNICODE, formula
from rnntrace.model.blocks import Block, biases_a_gate, blocks
from rnntrace.model.conventions import BY_NAME, CONVENTIONS, TORCH, Convention
from rnntrace.model.dtypes import Array
from rnntrace.model.layouts import from_convention
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.report.derivation import Explanation, derivation_report
from rnntrace.report.table import Table
from rnntrace.verbs.explain import explain

ORDERS = {"RNN": "h", "LSTM": "ifgo", "GRU": "rzn"}
"""Order of the gates in torch's documentation."""
SLACK = 1e-12
"""Rounding in float64, of sums of some ten terms around 1."""


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def activations(spec: ModuleSpec) -> dict[str, Callable[[float], float]]:
    """The activation of each gate in torch's documentation; c and h of a gated cell have none outermost."""
    if spec.family == "RNN":
        return {"h": math.tanh if spec.nonlinearity == "tanh" else lambda value: max(value, 0.0)}
    return dict.fromkeys("ifo" if spec.family == "LSTM" else "rz", _sigmoid) | {
        "g" if spec.family == "LSTM" else "n": math.tanh
    }


@st.composite
def places(draw: st.DrawFn) -> tuple[Problem, Position]:
    """A module with weights and inputs, and a place in it that exists."""
    case = draw(problems())
    layer, direction = draw(st.sampled_from(case.spec.layer_directions))
    item = draw(st.integers(0, case.inputs.batch - 1))
    steps = case.inputs.lengths[item] if case.inputs.lengths else case.inputs.steps
    unit = draw(st.integers(0, case.spec.output_size - 1))
    return case, Position(layer, direction, draw(st.integers(1, steps)), item, unit)


def traced(case: Problem) -> Trace:
    return rnntrace.replay(case.spec, case.weights, case.inputs)


def states_before(case: Problem, trace: Trace, place: Position) -> dict[str, Array]:
    """h and c from which this step starts, found by hand."""
    inputs, row = case.inputs, case.spec.layer_directions.index((place.layer, place.direction))
    last = inputs.lengths[place.item] if inputs.lengths else inputs.steps
    t = place.t + 1 if place.direction == REVERSE else place.t - 1
    found = {}
    for state, initial in (("h", inputs.h0), ("c", inputs.c0)):
        if initial is not None:
            whole = trace.columns[place.layer, place.direction, state]
            found[state] = whole[t - 1, place.item] if 1 <= t <= last else initial[row, place.item]
    return found


def input_of(case: Problem, trace: Trace, place: Position) -> Array:
    """What the layer reads, found by hand."""
    if place.layer == 0:
        return case.inputs.x[place.t - 1, place.item]
    below = [trace.columns[place.layer - 1, direction, "h"][place.t - 1, place.item] for direction in case.spec.directions]
    return np.concatenate(below)


@pytest.mark.slow
@examples(150)
@given(places())
def test_terms_add_up_to_what_the_trace_has(found: tuple[Problem, Position]) -> None:
    """Contributions add up to the pre-activation, its activation is the trace's value, and the value is the trace's own."""
    case, place = found
    trace = traced(case)
    scene = Scene.of(trace, case.weights, place)
    activated = activations(case.spec)
    for step in case.spec.cell.steps:
        derived = scene.derive(step)
        assert derived.value == trace.columns[place.layer, place.direction, step.symbol][place.t - 1, place.item, place.unit]
        total = math.fsum(term.contribution for term in derived.terms)
        if step.symbol in activated:
            assert derived.pre_activation == pytest.approx(total, abs=SLACK)
            assert activated[step.symbol](total) == pytest.approx(derived.value, abs=SLACK)
        else:
            assert derived.pre_activation is None
            assert total == pytest.approx(derived.value, abs=SLACK)


@examples(80)
@given(places())
def test_every_product_has_the_numbers_that_its_name_says(found: tuple[Problem, Position]) -> None:
    """`W_if[1,0]·x[0]` is that weight and that input, `b_hf[1]` that bias, `h_prev[0]` the state before."""
    case, place = found
    trace, order = traced(case), ORDERS[case.spec.family]
    weights, before = case.weights[place.layer, place.direction], states_before(case, trace, place)
    values = {"x": input_of(case, trace, place), "h_prev": before["h"]}
    now = {
        symbol: trace.columns[place.layer, place.direction, symbol][place.t - 1, place.item]
        for symbol in trace.spec.cell.symbols
    }
    if case.spec.family == "GRU":
        values["(r ⊙ h_prev)"] = now["r"] * before["h"]
    if case.spec.family == "LSTM":
        values["(o ⊙ tanh(c))"] = now["o"] * np.tanh(now["c"])
    named = 0
    for step in case.spec.cell.steps:
        terms = Scene.of(trace, case.weights, place).derive(step).terms
        if step.symbol in order:
            columns = weights.W_ih.shape[2] + weights.W_hh.shape[2]
            assert len(terms) == columns + (2 if case.spec.bias else 0)
        for term in terms:
            if match := re.fullmatch(r"W_([ih])(\w)\[(\d+),(\d+)\]·(.+)\[(\d+)\]", term.name):
                side, gate, unit, k, vector, other = match.groups()
                assert (int(unit), k) == (place.unit, other)
                if case.spec.proj_size and step.symbol == "h":
                    matrix = weights.W_hr
                else:
                    matrix = (weights.W_ih if side == "i" else weights.W_hh)[order.index(gate)]
                assert matrix is not None
                assert term.weight == matrix[place.unit, int(k)]
                assert term.value == pytest.approx(values[vector][int(k)], abs=1e-15)
                named += 1
            elif match := re.fullmatch(r"b_([ih])(\w)\[(\d+)\]", term.name):
                side, gate, unit = match.groups()
                bias = weights.b_ih if side == "i" else weights.b_hh
                assert bias is not None
                assert (term.weight, term.value, int(unit)) == (bias[order.index(gate), place.unit], 1, place.unit)
                named += 1
    assert named >= len(order) * 2


@pytest.mark.slow
@examples(60)
@given(places(), st.sampled_from([None, 0, 1, 3]), st.sampled_from([2, 4, 9]))
def test_what_is_printed_can_be_worked_out_again(found: tuple[Problem, Position], top: int | None, digits: int) -> None:
    """Every line of a derivation, read as Python with printed numbers for intervals, holds the value at its end."""
    case, place = found
    trace = traced(case)
    scene = Scene.of(trace, case.weights, place)
    derivations = tuple(scene.derive(step, top) for step in case.spec.cell.steps)
    report = derivation_report(Explanation(trace, (scene.moment(derivations),), top), digits)
    for entry, derived in zip(report.document["derivation"], derivations, strict=True):
        lines = stages(entry["text"])
        exact = Interval(derived.value, derived.value)
        for line in lines:
            assert worked_out(line).holds(exact, SLACK), (line, derived.value)
        assert re.fullmatch(r"-?[\d.]+(e-?\d+)?", lines[-1])


def test_a_derivation_worked_out_by_hand() -> None:
    """An RNN of one unit: tanh(0.5·2 + 0.1 + 0.25·(-1) + 0.025) = tanh(0.875)."""
    parameters = '{"weight_ih_l0": [[0.5]], "weight_hh_l0": [[0.25]], "bias_ih_l0": [0.1], "bias_hh_l0": [0.025]}'
    explained = explain(parameters, t=1, input=[[2]], h0=[[-1]])
    assert isinstance(explained, Explanation)
    (line,) = [line for line in derivation_report(explained).formulas[0].lines if line.label == "hidden state"]
    assert line.text.split("\n") == [
        "h₁[0] = tanh(W_ih[0] x₁ + b_ih[0] + W_hh[0] h₀ + b_hh[0])",
        "= tanh(0.5000·2 + 0.1000 + 0.2500·(-1) + 0.0250)",
        "= tanh(1.1000 - 0.2250)",
        "= tanh(0.8750)",
        "= 0.7039",
    ]


@examples(40)
@given(places(), st.integers(1, 4))
def test_the_largest_terms_are_written_out(found: tuple[Problem, Position], top: int) -> None:
    """`top` written products, none of them smaller than one that is left out; the rest is their sum."""
    case, place = found
    scene = Scene.of(traced(case), case.weights, place)
    step = next(step for step in case.spec.cell.steps if step.symbol in ORDERS[case.spec.family])
    derived = scene.derive(step, top)
    sizes = sorted((abs(term.contribution) for term in derived.terms), reverse=True)
    report = derivation_report(Explanation(traced(case), (scene.moment((derived,)),), top))
    assert ("the largest term of each" in report.tables[0].title) == (top == 1)
    shown = [float(value) for value in columns_of(report.tables[0])["product"]]
    factors = [term.factor or 1.0 for term in derived.terms]
    if all(factor == 1.0 for factor in factors):
        assert sorted(map(abs, shown), reverse=True) == sizes[:top]
    left_out = len(derived.terms) - min(top, len(derived.terms))
    counts = [int(count) for count in re.findall(r"\[… (\d+) term", report.document["derivation"][0]["text"])]
    assert sum(counts) == left_out


def columns_of(table: Table) -> dict[str, Array]:
    """The values by heading."""
    return {column.heading: np.asarray(column.values) for column in table.columns}


def test_a_long_sum_keeps_its_ends_unless_all_is_asked_for() -> None:
    """20 units: the middle is one number, and with top 0 every product is there."""
    case = problem(ModuleSpec(kind="RNN", input_size=20, hidden_size=20, dtype="float64"), 2, 1)
    scene = Scene.of(traced(case), case.weights, Position(0, "forward", 2, 0, 7))
    (step,) = case.spec.cell.steps
    elided, whole = scene.derive(step), scene.derive(step, top=0)
    report = [derivation_report(Explanation(traced(case), (scene.moment((found,)),))) for found in (elided, whole)]
    texts = [found.document["derivation"][0]["text"] for found in report]
    assert re.findall(r"… (\d+) terms", texts[0]) == ["17", "17"]
    assert "…" not in texts[1]
    assert stages(texts[1])[0].count("·") == 40
    assert stages(texts[0])[-1] == stages(texts[1])[-1]


def test_a_thousand_terms_are_no_trouble() -> None:
    """Every product of a wide layer can be written out."""
    case = problem(ModuleSpec(kind="GRU", input_size=2000, hidden_size=2, dtype="float64"), 1, 1)
    scene = Scene.of(traced(case), case.weights, Position(0, "forward", 1, 0, 1))
    derived = scene.derive(case.spec.cell.steps[0], top=0)
    text = derivation_report(Explanation(traced(case), (scene.moment((derived,)),), 0), 17).document["derivation"][0]["text"]
    assert worked_out(stages(text)[0]).holds(Interval(derived.value, derived.value), SLACK)


def test_not_a_number_is_shown_as_it_is() -> None:
    """NaN and infinity stand in the derivation, and nothing hangs or fails."""
    case = problem(ModuleSpec(kind="LSTM", input_size=3, hidden_size=2, dtype="float64"), 1, 1)
    case.inputs.x[0, 0] = [np.nan, np.inf, 1]
    scene = Scene.of(traced(case), case.weights, Position(0, "forward", 1, 0, 0))
    derived = tuple(scene.derive(step, 2) for step in case.spec.cell.steps)
    texts = [
        entry["text"]
        for entry in derivation_report(Explanation(traced(case), (scene.moment(derived),), 2)).document["derivation"]
    ]
    assert "·nan" in texts[0]
    assert texts[0].endswith("= nan")
    for text in texts:
        assert len(set(stages(text))) == len(stages(text))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    """Equations and derivations of every cell, short, elided and with large and small numbers, alone in display mathematics."""
    lines = [formula(step, LATEX, cell.parameters) for cell in CELLS for step in cell.steps]
    for sizes, top in (((3, 2), None), ((30, 20), None), ((30, 20), 3), ((12, 9), 0)):
        for options in (
            {"kind": "RNN"},
            {"kind": "LSTM", "proj_size": 1},
            {"kind": "GRU"},
            {"kind": "GRU", "reset_after": False, "bias": False},
        ):
            case = problem(ModuleSpec(input_size=sizes[0], hidden_size=sizes[1], dtype="float64", **options), 12, 1)
            case.inputs.x[:, :, 0] *= 1e-9
            case.inputs.x[:, :, 1] *= 1e9
            scene = Scene.of(traced(case), case.weights, Position(0, "forward", 12, 0, 0))
            derived = tuple(scene.derive(step, top) for step in case.spec.cell.steps)
            report = derivation_report(Explanation(traced(case), (scene.moment(derived),), top))
            lines += [line.latex for line in report.formulas[0].lines]
    body = "\n".join(f"\\[\n{line}\n\\]" for line in lines)
    document = f"\\documentclass{{article}}\\usepackage{{amsmath}}\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_unit_is_named_wherever_a_quantity_is() -> None:
    """The equation of one unit at one step: rows of weights, whole vectors behind them, and single numbers elsewhere."""
    gru = ModuleSpec(kind="GRU", input_size=1, hidden_size=1).cell
    (candidate,) = [step for step in gru.steps if step.symbol == "n"]
    here = UNICODE.at(12, 11, 3)
    assert formula(candidate, here, gru.parameters) == "n₁₂[3] = tanh(W_in[3] x₁₂ + b_in[3] + r₁₂[3]·(W_hn[3] h₁₁ + b_hn[3]))"
    projected = ModuleSpec(kind="LSTM", input_size=1, hidden_size=2, proj_size=1).cell
    assert (
        formula(projected.steps[-1], LATEX.at(2, 1, 0), projected.parameters)
        == r"h_{2}[0] = W_{hr}[0] \left(o_{2} \odot \tanh\left(c_{2}\right)\right)"
    )


# Slices


def put(array: Array, block: Block, value: float) -> None:
    """Fill the block's part of an array."""
    part = slice(block.start, block.stop, block.step)
    array[(slice(None), part) if block.axis == "columns" else part] = value


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("part", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
def test_torch_uses_each_slice_for_its_gate(kind: str, part: str) -> None:
    """One kind of parameter filled slice by slice, the others zero: torch's step is the one that is worked out by hand."""
    numbers = dict(zip(ORDERS[kind], (0.3, -0.7, 1.1, 0.45), strict=False))
    spec = ModuleSpec(kind=kind, input_size=1, hidden_size=2, num_layers=1, bidirectional=True, dtype="float64")
    module = getattr(torch.nn, kind)(1, 2, bidirectional=True, dtype=torch.float64)
    arrays = {name: np.zeros(tuple(array.shape)) for name, array in module.state_dict().items()}
    for block in blocks(spec, BY_NAME[TORCH]):
        if block.parameter.startswith(part):
            sign = -1 if block.direction == REVERSE else 1
            put(arrays[block.parameter], block, sign * numbers[block.gate])
    module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    ones = torch.ones(2, 1, 2, dtype=torch.float64)
    with torch.no_grad():
        output, _ = module(torch.ones(1, 1, 1, dtype=torch.float64), (ones, ones) if kind == "LSTM" else ones)
    for half, sign in ((output[0, 0, :2], 1), (output[0, 0, 2:], -1)):
        # Both units of h before are 1, so a recurrent weight counts twice.
        terms = {gate: sign * number * (2 if part == "weight_hh" else 1) for gate, number in numbers.items()}
        assert half.tolist() == pytest.approx([by_hand(kind, terms, recurrent=part.endswith("hh"))] * 2, abs=SLACK)


def by_hand(kind: str, terms: dict[str, float], *, recurrent: bool) -> float:
    """h after one step from h = c = 1, of what each gate sees; torch's documentation."""
    if kind == "RNN":
        return math.tanh(terms["h"])
    if kind == "LSTM":
        c = _sigmoid(terms["f"]) + _sigmoid(terms["i"]) * math.tanh(terms["g"])
        return _sigmoid(terms["o"]) * math.tanh(c)
    r, z = _sigmoid(terms["r"]), _sigmoid(terms["z"])
    n = math.tanh(terms["n"] * (r if recurrent else 1))
    return (1 - z) * n + z


STACKED = [
    pytest.param(convention, family, id=f"{convention.framework} {family}")
    for convention in CONVENTIONS
    for family in ("LSTM", "GRU", "RNN")
    if convention.order(ModuleSpec(kind=family, input_size=1, hidden_size=1).cell)
    and not (convention.one_array_a_gate or convention.interleaved)
    if convention.transposed is not None
]
"""Those whose gates lie one behind another in arrays of which it is known how they lie."""


@pytest.mark.parametrize(("convention", "family"), STACKED)
def test_slices_are_those_from_which_files_are_read(convention: Convention, family: str) -> None:
    """Arrays filled slice by slice come back gate by gate."""
    spec = ModuleSpec(kind=family, input_size=3, hidden_size=2)
    gates, order = 2 * len(ORDERS[family]), ORDERS[family]
    shapes = {"W_i": (gates, 3), "W_h": (gates, 2), "b_i": (gates,), "b_h": (gates,)}
    arrays = {name: np.zeros(shape[::-1] if convention.transposed else shape) for name, shape in shapes.items()}
    offset = gates if convention.framework == "ONNX" else 0
    for block in blocks(spec, convention):
        if block.name.startswith("b_h"):
            # ONNX has both biases in one array, the recurrent ones behind.
            arrays["b_h"][block.start - offset : block.stop - offset] = order.index(block.gate)
        else:
            put(arrays[block.name[:3]], block, order.index(block.gate))
    one_bias = biases_a_gate(spec, convention) != 2
    read = from_convention(
        convention, spec.cell, arrays["W_i"], arrays["W_h"], arrays["b_i"], None if one_bias else arrays["b_h"]
    )
    known = 4 if biases_a_gate(spec, convention) else 2
    for name, array in [*read.arrays.items()][:known]:
        for place, gate in enumerate(array):
            expected = 0 if one_bias and name == "b_hh" else place
            assert (gate == expected).all(), name


@examples(60)
@given(specs(dtypes=("float32",)))
def test_slices_cover_every_parameter_once(spec: ModuleSpec) -> None:
    """Each entry of each of torch's parameters belongs to one block, whose shape is what its slice has."""
    options = {"num_layers": spec.num_layers, "bidirectional": spec.bidirectional} if not spec.is_cell else {}
    if spec.proj_size:
        options["proj_size"] = spec.proj_size
    module = getattr(torch.nn, spec.kind)(spec.input_size, spec.hidden_size, bias=spec.bias, **options)
    counts = {name: np.zeros(tuple(array.shape)) for name, array in module.state_dict().items()}
    for block in blocks(spec, BY_NAME[TORCH]):
        part = counts[block.parameter][block.start : block.stop : block.step]
        assert part.shape == block.shape
        part += 1
    assert all((array == 1).all() for array in counts.values())


def test_interleaved_gates() -> None:
    """Chainer's gates take every fourth row; see its remark."""
    found = blocks(ModuleSpec(kind="LSTM", input_size=3, hidden_size=2), BY_NAME["Chainer"])
    assert {block.name: block.slice for block in found if block.name.startswith("W_i")} == {
        "W_ig": "[0:8:4]",
        "W_ii": "[1:8:4]",
        "W_if": "[2:8:4]",
        "W_io": "[3:8:4]",
    }


def test_what_is_not_known_of_a_framework_is_not_told() -> None:
    """OpenCV's source tells the order of its gates, and neither its biases nor on which axis they lie."""
    found = list(blocks(ModuleSpec(kind="LSTM", input_size=3, hidden_size=2), BY_NAME["OpenCV"]))
    assert {block.axis for block in found} == {"gates"}
    assert [block.slice for block in found if block.name.startswith("W_i")] == ["0:2", "2:4", "4:6", "6:8"]
    assert not [block for block in found if block.name.startswith("b")]
