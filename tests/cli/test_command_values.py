"""Values of flags: our commands are called as typer's own would be, and refuse what those refuse, in the same words."""

import os
from collections.abc import Callable
from functools import update_wrapper
from inspect import signature
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.core import TyperCommand
from typer.exceptions import TyperException
from typer.main import get_command

from rnntrace.cli.app import app
from rnntrace.cli.command import Command

FUNCTIONS: dict[str, Any] = {each.callback.__name__: each.callback for each in app.registered_commands if each.callback}
WORDS = (
    *("lstm", "x", "", " ", "-", "a,b", "ä", "json", "JSON", "table", "free", "float16", "on", "always", "zeros", "true"),
    *("0", "1", "2", "-1", "+1", "007", "1_0", "1.0", "1.5", " 2 ", "٣", "1e3", "nan", "9" * 18, "9" * 19, "9" * 5000),
    *("none/there.txt", ".", "x" * 300, "a\0b", "--", "--no-such", "-q"),
)


def echoing(function: Any, kind: type[TyperCommand]) -> Callable[[list[str]], str]:
    """What a function with these parameters would be called with for a line, or what is said against the line."""

    def echo(**values: object) -> str:
        return repr(sorted(values.items()))

    only = typer.Typer(add_completion=False, context_settings=app.info.context_settings)
    only.command(cls=kind)(update_wrapper(echo, function))
    command: Any = get_command(only)

    def answer(line: list[str]) -> str:
        try:
            return str(command(args=line, standalone_mode=False))
        except TyperException as error:
            return f"{type(error).__name__}: {error.format_message()}"

    return answer


OURS = {name: echoing(function, Command) for name, function in FUNCTIONS.items()}
TYPERS = {name: echoing(function, TyperCommand) for name, function in FUNCTIONS.items()}


def flags_of(function: Any) -> list[tuple[str, bool]]:
    """A command's flags, and whether each takes a value."""
    hints = get_type_hints(function, include_extras=True)
    declared = [get_args(hints[name]) for name in signature(function).parameters]
    # In an annotation typer keeps the first name where a default would stand.
    return [
        (flag, annotation is not bool)
        for annotation, info in declared
        if isinstance(info, typer.models.OptionInfo)
        for flag in (info.default, *(info.param_decls or ()))
    ]


@st.composite
def lines(draw: st.DrawFn, function: Any) -> list[str]:
    """A few flags and words, of which some fit."""
    word = st.sampled_from(WORDS)
    flag = st.sampled_from(flags_of(function))
    line: list[str] = []
    for part in draw(st.lists(st.one_of(word, flag, flag), max_size=4)):
        line += [part] if isinstance(part, str) else [part[0], draw(word)] if part[1] else [part[0]]
    return line


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
def test_a_line_means_what_it_means_to_typer(name: str, data: st.DataObject) -> None:
    """On any line, with values that fit, that do not, and that are almost numbers."""
    line = data.draw(lines(FUNCTIONS[name]))
    assert OURS[name](line) == TYPERS[name](line)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_flag_means_what_it_means_to_typer(name: str) -> None:
    """Each by itself, with each word."""
    kind = [] if OURS[name]([]).startswith("[") else ["lstm"]
    for flag, takes_value in flags_of(FUNCTIONS[name]):
        for word in WORDS if takes_value else ("",):
            line = [*kind, flag, *([word] if takes_value else [])]
            assert OURS[name](line) == TYPERS[name](line), line


def test_a_file_that_cannot_be_read_is_refused_alike(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by its permissions, which do not bind the superuser."""
    (folder / "t.npz").touch()
    assert OURS["show"](["t.npz"]) == TYPERS["show"](["t.npz"])
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.R_OK)
    assert "is not readable" in OURS["show"](["t.npz"])
    assert OURS["show"](["t.npz"]) == TYPERS["show"](["t.npz"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_use_what_is_known_of(name: str) -> None:
    """A parameter that asks more of typer, such as a parser or a callback, is no word that is taken as it is."""
    looks = {"default", "param_decls", "help", "metavar", "show_default", "rich_help_panel", "min", "max", "autocompletion"}
    hints = get_type_hints(FUNCTIONS[name], include_extras=True)
    for parameter in signature(FUNCTIONS[name]).parameters:
        _, info = get_args(hints[parameter])
        usual = vars(type(info)())
        assert {key for key, value in vars(info).items() if value != usual[key]} <= looks, parameter
