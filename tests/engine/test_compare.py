"""Verdicts, tolerances and differences, on numbers worked out by hand."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rnntrace.engine.judge.pairing import Quantity
from rnntrace.engine.judge.tally import Tally
from rnntrace.engine.judge.tolerance import TORCH_TOLERANCES, make_tolerance
from rnntrace.engine.judge.verdict import Comparison, Verdict, compare, concluded
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import DTYPES

FLOAT32 = DTYPES["float32"]


def quantity(replay: object, framework: object, *, one_step: object = None, name: str = "h", **rest: object) -> Quantity:
    """A quantity of one item and one unit over time, from lists."""
    sides = [
        np.asarray(side, np.float64).reshape(-1, 1, 1) for side in (replay, replay if one_step is None else one_step, framework)
    ]
    t = np.arange(1, len(sides[0]) + 1).reshape(-1, 1)
    options = {"layer": 0, "direction": "forward", **rest}
    return Quantity(name, options.pop("layer"), options.pop("direction"), *sides, t, **options)


def verdict(*quantities: Quantity, kind: str = "torch") -> Comparison:
    """The comparison in float32."""
    return compare(quantities, make_tolerance(kind, "float32"), FLOAT32)


def test_the_same_bits_are_identical() -> None:
    """Equal values are IDENTICAL under any tolerance."""
    assert verdict(quantity([0.5, 1], [0.5, 1])).verdict is Verdict.IDENTICAL
    assert verdict(quantity([0.5, 1], [0.5, 1]), kind="exact").verdict is Verdict.IDENTICAL


def test_zeros_of_other_sign_are_not_the_same_bits() -> None:
    """-0 equals 0 and has other bits: PASS."""
    assert verdict(quantity([0.0], [-0.0])).verdict is Verdict.PASS


def test_within_and_out_of_tolerance() -> None:
    """The bound is atol + rtol·|framework|: 1e-5 + 1.3e-6 at 1."""
    assert verdict(quantity([1 + 1.12e-5], [1.0])).verdict is Verdict.PASS
    assert verdict(quantity([1 + 1.14e-5], [1.0])).verdict is Verdict.FAIL


def test_exact_allows_nothing() -> None:
    """The smallest difference fails under exact."""
    assert verdict(quantity([1 + 1e-12], [1.0]), kind="exact").verdict is Verdict.FAIL


def test_drift_is_a_pass_with_its_own_name() -> None:
    """A trajectory out of tolerance whose single steps are within it is PASS (drift)."""
    comparison = verdict(quantity([0.5, 0.9], [0.5, 0.1], one_step=[0.5, 0.1]))
    assert comparison.verdict is Verdict.DRIFT
    assert comparison.verdict.passed
    (difference,) = comparison.differences
    assert (difference.bad, difference.one_step_bad, difference.of, difference.passed) == (1, 0, 2, True)
    assert difference.max_abs == pytest.approx(0.8)
    assert difference.one_step_max_abs == 0


def test_a_wrong_step_fails_even_where_the_trajectory_agrees() -> None:
    """The verdict goes by single steps."""
    assert verdict(quantity([0.5], [0.5], one_step=[0.6])).verdict is Verdict.FAIL


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_not_finite_on_one_side_fails(broken: float) -> None:
    """NaN or infinity on one side only is a FAIL, whichever side it is."""
    for comparison in (verdict(quantity([broken, 1], [1, 1])), verdict(quantity([1, 1], [broken, 1]))):
        assert comparison.verdict is Verdict.FAIL
        assert comparison.first_failure is not None
        assert comparison.first_failure.t == 1


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_not_finite_on_both_sides_is_undecided(broken: float) -> None:
    """Nothing can be said of NaN against NaN; it never leads to PASS."""
    comparison = verdict(quantity([broken, 1], [broken, 1]))
    assert comparison.verdict is Verdict.UNDECIDED
    assert comparison.not_finite == 1
    assert not comparison.verdict.passed


def test_a_failure_outweighs_what_is_undecided() -> None:
    """One value that is wrong is a FAIL, however many cannot be judged."""
    assert verdict(quantity([np.nan, 1], [np.nan, 2])).verdict is Verdict.FAIL


def test_nothing_in_common_is_undecided() -> None:
    """Without any value to compare there is no verdict."""
    assert verdict().verdict is Verdict.UNDECIDED
    missing = quantity([1.0], [1.0], valid=np.array([[False]]))
    assert verdict(missing).verdict is Verdict.UNDECIDED


def test_shapes_must_be_equal() -> None:
    """Nothing is broadcast."""
    with pytest.raises(ValueError, match="shape"):
        verdict(quantity([1.0], [1.0, 1.0], one_step=[1.0]))


def test_steps_that_do_not_exist_are_not_compared() -> None:
    """A padded step may hold anything."""
    padded = quantity([1.0, np.nan], [1.0, 7.0], valid=np.array([[True], [False]]))
    assert verdict(padded).verdict is Verdict.IDENTICAL
    assert verdict(padded).differences[0].of == 1


def test_differences_in_all_units() -> None:
    """max_abs, max_rel and max_eps of 4 against 4.000001 and 0.5 against 0.5: eps counts from the largest value."""
    (difference,) = verdict(quantity([4.000001, 0.5], [4.0, 0.5])).differences
    assert difference.max_abs == pytest.approx(1e-6)
    assert difference.max_rel == pytest.approx(1e-6 / 4)
    assert difference.max_eps == pytest.approx(1e-6 / (4 * 2**-23))


def test_first_failure_follows_the_computation() -> None:
    """Time goes before the order in the cell, and that before outputs; layers go before time."""
    late_gate = quantity([1, 9.0], [1, 1], name="i")
    early_state = quantity([9.0, 1], [1, 1], name="h")
    output = quantity([9.0, 9], [1, 1], name="output")
    upper = quantity([9.0, 1], [1, 1], name="i", layer=1)
    first = verdict(late_gate, early_state, upper, output).first_failure
    assert first is not None
    assert (first.symbol, first.layer, first.t, first.replay, first.framework) == ("h", 0, 1, 9.0, 1.0)


def test_first_failure_of_the_reverse_direction_is_its_last_row() -> None:
    """The reverse direction runs from the last t to the first, and its first failure is sought that way."""
    first = verdict(quantity([9.0, 1, 9], [1, 1, 1], direction="reverse")).first_failure
    assert first is not None
    assert first.t == 3


def test_worst_is_the_largest_difference_anywhere() -> None:
    """The worst place may lie in another quantity than the first failure."""
    worst = verdict(quantity([1, 1 + 1e-6], [1, 1], name="c"), quantity([1, 1], [1, 1])).worst
    assert worst is not None
    assert (worst.symbol, worst.t) == ("c", 2)


def test_the_pairs_are_those_of_torch_testing() -> None:
    """rtol and atol of each format are what torch.testing.assert_close takes by default."""
    import torch

    for name, tolerance in TORCH_TOLERANCES.items():
        expected = torch.testing._comparison._DTYPE_PRECISIONS[getattr(torch, name)]
        assert (tolerance.rtol, tolerance.atol) == expected


def test_rounding_bound_counts_where_asked() -> None:
    """A difference within the bound of that very value agrees and is counted, and one beyond does not."""
    near = quantity([1.1, 2.1], [1, 2], bound=np.array([0.2, 0.2]).reshape(2, 1, 1))
    far = quantity([1.1, 2.3], [1, 2], bound=np.array([0.2, 0.2]).reshape(2, 1, 1))
    assert verdict(near, kind="rounding").verdict is Verdict.PASS
    assert verdict(far, kind="rounding").verdict is Verdict.FAIL
    assert verdict(near).verdict is Verdict.PASS
    assert verdict(near).by_rounding == 2
    assert verdict(far).verdict is Verdict.FAIL
    assert verdict(near, kind="exact").verdict is Verdict.FAIL


def test_overflow_of_the_narrower_format_is_infinite_on_both_sides() -> None:
    """70000 in a float32 replay is infinite in float16: undecided, not wrong."""
    sides = quantity([70000.0], [np.inf])
    assert compare([sides], make_tolerance("torch", "float16"), DTYPES["float16"]).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("kind", "rtol", "atol", "words"),
    [
        ("exact", 1e-3, None, "`rtol`"),
        ("rounding", None, 1e-3, "`atol`"),
        ("torch", -1.0, None, "0 or more"),
        ("torch", None, float("nan"), "0 or more"),
        ("closely", None, None, "torch, rounding, exact"),
    ],
)
def test_tolerances_that_make_no_sense(kind: str, rtol: float | None, atol: float | None, words: str) -> None:
    """An impossible tolerance is refused with what is possible."""
    with pytest.raises(UsageError, match=words):
        make_tolerance(kind, "float32", rtol, atol)


@pytest.mark.parametrize(
    ("kind", "lam", "words"), [("exact", 1.0, "`lam`"), ("torch", 0.0, "above 0"), ("torch", np.inf, "above 0")]
)
def test_a_lambda_that_makes_no_sense(kind: str, lam: float, words: str) -> None:
    """λ belongs to rounding and is a positive number."""
    with pytest.raises(UsageError, match=words):
        make_tolerance(kind, "float32", lam=lam)


def test_lambda_is_printed_and_decides() -> None:
    """A bound that is too tight fails what a wider one passes; both say which λ they went by."""
    wide, tight = (make_tolerance("rounding", "float32", lam=lam) for lam in (2.0, 0.5))
    assert (str(wide), str(tight)) == ("what rounding can explain, λ = 2", "what rounding can explain, λ = 0.5")


def test_given_tolerances_replace_single_values() -> None:
    """--rtol alone keeps the format's atol; what rounding can explain does not count beside a pair that was given."""
    tolerance = make_tolerance("torch", "float32", rtol=0.1)
    assert (tolerance.rtol, tolerance.atol, tolerance.rounding) == (0.1, 1e-5, False)


@settings(max_examples=60)
@given(st.data())
def test_the_pieces_do_not_matter(data: st.DataObject) -> None:
    """Judged in pieces of any length, and from either end, a quantity gives the comparison that it gives whole.

    But for what steps in another order would do, which is tried within a piece.
    """
    steps, batch, units = (data.draw(st.integers(1, most)) for most in (9, 3, 2))
    numbers = st.sampled_from([0.0, 0.5, 0.5 + 1e-4, 0.25, np.nan, np.inf, -0.0, 1e39])
    sides = [
        np.reshape(data.draw(st.lists(numbers, min_size=n, max_size=n)), (steps, batch, units))
        for n in [steps * batch * units] * 3
    ]
    t = np.arange(1, steps + 1)[:, None].repeat(batch, axis=1)
    valid = t <= np.array(data.draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch)))
    direction = data.draw(st.sampled_from(["forward", "reverse"]))
    bound = data.draw(st.sampled_from([None, np.full((steps, batch, units), 2e-4), np.full((steps, batch, units), np.inf)]))
    whole = Quantity("c", 1, direction, *sides, t, valid, bound)
    tolerance = make_tolerance("torch", "float32")
    cuts = sorted({0, steps, *data.draw(st.lists(st.integers(0, steps)))})
    parts = [slice(first, last) for first, last in pairwise(cuts)]
    tally, out = Tally(1, direction, "c", tolerance, FLOAT32), np.zeros(sides[0].shape, bool)
    for rows in reversed(parts) if data.draw(st.booleans()) else parts:
        out[rows] = tally.add(whole.part(rows))
    expected = compare([whole], tolerance, FLOAT32)
    found = concluded([tally], tolerance, {tally.key: out})
    assume(not any("steps" in said for each in (expected, found) for said in (each.doubt, *each.remarks)))
    assert repr(replace(found, out_of_tolerance={})) == repr(replace(expected, out_of_tolerance={}))
    assert np.array_equal(out, expected.out_of_tolerance[1, direction, "c"])
