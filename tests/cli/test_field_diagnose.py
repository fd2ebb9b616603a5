"""What people were stuck at, in public threads: diagnose says what it was. Skipped where the cases are not there."""

import json
from pathlib import Path
from typing import Any

import pytest
from commandline import ask

FIELD = Path(__file__).resolve().parents[3] / "shared" / "field"
pytestmark = pytest.mark.skipif(not FIELD.is_dir(), reason="the cases from the field are not there")

CASES: dict[str, tuple[str, str, list[str]]] = {
    # What is typed, in which folder, and the answers: the right one, or all that fit equally well.
    "01 torch to Keras": (
        "01-gru-torch-to-keras",
        "gru.pt --batch-first --input x.npz --expected keras.npz",
        ["gru.gate-order.zrn"],
    ),
    "03 cuDNN's kernels": ("03-cudnn-gru", "port.npz --input x.npz --expected gpu.npz", ["gru.transpose.reshaped-blocks-back"]),
    "04 a fused cell": (
        "04-tf1-fused-cell",
        "torch.pt --batch-first --input x.npz --expected tf.npz",
        ["lstm.gate-order.icfo+lstm.forget-bias.added"],
    ),
    "05 no transpose": (
        "05-printed-numbers",
        "weights.json --batch-first --input x.json --expected mine.json",
        ["rnn.transpose.both"],
    ),
    "07 a0 never used": (
        "07-course-rnn-forward",
        "turned_p.npz --input turned_x.npz --expected turned_mine.npz",
        ["rnn.state.h0-ignored"],
    ),
    "11 own weights": (
        "11-bilstm-reversed-sequences",
        "lstm.pt --batch-first --input x.npz --expected believed.npz",
        ["lstm.direction.same-weights"],
    ),
    "12 both": (
        "12-burn-gru",
        "gru.pt --batch-first --input x_h0.npz --expected burn_h0.npz",
        ["gru.equation.reset-before+gru.recurrence.h-not-updated"],
    ),
    "12 half": (
        "12-burn-gru",
        "gru.pt --batch-first --input x_h0.npz --expected burn_h0_half.npz",
        ["gru.equation.reset-before"],
    ),
    "32 added without turning back": (
        "32-sum-of-directions",
        "lstm.pt --batch-first --input x.npz --expected runtime.npz",
        ["lstm.reading.reverse-not-flipped"],
    ),
    "14 linear before reset": (
        "14-onnx-linear-before-reset",
        "gru.pt --batch-first --input x.npz --expected onnx.npz",
        ["gru.equation.reset-before"],
    ),
    "15 no mask": (
        "15-keras-masks",
        "torch.pt --batch-first --input post.npz --lengths 5,3 --expected port_post.npz",
        ["lstm.lengths.ignored"],
    ),
    "17 one layer": ("17-only-first-layer", "gru.pt --input x.npz --expected one.npz", ["gru.layers.last-missing"]),
    "17 both of layer 0": ("17-only-first-layer", "gru.pt --input x.npz --expected both.npz", ["gru.layers.same-weights"]),
    "18 mine": ("18-state-to-next-layer", "gru.pt --input x.npz --expected mine.npz", ["gru.recurrence.layer-to-layer"]),
    "18 tutorial": (
        "18-state-to-next-layer",
        "gru.pt --input x.npz --expected tutorial.npz",
        ["gru.recurrence.layer-to-layer+gru.layers.same-weights"],
    ),
    "18 one cell": (
        "18-state-to-next-layer",
        "single.pt --input x.npz --expected tutorial.npz",
        ["gru.layers.applied-2-carried"],
    ),
    "20 another order": (
        "20-peepholes",
        "lstm.onnx --input x.npz --expected runtime.npz",
        ["lstm.diagonal.order-iof"],
    ),
    "22 a grid": ("22-dynamic-quantised", "float.pt --input x.npz --expected tflite_grid.npz", ["lstm.precision.grid-128"]),
    "22 a coarse grid": ("22-dynamic-quantised", "float.pt --input x.npz --expected g4.npz", ["lstm.precision.grid-4"]),
    "22 a bias on a grid": (
        "22-dynamic-quantised",
        "q_small.pt --input q_x.npz --expected q_bias.npz",
        ["lstm.bias.hh-dropped"],
    ),
    "22 gates on a grid": (
        "22-dynamic-quantised",
        "q_small.pt --input q_x.npz --expected q_gates.npz",
        ["lstm.gate-order.fico", "lstm.equation.gates-of-c-swapped"],
    ),
    "22 a bias in bfloat16": (
        "22-dynamic-quantised",
        "q_small.pt --input q_x.npz --expected q_bias_bf16.npz",
        ["lstm.bias.hh-dropped"],
    ),
    "26 stateful": (
        "26-keras-stateful",
        "model.keras --batch-first --input x.npz --expected second.npz",
        ["lstm.state.carried-over"],
    ),
    "28 batch first": (
        "28-batch-first-forgotten",
        "lstm.pt --batch-first --input sq.npz --expected mine_sq.npz",
        ["lstm.time.batch-swapped"],
    ),
    "29 c not handed on": (
        "29-tutorial-numbers",
        "w.json --unbatched --input x.json --expected learner.json",
        ["lstm.equation.c-before-left-out", "lstm.recurrence.c-alone-not-updated"],
    ),
    "30 forget bias": ("30-first-step-right", "lstm.pt --input x.npz --expected trt.npz", ["lstm.forget-bias.missing"]),
    "30 by gate": ("30-first-step-right", "lstm.pt --input x.npz --expected trt2.npz", ["lstm.transpose.W_hh"]),
    "30 the whole": ("30-first-step-right", "lstm.pt --input x.npz --expected trt3.npz", ["lstm.transpose.reshaped-back-W_hh"]),
    "31 hard gates": (
        "31-tf-cell-to-keras",
        "weights.npz --batch-first --input x.npz --expected keras.npz",
        ["lstm.activation.hard-sigmoid-5"],
    ),
    "36 run forward": (
        "36-reverse-run-forward",
        "m.pt --batch-first --input x.npz --expected port.npz",
        ["lstm.direction.both-forward"],
    ),
    "37 Core ML": ("37-coreml-gru-bias", "gru.pt --input x.npz --expected coreml16.npz", ["gru.bias.hidden-outside-reset"]),
}
UNEXPLAINED: dict[str, tuple[str, str, str]] = {
    "19 two modules": ("19-lstm-vs-cell", "lstm.pt --input x.npz --expected cell.npz", "other weights altogether"),
    "20 no peepholes": ("20-peepholes", "no_peep.npz --input x.npz --expected out.npz", "peepholes"),
    "22 int8 inside": ("22-dynamic-quantised", "float.pt --input x.npz --expected int8.npz", "weights in int8"),
    "22 something added": ("22-dynamic-quantised", "float.pt --input x.npz --expected grid_off.npz", "added to all"),
    "22 zeros": ("22-dynamic-quantised", "float.pt --input x.npz --expected zeros.npz", "are zero"),
    "22 signs": ("22-dynamic-quantised", "float.pt --input x.npz --expected sign.npz", "a function of each right output"),
    "26 another sequence": (
        "26-keras-stateful",
        "model.keras --batch-first --input x.npz --expected after_other.npz",
        "initial states other than those given",
    ),
}


def named(cases: dict[str, tuple[str, str, Any]]) -> list[Any]:
    """Their names; to read a file of Keras starts a process."""
    return [pytest.param(name, marks=pytest.mark.slow) if ".keras" in line else name for name, (_, line, _) in cases.items()]


def diagnosed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: str, line: str, *more: str
) -> dict[str, Any]:
    """The JSON of a diagnosis."""
    if not (FIELD / folder).is_dir():
        pytest.skip(f"{folder} is not there")
    if ".keras" in line:
        pytest.importorskip("h5py")
    monkeypatch.chdir(FIELD / folder)
    answer = ask(capsys, "diagnose", *line.split(), *more, "--format", "json")
    found: dict[str, Any] = json.loads(answer.out)
    assert answer.code == (0 if found["explained"] else 1)
    return found


@pytest.mark.parametrize("case", named(CASES))
def test_the_mistake_is_named(case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one answer, or stands beside those that give the same."""
    folder, line, wanted = CASES[case]
    found = diagnosed(capsys, monkeypatch, folder, line, "--time-limit", "120")
    assert [answer["id"] for answer in found["answers"]] == wanted


@pytest.mark.slow
@pytest.mark.parametrize("case", named(UNEXPLAINED))
def test_what_is_no_mistake_is_not_explained(
    case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But what it may be is said. Pairs add nothing here, so they are cut short."""
    folder, line, says = UNEXPLAINED[case]
    found = diagnosed(capsys, monkeypatch, folder, line, "--time-limit", "5")
    assert found["answers"] == []
    assert any(says in kind for kind in found["may_be"])


def test_answers_that_zero_states_cannot_tell_apart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six answers fit with h0 = 0; the right one is first, and states that are not zero are named, which do tell it."""
    line = "gru.pt --batch-first --input x.npz --expected burn.npz"
    found = diagnosed(capsys, monkeypatch, "12-burn-gru", line, "--time-limit", "120")
    assert len(found["answers"]) == 6
    assert found["answers"][0]["id"] == "gru.equation.reset-before+gru.recurrence.h-not-updated"
    assert found["told_apart_by"] == "initial states that are not zero"
    assert all(len(group) == 1 for group in found["told_apart"])
