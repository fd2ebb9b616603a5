"""Writing files so that each is whole or not there at all."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from rnntrace.errors import FileError, show
from rnntrace.files.writing import Content

STAGED = f".{os.urandom(8).hex()}-{{}}.tmp"
"""The names of files that are not in place yet. Who may have to clear them away for this process gives it one."""


def replace_files(contents: Iterable[tuple[Path, Content]]) -> None:
    """Write each content beside its target, and when all are written put them in place. Raises FileError.

    A link keeps pointing where it did. What is no regular file, such as a pipe or a device, is written to directly.
    """
    staged: list[tuple[Path, Path]] = []
    path = Path()
    try:
        for path, content in contents:
            if not _is_regular(path):
                with path.open("wb") as file:
                    _write(file, content)
                continue
            temporary = path.resolve().with_name(STAGED.format(len(staged)))
            with temporary.open("xb") as file:
                staged.append((temporary, path))
                _write(file, content)
                file.flush()
                os.fsync(file.fileno())
        for temporary, path in staged:
            temporary.replace(path.resolve())
    except OSError as error:
        raise FileError(f"cannot write {show(str(path))}: {error.strerror or error}") from None
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)


def _write(file: BinaryIO, content: Content) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content)


def _is_regular(path: Path) -> bool:
    """Whether there is a regular file, or nothing yet. Raises OSError."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True
