"""The catalogue of mistakes as a report, and the tables of what a run could not have shown."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rnntrace.report.table import SCHEMA, Report, Table, word_table

if TYPE_CHECKING:
    from rnntrace.engine.diagnose.blindness import Blindness
    from rnntrace.engine.diagnose.case import Description


def mistakes_report(found: Sequence["Description"]) -> Report:
    """Mistakes of the catalogue, a table for each kind and family."""
    by_family = groupby(found, key=lambda mistake: mistake.id.rpartition(".")[0])
    return Report(
        headline=((("mistakes people make; one of these is what `diagnose` looks for",), ()),),
        tables=tuple(_table(title, list(mistakes)) for title, mistakes in by_family),
        conclusion=(f"{len(found)} mistakes",),
        passed=None,
        document={"schema": SCHEMA, "command": "mistakes", "mistakes": [told(mistake) for mistake in found]},
    )


def _table(title: str, mistakes: Sequence["Description"]) -> Table:
    says = [mistake.says + (f" ({', '.join(mistake.frameworks)})" if mistake.frameworks else "") for mistake in mistakes]
    return word_table(title, ("id", [mistake.id for mistake in mistakes]), ("what went wrong, and where it comes from", says))


def told(mistake: "Description") -> dict[str, Any]:
    """A mistake in JSON."""
    return {
        "id": mistake.id,
        "family": mistake.family,
        "says": mistake.says,
        "fix": mistake.fix,
        "frameworks": list(mistake.frameworks),
        "needs": mistake.needs,
    }


def blind_tables(blind: "Blindness | None", judged: str = "the outputs") -> tuple[Table, ...]:
    """What a run could not have shown, if that was asked and there is anything; `judged` is what it was judged by."""
    spots = blind.spots if blind else ()
    if not spots:
        return ()
    ids, shown_by = [spot.mistake.id for spot in spots], [spot.shown_by for spot in spots]
    return (word_table(f"blind to, judged by {judged} alone", ("mistake", ids), ("what would show it", shown_by)),)


def blind_document(blind: "Blindness") -> dict[str, Any]:
    """The same in JSON."""
    mistakes = [{**told(spot.mistake), "shown_by": spot.shown_by} for spot in blind.spots]
    return {"possible": blind.possible, "mistakes": mistakes}
