"""Help: what it shows first is what people type, and all of that works."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import ask
from typer.main import get_command

import rnntrace
from rnntrace.cli.app import COMMANDS, app
from rnntrace.cli.command import HELP_FLAGS
from rnntrace.cli.help import HELP

LINES = [line for one in HELP.values() for line, _ in one.examples]


@pytest.fixture(scope="module")
def example_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files that the examples speak of: mine.npz and t.npz have a mistake in them."""
    where = tmp_path_factory.mktemp("examples")
    torch.manual_seed(0)
    module, other, x = torch.nn.LSTM(3, 4), torch.nn.LSTM(3, 4), torch.randn(5, 1, 3)
    torch.save(module.state_dict(), where / "weights.pt")
    torch.save(other.state_dict(), where / "other.pt")
    np.savez(where / "x.npz", x=x.numpy())
    output, (h_n, _) = module(x)
    output.sum().backward()
    np.savez(where / "grads.npz", **{name: weight.grad.numpy() for name, weight in module.named_parameters()})
    np.savez(where / "mine.npz", output=output.detach().numpy() * 1.01, h_n=h_n.detach().numpy())
    return {path.name: path.read_bytes() for path in where.iterdir()}


@pytest.fixture
def with_files(folder: None, example_files: dict[str, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    """In a folder with these files, a trace that failed, and an exercise with a hand-in."""
    for name, content in example_files.items():
        Path(name).write_bytes(content)
    rnntrace.new_exercise("lstm")
    Path("students.csv").write_text("id,name\nada,Ada\n")
    Path("hand-ins").mkdir()
    np.savez("hand-ins/ada.npz", output=np.ones((4, 1, 2)), c_n=np.ones((1, 1, 2)))
    ask(capsys, "run", "lstm", "--seed", "1", "--mistake", "lstm.gate-order.iofc", "-q", "--save", "t.npz")


@pytest.mark.parametrize("line", LINES)
def test_every_example_works(line: str, with_files: None, capsys: pytest.CaptureFixture[str]) -> None:
    """As it stands: it may fail by its numbers, and is never refused."""
    answer = ask(capsys, *shlex.split(line)[1:])
    assert answer.code in (0, 1), answer.err
    assert "error" not in answer.err
    assert answer.out or " -o " in line


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_help_is_short(command: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples, then no more than eleven flags, all of them there are; --help-all has every flag, and no default twice."""
    name = command.__name__  # type: ignore[attr-defined]
    monkeypatch.setenv("COLUMNS", "200")
    params = get_command(app).commands[name].params  # type: ignore[attr-defined]
    flags = {param.name: max(param.opts, key=len) for param in params if param.param_type_name == "option"}
    chosen = HELP[name].flags.split()
    assert set(chosen) <= flags.keys()
    assert len(chosen) <= 11
    few, whole = ask(capsys, name, "--help"), ask(capsys, name, HELP_FLAGS[-1])
    assert (few.code, whole.code, few.err + whole.err) == (0, 0, "")
    assert ask(capsys, name, "-h") == few
    for text in (few.out, whole.out):
        assert all(line in text for line, _ in HELP[name].examples)
        assert "[default: (" not in text
    # A flag that must be given has an asterisk.
    shown = [{flag for flag in flags.values() if re.search(f"│ [* ]*{flag} ", text)} for text in (few.out, whole.out)]
    assert shown == [{flags[one] for one in chosen}, set(flags.values())]


def test_every_command_has_examples() -> None:
    """Those there are, and no other."""
    assert HELP.keys() == {command.__name__ for command in COMMANDS}
    assert all(line.startswith(f"rnntrace {name}") for name, one in HELP.items() for line, _ in one.examples)
