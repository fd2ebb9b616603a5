"""Run commands on files that we do not trust, watched: what they open, run and start, in bounded memory.

    python tests/hostile_guard.py < requests > answers

A request is a JSON line {"file": …, "arguments": [[…], …]}; the answer to it is a JSON line with what each command left
behind: code, out, err, seconds, and the violations: all that no reader of a file has a reason to do.
"""

import contextlib
import ctypes
import json
import mmap
import os
import pickle
import resource
import socket
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MEMORY = 4 * 2**30
"""Bytes of address space: about 700 MB are torch's and the other libraries' own."""
INSTALLED = tuple(
    {str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix, Path(__file__).parents[1] / "rnntrace")}
    | {"/usr/lib", "/lib", "/usr/share/locale", "/dev/null", "/proc/self", "/proc/cpuinfo", "/sys/devices/system"}
)
"""Where Python, its packages and the system's libraries lie: opened at any time, to import what was not needed before."""
HARMLESS = (
    "object.",
    "sys.",
    "import",
    "compile",
    "marshal.",
    "builtins.id",
    "code.",
    "cpython.",
    "array.",
    "os.putenv",
    "os.unsetenv",
)
"""Events of an interpreter at work. That something was compiled does no harm, that it was executed might."""
IN_OPEN, IN_NONBLOCK = 0x20, 0o4000

allowed = ""
"""The one file that may be opened."""
violations: list[str] = []


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Keep what Python reports and is neither harmless nor done to what is installed."""
    if not allowed or event.startswith(HARMLESS):
        return
    if event == "open":
        path, mode, flags = arguments
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        # A number is a file that is already open.
        fine = isinstance(path, int) or (
            not writes and (os.fspath(path) == allowed or is_installed(path) or tells_of_memory(path))
        )
    elif event in ("os.listdir", "os.scandir", "ctypes.dlopen"):
        fine = is_installed(arguments[0])
    elif event == "mmap.__new__":
        # What may be read may also be mapped to be read.
        fine = arguments[2] == mmap.ACCESS_READ
    elif event == "exec":
        fine = is_installed(arguments[0].co_filename) or arguments[0].co_filename.startswith("<frozen ")
    else:
        fine = False
    if not fine:
        violations.append(f"{event} {arguments!r}"[:300])


def is_installed(path: Any) -> bool:
    """Whether a path lies where Python and its packages do."""
    return isinstance(path, str | bytes | os.PathLike) and str(Path(os.fsdecode(path)).resolve()).startswith(INSTALLED)


def tells_of_memory(path: Any) -> bool:
    """Whether a path is where Linux says how much memory there is."""
    name = os.path.normpath(os.fsdecode(path))
    return name in ("/proc/meminfo", "/proc/self/cgroup", "/proc/self/statm") or name.startswith("/sys/fs/cgroup/")


HARM: dict[str, Callable[[list[str]], Any]] = {
    "unpickle": lambda words: pickle.loads(Path(words[1]).read_bytes()),
    "open another": lambda words: Path("/etc/passwd").read_bytes(),
    "open a neighbour": lambda words: ctypes.CDLL(None).open(os.fsencode(Path(words[1]).with_name(words[2])), os.O_RDONLY),
    "write": lambda words: Path("written").write_text("x"),
    "list": lambda words: list(Path("/etc").iterdir()),
    "start": lambda words: subprocess.run(["true"], check=True),
    "connect": lambda words: socket.socket().close(),
    "evaluate": lambda words: eval("1 + 1"),
    "map for writing": lambda words: mmap.mmap(-1, 4096),
    "fill": lambda words: len(bytes(MEMORY)),
}
"""What a careless reader would do, to see that it is noticed; a word of these is a command beside rnntrace's own."""


class Watch:
    """What is opened in a folder by any means: libraries in C open files without Python's knowledge. Linux alone tells."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = libc.inotify_init1(IN_NONBLOCK)
        if self._inotify < 0 or libc.inotify_add_watch(self._inotify, os.fsencode(folder), IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def opened(self) -> list[str]:
        """Names of the files that were opened since the last call; the folder itself has an empty name."""
        names = []
        with contextlib.suppress(BlockingIOError):
            content = os.read(self._inotify, 2**20)
            while content:
                *_, length = struct.unpack_from("iIII", content)
                names.append(os.fsdecode(content[16 : 16 + length].rstrip(b"\0")))
                content = content[16 + length :]
        return names


@contextlib.contextmanager
def captured() -> Iterator[dict[str, str]]:
    """What is written to stdout and stderr, by libraries in C as well."""
    written: dict[str, str] = {}
    kept = [os.dup(number) for number in (1, 2)]
    files = [os.memfd_create(name) for name in ("out", "err")]
    for number, file in zip((1, 2), files, strict=True):
        os.dup2(file, number)
    try:
        yield written
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for name, number, file, before in zip(("out", "err"), (1, 2), files, kept, strict=True):
            os.dup2(before, number)
            os.lseek(file, 0, os.SEEK_SET)
            with os.fdopen(file, "rb") as content:
                written[name] = content.read().decode(errors="backslashreplace")
            os.close(before)


def answer(arguments: list[str]) -> dict[str, Any]:
    """Run one command."""
    from rnntrace.cli.app import exit_code

    violations.clear()
    # Of the processor, so that whatever else is running does not count.
    start = time.process_time()
    with captured() as written:
        try:
            code = exit_code(arguments) if arguments[0] not in HARM else bool(HARM[arguments[0]](arguments))
        except BaseException:
            code = -1
            traceback.print_exc()
    seconds = time.process_time() - start
    return {"arguments": arguments, "code": code, "seconds": seconds, "violations": [*violations], **written}


def main() -> None:
    """Load what is loaded once and for all, close the doors, and answer."""
    global allowed
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(Path(__file__).parents[1]))
    for name in ("torch", "h5py", "onnx", "safetensors.numpy", "rnntrace.render.rich"):
        __import__(name)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(audit)
    watches: dict[Path, Watch] = {}
    for line in sys.stdin:
        request = json.loads(line)
        file = Path(request["file"])
        watch = watches.get(file.parent) or watches.setdefault(file.parent, Watch(file.parent))
        watch.opened()
        answers = []
        for arguments in request["arguments"]:
            allowed = str(file)
            found = answer(arguments)
            allowed = ""
            found["violations"] += [f"opened {name!r}" for name in set(watch.opened()) - {file.name}]
            answers.append(found)
        print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main()
