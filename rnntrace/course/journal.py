"""What is graded already, for a run that was interrupted: a line a hand-in, written as soon as it is known."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from rnntrace.course.grades import Grade
from rnntrace.course.marking import Job
from rnntrace.errors import FileError, show


class Journal:
    """Grades by what they depend on: the exercise, the options, and the files of a student with their sizes and times.

    A new run begins an empty one, a resumed run takes over what is in it; when everything is graded it is removed.
    """

    def __init__(self, path: Path, *, resume: bool, needed: bool = True) -> None:
        """One that is not `needed` is none where it cannot be written. Raises FileError."""
        self.path = path
        self.known = dict(_lines(path)) if resume else {}
        self._file: BinaryIO | None = None
        try:
            self._file = path.open("ab" if resume else "wb")
            # A line that was cut off in the middle stays alone.
            self._file.write(b"\n" if resume else b"")
        except OSError as error:
            if not needed:
                return
            raise FileError(
                f"cannot write {show(str(path))}, in which what is graded is noted: {error.strerror or error}"
            ) from None

    def add(self, key: str, grade: Grade) -> None:
        """Note a grade; it is on the disk when this returns."""
        if self._file is None:
            return
        self._file.write(json.dumps({"key": key, "grade": grade.document}, ensure_ascii=True).encode() + b"\n")
        self._file.flush()

    def close(self, *, complete: bool) -> None:
        """End the journal; that of a complete run is not needed any more."""
        if self._file is None:
            return
        self._file.close()
        if complete:
            self.path.unlink(missing_ok=True)


def _lines(path: Path) -> Iterable[tuple[str, Grade]]:
    """What a journal holds; a line that is no whole one is left out."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise FileError(f"cannot read {show(str(path))}: {error.strerror or error}") from None
    for line in content.split(b"\n"):
        with suppress(ValueError, KeyError, TypeError):
            found = json.loads(line)
            yield found["key"], Grade.from_document(found["grade"])


def keys_of(jobs: Iterable[Job]) -> dict[str, str]:
    """By the student's id, what a grade depends on: the exercise, its secret, and the files with their sizes and times."""
    return {job.id: _key(job) for job in jobs}


def _key(job: Job) -> str:
    stats = [(str(file.path), file.member, file.path.stat().st_size, file.path.stat().st_mtime_ns) for file in job.files]
    common = (job.exercise, job.secret, job.explain, job.id, job.ids)
    return hashlib.sha256(repr((common, stats)).encode()).hexdigest()
