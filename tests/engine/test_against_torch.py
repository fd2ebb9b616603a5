"""The replay against torch: every gate beside torch's own, every output beside what torch.nn gives when called alone."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import Case, cases, examples
from thorough import in_turn
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils._python_dispatch import TorchDispatchMode

import rnntrace
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.engine.replay.replay import replay
from rnntrace.errors import FrameworkError
from rnntrace.model.dtypes import DTYPES, Array
from rnntrace.model.keys import Key
from rnntrace.model.kinds import KINDS
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.given.sources import Sources, read_sources
from rnntrace.verbs.run import build_and_trace as run

LAYERS = ("RNN", "LSTM", "GRU")
CELLS = ("RNNCell", "LSTMCell", "GRUCell")
DOUBLE = 1e-12
"""How far a replay in float64 may be from torch, over a whole trajectory."""
SINGLE_STEP = 4
"""How far a gate or state may be from torch's after one step, in eps of the format: a few roundings, 2 measured."""


# --- every gate -------------------------------------------------------------------------------------------------------


def modules() -> list[ModuleSpec]:
    """Every combination of options that torch's modules have, in float64."""
    found = []
    for kind in KINDS:
        is_cell, is_rnn = kind in CELLS, kind.startswith("RNN")
        options = {
            "num_layers": (1,) if is_cell else (1, 2, 3),
            "bidirectional": (False,) if is_cell else (False, True),
            "batch_first": (False,) if is_cell else (False, True),
            "bias": (True, False),
            "nonlinearity": ("tanh", "relu") if is_rnn else (None,),
            "proj_size": (0, 2) if kind == "LSTM" else (0,),
        }
        for values in product(*options.values()):
            given = dict(zip(options, values, strict=True))
            found.append(ModuleSpec(kind=kind, input_size=3, hidden_size=4, dtype="float64", **given))
    return found


FORMS = {
    "batched": {"batch": 3},
    "packed": {"batch": 3, "lengths": (2, 5, 4)},
    "unbatched": {"unbatched": True},
}
GRID = in_turn(
    ((spec, form) for spec in modules() for form in FORMS if not (spec.is_cell and form == "packed")), [*reversed(DTYPES)]
)
"""A module, how it is fed, and its number format."""


def name(spec: ModuleSpec) -> str:
    """`LSTM-2-bidirectional-projected` for a test's id."""
    words = [spec.kind, str(spec.num_layers)]
    words += [option for option in ("bidirectional", "batch_first") if getattr(spec, option)]
    words += ["projected"] if spec.proj_size else []
    words += ["relu"] if spec.nonlinearity == "relu" else []
    return "-".join(words if spec.bias else [*words, "no_bias"])


def traced(case: Case) -> Result:
    return run(case.spec, Sources(case.request), JudgeOptions(capture="on"), seed=case.seed)


def assert_within(actual: Array, expected: Array, allowed: Array | float) -> None:
    """The same shape, NaN at the same places, and nowhere farther apart than allowed."""
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    apart = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    assert np.all(np.isnan(apart) | (apart <= allowed)), f"{np.nanmax(apart)} apart"


def one_step(result: Result) -> Iterator[tuple[Array, Array]]:
    """Each gate and state of a replay that starts every step from torch's own state before, with torch's."""
    own = result.observation.captured
    forced = replay(result.spec, result.weights, result.inputs, known=own)
    for key in forced:
        yield forced.columns[key], own[key]


def assert_agrees(result: Result) -> None:
    """Everything that torch computed is there, the verdict is a pass, and float64 agrees by our own measure too."""
    own, spec = result.observation.captured, result.spec
    assert own
    assert result.observation.not_captured == ""
    assert (
        set(own) == set(result.trace) == {(*column, symbol) for column in spec.layer_directions for symbol in spec.cell.symbols}
    )
    for key, values in own.items():
        np.testing.assert_array_equal(np.isnan(values), np.isnan(result.trace.columns[key]))
    assert result.comparison.not_finite == 0
    assert result.comparison.first_failure is None
    assert result.passed
    if spec.dtype in ("float32", "float64"):
        assert result.verdict in (Verdict.PASS, Verdict.IDENTICAL)
    if spec.dtype == "float64":
        for key, values in own.items():
            assert_within(result.trace.columns[key], values, DOUBLE)
        for replayed, torchs in one_step(result):
            assert_within(replayed, torchs, DOUBLE)
        assert set(result.outputs) == set(result.expected)
        for signal, values in result.expected.items():
            assert_within(result.outputs[signal], values, DOUBLE)
        for difference in result.comparison.differences:
            assert difference.max_abs <= DOUBLE
            assert difference.one_step_max_abs <= DOUBLE


def assert_every_step_agrees(result: Result) -> None:
    """From the same state before, each gate and state is a few roundings of the module's format from torch's."""
    for replayed, torchs in one_step(result):
        assert_within(replayed, torchs, SINGLE_STEP * result.spec.precision.eps * np.maximum(np.abs(torchs), 1))


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "form", "dtype"), GRID, ids=[f"{name(spec)}-{form}-{dtype}" for spec, form, dtype in GRID])
def test_every_gate_of_every_module(spec: ModuleSpec, form: str, dtype: str) -> None:
    """For every combination of options, signals and formats, replay and torch agree in every gate, state and output."""
    c0 = "random" if spec.has_cell_state else "zeros"
    sources = read_sources(steps=5, h0="random", c0=c0, batch_first=spec.batch_first, **FORMS[form])
    result = run(replace(spec, dtype=dtype), sources, JudgeOptions(capture="on"), seed=spec.num_layers)
    assert_agrees(result)
    assert_every_step_agrees(result)


@pytest.mark.slow
@given(case=cases(dtypes=("float64",)))
@examples(200)
def test_any_double_module_agrees(case: Case) -> None:
    """In float64 any module on any run agrees within 1e-12, step by step and over the whole trajectory."""
    assert_agrees(traced(case))


@pytest.mark.slow
@given(case=cases(dtypes=("float32", "float16", "bfloat16")))
@examples(300)
def test_any_module_of_a_smaller_format_agrees(case: Case) -> None:
    """In the smaller formats any module on any run passes."""
    assert_agrees(traced(case))


@pytest.mark.slow
@given(case=cases(dtypes=("float32", "float64")))
@examples(60)
def test_forced_replay_agrees(case: Case) -> None:
    """The forced replay passes too, and shows the states that each step makes from torch's own."""
    result = run(case.spec, Sources(case.request), JudgeOptions(capture="on", replay="forced"), seed=case.seed)
    assert result.verdict in (Verdict.PASS, Verdict.IDENTICAL)
    for key, values in replay(case.spec, result.weights, result.inputs, known=result.observation.captured).columns.items():
        np.testing.assert_array_equal(result.trace.columns[key], values)


# --- torch.nn called alone --------------------------------------------------------------------------------------------


def called_alone(
    module: Any, x: torch.Tensor, hx: Any = None, lengths: tuple[int, ...] | None = None
) -> dict[str, torch.Tensor]:
    """What torch.nn itself makes of x: output, h_n and c_n in the module's own layout."""
    with torch.no_grad():
        if isinstance(module, nn.RNNCellBase):
            states = [hx]
            for x_t in x:
                states.append(module(x_t, states[-1]))
            final = states[-1]
            output = torch.stack([state[0] if isinstance(state, tuple) else state for state in states[1:]])
        elif lengths is None:
            output, final = module(x, hx)
        else:
            packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=module.batch_first, enforce_sorted=False)
            packed_output, final = module(packed, hx)
            steps = x.shape[1] if module.batch_first else x.shape[0]
            output, _ = pad_packed_sequence(packed_output, batch_first=module.batch_first, total_length=steps)
    finals = dict(zip(("h_n", "c_n"), final, strict=True)) if isinstance(final, tuple) else {"h_n": final}
    return {"output": output, **finals}


def drawn_states(module: Any, batch: tuple[int, ...]) -> Any:
    """Random initial states in torch's shapes; `batch` is (B,), or () for an unbatched sequence."""
    dtype = next(module.parameters()).dtype
    if isinstance(module, nn.RNNCellBase):
        h0, c0 = (torch.randn(*batch, module.hidden_size, dtype=dtype) for _ in "hc")
        return (h0, c0) if isinstance(module, nn.LSTMCell) else h0
    rows = module.num_layers * (2 if module.bidirectional else 1)
    h0 = torch.randn(rows, *batch, module.proj_size or module.hidden_size, dtype=dtype)
    return (h0, torch.randn(rows, *batch, module.hidden_size, dtype=dtype)) if isinstance(module, nn.LSTM) else h0


def assert_same_bits(actual: Array, expected: torch.Tensor) -> None:
    values = expected.detach().numpy()
    assert actual.dtype == values.dtype
    assert actual.shape == values.shape
    assert actual.tobytes() == values.tobytes()


def assert_is_called_alone(result: Result, alone: dict[str, torch.Tensor]) -> None:
    """The framework's side has torch's bits in torch's layout, and the replay is beside it."""
    assert set(result.expected) == set(result.outputs) == set(alone)
    for signal, values in alone.items():
        assert_same_bits(result.expected[signal], values)
        if values.dtype == torch.float64:
            assert_within(result.outputs[signal], values.numpy(), DOUBLE)
    assert result.passed


BUILDS = {
    "RNN": lambda **options: nn.RNN(3, 4, **options),
    "RNN relu stack": lambda **options: nn.RNN(3, 4, num_layers=2, nonlinearity="relu", bidirectional=True, **options),
    "LSTM": lambda **options: nn.LSTM(3, 4, **options),
    "LSTM stack": lambda **options: nn.LSTM(3, 4, num_layers=3, bidirectional=True, **options),
    "LSTM without bias": lambda **options: nn.LSTM(3, 4, num_layers=2, bias=False, **options),
    "LSTM projected": lambda **options: nn.LSTM(3, 4, num_layers=2, proj_size=2, bidirectional=True, **options),
    "GRU": lambda **options: nn.GRU(3, 4, **options),
    "GRU stack": lambda **options: nn.GRU(3, 4, num_layers=3, bidirectional=True, **options),
}
CELL_BUILDS = {
    "RNNCell": lambda **options: nn.RNNCell(3, 4, **options),
    "RNNCell relu": lambda **options: nn.RNNCell(3, 4, nonlinearity="relu", **options),
    "LSTMCell": lambda **options: nn.LSTMCell(3, 4, **options),
    "LSTMCell without bias": lambda **options: nn.LSTMCell(3, 4, bias=False, **options),
    "GRUCell": lambda **options: nn.GRUCell(3, 4, **options),
}
DTYPES_ALONE = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
# What torch says when a projected LSTM is called in float32; rnntrace keeps it to itself.
PROJECTED = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


@PROJECTED
@DTYPES_ALONE
@pytest.mark.parametrize("lengths", [None, (5, 4, 2), (2, 5, 4), (3, 1, 3), (5, 5, 5)])
@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
@pytest.mark.parametrize("build", BUILDS)
def test_outputs_are_torchs_own(build: str, batch_first: bool, lengths: tuple[int, ...] | None, dtype: torch.dtype) -> None:
    """A module called by hand, packed or not, gives the bits and the layout that its trace expects."""
    torch.manual_seed(1)
    module = BUILDS[build](batch_first=batch_first, dtype=dtype).eval()
    x, hx = torch.randn(*((3, 5) if batch_first else (5, 3)), 3, dtype=dtype), drawn_states(module, (3,))
    assert_is_called_alone(rnntrace.trace(module, x, hx, lengths=lengths), called_alone(module, x, hx, lengths))
    assert_is_called_alone(rnntrace.trace(module, x, lengths=lengths), called_alone(module, x, lengths=lengths))


@PROJECTED
@DTYPES_ALONE
@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
@pytest.mark.parametrize("build", BUILDS)
def test_unbatched_outputs_are_torchs_own(build: str, batch_first: bool, dtype: torch.dtype) -> None:
    """So does a module called on one sequence without a batch axis, whether it is batch first or not."""
    torch.manual_seed(2)
    module = BUILDS[build](batch_first=batch_first, dtype=dtype).eval()
    x, hx = torch.randn(5, 3, dtype=dtype), drawn_states(module, ())
    assert_is_called_alone(rnntrace.trace(module, x, hx), called_alone(module, x, hx))
    assert_is_called_alone(rnntrace.trace(module, x), called_alone(module, x))


@DTYPES_ALONE
@pytest.mark.parametrize("batch", [(3,), ()], ids=["batched", "unbatched"])
@pytest.mark.parametrize("build", CELL_BUILDS)
def test_looped_cells_are_torchs_own(build: str, batch: tuple[int, ...], dtype: torch.dtype) -> None:
    """A cell called in a loop over t, each time with its state before, gives what its trace expects."""
    torch.manual_seed(3)
    module = CELL_BUILDS[build](dtype=dtype).eval()
    x, hx = torch.randn(5, *batch, 3, dtype=dtype), drawn_states(module, batch)
    assert_is_called_alone(rnntrace.trace(module, x, hx), called_alone(module, x, hx))
    assert_is_called_alone(rnntrace.trace(module, x), called_alone(module, x))


def test_tensors_arrays_and_lists_are_the_same() -> None:
    """The x and hx of a trace may be tensors, arrays or nested lists: the trace is the same."""
    torch.manual_seed(4)
    module = nn.LSTM(3, 2).double()
    x, (h0, c0) = torch.randn(4, 2, 3).double(), drawn_states(module, (2,))
    tensors = rnntrace.trace(module, x, (h0, c0))
    for convert in (torch.Tensor.numpy, torch.Tensor.tolist):
        result = rnntrace.trace(module, convert(x), (convert(h0), convert(c0)))
        for signal, values in tensors.expected.items():
            np.testing.assert_array_equal(result.expected[signal], values)
            np.testing.assert_array_equal(result.outputs[signal], tensors.outputs[signal])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=["float32", "float16", "bfloat16"])
def test_wider_inputs_are_rounded_to_the_format_of_the_module(dtype: torch.dtype) -> None:
    """Signals in float64 reach torch and the replay alike as the module's format holds them."""
    torch.manual_seed(4)
    module = nn.LSTM(3, 2, dtype=dtype).eval()
    x, h0, c0 = (torch.randn(*shape, dtype=torch.float64) for shape in ((4, 2, 3), (1, 2, 2), (1, 2, 2)))
    result = rnntrace.trace(module, x, (h0, c0))
    for seen, given_signal in ((result.inputs.x, x), (result.inputs.h0, h0), (result.inputs.c0, c0)):
        np.testing.assert_array_equal(seen, given_signal.to(dtype).float().numpy())
    for signal, values in called_alone(module, x.to(dtype), (h0.to(dtype), c0.to(dtype))).items():
        np.testing.assert_array_equal(result.expected[signal], values.float().numpy())


MEMORY = {
    "reversed": lambda x: x[::-1].copy()[::-1],
    "every other step": lambda x: np.repeat(x, 2, axis=0)[::2],
    "column by column": np.asfortranarray,
}


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("build", ["LSTM", "GRU stack", "RNN"])
def test_arrays_may_lie_in_memory_as_they_like(build: str, memory: str) -> None:
    """A view, whatever its strides, is traced like any other array with its values."""
    torch.manual_seed(4)
    module, x = BUILDS[build](dtype=torch.float64), torch.randn(4, 2, 3, dtype=torch.float64)
    array = MEMORY[memory](x.numpy())
    result = rnntrace.trace(module, array)
    np.testing.assert_array_equal(array, x.numpy())
    assert result.passed
    for signal, values in called_alone(module, x).items():
        assert_within(result.expected[signal], values.numpy(), DOUBLE)


# --- the module stays as it was ---------------------------------------------------------------------------------------


def everything_in(module: nn.Module) -> dict[str, Any]:
    """What a trace could leave changed in a module or in torch."""
    return {
        "training": module.training,
        "parameters": {key: value.detach().numpy().tobytes() for key, value in module.named_parameters()},
        "identities": [id(value) for value in module.parameters()],
        "requires_grad": [value.requires_grad for value in module.parameters()],
        "gradients": [value.grad for value in module.parameters()],
        "hooks": [len(module._forward_hooks), len(module._forward_pre_hooks)],
        "attributes": set(vars(module)),
        "generator": torch.get_rng_state().numpy().tobytes(),
        "grad mode": torch.is_grad_enabled(),
        "oneDNN": torch.backends.mkldnn.enabled,
        "threads": torch.get_num_threads(),
    }


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("capture", ["on", "off"])
@pytest.mark.parametrize("build", [*BUILDS, *CELL_BUILDS])
def test_a_trace_leaves_the_module_as_it_was(build: str, capture: str, training: bool) -> None:
    """Training flag, parameters, gradients, torch's generator and global settings are what they were, and x too."""
    torch.manual_seed(5)
    module = (BUILDS | CELL_BUILDS)[build]().train(training)
    x = torch.randn(4, 2, 3)
    before, x_before = everything_in(module), x.clone()
    assert rnntrace.trace(module, x, capture=capture).passed
    assert everything_in(module) == before
    assert torch.equal(x, x_before)


def test_dropout_is_off_in_a_trace_and_on_again_after_it() -> None:
    """A module in training mode is traced as in eval mode, without dropout, and goes on dropping out afterwards."""
    torch.manual_seed(6)
    module = nn.GRU(3, 8, num_layers=2, dropout=0.5).double().train()
    x = torch.randn(4, 2, 3).double()
    result = rnntrace.trace(module, x)
    assert module.training
    assert_is_called_alone(result, called_alone(module.eval(), x))
    dropped = called_alone(module.train(), x)["output"].numpy()
    assert np.abs(dropped - result.expected["output"]).max() > 1e-3


def test_a_failed_run_leaves_the_module_as_it_was() -> None:
    """When torch refuses to run, the training flag and the global settings come back all the same."""
    module, x = nn.GRU(3, 4).train(), torch.randn(4, 2, 3)

    def refuse(*_: object) -> None:
        raise RuntimeError("refused here\nand more")

    module.register_forward_pre_hook(refuse)
    before = everything_in(module)
    with pytest.raises(FrameworkError, match=r"torch could not run GRU in float32: refused here$"):
        rnntrace.trace(module, x)
    assert everything_in(module) == before


# --- stacks and paths -------------------------------------------------------------------------------------------------


def hidden_from(own: dict[Key, Array], layer: int, bidirectional: bool) -> Array:
    directions = ("forward", "reverse")[: 2 if bidirectional else 1]
    return np.concatenate([own[layer, direction, "h"] for direction in directions], axis=2)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", [spec for spec in modules() if spec.num_layers == 3 and spec.bias], ids=name)
def test_layers_run_alone_have_the_bits_of_the_stack(spec: ModuleSpec, form: str) -> None:
    """Each lower layer's h, from that layer run alone, is what the whole stack was seen to compute, to the last bit."""
    sources = read_sources(steps=5, h0="random", batch_first=spec.batch_first, **FORMS[form])
    result = run(spec, sources, JudgeOptions(capture="on"), seed=7)
    assert result.observation.path == result.observation.captured_path == "native"
    lengths = np.array(result.inputs.lengths or [5])
    exists = np.broadcast_to(np.arange(5)[:, None] < lengths, (5, result.inputs.batch))
    for layer, direction in spec.layer_directions:
        alone = result.observation.hidden[layer, direction, "h"]
        in_stack = result.observation.captured[layer, direction, "h"]
        np.testing.assert_array_equal(alone[exists], in_stack[exists])
        assert not alone[~exists].any()


def layer_of(module: Any, layer: int) -> Any:
    """One layer of a stack as a module of its own."""
    directions = 2 if module.bidirectional else 1
    size = module.input_size if layer == 0 else directions * (module.proj_size or module.hidden_size)
    options = {"proj_size": module.proj_size} if isinstance(module, nn.LSTM) else {}
    options |= {"nonlinearity": module.nonlinearity} if isinstance(module, nn.RNN) else {}
    bidirectional, bias, dtype = module.bidirectional, module.bias, next(module.parameters()).dtype
    single = type(module)(size, module.hidden_size, bidirectional=bidirectional, bias=bias, dtype=dtype, **options).eval()
    own = module.state_dict()
    single.load_state_dict({key: own[key.replace("_l0", f"_l{layer}")] for key in single.state_dict()})
    return single


@PROJECTED
@DTYPES_ALONE
@pytest.mark.parametrize("lengths", [None, (2, 5, 4)], ids=["full", "packed"])
@pytest.mark.parametrize("build", ["RNN relu stack", "LSTM stack", "LSTM without bias", "LSTM projected", "GRU stack"])
def test_torchs_layers_one_by_one_give_the_stack(build: str, lengths: tuple[int, ...] | None, dtype: torch.dtype) -> None:
    """Torch's own layers, fed by hand from one to the next, give each layer's hidden states and the output of the stack."""
    torch.manual_seed(8)
    module = BUILDS[build](dtype=dtype).eval()
    x, hx = torch.randn(5, 3, 3, dtype=dtype), drawn_states(module, (3,))
    own = rnntrace.trace(module, x, hx, lengths=lengths).observation.hidden
    directions = 2 if module.bidirectional else 1
    output = x
    for layer in range(module.num_layers):
        rows = slice(layer * directions, (layer + 1) * directions)
        state = tuple(part[rows] for part in hx) if isinstance(hx, tuple) else hx[rows]
        output = called_alone(layer_of(module, layer), output, state, lengths)["output"]
        np.testing.assert_array_equal(hidden_from(own, layer, module.bidirectional), output.numpy())
    np.testing.assert_array_equal(output.numpy(), called_alone(module, x, hx, lengths)["output"].numpy())


class _Seen(TorchDispatchMode):
    """The names of all operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
@PROJECTED
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("lengths", [None, (5, 5, 5), (4, 4, 4), (2, 5, 4)])
@pytest.mark.parametrize("build", BUILDS)
def test_the_path_is_the_one_that_ran(build: str, lengths: tuple[int, ...] | None, dtype: torch.dtype) -> None:
    """The path that a trace names is the one on which the module, called by hand on the same signals, is seen to run."""
    torch.manual_seed(9)
    module = BUILDS[build](dtype=dtype).eval()
    x, hx = torch.randn(5, 3, 3, dtype=dtype), drawn_states(module, (3,))
    with _Seen() as seen:
        called_alone(module, x, hx, lengths)
    path = rnntrace.trace(module, x, hx, lengths=lengths, capture="off").observation.path
    assert path == ("oneDNN" if "mkldnn_rnn_layer" in seen.names else "native")
