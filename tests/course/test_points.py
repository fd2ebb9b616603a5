"""Points that a student would call fair, against sums that are done here."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from classes import SECRET, TEXT, Solver, exercise_in, save

from rnntrace.course.exercise_file import read_exercise
from rnntrace.course.grades import Grade, Status
from rnntrace.course.marking import Job, graded
from rnntrace.course.numbers import numbers_of
from rnntrace.course.points import counted
from rnntrace.course.submission import File
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.mistake import apply, catalogue
from rnntrace.model.dtypes import Array
from rnntrace.model.signals import arrange

Judge = Callable[[Mapping[str, Array]], Grade]
GRU = TEXT.replace('kind = "lstm"', 'kind = "gru"').replace('"c_n"]', '"h_n"]').replace("c_n = 2", "h_n = 2")
GRU = GRU.replace('["i", "f", "g", "o", "c"]', '["r", "z", "n"]').replace("lstm.", "gru.")
RNN = GRU.replace('"gru"', '"rnn"').replace("gru.", "rnn.").replace('["r", "z", "n"]', "[]").replace("gates = 2", "")
KINDS = {"lstm": TEXT, "gru": GRU, "rnn": RNN}


def job(path: Path, *files: Path, student: str = "ada") -> Job:
    exercise = read_exercise(path)
    return Job(student, (student,), tuple(map(File, files)), exercise, SECRET.encode())


def judge(path: Path, arrays: Mapping[str, Array], decimals: int | None = None) -> Grade:
    """The grade of ada for these arrays."""
    save(path.parent / "ada.npz", arrays, decimals)
    return graded(job(path, path.parent / "ada.npz"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("decimals", [2, 3, 4, 5, 6])
def test_right_is_full_marks(kind: str, dtype: torch.dtype, decimals: int, tmp_path: Path) -> None:
    """In either format, rounded to what was asked for or not at all; and nothing is said of errors."""
    path = exercise_in(tmp_path, KINDS[kind].replace("decimals = 4", f"decimals = {decimals}"))
    for student in ("ada", "bob", "cleo"):
        right = Solver(path, student, dtype).right()
        for places in (None, decimals, decimals + 1):
            save(tmp_path / "x.npz", right, places)
            grade = graded(job(path, tmp_path / "x.npz", student=student))
            assert (grade.status, grade.score, grade.max_score) == (Status.GRADED, 8, 8), grade
            assert grade.mistakes == ()
            assert "not right" not in grade.feedback


def test_gates_add_their_points(tmp_path: Path) -> None:
    """Each its share; one that is missing costs nothing and earns nothing, and a wrong one costs its share."""
    path = exercise_in(tmp_path)
    right, gates = Solver(path, "ada").right(), _gates(path)
    assert judge(path, {**right, **gates}).score == 10
    three = judge(path, {**right, **{name: gates[name] for name in "ifg"}})
    assert (three.score, three.max_score) == (9.5, 9.5)
    wrong = judge(path, {**right, **gates, "o": gates["o"] + 0.1})
    assert (wrong.score, wrong.max_score) == (9.5, 10)


def _gates(path: Path) -> dict[str, Array]:
    """By hand, in a loop."""
    found = numbers_of(read_exercise(path), SECRET.encode(), "ada").arrays
    W, U, b = found["weight_ih_l0"], found["weight_hh_l0"], found["bias_ih_l0"] + found["bias_hh_l0"]
    h, c = found["h0"][0, 0], found["c0"][0, 0]
    rows = []
    for x in found["x"][:, 0]:
        i, f, g, o = np.split(W @ x + U @ h + b, 4)
        i, f, o, g = *(1 / (1 + np.exp(-gate)) for gate in (i, f, o)), np.tanh(g)
        c = f * c + i * g
        h = o * np.tanh(c)
        rows.append([i, f, g, o, c])
    return {name: np.array([row[number] for row in rows])[:, None] for number, name in enumerate("ifgoc")}


@pytest.mark.parametrize("t", [1, 2, 3])
@pytest.mark.parametrize("with_cells", [False, True])
@pytest.mark.parametrize("decimals", [None, 4])
def test_the_first_error_is_counted_once(t: int, with_cells: bool, decimals: int | None, tmp_path: Path) -> None:
    """Both units of one step of four are wrong, and everything behind follows: a quarter of the output's six points."""
    path = exercise_in(tmp_path)
    wrong = Solver(path, "ada").with_error(t, h=0.1)
    if not with_cells:
        del wrong["c"]
    grade = judge(path, wrong, decimals)
    assert grade.score == 6 * 3 / 4 + 2
    assert f"t = {t}, unit 0" in grade.feedback


@pytest.mark.parametrize("t", [1, 2, 3])
def test_an_error_in_the_cell_state_too(t: int, tmp_path: Path) -> None:
    """A wrong c that nobody sees is told by the h that comes of it: c + 0.2, and h = o tanh(c) with it."""
    path = exercise_in(tmp_path)
    solver = Solver(path, "ada")
    right = solver.with_error(t)
    c = right["c"][t - 1]
    o = right["output"][t - 1] / np.tanh(c)
    wrong = solver.with_error(t, h=torch.from_numpy(o * (np.tanh(c + 0.2) - np.tanh(c))), c=0.2)  # type: ignore[arg-type]
    without = {name: wrong[name] for name in ("output", "c_n")}
    assert judge(path, without, 5).score == 6 * 3 / 4 + 2


def test_every_error_counts_without_the_rule(tmp_path: Path) -> None:
    """What follows from a wrong value is as wrong."""
    path = exercise_in(tmp_path, first_error_only="first_error_only = false")
    wrong = Solver(path, "ada").with_error(2, h=0.1)
    assert judge(path, wrong).score == 6 / 4


def test_a_typo_costs_a_value(tmp_path: Path) -> None:
    """One of eight; what comes after it is right as it stands."""
    path = exercise_in(tmp_path)
    right = Solver(path, "ada").right()
    right["output"][1, 0, 1] += 0.03
    assert judge(path, right).score == 6 * 7 / 8 + 2


@pytest.mark.parametrize("decimals", [2, 3, 4, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_for_nothing(kind: str, decimals: int, tmp_path: Path) -> None:
    """Zeros, ones, noise, a copy of the input and the initial states again earn no point, whoever hands them in."""
    text = KINDS[kind].replace("decimals = 4", f"decimals = {decimals}").replace("input_size = 3", "input_size = 2")
    path = exercise_in(tmp_path, text.replace("mistake = {", "mistake = {} #"))
    noise = np.random.default_rng(7)
    for student in "1457":
        solver = Solver(path, student)
        right, h0, x = solver.right(), solver.states[0].numpy(), solver.x.numpy()
        for make in (
            np.zeros_like,
            np.ones_like,
            lambda array: noise.normal(scale=0.4, size=array.shape),
            lambda array, x=x: x[-len(array) :],
            lambda array, h0=h0: np.repeat(h0, len(array), axis=0),
        ):
            save(tmp_path / "x.npz", {name: make(array) for name, array in right.items()}, decimals)
            grade = graded(job(path, tmp_path / "x.npz", student=student))
            assert grade.score == 0, (student, grade)


def test_zeros_from_the_middle_on(tmp_path: Path) -> None:
    """Half of it is half."""
    path = exercise_in(tmp_path)
    right = Solver(path, "ada").right()
    right["output"][2:] = 0
    assert judge(path, right).score == 3 + 2


def test_what_is_missing_earns_nothing(tmp_path: Path) -> None:
    """And is named; a final state that every step of the state tells is there."""
    path = exercise_in(tmp_path)
    right = Solver(path, "ada").right()
    grade = judge(path, {"output": right["output"]})
    assert (grade.score, grade.max_score, grade.verdict) == (6, 8, "UNDECIDED")
    assert [(part.name, part.score, part.says) for part in grade.parts][1] == ("c_n", 0, "not handed in")
    lines = ["h0,h1,c0,c1"]
    cells = Solver(path, "ada").with_error(4)["c"]
    lines += [",".join(f"{value:.4f}" for value in (*h, *c)) for h, c in zip(right["output"][:, 0], cells[:, 0], strict=True)]
    (tmp_path / "ada.csv").write_text("\n".join(lines))
    assert graded(job(path, tmp_path / "ada.csv")).score == 8


@pytest.mark.slow
def test_named_mistakes_cost_what_the_exercise_says(tmp_path: Path) -> None:
    """Every mistake of the catalogue that has a price costs that, whatever is wrong in the numbers; two of them both."""
    path = exercise_in(tmp_path)
    exercise = read_exercise(path)
    numbers = numbers_of(exercise, SECRET.encode(), "ada")
    states = {state: numbers.signals[f"{state}0"] for state in "hc"}
    case = Case.of(exercise.spec, numbers.weights, arrange(exercise.spec, numbers.signals["x"], states, None))
    tried = 0
    for mistake in catalogue(case.cell):
        if mistake.family in ("bias", "gate-order"):
            found = apply(case, (mistake,))
            assert found is not None
            grade = judge(path, {name: found.outputs[name] for name in ("output", "c_n")}, 4)
            assert grade.score == 8 - {"bias": 1, "gate-order": 2}[mistake.family], mistake.id
            tried += 1
    assert tried == 28
    both = apply(case, [one for one in catalogue(case.cell) if one.id in ("lstm.bias.hh-dropped", "lstm.gate-order.iofc")])
    assert both is not None
    grade = judge(path, {name: both.outputs[name] for name in ("output", "c_n")}, 4)
    assert (grade.score, {*grade.mistakes}) == (8 - 3, {"lstm.bias.hh-dropped", "lstm.gate-order.iofc"})


def test_a_mistake_without_a_price_is_counted_by_its_values(tmp_path: Path) -> None:
    """It is named for the teacher all the same."""
    path = exercise_in(tmp_path, mistake='mistake = { "lstm.time.*" = -1 }')
    grade = judge(path, Solver(path, "ada").without("bias_hh_l0"))
    assert (grade.score, grade.mistakes) == (0, ("lstm.bias.hh-dropped",))


def test_one_who_rounds_every_step_is_right(tmp_path: Path) -> None:
    """By hand, with four decimals in between: the last steps are a little off, and follow."""
    path = exercise_in(tmp_path, steps="steps = 12")
    for student in ("ada", "bob", "cleo"):
        solver = Solver(path, student)
        outputs, state = [], solver.states
        with torch.no_grad():
            for x in solver.x:
                _, state = solver.module(x[None], state)
                state = tuple(torch.round(part, decimals=4) for part in state)
                outputs.append(state[0])
        save(tmp_path / "x.npz", {"output": torch.cat(outputs).numpy(), "c_n": state[1].numpy()})
        assert graded(job(path, tmp_path / "x.npz", student=student)).score == 8


def test_another_file_cannot_lend_its_rightness(tmp_path: Path) -> None:
    """A wrong output beside right hidden states is wrong."""
    path = exercise_in(tmp_path)
    right = Solver(path, "ada").right()
    grade = judge(path, {"output": right["output"] + 0.1, "h": right["output"], "c_n": right["c_n"]})
    assert grade.score == 2


def test_levels_of_feedback(tmp_path: Path) -> None:
    """Each tells what those before it tell, and none a number of the key."""
    told = {}
    for level in ("verdict", "place", "mistake", "numbers"):
        path = exercise_in(tmp_path, feedback=f'feedback = "{level}"')
        solver = Solver(path, "ada")
        right = solver.right()
        wrong = solver.without("bias_hh_l0")
        grade = judge(path, wrong, 4)
        told[level] = grade.feedback
        key = [f"{value:.{places}f}" for array in right.values() for value in array.ravel() for places in (3, 4)]
        assert not [number for number in key if number in grade.feedback]
    assert "t = 1" not in told["verdict"]
    assert "t = 1" in told["place"]
    assert "b_hh was left out" not in told["place"]
    assert "b_hh was left out" in told["mistake"]
    assert f"There you have {wrong['output'][0, 0, 0]:.4f}, which is right to" in told["numbers"]


def test_texts_of_one_s_own(tmp_path: Path) -> None:
    """In the language of the exercise; blanks that there are not stay, and nothing is looked up in them."""
    path = exercise_in(
        tmp_path, TEXT + '[texts]\nright = "richtig"\nwrong = "{right} von {of} Werten richtig {0} {x.__class__}"\n'
    )
    right = Solver(path, "ada").right()
    right["output"][0] += 0.5
    says = [part.says for part in judge(path, right).parts]
    assert says == ["6 von 8 Werten richtig {0} {x.__class__}", "richtig"]


@pytest.mark.parametrize(("decimals", "units", "whole", "expected"), [(2, 1, 1, 0), (2, 1, 2, 2), (4, 1, 1, 1), (2, 2, 1, 2)])
def test_what_chance_would_do(decimals: int, units: int, whole: int, expected: int) -> None:
    """A value of 0.3 that is right to two decimals tells log2(0.3 / 0.005) = 5.9 bits; ten are needed, one in a thousand."""
    right = np.full((4, 1, units), 0.3)
    given = right + np.arange(4)[:, None, None]
    good = np.arange(4)[:, None, None] < np.full((1, 1, units), whole)
    assert counted(good, right, given, 0.5 * 10.0**-decimals) == expected
