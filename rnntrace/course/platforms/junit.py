"""JUnit's XML: a suite a student, a case a part."""

import re
from xml.etree import ElementTree

from rnntrace.course.exercise import points
from rnntrace.course.grades import Grade, Grades, Status

SUFFIX = ".xml"
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold in any form."""


def text(grades: Grades) -> str:
    """One document. A part without all of its points is a failure, what cannot be graded an error, who is absent skipped."""
    cases = [max(len(grade.parts), 1) for grade in grades.found]
    root = ElementTree.Element("testsuites", name=_plain(grades.title), tests=str(sum(cases)))
    for grade in grades.found:
        _suite(root, grade)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(root: ElementTree.Element, grade: Grade) -> None:
    failed = [part for part in grade.parts if part.score < part.max_score or part.score < 0]
    absent, graded = (grade.status is status for status in (Status.ABSENT, Status.GRADED))
    counts = {
        "tests": max(len(grade.parts), 1),
        "failures": len(failed),
        "errors": int(not absent and not graded),
        "skipped": int(absent),
    }
    suite = ElementTree.SubElement(root, "testsuite", {"name": _plain(grade.id), **{key: str(n) for key, n in counts.items()}})
    for part in grade.parts:
        case = ElementTree.SubElement(suite, "testcase", classname=_plain(grade.id), name=_plain(part.name))
        if part in failed:
            says = f"{points(part.score)} of {points(part.max_score)}: {part.says}"
            ElementTree.SubElement(case, "failure", message=_plain(says)).text = _plain(grade.feedback)
    if not grade.parts:
        case = ElementTree.SubElement(suite, "testcase", classname=_plain(grade.id), name="hand-in")
        ElementTree.SubElement(case, "skipped" if absent else "error", message=_plain(grade.feedback))


def _plain(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
