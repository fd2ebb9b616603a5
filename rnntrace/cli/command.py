"""A command of typer's that keeps to its limits, and does not load pydantic for lines that need no conversion.

typer has pydantic convert every value, defaults too, and pydantic takes longer to load than typer itself.
"""

import os
import re
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from typer.core import TyperCommand
from typer.exceptions import TyperException

from rnntrace.cli.limited import Limits, go_on_in_child, limits, out_of_memory
from rnntrace.cli.progress import showing_progress

HELP_FLAGS = ["-h", "--help", "--help-all"]
"""The last of them shows every other flag."""
WHOLE_HELP = "whole help"
"""In the context of a line: whether it asks for all flags."""
IN_CHILD = "in child"
"""In the context of a line that a process was started for, and that goes on in a child of it."""
_WHOLE = re.compile(r"-?[0-9]+")


class Command(TyperCommand):
    """Takes words, flags, choices, paths and whole numbers as they are; a line with anything else goes typer's own way."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Examples and the flags that people use, or all of them."""
        from rnntrace.cli.help import shown

        TyperCommand.format_help(shown(self, ctx.meta[WHOLE_HELP]), ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Fill `ctx.params` with what the line gives, and defaults. What is wrong with a line typer says."""
        ctx.meta[WHOLE_HELP] = HELP_FLAGS[-1] in args
        try:
            given, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
        except TyperException as error:
            # Not every one of them says of which command it is.
            vars(error)["ctx"] = ctx
            raise
        given = {name: value for name, value in given.items() if value is not None}
        hints = get_type_hints(self.callback, include_extras=True)
        missing = any(param.required and param.name not in given for param in self.params)
        # What has no hint is --help.
        if rest or missing or ctx.resilient_parsing or not given.keys() <= hints.keys():
            return super().parse_args(ctx, args)
        try:
            plain = {name: _plain(hints[name], value) for name, value in given.items()}
        except ValueError:
            return super().parse_args(ctx, args)
        ctx.params |= {param.name: param.get_default(ctx) for param in self.params} | plain
        return []

    def invoke(self, ctx: Any) -> Any:
        """Carry out the command; in a process of its own and within its limits, where the line is that of a process."""
        kept_to = Limits()
        if IN_CHILD in (ctx.obj or ()):
            words = [value for value in ctx.params.values() if isinstance(value, str | Path)]
            if "timeout" in ctx.params:
                kept_to = limits(ctx.params["timeout"], ctx.params["max_memory"], words)
            go_on_in_child(kept_to, [word for word in words if isinstance(word, Path)])
        try:
            with showing_progress():
                return super().invoke(ctx)
        except (MemoryError, SystemError):
            # Of a library that wanted memory and did not see that it got none, Python says SystemError.
            raise out_of_memory(kept_to) from None


def _plain(hint: Any, value: Any) -> Any:
    """The value of a parameter that is declared so. Raises ValueError where there is more to it than to look at it."""
    annotation, info = get_args(hint)
    # `int | None` is int: what was given is not None.
    kind = get_args(annotation)[0] if isinstance(annotation, UnionType) else annotation
    if kind in (str, bool, list[str]):
        return value
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind is int and info.min is None and info.max is None and _WHOLE.fullmatch(value):
        return int(value)
    # typer refuses files that are there and cannot be read.
    if kind is Path and (os.access(value, os.R_OK) or not os.access(value, os.F_OK)):
        return Path(value)
    raise ValueError
