"""`worksheet`: a sheet for each student with numbers of their own and blanks, the same numbers as arrays, and the key apart."""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnntrace.course.check import check_exercise
from rnntrace.course.exercise import Exercise, points
from rnntrace.course.exercise_file import read_exercise
from rnntrace.course.key import key_of, names_of
from rnntrace.course.numbers import EVERYBODY, Numbers, numbers_of, read_secret
from rnntrace.course.roster import Student, file_name, read_roster
from rnntrace.course.written import Files, folder
from rnntrace.errors import UsageError, show
from rnntrace.files.atomic import replace_files
from rnntrace.model.dtypes import Array
from rnntrace.model.layouts import parameter_name, part_shapes
from rnntrace.model.spec import ModuleSpec
from rnntrace.render import Style, render
from rnntrace.report.explain import equations
from rnntrace.report.table import SCHEMA, Column, Report, Scale, Table
from rnntrace.verbs.shown import Shown

SUFFIXES = {"html": ".html", "latex": ".tex", "markdown": ".md"}
"""Formats of a sheet, and how its file ends."""
BLANK = "........"


@dataclass(frozen=True, repr=False)
class Worksheets(Shown):
    """The sheets that were written: the folder of each student by id, and that of the keys, if there are any."""

    exercise: Exercise
    folders: Mapping[str, Path]
    keys: Path | None

    def report(self) -> Report:
        """How many there are, and where."""
        where = sorted({str(path if EVERYBODY in self.folders else path.parent) for path in self.folders.values()})
        told = [f"wrote {len(self.folders)} worksheets to {show(', '.join(where))}"]
        told += [f"their keys to {show(str(self.keys))}: for nobody else's eyes"] if self.keys else []
        return Report(
            headline=(((show(self.exercise.title),), (f"{points(self.exercise.max_score)} points",)),),
            tables=(),
            conclusion=tuple(told),
            passed=None,
            document={
                "schema": SCHEMA,
                "command": "worksheet",
                "title": self.exercise.title,
                "students": [{"id": id, "folder": str(path)} for id, path in self.folders.items()],
                "keys": None if self.keys is None else str(self.keys),
            },
        )


def worksheet(
    exercise: str | Path | Exercise,
    output: str | Path = "sheets",
    *,
    roster: str | Path | None = None,
    format: str = "html",
    key: bool = False,
    tell: Callable[[str, float], None] | None = None,
) -> Worksheets:
    """Write a sheet for every student of a `roster`, `output`/ID/sheet.html, or one for all, `output`/sheet.html.

    Beside it lie student.npz and student.json with the same numbers: weights under torch's names, x and the initial states.
    With `key`, all right values stand in key.npz and key.html in a folder of their own, `output`.key. A sheet is "html",
    "latex" or "markdown". Raises UsageError for an exercise that cannot be used, and FileError.
    """
    if format not in SUFFIXES:
        raise UsageError(f"unknown format {format!r}: choose one of {', '.join(SUFFIXES)}")
    setting = exercise if isinstance(exercise, Exercise) else read_exercise(exercise)
    secret = read_secret(setting.secret)
    check_exercise(setting).require_usable()
    students = [Student(EVERYBODY)] if roster is None else [*read_roster(roster)]
    out = Path(output)
    keys = out.with_name(f"{out.name}.key") if key else None
    folders: dict[str, Path] = {}
    for number, student in enumerate(students):
        below = file_name(student.id) if student.id else ""
        numbers = numbers_of(setting, secret, student.id)
        files = [*_sheet_files(setting, numbers, student, folder(out / below), format)]
        if keys:
            files += _key_files(setting, numbers, student, folder(keys / below), format)
        replace_files(files)
        folders[student.id] = out / below
        if tell:
            tell("writing worksheets", (number + 1) / len(students))
    return Worksheets(setting, folders, keys)


def _sheet_files(
    exercise: Exercise, numbers: Numbers, student: Student, where: Path, format: str
) -> Iterator[tuple[Path, bytes]]:
    report = sheet(exercise, numbers, student)
    yield where / f"sheet{SUFFIXES[format]}", _rendered(report, format, exercise.typed_decimals)
    yield where / "student.npz", _npz(numbers.arrays)
    yield where / "student.json", json.dumps({name: array.tolist() for name, array in numbers.arrays.items()}).encode()


def _key_files(exercise: Exercise, numbers: Numbers, student: Student, where: Path, format: str) -> Files:
    found = key_of(exercise, numbers)
    tables = tuple(_number_table(name, array) for name, array in found.items())
    report = Report((*_headline(exercise, student), (("key",), ())), tables, (), None, {})
    return [
        (where / f"key{SUFFIXES[format]}", _rendered(report, format, exercise.decimals)),
        (where / "key.npz", _npz(found)),
    ]


def sheet(exercise: Exercise, numbers: Numbers, student: Student) -> Report:
    """The equations, the student's numbers, blanks for what is handed in, and the rule of the points."""
    rows = dict(_row_names(exercise.spec))
    given = tuple(_number_table(name, array, rows.get(name)) for name, array in numbers.arrays.items())
    right = key_of(exercise, numbers)
    asked = [name for word in (*exercise.required, *exercise.optional) for name in names_of(exercise, word)]
    blanks = (_blank_table(name, right[name], exercise.decimals) for name in asked)
    headline = (*_headline(exercise, student), *(((line,), ()) for line in exercise.rule))
    return Report(headline, (*given, *blanks), (), None, {}, formulas=(equations(exercise.spec),))


def _headline(exercise: Exercise, student: Student) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    who = tuple(show(word) for word in (student.name, student.id) if word)
    return ((show(exercise.title), f"{points(exercise.max_score)} points"), who), ((str(exercise.spec),), ())


def _rendered(report: Report, format: str, digits: int) -> bytes:
    return render(report, format, Style(digits=digits, max_rows=0)).encode()


def _npz(arrays: Mapping[str, Array]) -> bytes:
    written = io.BytesIO()
    np.savez(written, **arrays)  # type: ignore[arg-type]
    return written.getvalue()


def _row_names(spec: ModuleSpec) -> Iterator[tuple[str, list[str]]]:
    """The parameters that hold blocks of several gates, and whose gate and unit each row is."""
    for layer, direction in spec.layer_directions:
        for parameter, part in zip(spec.declared, part_shapes(spec, layer), strict=True):
            if parameter.gates:
                units = range(spec.shapes(layer)[parameter.name][1])
                yield (
                    parameter_name(spec, part, layer, direction),
                    [f"{gate} {unit}" for gate in parameter.gates for unit in units],
                )


def _number_table(name: str, array: Array, row_names: Sequence[str] | None = None) -> Table:
    """An array as rows of numbers: of a matrix each row by its number or name, of a sequence each step."""
    rows = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(-1, 1)
    columns = (Column(f"{unit}", rows[:, unit], Scale.SIGNED, name, name) for unit in range(rows.shape[1]))
    places = [Column("gate", np.array(row_names, object), Scale.NAME)] if row_names else _places(name, array)
    return Table(name, (*places, *columns))


def _blank_table(name: str, array: Array, decimals: int) -> Table:
    """The same rows with nothing in them."""
    rows = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(-1, 1)
    empty = np.full(len(rows), BLANK, object)
    columns = (Column(f"{unit}", empty, Scale.WORD, name, name) for unit in range(rows.shape[1]))
    return Table(f"{name}, to {decimals} decimals", (*_places(name, array), *columns))


def _places(name: str, array: Array) -> Iterator[Column]:
    """Which row is which: steps count from 1, everything else from 0."""
    rows = int(np.prod(array.shape[:-1])) if array.ndim > 1 else len(array)
    is_sequence = (array.ndim == 3 and not name.endswith(("_n", "0"))) or name == "x"
    if is_sequence:
        items = rows // len(array)
        yield Column("t", np.repeat(np.arange(1, len(array) + 1), items), Scale.INDEX)
        if items > 1:
            yield Column("item", np.tile(np.arange(items), len(array)), Scale.INDEX)
    else:
        yield Column("row", np.arange(rows), Scale.INDEX)
