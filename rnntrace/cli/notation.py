"""A module as torch writes it, `LSTM(3, 2, num_layers=2)`, or with its sizes behind it, `LSTM 3 2`, as flags."""

import re
from collections.abc import Sequence

from rnntrace.errors import UsageError

COMMANDS = ("run", "explain", "backward")
"""Commands whose argument is a kind."""
SIZES = ("--input-size", "--hidden", "--layers")
"""What numbers behind a kind are, in torch's order."""
FLAGS = {
    "input_size": "--input-size",
    "hidden_size": "--hidden",
    "num_layers": "--layers",
    "nonlinearity": "--nonlinearity",
    "proj_size": "--proj-size",
    "dropout": "--dropout",
    "dtype": "--dtype",
}
"""Torch's keywords with a value."""
SWITCHES = {"bidirectional": (True, "--bidirectional"), "batch_first": (True, "--batch-first"), "bias": (False, "--no-bias")}
"""Torch's keywords that are True or False: the flag, and for which of the two it stands."""
_MODULE = re.compile(r"(?:torch\.)?(?:nn\.)?(?P<kind>\w+)\((?P<inside>[^()]*)\)")


def in_flags(arguments: Sequence[str]) -> list[str]:
    """The line with a kind and flags in place of torch's notation. Raises UsageError for a keyword that no flag stands for."""
    command, what, *rest = [*arguments, "", ""][: max(len(arguments), 2)]
    if command not in COMMANDS:
        return list(arguments)
    from rnntrace.model.kinds import is_kind

    found = _MODULE.fullmatch(what.strip())
    if not is_kind(found["kind"] if found else what):
        return list(arguments)
    if found:
        return [command, found["kind"], *_inside(found["kind"], found["inside"]), *rest]
    count = next((k for k, text in enumerate(rest) if not text.isdecimal()), len(rest))
    if not 0 < count <= len(SIZES):
        return list(arguments)
    return [command, what, *_sizes(rest[:count]), *rest[count:]]


def _sizes(numbers: Sequence[str]) -> list[str]:
    return [part for flag, number in zip(SIZES, numbers, strict=False) for part in (flag, number)]


def _inside(kind: str, text: str) -> list[str]:
    """What stands between the brackets."""
    flags: list[str] = []
    parts = [part.strip() for part in text.split(",") if part.strip()]
    sizes = [part for part in parts if "=" not in part]
    if not all(size.isdecimal() for size in sizes) or len(sizes) > len(SIZES):
        raise UsageError(f"expected sizes as in {kind}(3, 2), and found {kind}({text})")
    for part in parts[len(sizes) :]:
        name, _, value = (piece.strip().strip("'\"") for piece in part.partition("="))
        if name in SWITCHES and value in ("True", "False"):
            when, flag = SWITCHES[name]
            flags += [flag] if (value == "True") is when else []
        elif name in FLAGS:
            flags += [FLAGS[name], value.removeprefix("torch.")]
        else:
            known = ", ".join((*FLAGS, *SWITCHES))
            raise UsageError(f"{kind}({text}): no flag stands for {part}, torch's keywords here are {known}")
    return [*_sizes(sizes), *flags]
