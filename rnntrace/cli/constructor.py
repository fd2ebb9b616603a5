"""KIND with its sizes, as torch and our own headings write a module: `LSTM 3 2`, and `LSTM(3, 2, num_layers=2)`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rnntrace.cli.groups import ModuleFlags, VariantFlags
from rnntrace.errors import UsageError, show
from rnntrace.model.kinds import is_kind, parse_constructor

OF_FIELD = {"hidden_size": "hidden", "num_layers": "layers"}
"""Where a flag has another name than the field of a specification."""
TAKEN_AWAY = {"bias": "no_bias", "reset_after": "reset_before"}
"""Fields whose flags say the opposite."""
DEFAULTS = {flag.name: flag.default for group in (ModuleFlags, VariantFlags) for flag in fields(group)}


def with_sizes(kind: str | None, sizes: list[str] | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of flags, and of those that the kind's own sizes and options stand for; `kind` is the bare one.

    Raises UsageError for what is no size, and for what a flag says otherwise; SpecError for what is no module.
    """
    text = f"{kind}({', '.join(sizes)})" if kind and sizes else kind
    for word in sizes or ():
        if not word.strip().isdecimal():
            raise UsageError(_no_size(word))
    if sizes and len(sizes) != 2:
        raise UsageError(
            f"behind the kind stand two sizes, as in LSTM 3 2, and {' '.join(sizes)} is not two: give flags instead"
        )
    told = parse_constructor(text) if text else None
    if told is None:
        return {**values, "kind": kind}
    found = {**values, "kind": told.pop("kind")}
    for field, value in told.items():
        name = TAKEN_AWAY.get(field) or OF_FIELD.get(field, field)
        if name not in DEFAULTS:
            raise UsageError(f"{show(str(text))} has {show(field)}, which no flag of a module stands for")
        value = not value if field in TAKEN_AWAY else ",".join(value) if isinstance(value, tuple) else value
        if values[name] not in (DEFAULTS[name], value):
            raise UsageError(f"`{name}={values[name]}` contradicts {show(str(text))}: leave one of them out")
        found[name] = value
    return found


def _no_size(word: str) -> str:
    """What is wrong with a word behind a kind that is no whole number."""
    if is_kind(word):
        return f"one kind at a time: leave out {show(word)}"
    if word.lower() in ("true", "false", "yes", "no", "on", "off"):
        return f"a flag such as `bidirectional` takes no value: leave out {show(word)}"
    return (
        f"behind the kind stand its sizes, as in LSTM 3 2, and {show(word)} is no whole number: leave it out, or give its flag"
    )
