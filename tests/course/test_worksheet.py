"""Worksheets: the same numbers in the sheet and in the arrays, the key apart and nowhere else, and right."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from classes import SECRET, TEXT, Solver, exercise_in
from commandline import ask

from rnntrace.course.worksheet import worksheet
from rnntrace.errors import UsageError

SUFFIX = {"html": "html", "latex": "tex", "markdown": "md"}


@pytest.mark.parametrize("format", SUFFIX)
def test_sheet_and_arrays_agree(format: str, tmp_path: Path) -> None:
    """Every number that is given stands in the sheet with its decimals; the secret and the right values do not."""
    path = exercise_in(tmp_path)
    (tmp_path / "students.csv").write_text("id,name\nada,Ada L\nmüller,\n", encoding="utf-8")
    worksheet(path, tmp_path / "sheets", roster=tmp_path / "students.csv", format=format, key=True)
    sheets = {}
    for id in ("ada", "müller"):
        folder = tmp_path / "sheets" / id
        assert sorted(file.name for file in folder.iterdir()) == [f"sheet.{SUFFIX[format]}", "student.json", "student.npz"]
        sheet = sheets[id] = (folder / f"sheet.{SUFFIX[format]}").read_text(encoding="utf-8")
        with np.load(folder / "student.npz") as found:
            arrays = dict(found)
        assert {name: array.tolist() for name, array in arrays.items()} == json.loads((folder / "student.json").read_text())
        body = sheet.partition("<body>")[2] or sheet.partition("\\begin{document}")[2] or sheet
        numbers = re.findall(r"(?<![\w.])-?\d\.\d\d(?!\d)", body.replace("$-$", "-"))
        assert sorted(map(float, numbers)) == sorted(np.concatenate([array.ravel() for array in arrays.values()]).tolist())
        assert SECRET not in sheet
    assert sheets["ada"] != sheets["müller"]
    assert "Ada L" in sheets["ada"]
    assert "Ada L" not in sheets["müller"]


def test_the_key_is_right_and_apart(tmp_path: Path) -> None:
    """Every quantity, by torch; in a folder of its own, of which nothing is in the sheets."""
    path = exercise_in(tmp_path)
    worksheet(path, tmp_path / "sheets", key=True)
    with np.load(tmp_path / "sheets.key" / "key.npz") as found:
        key = dict(found)
    for name, array in Solver(path, "").right().items():
        np.testing.assert_allclose(key[name], array, atol=1e-6)
    assert {*key} == {"output", "h_n", "c_n", "i", "f", "g", "o", "c", "h"}
    assert (tmp_path / "sheets.key" / "key.html").exists()
    assert "key" not in " ".join(file.name for file in (tmp_path / "sheets").rglob("*"))
    sheet = (tmp_path / "sheets" / "sheet.html").read_text()
    assert not [value for value in key["output"].ravel() if f"{value:.4f}" in sheet]


def test_the_key_of_gradients(tmp_path: Path) -> None:
    """By autograd."""
    text = TEXT.replace("backward = false", "backward = true").replace('["output", "c_n"]', '["weight_ih_l0", "x"]')
    text = (
        text.replace('["i", "f", "g", "o", "c"]', '["d_f"]')
        .replace("output = 6", "weight_ih_l0 = 6")
        .replace("c_n = 2", "x = 2")
    )
    path = exercise_in(tmp_path, text.replace("mistake = {", "mistake = {} #"))
    worksheet(path, tmp_path / "sheets", key=True)
    solver = Solver(path, "")
    solver.x.requires_grad_()
    solver.module(solver.x, solver.states)[0].sum().backward()
    with np.load(tmp_path / "sheets.key" / "key.npz") as key:
        np.testing.assert_allclose(key["weight_ih_l0"], solver.module.weight_ih_l0.grad, atol=1e-5)
        np.testing.assert_allclose(key["x"], solver.x.grad, atol=1e-5)
        assert key["d_f"].shape == (4, 1, 2)
    assert "weight_ih_l0, to 4 decimals" in (tmp_path / "sheets" / "sheet.html").read_text()


def test_latex_is_balanced(tmp_path: Path) -> None:
    """Every environment ends, and braces match; a name that TeX would take for commands is text."""
    path = exercise_in(tmp_path, title='title = "50% of \\\\input{x} & more_"')
    worksheet(path, tmp_path / "sheets", format="latex")
    sheet = (tmp_path / "sheets" / "sheet.tex").read_text()
    begun, ended = (re.findall(rf"\\{word}{{(\w+\*?)}}", sheet) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    plain = re.sub(r"\\[\\{}%&_#$]", "", sheet)
    assert plain.count("{") == plain.count("}")
    assert r"\input" not in sheet


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One for all without a roster."""
    path = exercise_in(tmp_path)
    answer = ask(capsys, "worksheet", path, "-o", tmp_path / "s", "--key", "--format", "markdown")
    assert answer.code == 0
    assert "wrote 1 worksheets" in answer.out
    assert sorted(file.name for file in (tmp_path / "s").iterdir()) == ["sheet.md", "student.json", "student.npz"]
    with pytest.raises(UsageError, match="unknown format"):
        worksheet(path, tmp_path / "s", format="word")
