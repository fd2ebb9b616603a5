"""States of any number and of any names: s0 in, s_n out, and whatever else h0 and h_n have."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import ask, refused
from own_cells import BATCH, MGU, SLOW, STAR, STEPS, drawn
from test_own_cells import by_hand, named

import rnntrace
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.engine.replay.windows import replay_windows
from rnntrace.model.inputs import Inputs, SignalRequest
from rnntrace.model.signals import assemble
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.render import Style, render
from rnntrace.report.run import run_report
from rnntrace.report.select import PARTS, View

CELLS = {"STAR": STAR, "slow": SLOW}
OUTPUT = {"STAR": "s", "slow": "h"}
Values = dict[str, np.ndarray]
DEEP: dict[str, Any] = {"num_layers": 2, "bidirectional": True}


def expected_of(name: str, spec: ModuleSpec, weights: Weights, inputs: Inputs) -> Values:
    """output and the final states, from the loop by hand."""
    found = by_hand(name, spec, weights, inputs)
    last = [found[spec.num_layers - 1, direction, OUTPUT[name]] for direction in spec.directions]
    ends = {
        f"{state}_n": np.stack(
            [found[layer, direction, state][-1 if direction == "forward" else 0] for layer, direction in spec.layer_directions]
        )
        for state in spec.cell.states
    }
    return {"output": np.concatenate(last, axis=2), **ends}


def compared(name: str, expected: Values, options: dict[str, Any] | None = None, **signals: Any) -> rnntrace.Result:
    spec, weights, inputs = drawn(CELLS[name], **(options or {}))
    result = rnntrace.compare((spec, weights), inputs.x, expected=expected, **signals)
    assert isinstance(result, rnntrace.Result)
    return result


@pytest.mark.parametrize("options", [{}, DEEP], ids=["one layer", "layers and directions"])
@pytest.mark.parametrize("name", CELLS)
def test_states_start_where_they_are_told_and_are_judged_where_they_end(name: str, options: dict[str, Any]) -> None:
    """Outputs and all final states of the loop pass, and each was judged."""
    spec, weights, inputs = drawn(CELLS[name], **options)
    expected = expected_of(name, spec, weights, inputs)
    result = compared(name, expected, options, states=named(inputs))
    assert result.passed
    assert {*expected} <= {*result.judged}
    assert result.missing == ()
    for end, values in expected.items():
        np.testing.assert_allclose(result.outputs[end], values, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", CELLS)
def test_a_state_that_nobody_gives_starts_from_zeros(name: str) -> None:
    """The loop from zeros passes without states, and fails with those that it did not start from."""
    spec, weights, inputs = drawn(CELLS[name])
    zeros = replace(inputs, states={state: 0 * values for state, values in inputs.states.items()})
    expected = expected_of(name, spec, weights, zeros)
    assert compared(name, expected).passed
    assert compared(name, expected, states=dict.fromkeys(named(inputs), "zeros")).passed
    for start, values in named(inputs).items():
        failed = compared(name, expected, states={start: values})
        assert failed.verdict is Verdict.FAIL
        assert failed.comparison.first_failure is not None
        assert failed.comparison.first_failure.t == 1


@pytest.mark.parametrize("state", SLOW.states)
def test_a_wrong_final_state_fails_at_its_place(state: str) -> None:
    """One value of one final state, and no other quantity."""
    spec, weights, inputs = drawn(SLOW, **DEEP)
    expected = expected_of("slow", spec, weights, inputs)
    expected[f"{state}_n"][2, 1, 0] += 1e-3
    result = compared("slow", expected, DEEP, states=named(inputs))
    place = result.comparison.first_failure
    assert place is not None
    found = (place.symbol, place.layer, place.direction, place.t, place.item, place.unit)
    assert found == (f"{state}_n", 1, "forward", STEPS, 1, 0)
    assert [difference.name for difference in result.comparison.differences if difference.bad] == [f"{state}_n"]


def test_a_state_is_judged_at_every_step_by_its_symbol() -> None:
    """Given beside the output, m is; a step that is off fails there, and other words for its end are read."""
    spec, weights, inputs = drawn(SLOW)
    found, expected = by_hand("slow", spec, weights, inputs), expected_of("slow", spec, weights, inputs)
    m = found[0, "forward", "m"].copy()
    given = {"output": expected["output"], "m": m, "Y_m": expected["m_n"], "cn": expected["c_n"]}
    result = compared("slow", given, states=named(inputs), require=["m", "m_n"])
    assert result.passed
    assert result.judged == ("output", "c_n", "m_n", "m")
    m[3, 1, 2] += 1e-3
    place = compared("slow", given, states=named(inputs)).comparison.first_failure
    assert place is not None
    assert (place.symbol, place.t, place.item, place.unit) == ("m", 4, 1, 2)
    with pytest.raises(rnntrace.RnnTraceError, match="m_t is not a name that is read: did you mean m_n"):
        compared("slow", {"output": expected["output"], "m_t": expected["m_n"]})


def test_what_a_module_returns_is_read_in_the_order_of_its_states() -> None:
    """(output, (c, m, h)), and (output, s)."""
    for name in CELLS:
        spec, weights, inputs = drawn(CELLS[name])
        output, *ends = expected_of(name, spec, weights, inputs).values()
        returned: Any = (output, tuple(ends) if len(ends) > 1 else ends[0])
        result = compared(name, returned, states=named(inputs))
        assert result.passed
        assert {f"{state}_n" for state in spec.cell.states} <= {*result.judged}


@pytest.mark.parametrize("name", CELLS)
def test_the_last_output_alone_is_the_end_of_the_output(name: str) -> None:
    """(batch, hidden) as the output is judged as h_n, or as the end of the only state."""
    spec, weights, inputs = drawn(CELLS[name])
    expected = expected_of(name, spec, weights, inputs)
    result = compared(name, {"output": expected["output"][-1]}, states=named(inputs))
    assert result.passed
    assert result.judged == (f"{OUTPUT[name]}_n",)


@pytest.mark.parametrize("name", CELLS)
def test_a_file_holds_initial_states_beside_x(name: str, tmp_path: Path) -> None:
    """By their names, or each in a file of its own."""
    spec, weights, inputs = drawn(CELLS[name])
    expected = expected_of(name, spec, weights, inputs)
    np.savez(tmp_path / "in.npz", x=inputs.x, **named(inputs))
    result = rnntrace.compare((spec, weights), tmp_path / "in.npz", expected=expected)
    assert isinstance(result, rnntrace.Result)
    assert result.passed
    assert result.unused == ()
    files = {}
    for start, values in named(inputs).items():
        files[start] = str(tmp_path / f"{start}.npy")
        np.save(files[start], values)
    assert compared(name, expected, states=files).passed


def test_a_saved_trace_keeps_all_states(tmp_path: Path) -> None:
    """Initial and final ones, whatever the format; they are told in JSON, in rows and in the lines above the tables."""
    spec, weights, inputs = drawn(SLOW)
    expected = expected_of("slow", spec, weights, inputs)
    result = compared("slow", expected, states={"m0": inputs.initial("m"), "h0": inputs.h0})
    assert not result.passed
    result = compared("slow", expected, states=named(inputs))
    for suffix in (".npz", ".safetensors"):
        rnntrace.save(result, tmp_path / f"t{suffix}")
        again = rnntrace.open_trace(tmp_path / f"t{suffix}")
        assert again.passed
        for state, values in inputs.states.items():
            np.testing.assert_array_equal(again.inputs.initial(state), values)
            np.testing.assert_array_equal(again.expected[f"{state}_n"], expected[f"{state}_n"])
    report = run_report(result, View(parts=frozenset(PARTS)))
    told = json.loads(render(report, "json", Style()))
    assert told["inputs"]["m0"] == inputs.initial("m").tolist()
    assert told["expected"]["m_n"] == expected["m_n"].tolist()
    rows = list(csv.DictReader(io.StringIO(render(report, "csv", Style()))))
    ends = [row for row in rows if row["symbol"] == "m_n"]
    np.testing.assert_allclose([float(row["replay"]) for row in ends], expected["m_n"].ravel(), rtol=0, atol=1e-12)
    starts = [float(row["replay"]) for row in rows if (row["symbol"], row["t"]) == ("m", "0")]
    np.testing.assert_array_equal(starts, inputs.initial("m").ravel())
    assert "m0: given" in render(report, "plain", Style())
    zeros = compared("slow", expected, states={"c0": inputs.initial("c")})
    assert "m0 = 0" in render(run_report(zeros, View()), "plain", Style())


@pytest.mark.parametrize("name", CELLS)
def test_a_replay_in_windows_hands_every_state_on(name: str) -> None:
    """Windows of three and four steps are the loop, step by step."""
    spec, weights, inputs = drawn(CELLS[name])
    inputs = replace(inputs, lengths=(STEPS, 2))
    expected = by_hand(name, spec, weights, inputs)
    parts = list(replay_windows(spec, weights, inputs, (0, "forward"), [slice(0, 3), slice(3, STEPS)], {}))
    for state in spec.cell.states:
        steps = np.concatenate([part.values[state] for part in parts])
        np.testing.assert_allclose(steps[:, 0], expected[0, "forward", state][:, 0], rtol=0, atol=1e-13)
        np.testing.assert_allclose(parts[-1].final[state][0, 1], expected[0, "forward", state][1, 1], rtol=0, atol=1e-13)


IGNORED = {
    "slowlstm.state.m0-ignored": ("slow", ("m",)),
    "slowlstm.state.all-ignored": ("slow", ("c", "m", "h")),
    "star.state.s0-ignored": ("STAR", ("s",)),
}


@pytest.mark.parametrize("mistake", IGNORED)
def test_a_state_that_was_ignored_is_named(mistake: str) -> None:
    """The loop starts from zeros where a state was given: the one explanation is that."""
    name, ignored = IGNORED[mistake]
    spec, weights, inputs = drawn(CELLS[name])
    starts = {state: 0 * values if state in ignored else values for state, values in inputs.states.items()}
    expected = expected_of(name, spec, weights, replace(inputs, states=starts))
    result = compared(name, expected, states=named(inputs))
    answers = rnntrace.diagnose(result, seconds=60).answers
    assert [found.id for found in answers[0].mistakes] == [mistake]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no such state": ({"states": {"q0": np.zeros((1, BATCH, 3))}}, "SlowLSTM has no state q: its states are c, m and h"),
    "zeros of no state": ({"states": {"q0": "zeros"}}, "SlowLSTM has no state q"),
    "no 0": ({"states": {"m": "zeros"}}, "names that end in 0, such as h0, and not 'm'"),
    "a state twice": ({"h0": "zeros", "states": {"h0": "zeros"}}, "`h0` and `states` both give h0"),
    "another shape": (
        {"states": {"m0": np.zeros((1, BATCH, 2))}},
        r"m0 should have shape \(1, 2, 3\), and has shape \(1, 2, 2\)",
    ),
    "nothing to draw from": ({"states": {"m0": "random"}}, "needs `input`, and c0, m0 and h0 that are zeros or given"),
    "an empty name": ({"states": {"m0": ""}}, "`m0` needs the name of a file"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_states_that_are_none_are_refused(fault: str) -> None:
    """In one sentence, which says what states there are."""
    signals, says = REFUSED[fault]
    with pytest.raises(rnntrace.RnnTraceError, match=says):
        compared("slow", {"output": np.zeros((STEPS, BATCH, 3))}, **signals)


def test_a_cell_without_h_refuses_h0() -> None:
    """And one without m says what it has."""
    x, output = np.zeros((STEPS, BATCH, 3)), np.zeros((STEPS, BATCH, 3))
    spec, weights, _ = drawn(STAR)
    with pytest.raises(rnntrace.RnnTraceError, match="STAR has no state h: its state is s, leave `h0` out"):
        rnntrace.compare((spec, weights), x, h0=np.zeros((1, BATCH, 3)), expected=output)
    spec, weights, inputs = drawn(MGU)
    with pytest.raises(rnntrace.RnnTraceError, match="MGU has no state m: its state is h"):
        rnntrace.replay(spec, weights, replace(inputs, states={**inputs.states, "m": inputs.h0}))
    with pytest.raises(rnntrace.RnnTraceError, match=r"s0 should have shape .*, and is not given"):
        rnntrace.replay(*drawn(STAR)[:2], inputs)


def test_a_state_of_any_name_may_be_given_on_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--state h0=… is --h0 …, and a file that is read is not written over."""
    monkeypatch.chdir(tmp_path)
    run = ("run", "lstm", "--seed", "1", "--format", "json")
    np.save("c.npy", np.ones((1, 1, 2)))
    mine = ask(capsys, *run, "--state", "h0=random", "--state", "c0=c.npy")
    assert mine.code == 0
    assert json.loads(mine.out)["inputs"]["c0"] == [[[1.0, 1.0]]]
    assert mine == ask(capsys, *run, "--h0", "random", "--c0", "c.npy")
    assert "c.npy" in refused(capsys, *run, "--state", "c0=c.npy", "--output", "c.npy")


def test_states_are_drawn_in_the_order_of_the_cell() -> None:
    """Those that are to be random, behind x."""
    drawn_shapes: list[tuple[int, ...]] = []

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        drawn_shapes.append(shape)
        return np.full(shape, float(len(drawn_shapes)))

    spec = ModuleSpec(cell=SLOW, input_size=2, hidden_size=3)
    request = SignalRequest(h0="random", states={"m": "random"})
    assert request.draws
    inputs = assemble(spec, request, draw)
    assert [inputs.initial(state).max() for state in SLOW.states] == [0.0, 2.0, 3.0]


def test_states_in_half_precision_pass_by_what_rounding_can_do() -> None:
    """A loop in the format itself: its output and two more states, each step from its own states."""
    spec, weights, inputs = drawn(SLOW, dtype="float16", hidden_size=8)
    found = by_hand("slow", spec, weights, inputs, "float16")
    given = {"output": found[0, "forward", "h"], "m": found[0, "forward", "m"], "c": found[0, "forward", "c"]}
    result = rnntrace.compare((spec, weights), inputs.x, states=named(inputs), expected=given)
    assert isinstance(result, rnntrace.Result)
    assert result.passed
