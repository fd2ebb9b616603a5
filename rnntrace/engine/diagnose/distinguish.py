"""Which input tells hypotheses apart that give the same on the one that was used: each is played on other inputs, and seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnntrace.engine.diagnose.agreement import Target
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.digits import Digits
from rnntrace.engine.diagnose.mistake import Mistake, outputs_of
from rnntrace.engine.judge.tolerance import Tolerance
from rnntrace.model.dtypes import Array

STEPS, ITEMS, LARGE = 4, 2, 100.0
"""How many steps and items show more than fewer, and a cell state that every clip shows."""


@dataclass(frozen=True)
class Change:
    """A change of a run, in words, and the flags of `rnntrace run` that make it."""

    says: str
    flags: str = ""

    def __str__(self) -> str:
        return f"{self.says} ({self.flags})" if self.flags else self.says


@dataclass(frozen=True)
class Distinction:
    """A change of the run, and which hypotheses give the same under it: groups of their numbers, more than one.

    What is `impossible` cannot be made there.
    """

    change: Change
    groups: tuple[tuple[int, ...], ...]
    impossible: tuple[int, ...] = ()

    @property
    def alike(self) -> int:
        """How many stay alike, at most."""
        return max(len(group) for group in self.groups)


def distinguish(
    case: Case, hypotheses: Sequence[tuple[Mistake, ...]], tolerance: Tolerance, digits: Digits | None = None
) -> Distinction | None:
    """The change of the run under which most of these hypotheses differ, the smallest if there are several.

    They differ where their outputs do by more than the tolerance, in as many `digits` as were given. None if no change of
    ours tells any of them apart.
    """
    best: Distinction | None = None
    for change, other in _changes(_short(case)):
        groups, impossible = _groups(other, hypotheses, tolerance, digits)
        if len(groups) > 1 and (best is None or len(groups) + len(impossible) > len(best.groups) + len(best.impossible)):
            best = Distinction(change, groups, impossible)
            if best.alike == 1:
                break
    return best


def _groups(
    case: Case, hypotheses: Sequence[tuple[Mistake, ...]], tolerance: Tolerance, digits: Digits | None
) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Hypotheses that give the same here, together, and those that cannot be made here."""
    found: list[tuple[Target, list[int]]] = []
    impossible = []
    for number, hypothesis in enumerate(hypotheses):
        outputs = outputs_of(case, hypothesis)
        if outputs is None:
            impossible.append(number)
            continue
        for fit, group in found:
            if fit.off(outputs).agrees:
                group.append(number)
                break
        else:
            found.append((Target.of(case, outputs, tolerance, digits), [number]))
    return tuple(tuple(group) for _, group in found), tuple(impossible)


def _short(case: Case) -> Case:
    """A few steps of a few items of the case: what is drawn anew shows as much there."""
    inputs, several = case.inputs, slice(2 * ITEMS)
    states = {state: values[:, several] for state, values in inputs.states.items()}
    lengths = None if inputs.lengths is None else tuple(min(length, 2 * STEPS) for length in inputs.lengths[several])
    mask = None if inputs.mask is None else inputs.mask[: 2 * STEPS, several]
    return case.with_inputs(x=inputs.x[: 2 * STEPS, several], lengths=lengths, states=states, mask=mask)


def _changes(case: Case) -> Iterator[tuple[Change, Case]]:
    """Runs that show more, with what is changed in words, from the smallest change to the largest."""
    steps, zero = max(STEPS, case.inputs.steps), [state for state, values in case.inputs.states.items() if not values.any()]
    states = (
        Change("initial states that are not zero", " ".join(f"--{state}0 random" for state in zero if state in ("h", "c")))
        if zero
        else Change("other initial states")
    )
    longer = Change("more steps", f"`steps={STEPS}`") if case.inputs.steps < STEPS else Change("another x")
    yield states, _drawn(case, states=1.0)
    yield longer, _drawn(case, steps)
    if case.inputs.batch < ITEMS:
        yield Change("more items", f"`batch={ITEMS}`"), _drawn(case, steps, ITEMS)
    if case.spec.bias:
        names = [parameter.name for parameter in case.cell.parameters if parameter.is_bias]
        biases = [found.arrays[name] for found in case.weights.columns.values() for name in names if name in found.arrays]
        says = "other biases" if all(array.any() for array in biases) else "biases that are not zero"
        yield Change(says), _drawn(case, biases=True)
    yield Change(f"{longer} and {states}"), _drawn(case, steps, states=1.0)
    if "c" in case.cell.states:
        yield Change(f"a large cell state (c0 of {LARGE:g})"), _drawn(case, states=LARGE)
    yield Change(f"{longer}, {states} and other biases"), _drawn(case, steps, states=1.0, biases=True)


def _drawn(case: Case, steps: int = 0, items: int = 0, *, states: float = 0.0, biases: bool = False) -> Case:
    """The case with what is named drawn anew, always alike: x of so many steps and items, initial states, biases."""
    generator = np.random.default_rng(0)

    def draw(array: Array, *shape: int) -> Array:
        return generator.normal(size=shape or array.shape).astype(array.dtype)

    inputs = case.inputs
    if items:
        inputs = replace(inputs, states={state: rows[:, :1].repeat(items, axis=1) for state, rows in inputs.states.items()})
    if steps:
        inputs = replace(inputs, x=draw(inputs.x, steps, items or inputs.batch, inputs.x.shape[2]), lengths=None, mask=None)
    if states:
        # Of torch's states c comes first, as ever: what is drawn stays the same.
        drawn = {state: draw(rows) for state, rows in reversed([*inputs.states.items()])}
        if "c" in drawn:
            drawn["c"] = drawn["c"].dtype.type(states) * drawn["c"]
        inputs = replace(inputs, states=drawn)
    case = replace(case, inputs=inputs)
    if not biases:
        return case
    names = [parameter.name for parameter in case.cell.parameters if parameter.is_bias]
    return case.with_weights(
        lambda found: found.replaced(**{name: draw(found.arrays[name]) for name in names if name in found.arrays})
    )
