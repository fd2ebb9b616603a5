"""Signals and weights are the same from every format that is read."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from commandline import document
from formats import NAMED, UNNAMED, drawn, lstm, parameters, pt_bytes, single
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

import rnntrace
from rnntrace.files import read_tensors

pytestmark = pytest.mark.usefixtures("folder")

EVERY_FORMAT = [*NAMED, *(how for how in UNNAMED if how != "csv")]


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", EVERY_FORMAT)
def test_x_is_the_same_from_every_format(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file with one array, whatever its name and format, gives the run that the same numbers typed in give."""
    x = drawn(5, 2, 3)
    Path("x").write_bytes(single(how, x))
    assert document(capsys, "lstm", "--input", "x") == document(capsys, "lstm", "--input", json.dumps(x.tolist()))


@pytest.mark.parametrize("how", [*EVERY_FORMAT, "csv"])
def test_unbatched_x_is_the_same_from_every_format(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A table of numbers is (time, input), from .csv as well."""
    x = drawn(5, 3)
    Path("x").write_bytes(single(how, x))
    found = document(capsys, "gru", "--input", "x")
    assert found["inputs"]["x"] == x.tolist()
    assert found == document(capsys, "gru", "--input", json.dumps(x.tolist()))


@pytest.mark.parametrize("how", NAMED)
def test_all_four_signals_are_the_same_from_every_format(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The keys x, h0, c0 and lengths are read from one file."""
    signals = {"x": drawn(5, 2, 3), "h0": drawn(1, 2, 2), "c0": -drawn(1, 2, 2), "lengths": np.array([3.0, 5.0])}
    Path("signals").write_bytes(NAMED[how](signals))
    typed = json.dumps({name: array.tolist() for name, array in signals.items()})
    found = document(capsys, "lstm", "--input", "signals")
    assert found["inputs"] == json.loads(typed)
    assert found == document(capsys, "lstm", "--input", typed)


@pytest.mark.parametrize("how", ["pt", "safetensors", "npz"])
def test_lengths_may_be_integers(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lengths in a file are integers of some size as a rule."""
    for integers in (np.int64, np.int32, np.uint8):
        Path("signals").write_bytes(NAMED[how]({"x": drawn(5, 2, 3), "lengths": np.array([3, 5], integers)}))
        assert document(capsys, "rnn", "--input", "signals")["inputs"]["lengths"] == [3, 5], integers


@pytest.mark.parametrize("how", EVERY_FORMAT)
def test_initial_states_are_the_same_from_every_format(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--h0 and --c0 take a file in each format or JSON."""
    h0, c0 = drawn(1, 1, 2), -drawn(1, 1, 2)
    Path("h").write_bytes(single(how, h0))
    Path("c").write_bytes(single(how, c0))
    found = document(capsys, "lstm", "--h0", "h", "--c0", "c")
    assert (found["inputs"]["h0"], found["inputs"]["c0"]) == (h0.tolist(), c0.tolist())
    assert found == document(capsys, "lstm", "--h0", json.dumps(h0.tolist()), "--c0", json.dumps(c0.tolist()))


def test_states_are_picked_by_name_from_a_file_of_many(capsys: pytest.CaptureFixture[str]) -> None:
    """--h0 takes h0 and --c0 takes c0 where a file holds more than one array."""
    Path("states").write_bytes(NAMED["npz"]({"h0": drawn(1, 1, 2), "c0": -drawn(1, 1, 2), "other": drawn(7)}))
    found = document(capsys, "lstm", "--h0", "states", "--c0", "states")
    assert found["inputs"]["h0"] == drawn(1, 1, 2).tolist()
    assert found["inputs"]["c0"] == (-drawn(1, 1, 2)).tolist()


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n4,5,6\n",
        "1,2,3\r\n4,5,6\r\n",
        "1,2,3\n4,5,6",
        "\n1,2,3\n\n4,5,6\n\n",
        "a,b,c\n1,2,3\n4,5,6\n",
        ' 1, 2, 3\n"4","5","6"\n',
        "1.0,2e0,+3\n4,5,6\n",
        "\ufeff1,2,3\n4,5,6\n",
        "\ufeffa,b,c\n1,2,3\n4,5,6\n",
    ],
)
def test_csv_is_read_as_spreadsheets_write_it(text: str) -> None:
    """Line ends, blank lines, headings, quotes and a byte order mark make no difference."""
    Path("x.csv").write_text(text, encoding="utf-8", newline="")
    assert read_tensors(Path("x.csv")).arrays[""].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_no_row_is_lost_to_a_byte_order_mark() -> None:
    """A single column of numbers behind a byte order mark has no heading."""
    Path("x.csv").write_text("\ufeff1\n2\n3\n", encoding="utf-8")
    assert read_tensors(Path("x.csv")).arrays[""].tolist() == [[1], [2], [3]]


def test_json_is_read_behind_a_byte_order_mark() -> None:
    """As some editors write it."""
    Path("x.json").write_text("\ufeff[[1, 2], [3, 4]]", encoding="utf-8")
    assert read_tensors(Path("x.json")).arrays[""].tolist() == [[1, 2], [3, 4]]


@given(st.lists(st.lists(st.floats(), min_size=2, max_size=2), min_size=1, max_size=4))
@examples(50)
def test_any_numbers_survive_text(rows: list[list[float]]) -> None:
    """Every double, NaN and infinities included, is read from JSON and CSV as it was written."""
    Path("x.json").write_text(json.dumps(rows))
    Path("x.csv").write_text("\n".join(",".join(map(repr, row)) for row in rows))
    for name in ("x.json", "x.csv"):
        found = read_tensors(Path(name)).arrays[""]
        assert np.array_equal(found, np.array(rows), equal_nan=True)
        assert np.array_equal(np.signbit(found), np.signbit(np.array(rows))) or np.isnan(found).any()


@pytest.mark.parametrize("how", NAMED)
def test_a_format_is_known_by_its_content(how: str) -> None:
    """The suffix says nothing: a .pt named .npz is read as what it is."""
    for name in ("x.pt", "x.npz", "x.npy", "x.csv", "x.json", "x.safetensors", "x.txt", "x"):
        Path(name).write_bytes(NAMED[how]({"x": drawn(2, 1, 3)}))
        assert np.array_equal(read_tensors(Path(name)).arrays["x"], drawn(2, 1, 3)), name


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", NAMED)
def test_weights_are_the_same_from_every_format(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A state_dict in any format gives the outputs of the module it was taken from."""
    module = lstm(num_layers=2, bidirectional=True)
    Path("weights").write_bytes(NAMED[how](parameters(module)))
    x = drawn(5, 1, 3)
    flags = ("lstm", "--layers", "2", "--bidirectional", "--weights", "weights", "--input", json.dumps(x.tolist()))
    expected = module(torch.from_numpy(x))[0].detach().numpy()
    assert np.allclose(document(capsys, *flags)["outputs"]["output"], expected, atol=1e-6)


@pytest.mark.parametrize("how", ["pt", "old pt", "safetensors", "npz", "compressed npz"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_weights_keep_their_format(how: str, dtype: str) -> None:
    """The specification names the format of the file, and not a bit of a weight is lost."""
    module = lstm(getattr(torch, dtype))
    Path("weights").write_bytes(NAMED[how](parameters(module)))
    ((prefix, (spec, weights)),) = rnntrace.load("weights").items()
    assert (prefix, spec.kind, spec.input_size, spec.hidden_size, spec.dtype) == ("", "LSTM", 3, 2, dtype)
    assert weights[0, "forward"].W_hh.dtype == (np.float64 if dtype == "float64" else np.float32)
    assert np.array_equal(weights[0, "forward"].W_hh.reshape(8, 2), module.weight_hh_l0.detach().numpy())


@pytest.mark.parametrize("how", ["pt", "old pt", "safetensors"])
def test_bfloat16_weights_are_read_to_the_last_bit(how: str) -> None:
    """The half type that numpy does not have, with values that are not numbers among them."""
    state = lstm(torch.bfloat16).state_dict()
    state["bias_ih_l0"][:4] = torch.tensor([torch.inf, -torch.inf, torch.nan, 1e-40])
    if how == "safetensors":
        safetensors.torch.save_file(state, "weights")
    else:
        torch.save(state, "weights", _use_new_zipfile_serialization=how == "pt")
    ((spec, weights),) = rnntrace.load("weights").values()
    assert spec.dtype == "bfloat16"
    for name, part in (("W_ih", "weight_ih_l0"), ("b_ih", "bias_ih_l0")):
        mine, theirs = weights[0, "forward"].arrays[name], state[part].float().numpy()
        assert np.array_equal(mine.reshape(theirs.shape), theirs, equal_nan=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("how", ["pt", "safetensors"])
def test_half_weights_run_in_their_own_format(dtype: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What torch computes from the file in the half type is what is shown as expected."""
    module = lstm(getattr(torch, dtype))
    state = module.state_dict()
    Path("weights").write_bytes(pt_bytes(state) if how == "pt" else safetensors.torch.save(state))
    x = drawn(3, 1, 3)
    found = document(capsys, "lstm", "--weights", "weights", "--dtype", dtype, "--input", json.dumps(x.tolist()))
    with torch.no_grad():
        expected = module(torch.from_numpy(x).to(getattr(torch, dtype)))[0]
    assert found["expected"]["output"] == expected.float().tolist()
