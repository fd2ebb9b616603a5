"""The keywords of a verb: which were given, which do not go together, and which are passed on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Any, TypeVar

from rnntrace.errors import UsageError

T = TypeVar("T")


def given(verb: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A verb's keywords that are not at their defaults, with their values."""
    return {
        name: values[name]
        for name, parameter in signature(verb).parameters.items()
        if name in values and not _is_default(values[name], parameter.default)
    }


def pass_on(function: Callable[..., T], keywords: Mapping[str, Any], **own: Any) -> T:
    """What a function makes of those keywords of a verb that it takes by the same name, and of `own` ones in place of them."""
    taken = {name: keywords[name] for name in signature(function).parameters if name in keywords}
    return function(**{**taken, **own})


def several(words: str | Sequence[str]) -> tuple[str, ...]:
    """Words where one alone may stand for a list of them."""
    return (words,) if isinstance(words, str) else tuple(words)


def refuse(given: Mapping[str, Any], among: Iterable[str], reason: str) -> None:
    """Raises UsageError with the reason for the first keyword among these that was given."""
    for name in among:
        if name in given:
            raise UsageError(f"`{name}=False` {reason}" if given[name] is False else f"`{name}` {reason}")


def _is_default(value: Any, default: Any) -> bool:
    # Arrays do not compare to one truth value.
    return value is default or (isinstance(value, str | int | float | tuple) and bool(value == default))
