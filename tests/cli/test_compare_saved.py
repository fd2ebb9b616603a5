"""`compare --save` keeps both sides, and says the same when it is opened; `--plot` marks what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rnntrace.cli.app import exit_code
from rnntrace.report.plot import picture
from rnntrace.report.select import View
from rnntrace.verbs.compare import compare

T, H = 6, 3


@pytest.fixture(autouse=True)
def files() -> np.ndarray:
    """m.pt, other.pt with one weight changed, x.npy, right.npy, and wrong.npy, wrong from t = 4 on in unit 1."""
    torch.manual_seed(3)
    gru = torch.nn.GRU(2, H)
    torch.save(gru.state_dict(), "m.pt")
    x = torch.randn(T, 1, 2)
    right: np.ndarray = gru(x)[0].detach().numpy()
    wrong = right.copy()
    wrong[3:, 0, 1] += 0.25
    np.save("x.npy", x.numpy())
    np.save("right.npy", right)
    np.save("wrong.npy", wrong)
    changed = gru.state_dict() | {"weight_ih_l0": gru.weight_ih_l0.detach().clone()}
    changed["weight_ih_l0"][0, 0] += 0.5
    torch.save(changed, "other.pt")
    return right


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("--input x.npy --expected wrong.npy", 1),
        ("--input x.npy --expected right.npy", 0),
        ("other.pt --input x.npy", 1),
        ("m.pt --input x.npy", 0),
        ("--input x.npy", 0),
    ],
)
def test_what_is_saved_says_the_same(given: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The trace holds the replay of the first and the values of the other side, and where they part."""
    assert exit_code(["compare", "m.pt", *given.split(), "--save", "t.npz", "-f", "json"]) == code
    first = json.loads(capsys.readouterr().out)
    assert exit_code(["show", "t.npz", "-f", "json"]) == code
    again = json.loads(capsys.readouterr().out)
    for key in ("verdict", "first_failure", "expected"):
        assert again[key] == first[key]
    assert [one["max_abs"] for one in again["differences"]] == [one["max_abs"] for one in first["differences"]]


def test_what_a_trace_does_not_keep_is_not_saved(files: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    """Typed digits are not there when a trace is opened: a file that would say something else is not written."""
    Path("typed.json").write_text(json.dumps(np.round(files, 4).tolist()))
    assert exit_code(["compare", "m.pt", "--input", "x.npy", "--expected", "typed.json", "-q"]) == 0
    capsys.readouterr()
    assert exit_code(["compare", "m.pt", "--input", "x.npy", "--expected", "typed.json", "--save", "t.npz"]) == 2
    assert "PASS (rounded)" in capsys.readouterr().err
    assert not Path("t.npz").exists()


def test_what_is_wrong_is_marked_in_the_picture() -> None:
    """Three crosses, at t = 4 to 6 of unit 1 of h; none in a PASS."""
    failed = compare("m.pt", "x.npy", expected="wrong.npy")
    panels = {panel.symbol: panel for panel in picture(failed, View()).panels}
    flagged = panels["h"].flagged
    assert flagged is not None
    assert [*zip(*np.nonzero(flagged), strict=True)] == [(1, 4), (1, 5), (1, 6)]
    assert panels["h"].note == f"3 of {H * (T + 1)} out of tolerance"
    assert all(panel.flagged is None for symbol, panel in panels.items() if symbol != "h")
    passed = compare("m.pt", "x.npy", expected="right.npy")
    assert all(panel.flagged is None and not panel.note for panel in picture(passed, View()).panels)


@pytest.mark.slow
def test_a_fail_does_not_look_like_a_pass() -> None:
    """The pictures of the same replay differ, in every kind that shows steps."""
    pytest.importorskip("matplotlib")
    for kind in ("heatmap", "lines", "difference"):
        pictures = []
        for expected, code in (("wrong.npy", 1), ("right.npy", 0)):
            flags = ("--plot", "p.svg", "--plot-kind", kind, "-q")
            assert exit_code(["compare", "m.pt", "--input", "x.npy", "--expected", expected, *flags]) == code
            pictures.append(Path("p.svg").read_text())
        assert ["out of tolerance" in found for found in pictures] == [True, False]
