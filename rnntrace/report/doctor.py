"""The report of what rnntrace finds on this machine."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from rnntrace.report.table import SCHEMA, Column, Report, Scale, Table


@dataclass(frozen=True)
class Extra:
    """An optional package: its installed version or None, what it is for, and how to get it."""

    name: str
    version: str | None
    gives: str
    install: str


@dataclass(frozen=True)
class Checkup:
    """Versions and facts by name, in words, and the optional packages."""

    versions: Mapping[str, str]
    facts: Mapping[str, str]
    extras: tuple[Extra, ...]


def doctor_report(checkup: Checkup) -> Report:
    """What there is, and the pip line for what is not."""
    missing = [extra for extra in checkup.extras if extra.version is None]
    facts = {**checkup.versions, **checkup.facts}
    extras = {
        "extra": [extra.name for extra in checkup.extras],
        "version": [extra.version or "not installed" for extra in checkup.extras],
        "for": [extra.gives for extra in checkup.extras],
    }
    return Report(
        headline=(),
        tables=(
            Table("this machine", (_words("what", list(facts)), _words("found", list(facts.values())))),
            Table("optional packages", tuple(_words(heading, words) for heading, words in extras.items())),
        ),
        conclusion=tuple(extra.install for extra in missing) or ("nothing is missing",),
        passed=None,
        document={
            "schema": SCHEMA,
            "command": "doctor",
            "versions": dict(checkup.versions),
            "facts": dict(checkup.facts),
            "extras": [asdict(extra) for extra in checkup.extras],
        },
    )


def _words(heading: str, words: list[str]) -> Column:
    return Column(
        heading, np.array(words, object), Scale.NAME if heading in ("what", "extra") else Scale.WORD, "words", "words"
    )
