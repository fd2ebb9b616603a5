"""Tables of numbers as text: what spreadsheets write, what is copied out of them, and lines that a program prints.

A row is a step and a column a feature. Cells are told apart by semicolons, tabs, commas or blanks. A first row without any
number are headings: i0, i1, f0, f1 (or i_0, i[0], i1 … iH) are gates by unit, a column t counts the steps, and one called item
the items. Which columns are whose can be said as well.
"""

import csv
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import FileError, show
from rnntrace.files.columns import ITEMS, STEPS, Columns
from rnntrace.model.dtypes import Array

Numbers = tuple[Array, Sequence[str]]
"""An array, and its numbers as they were typed."""

_UNIT = re.compile(r"(?P<symbol>[A-Za-z](?:\w*[A-Za-z])?)_?(?:(?P<plain>\d{1,6})|\[(?P<index>\d{1,6})\])")
_PRINTED = re.compile(r"(?:t|step|time ?step) ?[=:]? ?(?P<step>\d{1,9}) ?[,:;]? (?P<rest>[A-Za-z].*)")
"""A line whose blanks are single ones."""
_NAME = re.compile(r"(?<![\w.])([A-Za-z][\w.]{0,60}) ?[:=]")
_LETTER = re.compile(r"[^\W\d_]")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")


def parse_table(text: str, columns: Columns | None = None) -> dict[str, Numbers]:
    """The arrays of a table by their headings, (T, S) or of several items (T, B, S); else the one of it under the empty name.

    `columns` says which are whose, whatever the headings; all others stand under a name that tells which they are. Raises
    FileError.
    """
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if lines and all(_PRINTED.fullmatch(_single_blanks(line)) for _, line in lines[:2]):
        if columns is not None:
            raise FileError("its lines name their numbers, and have no `columns`: leave that out")
        return _printed(lines)
    headings, values, texts = _table(lines, *_separators(text))
    if not headings and columns is None:
        return {"": (values, texts)}
    width = values.shape[1]
    small = [heading.lower() for heading in headings]
    steps, items = ([place for place, name in enumerate(small) if name in names] for names in (STEPS, ITEMS))
    groups = None
    if columns is not None:
        groups = {name: [*places] for name, places in columns.within(width).items()}
        steps, items = (_said(groups, names) or found for names, found in ((STEPS, steps), (ITEMS, items)))
        _check_counts(groups, [*steps, *items])
        groups = _with_rest(groups, [place for place in range(width) if place not in {*columns.named, *steps, *items}])
    headings = headings or [f"column {place + 1}" for place in range(width)]
    return _split(headings, steps, items, values, np.array(texts, dtype=object).reshape(values.shape), groups)


def _said(groups: dict[str, list[int]], names: Sequence[str]) -> list[int]:
    """The columns of what counts, which are no symbol's."""
    return [place for name in [*groups] if name.lower() in names for place in groups.pop(name)]


def _check_counts(groups: Mapping[str, Sequence[int]], counts: Sequence[int]) -> None:
    for name, places in groups.items():
        if found := {*places} & {*counts}:
            raise FileError(f"`columns` gives column {min(found) + 1} to {name}, and its heading says that it counts")


def _separators(text: str) -> tuple[str | None, bool]:
    """What stands between two cells, None for blanks, and whether decimals stand behind a comma."""
    if ";" not in text and ("\t" not in text or ("," in text and not _has_decimal_commas(text, "\t"))):
        return "," if "," in text else None, False
    separator = ";" if ";" in text else "\t"
    return separator, _has_decimal_commas(text, separator)


def _has_decimal_commas(text: str, separator: str) -> bool:
    """Whether commas can be nothing else: no number has a point, and 1,234 is no thousand, as there is 0,5 or 1,25 too."""
    cells = [cell.strip() for line in text.split("\n") for cell in line.split(separator) if "," in cell]
    if not cells or not all(map(_DECIMAL_COMMA.fullmatch, cells)) or re.search(r"\d\.\d", text):
        return False
    return any(re.fullmatch(r"[+-]?(0,.*|\d+,(?!\d{3}$).*)", cell) for cell in cells)


def _table(lines: Sequence[tuple[int, str]], separator: str | None, decimal_commas: bool) -> tuple[list[str], Array, list[str]]:
    """Headings if there are any, the numbers (rows, columns), and their texts."""
    texts: list[str] = []
    values = array("d")
    headings: list[str] = []
    first = width = 0
    try:
        for place, (number, row) in enumerate(_rows(lines, separator)):
            row = [cell.replace(",", ".") for cell in row] if decimal_commas else row
            if place == 0 and not any(map(_is_number, row)) and any(map(_LETTER.search, row)):
                headings = [cell.strip() for cell in row]
                continue
            first, width = first or number, width or len(row)
            if len(row) != width:
                raise FileError(f"row {number} has {len(row)} values, and row {first} has {width}: every row needs as many")
            try:
                values.extend(map(float, row))
            except ValueError:
                bad = next(cell for cell in row if not _is_number(cell))
                raise FileError(f"read as .csv, row {number} has {bad[:40]!r}, and a number was expected") from None
            texts += row
    except csv.Error as error:
        raise FileError(f"not a readable .csv: {error}") from None
    if not width:
        raise FileError("expected rows of numbers, and found none")
    return headings if len(headings) == width else [], np.frombuffer(values).reshape(-1, width), texts


def _rows(lines: Sequence[tuple[int, str]], separator: str | None) -> Iterator[tuple[int, list[str]]]:
    """The cells of every line; a first one of words may be commented out, as numpy.savetxt does with its header."""
    for place, (number, line) in enumerate(lines):
        words = line.lstrip().removeprefix("#").lstrip() if place == 0 else line
        plain = words if _LETTER.match(words) else line
        row = plain.split() if separator is None else next(csv.reader([plain], delimiter=separator))
        if "".join(row).strip():
            yield number, row


def _split(
    headings: Sequence[str],
    steps: Sequence[int],
    items: Sequence[int],
    values: Array,
    texts: NDArray[np.object_],
    groups: Mapping[str, Sequence[int]] | None,
) -> dict[str, Numbers]:
    """The columns of each symbol by unit: as `groups` say, else by their headings, all of them where these are other words.

    `steps` and `items` are the columns that count.
    """
    if len(steps) > 1 or len(items) > 1 or (items and not steps):
        raise FileError("headings should name one column that counts the steps, such as t, and at most one for the items")
    order, batch = [*range(len(values))], 1
    if steps:
        item = values[:, items[0]] if items else np.zeros(len(values))
        order, batch = _order(values[:, steps[0]], item, headings[steps[0]])
    rest = [place for place in range(len(headings)) if place not in (*steps, *items)]
    if not rest:
        raise FileError("expected columns of numbers beside those that count, and found none")
    found: dict[str, Numbers] = {}
    symbols = _symbols({place: headings[place] for place in rest}) if groups is None else groups
    for name, columns in symbols.items():
        shape = (-1, batch, len(columns)) if batch > 1 else (-1, len(columns))
        found[name] = values[order][:, columns].reshape(shape), texts[order][:, columns].ravel().tolist()
    return found


def _with_rest(groups: Mapping[str, list[int]], places: Sequence[int]) -> dict[str, list[int]]:
    """The columns of each name, and each run of other `places` by a name that no symbol has."""
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    names = (f"column {run[0] + 1}" if len(run) == 1 else f"columns {run[0] + 1}-{run[-1] + 1}" for run in runs)
    return {**groups, **dict(zip(names, runs, strict=True))}


def _order(steps: Array, items: Array, heading: str) -> tuple[list[int], int]:
    """Rows by step and item, and how many items there are. `steps` and `items` are the counts of every row."""
    order, distinct = np.lexsort((items, steps)), np.unique(items)
    length = len(steps) // len(distinct)
    first = float(steps.min())
    counted = np.repeat(first + np.arange(length), len(distinct))
    of_items = np.tile(distinct, length)
    if first not in (0, 1) or not np.array_equal(steps[order], counted) or not np.array_equal(items[order], of_items):
        raise FileError(
            f"column {show(heading)[:40]!r} should count the steps from 0 or 1, once for every item, and does not: "
            "give it another heading if it is no count"
        )
    return order.tolist(), len(distinct)


def _symbols(headings: Mapping[int, str]) -> dict[str, list[int]]:
    """The columns of each symbol in the order of its units; of all under the empty name if a heading names no unit."""
    matches = {place: _UNIT.fullmatch(heading) for place, heading in headings.items()}
    if not all(matches.values()):
        return {"": [*headings]}
    found: dict[str, dict[int, int]] = {}
    for place, match in matches.items():
        assert match is not None
        units = found.setdefault(match["symbol"], {})
        unit = int(match["plain"] or match["index"])
        if unit in units:
            raise FileError(f"two columns are headed {show(headings[place])[:40]!r}, and only one of them could be judged")
        units[unit] = place
    for symbol, units in found.items():
        if sorted(units) not in ([*range(len(units))], [*range(1, len(units) + 1)]):
            told = ", ".join(map(str, sorted(units)[:8]))
            raise FileError(f"the columns of {show(symbol)[:40]} are numbered {told}, and should be from 0 or 1 without a gap")
    return {symbol: [units[unit] for unit in sorted(units)] for symbol, units in found.items()}


def _printed(lines: Sequence[tuple[int, str]]) -> dict[str, Numbers]:
    """Lines such as `t=0 h: 0.1 0.2`, as printf writes them: a row of every symbol that a line names. Raises FileError."""
    rows: dict[str, list[list[str]]] = {}
    steps: dict[str, list[int]] = {}
    for number, line in lines:
        match = _PRINTED.fullmatch(_single_blanks(line))
        parts = _NAME.split(match["rest"]) if match else []
        if match is None or len(parts) < 3 or parts[0].strip():
            raise FileError(f"line {number} should be as the first, such as `t=0 h: 0.1 0.2`, and is {show(line)[:40]!r}")
        for name, numbers in zip(parts[1::2], parts[2::2], strict=True):
            row = re.sub(r"[\[\](),;]", " ", numbers).split()
            if bad := [cell for cell in row if not _is_number(cell)]:
                raise FileError(f"line {number} has {show(bad[0])[:40]!r}, and a number was expected")
            rows.setdefault(name, []).append(row)
            steps.setdefault(name, []).append(int(match["step"]))
    for name, counted in steps.items():
        if counted[0] not in (0, 1) or counted != [*range(counted[0], counted[0] + len(counted))]:
            raise FileError(f"the lines of {show(name)[:40]} should count the steps from 0 or 1, once each, and do not")
        if len({*map(len, rows[name])}) > 1 or not rows[name][0]:
            raise FileError(f"the lines of {show(name)[:40]} should have as many numbers each, and do not")
    return {
        name: (np.array([[float(cell) for cell in row] for row in found]), [cell for row in found for cell in row])
        for name, found in rows.items()
    }


def _single_blanks(line: str) -> str:
    return " ".join(line.split())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
