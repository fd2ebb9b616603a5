"""Which columns of a table are which symbol's units, as a user says it: `h=3-10, i=11-18`, from 1 as in a spreadsheet."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rnntrace.errors import FileError, UsageError, show

STEPS, ITEMS = ("t", "time", "step", "timestep", "time_step"), ("item", "batch", "sample", "sequence")
"""Names of columns that count."""
_ENTRY = re.compile(r"\s*(?P<name>[A-Za-z0-9][\w.]{0,60})\s*=\s*(?P<first>\d{1,6})\s*(?:-\s*(?P<last>\d{1,6})\s*)?")
_SIGNAL = re.compile(r"x|lengths|mask|[a-z]+0", re.IGNORECASE)
"""Names of what a module is fed with; all others are of what it gives."""


@dataclass(frozen=True)
class Columns:
    """The columns of each name, from 0, in the order of its units, and all that have a name, for this table or another.

    It remembers whether it met a table at all.
    """

    places: Mapping[str, range]
    named: frozenset[int] = frozenset()
    _met: list[bool] = field(default_factory=list, init=False, repr=False, compare=False)

    def within(self, width: int) -> Mapping[str, range]:
        """The columns of a table of this width. Raises FileError if it has fewer."""
        self._met.append(True)
        for name, places in self.places.items():
            if places[-1] >= width:
                raise FileError(f"`columns` says that {name} ends at column {places[-1] + 1}, and the table has {width}")
        return self.places

    def check_used(self, unused: Collection[str]) -> None:
        """Raises UsageError if a name is among those of a table that mean nothing."""
        if strange := [name for name in self.places if name in unused]:
            raise UsageError(
                f"`columns` names {', '.join(strange)}, which means nothing here: leave it out, or give its own name"
            )

    def check(self) -> None:
        """To be called when every file was read. Raises UsageError if none was a table."""
        if not self._met:
            names = ", ".join(self.places)
            raise UsageError(f"`columns` says where {names} stands in a table of text, and none was given: leave it out")


@dataclass(frozen=True)
class ColumnsOfFiles:
    """The columns of a table of signals, and of one of what is expected; None where nothing is said of it."""

    signals: Columns | None = None
    results: Columns | None = None

    def check(self) -> None:
        """See `Columns.check`."""
        for columns in (self.signals, self.results):
            if columns is not None:
                columns.check()


def columns_of(text: str | None) -> ColumnsOfFiles:
    """What `columns` says. Signals (x, h0, lengths, mask) are in the table that is fed, all others in the expected one.

    A count of steps or items, t or item, is in both. Raises UsageError.
    """
    places: dict[str, range] = {}
    for entry in () if text is None else text.split(","):
        match = _ENTRY.fullmatch(entry)
        first, last = (0, 0) if match is None else (int(match["first"]), int(match["last"] or match["first"]))
        if match is None or not 0 < first <= last:
            raise UsageError(
                f"`columns` gives the columns of a name from 1, such as 'h=3-10, i=11-18', and not {show(entry.strip())[:40]!r}"
            )
        if match["name"] in places:
            raise UsageError(f"`columns` says twice which are those of {match['name']}: leave one of them out")
        places[match["name"]] = range(first - 1, last)
    taken: dict[int, str] = {}
    for name, own in places.items():
        for place in own:
            if taken.setdefault(place, name) != name:
                raise UsageError(
                    f"`columns` gives column {place + 1} to {taken[place]} and to {name}, and it can be of one alone"
                )
    counts = {name: own for name, own in places.items() if name.lower() in (*STEPS, *ITEMS)}
    signals = {name: own for name, own in places.items() if _SIGNAL.fullmatch(name) and name not in counts}
    results = {name: own for name, own in places.items() if name not in signals and name not in counts}
    if counts and not signals and not results:
        raise UsageError(f"`columns` says where {', '.join(counts)} stands, and no other column: name those of x, output, h, …")
    return ColumnsOfFiles(*(Columns({**counts, **own}, frozenset(taken)) if own else None for own in (signals, results)))
