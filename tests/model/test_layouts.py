"""torch's weight layout: names, shapes, gate blocks, and telling a module from its parameters."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples, specs

from rnntrace.errors import WeightsError
from rnntrace.model.dtypes import Array
from rnntrace.model.kinds import KINDS
from rnntrace.model.layouts import group_by_module, parameter_shapes, parameters_of, recognise, weights_from_torch
from rnntrace.model.spec import ModuleSpec

# The order of the gate blocks as the documentation of torch.nn.RNN, LSTM and GRU gives it, from the first row down.
DOCUMENTED_ORDER = {"RNN": "h", "LSTM": "ifgo", "GRU": "rzn"}


def torch_module(spec: ModuleSpec, device: str = "meta") -> torch.nn.Module:
    """The module of torch.nn; on the meta device it has shapes and no values."""
    options: dict[str, Any] = {"bias": spec.bias, "device": device}
    if spec.family == "RNN":
        options["nonlinearity"] = spec.nonlinearity
    if not spec.is_cell:
        options |= {"num_layers": spec.num_layers, "bidirectional": spec.bidirectional, "batch_first": spec.batch_first}
    if spec.kind == "LSTM":
        options["proj_size"] = spec.proj_size
    module: torch.nn.Module = getattr(torch.nn, spec.kind)(spec.input_size, spec.hidden_size, **options)
    return module


def numbered(spec: ModuleSpec) -> dict[str, Array]:
    """Parameters of the module in which no two values are equal."""
    found: dict[str, Array] = {}
    start = 0
    for name, tensor in torch_module(spec).state_dict().items():
        found[name] = np.arange(start, start + tensor.numel(), dtype=np.float64).reshape(tensor.shape)
        start += tensor.numel()
    return found


def simple(kind: str = "LSTM", **options: Any) -> ModuleSpec:
    """A module of input size 3 and hidden size 2."""
    return ModuleSpec(kind=kind, input_size=3, hidden_size=2, **options)


# --- names and shapes -------------------------------------------------------------------------------------------------


@given(specs())
@examples(200)
def test_the_parameters_are_torchs(spec: ModuleSpec) -> None:
    """Names, shapes and order are those of the module's state_dict, and their values are counted rightly."""
    state = torch_module(spec).state_dict()
    assert list(parameter_shapes(spec).items()) == [(name, tuple(tensor.shape)) for name, tensor in state.items()]
    assert spec.parameters == sum(tensor.numel() for tensor in state.values())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((kind, {}) for kind in KINDS),
        *((kind, {"num_layers": 3, "bidirectional": True}) for kind in ("RNN", "LSTM", "GRU")),
        ("LSTM", {"proj_size": 7, "num_layers": 4}),
        ("LSTM", {"proj_size": 1, "num_layers": 2, "bidirectional": True}),
    ],
)
def test_the_parameters_of_a_larger_module_are_torchs(kind: str, options: dict[str, Any], bias: bool) -> None:
    """Every kind, with each of its options, beyond the sizes that are drawn."""
    spec = ModuleSpec(kind=kind, input_size=17, hidden_size=11, bias=bias, **options)
    state = torch_module(spec).state_dict()
    assert parameter_shapes(spec) == {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert spec.parameters == sum(tensor.numel() for tensor in state.values())


# --- gate blocks ------------------------------------------------------------------------------------------------------


@given(specs())
@examples(100)
def test_each_gate_gets_its_own_rows(spec: ModuleSpec) -> None:
    """A gate's block is the rows that torch's documentation assigns to it, for every layer and direction."""
    parameters = numbered(spec)
    weights = weights_from_torch(spec, parameters)
    assert tuple(weights.columns) == spec.layer_directions
    order, H = DOCUMENTED_ORDER[spec.family], spec.hidden_size
    for layer, direction in spec.layer_directions:
        suffix = "" if spec.is_cell else f"_l{layer}" + ("_reverse" if direction == "reverse" else "")
        column = weights[layer, direction]
        parts = {"W_ih": "weight_ih", "W_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
        for name, part in parts.items():
            blocks = column.arrays.get(name)
            if blocks is None:
                assert not spec.bias
                assert part.startswith("bias")
                continue
            for gate, block in zip(spec.cell.gates, blocks, strict=True):
                row = order.index(gate) * H
                assert np.array_equal(block, parameters[part + suffix][row : row + H])
        if spec.proj_size:
            assert np.array_equal(column.arrays["W_hr"], parameters["weight_hr" + suffix])
        else:
            assert "W_hr" not in column.arrays


@pytest.mark.parametrize(
    ("spec", "absent"),
    [
        (simple(), "weight_hh_l0"),
        (simple(), "bias_ih_l0"),
        (simple(num_layers=2, bidirectional=True), "weight_ih_l1_reverse"),
        (simple(proj_size=1), "weight_hr_l0"),
        (simple("GRUCell"), "bias_hh"),
    ],
    ids=str,
)
def test_a_missing_parameter_is_named_with_its_shape(spec: ModuleSpec, absent: str) -> None:
    """The message says which parameter the module has, of which shape, and that the weights have none."""
    parameters = numbered(spec)
    shape = parameters.pop(absent).shape
    with pytest.raises(WeightsError) as caught:
        weights_from_torch(spec, parameters)
    assert f"{spec.kind}(3, 2) has a parameter {absent} of shape {shape}, and the weights have none" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "extra"),
    [
        (simple(), "weight_ih_l1"),
        (simple(), "weight_ih_l0_reverse"),
        (simple(), "weight_hr_l0"),
        (simple(bias=False), "bias_ih_l0"),
        (simple("RNNCell"), "weight_ih_l0"),
    ],
    ids=str,
)
def test_a_parameter_too_many_is_named(spec: ModuleSpec, extra: str) -> None:
    """Weights that the module has no place for are refused and not dropped."""
    with pytest.raises(WeightsError) as caught:
        weights_from_torch(spec, {**numbered(spec), extra: np.zeros((2, 2))})
    assert f"the weights have {extra}, which {spec.kind}(3, 2) does not have" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("weight_ih_l0", (3, 8)),
        ("weight_ih_l0", (8, 3, 1)),
        ("weight_hh_l0", (8, 3)),
        ("bias_ih_l0", (8, 1)),
        ("bias_hh_l0", ()),
        ("bias_hh_l0", (0,)),
    ],
)
def test_a_misshaped_parameter_is_named_with_both_shapes(name: str, shape: tuple[int, ...]) -> None:
    """Nothing is transposed, broadcast or squeezed: the message gives the shape that is expected and the one found."""
    parameters = numbered(simple())
    expected = parameters[name].shape
    with pytest.raises(WeightsError) as caught:
        weights_from_torch(simple(), {**parameters, name: np.zeros(shape)})
    assert f"{name} should have shape {expected} for LSTM(3, 2), and has shape {shape}" in str(caught.value)


def test_another_format_changes_the_format_and_nothing_else() -> None:
    """Every array is there in the new format with the same numbers, and what is too large for it is infinite."""
    weights = weights_from_torch(simple("GRU"), numbered(simple("GRU")))
    weights[0, "forward"].W_hh[0, 0, 0] = 1e300
    found = weights.astype(np.dtype(np.float32))
    for mine, theirs in zip(found.arrays, weights.arrays, strict=True):
        assert mine.dtype == np.float32
        assert np.array_equal(mine, np.where(theirs == 1e300, np.inf, theirs))


@given(specs())
@examples(100)
def test_torchs_parameters_come_back_as_they_were(spec: ModuleSpec) -> None:
    """There and back: every parameter under its name with its numbers."""
    parameters = numbered(spec)
    found = parameters_of(spec, weights_from_torch(spec, parameters))
    assert set(found) == set(parameters)
    assert all(np.array_equal(found[name], parameters[name]) for name in found)


# --- telling a module from its parameters -----------------------------------------------------------------------------


@pytest.mark.slow
@given(specs())
@examples(200)
def test_every_module_is_told_from_its_own_parameters(spec: ModuleSpec) -> None:
    """Kind, sizes, layers, directions, biases and projection; what shapes cannot tell is what the docstring says."""
    found = recognise(numbered(spec), spec.dtype)
    nonlinearity = "tanh" if spec.family == "RNN" else None
    assert found == replace(spec, nonlinearity=nonlinearity, batch_first=False, dropout=0.0)


@given(specs(), st.randoms(use_true_random=False))
@examples(50)
def test_the_order_of_the_parameters_does_not_matter(spec: ModuleSpec, random: Any) -> None:
    """A file may hold them in any order."""
    names = list(numbered(spec))
    random.shuffle(names)
    shuffled = {name: numbered(spec)[name] for name in names}
    assert recognise(shuffled, spec.dtype) == recognise(numbered(spec), spec.dtype)


def zeros(**shapes: tuple[int, ...]) -> dict[str, Array]:
    """Parameters of these shapes."""
    return {name: np.zeros(shape) for name, shape in shapes.items()}


WHOLE = {name: tensor.shape for name, tensor in numbered(simple()).items()}

NO_MODULE = [
    (zeros(), ("weight_ih_l0", "none")),
    (zeros(weight_hh_l0=(8, 2)), ("weight_ih_l0", "none")),
    (zeros(weight_ih_l0=(8, 3)), ("weight_hh_l0", "none")),
    (zeros(weight_ih=(8, 3)), ("weight_hh", "none")),
    (zeros(weight_ih_l1=(8, 3), weight_hh_l1=(8, 2)), ("weight_ih_l0", "none")),
    (zeros(weight_ih_l0=(8,), weight_hh_l0=(8,)), ("two dimensions", "(8,)")),
    (zeros(weight_ih_l0=(), weight_hh_l0=()), ("two dimensions", "()")),
    (zeros(weight_ih_l0=(0, 3), weight_hh_l0=(0, 0)), ("weight_ih_l0", "above 0", "(0, 3)")),
    (zeros(weight_ih_l0=(4, 3), weight_hh_l0=(0, 0)), ("weight_hh_l0", "above 0", "(0, 0)")),
    (zeros(weight_ih_l0=(8, 0), weight_hh_l0=(8, 2)), ("above 0", "(8, 0)")),
    (zeros(weight_ih_l0=(4, 3), weight_hh_l0=(4, 2)), ("weight_hh_l0", "(4, 2)", "1 (RNN), 3 (GRU), 4 (LSTM)")),
    (zeros(weight_ih_l0=(7, 3), weight_hh_l0=(7, 2)), ("weight_hh_l0", "(7, 2)", "number of gates")),
    (zeros(weight_ih_l0=(6, 3), weight_hh_l0=(8, 2)), ("weight_ih_l0", "(8, 3)", "(6, 3)")),
    (zeros(**{**WHOLE, "bias_ih_l0": (6,)}), ("bias_ih_l0", "(8,)", "(6,)")),
    (zeros(weight_ih_l0=(8, 3), weight_hh_l0=(8, 2), bias_ih_l0=(8,)), ("bias_hh_l0", "(8,)", "none")),
    (zeros(weight_ih_l0=(8, 3), weight_hh_l0=(8, 2), bias_hh_l0=(8,)), ("bias_hh_l0", "does not have")),
    (zeros(**WHOLE, weight_ih_l1=(8, 2)), ("weight_hh_l1", "none")),
    (zeros(**WHOLE, weight_ih_l2=(8, 2)), ("weight_ih_l1", "none")),
    (zeros(**WHOLE, weight_ih_l0_reverse=(8, 3)), ("weight_hh_l0_reverse", "none")),
    (zeros(**WHOLE, weight_ih=(8, 3)), ("weight_hh", "none")),
    (zeros(**WHOLE, weight_hr_l0=()), ("weight_hr_l0", "()")),
    (zeros(**WHOLE, weight_hr_l0=(2,)), ("weight_hr_l0", "(2,)")),
    (zeros(**WHOLE, weight_hr_l0=(2, 0)), ("weight_hr_l0", "(2, 0)")),
    (zeros(**WHOLE, weight_hr_l0=(0, 2)), ("weight_hr_l0", "(0, 2)")),
    (zeros(**WHOLE, weight_hr_l0=(2, 2)), ("weight_hr_l0 of shape (2, 2)", "below the hidden size 2", "not 2")),
    (zeros(weight_ih_l0=(12, 3), weight_hh_l0=(12, 1), weight_hr_l0=(1, 4)), ("weight_hr_l0 of shape (1, 4)", "GRU")),
    (zeros(weight_ih=(8, 3), weight_hh=(8, 1), weight_hr=(1, 2)), ("weight_hr of shape (1, 2)", "LSTMCell")),
    (zeros(**WHOLE, weight_ih_l5000=(8, 2)), ("5001 layers", "1,000")),
]


@pytest.mark.parametrize(
    ("parameters", "fragments"), NO_MODULE, ids=[str({name: a.shape for name, a in p.items()}) for p, _ in NO_MODULE]
)
def test_parameters_that_make_no_module_are_refused(parameters: Mapping[str, Array], fragments: tuple[str, ...]) -> None:
    """The message names the parameter at fault, what was expected of it and what it is."""
    with pytest.raises(WeightsError) as caught:
        recognise(parameters, "float32")
    assert [fragment for fragment in fragments if fragment not in str(caught.value)] == [], str(caught.value)


@given(
    st.dictionaries(
        st.sampled_from(
            [part + suffix for part in ("weight_ih", "weight_hh", "bias_ih", "weight_hr") for suffix in ("", "_l0")]
        ),
        st.lists(st.integers(0, 4), max_size=3).map(tuple),
    )
)
@examples(200)
def test_any_shapes_are_a_module_or_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    """Whatever a file calls weight_ih_l0, the answer is a specification or a WeightsError."""
    try:
        found = recognise(zeros(**shapes), "float32")
    except WeightsError:
        return
    assert parameter_shapes(found) == shapes


# --- which tensors belong to a module ---------------------------------------------------------------------------------


def test_tensors_are_sorted_by_the_module_they_belong_to() -> None:
    """The prefix names the module; everything that is no parameter of a recurrent module is left aside."""
    names = [
        "weight_ih_l0",
        "encoder.lstm.weight_ih_l0",
        "encoder.lstm.weight_hh_l0_reverse",
        "encoder.lstm.weight_hr_l12",
        "decoder.cell.weight_ih",
        "decoder.cell.bias_hh",
        "conv.weight",
        "linear.bias",
        "lstm.weight_ih_l0_backward",
        "lstm.my_weight_ih_l0",
        "lstm.weight_ih_l0.extra",
        "weight_ih_l",
        "weight_hh_l0_reverse_reverse",
        "",
    ]
    assert group_by_module(names) == {
        "": ["weight_ih_l0"],
        "encoder.lstm.": ["weight_ih_l0", "weight_hh_l0_reverse", "weight_hr_l12"],
        "decoder.cell.": ["weight_ih", "bias_hh"],
    }


@given(st.text(max_size=12))
@examples(100)
def test_any_prefix_is_kept_as_it_is(prefix: str) -> None:
    """A prefix may be any text: it comes back letter by letter, so that the module can be asked for by it."""
    prefix = prefix and prefix + "."
    name = prefix + "weight_ih_l0"
    assert group_by_module([name]) == {prefix: ["weight_ih_l0"]}
