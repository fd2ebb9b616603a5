"""What arrays may be in which nothing is recognised: they are listed, with the reading that their shapes tell."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import ESCAPED, EVIL, all_in, refused

from rnntrace.equations.cells import CELLS
from rnntrace.model.likely import likely

pytestmark = pytest.mark.usefixtures("folder")

GATED = {cell.kind: len(cell.gates) for cell in CELLS if len(cell.gates) > 1}


@pytest.mark.parametrize("kind", GATED)
def test_each_layout_is_told(kind: str) -> None:
    """Of sizes that fit nothing else, whichever array comes first."""
    G, I, H = GATED[kind], 5, 7
    layouts = {
        ((G * H, I), (G * H, H)): ("torch's weight_ih and weight_hh", "see `names`"),
        ((I, G * H), (H, G * H)): ("a Keras kernel and recurrent_kernel", "pass `layout=keras`"),
        ((2, G * H, I), (2, G * H, H)): ("ONNX's W and R", "pass `layout=onnx`"),
    }
    for (W, U), (words, advice) in layouts.items():
        expected = f"{W} and {U} look like {words} of {kind}({I}, {H}): {advice}"
        assert likely({"a": W, "b": (G * H,), "c": U}) == likely({"c": U, "a": W}) == expected


def test_two_readings_are_both_told() -> None:
    """Where sizes do not tell which is which."""
    assert likely({"a": (12, 3), "b": (12, 4)}) == (
        "(12, 3) and (12, 4) look like torch's weight_ih and weight_hh of GRU(3, 4): see `names` or "
        "(12, 4) and (12, 3) look like torch's weight_ih and weight_hh of LSTM(4, 3): see `names`"
    )


@pytest.mark.parametrize(
    "shapes",
    [
        [],
        [(3, 4)],
        [(10, 3), (10, 4)],
        [(4, 3), (4, 4)],
        [(3, 16), (4, 12)],
        [(16,), (16, 4)],
        [(0, 0), (0, 0)],
        [(3, 16, 3), (3, 16, 4)],
        [(1, 16, 3), (16, 4)],
        [(1, 1, 1, 1), (1, 1, 1, 1)],
    ],
)
def test_nothing_is_told_where_nothing_fits(shapes: list[tuple[int, ...]]) -> None:
    """Two dense layers above all, which look like a plain RNN."""
    assert likely({str(number): shape for number, shape in enumerate(shapes)}) == ""


def test_the_error_lists_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """In .npz, .pt and typed JSON; names are fit to print, and many are counted."""
    arrays = {"kernel": np.zeros((3, 16)), "recurrent": np.zeros((4, 16)), "bias": np.zeros(16)}
    says = (
        "holds no recurrent module",
        "it holds kernel (3, 16), recurrent (4, 16), bias (16,): ",
        "(3, 16) and (4, 16) look like a Keras kernel and recurrent_kernel of LSTM(3, 4): pass --layout keras",
    )
    np.savez("w.npz", **arrays)
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, "w.pt")
    for source in ("w.npz", "w.pt", json.dumps({name: array.tolist() for name, array in arrays.items()})):
        for command in ("compare", "inspect") if Path(source[:9]).is_file() else ("compare",):
            assert all_in(says, refused(capsys, command, source))
    np.savez("w.npz", **{f"{EVIL}{number}" * 20: np.zeros((1,) * 32) for number in range(50)})
    assert all_in((ESCAPED, " and 44 more"), refused(capsys, "compare", "w.npz"))
    np.save("w.npy", np.zeros((3, 16)))
    assert refused(capsys, "compare", "w.npy").endswith("; it holds one (3, 16)")
    np.savez("w.npz", a=np.array(["a"]))
    assert refused(capsys, "compare", "w.npz").endswith("to say which they are")
