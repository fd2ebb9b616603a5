"""The bound of each operator on errors: sound, whatever its arguments are off by, and no looser than it has to be."""

import numpy as np
import pytest

from rnntrace.engine.judge.rules import Bounded, Format, rules
from rnntrace.engine.replay.operators import OPERATORS
from rnntrace.equations.expression import ARGUMENTS, Op

NUMBERS = {
    Op.CLIP: (-0.75, 1.25),
    Op.HARD_SIGMOID: (0.25, 0.4),
    Op.ELU: (1.3,),
    Op.LEAKY_RELU: (0.1,),
    Op.THRESHOLDED_RELU: (0.5,),
}
"""What an operator takes beside its first argument, where these are numbers."""
UNITS, ROWS = 16, 4000
EXACT = Format(0.0, 0.0)


def arguments(op: Op) -> list[np.ndarray]:
    """Values of all sizes, some of them near the bends."""
    rng = np.random.default_rng(11)
    count = ARGUMENTS.get(op, 1) - len(NUMBERS.get(op, ()))
    return [rng.normal(size=(ROWS, UNITS)) * 10.0 ** rng.uniform(-3, 0.7, (ROWS, 1)) for _ in range(count)]


def bounded(op: Op, args: list[np.ndarray], errors: list[np.ndarray], format: Format) -> Bounded:
    numbers = [Bounded(np.float64(number), np.float64(0)) for number in NUMBERS.get(op, ())]  # type: ignore[arg-type]
    return rules(format)[op](*map(Bounded, args, errors), *numbers)


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("size", [1e-6, 1e-3])
def test_no_error_of_the_arguments_makes_more_than_the_bound(op: Op, size: float) -> None:
    """Arguments off by all that they may be, in either direction, and by less; what is reached is near the bound."""
    rng = np.random.default_rng(5)
    args = arguments(op)
    # A step is wrong only where its argument may have either sign.
    errors = [size * (1.0 if op is Op.STEP else np.abs(arg)) * rng.uniform(0, 1, arg.shape) for arg in args]
    found = bounded(op, args, errors, EXACT)
    right = OPERATORS[op](*args, *NUMBERS.get(op, ()))
    np.testing.assert_allclose(found.value, right, rtol=1e-14, atol=1e-14)
    reached = np.zeros_like(right)
    for _ in range(40):
        off = [rng.choice([-1.0, 1.0, rng.uniform(-1, 1)], error.shape) * error for error in errors]
        moved = OPERATORS[op](*(arg + each for arg, each in zip(args, off, strict=True)), *NUMBERS.get(op, ()))
        reached = np.maximum(reached, np.abs(moved - right))
    slack = 1e-14 * (1 + np.abs(right))
    assert (reached <= found.error + slack).all()
    told = np.isfinite(found.error) & (reached > 0)
    # Errors of all units at once make a layer norm's bound, and hardly ever point the same way.
    assert np.median(reached[told] / found.error[told]) > (0.02 if op in (Op.LAYER_NORM, Op.NORM_SLOPE) else 0.4)


@pytest.mark.parametrize("op", OPERATORS)
def test_a_computation_in_single_precision_stays_within_the_bound(op: Op) -> None:
    """numpy's float32 beside its float64, from arguments that both have."""
    args = [arg.astype(np.float32) for arg in arguments(op)]
    mine = OPERATORS[op](*args, *(np.float32(number) for number in NUMBERS.get(op, ())))
    info = np.finfo(np.float32)
    format = Format(float(info.eps) / 2, float(info.smallest_subnormal) / 2)
    found = bounded(op, [arg.astype(np.float64) for arg in args], [np.zeros(arg.shape) for arg in args], format)
    assert mine.dtype == np.float32
    assert (np.abs(mine - found.value) <= found.error).all()


def test_a_divisor_that_may_be_zero_leaves_everything_open() -> None:
    one, near = Bounded(np.ones(2), np.zeros(2)), Bounded(np.array([1e-9, -2.0]), np.array([1e-8, 1e-8]))
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(np.isfinite(rules(EXACT)[Op.DIVIDE](one, near).error), [False, True])
