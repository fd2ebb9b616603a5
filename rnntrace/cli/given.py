"""What a user gave to a command, and the same typed for another one."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import signature
from typing import Any, get_args, get_type_hints

from typer.models import ArgumentInfo

from rnntrace.cli.options import OUTPUT
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


def place_in(text: str) -> dict[str, Any]:
    """What `layer=0,t=2,unit=1` names, in the words of `explain`. Raises UsageError."""
    from rnntrace.verbs.given.place import PLACE

    given: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in PLACE:
            how = "write it as t=2,unit=1, with any of " + ", ".join(PLACE)
            raise UsageError(f"--at {part.strip()!r} names no place: {how}")
        if key in given:
            raise UsageError(f"--at names {key} twice: leave one of them out")
        given[key] = value if key in ("direction", "gate") else _whole(key, value)
    return given


def _whole(key: str, text: str) -> int:
    if not re.fullmatch("[+-]?[0-9]{1,18}", text):
        raise UsageError(f"--at has {key}={text}, and {key} is a whole number")
    return int(text)


def split_texts(texts: Sequence[str] | None, alphabet: str | None) -> tuple[str, ...]:
    """One text an item: a comma separates texts unless it is a character of the alphabet."""
    if alphabet is not None and "," in alphabet:
        return tuple(texts or ())
    return tuple(part for text in texts or () for part in text.split(","))


def lengths_in(text: str | None) -> list[int] | None:
    """Whole numbers that were typed with commas between them. Raises UsageError."""
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--lengths should be whole numbers such as 5,3,2, not {text!r}") from None


def names_in(text: str | None) -> tuple[str, ...]:
    """Names that were typed with commas between them. Raises UsageError where there is none between two."""
    names = () if text is None else tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(f"expected names with commas between them, such as output,h_n, and found {text!r}")
    return names


_READ: dict[str, Callable[[Any], Any]] = {
    "lengths": lengths_in,
    "require": names_in,
    "names": lambda given: given or (),
    "ignore": lambda given: given or (),
    "mistake": lambda given: given or (),
}
"""How the text of a flag becomes what a verb takes."""


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
