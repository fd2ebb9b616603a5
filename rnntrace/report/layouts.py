"""The report of conventions: all frameworks side by side, or the way from one of them to torch."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from rnntrace.errors import UsageError
from rnntrace.model.conventions import CONVENTIONS, Convention
from rnntrace.model.recipe import recipe
from rnntrace.report.table import SCHEMA, Column, Report, Scale, Table


def layouts_report(framework: str | None) -> Report:
    """Every framework's gate orders, biases and resets; for one framework the recipe as well. Raises UsageError."""
    chosen = CONVENTIONS if framework is None else (convention_named(framework),)
    tables = [_overview(chosen)]
    tables += [_recipe(convention) for convention in chosen if framework is not None]
    return Report(
        headline=((("gates in torch's letters, from the first block of rows to the last",), ()),),
        tables=tuple(tables),
        conclusion=(f"read in {chosen[0].source}" if framework else "name a framework for the way from its arrays to torch's",),
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


def convention_named(framework: str) -> Convention:
    """The row of a framework by its name, or the beginning of it, in any case. Raises UsageError."""
    wanted = framework.lower()
    found = [convention for convention in CONVENTIONS if convention.framework.lower().startswith(wanted)]
    aliases = {"torch": "PyTorch", "coreml": "Core ML", "tensorflow": "Keras 3"}
    found = found or [convention for convention in CONVENTIONS if convention.framework == aliases.get(wanted)]
    if len(found) != 1:
        names = ", ".join(convention.framework for convention in found or CONVENTIONS)
        raise UsageError(f"unknown framework {framework!r}: choose one of {names}")
    return found[0]


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
    return Table("conventions", tuple(_words(heading, words) for heading, words in columns))


def _recipe(convention: Convention) -> Table:
    kinds, steps = zip(*recipe(convention), strict=True)
    return Table(f"from {convention.framework} to torch", (_words("for", kinds), _words("do", steps)))


def _words(heading: str, words: Sequence[str]) -> Column:
    scale = Scale.NAME if heading in ("framework", "for") else Scale.WORD
    return Column(heading, np.array(words, object), scale, "words", "words")
