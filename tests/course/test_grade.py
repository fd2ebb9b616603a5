"""A class: every student has a row, nothing aborts the run, and everybody's points are as if nobody else had handed in."""

import json
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from classes import TEXT, Solver, exercise_in, save
from commandline import ask, refused

from rnntrace.course.grade import grade
from rnntrace.course.grades import Grade, Grades, Status
from rnntrace.course.roster import file_name, read_roster
from rnntrace.errors import FileError, UsageError

SHAPES = ("float64", "four", "csv", "json", "folder", "float32")
FAULTS = ("", "", "step", "typo", "bias", "zeros", "absent", "unreadable", "no c_n")
EXPECTED = {"": 8, "step": 6.5, "typo": 7.25, "bias": 7, "zeros": 0, "absent": 0, "unreadable": 0, "no c_n": 6}
"""What each student gets of eight points, as it is reckoned by hand: see `test_points`."""


def classroom(folder: Path, count: int, text: str = TEXT) -> tuple[Path, dict[str, float], dict[str, Status]]:
    """An exercise, a roster and a folder of hand-ins of so many students; what each gets, and what becomes of it."""
    path = exercise_in(folder, text)
    ids = ["müller", "山田", "=cmd|x", *(f"s{number:04}" for number in range(count - 3))]
    rows = (f"{id},Name {number},{number}@u.edu" for number, id in enumerate(ids))
    (folder / "students.csv").write_text("id,name,email\n" + "\n".join(rows) + "\n", encoding="utf-8")
    expected, statuses = {}, {}
    for number, id in enumerate(ids):
        fault, shape = FAULTS[number % len(FAULTS)], SHAPES[number % len(SHAPES)]
        expected[id], statuses[id] = EXPECTED[fault], Status.GRADED
        if fault == "absent":
            statuses[id] = Status.ABSENT
        elif fault == "unreadable":
            statuses[id] = Status.UNREADABLE
            (folder / "hand-ins").mkdir(exist_ok=True)
            (folder / "hand-ins" / f"{file_name(id)}.npz").write_bytes(b"PK\x03\x04 the dog ate it")
        else:
            hand_in(folder / "hand-ins", id, made(path, id, fault), shape)
    return path, expected, statuses


def made(path: Path, id: str, fault: str) -> dict[str, np.ndarray]:
    """What a student with a fault computes."""
    solver = Solver(path, id)
    if fault == "step":
        wrong = solver.with_error(2, h=0.1)
        return {name: wrong[name] for name in ("output", "c_n")}
    if fault == "bias":
        solver.without("bias_hh_l0")
    found = {name: array for name, array in solver.right().items() if name != "h_n"}
    if fault == "typo":
        found["output"][1, 0, 0] += 0.03
    if fault == "zeros":
        found = {name: np.zeros_like(array) for name, array in found.items()}
    if fault == "no c_n":
        del found["c_n"]
    return found


def hand_in(folder: Path, id: str, arrays: dict[str, np.ndarray], shape: str) -> None:
    """The arrays as a file or several, as people write them."""
    name = file_name(id)
    rounded = {key: np.round(array, 4) for key, array in arrays.items()}
    folder.mkdir(exist_ok=True)
    if shape == "json":
        (folder / f"{name}.json").write_text(json.dumps({key: array.tolist() for key, array in rounded.items()}))
    elif shape in ("csv", "folder"):
        own = folder / name
        own.mkdir()
        (own / "report.pdf").write_bytes(b"%PDF-1.7 all is well")
        for key, array in rounded.items():
            if shape == "csv":
                np.savetxt(own / f"{key}.csv", array[:, 0], "%.4f", delimiter=",")
            else:
                np.save(own / f"{key}.npy", array)
    else:
        save(
            folder / f"{name}.npz",
            {"float64": arrays, "four": rounded}.get(shape, arrays)
            if shape != "float32"
            else {key: array.astype(np.float32) for key, array in arrays.items()},
        )


def check(found: Grades, expected: dict[str, float], statuses: dict[str, Status]) -> None:
    assert {one.id: one.status for one in found} == statuses
    assert {one.id: one.score for one in found} == expected
    assert [one.id for one in found] == [*expected]


def test_a_class(tmp_path: Path) -> None:
    """Mistakes, roundings, formats, absences: everybody gets what was reckoned, in the order of the roster."""
    path, expected, statuses = classroom(tmp_path, 30)
    found = grade(path, tmp_path / "hand-ins", roster=tmp_path / "students.csv")
    check(found, expected, statuses)
    assert not [one for one in found if one.full and ("wrong" in one.feedback or "mistake" in one.feedback or one.mistakes)]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "exercise.secret",
        "exercise.toml",
        "hand-ins",
        "students.csv",
    ]


@pytest.mark.slow
def test_a_large_class(tmp_path: Path) -> None:
    """Three hundred, in one process at a time and in two: the same."""
    path, expected, statuses = classroom(tmp_path, 300)
    check(grade(path, tmp_path / "hand-ins", roster=tmp_path / "students.csv", jobs=2), expected, statuses)


@pytest.mark.slow
def test_a_zip_and_a_pattern(tmp_path: Path) -> None:
    """A zip of the folder, with a folder around it or without, says the same; so do names that a pattern describes."""
    path, expected, statuses = classroom(tmp_path, 12)
    for around in ("", "week 1/"):
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for file in (tmp_path / "hand-ins").rglob("*.*"):
                archive.write(file, around + file.relative_to(tmp_path / "hand-ins").as_posix())
        check(grade(path, tmp_path / "all.zip", roster=tmp_path / "students.csv"), expected, statuses)
    folder = tmp_path / "named"
    for id in ("ada", "bob"):
        save(folder / f"{id}_week1.npz", Solver(path, id).right())
    save(folder / "template.npz", Solver(path, "ada").right())
    found = grade(path, folder, match="{id}_*.npz")
    assert [(one.id, one.score) for one in found] == [("ada", 8), ("bob", 8)]
    with pytest.raises(UsageError, match=r"has \{id\} in it once"):
        grade(path, folder, match="*.npz")
    with pytest.raises(FileError, match="holds no hand-in that fits"):
        grade(path, folder, match="{id}.txt")


def test_exports_of_moodle_and_gradescope(tmp_path: Path) -> None:
    """Moodle's names hold the student's name and a number, Gradescope has a file that says whose submission is whose."""
    path = exercise_in(tmp_path)
    (tmp_path / "students.csv").write_text("email;id;student\nada@u.edu;a1;Ada L\nbob@u.edu;b2;Bob K\n")
    for name, id in (("Ada L_4711_assignsubmission_file_", "a1"), ("Bob K_4712_assignsubmission_file_", "b2")):
        save(tmp_path / "moodle" / name / "week1.npz", Solver(path, id).right())
        save(tmp_path / "flat" / f"{name}week1.npz", Solver(path, id).right())
    for number, id in ((1, "a1"), (2, "b2")):
        save(tmp_path / "gradescope" / f"submission_{number}" / "out.npz", Solver(path, id).right())
    (tmp_path / "gradescope" / "submission_metadata.yml").write_text(
        "submission_1:\n  :submitters:\n  - :name: Ada L\n    :sid: '99'\n    :email: ada@u.edu\n"
        "submission_2:\n  :submitters:\n  - :name: Bob K\n    :sid: b2\n    :email: other@u.edu\n"
    )
    for folder in ("moodle", "flat", "gradescope"):
        found = grade(path, tmp_path / folder, roster=tmp_path / "students.csv")
        assert [(one.id, one.score) for one in found] == [("a1", 8), ("b2", 8)], folder


def test_somebody_who_is_not_in_the_roster(tmp_path: Path) -> None:
    """Is named, and not dropped in silence."""
    path = exercise_in(tmp_path)
    (tmp_path / "students.csv").write_text("id\nada\n")
    save(tmp_path / "h" / "eve.npz", Solver(path, "eve").right())
    found = grade(path, tmp_path / "h", roster=tmp_path / "students.csv")
    assert [(one.id, one.status) for one in found] == [("ada", "absent")]
    assert found.warnings == ("eve is nobody in the roster: not graded",)


def test_without_a_roster(tmp_path: Path) -> None:
    """Whoever handed in has a row: on the numbers of the id, or on those for everybody."""
    path = exercise_in(tmp_path)
    save(tmp_path / "h" / "ada.npz", Solver(path, "ada").right())
    save(tmp_path / "h" / "bob.npz", Solver(path, "").right())
    save(tmp_path / "h" / "cleo.npz", Solver(path, "ada").right())
    assert [(one.id, one.score) for one in grade(path, tmp_path / "h")] == [("ada", 8), ("bob", 8), ("cleo", 0)]


BAD_ROSTERS = {
    "name\nada\n": "one column headed id",
    "id,id\na,b\n": "one column headed id",
    "id\nada\nada \n": "row 3: the id ada is there twice",
    "id,name\n,Ada\n": "row 2 has no id",
    "id\n": "lists nobody",
    'id\n"ada\n': "no readable CSV",
}


@pytest.mark.parametrize("text", BAD_ROSTERS)
def test_rosters_that_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "students.csv").write_text(text)
    with pytest.raises(FileError, match=BAD_ROSTERS[text]):
        read_roster(tmp_path / "students.csv")


def test_names_of_files_are_safe() -> None:
    """In any script, and never outside the folder, hidden, or a device; two students never share one."""
    ids = [
        "ada",
        "山田",
        "..",
        "a/b",
        "a\\b",
        "a:b",
        ".hidden",
        "con",
        "CON.txt",
        "x" * 300,
        "=1+1",
        "a\x00b",
        "a\u202eb",
        " ",
        "a b",
    ]
    names = [file_name(id) for id in ids]
    assert names[:2] == ["ada", "山田"]
    assert len({name.casefold() for name in names}) == len(ids)
    for name in names:
        assert Path(name).name == name
        assert not name.startswith(".")
        assert name.isprintable()
        assert len(name) <= 120


SLOWLY = """
import sys, time
import rnntrace.course.marking as marking
from rnntrace.cli.app import main
original = marking.marks
def slow(result, *more, **options):
    time.sleep(0.2)
    return original(result, *more, **options)
marking.marks = slow
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_killed_in_the_middle_and_resumed(tmp_path: Path) -> None:
    """Nothing is lost, and nobody counted twice; an interrupt ends with 130 and leaves what is done."""
    path, expected, statuses = classroom(tmp_path, 30)
    journal = tmp_path / ".hand-ins.grades.jsonl"
    line = [str(path), str(tmp_path / "hand-ins"), "--roster", str(tmp_path / "students.csv"), "--jobs", "1"]
    for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        with subprocess.Popen([sys.executable, "-c", SLOWLY, "grade", *line, "--resume"], stdout=subprocess.PIPE) as process:
            before = len(journal.read_bytes().splitlines()) if journal.exists() else 0
            for _ in range(600):
                if journal.exists() and len(journal.read_bytes().splitlines()) > before + 4:
                    break
                time.sleep(0.05)
            process.send_signal(number)
            process.communicate(timeout=20)
            assert process.returncode == code
    with journal.open("ab") as file:
        file.write(b'{"key": "cut off in the')
    done = {json.loads(one)["key"] for one in journal.read_bytes().splitlines()[:-1] if one}
    assert 8 <= len(done) < 30
    found = grade(path, tmp_path / "hand-ins", roster=tmp_path / "students.csv", resume=True)
    check(found, expected, statuses)
    assert not journal.exists()


def test_a_resumed_run_sees_what_has_changed(tmp_path: Path) -> None:
    """A grade is taken over only for the same exercise, secret and files."""
    path = exercise_in(tmp_path)
    save(tmp_path / "h" / "ada.npz", Solver(path, "ada").right())

    def stop(what: str, done: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade(path, tmp_path / "h", tell=stop)
    (noted,) = [json.loads(line) for line in (tmp_path / ".h.grades.jsonl").read_text().splitlines()]
    forged = noted | {"grade": noted["grade"] | {"score": 5.0}}
    (tmp_path / ".h.grades.jsonl").write_text(json.dumps(forged) + "\n")
    assert grade(path, tmp_path / "h", resume=True)["ada"].score == 5.0
    (tmp_path / ".h.grades.jsonl").write_text(json.dumps(forged) + "\n")
    save(tmp_path / "h" / "ada.npz", Solver(path, "ada").right() | {"more": np.zeros(3)})
    assert grade(path, tmp_path / "h", resume=True)["ada"].score == 8


def test_a_grade_survives_its_document() -> None:
    """As JSON, and back."""
    one = Grade("ada", Status.UNREADABLE, 0.0, 8.0, feedback="no")
    assert Grade.from_document(json.loads(json.dumps(one.document))) == one


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit codes: 0 if everybody is graded, whatever the points; 1 if somebody could not be; 2 for the request."""
    path = exercise_in(tmp_path)
    save(tmp_path / "h" / "ada.npz", Solver(path, "ada").right())
    save(tmp_path / "h" / "bob.npz", Solver(path, "ada").right())
    answer = ask(capsys, "grade", path, tmp_path / "h")
    assert answer.code == 0
    assert "bob      graded  0 of 8" in answer.out
    assert "a named mistake lstm.bias.* costs 1" in answer.out
    (tmp_path / "students.csv").write_text("id\nada\neve\n")
    assert ask(capsys, "grade", path, tmp_path / "h", "--roster", tmp_path / "students.csv").code == 1
    assert "expected the hand-ins" in refused(capsys, "grade", path)
    (tmp_path / "empty").mkdir()
    assert "holds no hand-in" in refused(capsys, "grade", path, tmp_path / "empty")
    assert "No such file" in refused(capsys, "grade", "none.toml", tmp_path / "h")
    assert "--jobs is a number" in refused(capsys, "grade", path, tmp_path / "h", "--jobs", "0")
