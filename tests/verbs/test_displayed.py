"""Results and traces as a notebook shows them, and how a trace is asked for an array."""

import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import rnntrace
from rnntrace.engine.judge.result import Result
from rnntrace.verbs.displayed import MAX_ROWS, MAX_TABLES

VOID = {"meta", "br", "hr", "img", "col", "input", "link"}


class Page(HTMLParser):
    """What a browser would find: the tags, whether they close, and the text of every table's cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Count it, and remember that it is open."""
        self.tags[tag] += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """What closes is what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Words, but those of the style sheet."""
        if "style" not in self.open:
            self.text.append(data)


def page(result: Result) -> tuple[Page, str]:
    """The page that a notebook shows, and all its words."""
    html = result._repr_html_()
    found = Page(html)
    assert found.open == []
    return found, " ".join(" ".join(found.text).split())


def traced(batch: int = 2, steps: int = 4, **options: object) -> Result:
    torch.manual_seed(0)
    return rnntrace.trace(nn.LSTM(3, 2, **options), torch.randn(steps, batch, 3))


def test_a_result_shows_what_the_command_prints(tmp_path: Path) -> None:
    """Every gate and state to four digits, the module and the verdict are on the page; saved and opened again too."""
    result = traced()
    _, words = page(result)
    assert "LSTM(3, 2)" in words
    assert "PASS" in words
    for column in result.trace:
        for value in result.trace.columns[column].ravel():
            assert f"{value:.4f}" in words
    rnntrace.save(result, tmp_path / "trace.npz")
    assert page(rnntrace.open_trace(tmp_path / "trace.npz"))[1] == words


def test_warnings_are_on_the_page() -> None:
    """What the command says on stderr stands on the page."""
    assert "dropout 0.5 acts between layers in training alone" in page(traced(num_layers=2, dropout=0.5))[1]


def test_a_watched_result_names_its_call() -> None:
    """The page of a call inside a model says which module it was; a name with angle brackets is text."""
    model = nn.ModuleDict({"<b>": nn.GRU(3, 2)})
    with rnntrace.watch(model) as traces:
        model["<b>"](torch.randn(4, 1, 3))
    found, words = page(traces[0])
    assert "<b>, call 0" in words
    assert found.tags["b"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_long_trace_is_shown_in_part(bidirectional: bool) -> None:
    """A page stays small however long, wide and deep the trace is, and says what it shows of how much."""
    result = traced(batch=50, steps=500, num_layers=9, bidirectional=bidirectional)
    found, words = page(result)
    assert found.tags["table"] <= 2 * MAX_TABLES
    assert found.tags["tr"] <= 2 * MAX_TABLES * (MAX_ROWS + 5)
    assert "9 layers and 50 items are in .trace" in words
    assert len(result._repr_html_()) < 100_000


def test_the_part_that_is_shown_is_where_it_fails() -> None:
    """Of a long trace that fails, the layer and the item of the first failure are shown."""
    torch.manual_seed(0)
    module = nn.RNN(3, 2)

    def spoil(module: nn.Module, args: object, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        output[0][2, 5] += 1

    module.register_forward_hook(spoil)
    with torch.no_grad(), rnntrace.watch(module) as traces:
        module(torch.randn(4, 9, 3))
    found, words = page(traces[0])
    assert "FAIL" in words
    assert "shown: layer 0 and item 5" in words
    assert found.tags["table"] == 1


EQUATIONS = {
    nn.RNN: [r"h_t = \tanh\left(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh}\right)"],
    nn.GRU: [
        r"r_t = \sigma\left(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}\right)",
        r"z_t = \sigma\left(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}\right)",
        r"n_t = \tanh\left(W_{in} x_t + b_{in} + r_t \odot \left(W_{hn} h_{t-1} + b_{hn}\right)\right)",
        r"h_t = \left(1 - z_t\right) \odot n_t + z_t \odot h_{t-1}",
    ],
}
"""As torch's documentation has them."""


@pytest.mark.parametrize("kind", EQUATIONS)
def test_the_equations_are_those_of_torchs_documentation(kind: type[nn.Module]) -> None:
    """LaTeX that a notebook typesets: one equation for each gate and state, aligned, with the name of what it gives."""
    first, opening, *lines, ending, last = rnntrace.trace(kind(3, 2), torch.randn(4, 3))._repr_latex_().splitlines()
    assert (first, opening, ending, last) == ("$$", r"\begin{aligned}", r"\end{aligned}", "$$")
    assert [line.partition(" && ")[0].replace(" & ", " ") for line in lines] == EQUATIONS[kind]
    assert r"\text{hidden state}" in lines[-1]


@pytest.mark.slow
def test_opening_and_showing_a_trace_loads_no_torch(tmp_path: Path) -> None:
    """A saved trace is shown without the framework."""
    rnntrace.save(traced(), tmp_path / "trace.npz")
    script = (
        "import sys, rnntrace\n"
        f"rnntrace.open_trace({str(tmp_path / 'trace.npz')!r})._repr_html_()\n"
        "assert not {'torch', 'rich', 'typer'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_text_forms() -> None:
    """What stands in a terminal: verdict and module; module, size and symbols."""
    result = traced(num_layers=2)
    assert repr(result) == "<Result PASS: LSTM(3, 2, num_layers=2), T=4, B=2>"
    assert repr(result.trace) == "<Trace of LSTM(3, 2, num_layers=2), T=4, B=2: i, f, g, o, c, h>"


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_layer_and_direction_may_be_left_out_where_there_is_one(num_layers: int, bidirectional: bool) -> None:
    """A short key is the full one where nothing else is meant, and otherwise says what there is."""
    trace = traced(num_layers=num_layers, bidirectional=bidirectional).trace
    for layer, direction, symbol in trace:
        array = trace[symbol, layer, direction]
        assert array is trace.columns[layer, direction, symbol]
        for short, alone in (((symbol, layer), not bidirectional), (symbol, not bidirectional and num_layers == 1)):
            if alone:
                assert trace[short] is array
            else:
                with pytest.raises(KeyError, match=f"layer from 0 to {num_layers - 1} and a direction"):
                    trace[short]


@pytest.mark.parametrize("key", ["q", ("q", 0), ("f", 1), ("f", -1), ("f", 0, "reverse"), ("f", 0, "up")])
def test_what_is_not_in_a_trace(key: object) -> None:
    """A key of nothing says what there is."""
    with pytest.raises(KeyError, match=r"i, f, g, o, c, h|layer from 0 to 0 and a direction, forward"):
        traced().trace[key]


def test_terms_are_asked_for_in_the_same_way() -> None:
    """The affine terms add up to what the gate's activation takes."""
    torch.manual_seed(0)
    trace = rnntrace.trace(nn.LSTM(3, 2), torch.randn(4, 3), terms=True).trace
    total = trace["f.input"] + trace["f.recurrent", 0, "forward"]
    np.testing.assert_allclose(trace["f"], 1 / (1 + np.exp(-total)), rtol=1e-6)
