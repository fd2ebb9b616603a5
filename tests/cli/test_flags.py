"""Messages name keywords, which are flags on the command line; no file below it knows of flags."""

import ast
from pathlib import Path

import pytest
from commandline import refused
from typer.main import get_command

import rnntrace
from rnntrace.cli.app import app
from rnntrace.cli.flags import KEYWORDS, OTHER_NAMES, in_flags, spelled
from rnntrace.errors import SpecError
from rnntrace.model.spec import ModuleSpec
from rnntrace.report.table import Report

PACKAGE = Path(rnntrace.__file__).parent
MAY_HAVE_DASHES = {
    "command_line": "the arguments of a command, to be typed again",
    "_RULES": "a style sheet",
    "_OF_TABLES": "a style sheet",
}
"""Functions and constants whose strings may begin with two dashes, and what they are."""


def texts(path: Path) -> list[tuple[str, str]]:
    """(name of the function or constant, text) of every string in a file that is no docstring."""
    found = []

    def walk(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            own = getattr(child, "name", None) or (
                getattr(child.targets[0], "id", None) if isinstance(child, ast.Assign) else None
            )
            if isinstance(child, ast.Constant) and isinstance(child.value, str):
                found.append((name, child.value))
            elif not docstring:
                walk(child, own or name)

    walk(ast.parse(path.read_text(encoding="utf-8")), "")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_text_below_the_command_line_names_a_flag(path: Path) -> None:
    """Whoever calls the library from Python has keywords."""
    if path.is_relative_to(PACKAGE / "cli"):
        return
    for name, text in texts(path):
        words = text.replace("'", " ").replace("`", " ").replace("(", " ").split()
        assert name in MAY_HAVE_DASHES or not [word for word in words if word.startswith("--") and word[2:3].isalpha()], (
            name,
            text,
        )


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("leave `proj_size` out", "leave --proj-size out"),
        ("`tolerance=rounding`, `rtol=0`", "--tolerance rounding, --rtol 0"),
        ("`bias=False` and `bidirectional=True`", "--no-bias and --bidirectional"),
        ("`lam`, `seconds=3`, `num_layers=2`", "--lambda, --time-limit 3, --layers 2"),
        ("`ignore='ln_*'`", "--ignore 'ln_*'"),
        (r"`max\_rows=0`", "--max-rows 0"),
        ("`rnntrace mistakes lstm` and `h[t-1]` and `unknown`", "`rnntrace mistakes lstm` and `h[t-1]` and `unknown`"),
    ],
)
def test_keywords_become_flags(text: str, flags: str) -> None:
    """With values, negated, under other names; all else stays as it is."""
    assert in_flags(text) == flags


def test_a_report_is_spelled_everywhere() -> None:
    """Lines, reasons, warnings and what is nested in the document; numbers stay."""
    report = Report(((("see `dtype`",), ()),), (), ("`rtol`",), False, {"a": ["`atol`", 1]}, ("`steps=3`",))
    found = spelled(report)
    assert (found.headline, found.conclusion, found.document, found.warnings) == (
        ((("see --dtype",), ()),),
        ("--rtol",),
        {"a": ["--atol", 1]},
        ("--steps 3",),
    )


def test_keywords_are_those_of_the_flags() -> None:
    """Every flag of every command has one, and no other word counts as one."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    flags = {flag for command in commands.values() for param in command.params for flag in param.opts if flag.startswith("--")}
    found = {flag[2:].removeprefix("no-").replace("-", "_") for flag in flags} - {"help"}
    others = {name.replace("-", "_"): keyword for keyword, name in OTHER_NAMES.items() if keyword in KEYWORDS}
    assert {others.get(name, name) for name in found} == KEYWORDS


def test_python_reads_of_keywords_and_the_shell_of_flags(capsys: pytest.CaptureFixture[str]) -> None:
    """The same mistake, and the fields that are wrong."""
    with pytest.raises(SpecError) as caught:
        ModuleSpec(kind="GRU", input_size=3, hidden_size=2, proj_size=1)
    assert str(caught.value).startswith("`proj_size` belongs to LSTM alone")
    assert caught.value.fields == ("proj_size",)
    assert "--proj-size belongs to LSTM alone" in refused(capsys, "run", "gru", "--proj-size", "1")
