"""What a recurrent module may be: kinds, sizes, options, limits, and what is said about one that cannot exist."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from rnntrace.errors import RnnTraceError, SpecError
from rnntrace.model.dtypes import DTYPES
from rnntrace.model.kinds import KINDS, command_name, parse_kind
from rnntrace.model.limits import MAX_LAYERS, MAX_PARAMETERS
from rnntrace.model.spec import ModuleSpec

SPELLINGS = {
    "RNN": ("rnn", "RNN", "Rnn"),
    "LSTM": ("lstm", "LSTM"),
    "GRU": ("gru", "GRU"),
    "RNNCell": ("rnn-cell", "rnn_cell", "RNNCell", "rnncell", "RNN-CELL"),
    "LSTMCell": ("lstm-cell", "lstm_cell", "LSTMCell"),
    "GRUCell": ("gru-cell", "gru_cell", "GRUCell"),
}


def spec(kind: str = "LSTM", **options: Any) -> ModuleSpec:
    """A module of input size 3 and hidden size 2, unless said otherwise."""
    return ModuleSpec(**{"kind": kind, "input_size": 3, "hidden_size": 2, **options})


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in SPELLINGS.items() for text in texts])
def test_a_kind_is_known_in_every_spelling(kind: str, text: str) -> None:
    """A kind may be typed as torch writes it or as the command line does, in any case."""
    assert parse_kind(text) == kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line_name_of_a_kind_leads_back_to_it(kind: str) -> None:
    """What is printed as a kind's name can be typed."""
    assert parse_kind(command_name(kind)) == kind


@pytest.mark.parametrize("text", ["", "lst", "lstm cell", "transformer", "cell", "lstm-cell-cell", "LSTM\n"])
def test_an_unknown_kind_is_named_beside_those_there_are(text: str) -> None:
    """The message repeats what was typed and lists every kind."""
    with pytest.raises(SpecError) as caught:
        parse_kind(text)
    assert repr(text) in str(caught.value)
    assert all(command_name(kind) in str(caught.value) for kind in KINDS)


IMPOSSIBLE = [
    ({"kind": "Lstm"}, ("'Lstm'", "LSTM", "GRUCell")),
    ({"input_size": 0}, ("input size", "at least 1", "not 0")),
    ({"input_size": -2}, ("input size", "at least 1", "not -2")),
    ({"hidden_size": 0}, ("hidden size", "at least 1", "not 0")),
    ({"hidden_size": -1}, ("hidden size", "at least 1", "not -1")),
    ({"num_layers": 0}, ("number of layers", "at least 1", "not 0")),
    ({"num_layers": -7}, ("number of layers", "at least 1", "not -7")),
    ({"num_layers": MAX_LAYERS + 1}, ("1001 layers", "limit of 1,000", "RNNTRACE_MAX_LAYERS")),
    ({"num_layers": 10**30}, ("layers", "limit of 1,000", "RNNTRACE_MAX_LAYERS")),
    ({"dtype": "float8"}, ("'float8'", "float64, float32, float16, bfloat16")),
    ({"dtype": "int64"}, ("'int64'", "float32")),
    ({"nonlinearity": "tanh"}, ("`nonlinearity`", "RNN and RNNCell", "LSTM", "leave it out")),
    ({"kind": "GRUCell", "nonlinearity": "relu"}, ("`nonlinearity`", "RNN and RNNCell", "GRUCell", "leave it out")),
    ({"kind": "RNN", "nonlinearity": "gelu"}, ("'gelu'", "sigmoid, tanh, relu")),
    ({"kind": "RNNCell", "nonlinearity": ""}, ("''", "sigmoid, tanh, relu")),
    ({"proj_size": 2}, ("projection size", "below the hidden size 2", "not 2")),
    ({"proj_size": 3}, ("projection size", "below the hidden size 2", "not 3")),
    ({"proj_size": -1}, ("projection size", "at least 0", "not -1")),
    ({"hidden_size": 1, "proj_size": 1}, ("projection size", "below the hidden size 1", "not 1")),
    ({"kind": "GRU", "proj_size": 1}, ("`proj_size`", "LSTM alone", "GRU", "leave it out")),
    ({"kind": "RNN", "proj_size": 1}, ("`proj_size`", "LSTM alone", "RNN", "leave it out")),
    ({"kind": "LSTMCell", "proj_size": 1}, ("`proj_size`", "LSTM alone", "LSTMCell", "leave it out")),
    ({"dropout": 1.5}, ("dropout", "between 0 and 1", "not 1.5")),
    ({"dropout": -0.1}, ("dropout", "between 0 and 1", "not -0.1")),
    ({"dropout": float("nan")}, ("dropout", "between 0 and 1", "not nan")),
    ({"kind": "LSTMCell", "num_layers": 2}, ("`num_layers`", "LSTMCell", "use LSTM instead")),
    ({"kind": "GRUCell", "bidirectional": True}, ("`bidirectional`", "GRUCell", "use GRU instead")),
    ({"kind": "RNNCell", "batch_first": True}, ("`batch_first`", "RNNCell", "use RNN instead")),
    ({"kind": "LSTMCell", "dropout": 0.5}, ("`dropout`", "LSTMCell", "use LSTM instead")),
    ({"hidden_size": 10**6}, ("4,000,020,000,000 parameters", "limit of 268,435,456", "smaller")),
    ({"input_size": 10**30}, ("parameters", "limit of 268,435,456", "smaller")),
]


@pytest.mark.parametrize(("options", "fragments"), IMPOSSIBLE, ids=[str(options) for options, _ in IMPOSSIBLE])
def test_a_module_that_cannot_exist_is_refused(options: dict[str, Any], fragments: tuple[str, ...]) -> None:
    """The message is one line that says what was expected, what was found and what to do."""
    with pytest.raises(SpecError) as caught:
        spec(**options)
    message = str(caught.value)
    assert [fragment for fragment in fragments if fragment not in message] == [], message
    assert message.isprintable()


def test_a_refusal_is_also_the_builtin_a_caller_would_catch() -> None:
    """SpecError is a ValueError and one of this library's own errors."""
    with pytest.raises(ValueError, match="hidden size"):
        spec(hidden_size=0)
    with pytest.raises(RnnTraceError, match="hidden size"):
        spec(hidden_size=0)


def test_columns_stand_in_the_order_of_h_n() -> None:
    """The rows of torch's h_n are layer by layer, forward before reverse."""
    assert spec(num_layers=2, bidirectional=True).layer_directions == (
        (0, "forward"),
        (0, "reverse"),
        (1, "forward"),
        (1, "reverse"),
    )
    assert spec(num_layers=2).layer_directions == ((0, "forward"), (1, "forward"))


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, (3, 2, 2)),
        ({"bidirectional": True}, (3, 4, 4)),
        ({"hidden_size": 5, "proj_size": 2}, (3, 2, 2)),
        ({"hidden_size": 5, "proj_size": 2, "bidirectional": True}, (3, 4, 4)),
    ],
)
def test_a_layer_reads_every_direction_of_the_one_below(options: dict[str, Any], sizes: tuple[int, ...]) -> None:
    """The first layer reads x; those above read h of the layer below, of both directions if there are two."""
    found = spec(num_layers=3, **options)
    assert tuple(found.layer_input_size(layer) for layer in range(3)) == sizes


@pytest.mark.parametrize("kind", ["RNN", "RNNCell"])
def test_an_rnn_has_tanh_unless_it_is_told_otherwise(kind: str) -> None:
    """torch's default activation is filled in, and relu picks another declaration of the cell."""
    assert spec(kind).nonlinearity == "tanh"
    assert spec(kind).cell.title == "RNN with tanh"
    assert spec(kind, nonlinearity="relu").cell.title == "RNN with ReLU"


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "LSTMCell", "GRUCell"])
def test_other_kinds_have_no_nonlinearity(kind: str) -> None:
    """A kind with fixed activations has None."""
    assert spec(kind).nonlinearity is None


@pytest.mark.parametrize(
    ("options", "gates", "symbols"),
    [
        ({"kind": "RNN"}, ("h",), ("h",)),
        ({"kind": "LSTM"}, ("i", "f", "g", "o"), ("i", "f", "g", "o", "c", "h")),
        ({"kind": "LSTM", "proj_size": 1}, ("i", "f", "g", "o"), ("i", "f", "g", "o", "c", "h")),
        ({"kind": "GRU"}, ("r", "z", "n"), ("r", "z", "n", "h")),
        ({"kind": "GRU", "reset_after": False}, ("r", "z", "n"), ("r", "z", "n", "h")),
    ],
)
def test_a_module_repeats_the_cell_of_its_kind(
    options: dict[str, Any], gates: tuple[str, ...], symbols: tuple[str, ...]
) -> None:
    """Gates and quantities of the declaration are those of the kind, for layers and cells alike."""
    found = spec(**options)
    assert (found.cell.gates, found.cell.symbols) == (gates, symbols)
    if not found.proj_size:
        cell = spec(**{**options, "kind": options["kind"] + "Cell"})
        assert cell.cell is found.cell


def test_the_largest_modules_are_allowed_and_one_more_is_not() -> None:
    """Both limits are met exactly: an RNN without biases has I + 1 parameters for one unit."""
    assert spec(num_layers=MAX_LAYERS).num_layers == MAX_LAYERS
    assert spec("RNN", hidden_size=1, bias=False, input_size=MAX_PARAMETERS - 1).parameters == MAX_PARAMETERS
    with pytest.raises(SpecError, match="limit of 268,435,456"):
        spec("RNN", hidden_size=1, bias=False, input_size=MAX_PARAMETERS)


@given(st.sampled_from(KINDS), st.integers(-(2**70), 0), st.sampled_from(["input_size", "hidden_size", "num_layers"]))
@examples(60)
def test_no_size_below_one_is_accepted(kind: str, size: int, name: str) -> None:
    """Whatever the kind, a size of zero or less is refused with the size in the message."""
    with pytest.raises(SpecError, match=f"not {size}$"):
        spec(kind, **{name: size})


@pytest.mark.parametrize("name", DTYPES)
def test_the_gap_after_one_is_torchs(name: str) -> None:
    """Each format's eps is the one of torch.finfo, and the replay computes at least as finely."""
    dtype = DTYPES[name]
    assert dtype.eps == torch.finfo(getattr(torch, name)).eps
    assert torch.finfo(getattr(torch, dtype.replay.name)).eps <= dtype.eps
    assert spec(dtype=name).precision is dtype


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "LSTM"}, "LSTM(3, 2)"),
        ({"kind": "GRUCell"}, "GRUCell(3, 2)"),
        ({"kind": "RNN", "nonlinearity": "relu", "bias": False}, "RNN(3, 2, bias=False, nonlinearity='relu')"),
        ({"kind": "LSTM", "num_layers": 2, "proj_size": 1}, "LSTM(3, 2, num_layers=2, proj_size=1)"),
        ({"kind": "GRU", "reset_after": False, "dtype": "float64"}, "GRU(3, 2, dtype='float64', reset_after=False)"),
    ],
)
def test_a_spec_is_written_as_torch_writes_it(options: dict[str, Any], text: str) -> None:
    """Only what is not as usual is said."""
    assert str(ModuleSpec(input_size=3, hidden_size=2, **options)) == text
