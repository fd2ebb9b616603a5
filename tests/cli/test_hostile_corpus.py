"""Every file of the hostile corpus, given to every command that takes one: it loads, or it is refused in one clear line.

Nothing in a file is run, nothing but the file is opened, memory and time are bounded, and what is printed is fit to print.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import LONGEST_LINE
from hostile import Entry
from hostile_corpus import FILES, PLACES, write
from thorough import THOROUGH

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a process opens is told by Linux alone")

SECONDS = 20
"""Longest time for one command on one file; the slowest takes about five, and twice that on a slow machine."""
FOR_WEIGHTS = {
    "inspect": ["inspect", "FILE", "--weights", "--format", "json"],
    "compare": ["compare", "FILE", "--seed", "1", "--format", "json"],
    "run": ["run", "lstm", "--weights", "FILE", "--seed", "1", "--format", "json"],
    "a table": ["inspect", "FILE", "--weights"],
}
FOR_SIGNALS = {
    "--input": ["run", "lstm", "--input", "FILE", "--seed", "1", "--format", "json"],
}
COMMANDS = {
    **FOR_WEIGHTS,
    **FOR_SIGNALS,
    "show": ["show", "FILE", "--format", "json"],
    "--expected": ["compare", '{"weight_ih": [[1]], "weight_hh": [[1]]}', "--input", "[[1]]", "--expected", "FILE"],
}
ENTRIES = {**FILES, **{name: Entry(bytes, says) for name, (_, says) in PLACES.items()}}

HONEST = (
    "npz in Fortran order",
    "pt of weights in four bytes",
    "safetensors with metadata",
    "h5 as Keras writes it",
    "mat as scipy writes it",
    "mat of version 7.3",
    "onnx as torch writes it",
)
"""One file of each library, to begin with."""

Found = dict[str, Any]
"""What a command left behind."""


class Guard:
    """A process that runs commands on the files of a folder and watches itself; another one if it should die."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def ask(self, name: str, commands: Iterable[list[str]]) -> list[Found]:
        """What each command leaves behind; the word FILE in it stands for the file of this name."""
        if self._process is None:
            program = [sys.executable, str(Path(__file__).parents[1].joinpath("hostile_guard.py"))]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(program, stdin=pipe, stdout=pipe, text=True, cwd=self._folder)
            # What is imported only once it is needed is imported now.
            for honest in HONEST:
                self.ask(honest, COMMANDS.values())
        file = str(self._folder / name)
        arguments = [[file if word == "FILE" else word for word in command] for command in commands]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"file": file, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self.end()
            pytest.fail(f"the process that was to read {name!r} has died")
        answers: list[Found] = json.loads(line)
        return answers

    def end(self) -> None:
        """Stop the process."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    """A guard of a folder with the whole corpus."""
    folder = tmp_path_factory.mktemp("corpus")
    write(folder)
    found = Guard(folder)
    yield found
    found.end()
    assert not (folder / "pwned").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRIES)
def test_a_hostile_file_does_no_harm(name: str, guard: Guard) -> None:
    """It loads, or is refused by exit code 2 and the line that the corpus gives; either way nothing else happens."""
    entry = ENTRIES[name]
    few = ("inspect", "--input", *(("compare", "show") if THOROUGH else ()))
    commands = COMMANDS if entry.read else {command: COMMANDS[command] for command in few}
    for command, found in zip(commands, guard.ask(name, commands.values()), strict=True):
        check(command, found, entry)


def check(command: str, found: Found, entry: Entry) -> None:
    """What one command left behind is what it should."""
    where = f"{command}: {found}"[:2000]
    assert found["violations"] == [], where
    assert found["seconds"] < SECONDS, where
    assert found["code"] in (0, 1, 2), where
    for line in (found["out"] + found["err"]).split("\n"):
        assert line.isprintable(), where
    if found["code"] == 2:
        assert re.fullmatch("rnntrace: error: .+\n", found["err"]), where
        assert found["out"] == "", where
        assert len(found["err"]) <= LONGEST_LINE, where
    elif "json" in found["arguments"]:
        json.loads(found["out"], parse_constant=pytest.fail)
    if not entry.read:
        assert found["code"] == 2, where
        assert re.search(entry.says, found["err"]), where
    elif command in FOR_SIGNALS:
        assert re.search(entry.as_signal, found["err"]), where
    elif command in FOR_WEIGHTS and entry.says:
        assert found["code"] == 2, where
        assert re.search(entry.says, found["err"]), where
    elif command in FOR_WEIGHTS:
        assert found["code"] in (0, 1), where


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "noticed"),
    [
        ("unpickle", "pickle.find_class"),
        ("open another", "open .*/etc/passwd"),
        ("open a neighbour", "opened 'picture'"),
        ("write", "open .*written"),
        ("list", "os.listdir"),
        ("start", "subprocess.Popen"),
        ("connect", "socket.__new__"),
        ("evaluate", "exec "),
        ("map for writing", "mmap.__new__"),
    ],
)
def test_harm_is_noticed(harm: str, noticed: str, guard: Guard) -> None:
    """What no reader does is seen if one does it."""
    (found,) = guard.ask("pickle of a number", [[harm, "FILE", "picture"]])
    assert re.search(noticed, "\n".join(found["violations"])), found


@pytest.mark.slow
def test_memory_is_bounded(guard: Guard) -> None:
    """More than there may be is not to be had."""
    (found,) = guard.ask("picture", [["fill"]])
    assert "MemoryError" in found["err"], found
