"""What a file holds beside the recurrent weights: it belongs to the module, or is named, or is left out on purpose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused

import rnntrace
from rnntrace.model.dtypes import Array

pytestmark = pytest.mark.usefixtures("folder")

H, I = 4, 3


def state(module: torch.nn.Module | None = None) -> dict[str, Array]:
    """The parameters of a module; of an LSTM(3, 4), if none is given."""
    torch.manual_seed(0)
    module = module or torch.nn.LSTM(I, H)
    return {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}


def saved(**arrays: Any) -> Path:
    """An .npz of these arrays."""
    np.savez("w.npz", **arrays)
    return Path("w.npz")


# --- what is left out on purpose --------------------------------------------------------------------------------------


def test_what_is_ignored_is_left_out_of_every_file(capsys: pytest.CaptureFixture[str]) -> None:
    """In the weights, the input and the expected outputs, by full names, upper and lower case apart."""
    x = np.random.default_rng(0).standard_normal((5, 1, I)).astype("f4")
    module = torch.nn.LSTM(I, H)
    with torch.no_grad():
        weights = state(module)
        output = module(torch.from_numpy(x))[0].numpy()
    saved(
        **{"lstm." + name: array for name, array in weights.items()}, **{"other." + name: 2 * a for name, a in weights.items()}
    )
    np.savez("x.npz", first=x, second=x + 1)
    np.savez("y.npz", mine=output, theirs=output + 1)
    arguments = ("w.npz", "--input", "x.npz", "--expected", "y.npz", "-q")
    wanted = ("--ignore", "other.*", "--ignore", "second", "--ignore", "their?")
    assert ask(capsys, "compare", *arguments, *wanted).code == 0
    assert ask(capsys, "diagnose", *arguments, *wanted).code == 0
    assert ask(capsys, "compare", *arguments, *wanted[:4], "--ignore", "mine").code == 1
    assert refused(capsys, "compare", *arguments, *wanted[:4])
    assert refused(capsys, "compare", *arguments, *wanted[2:])
    assert "'Their?' fits nothing: did you mean theirs?" in refused(
        capsys, "compare", *arguments, *wanted, "--ignore", "Their?"
    )
    assert [*rnntrace.load("w.npz", ignore=["other.*"])] == ["lstm"]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [("bais_*", "did you mean bias_"), ("LN_*", "the files hold weight_ih_l0, "), ("weight_ih", "did you mean weight_ih_l0?")],
)
def test_a_pattern_that_fits_nothing_is_refused_with_what_is_near(
    pattern: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name misspelt is no permission to judge what it was to leave out."""
    path = saved(**state())
    for command in ("inspect", "compare"):
        assert all_in(("--ignore", "fits nothing", says), refused(capsys, command, path, "--ignore", pattern))
    with pytest.raises(ValueError, match="fits nothing"):
        rnntrace.load(path, ignore=[pattern])
