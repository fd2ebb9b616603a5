"""Gradescope: results.json of one submission; https://gradescope-autograders.readthedocs.io/en/latest/specs/."""

import json
from pathlib import Path
from typing import Any

from rnntrace.course.grades import Grade, Grades, Part
from rnntrace.errors import FileError, show

SUFFIX = ".json"
ROOT, RESULTS = Path("/autograder"), Path("results/results.json")
"""Where Gradescope puts everything, and where in it it looks for the results."""
LARGEST = 2**24
"""Bytes of the metadata."""


def text(grades: Grades) -> str:
    """The results of the one student there is."""
    (grade,) = grades.found
    return json.dumps(results(grade, grades), ensure_ascii=False, indent=2) + "\n"


def results(grade: Grade, grades: Grades) -> dict[str, Any]:
    """What Gradescope shows: a test a part, and below what is wrong the rule of the points."""
    return {
        "score": grade.score,
        "execution_time": grades.seconds,
        "output": "\n".join([grade.feedback, *([] if grade.full else ["", *grades.rule])]),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_test(part, number) for number, part in enumerate(grade.parts, 1)],
        "leaderboard": [],
    }


def _test(part: Part, number: int) -> dict[str, Any]:
    return {
        "score": part.score,
        "max_score": part.max_score,
        "name": part.name,
        "number": str(number),
        "status": "passed" if part.score == part.max_score and part.score >= 0 else "failed",
        "output": part.says,
        "output_format": "text",
        "tags": [],
        "visibility": "visible",
    }


def submitters(metadata: Path) -> list[tuple[str, ...]]:
    """Who handed in, by submission_metadata.json: e-mail address, id and number at the university of each.

    Raises FileError.
    """
    try:
        found = json.loads(metadata.read_bytes()[:LARGEST])
        users = found["users"]
        words = [tuple(str(user[key]) for key in ("email", "id", "sid") if user.get(key)) for user in users]
    except OSError as error:
        raise FileError(f"{show(str(metadata))}: {error.strerror or error}: expected the metadata of a submission") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FileError(f"{show(str(metadata))} should hold users with id and email, as Gradescope writes it") from None
    if not any(words):
        raise FileError(f"{show(str(metadata))} names nobody: expected users with id and email")
    return words
