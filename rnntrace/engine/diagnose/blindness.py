"""What an agreement has not shown: mistakes that leave these outputs as they are, and an input that would show them."""

from dataclasses import dataclass

from rnntrace.engine.diagnose.agreement import Target
from rnntrace.engine.diagnose.case import Case, Description, Outputs
from rnntrace.engine.diagnose.distinguish import distinguish
from rnntrace.engine.diagnose.mistake import catalogue, outputs_of
from rnntrace.engine.diagnose.screening import Screening
from rnntrace.engine.judge.tolerance import Tolerance


@dataclass(frozen=True)
class BlindSpot:
    """A mistake that leaves every output as it is, and the smallest change of the run that would show it."""

    mistake: Description
    shown_by: str


@dataclass(frozen=True)
class Blindness:
    """The mistakes that a run could not have shown, of those `possible` with its module."""

    spots: tuple[BlindSpot, ...]
    possible: int


def blindness(case: Case, tolerance: Tolerance) -> Blindness:
    """The mistakes that this input, these weights and these initial states cannot show in the outputs.

    Those that no run of the module shows, since they cannot be made or are another way to write the same, do not count.
    """
    right = outputs_of(case)
    fit = Target.of(case, right or {}, tolerance)
    spots, shown, trial = [], 0, Screening(case, fit)
    for mistake in catalogue(case.cell):
        if trial.off((mistake,)) is not None or _differs(fit, outputs_of(case, (mistake,))):
            shown += 1
        elif found := distinguish(case, [(), (mistake,)], tolerance):
            spots.append(BlindSpot(mistake, str(found.change)))
    return Blindness(tuple(spots), shown + len(spots))


def _differs(fit: Target, outputs: Outputs | None) -> bool:
    return outputs is not None and not fit.off(outputs).agrees
