"""Checkpoints over the limit: what nobody looks at stays in the file, and only what is read counts."""

import argparse
import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused
from formats import pt_bytes
from hostile import Evil
from hostile_torch import edited, wide

import rnntrace
from rnntrace.errors import FileError
from rnntrace.files import read_tensors
from rnntrace.model.weights import Weights

pytestmark = pytest.mark.usefixtures("folder")

LIMIT = 100_000


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read of more bytes than this."""
    for place in ("sniff", "tensors", "pt", "__init__"):
        module = "rnntrace.files" if place == "__init__" else f"rnntrace.files.{place}"
        monkeypatch.setattr(f"{module}.MAX_BYTES", LIMIT, raising=place != "pt")


def checkpoint(dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """As a trainer saves it: an LSTM, an embedding of 5,000 words, and Adam's state of both, all of them over the limit."""
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"embedding": torch.nn.Embedding(5000, 8), "lstm": torch.nn.LSTM(8, 4, 2)}).to(dtype)
    optimizer = torch.optim.Adam(model.parameters())
    hidden = model["lstm"](model["embedding"](torch.arange(6))[:, None])[0]
    hidden.sum().backward()
    optimizer.step()
    return {
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "best": np.float64(0.5),
        "arguments": argparse.Namespace(lr=0.1),
        "seen": collections.Counter("ab"),
        "kind": (torch.float32, torch.Size([2, 3]), torch.device("cpu"), {1, 2}),
    }


def same(one: Weights, other: Weights) -> bool:
    """Whether all parameters are equal, bit by bit."""
    return all(
        np.array_equal(array, other.columns[place].arrays[name])
        for place, column in one.columns.items()
        for name, array in column.arrays.items()
    )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_same_as_below_the_limit(dtype: torch.dtype, request: pytest.FixtureRequest) -> None:
    """Modules, other tensors and their number formats."""
    path = Path("model.ckpt")
    content = checkpoint(dtype)
    path.write_bytes(pt_bytes({**content, "optimizer": {}} if dtype is torch.bfloat16 else content))
    below = rnntrace.load(path)
    all_below = read_tensors(path)
    request.getfixturevalue("small_limit")
    if dtype is torch.bfloat16:
        with pytest.raises(FileError, match=r"state_dict.embedding.weight has 40,000 values, over the limit of 12,500"):
            rnntrace.load(path)
        return
    above = rnntrace.load(path)
    assert [*above] == [*below] == ["state_dict.lstm"]
    assert above["state_dict.lstm"][0] == below["state_dict.lstm"][0]
    assert same(above["state_dict.lstm"][1], below["state_dict.lstm"][1])
    all_above = read_tensors(path)
    assert [*all_above.arrays] == [*all_below.arrays]
    assert all(np.array_equal(array, all_above.arrays[name]) for name, array in all_below.arrays.items())
    assert not all_above.arrays["state_dict.embedding.weight"].flags.writeable, "it is mapped"


@pytest.mark.usefixtures("small_limit")
def test_it_is_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """torch's own outputs pass, and a wrong one fails at its place."""
    content = checkpoint()
    Path("model.ckpt").write_bytes(pt_bytes(content))
    lstm = torch.nn.LSTM(8, 4, 2)
    lstm.load_state_dict({name[5:]: value for name, value in content["state_dict"].items() if name.startswith("lstm.")})
    x = torch.randn(5, 2, 8)
    output = lstm(x)[0].detach().numpy()
    np.save("x.npy", x)
    for wrong in (0, 1.0):
        output[3, 1, 2] += wrong
        np.save("y.npy", output)
        answer = ask(capsys, "compare", "model.ckpt", "--input", "x.npy", "--expected", "y.npy", "-q")
        assert answer.code == bool(wrong), answer
    assert "layer 1, forward, t=4, item 1, unit 2" in answer.out


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda: pt_bytes({**checkpoint(), "more": Evil()}), "more than weights .*mkdir"),
        (lambda: pt_bytes({"x": torch.zeros(LIMIT), "y": wide(2**20, 2**18)}), "values, over the limit"),
        (lambda: pt_bytes({"x": (big := torch.zeros(LIMIT)), **{f"y{k}": big for k in range(3)}}), "values, over the limit"),
        (lambda: pt_bytes({"x": torch.zeros(LIMIT)})[:-1], "not a readable .zip archive"),
        (lambda: edited({"x": torch.zeros(LIMIT)}, lambda inside: inside.update(byteorder=b"big")), "big-endian"),
        (
            lambda: edited({"x": torch.zeros(LIMIT), "y": torch.zeros(4)}, lambda inside: inside.update({"data/1": bytes(8)})),
            "outside of",
        ),
        (
            lambda: edited({"x": torch.zeros(LIMIT), "y": torch.zeros(LIMIT)}, lambda inside: inside.pop("data/0")),
            "are not there",
        ),
        (lambda: edited({}, lambda inside: inside.update({"data.pkl": pickle.dumps(b"a" * LIMIT)})), "unpacks to"),
        (lambda: edited({"x": torch.zeros(LIMIT)}, lambda inside: inside.update({"data/a.b": bytes(LIMIT)})), "unpacks to"),
    ],
    ids=["code", "stride 0", "one storage", "cut off", "big-endian", "short", "absent", "pickle", "no storage"],
)
def test_what_is_wrong_is_one_line(content: Any, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of the file is run, and what has to be read counts."""
    Path("model.ckpt").write_bytes(content())
    with pytest.raises(FileError, match=says):
        read_tensors(Path("model.ckpt"))
    assert all_in(("model.ckpt",), refused(capsys, "inspect", "model.ckpt"))
    assert not Path("pwned").exists()


@pytest.mark.usefixtures("small_limit")
def test_a_file_of_the_old_format_is_read_whole() -> None:
    """It is no archive, and so it counts."""
    torch.save({"x": torch.zeros(LIMIT)}, "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(FileError, match=r"400,\d+ bytes are over the limit"):
        read_tensors(Path("old.pt"))
