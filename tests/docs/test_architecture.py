"""The page on the architecture names what there is: every file of the package, and none that does not exist."""

import re
from pathlib import Path

import rnntrace

PACKAGE = Path(rnntrace.__file__).parent
PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+) \| (.+) \|$", PAGE.partition("## Where would I look?")[2], re.MULTILINE)[1:]
NAMED = {name for _, files in ROWS for name in re.findall(r"`([\w/]+(?:\.py|/))`", files)}


def test_every_file_named_exists() -> None:
    """Files and folders, in the table and above it."""
    for name in NAMED | set(re.findall(r"`((?!docs)\w+/[\w/]+\.py)`", PAGE)):
        assert (PACKAGE / name.removeprefix("rnntrace/")).exists(), name


def test_every_file_of_the_package_is_named() -> None:
    """By itself, or with its whole folder; files that only say what a folder is for need no question."""
    folders = tuple(name for name in NAMED if name.endswith("/"))
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        says_nothing = path.name == "__init__.py" and len(path.read_text(encoding="utf-8").splitlines()) <= 25
        if name not in ("__init__.py", "__main__.py"):
            assert name in NAMED or name.startswith(folders) or says_nothing, f"{name} is not in docs/architecture.md"


def test_a_question_stands_once() -> None:
    """And every row names a file."""
    questions = [question for question, _ in ROWS]
    assert len(questions) == len(set(questions)) > 50
    assert all(re.search(r"`[\w/]+(?:\.py|/)`", files) for _, files in ROWS)
