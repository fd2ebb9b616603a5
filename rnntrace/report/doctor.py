"""The report of what rnntrace finds on this machine."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from rnntrace.report.table import SCHEMA, Report, word_table


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
    return Report(
        headline=(),
        tables=(
            word_table("this machine", ("what", list(facts)), ("found", list(facts.values()))),
            word_table(
                "optional packages",
                ("extra", [extra.name for extra in checkup.extras]),
                ("version", [extra.version or "not installed" for extra in checkup.extras]),
                ("for", [extra.gives for extra in checkup.extras]),
            ),
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
