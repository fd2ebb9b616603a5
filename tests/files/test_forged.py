"""Saved traces are judged again when they are opened: what a file says of itself is not believed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import all_in, ask

import rnntrace
from rnntrace.engine.judge import rejudge
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.given.sources import read_sources
from rnntrace.verbs.run import build_and_trace as run

pytestmark = [pytest.mark.usefixtures("folder"), pytest.mark.slow]

Change = Callable[[dict[str, Any], dict[str, Any]], None]

RUNS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "captured": ({"kind": "LSTM", "num_layers": 2, "bidirectional": True}, {"batch": 2, "lengths": (4, 3)}, {"capture": "on"}),
    "not captured": ({"kind": "LSTM", "num_layers": 2}, {"batch": 2}, {"capture": "off"}),
    "forced": ({"kind": "GRU", "batch_first": True}, {"batch": 2, "batch_first": True}, {"replay": "forced"}),
    "another path": ({"kind": "LSTM"}, {"batch": 2}, {"replay": "forced", "capture": "on"}),
    "states alone": ({"kind": "GRU", "bidirectional": True}, {}, {"keep": "states"}),
    "in float64": ({"kind": "RNN"}, {"unbatched": True}, {"replay_dtype": "float64"}),
    "half": ({"kind": "GRU", "num_layers": 2, "dtype": "bfloat16"}, {}, {}),
    "a pair": ({"kind": "RNN"}, {}, {"atol": 1e-4}),
    "half a decimal": ({"kind": "RNN"}, {}, {"tolerance": "decimals:3"}),
    "a mistake": ({"kind": "GRU"}, {}, {"mistakes": ("z-inverted",)}),
    "exact": ({"kind": "LSTM"}, {"steps": 9}, {"tolerance": "exact"}),
}


@pytest.fixture(params=["whole", "in windows"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Judged in memory, and as a long trace is."""
    if request.param == "in windows":
        monkeypatch.setattr(rejudge, "LONG", 1)
    return str(request.param)


def made(name: str) -> rnntrace.Result:
    """One of the runs, saved as t.npz."""
    module, signals, judging = RUNS[name]
    spec = ModuleSpec(input_size=3, hidden_size=2, **module)
    result = run(spec, read_sources(h0="random", **signals), JudgeOptions(**judging), seed=1)
    rnntrace.save(result, "t.npz")
    return result


def forged(change: Change) -> rnntrace.Result:
    """The trace with arrays and metadata changed, opened again."""
    with np.load("t.npz") as archive:
        arrays = {name: archive[name].copy() for name in archive.files}
    metadata = json.loads(arrays.pop("metadata.json").tobytes())
    change(arrays, metadata)
    np.savez("forged.npz", **arrays, **{"metadata.json": np.frombuffer(json.dumps(metadata).encode(), np.uint8)})
    return rnntrace.open_trace("forged.npz")


@pytest.mark.parametrize("name", RUNS)
def test_an_honest_trace_has_the_verdict_that_it_had(name: str, how: str) -> None:
    """And no remark on it."""
    result = made(name)
    again = rnntrace.open_trace("t.npz")
    assert (again.verdict, again.contradictions, again.warnings) == (result.verdict, (), result.warnings)
    assert again.comparison.tolerance == result.comparison.tolerance


@pytest.mark.parametrize("name", [name for name in RUNS if name not in ("a mistake", "exact")])
def test_a_verdict_that_was_written_is_not_believed(name: str, how: str) -> None:
    """Any value of the replay, of its outputs or of the other side that is another one: FAIL, and the file's word is told."""
    result = made(name)
    assert result.passed
    with np.load("t.npz") as archive:
        names = [key for key in archive.files if key.split("/")[0] in ("replay", "framework", "outputs", "expected")]
    for number, key in enumerate(names):
        if how == "in windows" and key.startswith("replay") and RUNS[name][2].get("replay") == "forced" and key[-1] not in "h":
            # Of a long trace that was forced, gates without a partner are shown as they stand there.
            continue
        for value in (0.3,) if number % 3 else (0.3, np.nan):

            def change(arrays: dict[str, Any], _: dict[str, Any], key: str = key, value: float = value) -> None:
                arrays[key].flat[0] += value

            again = forged(change)
            assert not again.passed, (key, value)
            assert any(f"forged.npz says {result.verdict}" in warning for warning in again.warnings)


def test_made_up_numbers_on_both_sides_are_a_fail(how: str) -> None:
    """They agree with one another, and follow from nothing."""
    made("not captured")
    for made_up in (np.zeros_like, lambda values: np.full_like(values, 0.25), lambda values: values[::-1]):

        def change(arrays: dict[str, Any], _: dict[str, Any], made_up: Any = made_up) -> None:
            for key in arrays:
                if key.split("/")[0] in ("replay", "framework", "outputs", "expected"):
                    arrays[key] = made_up(arrays[key])

        again = forged(change)
        assert again.verdict is Verdict.FAIL
        assert again.contradictions


def test_other_weights_or_inputs_are_a_fail(how: str) -> None:
    """The replay does not follow from them."""
    made("not captured")
    for key in ("weights/0/forward/W_hh", "weights/1/forward/b_ih", "inputs/x", "inputs/h0"):

        def change(arrays: dict[str, Any], _: dict[str, Any], key: str = key) -> None:
            arrays[key] = arrays[key] + np.float32(0.5)

        assert forged(change).verdict is Verdict.FAIL, key


def test_a_made_up_trace_is_no_match(capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever of two files it is: the numbers of another trace beside weights that they do not follow from."""
    made("captured")
    Path("first.npz").write_bytes(Path("t.npz").read_bytes())

    def change(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        arrays["weights/0/forward/W_hh"] = arrays["weights/0/forward/W_hh"] + np.float32(0.5)

    forged(change)
    assert ask(capsys, "compare", "first.npz", "t.npz", "-q").code == 0
    for files in (("first.npz", "forged.npz"), ("forged.npz", "first.npz")):
        answer = ask(capsys, "compare", *files, "-q")
        assert answer.code == 1
        assert all_in(("FAIL  forged.npz: the replay in it does not follow", "the values: IDENTICAL"), answer.out)


def test_a_trace_that_fails_by_itself_says_so_beside_another(capsys: pytest.CaptureFixture[str]) -> None:
    """Two traces are compared by their replays; what the framework of one gave is not hidden by that."""
    made("half a decimal")
    Path("right.npz").write_bytes(Path("t.npz").read_bytes())

    def off(arrays: dict[str, Any], metadata: dict[str, Any]) -> None:
        for name in [name for name in arrays if name.startswith(("framework/", "hidden/", "expected/"))]:
            arrays[name] = arrays[name] + np.float32(0.3)

    assert forged(off).verdict is Verdict.FAIL
    answer = ask(capsys, "compare", "right.npz", "forged.npz", "-q")
    assert "forged.npz is FAIL by itself" in answer.err
    assert "by itself" not in ask(capsys, "compare", "right.npz", "right.npz", "-q").err


@pytest.mark.parametrize("verdict", ["PASS", "IDENTICAL", "PASS (drift)", "PASS (rounded)"])
def test_a_fail_does_not_become_a_pass(verdict: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the file says: `show` and `plot` end with 1 and say both."""
    made("exact")
    for name in ("a mistake", "exact"):
        assert not made(name).passed

        def change(_: dict[str, Any], metadata: dict[str, Any]) -> None:
            metadata.update(verdict=verdict, passed=True, first_failure=None, differences=[])

        assert not forged(change).passed
        answer = ask(capsys, "show", "forged.npz", "-q")
        assert (answer.code, answer.out.startswith("FAIL  ")) == (1, True)
        assert all_in((f"forged.npz says {verdict}: judged again it is FAIL",), answer.err)
        assert ask(capsys, "plot", "forged.npz", "-o", "p.png", "-q").code == 1
        Path("p.png").unlink()


def test_a_tolerance_that_was_widened_says_nothing() -> None:
    """As under the flags: a tolerance as wide as the values is no pass."""
    made("a pair")

    def change(arrays: dict[str, Any], metadata: dict[str, Any]) -> None:
        metadata["tolerance"].update(atol=10.0)
        arrays["expected/output"] *= -1

    assert not forged(change).passed


def test_a_format_that_was_coarsened_says_nothing(how: str) -> None:
    """The format decides the tolerance, and weights show what it was."""
    made("not captured")

    def change(arrays: dict[str, Any], metadata: dict[str, Any]) -> None:
        metadata["spec"].update(dtype="bfloat16")
        metadata["tolerance"].update(rtol=1.6e-2, dtype="bfloat16")

    again = forged(change)
    assert (again.verdict, again.contradictions) == (
        Verdict.FAIL,
        ("it is said to be bfloat16, and its weights have more digits",),
    )


def test_drift_comes_back_and_is_not_forged(how: str) -> None:
    """A chaotic run drifts again; one whose steps are off does not."""
    import torch

    torch.manual_seed(0)
    module = torch.nn.RNN(3, 32)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(5)
    result = rnntrace.trace(module, torch.randn(200, 1, 3), capture="off")
    assert result.verdict is Verdict.DRIFT
    rnntrace.save(result, "t.npz")
    again = rnntrace.open_trace("t.npz")
    assert (again.verdict, again.contradictions) == (Verdict.DRIFT, ())

    def change(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        for key in ("framework/0/forward/h", "expected/output"):
            arrays[key][100] += 1e-3

    assert forged(change).verdict is Verdict.FAIL
