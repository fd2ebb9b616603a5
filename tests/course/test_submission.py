"""What students hand in beside what was asked for, and what becomes of it."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from classes import Solver, exercise_in, save

from rnntrace.course.grade import grade
from rnntrace.course.grades import Grade
from rnntrace.course.worksheet import worksheet


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return exercise_in(tmp_path)


def graded(path: Path) -> Grade:
    """What ada gets for the folder of hers."""
    found: Grade = grade(path, path.parent / "h")["ada"]
    return found


def test_the_whole_folder_of_the_sheet(path: Path, tmp_path: Path) -> None:
    """With the answers in it: what was given out is no answer, and no reason to refuse them."""
    worksheet(path, tmp_path / "h" / "ada")
    right = Solver(path, "").right()
    np.savetxt(tmp_path / "h" / "ada" / "output.csv", right["output"][:, 0], delimiter=",")
    np.savetxt(tmp_path / "h" / "ada" / "c_n.csv", right["c_n"][:, 0], delimiter=",")
    assert graded(path).score == 8
    for answer in ("output.csv", "c_n.csv"):
        (tmp_path / "h" / "ada" / answer).unlink()
    assert (graded(path).status, graded(path).score) == ("unreadable", 0)
    save(tmp_path / "h" / "ada" / "student.npz", {**np.load(tmp_path / "h" / "ada" / "student.npz"), **right})
    assert "both hold" not in graded(path).feedback


def test_two_answers_to_one_question(path: Path, tmp_path: Path) -> None:
    """Nobody chooses the better one."""
    right = Solver(path, "ada").right()
    save(tmp_path / "h" / "ada" / "first.npz", {"output": right["output"], "c_n": right["c_n"]})
    save(tmp_path / "h" / "ada" / "second.npz", {"output": right["output"] + 1})
    found = graded(path)
    assert found.status == "unreadable"
    assert "first.npz and second.npz both hold output" in found.feedback


def test_a_zip_in_the_folder(path: Path, tmp_path: Path) -> None:
    """Of a student who packs everything; a damaged one is told by its name."""
    save(tmp_path / "own" / "x.npz", Solver(path, "ada").right())
    (tmp_path / "h" / "ada").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "h" / "ada" / "all.zip", "w") as archive:
        archive.write(tmp_path / "own" / "x.npz", "week 1/x.npz")
        archive.writestr("week 1/notes.docx", b"PK")
    assert graded(path).score == 8
    content = bytearray((tmp_path / "h" / "ada" / "all.zip").read_bytes())
    content[60:90] = bytes(30)
    (tmp_path / "h" / "ada" / "all.zip").write_bytes(content)
    assert graded(path).status == "unreadable"
    assert str(tmp_path) not in graded(path).feedback


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_is_no_number_is_wrong(value: str, path: Path, tmp_path: Path) -> None:
    """In one place it costs a value; everywhere it earns nothing."""
    right = Solver(path, "ada").right()
    right["output"][2, 0, 0] = float(value)
    save(tmp_path / "h" / "ada.npz", right)
    assert graded(path).score == 6 * 7 / 8 + 2
    everywhere = {name: np.full_like(array, float(value)) for name, array in right.items()}
    save(tmp_path / "h" / "ada.npz", everywhere)
    assert graded(path).score == 0


def test_names_that_are_nearly_right(path: Path, tmp_path: Path) -> None:
    """Are refused with the right one, and arrays of another shape with theirs; folders of ours are not told."""
    right = Solver(path, "ada").right()
    save(tmp_path / "h" / "ada.npz", {"outputs": right["output"], "c_n": right["c_n"]})
    assert "did you mean output" in graded(path).feedback
    save(tmp_path / "h" / "ada.npz", {"output": right["output"][:3], "c_n": right["c_n"]})
    found = graded(path)
    assert "output should have shape (4, 1, 2), and has shape (3, 1, 2)" in found.feedback
    assert str(tmp_path) not in found.feedback
    (tmp_path / "h" / "ada.npz").unlink()
    (tmp_path / "h" / "ada.json").write_text(json.dumps({"output": [["a"]]}))
    assert graded(path).status == "unreadable"
