"""TorchScript, torch.package, torch.export and pickles of arrays: tensors are read by name, and nothing of them is run."""

import io
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused

import rnntrace
from rnntrace.errors import FileError
from rnntrace.files.unpickled import Foreign, StoredTensor, loaded

pytestmark = pytest.mark.usefixtures("folder")


class Model(torch.nn.Module):
    """An LSTM and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4, 2, bidirectional=True)
        self.head = torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The head of the LSTM's output."""
        out: torch.Tensor = self.head(self.lstm(x)[0])
        return out


def model() -> Model:
    """One with weights of its own."""
    torch.manual_seed(0)
    return Model().eval()


def scripted(module: torch.nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.script(module), path)


def traced(module: torch.nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.trace(module, torch.zeros(5, 2, 3)), path)


def packaged(module: torch.nn.Module, path: Path) -> None:
    with torch.package.PackageExporter(path) as exporter:
        exporter.extern("**")
        exporter.save_pickle("model", "model.pkl", module)


def exported(module: torch.nn.Module, path: Path) -> None:
    torch.export.save(torch.export.export(module, (torch.zeros(5, 2, 3),)), path)


def pickled(module: torch.nn.Module, path: Path) -> None:
    path.write_bytes(pickle.dumps({name: value.numpy() for name, value in module.state_dict().items()}))


def of_half(module: torch.nn.Module, path: Path) -> None:
    scripted(module.to(torch.bfloat16), path)


WRITERS: dict[str, Callable[[torch.nn.Module, Path], None]] = {
    "script": scripted,
    "trace": traced,
    "package": packaged,
    "export": exported,
    "pickle": pickled,
    "pickle of protocol 2": lambda module, path: path.write_bytes(
        pickle.dumps({name: value.numpy() for name, value in module.state_dict().items()}, 2)
    ),
    "bfloat16": of_half,
}


def written(how: str) -> tuple[Path, torch.nn.Module]:
    """A file, and the module in it."""
    module, path = model(), Path("file.bin")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        WRITERS[how](module, path)
    return path, module


@pytest.mark.slow
@pytest.mark.parametrize("how", WRITERS)
def test_what_torch_gives_passes(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the names of the state_dict, and bit by bit; one output that is wrong fails at its place."""
    path, module = written(how)
    spec, weights = rnntrace.load(path)["lstm"]
    assert (spec.num_layers, spec.bidirectional) == (2, True)
    W_hh = module.get_parameter("lstm.weight_hh_l1_reverse").detach().float().numpy()
    assert np.array_equal(weights[1, "reverse"].W_hh.reshape(16, 4), W_hh)
    x = torch.randn(5, 2, 3)
    with torch.no_grad():
        output = module.float().lstm(x)[0].numpy()  # type: ignore[operator]
    np.savez("x.npz", x=x.numpy())
    for wrong in (0, 1.0):
        output[2, 1, 5] += wrong
        np.savez("y.npz", output=output)
        answer = ask(capsys, "compare", path, "--input", "x.npz", "--expected", "y.npz", "-q")
        assert answer.code == bool(wrong), answer
    assert all_in(("layer 1, reverse, t=3, item 1, unit 1",), answer.out)


@pytest.mark.slow
def test_a_frozen_module_has_lost_its_names(capsys: pytest.CaptureFixture[str]) -> None:
    """Its weights are constants of the code, which is not looked at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.freeze(torch.jit.script(model())), "frozen.pt")
    assert all_in(("have no names", "torch.jit.freeze", "state_dict()"), refused(capsys, "inspect", "frozen.pt"))


class _Evil:
    """Would make a file, if anybody called what its pickle names."""

    def __reduce__(self) -> Any:
        return os.system, ("touch called",)


def with_member(path: Path, name: str, content: bytes) -> None:
    """The archive with another content of one member."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, old in members.items():
            archive.writestr(member, content if member.endswith(name) else old)


@pytest.mark.slow
def test_nothing_of_a_file_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it names beside its tensors, it is not imported."""
    array = np.ones((2, 3), "f")
    Path("evil.pkl").write_bytes(pickle.dumps({"weight_ih_l0": array, "more": _Evil()}))
    assert all_in(("more than weights", "system", "run its code"), refused(capsys, "inspect", "evil.pkl"))
    path, _ = written("script")
    with_member(path, "/data.pkl", pickle.dumps({"lstm": _Evil()}, 2))
    assert "found none" in refused(capsys, "inspect", path)
    with_member(path, "/constants.pkl", pickle.dumps(_Evil(), 2))
    assert ask(capsys, "inspect", path).code == 2
    assert not Path("called").exists()


def tensor(*sizes: Any) -> bytes:
    """A pickle of one tensor of these sizes, written by hand: storage of 4 numbers, offset, shape, strides."""
    buffer = io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return obj.pid if isinstance(obj, _Storage) else None

    Pickler(buffer, 2).dump({"weight_ih_l0": _Rebuilt(sizes)})
    return buffer.getvalue()


class _Storage:
    pid = ("storage", torch.FloatStorage, "0", "cpu", 4)


class _Rebuilt:
    def __init__(self, sizes: Any) -> None:
        self.sizes = sizes

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, (_Storage(), *self.sizes, False, {})


def test_a_tensor_stays_in_its_storage() -> None:
    """Sizes that lead out of it, or to more than there is, are refused before a number is read."""
    found = loaded(tensor(1, (3,), (1,)))["weight_ih_l0"]
    assert isinstance(found, StoredTensor)
    content = np.arange(4, dtype="f").tobytes()
    assert found.values(content).tolist() == [1.0, 2.0, 3.0]
    assert loaded(tensor(0, (2, 2), (1, 2)))["weight_ih_l0"].values(content).tolist() == [[0, 2], [1, 3]]
    for sizes in ((2, (3,), (1,)), (0, (2, 3), (3, 1)), (5, (1,), (1,))):
        with pytest.raises(FileError, match="outside of its storage"):
            loaded(tensor(*sizes))["weight_ih_l0"].values(content)
    for sizes in ((-1, (3,), (1,)), (0, (3,), (-1,)), (0, (3,), (1, 1)), (0, ("a",), (1,)), (0, (2**41,), (0,))):
        with pytest.raises(FileError, match="a tensor in it has"):
            loaded(tensor(*sizes))


def op(*parts: bytes) -> bytes:
    """A pickle of these instructions."""
    return b"\x80\x02" + b"".join(parts) + b"."


@pytest.mark.parametrize(
    "content",
    [
        op(b"}", b"r\xff\xff\xff\x7f"),
        op(b"(" * 200, b"t" * 200),
        op(b")", *[b"2\x86" for _ in range(60)]),
        op(b"U\x01ai"),
        op(b"\x82\x01"),
        op(b"cos\nsystem\n", b"(U\x01at", b"R")[:-1],
        op(b"cos\nsystem\n", b"\x85cos\nsystem\n", b"R"),
        op(b"}", b"(", b")", b")", b"u"),
        b"\x80\x05" + b"\x96" + (2**40).to_bytes(8, "little") + b".",
        b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b".",
        b"\x80\x02.",
        b"",
    ],
    ids=range(12),
)
def test_pickles_that_are_made_to_harm(content: bytes) -> None:
    """A memo of gigabytes, nesting, unknown instructions, bytes that are not there, a key that is no text."""
    try:
        found = loaded(content)
    except FileError:
        return
    assert isinstance(found, dict | tuple), "it is read, and does no harm"


def test_a_foreign_thing_keeps_its_name() -> None:
    """And what it was given; it does nothing."""
    found = loaded(pickle.dumps(_Evil(), 2))
    assert isinstance(found, Foreign)
    assert (found.name, found.arguments) == (f"{os.system.__module__}.system", ("touch called",))
    assert not Path("called").exists()


def under(limit: int, *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a command that may read this many bytes."""
    command = [sys.executable, "-m", "rnntrace", *arguments]
    environment = {**os.environ, "RNNTRACE_MAX_BYTES": str(limit)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.slow
def test_what_is_not_read_of_a_checkpoint_has_no_limit() -> None:
    """Of 8 MB the 4 kB of an LSTM are read; not if they are too many themselves, and nothing that is packed to look small."""
    module = model()
    content = {"net": module.state_dict(), "optimizer": {"state": {0: {"exp_avg": torch.zeros(2_000_000)}}}}
    torch.save(content, "whole.pt")
    assert Path("whole.pt").stat().st_size > 8_000_000
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype("f")
    with torch.no_grad():
        output = module.lstm(torch.from_numpy(x))[0].numpy()
    np.savez("x.npz", x=x)
    np.savez("right.npz", output=output)
    output[3, 1, 2] += 0.01
    np.savez("wrong.npz", output=output)
    compare = ("compare", "whole.pt", "--input", "x.npz", "--expected")
    assert under(1_000_000, *compare, "right.npz")[0] == 0
    assert under(1_000_000, *compare, "wrong.npz")[0] == 1
    with zipfile.ZipFile("whole.pt") as whole, zipfile.ZipFile("packed.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    for path, limit in (("whole.pt", 3_000), ("packed.pt", 1_000_000)):
        code, line = under(limit, "inspect", path)
        assert (code, len(line.splitlines())) == (2, 1)
        assert "RNNTRACE_MAX_BYTES" in line


@pytest.mark.slow
def test_many_small_parts_of_one_storage_are_read_once() -> None:
    """Of a storage that is over the limit on its own the parts stay where they lie; of TorchScript's all of it is read."""
    large = torch.zeros(1_000_000)
    state = {name: large[: tensor.numel()].view(tensor.shape) for name, tensor in torch.nn.LSTM(3, 4).state_dict().items()}
    torch.save(state, "shared.pt")
    for limit in (5_000_000, 1_000_000):
        assert under(limit, "inspect", "shared.pt")[0] == 0
    holder = torch.nn.Module()
    for name, tensor in state.items():
        holder.register_buffer(name, tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(holder), "shared.bin")
    assert under(5_000_000, "inspect", "shared.bin")[0] == 0
    code, line = under(1_000_000, "inspect", "shared.bin")
    assert code == 2
    assert all_in(("it unpacks to 4,00", "RNNTRACE_MAX_BYTES"), line)
