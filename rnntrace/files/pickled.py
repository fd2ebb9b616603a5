"""What is written in a pickle, read without unpickling it: whether a mapping has a key twice, where unpickling keeps the last.

The opcodes and what each takes from the stack and leaves there: Lib/pickletools.py.
"""

import pickletools
from collections.abc import Iterable
from typing import Any, BinaryIO

from rnntrace.files.tensors import check_distinct

_KEEPING = {"SETITEM": 2, "APPEND": 1, "BUILD": 1}
"""How many things an opcode puts into the one below them, which stays."""
_KEEPING_MARKED = ("SETITEMS", "APPENDS", "ADDITEMS")


class _Thing:
    """Something on the stack: the keys or entries that were put into it so far."""

    def __init__(self) -> None:
        self.entries: list[Any] = []


def check_keys(file: BinaryIO) -> None:
    """Read one pickle. Raises FileError if a mapping in it has a key twice."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}
    mappings: list[_Thing] = []

    def taken(opcode: Any) -> list[Any]:
        """What the opcode takes from the stack."""
        marked = pickletools.markobject in opcode.stack_before
        start = marks.pop() if marked else len(stack) - _KEEPING.get(opcode.name, len(opcode.stack_before))
        found = stack[start:]
        del stack[start:]
        return found

    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        if name == "MARK":
            marks.append(len(stack))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "DUP":
            stack.append(stack[-1])
        elif isinstance(argument, str | int) and len(opcode.stack_after) == 1 and not opcode.stack_before:
            stack.append(argument)
        elif name in ("SETITEM", "SETITEMS"):
            found = taken(opcode)
            mappings.append(stack[-1])
            stack[-1].entries += found[::2]
        elif name in _KEEPING or name in _KEEPING_MARKED:
            found = taken(opcode)
            if isinstance(stack[-1], _Thing):
                stack[-1].entries += found
        else:
            found = taken(opcode)
            for _ in opcode.stack_after:
                stack.append(thing := _Thing())
                # Of a tuple or a list these are its entries; of a call, what it was called with.
                thing.entries += found
            if name == "DICT":
                stack[-1].entries = found[::2]
                mappings.append(stack[-1])
            if name in ("REDUCE", "NEWOBJ"):
                # collections.OrderedDict was once written as a call with pairs.
                mappings.append(_of_pairs(found[-1]))
                stack[-1].entries = [*mappings[-1].entries]
    for mapping in {id(thing): thing for thing in mappings}.values():
        check_distinct(f"{key}" for key in mapping.entries if isinstance(key, str | int))


def _of_pairs(arguments: Any) -> _Thing:
    """The first entries of the pairs in the first argument of a call."""
    keys = _Thing()
    first: Iterable[Any] = arguments.entries[:1] if isinstance(arguments, _Thing) else ()
    for pairs in first:
        for pair in pairs.entries if isinstance(pairs, _Thing) else ():
            keys.entries += pair.entries[:1] if isinstance(pair, _Thing) and len(pair.entries) == 2 else []
    return keys
