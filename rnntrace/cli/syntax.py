"""What is typed behind a flag, and what it means: places, ranges, parts of a view, texts, lengths, names."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rnntrace.cli.groups import ViewFlags
from rnntrace.errors import UsageError

if TYPE_CHECKING:
    from rnntrace.model.spec import ModuleSpec
    from rnntrace.report.select import View


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


def states_in(given: Sequence[str] | None) -> dict[str, str] | None:
    """Initial states that were typed as m0=FILE, by name. Raises UsageError for another form, and for a name given twice."""
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, source = (part.strip() for part in text.partition("="))
        if not equals:
            raise UsageError(f"--state should name an initial state and its values, such as m0=random, not {text!r}")
        if name in found:
            raise UsageError(f"--state gives {name} twice: leave one of them out")
        found[name] = source
    return found or None


def names_in(text: str | None) -> tuple[str, ...]:
    """Names that were typed with commas between them. Raises UsageError where there is none between two."""
    names = () if text is None else tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(f"expected names with commas between them, such as output,h_n, and found {text!r}")
    return names


def parse_parts(text: str, among: Sequence[str] | None = None) -> frozenset[str]:
    """Parts from `gates,states`, or all of them from `all`; by default those of a trace. Raises UsageError for another word."""
    from rnntrace.report.select import HEAT, PARTS

    words, beside = {word.strip() for word in text.split(",")}, () if among else (HEAT,)
    among = among or PARTS
    if "all" in words:
        return frozenset(among) | (words & {*beside})
    for word in words - {*among, *beside}:
        raise UsageError(f"unknown part {word!r} in --show: choose from {', '.join((*among, 'all', *beside))}")
    return frozenset(words)


def parse_view(flags: ViewFlags, spec: "ModuleSpec", steps: int, batch: int, *, parts: Sequence[str] | None = None) -> "View":
    """The view that is asked for, of a run of so many steps and items. Raises UsageError."""
    from rnntrace.report.select import View

    return View(
        parse_parts(flags.show, parts),
        parse_range(flags.layer, "--layer", 0, spec.num_layers - 1),
        parse_range(flags.time, "--time", 0, steps),
        parse_range(flags.unit, "--unit", 0, spec.hidden_size - 1),
        parse_range(flags.item, "--item", 0, batch - 1),
    )


def parse_range(text: str | None, option: str, first: int, last: int) -> Sequence[int] | None:
    """Numbers from `3`, `1,3`, `2:4` (both ends included), `2:` or `:4`, each between first and last. Raises UsageError."""
    if text is None:
        return None
    chosen: list[range] = []
    for part in text.split(","):
        start, colon, end = part.partition(":")
        try:
            low = int(start) if start.strip() or not colon else first
            high = (int(end) if end.strip() else last) if colon else low
        except ValueError:
            raise UsageError(f"{option} should be a number, 1,3 or 2:4, not {text!r}") from None
        if not first <= low <= high <= last:
            raise UsageError(f"{option} {part} is out of range: there are {first} to {last}")
        chosen.append(range(low, high + 1))
    # A range alone stays one: it may hold a million times.
    return chosen[0] if len(chosen) == 1 else sorted({number for part in chosen for number in part})
