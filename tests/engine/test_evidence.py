"""Agreement that says nothing is no PASS: what else would have agreed, over formats, sizes, stacks and kinds."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import rnntrace
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.mistake import catalogue, outputs_of
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.pairing import Quantity
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.tolerance import Tolerance, make_tolerance
from rnntrace.engine.judge.verdict import Comparison, Verdict, compare
from rnntrace.model.dtypes import DTYPES, Array, rounded
from rnntrace.model.inputs import SignalRequest
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.verbs.given.expected import Expected
from rnntrace.verbs.given.sources import Sources
from rnntrace.verbs.judged import judged
from rnntrace.verbs.run import build_and_trace as run

PASS, UNDECIDED, FAIL = Verdict.PASS, Verdict.UNDECIDED, Verdict.FAIL


def handed_in(right: Result, outputs: Mapping[str, Array], judging: JudgeOptions | None = None) -> Result:
    """The verdict on outputs that somebody hands in, beside the weights and inputs of a run."""
    outputs = {name: rounded(values, right.spec.precision) for name, values in outputs.items()}
    observation = Expected(outputs, {}, frozenset(outputs)).observation(right.spec, "mine")
    return judged(right.spec, right.weights, right.inputs, observation, judging or JudgeOptions())


def rms(values: NDArray[np.floating]) -> float:
    """The distance from zero, as the square root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


@pytest.mark.slow
@pytest.mark.parametrize(("hidden", "layers"), [(2, 1), (2, 2), (2, 4), (64, 1), (64, 4), (512, 2)])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_right_values_pass_and_others_never(dtype: str, kind: str, hidden: int, layers: int) -> None:
    """torch's own outputs pass; zeros, noise of a fifth of the values, and half of the units wrong do not."""
    spec = ModuleSpec(kind=kind, input_size=8, hidden_size=hidden, num_layers=layers, dtype=dtype)
    right = run(spec, Sources(SignalRequest(steps=4, batch=2)), JudgeOptions(capture="off" if hidden > 64 else "auto"), seed=1)
    assert right.verdict is PASS
    outputs = right.observation.outputs
    assert handed_in(right, outputs).verdict is PASS
    noise = np.random.default_rng(0).normal(size=outputs["output"].shape) * rms(outputs["output"]) / 5
    half = outputs["output"].copy()
    larger = np.argsort([rms(half[..., unit]) for unit in range(hidden)])[hidden // 2 :]
    half[..., larger] = 0
    wrong = {
        "zeros": {"output": np.zeros_like(outputs["output"])},
        "noise": {"output": outputs["output"] + noise.astype(np.float32)},
        "half": {"output": half},
    }
    assert {name: verdict for name, given in wrong.items() if (verdict := handed_in(right, given).verdict).passed} == {}


@pytest.mark.slow
@pytest.mark.parametrize(("hidden", "layers"), [(2, 2), (64, 1)])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_mistake_that_moves_the_values_passes(dtype: str, kind: str, hidden: int, layers: int) -> None:
    """Whatever mistake moves the outputs by a fifth of their size or more is noticed, or not decided."""
    spec = ModuleSpec(kind=kind, input_size=8, hidden_size=hidden, num_layers=layers, dtype=dtype)
    right = run(spec, Sources(SignalRequest(steps=6, batch=2)), JudgeOptions(capture="off"), seed=1)
    passed, tried = [], 0
    for mistake in catalogue(spec.cell):
        outputs = outputs_of(Case.of(spec, right.weights, right.inputs), (mistake,))
        if outputs is None or any(outputs[name].shape != values.shape for name, values in right.replayed_outputs.items()):
            continue
        moved = [rms(outputs[name] - values) / rms(values) for name, values in right.replayed_outputs.items()]
        if max(moved) > 0.2:
            tried += 1
            passed += [mistake.id] if handed_in(right, outputs).passed else []
    assert tried > 3
    assert passed == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_weights_that_cancel_prove_nothing(dtype: str) -> None:
    """Where terms of 1e30 cancel, any output is within what rounding can explain."""
    spec = ModuleSpec(kind="RNN", input_size=2, hidden_size=4, dtype=dtype)
    right = run(spec, Sources(SignalRequest(steps=4, x=np.ones((4, 1, 2)))), seed=1)
    column = right.weights[0, "forward"]
    W_ih = column.W_ih.copy()
    W_ih[..., 0], W_ih[..., 1] = 1e30, -1e30
    right = replace(right, weights=Weights({(0, "forward"): replace(column, W_ih=W_ih)}))
    forged = np.random.default_rng(0).uniform(-0.5, 0.5, size=(4, 1, 4))
    assert not handed_in(right, {"output": forged}).passed


def test_outputs_below_atol_are_judged_by_rounding_alone() -> None:
    """With outputs of 1e-7 the pair of float32 lets zeros through; what rounding can explain does not."""
    torch = pytest.importorskip("torch")
    module = torch.nn.RNN(3, 4, bias=False)
    with torch.no_grad():
        module.weight_ih_l0.mul_(1e-7)
    right = rnntrace.trace(module, torch.randn(5, 1, 3), capture="off")
    zeros = {"output": np.zeros_like(right.observation.outputs["output"])}
    undecided = handed_in(right, zeros)
    assert undecided.verdict is UNDECIDED
    assert "`tolerance=rounding`" in undecided.comparison.doubt
    assert handed_in(right, right.observation.outputs, JudgeOptions(tolerance="rounding")).passed
    assert handed_in(right, zeros, JudgeOptions(tolerance="rounding")).verdict is FAIL


FLOAT32 = DTYPES["float32"]


def compared(replay: Array, framework: Array, tolerance: Tolerance | None = None, **more: Array) -> Comparison:
    """The verdict on one quantity (T, B, H)."""
    t = np.broadcast_to(np.arange(1, len(replay) + 1)[:, None], replay.shape[:2])
    quantity = Quantity("h", 0, "forward", replay, replay, framework, t, **more)
    return compare([quantity], tolerance or make_tolerance("torch", "float32"), FLOAT32)


def values(seed: int = 0, *shape: int) -> Array:
    """Some values of about 0.3."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape or (4, 3, 5)).astype(np.float32)


def off(array: Array, by: float = 1e-6) -> Array:
    """Nearly the same values: not the same bits."""
    return array + np.float32(by)


@pytest.mark.parametrize(("atol", "verdict"), [(1e-5, PASS), (0.04, PASS), (0.1, UNDECIDED), (10.0, UNDECIDED)])
def test_a_tolerance_of_a_fifth_of_the_values_proves_nothing(atol: float, verdict: Verdict) -> None:
    """The root mean square of uniform values up to 0.5 is 0.29, and a fifth of it 0.058."""
    found = compared(values(), off(values()), make_tolerance("torch", "float32", atol=atol))
    assert found.verdict is verdict
    assert found.differences[0].uninformative == (0 if verdict is PASS else 60)


def test_distance_is_from_zero_not_from_the_mean() -> None:
    """Values around 100 that differ by 1e-3 are informative at atol 1."""
    right = np.float32(100) + values() * np.float32(1e-3)
    assert compared(right, off(right, 1e-2), make_tolerance("torch", "float32", atol=5e-2)).verdict is UNDECIDED
    other = np.float32(100) + values()
    assert compared(other, off(other, 1e-2), make_tolerance("torch", "float32", atol=5e-2)).verdict is PASS


@pytest.mark.parametrize(("axis", "what"), [(0, "steps"), (1, "items"), (2, "units")])
def test_order_that_would_agree(axis: int, what: str) -> None:
    """Steps, items or units that differ by less than the tolerance, and more than rounding, could be in any order."""
    shape = [1, 1, 1]
    shape[axis] = 6
    right = np.broadcast_to(np.float32(0.4) + values(1, *shape) * np.float32(1e-5), (6, 6, 6)).copy()
    found = compared(right, off(right), make_tolerance("torch", "float32"))
    assert found.verdict is UNDECIDED
    assert f"the {what} in reverse order would agree" in found.doubt


@pytest.mark.parametrize(("axis", "what"), [(0, "steps"), (1, "items"), (2, "units")])
def test_what_is_equal_has_no_order(axis: int, what: str) -> None:
    """Equal steps, items or units pass, with a remark; where there is but one, without."""
    shape = [4, 3, 5]
    shape[axis] = 1
    one = values(2, *shape)
    assert compared(one, off(one)).remarks == ()
    found = compared(np.repeat(one, 2, axis), off(np.repeat(one, 2, axis)))
    assert found.verdict is PASS
    assert [remark.startswith(f"all {what} have the same values") for remark in found.remarks] == [True]


def test_zeros_agree_with_zeros() -> None:
    """Where every right value is 0, agreement is a PASS that says so; beside other quantities it counts for nothing."""
    zero = np.zeros((4, 3, 5), np.float32)
    found = compared(zero, off(zero))
    assert found.verdict is PASS
    assert found.remarks == ("every value is 0: a mistake that leaves zeros would not be seen",)
    t = np.broadcast_to(np.arange(1, 5)[:, None], (4, 3))
    wide = make_tolerance("torch", "float32", atol=1.0)
    both = [Quantity(name, 0, "forward", sides, sides, off(sides), t) for name, sides in (("h", values()), ("c", zero))]
    assert compare(both, wide, FLOAT32).verdict is UNDECIDED


def test_the_same_bits_need_no_evidence() -> None:
    """IDENTICAL stays what it is at any tolerance."""
    assert compared(values(), values(), make_tolerance("torch", "float32", atol=10.0)).verdict is Verdict.IDENTICAL


def test_a_quantity_that_says_nothing_is_not_judged() -> None:
    """Beside one that does, it is named."""
    t = np.broadcast_to(np.arange(1, 5)[:, None], (4, 3))
    small = values() * np.float32(1e-6)
    both = [Quantity(name, 0, "forward", sides, sides, off(sides), t) for name, sides in (("h", values()), ("c", small))]
    found = compare(both, make_tolerance("torch", "float32"), FLOAT32)
    assert (found.verdict, found.unjudged) == (PASS, ((0, "forward", "c"),))
