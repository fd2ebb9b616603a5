"""A report: what every renderer gets, and all that it gets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.model.dtypes import Flags

if TYPE_CHECKING:
    from rnntrace.report.page import Play

SCHEMA = 1
"""Version of every command's JSON document; it changes when a key changes its meaning."""


class Scale(Enum):
    """What a column's numbers are, for whoever shows them."""

    INDEX = "index"
    """Whole numbers that say which row this is."""
    COUNT = "count"
    """Whole numbers."""
    UNIT = "unit"
    """Values from 0 to 1, such as sigmoid gates."""
    SIGNED = "signed"
    """Values around 0."""
    DIFFERENCE = "difference"
    """Absolute differences, shown by their order of magnitude."""
    MAGNITUDE = "magnitude"
    """Sizes of any order of magnitude, which is shown."""
    NAME = "name"
    """Words, not numbers: which row this is."""
    WORD = "word"
    """Words, not numbers."""


@dataclass(frozen=True)
class Column:
    """A column of numbers, or of names. Masked values do not exist. `flagged` marks those that are out of tolerance.

    Columns of one `group` belong closest together, and groups of one `section` next to each other.
    """

    heading: str
    values: np.ma.MaskedArray[Any, np.dtype[Any]] | NDArray[Any]
    scale: Scale = Scale.SIGNED
    section: str = ""
    group: str = ""
    flagged: Flags | None = None


@dataclass(frozen=True)
class Table:
    """Columns of equal length under a title; those of scale INDEX and NAME come first.

    `marked` are rows that are shown however few are. Of a table with too many rows the columns hold a part: a row in `cuts`
    has so many steps missing in front of it, each of `step` rows, which have values where the `step` rows before have any.
    """

    title: str
    columns: tuple[Column, ...]
    marked: frozenset[int] = frozenset()
    cuts: Mapping[int, int] = field(default_factory=dict)
    step: int = 1

    @property
    def rows(self) -> int:
        """Number of rows at hand."""
        return len(self.columns[0].values)


def word_table(title: str, *columns: tuple[str, Sequence[str]]) -> Table:
    """Headings with the words below each; those of the first column say which row is which."""
    scales = [Scale.NAME, *[Scale.WORD] * (len(columns) - 1)]
    return Table(
        title,
        tuple(
            Column(heading, np.array(words, object), scale, "words", "words")
            for (heading, words), scale in zip(columns, scales, strict=True)
        ),
    )


@dataclass(frozen=True)
class Panel:
    """One symbol of one layer, direction and item as a grid of numbers, to be drawn.

    `values` (rows, x) belong to the labels `rows`, which `row_name` names together, and to the positions `x` on an axis of
    that name: times, or for a histogram the edges of the bins, one more than there are values. Masked values do not exist.
    The colours or the axis of a value end at `limit`; `flagged` marks what is out of tolerance, and `note` says in words
    what the numbers do not.
    """

    where: str
    symbol: str
    role: str
    scale: Scale
    rows: tuple[str, ...]
    x: tuple[float, ...]
    values: np.ma.MaskedArray[Any, np.dtype[Any]]
    limit: float = 1.0
    row_name: str = "unit"
    x_name: str = "t"
    flagged: Flags | None = None
    note: str = ""


@dataclass(frozen=True)
class Formula:
    """An equation or a line of a derivation: as it reads in a terminal, and as it is typeset. `label` says what it is."""

    label: str
    text: str
    latex: str


@dataclass(frozen=True)
class Formulas:
    """Formulas under a title, one a line."""

    title: str
    lines: tuple[Formula, ...]


@dataclass(frozen=True)
class Rows:
    """Values one a row, in full precision, in as many rows as there are values: too many to lay out as tables.

    `blocks` gives them in blocks, tables whose columns have these headings, each worked out when it is asked for.
    """

    headings: tuple[str, ...]
    blocks: Callable[[], Iterator[Table]]


Line = tuple[tuple[str, ...], tuple[str, ...]]
"""Parts of a line from the left, and parts for the right margin."""


@dataclass(frozen=True)
class Report:
    """What a command has to tell.

    `headline` are lines of parts, some of them for the right margin; `conclusion` are parts of the last line, the verdict
    first if there is one, and then `passed` says which it is; `document` is the whole result as nested mappings, lists,
    plain values and arrays, for formats that lose nothing. Formulas stand above the tables, and `panels` below them are to
    be drawn as coloured cells. `rows` are the values of a trace, None for reports whose tables are all their values. `plays`
    gives what an interactive page plays, where there is any. `hint` is what to type next, for a person and not for a file.
    """

    headline: tuple[Line, ...]
    tables: tuple[Table, ...]
    conclusion: tuple[str, ...]
    passed: bool | None
    document: Mapping[str, Any]
    warnings: tuple[str, ...] = field(default=())
    formulas: tuple[Formulas, ...] = ()
    panels: tuple[Panel, ...] = ()
    rows: Rows | None = None
    plays: "Callable[[], Sequence[Play]] | None" = None
    hint: str = ""
