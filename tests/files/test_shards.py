"""Weights in several .safetensors, by an index that is written by hand; what it may name, and what may lie there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from commandline import ESCAPED, EVIL, all_in, ask, refused

from rnntrace.errors import FileError
from rnntrace.files import read_tensors

pytestmark = [pytest.mark.usefixtures("folder"), pytest.mark.slow]

INDEX = "model.safetensors.index.json"
FIRST, SECOND = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))


def indexed(places: Any, **more: Any) -> Path:
    """An index of these places."""
    Path(INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places, **more}))
    return Path(INDEX)


def sharded() -> tuple[torch.nn.LSTM, dict[str, str]]:
    """An LSTM in two files, and where the index says that its parameters are."""
    torch.manual_seed(0)
    module = torch.nn.LSTM(3, 4)
    state = {f"lstm.{name}": tensor for name, tensor in module.state_dict().items()}
    first, second = dict([*state.items()][:2]), dict([*state.items()][2:])
    safetensors.torch.save_file(first, FIRST)
    safetensors.torch.save_file({**second, "head.weight": torch.zeros(2, 4)}, SECOND)
    places = {**dict.fromkeys(first, FIRST), **dict.fromkeys((*second, "head.weight"), SECOND)}
    indexed(places)
    return module, places


def test_all_files_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    """From another folder too; a value that is another one in any of them is noticed."""
    module, _ = sharded()
    x = torch.randn(5, 2, 3)
    np.savez("x.npz", x=x.numpy())
    with torch.no_grad():
        np.savez("y.npz", output=module(x)[0].numpy())
    given = ("--input", "x.npz", "--expected", "y.npz", "-q")
    assert ask(capsys, "compare", INDEX, *given).code == 0
    assert ask(capsys, "compare", Path.cwd() / INDEX, *given).code == 0
    assert ask(capsys, "compare", f"../{Path.cwd().name}/{INDEX}", *given).code == 0
    assert "1 recurrent module · 1 other tensor" in ask(capsys, "inspect", INDEX).out
    for name in (FIRST, SECOND):
        content = Path(name).read_bytes()
        state = safetensors.torch.load(content)
        state = {key: tensor + 0.3 if key.startswith("lstm") else tensor for key, tensor in state.items()}
        safetensors.torch.save_file(state, name)
        assert ask(capsys, "compare", INDEX, *given).code == 1
        Path(name).write_bytes(content)


def test_a_tensor_beside_the_index_is_read_too() -> None:
    """What a file holds and the index does not name may change what a module computes."""
    _, places = sharded()
    indexed({name: place for name, place in places.items() if name != "head.weight"})
    assert "head.weight" in read_tensors(Path(INDEX)).arrays


NAMES = ("../other.safetensors", "/etc/passwd", ".", "..", "", "a/b", "a\\b", "C:b", "x" * 300, "a\nb", "\0", EVIL)


@pytest.mark.parametrize("name", NAMES)
def test_other_places_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether there is anything or not."""
    safetensors.torch.save_file({"a": torch.zeros(1)}, "../other.safetensors")
    Path("a").mkdir()
    safetensors.torch.save_file({"a": torch.zeros(1)}, "a/b")
    line = refused(capsys, "inspect", indexed({"a": name}))
    assert all_in((INDEX, "expected the plain name of a file in the same folder"), line)
    assert name != EVIL or ESCAPED in line


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "which is not there"),
    "a folder": (Path.mkdir, "which is no file"),
    "a link to a neighbour": (_link(FIRST), "which is a link"),
    "a link elsewhere": (_link("/etc/passwd"), "which is a link"),
    "a link to nowhere": (_link("nowhere"), "which is a link"),
    "empty": (Path.touch, "which is empty"),
    "the index itself": (lambda path: path.write_bytes(Path(INDEX).read_bytes()), "expected a .safetensors"),
    "another format": (lambda path: torch.save({}, path), "expected a .safetensors, and found a .pt"),
    "cut off": (lambda path: path.write_bytes(Path(FIRST).read_bytes()[:-1]), "not a readable .safetensors"),
    "another model's": (
        lambda path: safetensors.torch.save_file({"a": torch.zeros(1)}, path),
        f"lstm.bias_ih_l0 is in {SECOND}, which does not hold it",
    ),
    "the same again": (
        lambda path: path.write_bytes(
            safetensors.torch.save({**safetensors.torch.load_file(FIRST), **safetensors.torch.load_file("kept")})
        ),
        "it holds 'lstm.weight_hh_l0' twice",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """That names the index, and the file in question."""
    sharded()
    Path(SECOND).rename("kept")
    make, says = DAMAGE[name]
    make(Path(SECOND))
    assert all_in((INDEX, says), refused(capsys, "compare", INDEX))


@pytest.mark.parametrize("places", [[], {}, "a", 1, None, {"a": 1}, {"a": [FIRST]}, {"a": {"b": FIRST}}])
def test_an_index_of_another_kind_is_refused(places: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Its map says a name for each tensor."""
    assert "weight_map should say the file of each tensor" in refused(capsys, "inspect", indexed(places))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"weight_map": {"a": "x", "a": "y"}}', "it holds 'a' twice"),
        ('{"weight_map": {"a": "x"}, "weight_map": {}}', "it holds 'weight_map' twice"),
        ('{"a": {"weight_map": {}}}', "weight_map should say"),
        ('{"weight_map": ', "not a readable .safetensors.index.json"),
        ('{"weight_map": ' + "[" * 100_000, "not a readable .safetensors.index.json"),
    ],
)
def test_damaged_text_is_one_line(text: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is wrong with it."""
    Path(INDEX).write_text(text)
    assert says in refused(capsys, "inspect", INDEX)


def test_a_typed_index_opens_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Text has no folder."""
    sharded()
    assert "give its name" in refused(capsys, "compare", Path(INDEX).read_text())


def test_all_files_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their bytes, and the values that become of them."""
    limit = 2**16
    # Bytes of integers become eight times as large.
    for name in (FIRST, SECOND):
        safetensors.torch.save_file({f"in {name}": torch.zeros(limit // 12, dtype=torch.int8)}, name)
    indexed({f"in {name}": name for name in (FIRST, SECOND)})
    assert len(read_tensors(Path(INDEX)).arrays) == 2
    monkeypatch.setattr("rnntrace.files.tensors.MAX_BYTES", limit)
    assert len(read_tensors(Path(FIRST)).arrays) == 1
    with pytest.raises(FileError, match=f"everything together has {limit // 12 * 2:,} values"):
        read_tensors(Path(INDEX))
    monkeypatch.setattr("rnntrace.files.shards.MAX_BYTES", limit // 8)
    with pytest.raises(FileError, match=r"the files that it names have .* bytes together, over the limit"):
        read_tensors(Path(INDEX))
