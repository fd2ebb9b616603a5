"""Modules followed inside a larger model: the model runs as it would alone, and each call is judged by what it really gave."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases, examples, specs
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

import rnntrace
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.errors import UsageError
from rnntrace.frameworks.torch.modules import build
from rnntrace.model.observation import UNKNOWN_PATH
from rnntrace.model.spec import ModuleSpec

LENGTHS = (3, 6, 2, 6)


class Tagger(nn.Module):
    """An embedding, two LSTMs one after the other, and a linear head."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 5)
        self.encoder = nn.ModuleDict({"lstm": nn.LSTM(5, 4, batch_first=True, **options)})
        self.decoder = nn.LSTM(4, 3, batch_first=True)
        self.head = nn.Linear(3, 7)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) → (B, T, 7)."""
        encoded, _ = self.encoder["lstm"](self.embedding(tokens))
        decoded, _ = self.decoder(input=encoded, hx=None)
        return self.head(decoded)


class PackedTagger(nn.Module):
    """A bidirectional GRU over a packed batch."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(5, 4, num_layers=2, bidirectional=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(T, B, 5) → (T, B, 3)."""
        packed = pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False)
        output, _ = pad_packed_sequence(self.gru(packed)[0])
        return self.head(output)


class Twice(nn.Module):
    """One module called twice in a pass, the second time from the state that the first call left."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(T, B, 4) → (T, B, 4)."""
        output, state = self.lstm(x)
        return self.lstm(output, state)[0]


class Looped(nn.Module):
    """Two cells in a loop over t, one on top of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.above = nn.LSTMCell(3, 4), nn.GRUCell(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(T, B, 3) → (T, B, 2)."""
        low, high = None, torch.zeros(x.shape[1], 2)
        outputs = []
        for x_t in x:
            low = self.below(x_t, low)
            high = self.above(low[0], high)
            outputs.append(high)
        return torch.stack(outputs)


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], torch.Tensor], list[tuple[str, int]]]] = {
    "tagger": (Tagger, lambda: torch.randint(0, 20, (2, 6)), [("encoder.lstm", 0), ("decoder", 0)]),
    "packed": (PackedTagger, lambda: torch.randn(6, 4, 5), [("gru", 0)]),
    "twice": (Twice, lambda: torch.randn(5, 2, 4), [("lstm", 0), ("lstm", 1)]),
    "looped": (Looped, lambda: torch.randn(5, 2, 3), [("below", 0), ("above", 0)]),
    "dropout": (
        lambda: Tagger(num_layers=2, dropout=0.5),
        lambda: torch.randint(0, 20, (2, 6)),
        [("encoder.lstm", 0), ("decoder", 0)],
    ),
}
MODEL = pytest.mark.parametrize("name", MODELS)


def made(name: str) -> tuple[nn.Module, torch.Tensor, list[tuple[str, int]]]:
    """A model with its weights, an input, and the calls to expect; always the same."""
    torch.manual_seed(0)
    model, x, calls = MODELS[name]
    return model(), x(), calls


def passed_through(model: nn.Module, x: torch.Tensor) -> dict[str, Any]:
    """What a pass forward and backward leaves behind: output, gradients, modes, hooks and the state of the generator."""
    torch.manual_seed(1)
    output = model(x)
    output.square().sum().backward()
    return {
        "output": output.detach(),
        **{f"gradient of {name}": parameter.grad for name, parameter in model.named_parameters()},
        "generator": torch.get_rng_state(),
        "modes": [module.training for module in model.modules()],
        "grad mode": torch.is_grad_enabled(),
    }


def assert_same(mine: dict[str, Any], other: dict[str, Any]) -> None:
    assert mine.keys() == other.keys()
    for what, value in mine.items():
        same = torch.equal(value, other[what]) if isinstance(value, torch.Tensor) else value == other[what]
        assert same, what


@MODEL
@pytest.mark.parametrize("training", [True, False])
def test_a_model_runs_as_it_would_unwatched(name: str, training: bool) -> None:
    """Output, gradients, generator, modes and hooks have the same bits with and without watching, and after looking."""
    model, x, _ = made(name)
    model.train(training)
    alone = passed_through(copy.deepcopy(model), x)
    with rnntrace.watch(model) as traces:
        watched = passed_through(model, x)
        repr(traces)
    assert_same(watched, alone)
    assert torch.equal(torch.get_rng_state(), watched["generator"])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any(module._forward_hooks_with_kwargs for module in model.modules())


@MODEL
@pytest.mark.parametrize("grad", [True, False])
def test_every_call_passes_in_order(name: str, grad: bool) -> None:
    """An honest model's calls are there by name and number, in the order in which they were made, and agree."""
    model, x, calls = made(name)
    with torch.set_grad_enabled(grad), rnntrace.watch(model.eval(), capture="on") as traces:
        model(x)
    assert traces.keys() == calls
    assert [result.name for result in traces] == [name for name, _ in calls]
    assert traces.passed
    assert not traces.not_judged
    for key, result in traces.items():
        assert traces[key] is result
        assert result.observation.path != UNKNOWN_PATH  # torch gives the same bits again
        assert set(result.spec.cell.symbols) == {symbol for *_, symbol in result.framework_values}


def test_results_are_what_the_module_got_and_gave() -> None:
    """Inputs and outputs of a result are those that a hook of the user's own sees, in the module's own layout."""
    model, x, _ = made("tagger")
    seen: dict[str, Any] = {}
    model.decoder.register_forward_hook(lambda module, args, kwargs, output: seen.update(kwargs, out=output), with_kwargs=True)
    with rnntrace.watch(model) as traces:
        model(x)
    result = traces["decoder"]
    np.testing.assert_array_equal(result.in_own_layout({"x": result.inputs.x})["x"], seen["input"].detach())
    for name, tensor in zip(("output", "h_n", "c_n"), (seen["out"][0], *seen["out"][1]), strict=True):
        np.testing.assert_array_equal(result.expected[name], tensor.detach())


def test_a_packed_batch_has_its_lengths() -> None:
    """Lengths are those that were packed, in the order of the batch; what is behind the end of a sequence does not exist."""
    model, x, _ = made("packed")
    with rnntrace.watch(model) as traces:
        model(x)
    assert traces["gru"].inputs.lengths == LENGTHS
    assert np.isnan(traces["gru"].trace["h", 1, "reverse"][2, 2]).all()


def test_cells_in_a_loop_are_one_trace() -> None:
    """T calls of a cell, each from the state before, are a trace of T steps that is torch's own sequence of states."""
    model, x, _ = made("looped")
    with rnntrace.watch(model) as traces:
        expected = model(x)
        model(x)
    assert traces.keys() == [("below", 0), ("above", 0), ("below", 1), ("above", 1)]
    above = traces["above", 0]
    np.testing.assert_array_equal(above.expected["output"], expected.detach())
    np.testing.assert_allclose(above.trace["h"], expected.detach(), atol=1e-6)
    assert [result.origin["h0"] if result.origin else "given" for result in traces] == ["zeros", "given"] * 2


def test_cells_from_other_states_are_traces_of_their_own() -> None:
    """Two sequences through one cell in turns are two traces; so is a state that was changed, and a branch."""
    torch.manual_seed(0)
    cell, x = nn.GRUCell(3, 2), torch.randn(4, 1, 3)
    with rnntrace.watch(cell) as traces:
        a, b = torch.zeros(1, 2), torch.ones(1, 2)
        for x_t in x:
            a, b = cell(x_t, a), cell(x_t, b)
        c = cell(x[0], a + 1)
        cell(x[1], a)
        cell(x[2], a)
        cell(x[1], c)
    assert [(result.call, result.inputs.steps) for result in traces] == [(0, 5), (1, 4), (2, 2), (3, 1)]
    assert traces.passed


def test_a_cell_whose_weights_change_begins_anew() -> None:
    """A loop during which the weights are changed is one trace for each set of weights."""
    torch.manual_seed(0)
    cell, h = nn.RNNCell(3, 2), torch.zeros(1, 2)
    with torch.no_grad(), rnntrace.watch(cell) as traces:
        for step in range(5):
            if step == 3:
                cell.weight_hh.mul_(2)
            h = cell(torch.randn(1, 3), h)
    assert [result.inputs.steps for result in traces] == [3, 2]
    assert traces.passed


def test_looking_on_the_way_changes_nothing() -> None:
    """A result that is looked at in the middle of a loop goes on with the loop."""
    torch.manual_seed(0)
    cell, h = nn.LSTMCell(3, 2), None
    with rnntrace.watch(cell) as traces:
        for steps in range(1, 4):
            h = cell(torch.randn(2, 3), h)
            assert traces[0].inputs.steps == steps
    assert len(traces) == 1
    assert traces.passed


def test_weights_are_those_of_the_call() -> None:
    """An optimiser's step between two calls, and one after both, change no result."""
    model, x, _ = made("twice")
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    with rnntrace.watch(model.lstm) as traces:
        for _ in range(2):
            before = model.lstm.weight_hh_l0.detach().clone()
            model(x).sum().backward()
            optimiser.step()
    assert len(traces) == 4
    assert traces.passed
    np.testing.assert_array_equal(traces["", 3].weights[0, "forward"].W_hh.reshape(16, 4), before)
    assert not np.array_equal(traces["", 0].weights[0, "forward"].W_hh, traces["", 3].weights[0, "forward"].W_hh)


def test_what_is_overwritten_after_the_call_was_copied() -> None:
    """Input, states and outputs that the model changes in place once the module has returned are those of the call."""
    torch.manual_seed(0)
    module, x, h0 = nn.GRU(3, 2), torch.randn(4, 2, 3), torch.randn(1, 2, 2)
    direct = rnntrace.trace(module, x, h0)
    with torch.no_grad(), rnntrace.watch(module) as traces:
        output, h_n = module(x, h0)
        for tensor in (x, h0, output, h_n):
            tensor.fill_(7)
    assert traces.passed
    for name, values in direct.expected.items():
        np.testing.assert_array_equal(traces[0].expected[name], values)


def changes_output(module: nn.Module) -> None:
    module.register_forward_hook(lambda module, args, output: (output[0] + 0.01, output[1]))


def changes_one_value_in_place(module: nn.Module) -> None:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        with torch.no_grad():
            output[1][0][0, 0, 0] += 0.01

    module.register_forward_hook(hook)


def changes_weights_for_the_call(module: nn.Module) -> None:
    def add(amount: float) -> Callable[..., None]:
        def hook(module: nn.Module, *_: Any) -> None:
            with torch.no_grad():
                module.weight_hh_l0[0] += amount

        return hook

    module.register_forward_pre_hook(add(0.5))
    module.register_forward_hook(add(-0.5))


FAULTS = [changes_output, changes_one_value_in_place, changes_weights_for_the_call]


@pytest.mark.parametrize("when", ["before", "inside"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("guilty", ["encoder.lstm", "decoder"])
def test_a_planted_fault_is_found_where_it_is(guilty: str, fault: Callable[[nn.Module], None], when: str) -> None:
    """A module whose call gave something else than its weights and inputs say fails, and no other does."""
    model, x, _ = made("tagger")
    if when == "before":
        fault(model.get_submodule(guilty))
    with torch.no_grad(), rnntrace.watch(model) as traces:
        if when == "inside":
            fault(model.get_submodule(guilty))
        model(x)
    assert {result.name for result in traces if result.verdict is Verdict.FAIL} == {guilty}
    assert {result.name for result in traces if result.verdict is Verdict.PASS} == {"encoder.lstm", "decoder"} - {guilty}
    assert not traces.passed
    assert any("did a hook change them?" in warning for warning in traces[guilty].warnings)


def test_a_fault_in_one_call_of_two() -> None:
    """Of two calls of one module the one that was changed fails."""
    model, x, _ = made("twice")
    numbers = iter(range(2))
    model.lstm.register_forward_hook(lambda module, args, output: (output[0] + 0.01 * next(numbers), output[1]))
    with rnntrace.watch(model) as traces:
        model(x)
    assert [result.passed for result in traces] == [True, False]


def test_a_hook_that_comes_late_is_seen() -> None:
    """What a hook changes is seen though it was registered in the block, after the module had been called."""
    torch.manual_seed(0)
    module, x = nn.GRU(3, 2), torch.randn(4, 1, 3)
    with rnntrace.watch(module) as traces:
        module(x)
        changes_output(module)
        module(x)
    assert [result.passed for result in traces] == [True, False]


@pytest.mark.parametrize("step", range(3))
def test_a_fault_in_one_step_of_a_cell(step: int) -> None:
    """A cell that gives a wrong state at one step of a loop fails at that step, though the loop goes on from there."""
    torch.manual_seed(0)
    cell, h, numbers = nn.GRUCell(3, 2), None, iter(range(3))
    cell.register_forward_hook(lambda module, args, output: output + 0.1 if next(numbers) == step else None)
    with rnntrace.watch(cell, capture="off") as traces:
        for x_t in torch.randn(3, 1, 3):
            h = cell(x_t, h) if h is not None else cell(x_t)
    assert len(traces) == 1
    assert traces[0].comparison.first_failure.t == step + 1


def test_dropout_between_layers_leaves_the_first_layer_to_judge(tmp_path: Path) -> None:
    """In training mode a stack with dropout is judged by its first layer, which a module of one layer confirms, and says so."""
    model, x, _ = made("dropout")
    model.train()
    with rnntrace.watch(model) as traces:
        model(x)
    result = traces["encoder.lstm"]
    assert result.passed
    assert result.spec.num_layers == 1
    assert "dropout 0.5 acted between the 2 layers" in result.warnings[0]
    assert "the first of 2 layers alone" in repr(traces)
    alone = nn.LSTM(5, 4, batch_first=True)
    alone.load_state_dict({name: value for name, value in model.encoder["lstm"].state_dict().items() if name.endswith("_l0")})
    _, (h_n, c_n) = alone(model.embedding(x))
    np.testing.assert_array_equal(result.expected["h_n"], h_n.detach())
    np.testing.assert_array_equal(result.expected["c_n"], c_n.detach())
    rnntrace.save(result, tmp_path / "trace.npz")
    assert rnntrace.open_trace(tmp_path / "trace.npz").comparison.differences == result.comparison.differences
    assert "dropout 0.5 acted" in result._repr_html_()
    with rnntrace.watch(model.eval()) as traces:
        model(x)
    assert traces["encoder.lstm"].spec.num_layers == 2


def test_a_fault_in_the_first_layer_under_dropout_is_found() -> None:
    """The first layer's last state is judged although the layers above are not."""
    model, x, _ = made("dropout")
    changes_one_value_in_place(model.encoder["lstm"])
    with torch.no_grad(), rnntrace.watch(model.train()) as traces:
        model(x)
    assert [result.passed for result in traces] == [False, True]


def test_weights_that_are_computed_for_each_call() -> None:
    """Weights that are drawn anew for each call are seen as the call used them, and nothing is drawn besides."""

    class DropWeights(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(weight, 0.5, self.training)

    def with_dropped_weights() -> tuple[nn.Module, torch.Tensor]:
        model, x, _ = made("twice")
        parametrize.register_parametrization(model.lstm, "weight_hh_l0", DropWeights())
        return model, x

    alone = passed_through(*with_dropped_weights())
    model, x = with_dropped_weights()
    with rnntrace.watch(model) as traces:
        watched = passed_through(model, x)
    assert_same(watched, alone)
    assert traces.passed
    assert (traces["lstm", 0].weights[0, "forward"].W_hh == 0).any()
    model.eval()
    assert rnntrace.trace(model.lstm, x).passed


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_packed_with_states(enforce_sorted: bool, batch_first: bool) -> None:
    """A packed call has the states that it was given, item by item: as the same call of `trace`."""
    torch.manual_seed(0)
    module = nn.LSTM(3, 4, bidirectional=True, batch_first=batch_first, proj_size=2, dtype=torch.float64)
    lengths = [5, 3, 3] if enforce_sorted else [3, 5, 1]
    x = torch.randn(3, 5, 3, dtype=torch.float64)
    x = x if batch_first else x.transpose(0, 1)
    hx = torch.randn(2, 3, 2, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    with rnntrace.watch(module) as traces:
        module(hx=hx, input=pack_padded_sequence(x, torch.tensor(lengths), batch_first, enforce_sorted))
    direct = rnntrace.trace(module, x, hx, lengths=lengths)
    assert traces.passed
    for name, values in direct.expected.items():
        np.testing.assert_array_equal(traces[0].expected[name], values)
    for key in direct.trace:
        np.testing.assert_array_equal(traces[0].trace.columns[key], direct.trace.columns[key])


@pytest.mark.parametrize("packed", [True, False])
def test_unbatched_and_ready_packed(packed: bool) -> None:
    """A sequence without a batch axis, and one packed without padding."""
    torch.manual_seed(0)
    module = nn.GRU(3, 2, num_layers=2)
    x: torch.Tensor | PackedSequence = torch.randn(4, 3)
    with rnntrace.watch(module) as traces:
        module(pack_sequence([x, x[:2]]) if packed else x)
    assert traces.passed
    assert traces[0].inputs.unbatched is not packed


def test_an_error_passes_through() -> None:
    """An error in the block is the user's, hooks are gone, and what ran before it is judged."""
    model, x, _ = made("tagger")

    def wrong() -> None:
        with rnntrace.watch(model) as traces:
            kept.append(traces)
            model(x)
            model.decoder(torch.randn(2, 3, 99))

    kept: list[Any] = []
    with pytest.raises(RuntimeError, match="99"):
        wrong()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert kept[0].keys() == [("encoder.lstm", 0), ("decoder", 0)]
    assert kept[0].passed


def test_a_watch_inside_a_watch() -> None:
    """Both see the calls made while they last, by the names in their own model."""
    model, x, _ = made("tagger")
    with rnntrace.watch(model) as outer:
        model(x)
        with rnntrace.watch(model.encoder) as inner:
            model(x)
        model(x)
    assert [result.call for result in outer if result.name == "decoder"] == [0, 1, 2]
    assert inner.keys() == [("lstm", 0)]
    assert outer.passed
    assert inner.passed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@examples(150)
@given(case=cases(), training=st.booleans(), grad=st.booleans())
def test_honest_modules_pass(case: Case, training: bool, grad: bool) -> None:
    """Whatever the module, its input and the modes: what torch gives is the same with and without watching, and passes."""
    spec, request = case.spec, case.request
    torch.manual_seed(case.seed)
    module = build(spec).train(training)
    dtype = getattr(torch, spec.dtype)
    steps = () if spec.is_cell else (request.steps,)
    batch = () if request.unbatched else (request.batch,)
    x: Any = torch.randn(*(batch + steps if spec.batch_first else steps + batch), spec.input_size, dtype=dtype)
    rows = () if spec.is_cell else (len(spec.layer_directions),)
    states = [torch.randn(*rows, *batch, size, dtype=dtype) for size in (spec.output_size, spec.hidden_size)]
    hx = None if request.h0 == "zeros" else tuple(states) if spec.has_cell_state else states[0]
    if request.lengths:
        x = pack_padded_sequence(x, torch.tensor(request.lengths), spec.batch_first, enforce_sorted=False)
    with torch.set_grad_enabled(grad):
        alone = module(x, hx)
        with rnntrace.watch(module) as traces:
            watched = module(x, hx)
    for mine, other in zip(flat(watched), flat(alone), strict=True):
        assert torch.equal(mine, other)
    assert len(traces) == 1
    assert traces[0].passed, traces[0].comparison
    assert traces[0].inputs.lengths == (None if request.lengths is None else tuple(request.lengths))


def flat(found: Any) -> list[torch.Tensor]:
    """The tensors in what a module returns."""
    if isinstance(found, torch.Tensor):
        return [found]
    return [tensor for part in found if part is not None for tensor in flat(part)]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@examples(30)
@given(
    found=st.lists(specs(dtypes=("float32", "float64"), directions=(False,)), min_size=1, max_size=3), seed=st.integers(0, 99)
)
def test_honest_stacks_of_modules_pass(found: list[ModuleSpec], seed: int) -> None:
    """Modules of any kind in one model, each called on its own input: one result each, in order, and all pass."""
    torch.manual_seed(seed)
    model = nn.ModuleList(build(spec) for spec in found)
    with rnntrace.watch(model, capture="off") as traces:
        for module, spec in zip(model, found, strict=True):
            shape = (2, spec.input_size) if spec.is_cell else (3, 2, spec.input_size)
            module(torch.randn(shape, dtype=getattr(torch, spec.dtype)))
    assert traces.keys() == [(str(number), 0) for number in range(len(found))]
    assert traces.passed


def test_autocast_is_said_in_one_line() -> None:
    """A call under autocast mixes formats: it is not judged, its reason is there, and looking for its result says it."""
    model, x, _ = made("tagger")
    with torch.autocast("cpu", torch.bfloat16), rnntrace.watch(model) as traces:
        model(x)
    assert len(traces) == 0
    assert not traces.passed
    reason = traces.not_judged["decoder", 0]
    assert "autocast mixes bfloat16 into a module of float32" in reason
    assert "\n" not in reason
    with pytest.raises(UsageError, match="decoder, call 0, was not judged: autocast"):
        traces["decoder"]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRUCell])
def test_nothing_is_traced_under_autocast(kind: Callable[..., nn.Module]) -> None:
    """A module by itself neither: what torch computes with two formats is no error of torch's."""
    module, x = kind(3, 2), torch.randn(4, 1, 3)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(UsageError, match=r"autocast mixes bfloat16 into .*float32"):
        rnntrace.trace(module, x)
    with torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", enabled=False):
        assert rnntrace.trace(module, x).passed


def test_results_are_judged_alike_under_autocast() -> None:
    """Looking at a result inside an autocast block runs no module under autocast."""
    model, x, _ = made("tagger")
    with rnntrace.watch(model) as traces:
        model(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert traces.passed


@pytest.mark.slow
def test_a_device_without_numbers_is_said_in_one_line() -> None:
    """A model on the meta device runs on; its calls cannot be judged."""
    with torch.device("meta"):
        module, x = nn.LSTM(3, 2), torch.randn(4, 1, 3)
    with rnntrace.watch(module) as traces:
        assert module(x)[0].shape == (4, 1, 2)
    assert list(traces.not_judged) == [("", 0)]
    assert "meta" in traces.not_judged["", 0]
    assert "\n" not in repr(traces.not_judged["", 0])


def test_a_hook_that_returns_something_else() -> None:
    """A module whose hook gives the caller something that is no output of torch's is not judged, and runs on."""
    module = nn.GRU(3, 2)
    module.register_forward_hook(lambda *_: "nothing")
    with rnntrace.watch(module) as traces:
        assert module(torch.randn(4, 1, 3)) == "nothing"
    assert "could not be read" in traces.not_judged["", 0]


class Renamed(nn.LSTM):
    """torch's LSTM under another name."""


class Own(nn.LSTM):
    """An LSTM that does something else."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Twice the input."""
        return super().forward(2 * input, hx)


def test_subclasses_with_torchs_forward_are_followed() -> None:
    """A subclass is followed if its forward is torch's, and named as not followed if it is not."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"renamed": Renamed(3, 2), "own": Own(3, 2), "idle": nn.GRU(3, 2)})
    with rnntrace.watch(model) as traces:
        model["renamed"](torch.randn(4, 1, 3))
        model["own"](torch.randn(4, 1, 3))
    assert traces.passed
    assert traces.keys() == [("renamed", 0)]
    assert [line.split()[0] for line in repr(traces).splitlines()[1:]] == ["renamed,", "idle", "own"]
    assert traces.others == {"own": "Own has a forward of its own"}
    with pytest.raises(UsageError, match=r"got Own$"):
        rnntrace.trace(model["own"], torch.randn(4, 1, 3))


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (nn.Linear(2, 2), {}, "Linear holds none"),
        (Own(3, 2), {}, "the model cannot be followed: Own has a forward of its own"),
        (3, {}, "watch needs a model of torch.nn, and got int"),
        (nn.LSTM(3, 2), {"capture": "yes"}, "unknown capture 'yes'"),
        (nn.LSTM(3, 2), {"tolerance": "loose"}, "loose"),
        (nn.LSTM(3, 2), {"replay": "backwards"}, "unknown replay 'backwards'"),
    ],
)
def test_what_cannot_be_watched_is_refused(model: Any, options: dict[str, str], words: str) -> None:
    """A request that cannot be carried out is one line, before the block runs."""
    with pytest.raises(UsageError, match=words), rnntrace.watch(model, **options):
        pytest.fail("the block runs")


def test_options_are_those_of_trace() -> None:
    """Tolerance, replay and terms do what they do for a module alone."""
    model, x, _ = made("twice")
    with rnntrace.watch(model, tolerance="exact", replay="forced", capture="off", terms=True) as traces:
        model(x)
    result = traces["lstm", 0]
    direct = rnntrace.trace(model.lstm, x, tolerance="exact", replay="forced", capture="off", terms=True)
    assert [each.name for each in result.comparison.differences] == [each.name for each in direct.comparison.differences]
    assert result.comparison.tolerance == direct.comparison.tolerance
    assert result.replay == "forced"
    np.testing.assert_array_equal(result.trace["f.input"], direct.trace["f.input"])
    with rnntrace.watch(model, rtol=0, atol=1e-3) as traces:
        model(x)
    assert traces["lstm", 0].comparison.tolerance == rnntrace.trace(model.lstm, x, rtol=0, atol=1e-3).comparison.tolerance


def test_looking_up() -> None:
    """By number, name, and name with the number of the call; what is not there is told with what is."""
    model, x, _ = made("twice")
    with rnntrace.watch(model) as traces:
        model(x)
    assert traces[0] is traces["lstm", 0]
    assert traces[-1] is traces["lstm", 1] is traces["lstm", -1]
    assert "lstm" in traces
    assert ("lstm", 1) in traces
    assert "gru" not in traces
    assert repr(traces[1]).startswith("<Result PASS: lstm, call 1: LSTM(4, 4), T=5")
    with pytest.raises(KeyError, match="was called 2 times"):
        traces["lstm"]
    with pytest.raises(KeyError, match="no call 2"):
        traces["lstm", 2]
    with pytest.raises(KeyError, match="choose one of 'lstm'"):
        traces["gru"]
    with pytest.raises(IndexError):
        traces[2]
    with rnntrace.watch(model) as traces:
        pass
    with pytest.raises(KeyError, match="was not called"):
        traces["lstm"]
    assert not traces.passed


def test_many_calls_are_named_in_few_lines() -> None:
    """The text form keeps head and tail and says how many lines it left out."""
    module, x = nn.RNN(1, 1), torch.ones(1, 1, 1)
    with rnntrace.watch(module, capture="off") as traces:
        for _ in range(100):
            module(x)
    lines = repr(traces).splitlines()
    assert lines[0] == "<Traces of 100 calls>"
    assert len(lines) == 42
    assert "60 more lines" in lines[21]
    assert "call 99" in lines[-1]
