"""Columns of both sides of a comparison: what is wrong is marked where it stands, and |Δ| says of which symbol it is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rnntrace.engine.judge.difference import masked_difference
from rnntrace.model.dtypes import Flags
from rnntrace.report.table import Column, Scale

HANDED_IN = ("expected", "other")
"""Sides that are judged by the replay. Beside a framework it is the replay that is judged."""


class Pair(NamedTuple):
    """The columns of a symbol on both sides, and which values are out of tolerance, if that is known."""

    symbol: str
    mine: Column
    theirs: Column
    flags: Flags | None


def marked(pair: Pair, framework: str) -> Pair:
    """The pair, with what is out of tolerance marked on the side that is judged."""
    if pair.flags is None or not pair.flags.any():
        return pair
    if framework in HANDED_IN:
        return pair._replace(theirs=replace(pair.theirs, flagged=pair.flags))
    return pair._replace(mine=replace(pair.mine, flagged=pair.flags))


def differences(pairs: Sequence[Pair], hidden: Flags, section: str) -> list[Column]:
    """The largest |Δ| of each row, none in `hidden` ones; where any is out of tolerance also the symbol that it is of."""
    if not pairs:
        return []
    apart = np.ma.stack([np.ma.masked_where(hidden, masked_difference(pair.mine.values, pair.theirs.values)) for pair in pairs])
    flags = np.array([np.zeros(len(hidden), bool) if pair.flags is None else pair.flags for pair in pairs])
    known = any(pair.flags is not None for pair in pairs)
    columns = [
        Column(
            "|Δ|", apart.max(axis=0), Scale.DIFFERENCE, section, "difference", np.asarray(flags.any(axis=0)) if known else None
        )
    ]
    if flags.any() and len(pairs) > 1:
        columns.append(Column("in", _largest(pairs, apart), Scale.WORD, section, "difference"))
    return columns


def _largest(pairs: Sequence[Pair], apart: Any) -> Any:
    """The symbol whose values are furthest apart in each row, NaN furthest of all; none where nothing is apart."""
    sizes = np.where(np.isnan(filled := apart.filled(-1)), np.inf, filled)
    names = np.array([pair.symbol for pair in pairs], object)[sizes.argmax(axis=0)]
    return np.where(sizes.max(axis=0) <= 0, "", names)
