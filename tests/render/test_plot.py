"""What a picture shows, in numbers: the panels beside torch's own values and beside numbers worked out by hand."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import rnntrace
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.errors import UsageError
from rnntrace.model.spec import ModuleSpec
from rnntrace.report.plot import KINDS, MAX_PANELS, picture
from rnntrace.report.select import View
from rnntrace.report.table import Panel, Scale
from rnntrace.verbs.compare import compare
from rnntrace.verbs.given.sources import read_sources
from rnntrace.verbs.run import build_and_trace as run

MODULES = {
    "LSTM": {"num_layers": 2, "bidirectional": True, "proj_size": 2},
    "GRU": {"bidirectional": True},
    "RNN": {"nonlinearity": "relu", "batch_first": True},
}


def result_of(kind: str, **signals: object) -> Result:
    """A run of three units on five steps, two items, random initial states."""
    options = MODULES[kind]
    batch_first = bool(options.get("batch_first"))
    c0 = "random" if kind == "LSTM" else "zeros"
    asked = {"steps": 5, "batch": 2, "lengths": (5, 3), **signals}
    sources = read_sources(h0="random", c0=c0, batch_first=batch_first, **asked)
    return run(ModuleSpec(kind=kind, input_size=2, hidden_size=3, **options), sources, JudgeOptions(), seed=3)


def find(panels: tuple[Panel, ...], symbol: str, where: str = "layer 0 · forward · item 0") -> Panel:
    """The one panel of a symbol."""
    (found,) = [panel for panel in panels if (panel.symbol, panel.where) == (symbol, where)]
    return found


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("item", [0, 1])
def test_the_hidden_state_is_what_torch_gives_out(kind: str, item: int) -> None:
    """Each h of the last layer is torch's output at its t and unit, at t = 0 it is h0, and behind the end there is none."""
    result = result_of(kind)
    output = result.observation.outputs["output"]
    spec, length = result.spec, (5, 3)[item]
    last, size = spec.num_layers - 1, spec.output_size
    panels = picture(result, View(items=[item])).panels
    for half, direction in enumerate(spec.directions):
        panel = find(panels, "h", f"layer {last} · {direction} · item {item}")
        assert sorted(panel.x) == list(range(6))
        assert panel.rows == tuple(map(str, range(size)))
        for column, t in enumerate(panel.x):
            found = panel.values[:, column]
            if t > length:
                assert found.mask.all()
            elif t == 0:
                row = last * len(spec.directions) + half
                assert found.tolist() == result.inputs.h0[row, item].tolist()
            else:
                theirs = output[int(t) - 1, item, half * size : (half + 1) * size]
                np.testing.assert_allclose(found.filled(np.nan), theirs, atol=1e-6)


def test_gates_are_those_of_the_equations() -> None:
    """The gates of an LSTM, computed with torch's operators from the weights."""
    torch.manual_seed(0)
    module, x = torch.nn.LSTM(2, 3), torch.randn(4, 1, 2)
    panels = picture(rnntrace.trace(module, x), View()).panels
    h, c = torch.zeros(3), torch.zeros(3)
    with torch.no_grad():
        for t in range(1, 5):
            sums = module.weight_ih_l0 @ x[t - 1, 0] + module.bias_ih_l0 + module.weight_hh_l0 @ h + module.bias_hh_l0
            i, f, g, o = sums.split(3)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            c = f * c + i * g
            h = o * c.tanh()
            for symbol, theirs in {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}.items():
                panel = find(panels, symbol)
                np.testing.assert_allclose(panel.values[:, panel.x.index(t)].filled(np.nan), theirs, atol=1e-6)


def test_one_scale_for_what_has_a_sign() -> None:
    """Gates end at 1; candidates and states at the largest of them all."""
    panels = picture(result_of("LSTM"), View()).panels
    signed = [panel for panel in panels if panel.symbol in "gch"]
    largest = max(abs(value) for panel in signed for value in panel.values.compressed().tolist())
    assert {panel.limit for panel in signed} == {largest}
    assert {panel.limit for panel in panels if panel.symbol in "ifo"} == {1.0}


def test_the_view_selects() -> None:
    """Layers, times, units and items are those that were asked for, in the order of time."""
    view = View(layers=[1], times=[0, 2, 3], units=[1], items=[0, 1])
    panels = picture(result_of("LSTM"), view).panels
    places = [f"layer 1 · {direction} · item {item}" for direction in ("forward", "reverse") for item in (0, 1)]
    assert list(dict.fromkeys(panel.where for panel in panels)) == places
    assert {(panel.x, panel.rows) for panel in panels if "forward" in panel.where} == {((0, 2, 3), ("1",))}
    assert {(panel.x, panel.rows) for panel in panels if "reverse" in panel.where} == {((2, 3, 0), ("1",))}


def test_a_projection_has_no_panel_for_a_unit_it_lacks() -> None:
    """Unit 2 is in the gates and the cell state, and not in a hidden state of two."""
    panels = picture(result_of("LSTM"), View(layers=[1], units=[2])).panels
    assert {panel.symbol for panel in panels} == set("ifgoc")


def test_a_histogram_counts_every_value_once() -> None:
    """Each bar is what a loop counts between its edges, and together they are all values."""
    result = result_of("GRU")
    for bars, panel in zip(picture(result, View(), "histogram").panels, picture(result, View()).panels, strict=True):
        values, edges = panel.values.compressed(), bars.x
        assert len(edges) == bars.values.shape[1] + 1
        counts = [sum(low <= v < high for v in values) for low, high in pairwise(edges)]
        counts[-1] += sum(v == edges[-1] for v in values)
        assert bars.values[0].tolist() == counts
        assert sum(counts) == len(values)


def test_saturation_by_hand() -> None:
    """σ(±3) is beyond 0.9 and 0.1, σ(2) = 0.88 and σ(0) are not: of four units two are open and one is shut."""
    module = torch.nn.GRU(1, 4)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module.bias_ih_l0[:8] = torch.tensor([3.0, -3.0, 0.0, 3.0, 2.0, 2.0, -2.0, -3.0])
    assert 1 / (1 + math.exp(-3)) > 0.9 > 1 / (1 + math.exp(-2))
    panels = picture(rnntrace.trace(module, torch.zeros(3, 1, 1)), View(), "saturation").panels
    assert [panel.symbol for panel in panels] == ["r", "z"]
    assert all(panel.x == (1, 2, 3) and panel.rows == ("above 0.9", "below 0.1") for panel in panels)
    assert panels[0].values.tolist() == [[0.5] * 3, [0.25] * 3]
    assert panels[1].values.tolist() == [[0.0] * 3, [0.25] * 3]


@pytest.mark.parametrize(("direction", "start", "bad"), [("forward", 3, {3, 4, 5}), ("reverse", 4, {4, 2})])
def test_a_difference_shows_where_an_error_starts(direction: str, start: int, bad: set[int], folder: Path) -> None:
    """A hundredth planted in the output stands at its steps, is marked there, and the words name the first in time's order."""
    torch.manual_seed(1)
    module, x = torch.nn.GRU(2, 3, bidirectional=True), torch.randn(5, 1, 2)
    with torch.no_grad():
        output = module(x)[0].numpy()
    half = 0 if direction == "forward" else 3
    for t in bad:
        output[t - 1, 0, half + 1] += 0.01
    torch.save(module.state_dict(), "w.pt")
    np.savez("e.npz", output=output)
    np.save("x.npy", x.numpy())
    compared = compare("w.pt", "x.npy", expected="e.npz")
    assert isinstance(compared, Result)
    panels = picture(compared, View(), "difference").panels
    panel = find(panels, "h", f"layer 0 · {direction} · item 0")
    assert panel.scale is Scale.DIFFERENCE
    assert sorted(panel.x) == [1, 2, 3, 4, 5]
    for column, t in enumerate(panel.x):
        planted = 0.01 if t in bad else 0.0
        assert panel.values[0, column] == pytest.approx(planted, abs=1e-6)
        assert panel.flagged is not None
        assert bool(panel.flagged[0, column]) is (t in bad)
    assert panel.note == f"out of tolerance from t={start}"
    other = find(panels, "h", f"layer 0 · {'reverse' if half == 0 else 'forward'} · item 0")
    assert other.flagged is not None
    assert not other.flagged.any()
    gate = find(panels, "r", f"layer 0 · {direction} · item 0")
    assert gate.values.mask.all()
    assert "not known" in gate.note


def test_no_difference_is_said() -> None:
    """A trace beside itself: every |Δ| is zero, and the words say so."""
    result = result_of("GRU")
    same = replace(result.observation, captured=result.trace.columns, hidden={})
    out = {key: np.zeros(values.shape, bool) for key, values in result.trace.columns.items()}
    twice = replace(result, observation=same, comparison=replace(result.comparison, out_of_tolerance=out))
    for panel in picture(twice, View(), "difference").panels:
        assert panel.values.compressed().tolist() == [0.0] * 5
        assert panel.note == "no difference at any step"


def test_what_is_not_finite_is_counted() -> None:
    """NaN in x at the second of three steps: two steps of three units each are NaN, and no histogram counts them."""
    sources = read_sources(input="[[1, 1], [NaN, 1], [1, 1]]")
    result = run(ModuleSpec(kind="RNN", input_size=2, hidden_size=3), sources, JudgeOptions(), seed=1)
    (panel,) = picture(result, View()).panels
    assert panel.note == "6 NaN or infinite"
    assert math.isfinite(panel.limit)
    (bars,) = picture(result, View(), "histogram").panels
    assert bars.values.sum() == 6
    (apart,) = picture(result, View(), "difference").panels
    assert np.ma.getmaskarray(apart.values)[0].tolist() == [False, True, True]


def test_the_title_names_module_signals_item_and_verdict() -> None:
    """What a picture is of stands above it."""
    result = result_of("LSTM")
    words = " · ".join(part for line in picture(result, View(items=[1]), "lines").title for part in line)
    for word in ("LSTM(2, 3, proj_size=2)", "T=5, B=2", "lengths 5,3", "lines", "item 1", str(result.verdict)):
        assert word in words


def test_what_cannot_be_drawn_is_refused() -> None:
    """An unknown kind, the gates of a cell without gates, and more panels than can be read."""
    result = result_of("RNN")
    with pytest.raises(UsageError, match="choose one of heatmap"):
        picture(result, View(), "pie")
    with pytest.raises(UsageError, match="RNN has none"):
        picture(result, View(), "saturation")
    spec = ModuleSpec(kind="LSTM", input_size=1, hidden_size=1, num_layers=9)
    deep = run(spec, read_sources(), JudgeOptions(), seed=1)
    with pytest.raises(UsageError, match="have 54: choose fewer with `layer`"):
        picture(deep, View())
    assert len(picture(deep, View(), paged=True).panels) == 54
    assert len(picture(deep, View(layers=range(8))).panels) == MAX_PANELS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_panel_for_each_layer_and_direction(kind: str) -> None:
    """The places of the panels are the module's."""
    result = result_of("LSTM")
    places = {panel.where for panel in picture(result, View(), kind).panels}
    assert places == {f"layer {layer} · {direction} · item 0" for layer, direction in result.spec.layer_directions}
