"""Digits: what values have of them is told for what it is, and a mistake beside it is found all the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_diagnose import Arrays, arrays, drawn, explained, loop, lstm, lstm_in_onnx_order

from rnntrace.engine.diagnose.agreement import Target
from rnntrace.engine.diagnose.case import Case, Outputs
from rnntrace.engine.diagnose.digits import digits_of
from rnntrace.engine.diagnose.mistake import catalogue, outputs_of
from rnntrace.engine.judge.tolerance import TORCH_TOLERANCES
from rnntrace.model.dtypes import DTYPES, Array, rounded

FLOAT32 = DTYPES["float32"]
VALUES = np.tanh(np.random.default_rng(0).normal(size=60))


def named(values: Array, right: Array = VALUES, dtype: str = "float32") -> str:
    found = digits_of(values, right, DTYPES[dtype])
    return found.name if found else ""


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("format", ["float16", "bfloat16", "float32"])
def test_a_format_is_told(format: str, scale: float) -> None:
    """Values that went through a coarser format, large and small ones; those of the module's own say nothing."""
    values = rounded(scale * VALUES, DTYPES[format]).astype(np.float64)
    assert named(values, scale * VALUES, "float64") == format
    assert named(values.astype(np.float32), scale * VALUES, "float32") == ("" if format == "float32" else format)
    assert named(values.astype(np.float32), scale * VALUES, format) == ""


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (1 / 4, "a grid of 1/4"),
        (1 / 128, "a grid of 1/128"),
        (1 / 32768, "a grid of 1/32768"),
        (1 / 127.5, "a grid of 0.007843"),
        (1e-2, "2 decimals"),
        (1e-4, "4 decimals"),
    ],
)
def test_a_step_is_told_from_a_format(step: float, name: str) -> None:
    """bfloat16 holds every multiple of 1/128 below 2, but would hold finer values as well, and these are not there."""
    values = np.round(VALUES / step) * step
    assert named(values.astype(np.float32)) == name
    assert named(values, dtype="float64") == name


def test_full_digits_and_few_values_tell_nothing() -> None:
    """Neither values of all digits, nor seven values, nor what the right values have as well, such as whole numbers."""
    assert named(VALUES.astype(np.float32)) == named(VALUES, dtype="float64") == ""
    eighths = np.round(VALUES * 8) / 8
    assert named(eighths[:7]) == ""
    assert named(eighths) != ""
    assert named(eighths, eighths) == named(np.arange(30.0), np.arange(1, 31.0)) == ""
    assert named(np.zeros(20)) == named(np.full(20, 0.5)) == ""


def on_grid(outputs: Outputs, step: float = 1 / 128) -> Outputs:
    return {name: (np.round(values / step) * step).astype(np.float32) for name, values in outputs.items()}


def without_b_hh(given: Arrays) -> Outputs:
    return loop({**given, "b_hh": 0 * given["b_hh"]}, lstm)


def single(seed: int = 7, **options: object) -> Case:
    """An LSTM in float32."""
    case = drawn("LSTM", seed, dtype="float32", **options)
    inputs = case.inputs
    assert inputs.c0 is not None
    narrow = replace(case, weights=case.weights.astype(np.dtype(np.float32)))
    return narrow.with_inputs(x=inputs.x.astype("f"), h0=inputs.h0.astype("f"), c0=inputs.c0.astype("f"))


def scaled(case: Case, factor: float) -> Case:
    """The case with smaller weights of the input and biases, from states of zero."""
    names, number = ("W_ih", "b_ih", "b_hh"), np.float32(factor)
    zero = {f"{state}0": 0 * case.inputs.initial(state) for state in case.cell.states}
    change = case.with_weights(lambda found: replace(found, **{name: getattr(found, name) * number for name in names}))
    return change.with_inputs(**zero)


@pytest.mark.parametrize("step", [1 / 128, 1 / 16, 1 / 127.5])
def test_right_values_on_a_grid_are_called_that(step: float) -> None:
    """The grid is the answer, with half a step as what is left; no format is named."""
    case = single()
    found = explained(case, on_grid(loop(arrays(case), lstm), step), "float32")
    (answer,) = found.answers
    assert answer.id.startswith("lstm.precision.grid")
    assert found.coarse.startswith("a grid of ")
    assert answer.after < 0.51 * step


@pytest.mark.parametrize("step", [1 / 128, 1 / 32, 1 / 127.5])
def test_a_mistake_on_a_grid_is_found(step: float) -> None:
    """b_hh left out, or gates in another order, in an int8 runtime: the mistake is the answer, and the grid is mentioned."""
    case = single()
    for student, id in ((without_b_hh, "bias.hh-dropped"), (lambda g: loop(g, lstm_in_onnx_order), "gate-order.iofc")):
        found = explained(case, on_grid(student(arrays(case)), step), "float32")
        assert [answer.id for answer in found.answers] == [f"lstm.{id}"]
        assert found.coarse.startswith("a grid of ")


def test_a_port_in_a_half_format_without_a_bias() -> None:
    """torch in bfloat16, with b_hh of zero: the bias is named, and nothing else; with it, the format is."""
    case = single(hidden_size=16, input_size=8)
    module = torch.nn.LSTM(8, 16)
    for missing in (True, False):
        with torch.no_grad():
            for name, array in case.weights[0, "forward"].arrays.items():
                values = torch.from_numpy(array.reshape(-1, *array.shape[2:]).copy())
                parameter = getattr(module, name.replace("W", "weight").replace("b_", "bias_") + "_l0")
                parameter.copy_(0 * values if missing and name == "b_hh" else values)
            half = module.bfloat16()
            inputs = case.inputs
            given = [torch.from_numpy(np.asarray(values)).bfloat16() for values in (inputs.x, inputs.h0, inputs.c0)]
            output, (h_n, c_n) = half(given[0], (given[1], given[2]))
        outputs = {name: values.float().numpy() for name, values in (("output", output), ("h_n", h_n), ("c_n", c_n))}
        found = explained(case, outputs, "float32")
        wanted = "lstm.bias.hh-dropped" if missing else "lstm.precision.bfloat16"
        assert ([answer.id for answer in found.answers], found.coarse) == ([wanted], "bfloat16")
        module = module.float()


@pytest.mark.parametrize("change", ["added", "scaled"])
def test_a_format_explains_no_other_difference(change: str) -> None:
    """Small right outputs with 0.01 added, or times 1.1, held in bfloat16: two eps of 1 would cover it."""
    case = scaled(drawn("RNN", 7, dtype="float32"), 0.05)
    right = outputs_of(case)
    assert right is not None
    output = right["output"]
    assert np.abs(output).max() < 0.15
    wrong = output + 0.01 if change == "added" else output * 1.1
    found = explained(case, {"output": rounded(wrong.astype(np.float32), DTYPES["bfloat16"])}, "float32")
    assert found.answers == ()


@pytest.mark.parametrize("format", ["float16", "bfloat16"])
def test_what_a_format_may_do_follows_the_size_of_values(format: str) -> None:
    """Of a network whose values are a hundredth, a hundredth is allowed."""
    case = drawn("RNN", 30, dtype="float32")

    def allowed(case: Case) -> float:
        outputs = {"output": (outputs_of(case) or {})["output"]}
        tolerance = replace(TORCH_TOLERANCES["float32"], rtol=0.0, atol=0.0)
        digits = digits_of(rounded(VALUES, DTYPES[format]), VALUES, FLOAT32)
        return float(Target.of(case, outputs, tolerance, digits).allowed["output"].max())

    # Large values are a little less than in proportion, since tanh flattens them.
    assert allowed(scaled(case, 0.01)) < allowed(scaled(case, 1)) / 30
    assert allowed(scaled(case, 0.01)) < 0.1 * DTYPES[format].eps


def test_precision_is_no_answer_beside_one() -> None:
    """A hypothesis that agrees in half a format must leave clearly less than there was, so nothing stands beside the format."""
    case = single()
    right = {name: rounded(values, DTYPES["float16"]) for name, values in loop(arrays(case), lstm).items()}
    assert [answer.id for answer in explained(case, right, "float32").answers] == ["lstm.precision.float16"]
    assert "lstm.precision.float16" in [mistake.id for mistake in catalogue(case.cell)]
