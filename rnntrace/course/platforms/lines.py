"""JSON lines: an object a student, as in the JSON; https://jsonlines.org."""

import json

from rnntrace.course.grades import Grades

SUFFIX = ".jsonl"


def text(grades: Grades) -> str:
    """A line a student."""
    return "".join(json.dumps(grade.document, ensure_ascii=False) + "\n" for grade in grades.found)
