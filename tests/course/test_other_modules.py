"""Exercises on other modules than an LSTM of one layer: the key gets full marks, and one wrong step costs its share."""

from pathlib import Path

import numpy as np
import pytest
from classes import SECRET

from rnntrace.course.exercise_file import read_exercise
from rnntrace.course.grade import grade
from rnntrace.course.worksheet import worksheet

TEXT = """\
[module]
{module}
[signals]
steps = 4
{signals}
[hand_in]
require = {require}
optional = {optional}
[points]
{points}
[rules]
unseen = ["*"]
"""
OWN = r'cell = "m = 0.9 * m[t-1] + 0.1 * tanh(W_c x + U_c h[t-1])\nh = tanh(m)"'
MODULES = {
    "both directions": ('kind = "lstm"\nbidirectional = true', "", ["output", "h_n"], ["i"]),
    "layers": ('kind = "gru"\nlayers = 2', "", ["output", "h_n"], ["r", "h"]),
    "a batch": ('kind = "lstm"', "batch = 3", ["output", "c_n"], ["c"]),
    "no batch": ('kind = "lstm"', "unbatched = true", ["output", "c_n"], ["o"]),
    "a cell": ('kind = "lstm-cell"', "", ["output", "c_n"], ["f"]),
    "peepholes": ('kind = "lstm"\npeepholes = true', "", ["output", "c_n"], ["i"]),
    "a cell of one's own": (
        r'cell = "m = 0.9 * m[t-1] + 0.1 * tanh(W_c x + U_c h[t-1])\nh = tanh(m)"',
        "",
        ["output", "m_n"],
        [],
    ),
    "relu": ('kind = "rnn"\nnonlinearity = "relu"', "", ["output"], []),
    "one unit": ('kind = "gru"\nhidden = 1\ninput_size = 1', "", ["output"], ["z"]),
    "float64": ('kind = "gru"\ndtype = "float64"', "", ["output"], ["n"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("decimals", [None, 4])
@pytest.mark.parametrize("name", MODULES)
def test_the_key_gets_full_marks(name: str, decimals: int | None, tmp_path: Path) -> None:
    """With everything that is in it, rounded or not; the output of step 2 off by 0.05 costs a quarter of its points."""
    module, signals, require, optional = MODULES[name]
    points = "\n".join(f"{word} = 4" for word in (*require, *optional))
    text = TEXT.format(module=module, signals=signals, require=require, optional=optional, points=points)
    path = tmp_path / "exercise.toml"
    path.write_text(text)
    path.with_suffix(".secret").write_text(SECRET)
    worksheet(path, tmp_path / "sheets", key=True)
    with np.load(tmp_path / "sheets.key" / "key.npz") as found:
        key = {word: array if decimals is None else np.round(array, decimals) for word, array in found.items()}
    (tmp_path / "h").mkdir()
    np.savez(tmp_path / "h" / "ada.npz", **key)
    worth = 4 * len((*require, *optional))
    right = grade(path, tmp_path / "h")["ada"]
    assert (right.score, right.max_score) == (worth, worth), right
    wrong = {word: key[word] for word in read_exercise(path).required}
    wrong["output"][1] += 0.05
    np.savez(tmp_path / "h" / "ada.npz", **wrong)
    assert grade(path, tmp_path / "h")["ada"].score == 4 * len(require) - 1
