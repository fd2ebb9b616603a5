"""The files that platforms want: by their schemas, by parsers, and byte for byte."""

import base64
import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from classes import Solver, exercise_in, save
from commandline import ask, refused
from jsonschema import Draft202012Validator

from rnntrace.course.grades import Grade, Grades, Part, Status
from rnntrace.course.platforms import writer
from rnntrace.course.platforms.gradebook import filled
from rnntrace.course.roster import Roster, Student
from rnntrace.errors import UsageError

EVIL = '=cmd|"/c calc"!A1'
HALF = (Part("output", 4.5, 6.0, "6 of 8"), Part("c_n", 0.0, 2.0, "0 of 2"))
FULL = (Part("output", 6.0, 6.0, "right"), Part("c_n", 2.0, 2.0, "right"))
GRADES = Grades(
    "One LSTM step",
    10,
    ("output 6, c_n 2",),
    (
        Grade("a1", Status.GRADED, 8.0, 8.0, FULL, (), "PASS", "Good."),
        Grade("b2", Status.GRADED, 4.5, 8.0, HALF, (), "FAIL", f'{EVIL}\nno, "no"'),
        Grade("c3", Status.ABSENT, 0.0, 10.0, feedback="Nothing."),
        Grade(EVIL, Status.UNREADABLE, 0.0, 10.0, feedback="\x00\x1b[31m not <read> # \\"),
    ),
)
ROSTER = Roster((Student("a1", "ada@u.edu", "Ada L"), Student("b2", "bob@u.edu", "Bob K"), Student("c3", "c@u.edu", "Cleo")))

RESULTS = {
    "type": "object",
    "required": ["score", "execution_time", "output", "output_format", "visibility", "stdout_visibility", "tests"],
    "additionalProperties": False,
    "properties": {
        "score": {"type": "number"},
        "execution_time": {"type": "number"},
        "output": {"type": "string"},
        "output_format": {"enum": ["text", "html", "simple_format", "md", "ansi"]},
        "visibility": {"enum": ["hidden", "after_due_date", "after_published", "visible"]},
        "stdout_visibility": {"enum": ["hidden", "after_due_date", "after_published", "visible"]},
        "leaderboard": {"type": "array"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["score", "max_score", "name", "number", "status", "output", "output_format", "tags", "visibility"],
                "properties": {
                    "score": {"type": "number"},
                    "max_score": {"type": "number"},
                    "name": {"type": "string"},
                    "number": {"type": "string"},
                    "status": {"enum": ["passed", "failed"]},
                    "output": {"type": "string"},
                    "output_format": {"enum": ["text", "html", "simple_format", "md", "ansi"]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "visibility": {"enum": ["hidden", "after_due_date", "after_published", "visible"]},
                },
            },
        },
    },
}
"""https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format"""


def of_one(number: int) -> Grades:
    return Grades(GRADES.title, GRADES.max_score, GRADES.rule, GRADES.found[number : number + 1])


@pytest.mark.parametrize("number", range(4))
def test_gradescope(number: int) -> None:
    """results.json by what Gradescope says it reads."""
    found = json.loads(writer("gradescope").text(of_one(number)))
    Draft202012Validator(RESULTS).validate(found)
    assert found["score"] == GRADES[number].score
    assert [test["status"] for test in found["tests"]] == [["passed"] * 2, ["failed"] * 2, [], []][number]


@pytest.mark.parametrize("number", range(4))
def test_classroom(number: int) -> None:
    """What autograding-grading-reporter decodes."""
    found = json.loads(base64.b64decode(writer("classroom").text(of_one(number)), validate=False))
    assert found["status"] == ["pass", "fail", "fail", "fail"][number]
    assert found["max_score"] == GRADES[number].max_score
    assert {key for test in found["tests"] for key in test} == {"name", "status", "score", "message"}
    assert sum(test["score"] for test in found["tests"]) == GRADES[number].score


def test_junit() -> None:
    """XML that a parser reads, with as many cases as it says."""
    root = ElementTree.fromstring(writer("junit").text(GRADES))
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["a1", "b2", "c3", EVIL]
    for suite in suites:
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(kind, "")) == len(suite.findall(f"testcase/{tag}"))
    assert [suite.get("failures") for suite in suites] == ["0", "2", "0", "0"]
    assert int(root.get("tests", "")) == 6


def test_tap() -> None:
    """The plan counts the lines, numbers go up, and no name makes a directive."""
    version, plan, *lines = writer("tap").text(GRADES).splitlines()
    assert (version, plan) == ("TAP version 14", f"1..{len(lines)}")
    for number, line in enumerate(lines, 1):
        assert line.startswith((f"ok {number} - ", f"not ok {number} - "))
    assert [line.startswith("ok") for line in lines] == [True, True, False, False, True, False]
    assert [" # SKIP" in line for line in lines] == [False] * 4 + [True, False]


def test_csv_is_no_program() -> None:
    """A row a student, and no cell that a spreadsheet would compute."""
    rows = [*csv.DictReader(io.StringIO(writer("csv").text(GRADES)))]
    assert [row["id"] for row in rows] == ["a1", "b2", "c3", f"'{EVIL}"]
    assert [*rows[0]] == ["id", "status", "score", "max_score", "parts", "mistakes", "verdict", "feedback"]
    assert not [cell for row in rows for cell in row.values() if cell[:1] in "=+-@" and len(cell) > 1]


MOODLE = (
    '\ufeff"Kennung";"Vollständiger Name";"E-Mail-Adresse";Status;Bewertung;Bestwertung;"Zuletzt geändert";"Feedback"\r\n'
    'Teilnehmer/in4711;"Ada L";ada@u.edu;"Zur Bewertung; abgegeben";;10,00;"Montag, 2. ""Mai""";\r\n'
    'Teilnehmer/in4712;Bob K;bob@u.edu;Zur Bewertung abgegeben;-;10,00;-;"alt\r\nund neu"\r\n'
    "Teilnehmer/in4713;Cleo;c@u.edu;Keine Abgabe;;10,00;-;\r\n"
    "Teilnehmer/in4714;Eve;eve@u.edu;Keine Abgabe;;10,00;-;"
)
"""As Moodle writes it for a teacher who reads German, down to a byte order mark, quotes and a missing last line end."""


def test_moodle(tmp_path: Path) -> None:
    """Grade and feedback of those who are graded, and not a byte of anything else."""
    path = tmp_path / "moodle.csv"
    path.write_bytes(MOODLE.encode())
    text, warnings = filled(path, GRADES, ROSTER)
    expected = MOODLE.replace('abgegeben";;10,00;"Montag, 2. ""Mai""";', 'abgegeben";8;10,00;"Montag, 2. ""Mai""";Good.')
    expected = expected.replace('-;10,00;-;"alt\r\nund neu"', '4,5;10,00;-;"\'=cmd|""/c calc""!A1 | no, ""no"""')
    assert text == expected
    assert warnings == []


ENGLISH = (
    "Identifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed,Last modified (submission),"
    "Last modified (grade),Feedback comments\n"
    "Participant 1,Ada L,ada@u.edu,Submitted for grading - ,,10.00,Yes,-,-,\n"
    "Participant 2,Bob K,bob@u.edu,Submitted for grading - ,3.00,10.00,Yes,-,-,old\n"
)


def test_moodle_in_english(tmp_path: Path) -> None:
    """The grade is where the maximum is to the right of it, the feedback last; whoever is not there is named."""
    path = tmp_path / "moodle.csv"
    path.write_text(ENGLISH)
    text, _ = filled(path, GRADES, ROSTER)
    rows = [*csv.DictReader(io.StringIO(text))]
    assert [row["Grade"] for row in rows] == ["8", "4.5"]
    assert [row["Feedback comments"] for row in rows] == ["Good.", "'" + EVIL + ' | no, "no"']
    one = Grades("t", 10, (), (*GRADES.found, Grade("zoe", Status.GRADED, 1.0, 8.0)))
    assert filled(path, one, ROSTER)[1] == [f"{path} has no row for zoe: the grade is not in it"]
    with pytest.raises(UsageError, match="names none of the students"):
        filled(path, GRADES)


CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Homework 0 (4710),One LSTM step (4711),Final (4712),Current Score\n"
    "    Points Possible,,,,,5,10,100,(read only)\n"
    '"L, Ada",901,a1,ada,LSTM-1,5,,,100\n'
    '"K, Bob",902,b2,bob,LSTM-1,,,,\n'
    '"X, Cleo",903,c3,cleo,LSTM-1,,3,,\n'
)


def test_canvas(tmp_path: Path) -> None:
    """The assignment of the exercise's title; the others, the points possible and those who are not graded stay."""
    path = tmp_path / "canvas.csv"
    path.write_bytes(CANVAS.encode())
    text, _ = filled(path, GRADES)
    assert text == CANVAS.replace("LSTM-1,5,,,100", "LSTM-1,5,8,,100").replace("LSTM-1,,,,\n", "LSTM-1,,4.5,,\n")
    other = Grades("Another title", 10, (), GRADES.found)
    with pytest.raises(UsageError, match="give the exercise the title of one of them"):
        filled(path, other)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In place, and everything or nothing."""
    path = exercise_in(tmp_path)
    (tmp_path / "students.csv").write_text("id,email,name\na1,ada@u.edu,Ada L\nb2,bob@u.edu,Bob K\n")
    for id in ("a1", "b2"):
        save(tmp_path / "h" / f"{id}.npz", Solver(path, id).right())
    (tmp_path / "moodle.csv").write_text(ENGLISH)
    line = ("grade", path, tmp_path / "h", "--roster", tmp_path / "students.csv")
    answer = ask(
        capsys, *line, "--fill", tmp_path / "moodle.csv", "--feedback", tmp_path / "fb", "-f", "csv", "-o", tmp_path / "g.csv"
    )
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert ",8,10.00,Yes" in (tmp_path / "moodle.csv").read_text()
    assert sorted(file.name for file in (tmp_path / "fb").iterdir()) == ["a1.md", "b2.md"]
    assert (tmp_path / "g.csv").read_text().splitlines()[0].startswith("id,status,score")
    assert ask(capsys, *line, "-f", "gradescope", "-o", tmp_path / "out").code == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a1.json", "b2.json"]
    assert "is of one student, and there are 2" in refused(capsys, *line, "-f", "classroom")
    answer = ask(capsys, *line, "-f", "html", "--feedback", tmp_path / "html")
    assert "<h1>One LSTM step</h1>" in (tmp_path / "html" / "a1.html").read_text()


@pytest.mark.parametrize("with_roster", [False, True])
def test_in_a_gradescope_autograder(
    with_roster: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standard paths, below the folder of the autograder; the student by e-mail address or id."""
    (tmp_path / "source").mkdir()
    path = exercise_in(tmp_path / "source")
    (tmp_path / "students.csv").write_text("id,email\na1,ada@u.edu\n")
    (tmp_path / "submission_metadata.json").write_text('{"id": 1, "users": [{"email": "Ada@u.edu", "id": 77, "name": "Ada"}]}')
    save(tmp_path / "submission" / "week1.npz", Solver(path, "a1" if with_roster else "77").right())
    roster = ["--roster", tmp_path / "students.csv"] if with_roster else []
    monkeypatch.setattr("rnntrace.course.platforms.gradescope.ROOT", tmp_path)
    monkeypatch.setattr("rnntrace.course.grade.ROOT", tmp_path)
    answer = ask(capsys, "grade", "--gradescope", *roster)
    assert (answer.code, answer.err) == (0, "")
    found = json.loads((tmp_path / "results" / "results.json").read_text())
    Draft202012Validator(RESULTS).validate(found)
    assert found["score"] == 8
