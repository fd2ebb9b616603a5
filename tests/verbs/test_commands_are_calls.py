"""Each command is one call of a verb, and the verb's keywords are the command's flags."""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import ask
from torch import nn
from typer.main import get_command

import rnntrace
from rnntrace.cli.app import app

VERBS = {
    name: f"rnntrace.verbs.{name}.{name}"
    for name in (
        "run",
        "compare",
        "backward",
        "explain",
        "diagnose",
        "mistakes",
        "layouts",
        "cells",
        "inspect",
        "load",
        "open_trace",
        "plot",
        "save",
    )
} | {
    "new_exercise": "rnntrace.course.new.new_exercise",
    "check_exercise": "rnntrace.course.check.check_exercise",
    "worksheet": "rnntrace.course.worksheet.worksheet",
    "grade": "rnntrace.course.grade.grade",
}
LINES = {
    "run": (["run", "lstm", "--seed", "1", "--no-bias", "--lengths", "4,2", "-B", "2", "--save", "s.npz"], ["run"]),
    "run on text": (["run", "rnn", "--text", "ab,ba", "--batch-first", "--seed", "1"], ["run"]),
    "run with a mistake": (["run", "lstm", "--seed", "1", "--mistake", "gate-order.iofc", "--blind"], ["run"]),
    "compare": (["compare", "w.pt", "--seed", "1"], ["compare"]),
    "compare with expected": (
        ["compare", "w.pt", "--input", "x.npy", "--expected", "y.npy", "--require", "output"],
        ["compare"],
    ),
    "compare two": (["compare", "w.pt", "w.pt", "--seed", "1"], ["compare"]),
    "diagnose": (["diagnose", "w.pt", "--input", "x.npy", "--expected", "y.npy", "--time-limit", "5"], ["diagnose"]),
    "diagnose a trace": (["diagnose", "t.npz"], ["diagnose"]),
    "explain": (["explain", "gru", "--no-bias"], ["explain"]),
    "explain a file": (["explain", "w.pt", "--at", "t=2,unit=1,gate=i", "--seed", "1"], ["explain"]),
    "inspect": (["inspect", "w.pt", "--weights"], ["inspect"]),
    "backward": (["backward", "lstm", "--seed", "1", "--loss", "last", "--truncate", "2"], ["backward"]),
    "backward on a file": (["backward", "w.pt", "--input", "x.npy"], ["backward"]),
    "mistakes": (["mistakes", "lstm", "--family", "gate-order"], ["mistakes"]),
    "layouts": (["layouts", "onnx"], ["layouts"]),
    "cells": (["cells", "lstm"], ["cells"]),
    "show": (["show", "t.npz", "--time", "1:2"], ["open_trace"]),
    "exercise new": (["exercise", "new", "gru", "-o", "week2.toml"], ["new_exercise"]),
    "exercise check": (["exercise", "check", "week1.toml"], ["check_exercise"]),
    "worksheet": (["worksheet", "week1.toml", "--key"], ["worksheet"]),
    "grade": (["grade", "week1.toml", "y.npy", "--student", "ada", "--jobs", "1"], ["grade"]),
    "plot": (["plot", "t.npz", "-o", "p.svg", "--layer", "0"], ["open_trace", "plot"]),
}
"""A line, and the verbs that it calls: to draw a part of a trace, the trace is looked at first."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights, an input, the output and a trace."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    module = nn.LSTM(3, 2)
    x = torch.randn(4, 1, 3)
    torch.save(module.state_dict(), "w.pt")
    np.save("x.npy", x.numpy())
    np.save("y.npy", module(x)[0].detach().numpy())
    rnntrace.save(rnntrace.trace(module, x), "t.npz")
    rnntrace.new_exercise("lstm", output="week1.toml")
    return tmp_path


@pytest.mark.parametrize(("line", "verbs"), LINES.values(), ids=LINES)
def test_each_command_is_one_call(
    line: list[str], verbs: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Called with keywords that Python users may give, and what they would get is what is printed. A verb may use another."""
    calls: list[tuple[str, Any]] = []
    running: list[str] = []

    def listening(name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(verb)
        def listened(*arguments: Any, **keywords: Any) -> Any:
            signature(verb).bind(*arguments, **keywords)
            running.append(name)
            found = verb(*arguments, **keywords)
            if running == [name]:
                calls.append((name, found))
            running.pop()
            return found

        return listened

    for name, place in VERBS.items():
        home, _, _ = place.rpartition(".")
        monkeypatch.setattr(place, listening(name, getattr(import_module(home), name)))
    answer = ask(capsys, *line)
    assert answer.code == 1 if "--mistake" in line else answer.code == 0, answer.err
    assert [name for name, _ in calls] == verbs
    verdict = getattr(calls[0][1], "verdict", None)
    if verdict is not None:
        assert str(verdict) in answer.out


def test_every_verb_is_there() -> None:
    """Each at home in the file of its name, and in the package."""
    for name, place in VERBS.items():
        assert getattr(rnntrace, name) is getattr(import_module(place.rpartition(".")[0]), name)


VIEW = {
    "show",
    "layer",
    "time",
    "unit",
    "item",
    "digits",
    "max-rows",
    "format",
    "output",
    "plot",
    "plot-kind",
    "quiet",
    "color",
}
"""How a command writes what a verb gives."""
LIMITS = {"timeout", "max-memory", "help"}
SIZES = {"sizes"}
"""Behind a kind: input size and hidden size."""
OTHERWISE: dict[str, tuple[set[str], set[str]]] = {
    "run": (SIZES, {"scratch", "ready", "tell", "warn"}),
    "compare": ({"file", "save"}, {"keep", "graph-inputs"}),
    "diagnose": ({"file", "time-limit"}, {"seconds", "graph-inputs"}),
    "explain": ({"at", *SIZES}, {"layer", "direction", "t", "item", "unit", "gate"}),
    "inspect": (set(), set()),
    "backward": (SIZES, {"hx"}),
    "mistakes": (set(), set()),
    "layouts": (set(), set()),
    "cells": (set(), set()),
    "worksheet": ({"output", "format"}, {"output", "format", "tell"}),
    "grade": ({"hand_ins", "fill", "feedback"}, {"hand-ins", "timeout", "max-memory", "tell"}),
}
"""What a command alone has, and what a verb alone has: the flag that is named otherwise, and what only a program can give."""


@pytest.mark.parametrize("name", OTHERWISE)
def test_keywords_are_flags(name: str) -> None:
    """With underscores for hyphens; a flag that takes something away is a keyword that is true without it."""
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    flags = {max(parameter.opts, key=len).lstrip("-") for parameter in command.params}
    keywords = {keyword.replace("_", "-") for keyword in signature(getattr(rnntrace, name)).parameters}
    alone, program = OTHERWISE[name]
    expected = {flag.removeprefix("no-") for flag in flags - VIEW - LIMITS - alone}
    renamed = {"lambda": "lam", "state": "states"}
    assert {renamed.get(flag, flag) for flag in expected} == keywords - program
    assert program <= keywords
    negated = [flag for flag in flags if flag.startswith("no-")]
    assert all(signature(getattr(rnntrace, name)).parameters[flag.removeprefix("no-")].default is True for flag in negated)
