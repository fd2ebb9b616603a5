"""The notebook docs/tour.ipynb runs from top to bottom, and its cells show what its words say."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import rnntrace
from rnntrace.engine.judge.result import Result
from rnntrace.verbs.derived import ShownExplanation
from rnntrace.verbs.plot import Drawing

PATH = Path(__file__).parents[2] / "docs" / "tour.ipynb"
NOTEBOOK: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))


def test_it_is_a_notebook() -> None:
    """Of nbformat 4.5: cells with ids of their own, code without outputs, which nobody keeps up to date."""
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    cells = NOTEBOOK["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | (
            {"outputs", "execution_count"} if cell["cell_type"] == "code" else set()
        )
        assert (cell.get("outputs", []), cell.get("execution_count")) == ([], None)


@pytest.mark.slow
def test_it_runs_and_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell in order, in one namespace; what stands last in a cell is what the notebook shows."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown: list[Any] = []
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            shown.append(_run("".join(cell["source"]), names))
    assert all(value is not None for value in shown)
    kinds = [type(value).__name__ for value in shown]
    assert isinstance(shown[0], Result)
    assert isinstance(shown[1], ShownExplanation)
    drawings = [value for value in shown if isinstance(value, Drawing)]
    assert len(drawings) == 2, kinds
    assert all((drawing._repr_svg_() or "").startswith("<?xml") for drawing in drawings)
    for value in shown:
        if hasattr(value, "_repr_html_"):
            assert value._repr_html_().count("<table") >= 1
    assert [answer.id for answer in names["diagnosis"].answers] == ["lstm.gate-order.iofc"]
    assert not names["compared"].passed
    assert names["fixed"].passed
    assert not names["wrong"].passed
    assert names["traces"].passed
    assert rnntrace.open_trace("trace.npz").passed


def _run(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line."""
    *body, last = ast.parse(source).body
    assert isinstance(last, ast.Expr)
    exec(compile(ast.Module(body, []), str(PATH), "exec"), names)
    return eval(compile(ast.Expression(last.value), str(PATH), "eval"), names)
