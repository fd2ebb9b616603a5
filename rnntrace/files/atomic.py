"""Writing files so that each is whole or not there at all."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from rnntrace.errors import FileError
from rnntrace.files.tensors import show


def replace_files(contents: Iterable[tuple[Path, bytes]]) -> None:
    """Write each content beside its target, and when all are written put them in place. Raises FileError.

    A link keeps pointing where it did. What is no regular file, such as a pipe or a device, is written to directly.
    """
    staged: list[tuple[Path, Path]] = []
    target = Path()
    try:
        for path, content in contents:
            target = path.resolve()
            if target.exists() and not target.is_file():
                target.write_bytes(content)
                continue
            temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
            with temporary.open("xb") as file:
                staged.append((temporary, target))
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for temporary, target in staged:
            temporary.replace(target)
    except OSError as error:
        raise FileError(f"cannot write {show(str(target))}: {error.strerror or error}") from None
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)
