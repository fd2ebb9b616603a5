"""A cheap trial of a hypothesis: on one item, and on the first steps alone where these decide the first outputs."""

from collections.abc import Sequence

from rnntrace.engine.diagnose.agreement import Distance, Target, is_final
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.mistake import Mistake

STEPS = 3
"""Steps of a trial."""


class Screening:
    """A small part of a case and of what was given, which nearly every wrong hypothesis fails to explain."""

    def __init__(self, case: Case, fit: Target) -> None:
        self._parts = {causal: _part(case, fit, causal=causal) for causal in (True, False)}

    def off(self, hypothesis: Sequence[Mistake]) -> Distance | None:
        """How far off the hypothesis is in that part; None if it agrees there, or cannot be tried there."""
        if not all(mistake.itemwise for mistake in hypothesis):
            return None
        small, part = self._parts[all(mistake.causal for mistake in hypothesis)]
        values = part.values_of(small, hypothesis)
        if values is None:
            return None
        off = part.off(values)
        return None if off.agrees else off


def _part(case: Case, fit: Target, *, causal: bool) -> tuple[Case, Target]:
    inputs = case.inputs
    if inputs.valid is not None:
        return case, fit
    one_way = case.spec.directions == ("forward",)
    sequences = [name for name in fit.expected if not is_final(name)]
    steps = STEPS if causal and one_way and sequences else inputs.steps
    states = {state: values[:, :1] for state, values in inputs.states.items()}
    small = case.with_inputs(x=inputs.x[:steps, :1], states=states)
    # Final states belong to the last step.
    return small, fit.part(sequences if steps < inputs.steps else tuple(fit.expected), steps, 1)
