"""What a user gave to a command, and the same typed for another one."""

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from inspect import signature
from typing import Any, get_args, get_type_hints

from typer.models import ArgumentInfo

from rnntrace.cli.options import OUTPUT
from rnntrace.errors import UsageError

Command = Callable[..., int]
SIGNALS = ("input", "alphabet", "h0", "c0", "lengths", "steps", "batch", "unbatched")
"""Parameters that commands and `read_sources` call alike."""


def given(command: Command, values: Mapping[str, Any]) -> Iterator[str]:
    """The names of a command's parameters that are not at their defaults."""
    for name, parameter in signature(command).parameters.items():
        if name in values and values[name] != parameter.default:
            yield name


def signals(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a command was given of x, h0, c0 and lengths, in the words of `read_sources`, as far as it has such parameters."""
    return {name: values[name] for name in SIGNALS if name in values} | {"texts": values["text"] or ()}


def names_in(text: str | None) -> tuple[str, ...]:
    """Names that were typed with commas between them. Raises UsageError where there is none between two."""
    names = () if text is None else tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(f"expected names with commas between them, such as output,h_n, and found {text!r}")
    return names


def refuse(flags: Collection[str], names: Iterable[str], reason: str) -> None:
    """Raises UsageError with the reason if one of these parameters is among the flags."""
    for name in names:
        if name in flags:
            raise UsageError(f"--{name.replace('_', '-')} {reason}")


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
