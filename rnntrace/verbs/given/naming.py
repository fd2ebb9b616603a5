"""Which array of a file is which: by its name, or as the only one."""

from collections.abc import Sequence
from typing import Any

from rnntrace.errors import FileError, show
from rnntrace.files.tensors import Tensors
from rnntrace.model.vocabulary import Name, Vocabulary
from rnntrace.verbs.given.arrays import label_of


def found_in(tensors: Tensors, words: Vocabulary, source: Any, alone: Name) -> dict[Name, str]:
    """The names of arrays in a file by what they mean; one array of another name, where there is no more, is `alone`.

    Raises FileError for two names of one thing, for a name that is nearly right, and if what cannot be read has a right one.
    """
    everything = (*tensors.arrays, *tensors.refused)
    found: dict[Name, str] = {}
    where = label_of(source)
    for own in everything:
        name, meant = words[own], words.meant(own)
        if name is None and meant and not (len(everything) == 1 and meant == words.canonical[alone]):
            raise FileError(
                f"{where}: {show(own)[:60]} is not a name that is read: did you mean {meant}? `ignore` leaves it out"
            )
        if name in found:
            raise FileError(
                f"{where}: {show(found[name])} and {show(own)} both mean {words.canonical[name]}: leave one of them out"
            )
        if name is not None:
            found[name] = own
    if not found and (len(tensors.arrays) == 1 or len(everything) == 1):
        found = {alone: next(iter(tensors.arrays or everything))}
    for own in found.values():
        if own in tensors.refused:
            raise FileError(f"{where}: {show(own)[:60] or 'it'} should hold numbers, and holds {tensors.refused[own]}")
    return found


def unused_in(tensors: Tensors, words: Vocabulary, source: Any, used: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of arrays in a file that are not used, and a sentence on them if there are any."""
    unused = tuple(own for own in (*tensors.arrays, *tensors.refused) if own not in used)
    known = ", ".join(words.canonical.values())
    sentence = f"{label_of(source)}: not read: {listed(unused)} (names that are read: {known})"
    return unused, (sentence,) if unused else ()


def listed(names: Sequence[str]) -> str:
    """Names out of a file, fit for a line."""
    return ", ".join(show(name)[:60] for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
