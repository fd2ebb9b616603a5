"""The report of a diagnosis: what went wrong, how to fix it, and how sure that is."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from rnntrace.engine.diagnose.search import Answer, Diagnosis
from rnntrace.engine.judge.pairing import Place
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.report.mistakes import told
from rnntrace.report.run import headline
from rnntrace.report.table import SCHEMA, Column, Line, Report, Scale, Table

if TYPE_CHECKING:
    from rnntrace.engine.backward.judge import BackwardResult

IN_FULL = 3
"""Of answers that fit equally well so many are told in full, and the others by name."""


def diagnosis_report(source: str, result: "Result | BackwardResult", diagnosis: Diagnosis) -> Report:
    """What `rnntrace diagnose` tells of a result."""
    lines = headline(result) if isinstance(result, Result) else _of_gradients(result)
    return Report(
        headline=(((source,), ()), *lines),
        tables=tuple(_tables(diagnosis)),
        conclusion=_conclusion(result, diagnosis),
        passed=explained(result, diagnosis),
        document=_document(result, diagnosis),
        warnings=result.warnings,
    )


def _of_gradients(result: "BackwardResult") -> tuple[Line, ...]:
    from rnntrace.report.backward import headline

    return headline(result)


def explained(result: "Result | BackwardResult", diagnosis: Diagnosis) -> bool:
    """Whether nothing is left to explain."""
    return result.passed or bool(diagnosis.answers)


def _tables(diagnosis: Diagnosis) -> list[Table]:
    answers, count = diagnosis.answers, len(diagnosis.answers)
    tables = [
        _in_full(f"explanation {number} of {count}" if count > 1 else "explanation", answer, diagnosis.before)
        for number, answer in enumerate(answers[:IN_FULL], 1)
    ]
    if answers[IN_FULL:]:
        others = {answer.id: "; ".join(mistake.says for mistake in answer.mistakes) for answer in answers[IN_FULL:]}
        tables.append(_pairs("these fit equally well", "mistake", "what went wrong", others))
    if diagnosis.nearest:
        tables.append(_in_full("nearest, but no explanation", diagnosis.nearest, diagnosis.before))
    rows = {f"it may be{' also' * bool(number)}{' ' * number}": words for number, words in enumerate(diagnosis.may_be)}
    if diagnosis.first:
        rows["first that differs"] = _place(diagnosis.first, "replay")
    if rows:
        tables.append(_pairs("not explained", "", "", rows))
    return tables


def _in_full(title: str, answer: Answer, before: float) -> Table:
    rows: dict[str, str] = {}
    for number, mistake in enumerate(answer.mistakes, 1):
        which = f" {number}" if len(answer.mistakes) > 1 else ""
        rows[f"mistake{which}"] = mistake.id
        rows[f"what went wrong{which}"] = mistake.says
        rows[f"fix{which}"] = mistake.fix
        if mistake.frameworks:
            rows[f"where it comes from{which}"] = ", ".join(mistake.frameworks)
    rows["largest difference"] = f"{_size(before)} without it, {answer.after:.1e} with it"
    if place := answer.unexplained:
        rows["first not explained"] = _place(place, "with it")
    return _pairs(title, "", "", rows)


def _place(place: Place, ours: str) -> str:
    if not place.t:
        # A gradient of a parameter belongs to no step.
        where = f"{place.symbol}, layer {place.layer}, {place.direction}, row {place.item}, column {place.unit}"
        return f"{where}: {place.replay:.6g} {ours}, {place.framework:.6g} expected"
    where = f"{place.symbol}, layer {place.layer}, {place.direction}, t={place.t}, item {place.item}, unit {place.unit}"
    return f"{where}: {place.replay:.6g} {ours}, {place.framework:.6g} expected"


def _size(before: float) -> str:
    return f"{before:.1e}" if np.isfinite(before) else "another shape, or not finite,"


def _pairs(title: str, left: str, right: str, rows: dict[str, str]) -> Table:
    names, words = (np.array(list(part), object) for part in (rows, rows.values()))
    columns = Column(left, names, Scale.NAME, "words", "words"), Column(right, words, Scale.WORD, "words", "words")
    return Table(title, columns)


def _conclusion(result: "Result | BackwardResult", diagnosis: Diagnosis) -> tuple[str, ...]:
    if result.passed:
        what = "outputs" if isinstance(result, Result) else "gradients"
        return (f"{result.verdict}  the {what} agree: there is nothing to explain",)
    if result.verdict is Verdict.UNDECIDED:
        return (f"{result.verdict}  {result.comparison.doubt or 'nothing could be judged'}: no mistake would show",)
    answers, tried = diagnosis.answers, f"{diagnosis.tried} tried"
    verb = "lie on" if "grid" in diagnosis.coarse else "have the digits of"
    digits = (f"the values that were given {verb} {diagnosis.coarse}",) if diagnosis.coarse else ()
    if not answers:
        late = () if diagnosis.exhausted else ("time limit reached before all pairs were tried: see `seconds`",)
        nearest = diagnosis.nearest
        near = [f"it may be {kind}" for kind in diagnosis.may_be[:1]]
        if nearest:
            near.insert(0, f"nearest {nearest.id}, which leaves {nearest.after:.1e} of {_size(diagnosis.before)}")
        return (f"NOT EXPLAINED  none of {diagnosis.tried} hypotheses explains it", *near, *digits, *late)
    parts = [f"EXPLAINED  {answers[0].id}"]
    if len(answers) > 1:
        others = f"{len(answers) - 1} other" + ("s" if len(answers) > 2 else "")
        parts.append(f"{others} fit{'s' if len(answers) == 2 else ''} equally well")
        parts.append(_told_apart(diagnosis))
    return (*parts, tried, *digits)


def _told_apart(diagnosis: Diagnosis) -> str:
    """Which other input separates answers that fit equally, as far as one does."""
    apart = diagnosis.apart
    if apart is None and not diagnosis.exhausted:
        return "time limit reached before an input that tells them apart was found"
    if apart is None:
        return "they give the same on every input that was tried"
    rest = f"; {apart.alike} of them would stay alike" if apart.alike > 1 else ""
    return f"told apart by {apart.change.says}{rest}"


def _document(result: "Result | BackwardResult", diagnosis: Diagnosis) -> dict[str, Any]:
    before = diagnosis.before
    return {
        "schema": SCHEMA,
        "command": "diagnose",
        "verdict": str(result.verdict),
        "explained": bool(diagnosis.answers),
        "tried": diagnosis.tried,
        "exhausted": diagnosis.exhausted,
        "before": before if np.isfinite(before) else None,
        "coarse": diagnosis.coarse or None,
        "answers": [_answer(answer, before) for answer in diagnosis.answers],
        "told_apart_by": diagnosis.distinguishing_run or None,
        "told_apart": _groups(diagnosis),
        "nearest": None if diagnosis.nearest is None else _answer(diagnosis.nearest, before),
        "may_be": list(diagnosis.may_be),
        "first": _first(result, diagnosis),
        "warnings": list(result.warnings),
    }


def _first(result: "Result | BackwardResult", diagnosis: Diagnosis) -> dict[str, Any] | None:
    if isinstance(result, Result):
        return None if diagnosis.first is None else asdict(diagnosis.first)
    from rnntrace.report.backward_document import place_document

    return place_document(result, diagnosis.first)


def _groups(diagnosis: Diagnosis) -> list[list[str]]:
    """The ids of the answers that would still give the same, together."""
    apart = diagnosis.apart
    groups = (*apart.groups, *((number,) for number in apart.impossible)) if apart else ()
    return [[diagnosis.answers[number].id for number in group] for group in groups]


def _answer(answer: Answer, before: float) -> dict[str, Any]:
    """One answer; of more than one mistake, words and sentences are joined."""
    mistakes = [told(mistake) for mistake in answer.mistakes]
    return {
        "id": answer.id,
        "family": "+".join(mistake["family"] for mistake in mistakes),
        "says": "; ".join(mistake["says"] for mistake in mistakes),
        "fix": "; ".join(mistake["fix"] for mistake in mistakes),
        "frameworks": list(dict.fromkeys(name for mistake in mistakes for name in mistake["frameworks"])),
        "before": before if np.isfinite(before) else None,
        "after": answer.after,
        "unexplained": None if answer.unexplained is None else asdict(answer.unexplained),
    }
