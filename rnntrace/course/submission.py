"""What was handed in: whose files these are, in a folder or a zip as platforms export them, and the arrays in them."""

import lzma
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rnntrace.course.exercise import Exercise
from rnntrace.course.exercise_file import gradients
from rnntrace.course.roster import Roster
from rnntrace.errors import FileError, RnnTraceError, UsageError, show
from rnntrace.files.tensors import Tensors
from rnntrace.model.dtypes import Array
from rnntrace.model.limits import MAX_BYTES, over
from rnntrace.model.vocabulary import of_results
from rnntrace.verbs.given.arrays import tensors_of

ARRAYS = (".npz", ".npy", ".json", ".csv", ".tsv", ".txt", ".pt", ".pth", ".safetensors", ".mat", ".h5", ".onnx", ".keras")
"""Ends of names of files that must be readable; of other files, such as a report or a program, arrays are not expected."""
GIVEN_OUT = ("student.npz", "student.json")
"""Files of a worksheet; they count where they are all that there is."""
MOST_FILES = 50
"""Files of arrays that one student may hand in."""
_MOODLE = re.compile(r"(?P<name>.+?)_(?P<number>\d+)_assignsubmission_(?:file|onlinetext)_?.*")
_SUBMISSION = re.compile(r"submission_\d+")
_FIELD = re.compile(r"""\s*-?\s*:(sid|email):\s*["']?(.*?)["']?\s*""")
METADATA = "submission_metadata.yml"
"""What Gradescope lays beside the submissions of an export."""
NO_HAND_INS = ("__MACOSX", "Thumbs.db", METADATA, "submission_metadata.json")
"""What systems and platforms add."""


@dataclass(frozen=True)
class File:
    """A file that was handed in: where it lies, or as which `member` of the zip that lies there."""

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """Its own name, without folders."""
        return PurePosixPath(self.member).name if self.member else self.path.name


def find_hand_ins(source: Path, roster: Roster | None = None, match: str | None = None) -> dict[str, tuple[File, ...]]:
    """The files of each student by id, in the order of their names.

    Files and folders are named by the id (`ada.npz`, `ada/…`, `ada_late.npz` where the roster has an ada), or as Moodle and
    Gradescope export them; `match` says it otherwise, `{id}_*.npz`. Files of nobody in the roster stand under their own
    name. Raises FileError and UsageError.
    """
    pattern = None if match is None else _pattern(match)
    files = _without_common_folder(dict(_files(source))) if source.is_file() else dict(_files(source))
    submitters = _submitters(files)
    found: dict[str, list[File]] = {}
    for place, file in sorted(files.items()):
        parts = PurePosixPath(place).parts
        if _is_added(parts):
            continue
        if pattern:
            fitting = pattern.fullmatch(place if "/" in (match or "") else parts[-1])
            id = fitting["id"] if fitting else None
            known = roster.find(id) if roster and id else None
            id = known.id if known else id
        else:
            id = _owner(parts, roster, submitters)
        if id:
            found.setdefault(id, []).append(file)
    if not found:
        fits = f" that fits {show(match)!r}" if match else ""
        raise FileError(f"{show(str(source))} holds no hand-in{fits}: expected files or folders named by the students' ids")
    return {id: tuple(own) for id, own in found.items()}


def every_file(source: Path) -> tuple[File, ...]:
    """Everything in a folder or a zip, or one file by itself, as that of one student. Raises FileError."""
    if source.is_file() and source.suffix.lower() != ".zip":
        return (File(source),)
    return tuple(file for place, file in sorted(dict(_files(source)).items()) if not _is_added(PurePosixPath(place).parts))


def _is_added(parts: Sequence[str]) -> bool:
    """Whether a system or a platform has added a file."""
    return any(part.startswith(".") or part in NO_HAND_INS for part in parts)


def _files(source: Path) -> Iterator[tuple[str, File]]:
    """Every regular file by its place below the source; links are not followed. Raises FileError."""
    try:
        if source.is_dir():
            for folder, folders, names in os.walk(source):
                folders.sort()
                paths = (Path(folder, name) for name in names)
                regular = (path for path in paths if path.is_file() and not path.is_symlink())
                yield from ((path.relative_to(source).as_posix(), File(path)) for path in regular)
            return
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except zipfile.BadZipFile:
        raise FileError(f"{show(str(source))} should be a folder or a zip of hand-ins, and is neither") from None
    except OSError as error:
        raise FileError(f"{show(str(source))}: {error.strerror or error}: expected a folder or a zip of hand-ins") from None
    yield from ((member.filename, File(source, member.filename)) for member in members)


def _without_common_folder(files: Mapping[str, File]) -> dict[str, File]:
    """What is packed with the folder around it, as if it were packed without."""
    tops = {PurePosixPath(place).parts[0] for place in files}
    if len(tops) == 1 and all("/" in place for place in files):
        return {place.partition("/")[2]: file for place, file in files.items()}
    return dict(files)


def _pattern(match: str) -> re.Pattern[str]:
    """`{id}_*.npz` as a regular expression. Raises UsageError."""
    if match.count("{id}") != 1:
        raise UsageError(
            f"`match` is a pattern of names that has {{id}} in it once, such as '{{id}}_*.npz', not {show(match)!r}"
        )
    parts = {"{id}": "(?P<id>[^/]+?)", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(parts.get(part) or re.escape(part) for part in re.split(r"(\{id\}|\*|\?)", match)))


def _submitters(files: Mapping[str, File]) -> dict[str, list[str]]:
    """Who made each submission, by its folder, as Gradescope says beside its export: number and e-mail address."""
    at = next((file for place, file in files.items() if place == METADATA), None)
    if at is None:
        return {}
    found: dict[str, list[str]] = {}
    folder = ""
    for line in _content(at, 2**24).decode("utf-8", "replace").splitlines():
        if _SUBMISSION.fullmatch(line.rstrip(":")):
            folder = line.rstrip(":")
        elif folder and (field := _FIELD.fullmatch(line)):
            found.setdefault(folder, []).append(field[2])
    return found


def _owner(parts: Sequence[str], roster: Roster | None, submitters: Mapping[str, Sequence[str]]) -> str | None:
    """Whose file this is by the folders that it lies in, from the outermost, and its own name."""
    names = [*parts[:-1], PurePosixPath(parts[-1]).stem]
    for name in names:
        words = [name, *submitters.get(name, ())]
        if moodle := _MOODLE.fullmatch(name):
            if roster and (student := roster.named(moodle["name"])):
                return student.id
            words = [moodle["number"], *words]
        ends = [end.start() for end in re.finditer(r"[_\-. ]", name)]
        words += [name[:end] for end in reversed(ends)]
        if roster and (student := roster.find(*words, parts[-1])):
            return student.id
    first = names[0]
    if first in submitters:
        return next(filter(None, submitters[first]), first)
    moodle = _MOODLE.fullmatch(first)
    return moodle["number"] if moodle else first


@contextmanager
def reading(files: Sequence[File], exercise: Exercise) -> Iterator[Any]:
    """What one student handed in, as `compare` takes it: a file, or arrays by name where there are several.

    Raises FileError for what cannot be read; messages name files without folders, also those that are raised inside.
    """
    with ExitStack() as stack:
        paths = [path for file in files for path in _on_disk(file, stack)]
        try:
            yield _given([path for path in paths if path.suffix.lower() in ARRAYS], paths, exercise)
        except RnnTraceError as error:
            message = str(error)
            for path in sorted(paths, key=lambda path: -len(str(path))):
                message = message.replace(show(str(path)), show(path.name)).replace(str(path), show(path.name))
            raise type(error)(message) from None


def _on_disk(file: File, stack: ExitStack) -> Iterator[Path]:
    """The file where it lies, or unpacked where it is gone with the stack; of a zip that was handed in, what is in it."""
    path = file.path
    if file.member:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / file.name
        path.write_bytes(_content(file, MAX_BYTES))
    if path.suffix.lower() != ".zip":
        yield path
        return
    for _, inner in sorted(dict(_files(path)).items())[: MOST_FILES + 1]:
        unpacked = Path(stack.enter_context(tempfile.TemporaryDirectory())) / inner.name
        if unpacked.suffix.lower() in ARRAYS:
            unpacked.write_bytes(_content(inner, MAX_BYTES))
            yield unpacked


def _content(file: File, most: int) -> bytes:
    """The bytes of a file, or of a member of a zip. Raises FileError for more than so many, and for a damaged zip."""
    try:
        if not file.member:
            return file.path.read_bytes()[:most]
        with zipfile.ZipFile(file.path) as archive, archive.open(file.member) as stream:
            content = stream.read(most + 1)
    except (OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, NotImplementedError, EOFError) as error:
        raise FileError(f"{show(file.name)} cannot be unpacked: {show(str(error))}") from None
    if len(content) > most:
        raise FileError(f"{show(file.name)} is, unpacked, {over('MAX_BYTES', most)}")
    return content


def _given(paths: Sequence[Path], everything: Sequence[Path], exercise: Exercise) -> Any:
    """The file, or the arrays of several by name. Raises FileError."""
    if not paths:
        found = ", ".join(show(path.name) for path in everything[:5])
        raise FileError(f"expected a file of numbers, such as .npz, .json or .csv, and found {found or 'none'}")
    if len(paths) > MOST_FILES:
        raise FileError(f"expected at most {MOST_FILES} files of numbers, and found more")
    # Whoever hands in everything hands in what was given out too.
    answers = [path for path in paths if path.name not in GIVEN_OUT]
    paths, is_word = answers or paths, _words(exercise)
    if len(paths) == 1 and not is_word(paths[0].stem):
        return str(paths[0])
    arrays: dict[str, Array] = {}
    homes: dict[str, str] = {}
    for path in paths:
        tensors = _read(path, optional=path.suffix.lower() == ".txt" and len(paths) > 1)
        if bad := next((name for name in tensors.refused if is_word(name)), None):
            raise FileError(f"{show(path.name)}: {show(bad)[:60]} should be an array of numbers, and is {tensors.refused[bad]}")
        alone = len(tensors.arrays) == 1
        for own, array in tensors.arrays.items():
            name = path.stem if alone and not is_word(own) else own
            if name in arrays and is_word(name):
                raise FileError(f"{show(homes[name])} and {show(path.name)} both hold {show(name)[:60]}: leave one of them out")
            arrays[name], homes[name] = array, path.name
    return arrays


def _read(path: Path, *, optional: bool) -> Tensors:
    """The arrays of a file; a text beside others may hold none."""
    try:
        return tensors_of(path)
    except FileError:
        if not optional:
            raise
        return Tensors({}, {})


def _words(exercise: Exercise) -> Callable[[str], bool]:
    """What says whether a name means a quantity that can be handed in."""
    if exercise.backward:
        return frozenset(gradients(exercise.spec)).__contains__
    vocabulary = of_results(exercise.spec)
    return lambda name: vocabulary[name] is not None
