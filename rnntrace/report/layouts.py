"""The report of conventions: all frameworks side by side, or the way from one of them to torch."""

from collections.abc import Sequence
from dataclasses import asdict

from rnntrace.model.conventions import Convention
from rnntrace.model.recipe import recipe
from rnntrace.report.table import SCHEMA, Report, Table, word_table


def layouts_report(chosen: Sequence[Convention], *, recipes: bool) -> Report:
    """The frameworks' gate orders, biases and resets, and the way from their arrays to torch's if there are to be `recipes`."""
    tables = [_overview(chosen)]
    tables += [_recipe(convention) for convention in chosen if recipes]
    return Report(
        headline=((("gates by torch's letters, from the first block of rows to the last",), ()),),
        tables=tuple(tables),
        conclusion=(f"read in {chosen[0].source}" if recipes else "name a framework for the way from its arrays to torch's",),
        passed=None,
        document={
            "schema": SCHEMA,
            "command": "layouts",
            "frameworks": [
                {**asdict(convention), "recipe": [{"kind": kind, "step": step} for kind, step in recipe(convention)]}
                for convention in chosen
            ],
        },
    )


def _overview(conventions: Sequence[Convention]) -> Table:
    rows = [
        (
            convention.framework,
            " ".join(convention.lstm) or "-",
            str(convention.lstm_biases or "?") if convention.lstm else "-",
            " ".join(convention.gru) or "-",
            str(convention.gru_biases or "?") if convention.gru else "-",
            (convention.reset or "?") if convention.gru else "-",
            (convention.keeps or "?") if convention.gru else "-",
            {True: "(I, G·H)", False: "(G·H, I)", None: "?"}[convention.transposed],
        )
        for convention in conventions
    ]
    headings = ("framework", "LSTM", "biases", "GRU", "biases", "reset", "kept by", "matrices")
    columns = zip(headings, zip(*rows, strict=True), strict=True)
    return word_table("conventions", *columns)


def _recipe(convention: Convention) -> Table:
    kinds, steps = zip(*recipe(convention), strict=True)
    return word_table(f"from {convention.framework} to torch", ("for", kinds), ("do", steps))
