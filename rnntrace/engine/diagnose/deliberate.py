"""Two questions to a result: what a deliberate mistake would have looked like, and which mistakes it could not have shown."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import TypeVar

from rnntrace.engine.diagnose.blindness import blindness
from rnntrace.engine.diagnose.case import Case, Description
from rnntrace.engine.diagnose.mistake import Mistake, apply, catalogue
from rnntrace.engine.judge.pairing import pair_outputs, pair_up
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.tolerance import Tolerance
from rnntrace.engine.judge.verdict import compare
from rnntrace.errors import UsageError, show

M = TypeVar("M", bound=Description)


def with_mistakes(result: Result, ids: Sequence[str], tolerance: Tolerance) -> Result:
    """The result with these mistakes made in the replay, beside the framework's values as they are.

    Each entry is an id, or its end if that tells it, or several joined by +. What is judged is the trajectory, by rtol
    and atol. Raises UsageError for an unknown mistake, and for one that cannot be made in this run.
    """
    spec, kind = result.spec, result.spec.cell.slug
    mistakes = chosen(catalogue(spec.cell), ids, kind, spec.family, f"`rnntrace mistakes {kind}`")
    case: Case | None = Case.of(result.spec, result.weights, result.inputs)
    assert case is not None
    found = apply(case, mistakes)
    if found is None or any(mistake.reshapes for mistake in mistakes):
        _refuse(case, mistakes)
    assert found is not None
    quantities = [
        *pair_up(found.trace, found.trace, result.framework_values),
        *pair_outputs(found.trace, found.trace, result.observation.outputs, found.outputs),
    ]
    comparison = compare(quantities, tolerance, result.spec.precision)
    return replace(
        result,
        trace=found.trace,
        replayed_outputs=found.outputs,
        comparison=comparison,
        mistakes=mistakes,
        single_steps=False,
    )


def with_blindness(result: Result, tolerance: Tolerance) -> Result:
    """The result with the mistakes that its outputs could not have shown, within this rtol and atol."""
    return replace(result, blind=blindness(Case.of(result.spec, result.weights, result.inputs), tolerance))


def chosen(known: Sequence[M], ids: Sequence[str], kind: str, family: str, listing: str) -> tuple[M, ...]:
    """The mistakes of these ids, in the order in which they act.

    An error says of which `family` of cells there is none, and that what `listing` calls has all.
    """
    named, wanted = {mistake.id: mistake for mistake in known}, set()
    for id in "+".join(ids).split("+"):
        fitting = [full for full in named if full == id or full.endswith(f".{id}")]
        if len(fitting) != 1:
            (near,) = get_close_matches(id if id.startswith(f"{kind}.") else f"{kind}.{id}", named, n=1, cutoff=0)
            what = f"{show(repr(id))} is no mistake of {family}: the nearest is {near}"
            raise UsageError(f"{what}; {listing} lists all")
        wanted.update(fitting)
    return tuple(mistake for id, mistake in named.items() if id in wanted)


def _refuse(case: Case, mistakes: Sequence[Mistake]) -> None:
    """Say which of the mistakes cannot be made, and what it needs."""
    so_far: Case | None = case
    for mistake in mistakes:
        so_far = mistake.change(so_far) if so_far is not None else None
        if so_far is None or mistake.reshapes:
            raise UsageError(f"{mistake.id} cannot be made in this run: it needs {mistake.needs or 'other inputs'}")
