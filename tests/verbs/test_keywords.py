"""Each keyword of a verb is read by name, or passed on to something that takes it: none is accepted and then forgotten."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from inspect import getsource, signature, unwrap
from textwrap import dedent
from typing import Any

import pytest

import rnntrace
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.diagnose import OF_GRADIENTS
from rnntrace.verbs.given.keywords import pass_on
from rnntrace.verbs.given.modules import spec_of_kind
from rnntrace.verbs.given.overrides import FileOverrides
from rnntrace.verbs.given.sources import read_sources

TAKE: dict[str, set[str]] = {
    **{function.__name__: {*signature(function).parameters} for function in (JudgeOptions, FileOverrides, read_sources)},
    "_of_gradients": {*OF_GRADIENTS},
    spec_of_kind.__name__: {*signature(ModuleSpec).parameters, "hidden", "layers", "reset_before"},
}
# What `backward` makes its module and signals of.
TAKE["_problem"] = set().union(*TAKE.values()) | {"weights", "dist", "seed"}
"""The keywords that are taken by what verbs pass theirs on to."""


def unread(verb: Callable[..., Any]) -> set[str]:
    """The keywords of a verb that nothing in it reads."""
    (function,) = ast.parse(dedent(getsource(unwrap(verb)))).body
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    passed_on = {keyword for name in used & TAKE.keys() for keyword in TAKE[name]}
    return {*signature(verb).parameters} - used - passed_on


@pytest.mark.parametrize("name", ["run", "compare", "backward", "diagnose", "explain", "trace", "watch"])
def test_every_keyword_is_read(name: str) -> None:
    assert unread(getattr(rnntrace, name)) == set()


def test_a_keyword_that_nothing_reads_is_seen() -> None:
    def verb(*, rtol: float, hidden: int, lost: int) -> JudgeOptions:
        print(hidden)
        return pass_on(JudgeOptions, locals())

    assert unread(verb) == {"lost"}


@dataclass(frozen=True)
class Pair:
    """Two numbers."""

    first: int = 1
    second: int = 2


def test_what_is_passed_on_is_what_is_taken_and_own_values_go_first() -> None:
    assert pass_on(Pair, {"first": 3, "third": 4}) == Pair(3, 2)
    assert pass_on(Pair, {"first": 3}, first=5, second=6) == Pair(5, 6)
