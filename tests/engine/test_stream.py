"""Runs that are worked through window by window: every bit is that of a run in memory."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases, examples

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.rules import Format
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.engine.replay import replay as engine
from rnntrace.engine.replay import windows as windowed
from rnntrace.frameworks.torch import modules as framework
from rnntrace.frameworks.torch.run import observe
from rnntrace.model.inputs import Inputs, SignalRequest
from rnntrace.model.layouts import weights_from_torch
from rnntrace.model.signals import assemble
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.report.run import document
from rnntrace.verbs import stream
from rnntrace.verbs.judged import judged
from rnntrace.verbs.stream import streamed


def built(case: Case, scale: float = 1.0) -> tuple[Any, Weights, Inputs]:
    """The module of torch, its weights times `scale`, and its inputs."""
    framework.seed(case.seed)
    module = framework.build(case.spec)
    for parameter in module.parameters():
        parameter.data *= scale
    inputs = assemble(case.spec, case.request, framework.drawing(case.spec, "normal")).rounded(case.spec.precision)
    return module, weights_from_torch(case.spec, framework.parameters(module, case.spec)), inputs


def alike(whole: object, parts: object, where: str = "") -> Iterator[str]:
    """Where two documents differ by a bit."""
    if isinstance(whole, dict) and isinstance(parts, dict):
        for key in {**whole, **parts}:
            yield from alike(whole.get(key), parts.get(key), f"{where}/{key}")
    elif isinstance(whole, (list, tuple)) and isinstance(parts, (list, tuple)) and len(whole) == len(parts):
        for number, pair in enumerate(zip(whole, parts, strict=True)):
            yield from alike(*pair, f"{where}/{number}")
    elif isinstance(whole, np.ndarray) and isinstance(parts, np.ndarray):
        same = whole.dtype == parts.dtype and np.array_equal(np.ma.getdata(whole), np.ma.getdata(parts), equal_nan=True)
        yield from [] if same else [where]
    elif repr(whole) != repr(parts):
        yield f"{where}: {whole!r} and {parts!r}"


@pytest.mark.slow
@given(data=st.data())
@examples(200)
def test_windows_change_no_bit(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any module, lengths, replay and tolerance, whatever is kept: beside the same values of torch the whole document is equal.

    Blocks and windows of a step or two stand for the long ones.
    """
    case, scale = data.draw(cases()), data.draw(st.sampled_from([1.0, 4.0]))
    judging = JudgeOptions(
        capture="off",
        replay=data.draw(st.sampled_from(["free", "forced"])),
        tolerance=data.draw(st.sampled_from(["torch", "rounding", "exact", "ulp:4"])),
        drift=data.draw(st.booleans()),
        keep=data.draw(st.sampled_from(["states", "gates", "terms"])),
        replay_dtype=data.draw(st.sampled_from([None, "float32", "float64"])),
    )
    module, weights, inputs = built(case, scale)
    with pytest.MonkeyPatch.context() as patch:
        block, blocks = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 2))
        for room in (engine, windowed):
            patch.setattr(room, "BLOCK", block)
        patch.setattr(windowed, "BLOCKS", blocks)
        parts = streamed(module, case.spec, weights, inputs, judging, tmp_path_factory.getbasetemp())
        whole = judged(case.spec, weights, inputs, parts.observation, judging)
    assert list(alike(document(whole, "run", weights=True), document(parts, "run", weights=True))) == []
    assert list(alike(whole.comparison.out_of_tolerance, parts.comparison.out_of_tolerance)) == []
    # torch may take other operators for windows of one step: as near as the format allows, and not to the bit.
    seen = observe(module, case.spec, inputs, "off")
    near = {"rtol": 0, "atol": 64 * case.spec.precision.eps}
    for name, values in (*seen.outputs.items(), *seen.hidden.items()):
        found = parts.observation.outputs[name] if isinstance(name, str) else parts.observation.hidden[name]
        np.testing.assert_allclose(found, values, **near)
    assert parts.observation.path == seen.path


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_bounds_go_on_from_window_to_window(direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What rounding can have done to c in one window is where the next one starts."""
    for room in (engine, windowed):
        monkeypatch.setattr(room, "BLOCK", 4)
    monkeypatch.setattr(windowed, "BLOCKS", 1)
    spec = ModuleSpec(kind="LSTM", input_size=2, hidden_size=3, dtype="bfloat16", bidirectional=True)
    module, weights, inputs = built(Case(spec, SignalRequest(steps=13, batch=2, lengths=(13, 6)), 1))
    hidden = observe(module, spec, inputs, "off").hidden
    rounding = Format.of(spec.precision, np.dtype(np.float32))
    whole = engine.replay(spec, weights, inputs, known=hidden, rounding=rounding)
    assert whole.bounds is not None
    parts = windowed.windows(inputs, direction)
    for window in windowed.replay_windows(
        spec, weights, inputs, (0, direction), parts, hidden, ("h",), rounding=rounding, keep=()
    ):
        for state in spec.cell.states:
            found = window.bounds[state]
            expected = whole.bounds.columns[0, direction, state][window.steps]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=0)


def chaotic(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Result, Result]:
    """A run that drifts, in windows and in memory, beside the same values of torch."""
    for room in (engine, windowed):
        monkeypatch.setattr(room, "BLOCK", 6)
    monkeypatch.setattr(windowed, "BLOCKS", 1)
    spec = ModuleSpec(kind="RNN", input_size=2, hidden_size=8, num_layers=2)
    module, weights, inputs = built(Case(spec, SignalRequest(steps=200, batch=2), 3), scale=8.0)
    judging = JudgeOptions(capture="off")
    parts = streamed(module, spec, weights, inputs, judging, folder)
    return parts, judged(spec, weights, inputs, parts.observation, judging)


def test_drift_is_told_from_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chaotic network drifts in windows as in memory, and every step of it follows from its own state before."""
    parts, whole = chaotic(tmp_path, monkeypatch)
    assert (parts.verdict, whole.verdict) == (Verdict.DRIFT, Verdict.DRIFT)
    assert list(alike(document(whole, "run"), document(parts, "run"))) == []


def test_a_free_replay_that_goes_wrong_by_itself_is_no_drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One state of the free replay spoilt in a later window of a chaotic run: FAIL, at that very place."""
    put = stream.Storage.keep

    def spoilt(self: Any, side: str, column: Any, window: Any) -> None:
        put(self, side, column, window)
        if side == "replay" and column == (1, "forward") and window.steps.start == 150:
            self.replay[1, "forward", "h"][151, 1, 5] += 0.5

    monkeypatch.setattr(stream.Storage, "keep", spoilt)
    parts, _ = chaotic(tmp_path, monkeypatch)
    place = parts.comparison.first_failure
    assert parts.verdict is Verdict.FAIL
    assert place is not None
    assert (place.layer, place.direction, place.symbol, place.t, place.item, place.unit) == (1, "forward", "h", 152, 1, 5)


LONG = [
    Case(ModuleSpec(kind="LSTM", input_size=3, hidden_size=4), SignalRequest(steps=9_001), 1),
    Case(
        ModuleSpec(kind="LSTM", input_size=5, hidden_size=33, num_layers=2, bidirectional=True, proj_size=7),
        SignalRequest(steps=1_500, batch=9),
        2,
    ),
    Case(
        ModuleSpec(kind="GRU", input_size=16, hidden_size=16, bidirectional=True, batch_first=True),
        SignalRequest(steps=4_500, batch=2, h0="random"),
        3,
    ),
    Case(
        ModuleSpec(kind="RNN", input_size=4, hidden_size=8, num_layers=3, nonlinearity="relu"),
        SignalRequest(steps=9_000, unbatched=True),
        4,
    ),
    Case(
        ModuleSpec(kind="LSTM", input_size=4, hidden_size=8, dtype="float64"),
        SignalRequest(steps=4_200, batch=3, lengths=(4_200, 4_200, 1_400)),
        5,
    ),
    Case(
        ModuleSpec(kind="LSTM", input_size=4, hidden_size=8, bidirectional=True),
        SignalRequest(steps=4_200, batch=3, lengths=(1_000, 4_200, 9)),
        6,
    ),
    Case(ModuleSpec(kind="LSTM", input_size=3, hidden_size=4, dtype="bfloat16"), SignalRequest(steps=9_000), 7),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", LONG, ids=[f"{case.spec.kind}-{case.seed}" for case in LONG])
def test_torch_gives_the_same_bits_window_by_window(case: Case, tmp_path: Path) -> None:
    """In windows as long as they are, torch too has the bits of one call on the whole sequence, and everything is equal.

    That is so where a product's last bit does not hang on how many rows it has. On some processors (with Haswell's kernels) it
    does: there torch's side alone may differ, and what is measured by it, by a few eps.
    """
    module, weights, inputs = built(case)
    judging = JudgeOptions(capture="off")
    assert len(list(windowed.windows(inputs, "forward"))) > 1
    whole = judged(case.spec, weights, inputs, observe(module, case.spec, inputs, "off"), judging)
    parts = streamed(module, case.spec, weights, inputs, judging, tmp_path)
    apart = alike(document(whole, "run"), document(parts, "run"))
    assert [where for where in apart if not re.match(r"/(expected|differences|worst)/|/trace/\d+/framework$", where)] == []
    for name, values in whole.observation.outputs.items():
        few = 8 * case.spec.precision.eps
        np.testing.assert_allclose(parts.observation.outputs[name], values, rtol=0, atol=few)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_with_lengths_torch_is_as_near_as_the_format_allows(kind: str, tmp_path: Path) -> None:
    """Of a packed batch other rows stand side by side in a window than in the whole, and the last bit may differ."""
    spec = ModuleSpec(kind=kind, input_size=3, hidden_size=8, dtype="float64", bidirectional=True)
    case = Case(spec, SignalRequest(steps=2_600, batch=4, lengths=(967, 1_243, 423, 1_623)), 1)
    module, weights, inputs = built(case)
    parts = streamed(module, spec, weights, inputs, JudgeOptions(capture="off"), tmp_path)
    whole = observe(module, spec, inputs, "off")
    for name, values in whole.outputs.items():
        np.testing.assert_allclose(parts.observation.outputs[name], values, rtol=0, atol=1e-14)
    assert parts.passed


@given(st.integers(1, 10_000), st.integers(1, 300), st.sampled_from(["forward", "reverse"]))
def test_windows_are_whole_blocks(steps: int, batch: int, direction: str) -> None:
    """Together they are every step once, in order; all but the last are as long, in blocks of a replay, and none is short."""
    inputs = Inputs(np.zeros((steps, batch, 1)), np.zeros((1, batch, 1)))
    found = list(windowed.windows(inputs, direction))
    covered = [t for part in (found if direction == "forward" else found[::-1]) for t in range(part.start, part.stop)]
    assert covered == list(range(steps))
    lengths = [part.stop - part.start for part in found]
    assert set(lengths[:-1]) <= {max(256 // batch, 1) * 16}
    assert len(found) == 1 or lengths[-1] >= lengths[0]
