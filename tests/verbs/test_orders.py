"""Signals and outputs in whatever order of axes people hold them, judged as torch computed them; a wrong one never passes."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch

import rnntrace
from rnntrace.engine.judge.result import Result

LETTERS = {"time": "t", "batch": "b", "unit": "u"}
ORDERS = [",".join(order) for order in permutations(LETTERS)]
T, B, I, H = 5, 2, 3, 4


def in_file(array: np.ndarray, letters: str, order: str) -> np.ndarray:
    """An array whose axes are these letters as it lies in a file of that order; an axis of rows stays in front."""
    return np.einsum(
        f"...{letters}->...{''.join(LETTERS[word] for word in order.split(',') if LETTERS[word] in letters)}", array
    )


def made(bidirectional: bool = False, batch_first: bool = False, layers: int = 1) -> tuple[Any, dict[str, np.ndarray]]:
    """A module of torch, and everything that it was fed and gave, time-major."""
    torch.manual_seed(1)
    module = torch.nn.LSTM(I, H, layers, bidirectional=bidirectional, batch_first=batch_first)
    rows = layers * (1 + bidirectional)
    x, h0, c0 = torch.randn(T, B, I), torch.randn(rows, B, H), torch.randn(rows, B, H)
    with torch.no_grad():
        output, (h_n, c_n) = module(x.transpose(0, 1) if batch_first else x, (h0, c0))
    found = {"x": x, "h0": h0, "c0": c0, "output": output.transpose(0, 1) if batch_first else output, "h_n": h_n, "c_n": c_n}
    return module, {name: tensor.numpy() for name, tensor in found.items()}


def judged(module: Any, held: dict[str, np.ndarray], *names: str, **options: Any) -> Result:
    """Beside what is held under these names."""
    given = {name: held[name] for name in ("x", "h0", "c0") if name in held}
    result = rnntrace.compare(module, given, expected={name: held[name] for name in names}, **options)
    assert isinstance(result, Result)
    return result


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_that_is_named_is_read(order: str, batch_first: bool) -> None:
    """x, outputs and states of two layers in two directions; with one number changed it fails."""
    module, true = made(bidirectional=True, batch_first=batch_first, layers=2)
    letters = {name: "tbu" if name in ("x", "output") else "bu" for name in true}
    held = {name: in_file(array, letters[name], order) for name, array in true.items()}
    found = judged(module, held, "output", "h_n", "c_n", axes=order)
    assert (found.passed, found.inputs.steps, found.inputs.batch, found.warnings) == (True, T, B, ())
    for name in ("output", "h_n", "c_n"):
        wrong = held | {name: held[name] + 1e-2 * (np.arange(held[name].size) == 1).reshape(held[name].shape)}
        assert not judged(module, wrong, "output", "h_n", "c_n", axes=order).passed, name


def test_where_one_order_alone_fits_it_is_taken_and_said() -> None:
    """(I, T) and (H, T) of one sequence; a batch first that was not named; states of the course beside its x."""
    module, true = made()
    one = {"x": true["x"][:, 0].T, "output": module(torch.tensor(true["x"][:, 0]))[0].detach().numpy().T}
    turned = {name: true[name].swapaxes(0, 1) if name in ("x", "output") else true[name] for name in true}
    course = {
        name: in_file(array, "tbu" if name in ("x", "output") else "bu", "unit,batch,time") for name, array in true.items()
    }
    for held, order in ((one, "(unit, time)"), (turned, "(batch, time, unit)"), (course, "(unit, batch, time)")):
        found = judged(module, held, "output")
        assert found.passed, order
        assert [said for said in found.warnings if f"taken for {order}, the only order of axes" in said], found.warnings
        assert not judged(module, held | {"output": held["output"] + 0.01}, "output").passed, order


def test_where_several_fit_the_usual_one_is_taken_or_they_are_named() -> None:
    """What lies another way never passes without a word: with all sizes alike it fails, else the question is asked."""
    torch.manual_seed(1)
    module = torch.nn.GRU(4, 4)
    x = torch.randn(4, 4, 4)
    output = module(x)[0].detach().numpy()
    for order in ORDERS:
        held = {"x": in_file(x.numpy(), "tbu", order), "output": in_file(output, "tbu", order)}
        found = judged(module, held, "output")
        assert found.passed == (order == "time,batch,unit"), order
        assert judged(module, held, "output", axes=order).passed, order
    module, true = made()
    course = {name: in_file(true[name], "tbu", "unit,batch,time") for name in ("x", "output")}
    with pytest.raises(rnntrace.RnnTraceError, match=r"fits as unit,time,batch or unit,batch,time: say which with `axes`$"):
        judged(module, course, "output")


def test_run_and_explain_read_the_same_order() -> None:
    x = np.random.default_rng(1).random((3, 2, 5))
    found = rnntrace.run("gru", input=x, axes="unit,batch,time", seed=1)
    assert found.passed
    assert np.array_equal(found.inputs.x, x.transpose(2, 1, 0).astype(np.float32))
    told = rnntrace.explain("gru", input=x, axes="unit,batch,time", seed=1, t=5, item=1)
    assert np.array_equal(told.trace.inputs.x, found.inputs.x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": np.zeros((3, 2, 5)), "axes": "unit,time"}, r"`axes=unit,time` is the order of two axes, and x has three"),
        ({"text": "abc", "axes": "unit,time"}, r"`axes` is the order of arrays, and `text` has none"),
        ({"axes": "unit,time"}, r"`axes` is the order of arrays, and none is given"),
        ({"input": np.zeros((2, 3)), "axes": "unit,time"}, r"last dimension of x should be the input size 3"),
    ],
)
def test_an_order_that_says_nothing_or_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(rnntrace.RnnTraceError, match=message):
        rnntrace.run("gru", **options)


@pytest.mark.parametrize(
    ("kind", "own", "held"),
    [
        ("gru-cell", {"unbatched": True}, [(2,), (1, 2)]),
        ("gru", {"unbatched": True}, [(1, 2), (2,), (1, 1, 2)]),
        ("gru", {"batch": 3}, [(1, 3, 2), (3, 2)]),
        ("gru", {"layers": 2}, [(2, 1, 2), (2, 2), (1, 2, 2)]),
    ],
)
def test_states_without_an_axis_or_with_one_too_many(kind: str, own: dict[str, Any], held: list[tuple[int, ...]]) -> None:
    """Where that leaves one reading, it is the same run."""
    numbers = np.arange(1.0, 1 + np.prod(held[0])) / 10
    outputs = [rnntrace.run(kind, seed=1, h0=numbers.reshape(shape), **own).trace.outputs["h_n"] for shape in held]
    assert all(np.array_equal(outputs[0], other) for other in outputs)
    assert not np.array_equal(
        outputs[0], rnntrace.run(kind, seed=1, h0=2 * numbers.reshape(held[0]), **own).trace.outputs["h_n"]
    )


def last(h_n: np.ndarray) -> np.ndarray:
    """(2, B, H) as (B, 2·H)."""
    return np.concatenate([*h_n], axis=-1)


def test_outputs_in_other_forms_are_read_and_said() -> None:
    """h_n (B, D·H), the last output alone, ONNX's Y, of one item without a batch: beside a module of torch."""
    module, true = made(bidirectional=True)
    del true["h0"], true["c0"]
    x = torch.tensor(true["x"])
    output, (h_n, _) = module(x)
    y, h = output.detach().numpy(), h_n.detach().numpy()
    forms = {
        "h_n": (last(h), r"h_n in .* has shape (2, 8), and is read as (batch, directions · unit)"),
        "output": (last(h), "the output of the final step alone: it is judged as h_n"),
        "Y": (y.reshape(T, B, 2, H).transpose(0, 2, 1, 3), "is read as (time, directions, batch, unit)"),
    }
    for name, (array, remark) in forms.items():
        found = judged(module, true | {name: array}, name)
        assert found.passed, name
        assert [said for said in found.warnings if remark.rpartition(".* ")[2] in said], found.warnings
        assert not judged(module, true | {name: array + 0.01}, name).passed
    single, (h_1, _) = module(x[:, 0])
    for array in (last(h_1.detach().numpy()), single.detach().numpy()):
        held = {"x": true["x"][:, 0], "output": array}
        assert judged(module, held, "output").passed
        assert not judged(module, held | {"output": array[::-1].copy()}, "output").passed


def test_output_at_the_last_step_is_no_final_state_of_the_reverse_direction() -> None:
    """The well-known slip fails, is named beside the verdict, and is explained; another number that is wrong is not it."""
    module, true = made(bidirectional=True)
    slip = true["output"][-1]
    found = judged(module, true | {"slip": slip}, "slip")
    assert not found.passed
    assert [said for said in found.warnings if "agrees with output[-1]" in said]
    explained = rnntrace.diagnose(module, {name: true[name] for name in ("x", "h0", "c0")}, slip)
    assert [answer.id for answer in explained.answers] == ["lstm.reading.last-output-as-h_n"]
    other = judged(module, true | {"slip": slip + 0.01}, "slip")
    assert not other.passed
    assert not [said for said in other.warnings if "agrees with output[-1]" in said]
