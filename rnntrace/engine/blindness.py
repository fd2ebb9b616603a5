"""What an agreement has not shown: mistakes that leave these outputs as they are, and an input that would show them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnntrace.engine.fit import Fit
from rnntrace.engine.mistakes import Case, Mistake, Outputs, catalogue, outputs_of
from rnntrace.engine.tolerance import Tolerance
from rnntrace.engine.trial import Trial
from rnntrace.model.dtypes import Array

STEPS, ITEMS, LARGE = 4, 2, 100.0
"""How many steps and items show more than fewer, and a cell state that every clip shows."""


@dataclass(frozen=True)
class BlindSpot:
    """A mistake that leaves every output as it is, and the smallest change of the run that would show it."""

    mistake: Mistake
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
    fit = Fit.of(right or {}, tolerance, case.spec.precision)
    spots, shown, trial = [], 0, Trial(case, fit)
    for mistake in catalogue(case.cell):
        if trial.off((mistake,)) is not None or _differs(fit, outputs_of(case, (mistake,))):
            shown += 1
        elif shown_by := told_apart_by(case, [(), (mistake,)], tolerance):
            spots.append(BlindSpot(mistake, shown_by))
    return Blindness(tuple(spots), shown + len(spots))


def _differs(fit: Fit, outputs: Outputs | None) -> bool:
    return outputs is not None and not fit.agrees(outputs)


def told_apart_by(case: Case, hypotheses: Sequence[tuple[Mistake, ...]], tolerance: Tolerance) -> str:
    """The smallest change of the run under which these hypotheses give different outputs; empty if none of ours does."""
    for says, other in _changes(_short(case)):
        outputs = [outputs_of(other, hypothesis) for hypothesis in hypotheses]
        first, *rest = outputs
        if first is None or None in rest:
            continue
        fit = Fit.of(first, tolerance, case.spec.precision)
        if not any(fit.agrees(found) for found in rest):
            return says
    return ""


def _short(case: Case) -> Case:
    """A few steps of a few items of the case: what is drawn anew shows as much there."""
    inputs, several = case.inputs, slice(2 * ITEMS)
    rows = {f"{state}0": inputs.initial(state)[:, several] for state in case.cell.states}
    lengths = None if inputs.lengths is None else tuple(min(length, 2 * STEPS) for length in inputs.lengths[several])
    return case.with_inputs(x=inputs.x[: 2 * STEPS, several], lengths=lengths, **rows)


def _changes(case: Case) -> Iterator[tuple[str, Case]]:
    """Runs that show more, with what is changed in words, from the smallest change to the largest."""
    steps, lstm = max(STEPS, case.inputs.steps), case.inputs.c0 is not None
    zero = [name for name in (("h0", "c0") if lstm else ("h0",)) if not case.inputs.initial(name[0]).any()]
    states = (
        f"initial states that are not zero ({' '.join(f'--{name} random' for name in zero)})"
        if zero
        else "other initial states"
    )
    longer = f"more steps (--steps {STEPS})" if case.inputs.steps < STEPS else "another x"
    yield states, _drawn(case, states=1.0)
    yield longer, _drawn(case, steps)
    if case.inputs.batch < ITEMS:
        yield f"more items (--batch {ITEMS})", _drawn(case, steps, ITEMS)
    if case.spec.bias:
        yield "biases that are not zero", _drawn(case, biases=True)
    yield f"{longer} and {states}", _drawn(case, steps, states=1.0)
    if lstm:
        yield f"a large cell state (c0 of {LARGE:g})", _drawn(case, states=LARGE)
    yield f"{longer}, {states} and other biases", _drawn(case, steps, states=1.0, biases=True)


def _drawn(case: Case, steps: int = 0, items: int = 0, *, states: float = 0.0, biases: bool = False) -> Case:
    """The case with what is named drawn anew, always alike: x of so many steps and items, initial states, biases."""
    generator = np.random.default_rng(0)

    def draw(array: Array, *shape: int) -> Array:
        return generator.normal(size=shape or array.shape).astype(array.dtype)

    inputs = case.inputs
    if items:
        rows = {f"{state}0": inputs.initial(state)[:, :1].repeat(items, axis=1) for state in case.cell.states}
        inputs = replace(inputs, **rows)  # type: ignore[arg-type]
    if steps:
        inputs = replace(inputs, x=draw(inputs.x, steps, items or inputs.batch, inputs.x.shape[2]), lengths=None)
    if states:
        c0 = None if inputs.c0 is None else inputs.c0.dtype.type(states) * draw(inputs.c0)
        inputs = replace(inputs, h0=draw(inputs.h0), c0=c0)
    case = replace(case, inputs=inputs)
    if not biases:
        return case
    return case.with_weights(
        lambda found: (
            found if found.b_ih is None or found.b_hh is None else replace(found, b_ih=draw(found.b_ih), b_hh=draw(found.b_hh))
        )
    )
