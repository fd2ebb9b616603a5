"""Pictures as files: they open, say what they show, are the same every time, and are whole or not there."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from commandline import ask, refused
from PIL import Image

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.model.spec import ModuleSpec
from rnntrace.render.plot import sheet
from rnntrace.report.plot import KINDS, picture
from rnntrace.report.select import View
from rnntrace.verbs.given.sources import read_sources
from rnntrace.verbs.open_trace import open_trace
from rnntrace.verbs.plot import drawn
from rnntrace.verbs.run import build_and_trace as run

LSTM = ("run", "lstm", "--seed", "1")
BARS = {"heatmap": 2}
"""Kinds with bars of colour beside their panels, when there are few units: one for gates, one for what has a sign."""


@pytest.fixture
def trace(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A saved trace of a bidirectional GRU, packed."""
    flags = ("-b", "-T", "5", "-B", "2", "--lengths", "5,3", "--save", "t.npz", "--quiet")
    assert ask(capsys, "run", "gru", "--seed", "1", *flags).code == 0
    return Path("t.npz")


def words(path: Path) -> list[str]:
    """Every text of an SVG."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


def pages(path: Path) -> int:
    """Pages of a PDF."""
    content = path.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    return len(re.findall(rb"/Type\s*/Page\b", content))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_every_format(kind: str, trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A PNG of a readable size that is not blank, an SVG with its labels as text, a PDF of one page."""
    for name in ("p.png", "p.svg", "p.pdf"):
        answer = ask(capsys, "plot", trace, "-o", name, "--kind", kind)
        assert (answer.code, answer.err) == (0, "")
        assert f"{kind}: {name}" in answer.out
    with Image.open("p.png") as image:
        image.load()
        assert image.format == "PNG"
        assert min(image.size) > 400
        assert len(image.convert("RGB").getcolors(2**24)) > 9
    found = words(Path("p.svg"))
    text = "\n".join(found)
    for label in ("GRU(3, 2)", "bidirectional", "T=5, B=2", "lengths 5,3", f"{kind} · item 0", "PASS"):
        assert label in text
    for label in ("layer 0 · forward · item 0", "layer 0 · reverse · item 0", "z · update gate"):
        assert label in found
    assert pages(Path("p.pdf")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_there_is_an_axis_for_each_panel(kind: str, trace: Path) -> None:
    """As many axes as panels, and the bars."""
    shown = picture(open_trace(trace), View(), kind)
    assert len(shown.panels) == (4 if kind == "saturation" else 8)
    assert len(sheet(shown, shown.panels).axes) == len(shown.panels) + BARS.get(kind, 0)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_bytes_whatever_the_settings(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the same file, on a machine with settings of its own as well, and those are left as they were."""
    spec = ModuleSpec(kind="RNN", input_size=1, hidden_size=2)
    result, target = run(spec, read_sources(), JudgeOptions(), seed=1), Path(f"p{suffix}")
    first = drawn(result, target)
    for name, value in {"font.size": 20.0, "svg.fonttype": "path", "image.cmap": "gray", "savefig.dpi": 30}.items():
        monkeypatch.setitem(matplotlib.rcParams, name, value)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    assert drawn(result, target) == first
    assert matplotlib.rcParams["font.size"] == 20.0
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_the_colours_are_the_numbers(trace: Path) -> None:
    """The image of each heatmap holds the panel's values on its own scale."""
    shown = picture(open_trace(trace), View())
    for ax, panel in zip(sheet(shown, shown.panels).axes, shown.panels, strict=False):
        (image,) = ax.images
        drawn_values = np.ma.asarray(image.get_array())
        assert drawn_values.tolist() == panel.values.tolist()
        assert image.get_clim() == (0.0 if panel.symbol in "rz" else -panel.limit, panel.limit)


def test_ticks_are_whole_units_and_steps() -> None:
    """One unit and one step have one tick each, with a label."""
    spec = ModuleSpec(kind="GRU", input_size=1, hidden_size=1)
    shown = picture(run(spec, read_sources(steps=1), JudgeOptions(), seed=1), View(times=[1]))
    figure = sheet(shown, shown.panels)
    figure.canvas.draw()
    for axis in (axis for ax in figure.axes[:4] for axis in (ax.xaxis, ax.yaxis)):
        inside = [
            label.get_text() for label, at in zip(axis.get_ticklabels(), axis.get_majorticklocs(), strict=True) if at == 0
        ]
        assert inside == ["1" if axis.axis_name == "x" else "0"]
        assert all(float(at).is_integer() for at in axis.get_majorticklocs())


@pytest.mark.slow
def test_a_long_stack_has_pages(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """49 panels: a second page in a PDF, and one line for a PNG."""
    flags = ("run", "rnn", "-l", "49", "-T", "1", "--seed", "1", "--quiet")
    line = refused(capsys, *flags, "--plot", "p.png", "--save", "t.npz", "-o", "out.txt")
    assert "48" in line
    assert "--layer" in line
    assert ask(capsys, *flags, "--plot", "p.pdf").code == 0
    assert pages(Path("p.pdf")) == 2


@pytest.mark.slow
def test_run_draws_what_the_view_selects(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--plot` beside `--save` and `--output`; the view holds for the picture too."""
    flags = ("-l", "2", "-B", "2", "--item", "1", "--layer", "1", "--plot", "p.svg", "--save", "t.npz", "-o", "out.txt")
    answer = ask(capsys, *LSTM, *flags)
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert sorted(path.name for path in Path().iterdir()) == ["out.txt", "p.svg", "t.npz"]
    found = words(Path("p.svg"))
    assert "layer 1 · forward · item 1" in found
    assert not [label for label in found if label.startswith("layer 0") or label.endswith("item 0")]


@pytest.mark.slow
def test_compare_draws_one_module(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of one module is drawn, of two only with the name of one."""
    model = torch.nn.ModuleDict({"small": torch.nn.RNN(2, 2), "large": torch.nn.GRU(2, 3)})
    torch.save(model.state_dict(), "w.pt")
    flags = ("compare", "w.pt", "--seed", "1", "--quiet", "--plot", "p.svg")
    assert "--module" in refused(capsys, *flags, "-o", "out.txt")
    assert ask(capsys, *flags, "--module", "large").code == 0
    found = words(Path("p.svg"))
    assert "z · update gate" in found
    assert "GRU(2, 3)" in "\n".join(found)
    assert ".png, .svg, .pdf" in refused(capsys, "compare", "no-such-file", "--plot", "p.txt")


@pytest.mark.slow
def test_a_failing_trace_is_drawn_and_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is the verdict's, and the picture marks what is out of tolerance."""
    flags = ("--dtype", "float16", "--tolerance", "exact", "--save", "t.npz", "--quiet")
    assert ask(capsys, *LSTM, *flags).code == 1
    answer = ask(capsys, "plot", "t.npz", "-o", "p.svg", "--kind", "difference", "--quiet")
    assert (answer.code, answer.out[:4]) == (1, "FAIL")
    found = words(Path("p.svg"))
    assert "out of tolerance" in found
    assert "FAIL" in "\n".join(found)
    assert "out of tolerance from t=" in "\n".join(found)


@pytest.mark.slow
def test_zero_and_infinity_have_lines_of_their_own(trace: Path) -> None:
    """On a logarithmic axis neither has a place: the lowest line is 0, and the highest is infinity where there is one."""
    result = open_trace(trace)
    (key, theirs), *others = result.framework_values.items()
    broken = theirs.copy()
    broken[1, 0, 0] = np.inf
    values = {key: broken, **dict(others)}
    seen = replace(result.observation, captured=values, hidden=values)
    for given, expected in ((result, False), (replace(result, observation=seen), True)):
        shown = picture(given, View(), "difference")
        figure = sheet(shown, shown.panels)
        figure.canvas.draw()
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert ("∞" in labels) is expected
        assert "0" in labels
    low, high = figure.axes[0].get_ylim()
    drawn_values = figure.axes[0].lines[0].get_ydata()
    assert all(low < value < high for value in drawn_values)
    assert drawn_values[1] == max(drawn_values)


@pytest.mark.slow
def test_no_formula_is_read_from_a_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file name with dollars, angle brackets and Chinese letters is a name."""
    name = "a$_{x}$<b>&汉.npy"
    np.save(name, np.ones((3, 2), np.float32))
    for suffix in ("png", "svg", "pdf"):
        assert ask(capsys, *LSTM, "--input-size", "2", "--input", name, "--plot", f"p.{suffix}", "--quiet").code == 0
    assert name in "\n".join(words(Path("p.svg")))


@pytest.mark.parametrize("name", ["p.gif", "p", "p.png.txt", "", "p.PNG.npz"])
def test_another_suffix_is_refused_before_anything_is_computed(
    name: str, trace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names the suffixes there are."""
    monkeypatch.setattr("rnntrace.verbs.run.run", pytest.fail)
    monkeypatch.setattr("rnntrace.verbs.open_trace.open_trace", pytest.fail)
    for command in ((*LSTM, "--plot", name), ("plot", trace, "-o", name)):
        assert ".png, .svg, .pdf" in refused(capsys, *command)


def test_without_matplotlib_one_line_says_how_to_get_it(
    trace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is named before anything is computed."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "rnntrace.render.plot")
    monkeypatch.setattr("rnntrace.verbs.run.run", pytest.fail)
    for command in ((*LSTM, "--plot", "p.png"), ("plot", trace, "-o", "p.png")):
        assert "pip install 'rnntrace[plot]'" in refused(capsys, *command)


@pytest.mark.slow
def test_a_saved_trace_is_drawn_without_torch(trace: Path) -> None:
    """Neither torch nor the windows of matplotlib are loaded."""
    code = (
        "import sys; from rnntrace.cli.app import exit_code; code = exit_code(sys.argv[1:])\n"
        "print([name for name in ('matplotlib', 'matplotlib.pyplot', 'torch') if name in sys.modules], code, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "plot", str(trace), "-o", "p.png", "--layer", "0", "--quiet"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert finished.stderr.splitlines()[-1:] == ["['matplotlib'] 0"], finished.stderr


@pytest.mark.slow
def test_a_folder_that_is_not_there(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file of the command is left behind."""
    assert "nowhere" in refused(capsys, *LSTM, "--plot", "nowhere/p.png", "--save", "s.npz", "-o", "out.txt")
    assert "nowhere" in refused(capsys, "plot", trace, "-o", "nowhere/p.png")


@pytest.mark.slow
def test_what_cannot_be_drawn_is_one_line(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Places that do not exist, files that hold no trace, two files of one name."""
    assert "--item 2" in refused(capsys, "plot", trace, "-o", "p.png", "--item", "2")
    assert "--layer 1" in refused(capsys, "plot", trace, "-o", "p.png", "--layer", "1")
    np.save("x.npy", np.ones(3))
    assert "no trace" in refused(capsys, "plot", "x.npy", "-o", "p.png")
    assert "both name p.png" in refused(capsys, *LSTM, "--plot", "p.png", "-o", "p.png")
