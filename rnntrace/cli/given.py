"""What a user gave to a command, and the same typed for another one."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any, get_args, get_type_hints

from typer.models import ArgumentInfo

from rnntrace.cli.options import OUTPUT
from rnntrace.cli.syntax import lengths_in, names_in, split_texts, states_in
from rnntrace.errors import UsageError

Command = Callable[..., int]


def given(command: Command, values: Mapping[str, Any]) -> Iterator[str]:
    """The names of a command's parameters that are not at their defaults."""
    for name, parameter in signature(command).parameters.items():
        if name in values and values[name] != parameter.default:
            yield name


def keywords(verb: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """What a command was given, in the words of a verb, as far as both have them. Raises UsageError for text of another form.

    A flag that takes something away, as --no-bias, is the opposite of the verb's keyword.
    """
    found: dict[str, Any] = {}
    for name in signature(verb).parameters:
        if f"no_{name}" in values:
            found[name] = not values[f"no_{name}"]
        elif name in values:
            found[name] = values[name] if name not in _READ else _READ[name](values[name])
    if "text" in found:
        found["text"] = split_texts(found["text"], found.get("alphabet"))
    return found


_READ: dict[str, Callable[[Any], Any]] = {
    "lengths": lengths_in,
    "states": states_in,
    "require": names_in,
    "reverse_activations": names_in,
    "names": lambda given: given or (),
    "ignore": lambda given: given or (),
    "mistake": lambda given: given or (),
}
"""How the text of a flag becomes what a verb takes."""


def sources_of(file: str | None, weights: str | None) -> dict[str, str | None]:
    """The weights that a command is about, its argument or what --weights names; beside the argument these are graph inputs.

    Raises UsageError where there are none.
    """
    if file is None and weights is None:
        raise UsageError("expected a file of weights, as the argument or with --weights, or a saved trace")
    return {"weights": file or weights or "", "graph_inputs": weights if file is not None else None}


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
