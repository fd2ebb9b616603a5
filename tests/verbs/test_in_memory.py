"""Verbs on what Python users have: modules, tensors, arrays, dictionaries, lists and results; torch is the oracle."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples, specs
from torch import nn

import rnntrace
from rnntrace.engine.judge.result import Result
from rnntrace.frameworks.torch.modules import build
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.derived import ShownExplanation
from rnntrace.verbs.explain import Equations


@pytest.fixture
def lstm() -> nn.LSTM:
    torch.manual_seed(3)
    return nn.LSTM(3, 2, batch_first=True)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.linspace(-1, 1, 24).reshape(2, 4, 3)


WEIGHTS: dict[str, Callable[[nn.LSTM], Any]] = {
    "a module": lambda module: module,
    "a state_dict": lambda module: module.state_dict(),
    "a dictionary of arrays": lambda module: {name: tensor.numpy() for name, tensor in module.state_dict().items()},
    "a checkpoint": lambda module: {"epoch": 3, "state_dict": module.state_dict(), "name": "best"},
    "a model around it": lambda module: nn.Sequential(nn.Linear(2, 3), module),
    "what load gives": rnntrace.load,
    "a pair of it": lambda module: rnntrace.load(module)[""],
}


def single(found: Result | rnntrace.Results) -> Result:
    assert isinstance(found, Result)
    return found


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_in_every_form_are_one_module(weights: Callable[[nn.LSTM], Any], lstm: nn.LSTM, x: torch.Tensor) -> None:
    """Compared with the output of the module itself, which is not run again."""
    output, (h_n, c_n) = lstm(x)
    result = single(rnntrace.compare(weights(lstm), x, expected={"output": output, "c_n": c_n}, batch_first=True))
    assert result.passed
    assert result.judged == ("output", "c_n")
    assert np.allclose(result.outputs["h_n"], h_n.detach(), atol=1e-6)


EXPECTED: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Any]] = {
    "what torch returns": lambda output, h, c: (output, (h, c)),
    "as Keras returns it": lambda output, h, c: (output, h[0], c[0]),
    "a list of tensors": lambda output, h, c: [*output],
    "the output": lambda output, h, c: output,
    "an array": lambda output, h, c: output.detach().numpy(),
    "lists": lambda output, h, c: output.tolist(),
    "states": lambda output, h, c: {"h_n": h, "c_n": c.tolist()},
    "a state by its place": lambda output, h, c: {(0, "forward", "h"): output},
}


@pytest.mark.parametrize("form", EXPECTED.values(), ids=EXPECTED)
def test_expected_in_every_form(form: Callable[..., Any], lstm: nn.LSTM, x: torch.Tensor) -> None:
    """Right values pass in each; a wrong one fails in each."""
    output, (h, c) = lstm(x)
    assert rnntrace.compare(lstm, x, expected=form(output, h, c)).passed
    off = [tensor + 0.25 for tensor in (output, h, c)]
    assert not rnntrace.compare(lstm, x, expected=form(*off)).passed


def test_gates_are_judged_and_the_first_failure_has_a_place(lstm: nn.LSTM, x: torch.Tensor) -> None:
    """A planted difference in the forget gate is found where it is."""
    f = np.array(rnntrace.trace(lstm, x).trace["f"]).swapaxes(0, 1)
    assert rnntrace.compare(lstm, x, expected={"f": f}).passed
    f[1, 2, 0] += 0.25
    place = single(rnntrace.compare(lstm, x, expected={"f": f})).comparison.first_failure
    assert place is not None
    assert (place.layer, place.direction, place.symbol, place.t, place.item, place.unit) == (0, "forward", "f", 3, 1, 0)


def test_a_module_says_what_a_state_dict_does_not() -> None:
    """Batch first and the activation are the module's own; nothing is assumed."""
    module = nn.RNN(3, 2, nonlinearity="relu", batch_first=True)
    x = torch.randn(2, 5, 3)
    result = single(rnntrace.compare(module, x))
    assert (result.spec.nonlinearity, result.inputs.steps, result.assumed) == ("relu", 5, ())
    assert result.passed
    assert single(rnntrace.compare(module.state_dict(), x, nonlinearity="relu")).assumed != ()


def test_several_modules_are_results_by_name(x: torch.Tensor) -> None:
    """Each by the name that it has in the model; the worst verdict is that of all."""
    model = nn.ModuleDict({"first": nn.GRU(3, 2), "second": nn.RNN(3, 4)})
    found = rnntrace.compare(model, x)
    assert isinstance(found, rnntrace.Results)
    assert [*found] == ["first", "second"] == [result.name for result in found.values()]
    assert found.passed
    assert str(found.verdict) in ("PASS", "IDENTICAL")
    assert "first" in repr(found)
    assert found._repr_html_().count('<div class="rnntrace">') == 2
    assert single(rnntrace.compare(model, x, module="second")).spec.hidden_size == 4


def test_both_sides_have_to_agree(lstm: nn.LSTM, x: torch.Tensor) -> None:
    """Expected outputs and torch; the wrong side makes the whole fail."""
    right = rnntrace.compare(lstm, x, expected=lstm(x), framework="torch")
    wrong = rnntrace.compare(lstm, x, expected=lstm(x)[0] + 1, framework="torch")
    assert isinstance(wrong, rnntrace.Results)
    assert [*wrong] == ["expected", "torch"]
    assert (right.passed, wrong.passed, str(wrong.verdict)) == (True, False, "FAIL")
    assert wrong["torch"].passed


def test_two_models_on_the_same_input(lstm: nn.LSTM, x: torch.Tensor) -> None:
    """The block of weights that differs is named, and so is the first value."""
    other = nn.LSTM(3, 2, batch_first=True)
    other.load_state_dict(lstm.state_dict())
    assert single(rnntrace.compare(lstm, x, other=other)).passed
    with torch.no_grad():
        other.weight_ih_l0[0, 0] += 1
    result = single(rnntrace.compare(lstm, x, other=other))
    assert not result.passed
    assert any("W_ii" in warning for warning in result.warnings)
    relu = single(rnntrace.compare(nn.RNN(3, 2), other=nn.RNN(3, 2, nonlinearity="relu"), seed=1))
    assert any("tanh in the first, and relu in the second" in sentence for sentence in relu.contradictions)


def test_two_results_are_compared_as_they_are(lstm: nn.LSTM, x: torch.Tensor) -> None:
    one, same, changed = (rnntrace.trace(lstm, signal) for signal in (x, x, x * 1.5))
    assert rnntrace.compare(one, other=same).passed
    found = single(rnntrace.compare(one, other=changed))
    assert not found.passed
    assert any(warning.startswith("x differs by up to") for warning in found.warnings)


def test_a_result_brings_its_own_signals(lstm: nn.LSTM, x: torch.Tensor) -> None:
    """Unless others are given."""
    h0, c0 = torch.ones(1, 2, 2), torch.zeros(1, 2, 2)
    result = rnntrace.trace(lstm, x, (h0, c0))
    assert rnntrace.compare(result, expected=lstm(x, (h0, c0))).passed
    assert rnntrace.compare(result, x, expected=lstm(x)).passed
    assert not rnntrace.compare(result, expected=lstm(x)).passed


def test_run_takes_arrays_and_gives_what_torch_gives(lstm: nn.LSTM, x: torch.Tensor) -> None:
    """Weights from a module, x as a tensor, states as an array and a list."""
    h0, c0 = np.ones((1, 2, 2), np.float32), [[[0.5, 0], [0, -0.5]]]
    result = rnntrace.run("lstm", hidden=2, batch_first=True, weights=lstm, input=x, h0=h0, c0=c0, lengths=[4, 2])
    packed = nn.utils.rnn.pack_padded_sequence(x, [4, 2], batch_first=True)
    output, (h_n, _) = lstm(packed, (torch.tensor(h0), torch.tensor(c0)))
    assert result.passed
    assert result.seed is None
    assert np.allclose(result.outputs["h_n"], h_n.detach(), atol=1e-6)
    assert np.allclose(result.outputs["output"], nn.utils.rnn.pad_packed_sequence(output, True)[0].detach(), atol=1e-6)


def test_a_seed_draws_what_torch_draws() -> None:
    """Parameters as the module is built, then x."""
    result = rnntrace.run("gru", hidden=4, seed=7)
    torch.manual_seed(7)
    module = nn.GRU(3, 4)
    assert np.array_equal(result.inputs.x, torch.randn(4, 1, 3))
    assert np.array_equal(result.weights[0, "forward"].W_hh.reshape(12, 4), module.weight_hh_l0.detach())


def test_trace_is_judged_as_run_is(lstm: nn.LSTM, x: torch.Tensor) -> None:
    """By the same keywords: a pair of tolerances that alone decides, a deliberate mistake, and what could not have shown."""
    assert rnntrace.trace(lstm, x, rtol=0, atol=1e-3).passed
    assert str(rnntrace.trace(lstm, x, rtol=0, atol=0).verdict) in ("FAIL", "IDENTICAL")
    wrong = rnntrace.trace(lstm, x, mistake="gate-order.iofc")
    assert not wrong.passed
    assert [mistake.id for mistake in wrong.mistakes] == ["lstm.gate-order.iofc"]
    assert rnntrace.trace(lstm, x, blind=True).blind is not None


def test_what_verbs_give_is_pickled(lstm: nn.LSTM, x: torch.Tensor) -> None:
    """And says the same when it is back."""
    model = nn.ModuleDict({"first": nn.GRU(3, 2), "second": nn.RNN(3, 4)})
    for found in (
        rnntrace.compare(model, x),
        rnntrace.explain(lstm, t=1, unit=1, input=x),
        rnntrace.explain("gru"),
        rnntrace.diagnose(lstm, x, lstm(x)),
        rnntrace.mistakes("rnn"),
        rnntrace.layouts(),
        rnntrace.inspect(model),
        rnntrace.plot(rnntrace.trace(lstm, x)),
    ):
        assert repr(pickle.loads(pickle.dumps(found))) == repr(found)


def test_run_saves_what_it_gives(tmp_path: Path) -> None:
    result = rnntrace.run("rnn", seed=1, save=tmp_path / "t.npz")
    assert np.array_equal(rnntrace.open_trace(tmp_path / "t.npz").trace["h"], result.trace["h"])


def test_run_takes_text_as_it_is() -> None:
    """One text is one sequence, commas and all; a list holds a batch."""
    assert rnntrace.run("rnn", text="a,b", seed=1).inputs.x.shape == (3, 1, 3)
    assert rnntrace.run("rnn", text=["ab", "ba"], batch_first=True, seed=1).inputs.x.shape == (2, 2, 2)


def test_explain_puts_the_numbers_of_a_result_in(lstm: nn.LSTM, x: torch.Tensor) -> None:
    """By result, by module and by state_dict: the same derivation, whose value is the trace's."""
    result = rnntrace.trace(lstm, x)
    place: dict[str, Any] = {"t": 2, "unit": 1, "item": 1, "gate": "c"}
    for what, signals in ((result, {}), (lstm, {"input": x}), (lstm.state_dict(), {"input": x, "batch_first": True})):
        found = rnntrace.explain(what, **place, **signals)
        assert isinstance(found, ShownExplanation)
        (derivation,) = found.moments[-1].derivations
        assert derivation.value == pytest.approx(float(result.trace["c"][1, 1, 1]), abs=1e-7)
        assert "cell state" in repr(found)
        assert (found._repr_latex_() or "").startswith("$$")
        assert "c" in found._repr_html_()


def test_explain_of_a_trace_with_a_mistake_is_that_of_the_right_equations() -> None:
    """What the mistake made of the trace does not follow from the equations."""
    right = rnntrace.run("gru", seed=1)
    wrong = rnntrace.run("gru", seed=1, mistake="z-inverted")
    assert not wrong.passed
    found, expected = (rnntrace.explain(result, t=3, unit=1, gate="h") for result in (wrong, right))
    assert isinstance(found, ShownExplanation)
    assert isinstance(expected, ShownExplanation)
    assert found.moments[0].derivations[0].value == expected.moments[0].derivations[0].value


def test_explain_without_a_place_gives_equations(lstm: nn.LSTM) -> None:
    for what in ("lstm", lstm, rnntrace.ModuleSpec(kind="LSTM", input_size=3, hidden_size=2)):
        found = rnntrace.explain(what)
        assert isinstance(found, Equations)
        assert "forget gate" in repr(found)
        assert r"\sigma" in (found._repr_latex_() or "")
        assert "--" not in repr(found)


def test_diagnose_takes_a_result_or_weights(lstm: nn.LSTM, x: torch.Tensor) -> None:
    """Outputs of gates in ONNX's order are explained; what agrees needs no explanation."""
    result = rnntrace.run("lstm", seed=5, mistake="gate-order.iofc", steps=6)
    assert [answer.id for answer in rnntrace.diagnose(result, seconds=60).answers] == ["lstm.gate-order.iofc"]
    wrong = nn.LSTM(3, 2, batch_first=True)
    blocks = [0, 2, 3, 1]
    wrong.load_state_dict(
        {name: torch.cat([values.chunk(4)[block] for block in blocks]) for name, values in lstm.state_dict().items()}
    )
    found = rnntrace.diagnose(lstm, x, wrong(x), seconds=60)
    assert found.explained
    assert found.answers
    assert all("gate-order" in answer.id for answer in found.answers)
    assert found.answers[0].id in repr(found)
    assert found.answers[0].id in found._repr_html_()
    assert rnntrace.diagnose(lstm, x, lstm(x)).answers == ()


def test_inspect_and_load_take_modules(lstm: nn.LSTM) -> None:
    """Modules of torch's own are found; one with a forward of its own is told apart."""

    class Own(nn.LSTM):
        def forward(self, *_: Any) -> Any:
            return None

    model = nn.ModuleDict({"own": Own(3, 2), "lstm": lstm, "head": nn.Linear(2, 1)})
    found = rnntrace.inspect(model)
    assert [*found.modules] == ["lstm"]
    assert [*found.refused] == ["own"]
    assert found.other_tensors == 2 + 4
    assert "lstm" in repr(found)
    with pytest.raises(rnntrace.RnnTraceError, match="own"):
        rnntrace.load(model)


@examples(30)
@given(found=specs(dtypes=("float32", "float64")), seed=st.integers(0, 99))
def test_a_file_and_what_was_saved_in_it_are_judged_alike(found: ModuleSpec, seed: int, tmp_path_factory: Any) -> None:
    """Any module: from a file, a state_dict, arrays and the module itself come the same numbers, to the last bit."""
    torch.manual_seed(seed)
    module = build(found)
    # What a state_dict does not record is given.
    options = {} if found.is_cell else {"batch_first": found.batch_first}
    nonlinearity = {"nonlinearity": found.nonlinearity} if found.nonlinearity else {}
    path = tmp_path_factory.mktemp("weights") / "w.npz"
    arrays = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    np.savez(path, **arrays)
    results = [
        single(rnntrace.compare(weights, seed=seed, steps=3, batch=2, **options, **nonlinearity))
        for weights in (path, str(path), module.state_dict(), arrays, module)
    ]
    for result in results:
        assert result.passed
        assert result.inputs.x.shape == (3, 2, found.input_size)
        for key, values in results[0].trace.columns.items():
            np.testing.assert_array_equal(result.trace.columns[key], values)


def test_what_was_given_may_change_afterwards(lstm: nn.LSTM, x: torch.Tensor) -> None:
    """A result has copies of its own."""
    result, own = single(rnntrace.compare(lstm, x)), rnntrace.run("lstm", batch_first=True, weights=lstm, input=x)
    before = [np.array(found.weights[0, "forward"].W_ih) for found in (result, own)]
    signal = np.array(own.inputs.x)
    with torch.no_grad():
        lstm.weight_ih_l0.zero_()
        x.zero_()
    for found, weights in zip((result, own), before, strict=True):
        assert np.array_equal(found.weights[0, "forward"].W_ih, weights)
    assert np.array_equal(own.inputs.x, signal)


REFUSED = {
    "no module": (lambda: rnntrace.compare(nn.Linear(3, 2), [[1.0]]), "holds no recurrent module"),
    "no weights": (lambda: rnntrace.compare({"a": [1.0]}, [[1.0]]), "the dictionary holds no recurrent module"),
    "x of words": (lambda: rnntrace.run("rnn", input=[["a", "b"]]), "numbers"),
    "x of another size": (lambda: rnntrace.compare(nn.RNN(3, 2), np.ones((4, 1, 2))), "input size 3"),
    "expected of another shape": (
        lambda: rnntrace.compare(nn.RNN(3, 2), np.ones((4, 1, 3)), expected=np.ones((4, 2, 2))),
        "output should have shape",
    ),
    "a name nearly right": (
        lambda: rnntrace.compare(nn.RNN(3, 2), np.ones((4, 1, 3)), expected={"outputt": np.ones(2), "h": np.ones(2)}),
        "did you mean output",
    ),
    "a place without a step": (lambda: rnntrace.explain("lstm", unit=1, seed=1), "t=1 to t=4"),
    "a step beyond the end": (lambda: rnntrace.explain("lstm", t=5, seed=1), "from 1 to 4"),
    "sizes beside weights": (lambda: rnntrace.explain(nn.RNN(3, 2), hidden=3), "`hidden` describes a kind"),
    "numbers without a place": (lambda: rnntrace.explain("rnn", seed=1), "`seed` belongs to `t`"),
    "no weights at all": (lambda: rnntrace.compare(5), "expected weights, which are a file"),
    "a kind that is a number": (lambda: rnntrace.run(42), "unknown module kind '42'"),  # type: ignore[arg-type]
    "half a unit": (lambda: rnntrace.run("rnn", hidden=2.5), "hidden size must be a whole number"),  # type: ignore[arg-type]
    "half a step": (lambda: rnntrace.run("rnn", steps=2.5), "steps must be a whole number"),  # type: ignore[arg-type]
    "a seed in words": (lambda: rnntrace.run("rnn", seed="a"), "a seed is a whole number"),  # type: ignore[arg-type]
    "what is not kept": (lambda: rnntrace.run("rnn", keep="all"), "unknown keep 'all': choose one of states, gates, terms"),
    "another format": (lambda: rnntrace.run("rnn", replay_dtype="float16"), "choose one of float64, float32"),
    "gates perhaps": (lambda: rnntrace.run("rnn", capture="yes"), "unknown capture 'yes': choose one of auto, on, off"),
    "a replay in between": (lambda: rnntrace.run("rnn", replay="half"), "unknown replay 'half': choose free or forced"),
    "a number for a word": (lambda: rnntrace.run("rnn", tolerance=1e-3), "give numbers as `rtol` and `atol`"),  # type: ignore[arg-type]
    "weights without values": (lambda: rnntrace.compare(nn.RNN(3, 2, device="meta")), "no values"),
    "no values": (lambda: rnntrace.run("rnn", input=torch.ones(4, 3, device="meta")), "tensor without values"),
    "sparse values": (lambda: rnntrace.run("rnn", input=torch.eye(3).to_sparse()), "torch.sparse_coo"),
    "a layer that is not there": (lambda: rnntrace.plot(rnntrace.run("rnn", seed=1), layer=1), "there are 0 to 0"),
    "a packed input": (
        lambda: rnntrace.run("rnn", input=nn.utils.rnn.pack_sequence([torch.ones(2, 3)])),
        "PackedSequence",
    ),
}


@pytest.mark.parametrize(("call", "words"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_in_a_sentence(call: Callable[[], object], words: str) -> None:
    with pytest.raises(rnntrace.RnnTraceError) as caught:
        call()
    assert words in str(caught.value)
