"""What a .pt holds beside tensors: numpy's arrays are read as numpy would, by none of its functions that trust a file."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused
from formats import lstm, old_pt_bytes, pt_bytes

import rnntrace
from rnntrace.files import read_tensors
from rnntrace.files.pt_beside import PLAIN, StoredArray, StoredDtype

pytestmark = [pytest.mark.usefixtures("folder"), pytest.mark.slow]

ARRAYS = {
    "one axis": np.arange(6.0),
    "in columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "turned": np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
    "backwards": np.arange(6.0)[::-2],
    "big-endian": np.arange(6).astype(">f4"),
    "no axis": np.array(2.5),
    "nothing": np.zeros((0, 3)),
    "not a number": np.array([np.nan, np.inf, -0.0]),
    "long": np.random.default_rng(0).standard_normal(5_000),
    **{code: np.arange(4).astype(code) for code in sorted(PLAIN)},
}


@pytest.mark.parametrize("write", [pt_bytes, old_pt_bytes])
@pytest.mark.parametrize("name", ARRAYS)
def test_a_plain_array_is_read(name: str, write: Any) -> None:
    """Every order and format, value by value, with its dtype's name."""
    Path("a.pt").write_bytes(write({"a": ARRAYS[name], "b": torch.zeros(1)}))
    found = read_tensors(Path("a.pt"))
    np.testing.assert_array_equal(found.arrays["a"], ARRAYS[name].astype(float))
    assert found.arrays["a"].dtype in (np.float32, np.float64)
    assert found.dtypes["a"] == ARRAYS[name].dtype.name


@pytest.mark.parametrize(
    "strange",
    [
        np.array(["a"]),
        np.array([1, None], object),
        np.zeros(2, [("a", "f4")]),
        np.zeros(2, complex),
        np.zeros(2, "M8[s]"),
        np.zeros(2, "m8[D]"),
        np.zeros(2, "V4"),
        np.zeros(2, "S4"),
        np.zeros(2, np.dtype("f4", metadata={"a": 1})),
    ],
    ids=lambda strange: str(strange.dtype)[:20],
)
def test_another_array_is_named_only_where_it_is_needed(strange: Any) -> None:
    """Beside weights it does no harm."""
    Path("a.pt").write_bytes(pt_bytes({"a": strange, **lstm().state_dict()}))
    assert read_tensors(Path("a.pt")).refused == {"a": "an array of numpy that is not of plain numbers"}
    assert [*rnntrace.load("a.pt")] == [""]


def test_a_checkpoint_with_numbers_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    """As people save the best loss and their command line; these are no tensors, and the weights may be numpy's own."""
    state = {name: tensor.numpy() for name, tensor in lstm().state_dict().items()}
    flags = argparse.Namespace(lr=0.1, layers=[1, 2], weights=torch.zeros(3))
    content = {
        "model": state,
        "args": flags,
        "best": np.float64(0.5),
        "epoch": np.int64(3),
        "losses": [np.float32(1)],
        "name": np.str_("a"),
    }
    Path("a.pt").write_bytes(pt_bytes(content))
    x = torch.randn(4, 1, 3)
    np.savez("x.npz", x=x.numpy())
    with torch.no_grad():
        output = lstm()(x)[0].numpy()
    np.savez("y.npz", output=output)
    given = ("--input", "x.npz", "--expected", "y.npz", "-q")
    assert ask(capsys, "compare", "a.pt", *given).code == 0
    assert "1 recurrent module · 0 other tensors" in ask(capsys, "inspect", "a.pt").out
    state["weight_hh_l0"][0, 0] += 0.3
    Path("a.pt").write_bytes(pt_bytes(content))
    assert ask(capsys, "compare", "a.pt", *given).code == 1


def test_what_else_numpy_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """By name, such as the state of a generator; and what the process allowed torch itself is neither used nor lost."""
    Path("a.pt").write_bytes(pt_bytes({"model": lstm().state_dict(), "rng": np.random.default_rng(0)}))
    with torch.serialization.safe_globals([np.dtype, np.ndarray, Path]):
        before = {*torch.serialization.get_safe_globals()}
        assert all_in(("more than weights", "numpy.random._pickle"), refused(capsys, "compare", "a.pt"))
        assert {*torch.serialization.get_safe_globals()} == before
        Path("b.pt").write_bytes(pt_bytes({"model": lstm().state_dict(), "path": Path("a"), "loss": np.ones(2)}))
        assert "pathlib" in refused(capsys, "compare", "b.pt")
        Path("c.pt").write_bytes(pt_bytes({"model": lstm().state_dict(), "loss": np.ones(2)}))
        assert [*rnntrace.load("c.pt")] == ["model"]


def test_no_function_of_numpys_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its dtype nor its array takes a state from a file."""
    Path("a.pt").write_bytes(pt_bytes({"a": np.ones(3, ">f4"), "b": np.float64(1), "w": torch.zeros(1)}))
    for name in ("scalar", "_reconstruct"):
        monkeypatch.setattr(f"numpy._core.multiarray.{name}", pytest.fail)
    assert [*read_tensors(Path("a.pt")).arrays] == ["a", "w"]


def test_stand_ins_see_what_numpy_writes() -> None:
    """The state of every plain dtype of this numpy is the one that is expected, or nothing of it would be read."""
    for code in PLAIN:
        _, arguments, state = np.dtype(code).__reduce__()
        stored = StoredDtype(*arguments)
        stored.__setstate__(state)
        assert np.dtype(stored.code) == np.dtype(code)
    assert StoredArray(np.ndarray, (2,), b"b").strange == "an array of numpy without its values"
