"""exercise.toml: what it says, what is wrong with it and where, and whether its numbers show mistakes."""

import hashlib
import hmac
import stat
from pathlib import Path

import numpy as np
import pytest
from classes import SECRET, TEXT, exercise_in
from commandline import ask, refused

from rnntrace.course.check import check_exercise
from rnntrace.course.exercise_file import read_exercise
from rnntrace.course.new import new_exercise
from rnntrace.course.numbers import numbers_of
from rnntrace.errors import RnnTraceError


def test_what_it_says(tmp_path: Path) -> None:
    """Points of gates are shared by the gates that are named; states that nobody mentions are random."""
    found = read_exercise(exercise_in(tmp_path))
    assert str(found.spec) == "LSTM(3, 2)"
    assert found.worth == {"output": 6, "c_n": 2, "i": 0.5, "f": 0.5, "g": 0.5, "o": 0.5}
    assert (found.max_score, found.tolerance, found.feedback) == (10, "decimals:4", "place")
    assert found.request.states == {"h": "random", "c": "random"}
    assert [found.price(id) for id in ("lstm.bias.hh-dropped", "lstm.gate-order.iofc", "lstm.time.reversed")] == [1, 2, None]


WRONG = {
    "decimals = 4": ("decimals = 'four'", 13, "[hand_in] decimals should be a whole number from 1 to 12, not 'four'"),
    "hidden = 2": ("hiden = 2", 5, "hiden means nothing here: did you mean hidden?"),
    'kind = "lstm"': ('kind = "lsmt"', 3, "[module] kind cannot be: "),
    "output = 6": ("outptu = 6", 16, "[points] outptu is not handed in"),
    "gates = 2": ("gates = -2", 18, "[points] gates should be a number of 0 or more, not -2"),
    "c_n = 2": ("", 15, "[points] should say how many points c_n has"),
    'h0 = "random"': ('h0 = "radnom"', 8, "[signals] h0 should be zeros or random, not 'radnom'"),
    'feedback = "place"': ('feedback = "all"', 22, "feedback should be one of verdict, place, mistake, numbers, not 'all'"),
    "first_error_only = true": ("first_error_only = 1", 20, "should be true or false, not 1"),
    "backward = false": ("backward = true", 11, "require names 'output', which means nothing here: choose from x, h0, c0, "),
    'require = ["output", "c_n"]': ('require = ["output", "cn_n"]', 11, "names 'cn_n', which means nothing here"),
    '"lstm.bias.*" = -1': ('"lstm.bias.*" = 1', 21, "a number of 0 or less, not 1"),
    'title = "One LSTM step"': ("titel = 1", 1, "titel means nothing here: did you mean title?"),
    "steps = 4": ("steps = 4\nsteps = 4", None, "is no TOML: Cannot overwrite a value (at line 8"),
}


@pytest.mark.parametrize("old", WRONG)
def test_what_is_wrong_is_told_with_its_line(old: str, tmp_path: Path) -> None:
    """What was expected, what was found, and where."""
    new, line, says = WRONG[old]
    path = exercise_in(tmp_path, TEXT.replace(old, new))
    with pytest.raises(RnnTraceError) as error:
        read_exercise(path)
    assert says in str(error.value)
    assert line is None or f"exercise.toml, line {line}: " in str(error.value)


STORED = {
    "weight_ih_l0": [-0.64, 0.44, -0.98],
    "x": [-0.01, 1.84, 0.38],
    "h0": [-0.74, 0.66],
}


def test_numbers_are_the_same_everywhere(tmp_path: Path) -> None:
    """A stored example: whole numbers from the raw words of PCG64, so that no version of numpy and no machine changes them."""
    exercise = read_exercise(exercise_in(tmp_path))
    found = numbers_of(exercise, SECRET.encode(), "ada").arrays
    assert {name: found[name].reshape(-1, found[name].shape[-1])[0].tolist() for name in STORED} == STORED
    # From the words of the generator that HMAC seeds.
    words = np.random.PCG64(int.from_bytes(hmac.digest(SECRET.encode(), b"ada", hashlib.sha256), "big")).random_raw(24).tolist()
    units = [int(word) % 200 - 100 for word in words]
    assert found["weight_ih_l0"].ravel().tolist() == [(unit + (unit >= 0)) / 100 for unit in units]


def test_numbers_are_everybody_s_own(tmp_path: Path) -> None:
    """Another id, another secret: other numbers. The same id in another form of Unicode: the same."""
    exercise = read_exercise(exercise_in(tmp_path))

    def x(student: str, secret: str = SECRET) -> list[float]:
        return list(map(float, numbers_of(exercise, secret.encode(), student).signals["x"].ravel()))

    assert x("ada") == x(" ada ") != x("bob")
    assert x("ada") != x("ada", SECRET + ".")
    assert x("Zoe\u0308") == x("Zo\u00eb")
    everybody = [tuple(x(str(number))) for number in range(200)]
    assert len({*everybody}) == 200
    assert max(map(abs, np.ravel(everybody))) == 2.0
    assert 0.0 not in np.ravel(everybody)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "lstm-cell"])
@pytest.mark.parametrize("backward", [False, True])
def test_a_new_exercise_can_be_used(kind: str, backward: bool, tmp_path: Path) -> None:
    """As it is written: its secret is nobody else's to read, and a check finds nothing."""
    new = new_exercise(kind, output=tmp_path / "week1.toml", backward=backward)
    assert stat.S_IMODE(new.secret.stat().st_mode) == 0o600
    assert new.secret.name == "week1.secret"
    exercise = read_exercise(new.exercise)
    assert exercise.backward is backward
    assert check_exercise(exercise).usable


def test_a_cell_of_one_s_own(tmp_path: Path) -> None:
    """The text lies beside the exercise; its mistakes are those that can be made with it."""
    (tmp_path / "slow.cell").write_text("m = 0.9 * m[t-1] + 0.1 * tanh(W_c x + U_c h[t-1])\nh = tanh(m)\n")
    new = new_exercise(cell=tmp_path / "slow.cell", output=tmp_path / "slow.toml")
    exercise = read_exercise(new.exercise)
    assert exercise.required[0] == "output"
    assert set(exercise.request.states) == {"m", "h"}
    assert numbers_of(exercise, SECRET.encode(), "ada").weights is not None


def test_blind_exercises_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what would help; and no worksheet is written for one. What the exercise says may go unseen is no reason."""
    path = exercise_in(tmp_path, h0='h0 = "zeros"')
    answer = ask(capsys, "exercise", "check", path)
    assert answer.code == 2
    assert "lstm.state.h0-ignored" in answer.out
    assert "initial states that are not zero" in answer.err
    line = refused(capsys, "worksheet", path, "-o", tmp_path / "sheets")
    assert "cannot show lstm.state" in line
    allowed = TEXT.replace("[rules]", '[rules]\nunseen = ["lstm.state.*", "lstm.transpose.*"]').replace(
        'h0 = "random"', 'h0 = "zeros"'
    )
    assert ask(capsys, "exercise", "check", exercise_in(tmp_path, allowed)).code == 0


def test_one_step_shows_little(tmp_path: Path) -> None:
    """Whoever hands nothing on from step to step cannot be seen; a priced mistake counts even where it is rare."""
    checked = check_exercise(exercise_in(tmp_path, steps="steps = 1"))
    assert "lstm.recurrence.h-not-updated" in {spot.mistake.id for spot in checked.refused}
    assert check_exercise(exercise_in(tmp_path)).usable
    priced = check_exercise(exercise_in(tmp_path, TEXT.replace('"lstm.bias.*" = -1', '"lstm.equation.clip-5" = -1')))
    assert [spot.mistake.id for spot in priced.refused] == ["lstm.equation.clip-5"]


def test_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`new` overwrites nothing; `check` ends with 0."""
    assert ask(capsys, "exercise", "new", "gru").code == 0
    assert "is there already" in refused(capsys, "exercise", "new", "gru")
    answer = ask(capsys, "exercise", "check")
    assert (answer.code, answer.out.splitlines()[-1][:6]) == (0, "USABLE")
    assert "expected a kind" in refused(capsys, "exercise", "new", "-o", "other.toml")
    Path("exercise.secret").unlink()
    assert "expected the secret" in refused(capsys, "exercise", "check")
