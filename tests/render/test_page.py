"""The page as a file: what stands in it before its script runs, how large it is, and what it refuses."""

import re
from pathlib import Path

import pytest
import torch
from commandline import all_in, ask, refused
from parsers import read_page

import rnntrace
from rnntrace.errors import UsageError
from rnntrace.render import page
from rnntrace.report import page as play
from rnntrace.verbs.displayed import DisplayedResult
from rnntrace.verbs.results import Results

ROOT = Path(__file__).parents[2]


@pytest.fixture
def written(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The page of an LSTM with H = 3 and T = 5."""
    assert ask(capsys, "run", "lstm", "-H", "3", "-T", "5", "--seed", "42", "-f", "page", "-o", "page.html").code == 0
    return (folder / "page.html").read_text(encoding="utf-8")


def test_a_small_page_is_small(written: str) -> None:
    """Under 60 kB, script and style included."""
    assert len(written.encode()) < 60_000


def test_the_first_step_stands_as_text(written: str) -> None:
    """Each gate and state of t = 1 with four decimals, torch's below, and x; without any script."""
    result = rnntrace.run("lstm", hidden=3, steps=5, seed=42)
    tables = read_page(written)
    assert tables[0][1][1:] == [f"{value:.4f}" for value in result.inputs.x[0, 0]]
    for unit, row in enumerate(tables[1][1:]):
        mine = [f"{result.trace[symbol][0, 0, unit]:.4f}" for symbol in "ifgoch"]
        theirs = [f"{result.framework_values[0, 'forward', symbol][0, 0, unit]:.4f}" for symbol in "ifgoch"]
        assert row[:3] == [str(unit), "0.0000", "0.0000"]
        assert row[3:] == [mine_ + theirs_ for mine_, theirs_ in zip(mine, theirs, strict=True)]


def test_digits_are_those_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    out = ask(capsys, "run", "rnn", "--seed", "1", "--digits", "6", "-f", "page").out
    result = rnntrace.run("rnn", seed=1)
    assert f">{result.trace['h'][0, 0, 0]:.6f}<" in out


def test_the_policy_names_this_script_and_this_style_alone(written: str) -> None:
    """Nothing else may run or be fetched, and there is one of each."""
    (policy,) = re.findall('Content-Security-Policy" content="([^"]+)"', written)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    (script,) = re.findall('<script type="module">(.*?)</script>', written, re.DOTALL)
    (style,) = re.findall("<style>(.*?)</style>", written, re.DOTALL)
    assert page._hash(script) in policy
    assert page._hash(style) in policy
    assert not re.search(r"style=|onclick=|https?:|url\(|@import", written)


def test_it_opens_at_the_first_failure() -> None:
    """Where the step is, in the text too."""
    torch.manual_seed(1)
    module, x = torch.nn.GRU(3, 2), torch.randn(6, 1, 3)
    expected = module(x)[0].detach().numpy().copy()
    right = float(expected[3, 0, 1])
    expected[3, 0, 1] += 0.5
    found = rnntrace.compare(module.state_dict(), x, expected={"output": expected})
    assert isinstance(found, DisplayedResult)
    assert "<output>4</output>" in found.page()
    assert f"{right:.4f}<small>{right + 0.5:.4f}</small>" in found.page()


@pytest.mark.slow
def test_too_large_a_page_says_what_fits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What it proposes does fit, and one step more does not."""
    monkeypatch.setattr(play, "LARGEST", 100_000)
    arguments = ["run", "lstm", "-H", "8", "-T", "90", "--seed", "1", "-f", "page"]
    line = refused(capsys, *arguments)
    assert all_in(("a page of 0.1 MB is too much", "--time 1:", "--unit 0:"), line)
    for flag, first, last in re.findall(r"--(time|unit) (\d+):(\d+)", line):
        assert ask(capsys, *arguments, f"--{flag}", f"{first}:{last}").code == 0
        assert "too much" in refused(capsys, *arguments, f"--{flag}", f"{first}:{int(last) + 1}")
    monkeypatch.setattr(play, "LARGEST", 50_000)
    assert "too much for a browser, which opens 0 MB: see --format html" in refused(capsys, *arguments)


def test_explain_opens_at_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    """At the step and the quantity that were asked for; without a place there are no numbers to play."""
    arguments = ["explain", "gru", "--seed", "1", "-f", "page"]
    page = ask(capsys, *arguments, "--at", "t=3,unit=1,gate=z").out
    assert "<output>3</output>" in page
    assert '"opens":{"track":0,"symbol":"z","t":3,"item":0,"unit":1}' in page
    assert page == rnntrace.explain("gru", seed=1, t=3, unit=1, gate="z").page()
    assert "there are none here" in refused(capsys, "explain", "gru", "-f", "page")


def test_a_page_needs_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    """t = 0 is no step."""
    assert "t = 0 is the initial state" in refused(capsys, "run", "rnn", "--seed", "1", "-f", "page", "--time", "0")


def test_a_page_in_python(folder: Path) -> None:
    """A notebook gets a frame that reaches nothing around it; the file is the same page."""
    found = rnntrace.run("rnn", seed=1).page(unit=[0])
    found.save("page.html")
    assert (folder / "page.html").read_text(encoding="utf-8") == found
    assert found._repr_html_().startswith('<iframe sandbox="allow-scripts" ')
    with pytest.raises(UsageError, match="from 0 to 17"):
        rnntrace.run("rnn", seed=1).page(digits=18)


def test_several_modules_are_one_page() -> None:
    """One below the other, each with its own controls and numbers."""
    torch.manual_seed(0)
    modules = torch.nn.ModuleDict({"enc": torch.nn.LSTM(3, 2), "dec": torch.nn.GRU(3, 2)})
    results = rnntrace.compare(modules.state_dict(), seed=1)
    assert isinstance(results, Results)
    found = results.page()
    assert re.findall("<h2>(.*?)</h2>", found) == ["enc", "dec"]
    assert found.count('<script type="application/json">') == found.count('class="controls"') == 2


def test_every_script_is_in_the_page() -> None:
    """None lies there unused."""
    folder = ROOT / "rnntrace" / "render" / "page"
    assert {path.name for path in folder.glob("*.js")} == {*page.SCRIPTS}
    assert set(page.OF_GRADIENTS) <= set(page.SCRIPTS)
