"""exercise.toml: read, and checked word for word, with the line of what is wrong."""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any

from rnntrace.course.exercise import GATES, LEVELS, Exercise
from rnntrace.engine.backward.loss import LOSSES
from rnntrace.equations.cell import Cell
from rnntrace.errors import FileError, RnnTraceError, UsageError, show
from rnntrace.model.inputs import SignalRequest
from rnntrace.model.layouts import parameter_shapes
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.vocabulary import required
from rnntrace.verbs.given.cells import cell
from rnntrace.verbs.given.modules import spec_of_kind
from rnntrace.verbs.given.sources import Sources
from rnntrace.verbs.run import run

LARGEST = 2**20
"""Bytes of an exercise file; a page has thousands."""
SECTIONS = ("module", "signals", "hand_in", "points", "rules", "texts", "secret")
TEXTS = ("right", "wrong", "explained", "missing", "place", "mistake", "numbers", "full", "unreadable", "absent", "timeout")
"""Sentences of the feedback that [texts] may replace."""
_OF_MODULE = (
    *("kind", "cell", "input_size", "hidden", "layers", "bidirectional", "bias", "nonlinearity", "proj_size", "dtype"),
    *("peepholes", "coupled", "clip", "reset_before", "layer_norm", "independent"),
    *("activation", "recurrent_activation", "cell_activation"),
)
_NO_LOSSES = ("mse",)
"""Losses that need more than the module."""


class _Section:
    """A table of the file, from which every key is taken once."""

    def __init__(self, file: "_File", name: str) -> None:
        self.file, self.name = file, name
        values = file.values.get(name, {})
        if not isinstance(values, dict):
            raise file.wrong(name, "", f"should be a table, [{name}], and is {_shown(values)}")
        self.values = values
        self.known: list[str] = []

    def take(self, key: str, kind: type, says: str, default: Any = None, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """The value of a key, or its default. Raises UsageError that `says` what was expected."""
        self.known.append(key)
        if key not in self.values:
            return default
        value = self.values[key]
        number = kind is float and isinstance(value, int) and not isinstance(value, bool)
        if not (isinstance(value, kind) or number) or (kind is int and isinstance(value, bool)) or not fits(value):
            raise self.wrong(key, f"should be {says}, not {_shown(value)}")
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """A list of words."""
        says = "a list of different names"
        found = self.take(key, list, says, [], lambda names: all(isinstance(name, str) for name in names))
        if len({*found}) < len(found):
            raise self.wrong(key, f"should be {says}, not {_shown(found)}")
        return tuple(found)

    def wrong(self, key: str, says: str) -> UsageError:
        return self.file.wrong(self.name, key, says)

    def end(self) -> None:
        """Raises UsageError for a key that means nothing."""
        for key in self.values:
            if key not in self.known:
                raise self.wrong(key, f"means nothing here{_near(key, self.known)}")


class _File:
    """The file's values, and where in it they stand."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text
        try:
            self.values = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise FileError(f"{show(str(path))} is no TOML: {show(str(error))}") from None

    def wrong(self, section: str, key: str, says: str) -> UsageError:
        where = f"{show(str(self.path))}, line {self.line(section, key)}: "
        what = f"[{section}]" if section else ""
        return UsageError(f"{where}{' '.join(filter(None, (what, show(key))))[:80]} {says}")

    def line(self, section: str, key: str) -> int:
        """The line of a key, or of its table."""
        inside, at = "", 1
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[+\s*([\w.-]+)\s*\]+", line):
                inside = header[1]
                at = number if inside == section else at
            elif re.match(rf"\s*[\"']?{re.escape(key or section)}[\"']?\s*[=.]", line) and inside == (section if key else ""):
                return number
        return at


def read_exercise(path: str | Path) -> Exercise:
    """The exercise that a file describes. Raises FileError and UsageError, which name the line and what was expected."""
    path = Path(path)
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST else b""
    except OSError as error:
        raise FileError(f"{show(str(path))}: {error.strerror or error}; `rnntrace exercise new` writes one") from None
    if not content.strip():
        raise FileError(f"{show(str(path))} should be an exercise of up to 1 MiB: see `rnntrace exercise new`")
    try:
        file = _File(path, content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise FileError(f"{show(str(path))} is no text in UTF-8") from None
    for key in file.values:
        if key not in ("title", *SECTIONS):
            raise file.wrong("", key, f"means nothing here{_near(key, ('title', *SECTIONS))}")
    title = file.values.get("title", "Exercise")
    if not isinstance(title, str):
        raise file.wrong("", "title", f"should be text, not {_shown(title)}")
    sections = {name: _Section(file, name) for name in SECTIONS}
    spec = _module(sections["module"], path.parent)
    request, typed_decimals = _signals(sections["signals"], spec)
    backward, loss, decimals, needed, optional = _hand_in(sections["hand_in"], spec)
    rules = sections["rules"]
    feedback = rules.take("feedback", str, f"one of {', '.join(LEVELS)}", "place", LEVELS.__contains__)
    first_error_only = rules.take("first_error_only", bool, "true or false", True)
    prices = _prices(rules, spec)
    named = sections["secret"].take("file", str, "the name of a file", f"{path.stem}.secret", lambda name: bool(name.strip()))
    texts = {key: sections["texts"].take(key, str, "text") for key in TEXTS}
    found = Exercise(
        title=title,
        spec=spec,
        request=request,
        required=needed,
        optional=optional,
        decimals=decimals,
        typed_decimals=typed_decimals,
        unseen=rules.names("unseen"),
        worth=_points(sections["points"], spec, needed, optional),
        prices=prices,
        first_error_only=first_error_only,
        feedback=feedback,
        secret=path.parent / named,
        backward=backward,
        loss=loss,
        texts={key: text for key, text in texts.items() if text is not None},
    )
    for section in sections.values():
        section.end()
    return found


def _module(section: _Section, folder: Path) -> ModuleSpec:
    usual = {name: parameter.default for name, parameter in signature(run).parameters.items()}
    said = {key: section.values[key] for key in _OF_MODULE if key in section.values}
    section.known += _OF_MODULE
    for key in said:
        kind = {bool: bool, int: int, float: float, str: str}.get(type(usual[key]), str)
        kind = {"input_size": int, "clip": float}.get(key, kind)
        section.take(key, kind, {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "a word"))
    if "cell" in said:
        said["cell"] = _cell(said["cell"], folder)
    try:
        return spec_of_kind(said.get("kind"), Sources(), {**usual, **said})
    except RnnTraceError as error:
        keys = [key for key in (*error.fields, "cell", "kind") if key in said]
        raise section.wrong(keys[0] if keys else "", f"cannot be: {error}") from None


def _cell(source: str, folder: Path) -> Cell:
    """A cell of one's own: its text, or a file beside the exercise."""
    return cell(source if "=" in source else folder / source)


def _signals(section: _Section, spec: ModuleSpec) -> tuple[SignalRequest, int]:
    def whole(key: str, default: int) -> int:
        return int(section.take(key, int, "a whole number from 1 to 10000", default, lambda number: 1 <= number <= 10_000))

    states = {}
    for state in spec.cell.states:
        says = "zeros or random"
        states[state] = section.take(f"{state}0", str, says, "random", ("zeros", "random").__contains__)
    unbatched = section.take("unbatched", bool, "true or false", False)
    if unbatched and "batch" in section.values:
        raise section.wrong("batch", "cannot be combined with unbatched = true: leave one of them out")
    decimals = section.take("decimals", int, "a whole number from 1 to 6", 2, lambda number: 1 <= number <= 6)
    request = SignalRequest(steps=whole("steps", 4), batch=whole("batch", 1), unbatched=unbatched, states=states)
    return request, decimals


def _hand_in(section: _Section, spec: ModuleSpec) -> tuple[bool, str, int, tuple[str, ...], tuple[str, ...]]:
    backward = section.take("backward", bool, "true or false", False)
    losses = [loss for loss in LOSSES if loss not in _NO_LOSSES]
    loss = section.take("loss", str, f"one of {', '.join(losses)}", "sum", losses.__contains__)
    if "loss" in section.values and not backward:
        raise section.wrong("loss", "belongs to gradients: set backward = true, or leave it out")
    decimals = section.take("decimals", int, "a whole number from 1 to 12", 4, lambda number: 1 <= number <= 12)
    needed, optional = section.names("require"), section.names("optional")
    if not needed:
        raise section.wrong("require" if "require" in section.values else "", "should say in `require` what is handed in")
    for key, names in (("require", needed), ("optional", optional)):
        for name in names:
            if not (name in gradients(spec) if backward else _is_result(spec, name)):
                known = gradients(spec) if backward else (*_results(spec), *spec.cell.symbols)
                raise section.wrong(key, f"names {show(name)[:40]!r}, which means nothing here: choose from {', '.join(known)}")
    if both := [name for name in needed if name in optional]:
        raise section.wrong("optional", f"names {', '.join(both)}, which is required already: leave it out")
    return backward, loss, decimals, needed, optional


def _results(spec: ModuleSpec) -> tuple[str, ...]:
    return ("output", *(f"{state}_n" for state in spec.cell.states))


def _is_result(spec: ModuleSpec, name: str) -> bool:
    try:
        return bool(required(spec, (name,)))
    except KeyError:
        return False


def gradients(spec: ModuleSpec) -> tuple[str, ...]:
    """What gradients of a module are called in an exercise."""
    return ("x", *(f"{state}0" for state in spec.cell.states), *parameter_shapes(spec), *(f"d_{s}" for s in spec.cell.symbols))


def _points(section: _Section, spec: ModuleSpec, needed: Sequence[str], optional: Sequence[str]) -> dict[str, float]:
    """Points by quantity, those of `gates` shared out."""
    named = (*needed, *optional)
    gates = [name for name in named if _is_gate(spec, name)]
    worth: dict[str, float] = {}
    for key in section.values:
        value = section.take(key, float, "a number of 0 or more", 0.0, lambda number: 0 <= number < 1e9)
        if key == GATES and key not in named:
            if not gates and value:
                raise section.wrong(key, "are for gates, and [hand_in] names none: name some, or leave it out")
            worth |= {name: value / len(gates) for name in gates if name not in section.values}
        elif key in named:
            worth[key] = float(value)
        else:
            raise section.wrong(key, f"is not handed in: name it in [hand_in], or choose from {', '.join((*named, GATES))}")
    for name in needed:
        if name not in worth:
            raise section.wrong("", f"should say how many points {name} has, which is required: {name} = 1")
    if not sum(worth[name] for name in needed):
        raise section.wrong("", "should give points above 0 for what is required")
    return {name: worth[name] for name in named if name in worth}


def _is_gate(spec: ModuleSpec, name: str) -> bool:
    """Whether a name is that of a gate: a quantity of each step that is no state."""
    symbol = name.rpartition(".")[2].removeprefix("d_")
    return symbol in spec.cell.symbols and symbol not in spec.cell.states and name not in _results(spec)


def _prices(section: _Section, spec: ModuleSpec) -> Mapping[str, float]:
    """What mistakes cost, by pattern; in the file below 0."""
    found = section.take("mistake", dict, 'a table such as { "lstm.bias.*" = -1 }', {})
    for pattern, cost in found.items():
        if isinstance(cost, bool) or not isinstance(cost, int | float) or not -1e9 < cost <= 0:
            raise section.wrong("mistake", f"should give {show(pattern)[:40]!r} a number of 0 or less, not {_shown(cost)}")
    return {pattern: -float(cost) for pattern, cost in found.items()}


def _shown(value: Any) -> str:
    return show(repr(value))[:60]


def _near(key: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = get_close_matches(key, known, n=1)
    return f": did you mean {near[0]}?" if near else f": expected {', '.join(known)}"
