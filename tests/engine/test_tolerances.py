"""The flags of judging mean what they say: a pair alone, units in the last place, decimals, drift, and typed digits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from commandline import ask
from torch import nn

import rnntrace
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.rounding import Typed
from rnntrace.engine.judge.tolerance import last_place, make_tolerance
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import DTYPES, Array
from rnntrace.model.weights import LayerWeights, Weights
from rnntrace.verbs.given.expected import Expected
from rnntrace.verbs.judged import judged

PASS, ROUNDED, DRIFT, FAIL = Verdict.PASS, Verdict.ROUNDED, Verdict.DRIFT, Verdict.FAIL


def handed_in(
    right: Result, output: Array, judging: JudgeOptions, half_units: dict[str, Array] | None = None, typed: Typed | None = None
) -> Result:
    """The verdict on an output that somebody hands in, beside the weights and inputs of a run."""
    given = Expected({"output": output}, half_units or {}, frozenset({"output"}))
    observation = given.observation(right.spec, "mine")
    return judged(right.spec, right.weights, right.inputs, observation, judging, typed=typed)


def traced(module: nn.Module, steps: int = 8, scale: float = 1.0) -> Result:
    """A module of torch with its weights `scale` times larger, on a drawn input."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-0.7 * scale, 0.7 * scale)
    return rnntrace.trace(module, torch.randn(steps, 1, 3, dtype=next(module.parameters()).dtype), capture="off")


# --- units in the last place, and decimals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "numpy_dtype"), [("float64", np.float64), ("float32", np.float32), ("float16", np.float16)])
def test_the_last_place_is_that_of_numpy(dtype: str, numpy_dtype: type) -> None:
    """numpy.spacing of the value's own format is the oracle, at powers of two and near zero too."""
    generator = np.random.default_rng(0)
    values = (generator.normal(size=200) * 10.0 ** generator.integers(-6, 5, 200)).astype(numpy_dtype)
    values = np.concatenate([values, np.array([1, 2, 0.5, -4, 0, 1e-7], numpy_dtype)])
    expected = np.abs(np.spacing(np.abs(values)).astype(np.float64))
    np.testing.assert_array_equal(last_place(values.astype(np.float64), DTYPES[dtype]), expected)


def test_the_last_place_of_bfloat16() -> None:
    """numpy has no bfloat16: torch steps to the neighbour."""
    values = torch.tensor([1.0, 1.5, 0.3, 100.0, 3e-5], dtype=torch.bfloat16)
    ahead = (values.view(torch.int16) + 1).view(torch.bfloat16)
    gaps = (ahead.double() - values.double()).numpy()
    np.testing.assert_array_equal(last_place(values.double().numpy(), DTYPES["bfloat16"]), gaps)


def test_ulp_counts_from_the_value_itself() -> None:
    """Four units in the last place of each value pass with ulp:4, and fail with ulp:3."""
    right = traced(nn.LSTM(3, 4, dtype=torch.float64))
    output = right.replayed_outputs["output"]
    moved = output + 4 * np.spacing(np.abs(output))
    assert handed_in(right, moved, JudgeOptions(tolerance="ulp:4")).verdict is PASS
    failed = handed_in(right, moved, JudgeOptions(tolerance="ulp:3"))
    assert (failed.verdict, failed.comparison.differences[0].bad) == (FAIL, output.size)


@pytest.mark.parametrize("decimals", [2, 4, 6])
def test_decimals_are_those_that_round_gives(decimals: int) -> None:
    """Values rounded to N decimals pass with decimals:N, and those off by more than half a unit fail."""
    right = traced(nn.GRU(3, 4, 2, dtype=torch.float64))
    output = right.replayed_outputs["output"]
    judging = JudgeOptions(tolerance=f"decimals:{decimals}")
    assert handed_in(right, np.round(output, decimals), judging).verdict is PASS
    wrong = output.copy()
    wrong[3, 0, 1] += 0.6 * 10.0**-decimals
    failed = handed_in(right, wrong, judging)
    assert failed.verdict is FAIL
    assert (failed.comparison.first_failure.t, failed.comparison.first_failure.unit) == (4, 1)


@pytest.mark.parametrize("kind", ["ulp:", "ulp:-1", "ulp:1.5", "decimals", "decimals:x", "ulps:3", "decimals:99", "ULP:3"])
def test_other_words_are_refused(kind: str) -> None:
    """What is no tolerance is said with those that there are."""
    with pytest.raises(UsageError, match="decimals"):
        make_tolerance(kind, "float32")


@pytest.mark.parametrize("number", ["1e-3", "0.001", "1"])
def test_a_number_is_told_its_flags(number: str) -> None:
    """There is a relative and an absolute one."""
    with pytest.raises(UsageError, match=f"`rtol={number}`, `atol={number}`"):
        make_tolerance(number, "float32")


@pytest.mark.parametrize(
    ("flags", "line"), [(["--tolerance", "ulp:2", "--rtol", "1"], "rtol"), (["--rtol", "1", "--lambda", "3"], "lambda")]
)
def test_flags_that_contradict_each_other(flags: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A pair beside another tolerance, and λ beside a pair, would do nothing."""
    answer = ask(capsys, "run", "rnn", *flags)
    assert answer.code == 2
    assert line in answer.err


# --- a pair that is given ---------------------------------------------------------------------------------------------------


def test_a_pair_of_zero_means_the_same_bits(capsys: pytest.CaptureFixture[str]) -> None:
    """--rtol 0 --atol 0 passes nothing that differs, whatever rounding can explain."""
    flags = ["run", "lstm", "-H", "16", "--seed", "2", "-q"]
    assert ask(capsys, *flags).out.startswith("PASS ")
    assert ask(capsys, *flags, "--rtol", "0", "--atol", "0").code == 1


def test_a_hand_in_within_the_pair_passes_though_its_steps_do_not_follow() -> None:
    """An output rounded to three decimals is within 1e-3 everywhere; a step that starts from a rounded state need not be."""
    right = traced(nn.LSTM(3, 4, dtype=torch.float64), 30, 3.0)
    output = np.round(right.replayed_outputs["output"], 3)
    assert handed_in(right, output, JudgeOptions()).verdict is FAIL
    assert handed_in(right, output, JudgeOptions(rtol=0.0, atol=5.1e-4)).verdict is PASS
    assert handed_in(right, output, JudgeOptions(rtol=0.0, atol=4e-4)).verdict is FAIL


# --- drift ------------------------------------------------------------------------------------------------------------------


def creeping(right: Result, by: float) -> Array:
    """What a tanh RNN gives that adds a little to h at every step."""
    W, inputs = right.weights[0, "forward"], right.inputs
    h, output = inputs.h0[0], np.empty_like(right.replayed_outputs["output"])
    for t, x in enumerate(inputs.x):
        h = np.tanh(x @ W.W_ih[0].T + W.b_ih[0] + h @ W.W_hh[0].T + W.b_hh[0]).astype(output.dtype) + output.dtype.type(by)
        output[t] = h
    return output


def test_drift_is_rounding_and_no_creep() -> None:
    """In a chaotic network honest rounding drifts; 8e-6 a step, within atol each time, is a mistake."""
    right = traced(nn.RNN(3, 16), 200, 2.0)
    assert right.verdict is DRIFT
    assert handed_in(right, creeping(right, 0.0), JudgeOptions()).verdict is DRIFT
    forged = handed_in(right, creeping(right, 8e-6), JudgeOptions())
    assert forged.verdict is FAIL
    assert [difference.one_step_bad for difference in forged.comparison.differences] == [0, 0]
    place = forged.comparison.first_failure
    assert place.framework - place.replay == pytest.approx(8e-6, rel=0.05)


def test_no_drift_makes_it_a_fail(capsys: pytest.CaptureFixture[str]) -> None:
    """The first place of the trajectory that is out is named."""
    right = traced(nn.RNN(3, 16), 200, 2.0)
    strict = judged(right.spec, right.weights, right.inputs, right.observation, JudgeOptions(drift=False))
    assert strict.verdict is FAIL
    place = strict.comparison.first_failure
    apart = np.abs(right.replayed_outputs["output"].astype(float) - right.observation.outputs["output"])
    out = apart > 1e-5 + 1.3e-6 * np.abs(right.observation.outputs["output"])
    assert place.t == int(np.argwhere(out.any(axis=(1, 2)))[0, 0]) + 1
    flags = ["run", "rnn", "-H", "4", "--seed", "1", "-q", "--no-drift"]
    assert ask(capsys, *flags).code == 0


# --- digits that were typed -------------------------------------------------------------------------------------------------


def half_units(output: Array, decimals: int) -> dict[str, Array]:
    """Those of an output typed with as many decimals."""
    return {"output": np.full(output.shape, 0.5 * 10.0**-decimals)}


@pytest.mark.parametrize("module", [nn.LSTM(3, 4), nn.GRU(3, 4, 2), nn.RNN(3, 4, bidirectional=True)], ids=["1", "2", "both"])
@pytest.mark.parametrize("decimals", [2, 4])
def test_what_was_typed_is_judged_by_its_digits(module: nn.Module, decimals: int) -> None:
    """Right values rounded pass as rounded; by hand-given bits they fail, and so does a value a unit off."""
    right = traced(module, 12)
    output = np.round(right.replayed_outputs["output"].astype(np.float64), decimals)
    digits = half_units(output, decimals)
    found = handed_in(right, output, JudgeOptions(), digits)
    assert (found.verdict, found.comparison.differences[0].decimals) == (ROUNDED, decimals)
    assert handed_in(right, output, JudgeOptions(rounded=False), digits).verdict is FAIL
    assert handed_in(right, output, JudgeOptions()).verdict is FAIL
    output[5, 0, 2] += 10.0**-decimals
    assert handed_in(right, output, JudgeOptions(), digits).verdict is FAIL


def test_digits_never_make_a_verdict_stricter() -> None:
    """What the tolerance covers alone is a plain PASS, with whatever digits."""
    right = traced(nn.LSTM(3, 4), 12)
    output = right.observation.outputs["output"] + np.float32(1e-6)
    for decimals in (2, 6, 12, 17):
        assert handed_in(right, output, JudgeOptions(), half_units(output, decimals)).verdict is PASS
    chaotic = traced(nn.RNN(3, 16), 200, 2.0)
    assert handed_in(chaotic, creeping(chaotic, 0.0), JudgeOptions(), half_units(creeping(chaotic, 0.0), 9)).verdict is DRIFT


def test_two_decimals_of_small_values_prove_nothing() -> None:
    """Values of 0.003 typed as 0.00: zeros would agree as well."""
    module = nn.RNN(3, 4, bias=False)
    right = traced(module, 6, 0.002)
    output = np.round(right.replayed_outputs["output"].astype(np.float64), 2)
    assert handed_in(right, output, JudgeOptions(), half_units(output, 2)).verdict is Verdict.UNDECIDED


def test_typed_weights_are_carried_within_three_units() -> None:
    """Weights printed to three decimals move the outputs by more than half a unit; that is allowed, up to a limit."""
    exact = traced(nn.GRU(3, 4, dtype=torch.float64), 12)
    columns = {
        key: LayerWeights(**{n: np.round(a, 3) for n, a in found.arrays.items()})
        for key, found in exact.weights.columns.items()
    }
    printed = replace(exact, weights=Weights(columns))
    output = np.round(exact.replayed_outputs["output"], 3)
    half = {key: LayerWeights(**{n: np.full(a.shape, 5e-4) for n, a in found.arrays.items()}) for key, found in columns.items()}
    typed, digits = Typed(weights=Weights(half)), half_units(output, 3)
    assert handed_in(printed, output, JudgeOptions(), digits).verdict is FAIL
    assert handed_in(printed, output, JudgeOptions(), digits, typed).verdict is ROUNDED
    assert handed_in(printed, output, JudgeOptions(), None, typed).verdict is FAIL
    output[7, 0, 1] += 4e-3
    assert handed_in(printed, output, JudgeOptions(), digits, typed).verdict is FAIL


def test_what_typed_weights_leave_open_bounds_what_they_change() -> None:
    """The carried half units are never less than what a change of the weights by half a unit does to any gate or state."""
    from rnntrace.engine.judge.rules import EXACT
    from rnntrace.engine.replay.replay import replay

    right = traced(nn.LSTM(3, 4, 2, bidirectional=True, dtype=torch.float64), 6)
    generator, unit = np.random.default_rng(0), 1e-3
    half = {
        key: LayerWeights(**{n: np.full(a.shape, unit / 2) for n, a in found.arrays.items()})
        for key, found in right.weights.columns.items()
    }
    typed = Typed(
        Weights(half), x=np.full(right.inputs.x.shape, unit / 2), states={"h": np.full(right.inputs.h0.shape, unit / 2)}
    )
    bounds = replay(right.spec, right.weights, right.inputs, rounding=EXACT, typed=typed).bounds
    assert bounds
    for _ in range(20):

        def moved(array: Array) -> Array:
            return array + generator.choice([-unit / 2, unit / 2], array.shape)

        columns = {
            key: LayerWeights(**{n: moved(a) for n, a in found.arrays.items()}) for key, found in right.weights.columns.items()
        }
        inputs = replace(right.inputs, x=moved(right.inputs.x), h0=moved(right.inputs.h0))
        other = replay(right.spec, Weights(columns), inputs)
        for key, found in other.columns.items():
            assert (np.abs(found - right.trace.columns[key]) <= bounds.columns[key]).all(), key
    assert all(bound.max() < 0.2 for bound in bounds.columns.values())
