"""Backward exercises: gradients are judged and counted as they stand, beside autograd."""

from pathlib import Path

import numpy as np
import pytest
from classes import SECRET, Solver, save

from rnntrace.course.exercise_file import read_exercise
from rnntrace.course.grades import Grade
from rnntrace.course.marking import Job, graded
from rnntrace.course.new import new_exercise
from rnntrace.course.submission import File
from rnntrace.model.dtypes import Array


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A new backward exercise on an LSTM, two points for each of four parameters."""
    new = new_exercise("lstm", output=tmp_path / "exercise.toml", backward=True)
    new.secret.write_text(SECRET)
    return new.exercise


def gradients(path: Path, student: str = "ada") -> dict[str, Array]:
    """By autograd."""
    solver = Solver(path, student)
    solver.module(solver.x, solver.states)[0].sum().backward()
    return {name: parameter.grad.numpy() for name, parameter in solver.module.named_parameters()}


def judge(path: Path, arrays: dict[str, Array], decimals: int | None = None) -> Grade:
    save(path.parent / "ada.npz", arrays, decimals)
    exercise = read_exercise(path)
    return graded(Job("ada", ("ada",), (File(path.parent / "ada.npz"),), exercise, SECRET.encode()))


@pytest.mark.parametrize("decimals", [None, 4, 5])
def test_right_is_full_marks(path: Path, decimals: int | None) -> None:
    """Without gates, which are optional."""
    grade = judge(path, gradients(path), decimals)
    assert (grade.score, grade.max_score, grade.mistakes) == (8, 8, ())
    assert grade.verdict == "PASS"


def test_each_parameter_has_its_points(path: Path) -> None:
    """One wrong row of eight costs an eighth of its two points; zeros and a missing one earn nothing."""
    right = gradients(path)
    right["weight_hh_l0"][3] += 0.1
    assert judge(path, right).score == 8 - 2 / 8
    right["bias_hh_l0"] = np.zeros(8)
    assert judge(path, right).score == 8 - 2 / 8 - 2
    del right["weight_ih_l0"]
    assert judge(path, right).score == 8 - 2 / 8 - 2 - 2


def test_a_mistake_is_named(path: Path) -> None:
    """And costs what the exercise says: no bias gradient but that of the last step's is a known one."""
    text = path.read_text().replace("mistake = {}", 'mistake = { "lstm.*" = -1.5 }')
    path.write_text(text)
    mean = {name: array / 4 for name, array in gradients(path).items()}
    grade = judge(path, mean, 4)
    assert (grade.score, len(grade.mistakes)) == (8 - 1.5, 1), grade
