"""Two directions that are merged: laws against the same module side by side, and what rounding can do to their output."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from commandline import ask, refused
from own_cells import drawn

import rnntrace
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.search import diagnose
from rnntrace.engine.judge.judge import judge
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.tolerance import TORCH_TOLERANCES
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.engine.replay.replay import replay
from rnntrace.frameworks.registry import framework
from rnntrace.model.observation import Observation
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights

BY_HAND = {"sum": lambda f, r: f + r, "mul": lambda f, r: f * r, "ave": lambda f, r: (f + r) / 2}
KINDS = ("LSTM", "GRU", "RNN")


def merged(kind: str, merge: str, **options: Any) -> Any:
    """A module that merges, with weights and signals; lengths too, where the test asks for them."""
    return drawn(None, kind=kind, bidirectional=True, merge=merge, **options)


@pytest.mark.parametrize("lengths", [None, (7, 3)])
@pytest.mark.parametrize("merge", BY_HAND)
@pytest.mark.parametrize("kind", KINDS)
def test_the_output_is_that_of_both_halves(kind: str, merge: str, lengths: tuple[int, ...] | None) -> None:
    """In a stack the last layer alone is merged; what comes behind both final steps is merged from h_n."""
    spec, weights, inputs = merged(kind, merge, num_layers=2)
    inputs = replace(inputs, lengths=lengths)
    found = replay(spec, weights, inputs).outputs
    apart = replay(replace(spec, merge="concat"), weights, inputs).outputs
    forward, reverse = np.split(apart["output"], 2, axis=2)
    np.testing.assert_array_equal(found["output"], BY_HAND[merge](forward, reverse))
    np.testing.assert_array_equal(found["h_n"], apart["h_n"])
    np.testing.assert_array_equal(found["last_output"], BY_HAND[merge](*apart["h_n"][-2:])[None])


@pytest.mark.parametrize("merge", BY_HAND)
def test_a_layer_above_reads_what_is_merged_below(merge: str) -> None:
    """A stack is one layer after the other, each on what the one below gave."""
    spec, weights, inputs = merged("GRU", merge, num_layers=2, inner_merge=merge)
    below, above = (
        Weights({(0, direction): weights[layer, direction] for direction in ("forward", "reverse")}) for layer in (0, 1)
    )
    states = [{state: rows[2 * layer : 2 * layer + 2] for state, rows in inputs.states.items()} for layer in (0, 1)]
    single = replace(spec, num_layers=1, inner_merge="concat")
    x = replay(single, below, replace(inputs, states=states[0])).output
    output = replay(replace(single, input_size=spec.hidden_size), above, replace(inputs, x=x, states=states[1])).output
    np.testing.assert_array_equal(replay(spec, weights, inputs).output, output)


@pytest.mark.parametrize("inner", ["concat", "same"])
@pytest.mark.parametrize("merge", BY_HAND)
@pytest.mark.parametrize("kind", KINDS)
def test_rounding_stays_within_its_bound(kind: str, merge: str, inner: str) -> None:
    """float32 beside float64, judged by the rounding bound alone; a thousandth more is out."""
    inner = merge if inner == "same" else inner
    spec, weights, inputs = merged(kind, merge, num_layers=2, inner_merge=inner, dtype="float32", hidden_size=5)
    exact = replay(spec, weights, inputs, dtype=np.dtype(np.float64)).outputs
    options = JudgeOptions(tolerance="rounding", replay_dtype="float32")

    def verdict(**outputs: Any) -> Verdict:
        seen = Observation("expected", "", "", 0, "", {**exact, **outputs}, {})
        return judge(spec, weights, inputs, seen, options).verdict

    assert verdict().passed
    for name in ("output", "last_output"):
        assert verdict(**{name: exact[name] * 1.001 + 1e-4}) is Verdict.FAIL


@pytest.mark.parametrize(("wrong", "name"), [("ave", "averaged"), ("mul", "multiplied")])
def test_another_way_to_merge_is_named(wrong: str, name: str) -> None:
    spec, weights, inputs = merged("LSTM", "sum")
    given = replay(replace(spec, merge=wrong), weights, inputs).outputs
    found = diagnose(Case.of(spec, weights, inputs), given, TORCH_TOLERANCES["float64"], seconds=120)
    assert [answer.id for answer in found.answers] == [f"lstm.merge.{name}"]


@pytest.mark.parametrize("lengths", [None, (7, 3)])
@pytest.mark.parametrize("merge", BY_HAND)
def test_a_reverse_half_that_was_not_flipped_is_named(merge: str, lengths: tuple[int, ...] | None) -> None:
    spec, weights, inputs = merged("GRU", merge)
    inputs = replace(inputs, lengths=lengths)
    apart = replay(replace(spec, merge="concat"), weights, inputs).outputs
    forward, reverse = np.split(apart["output"], 2, axis=2)
    given = {"output": BY_HAND[merge](forward, reverse[::-1]), "h_n": apart["h_n"]}
    found = diagnose(Case.of(spec, weights, inputs), given, TORCH_TOLERANCES["float64"], seconds=120)
    assert [answer.id for answer in found.answers] == ["gru.reading.reverse-not-flipped"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("merge", BY_HAND)
@pytest.mark.parametrize("kind", KINDS)
def test_torch_and_keras_give_what_the_replay_gives(kind: str, merge: str) -> None:
    """Torch's halves merged as a user does, and Keras' Bidirectional; between the layers of a stack Keras alone merges."""
    for name, inner in (("torch", "concat"), ("keras", "concat"), ("keras", merge)):
        spec, weights, inputs = merged(kind, merge, num_layers=2, inner_merge=inner, dtype="float32")
        beside = framework(name)
        module = beside.build(spec)
        beside.load(module, spec, weights)
        for lengths in (None, (7, 4)):
            seen = beside.observe(module, spec, replace(inputs, lengths=lengths), "on")
            assert "output" in seen.outputs
            result = judge(spec, weights, replace(inputs, lengths=lengths), seen)
            assert result.verdict.passed, (name, inner, lengths)
            shifted = {**seen.outputs, "output": seen.outputs["output"] + 1e-3}
            failed = judge(spec, weights, replace(inputs, lengths=lengths), replace(seen, outputs=shifted))
            assert failed.verdict is Verdict.FAIL
            assert failed.comparison.first_failure is not None
            assert (failed.comparison.first_failure.symbol, failed.comparison.first_failure.direction) == ("output", "merged")


@pytest.mark.slow
def test_what_cannot_be_merged_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["run", "lstm", "--merge", "sum"], "joins two directions"),
        (["run", "lstm", "-b", "--merge", "max"], "concat, sum, mul, ave"),
        (["run", "lstm", "-b", "--merge", "sum", "--framework", "onnxruntime"], "directions are merged"),
    ):
        assert words in refused(capsys, *arguments)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["table", "csv", "json", "html", "markdown"])
def test_the_merged_output_is_shown(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every value of it, in every form; a trace that was saved is judged anew, and one that was forged fails."""
    arguments = ["run", "gru", "-b", "-l", "2", "--merge", "sum", "--seed", "1", "--show", "outputs", "--format", format]
    answer = ask(capsys, *arguments)
    assert (answer.code, "last_output" in answer.out) == (0, True)


@pytest.mark.usefixtures("folder")
def test_a_saved_trace_of_a_merged_module_is_judged_anew(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(capsys, "run", "lstm", "-b", "--merge", "ave", "--seed", "1", "--save", "t.npz", "-q").code == 0
    assert ask(capsys, "show", "t.npz", "-q").code == 0
    assert rnntrace.open_trace("t.npz").spec.merge == "ave"
    for name in ("outputs/output", "outputs/last_output", "expected/output"):
        arrays = dict(np.load("t.npz"))
        arrays[name] = arrays[name] + np.float32(0.01)
        np.savez("forged.npz", **arrays)
        assert ask(capsys, "show", "forged.npz", "-q").code == 1, name


def test_a_module_of_torch_is_told_apart_from_a_stack_that_merges() -> None:
    """What a layer above reads has the size of what the one below gives."""
    sizes = {
        inner: ModuleSpec(kind="GRU", input_size=3, hidden_size=4, num_layers=2, bidirectional=True, inner_merge=inner)
        for inner in ("concat", "sum")
    }
    assert [spec.layer_input_size(1) for spec in sizes.values()] == [8, 4]
    assert [spec.width for spec in sizes.values()] == [8, 8]
    assert sizes["sum"].torch_lacks
    assert not sizes["concat"].torch_lacks
