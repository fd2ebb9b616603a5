"""Two questions to judged gradients: what a deliberate mistake would have looked like, and which they could not have shown."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from rnntrace.engine.backward.calculation import Calculation, GradientMistake
from rnntrace.engine.backward.clipping import clipped
from rnntrace.engine.backward.diagnose import EPS, changed, values_of
from rnntrace.engine.backward.gradients import Gradients
from rnntrace.engine.backward.judge import BackwardResult, compared
from rnntrace.engine.backward.mistakes import gradient_mistakes
from rnntrace.engine.diagnose.blindness import Blindness, BlindSpot
from rnntrace.engine.diagnose.deliberate import chosen
from rnntrace.engine.judge.tolerance import Tolerance
from rnntrace.engine.replay.replay import replay
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key
from rnntrace.model.weights import LayerWeights, Weights

STEPS, ITEMS = 4, 2
"""How many steps and items show more than fewer."""


def with_gradient_mistakes(result: BackwardResult, ids: Sequence[str], tolerance: Tolerance) -> BackwardResult:
    """The result with these mistakes made in the backward pass, beside the other side's gradients as they are.

    Ids are as in `with_mistakes`, and so is what is judged: all gradients as they come out, by rtol and atol. Raises UsageError
    for an unknown mistake, and for one that makes no difference in this run.
    """
    kind = result.spec.cell.slug
    mistakes = chosen(
        gradient_mistakes(result.spec.cell), ids, kind, result.spec.family, f"`rnntrace mistakes {kind}` with `backward`"
    )
    right: Calculation | None = _right(result)
    for mistake in mistakes:
        assert right is not None
        found = mistake.change(right)
        if found is None:
            raise UsageError(f"{mistake.id} cannot be made in this run: it needs {mistake.needs or 'other inputs'}")
        right = found
    assert right is not None
    gradients = _clipped(result, right.run())
    if result.comparison.doubt:
        return replace(result, gradients=gradients, mistakes=mistakes)
    return replace(result, gradients=gradients, comparison=compared(result, gradients, tolerance), mistakes=mistakes)


def with_gradient_blindness(result: BackwardResult, tolerance: Tolerance) -> BackwardResult:
    """The result with the mistakes that the gradients beside the replay could not have shown, within this rtol and atol.

    Those that no run of the module shows, since they are another way to write the same, do not count.
    """
    right = _right(result)
    gradients = right.run()
    spots, shown = [], 0
    for mistake in gradient_mistakes(result.spec.cell):
        wrong = changed(right, (mistake,))
        found = None if wrong is None else wrong.run()
        judged = found is not None and not result.comparison.doubt
        if judged and found is not None and not compared(result, _clipped(result, found), tolerance).verdict.passed:
            shown += 1
        elif found is not None and _differ(gradients, found):
            spots.append(BlindSpot(mistake, "other gradients of this run beside the replay"))
        elif by := next((says for says, other in _changes(right) if _shows(other, mistake)), ""):
            spots.append(BlindSpot(mistake, by))
    return replace(result, blind=Blindness(tuple(spots), shown + len(spots)))


def _right(result: BackwardResult) -> Calculation:
    return Calculation.of(result.trace, result.weights, result.loss.gradients, result.truncate)


def _clipped(result: BackwardResult, found: Gradients) -> Gradients:
    return replace(found, parameters=clipped(found.parameters, result.clipping)) if result.clipping else found


def _shows(right: Calculation, mistake: GradientMistake) -> bool:
    wrong = mistake.change(right)
    return wrong is not None and _differ(right.run(), wrong.run())


def _differ(right: Gradients, wrong: Gradients) -> bool:
    """Whether any gradient differs by more than rounding can make of it."""
    theirs = values_of(wrong)
    return any(_apart(mine, theirs[key]) for key, mine in _finite(right).items())


def _finite(found: Gradients) -> dict[Key, Array]:
    return {key: np.nan_to_num(array) for key, array in values_of(found).items()}


def _apart(mine: Array, theirs: Array) -> bool:
    allowed = EPS * float(np.finfo(mine.dtype).eps) * float(np.abs(mine).max(initial=0.0))
    return mine.shape != theirs.shape or bool((np.abs(mine - np.nan_to_num(theirs)) > allowed).any())


def _changes(right: Calculation) -> Iterator[tuple[str, Calculation]]:
    """Other runs of the same module, the nearest first, in the words that say what is other."""
    trace, inputs, generator = right.trace, right.trace.inputs, np.random.default_rng(0)
    spec = trace.spec

    def drawn(shape: tuple[int, ...]) -> Array:
        return generator.normal(size=shape).astype(inputs.x.dtype)

    def run(steps: int, batch: int, *, states: bool = False, loss: bool = False, weights: Weights | None = None) -> Calculation:
        begin = {
            state: drawn((len(values), batch, values.shape[2]))
            if states
            else np.resize(values, (len(values), batch, values.shape[2]))
            for state, values in inputs.states.items()
        }
        weights = weights or right.weights
        other = replay(spec, weights, Inputs(drawn((steps, batch, spec.input_size)), states=begin))
        ones = np.ones_like(other.output)
        gradients = {"output": drawn(ones.shape) if loss else ones}
        return Calculation.of(other, weights, gradients, right.truncate)

    steps, batch = min(inputs.steps, STEPS), min(inputs.batch, ITEMS)
    names = ", ".join(f"`{state}0=random`" for state in spec.cell.states if state in ("h", "c"))
    yield f"initial states that are not zero{f' ({names})' * bool(names)}", run(steps, batch, states=True)
    yield f"{STEPS} steps (`steps={STEPS}`)", run(STEPS, batch)
    yield f"a batch of {ITEMS} (`batch={ITEMS}`)", run(steps, ITEMS)
    yield "a loss that weighs outputs differently (`grad`, or `loss=mse`)", run(steps, batch, loss=True)
    yield f"{STEPS} steps and a batch of {ITEMS} (`steps={STEPS}`, `batch={ITEMS}`)", run(STEPS, ITEMS)
    other = Weights(
        {
            column: LayerWeights(arrays={name: drawn(array.shape).astype(array.dtype) for name, array in own.arrays.items()})
            for column, own in right.weights.columns.items()
        }
    )
    everything = run(STEPS, ITEMS, states=True, loss=True, weights=other)
    yield "other weights, initial states and loss, more steps and items", everything
