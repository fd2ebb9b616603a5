"""Pictures of gradients: every unit and step, norms below, and what is wrong marked where it stands."""

from pathlib import Path

import numpy as np
import pytest
from commandline import ask, refused

import rnntrace
from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.report.plot_gradients import gradient_picture
from rnntrace.report.select import View
from rnntrace.report.table import Scale

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(scope="module")
def result() -> BackwardResult:
    """Of a stack of two directions, on sequences of two lengths."""
    return rnntrace.backward("lstm", layers=2, bidirectional=True, hidden=3, batch=2, lengths=[5, 3], steps=5, seed=1)


def test_every_gradient_is_drawn(result: BackwardResult) -> None:
    """As it is, (units, t), masked where there is no step; and the norms of the states."""
    picture = gradient_picture(result, View(layers=[1], items=[1], units=[0, 2]))
    panels = {(panel.where, panel.symbol): panel for panel in picture.panels}
    panel = panels["layer 1 · reverse · item 1", "∂f"]
    assert panel.role == "forget gate"
    assert panel.x == (1, 2, 3, 4, 5)
    expected = result.gradients.columns[1, "reverse", "∂f"][:3, 1][:, [0, 2]].T
    np.testing.assert_array_equal(panel.values[:, :3].filled(np.nan), expected)
    assert np.ma.getmaskarray(panel.values)[:, 3:].all()
    norm = panels["layer 1 · forward", "‖∂c‖"]
    np.testing.assert_array_equal(norm.values[0], result.gradients.norms("c", 1, "forward"))
    assert norm.scale is Scale.DIFFERENCE
    assert {symbol for _, symbol in panels} == {*("∂i", "∂f", "∂g", "∂o", "∂c", "∂h"), "‖∂h‖", "‖∂c‖"}


def test_what_is_wrong_is_marked() -> None:
    """A FAIL looks like one: in the panels and in the title."""
    result = rnntrace.backward("rnn", seed=1, mistake="rnn.flow.untransposed")
    picture = gradient_picture(result, View())
    (panel,) = [panel for panel in picture.panels if panel.symbol == "∂h"]
    assert picture.title[-1][0] == "FAIL"
    assert panel.flagged is not None
    assert "out of tolerance" in panel.note
    np.testing.assert_array_equal(panel.flagged, result.comparison.out_of_tolerance[0, "forward", "∂h"][:, 0].T)


@pytest.mark.slow
def test_a_picture_is_written(result: BackwardResult, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command and in Python; too many panels are for a .pdf, and kinds that gradients lack are refused."""
    answer = ask(capsys, "backward", "gru", "--seed", "1", "-q", "--plot", "g.svg")
    assert answer.code == 0
    drawn = Path("g.svg").read_text(encoding="utf-8")
    assert all(word in drawn for word in ("∂r", "∂h", "‖∂h‖", "PASS"))
    assert rnntrace.plot(result, layer=0, item=0).suffix == ".svg"
    assert "another suffix" in refused(capsys, "backward", "gru", "--plot", "g.txt")
    with pytest.raises(rnntrace.RnnTraceError, match="not as lines"):
        rnntrace.plot(result, kind="lines")
    with pytest.raises(rnntrace.RnnTraceError, match="a sheet holds 48 panels"):
        rnntrace.plot(rnntrace.backward("lstm", layers=4, bidirectional=True, seed=1))
