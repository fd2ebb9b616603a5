"""What a user gave to a command, and the same typed for another one."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any, get_args, get_type_hints

from typer.models import ArgumentInfo

from rnntrace.cli.options import OUTPUT

Command = Callable[..., int]


def given(command: Command, values: Mapping[str, Any]) -> Iterator[str]:
    """The names of a command's parameters that are not at their defaults."""
    for name, parameter in signature(command).parameters.items():
        if name in values and values[name] != parameter.default:
            yield name


def typed(command: Command, values: Mapping[str, Any]) -> str:
    """The line to type for a command with these values, as far as it has such parameters; how it is written is left out."""
    words = ["rnntrace", command.__name__]
    hints = get_type_hints(command, include_extras=True)
    for name in given(command, values):
        _, info = get_args(hints[name])
        several = values[name] if isinstance(values[name], list) else [values[name]]
        if isinstance(info, ArgumentInfo):
            words += map(str, several)
        elif info.rich_help_panel != OUTPUT:
            # In an annotation typer keeps the first name where a default would stand.
            flag = str(info.default)
            words += [flag] if several == [True] else [word for value in several for word in (flag, str(value))]
    return shlex.join(words)
