"""What a user says of files of weights that these leave open; what a file says by itself is not overridden, but refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rnntrace.equations.cell import Cell
from rnntrace.errors import UsageError, show
from rnntrace.files.grid import Grid
from rnntrace.files.ignored import Ignored
from rnntrace.model.courses import COURSES, Course
from rnntrace.model.merges import CONCAT, MERGES
from rnntrace.model.module import ASK_RESET, Contents, Module
from rnntrace.verbs.given.arrays import label_of
from rnntrace.verbs.given.cells import cell, module_with
from rnntrace.verbs.given.keywords import pass_on
from rnntrace.verbs.given.modules import check_judged, check_layout, modules_of
from rnntrace.verbs.layouts import convention_named

Modules = Mapping[str, Module]
RESETS = ("before", "after")
"""Where a GRU's reset gate acts, seen from the matrix product: by `reset_after`."""


@dataclass(frozen=True)
class FileOverrides:
    """What a file of weights cannot tell, and which of its modules is meant: the keywords of `compare` by the same names."""

    module: str | None = None
    nonlinearity: str | None = None
    batch_first: bool = False
    dropout: float = 0.0
    names: tuple[str, ...] = ()
    layout: str | None = None
    go_backwards: bool = False
    recurrent_activation: str | None = None
    merge: str | None = None
    reset: str | None = None
    cell: Cell | str | Path | None = None
    ignored: Ignored = field(default_factory=Ignored)
    grid: Grid | None = None
    config: Any = None
    graph_inputs: Any = None


_OF_KINDS = (
    *("module", "names", "layout", "nonlinearity", "go_backwards", "recurrent_activation", "merge", "reset"),
    *("config", "graph_inputs"),
)
"""What is not said of a cell of one's own."""


def read_weights(source: Any, overrides: FileOverrides) -> Modules:
    """The modules of one source by prefix: see `read_files`."""
    (modules,) = read_files([source], overrides)
    return modules


def read_files(sources: Sequence[Any], overrides: FileOverrides) -> list[Modules]:
    """The modules to compare by prefix, source by source, with what the files cannot tell as it is given.

    A file of one module beside the one that holds `overrides.module` means that, whatever its prefix. Raises UsageError if
    there is no module of that prefix, or something is given that the files tell by themselves.
    """
    if overrides.cell is not None:
        return _of_own_cell(overrides.cell, sources, overrides)
    # What belongs beside a file belongs to the first.
    alone = replace(overrides, config=None, graph_inputs=None)
    contents = [_contents(source, alone if number else overrides) for number, source in enumerate(sources)]
    if overrides.module is not None:
        found = any(overrides.module in of_file.prefixes for of_file in contents)
        contents = [
            of_file if found and len(of_file.prefixes) == 1 else _chosen(source, of_file, overrides.module)
            for source, of_file in zip(sources, contents, strict=True)
        ]
    for source, of_file in zip(sources, contents, strict=True):
        check_judged(source, of_file)
    files = [of_file.modules for of_file in contents]
    check_layout(overrides.layout, dict(zip(map(label_of, sources), files, strict=True)))
    _refuse_contradicted([*map(label_of, sources)], files, overrides)
    return [{prefix: _overridden(module, overrides) for prefix, module in modules.items()} for modules in files]


def _contents(source: Any, overrides: FileOverrides) -> Contents:
    contents: Contents = pass_on(modules_of, vars(overrides), source=source)
    return contents


def _of_own_cell(own: Cell | str | Path, sources: Sequence[Any], overrides: FileOverrides) -> list[Modules]:
    for name in _OF_KINDS:
        if getattr(overrides, name):
            raise UsageError(f"`{name}` says what a file leaves open, and a `cell` of your own says what it is: leave it out")
    if overrides.grid:
        raise UsageError("`scale` and `q` are for weights of torch's names, and not for a `cell` of your own: leave them out")
    declared = cell(own)
    return [{"": module_with(declared, source, overrides.ignored, batch_first=overrides.batch_first)} for source in sources]


def course_of(modules: Modules) -> Course | None:
    """The course in whose words and axes some modules are fed and judged, if they are in the layout of one."""
    return next((COURSES[module.layout] for module in modules.values() if module.layout in COURSES), None)


def named_course(layout: str | None) -> Course | None:
    """The course that a layout is of, if it is one's. Raises UsageError for a layout that there is not."""
    return None if layout is None else COURSES.get(convention_named(layout).framework)


def own_states(modules: Modules) -> tuple[str, ...]:
    """The states of the cells of some modules."""
    return tuple(dict.fromkeys(state for module in modules.values() for state in module.spec.cell.states))


def _chosen(source: Any, contents: Contents, prefix: str) -> Contents:
    if prefix not in contents.prefixes:
        choices = ", ".join(show(name) or "(no prefix)" for name in contents.prefixes)
        raise UsageError(f"{label_of(source)} holds no module {show(prefix)!r}: choose one of {choices}")
    return contents.only({prefix})


def _refuse_contradicted(labels: Sequence[str], files: Sequence[Modules], overrides: FileOverrides) -> None:
    """Raises UsageError if something is given that no file leaves open, or that a file tells otherwise."""
    for label, found in zip(labels, files, strict=True):
        rnns = [module for module in found.values() if module.spec.family == "RNN"]
        if overrides.nonlinearity is not None and not rnns:
            raise UsageError(f"`nonlinearity` belongs to RNN, and {label} holds none: leave it out")
        said = {module.spec.nonlinearity for module in rnns if "nonlinearity" not in module.assumed} - {overrides.nonlinearity}
        if overrides.nonlinearity is not None and said:
            raise UsageError(f"`nonlinearity={overrides.nonlinearity}` contradicts {label}, which says {said.pop()}")
        _refuse_activation(label, found, overrides.recurrent_activation)
        _refuse_merge(label, found, overrides.merge)
        _refuse_reset(label, found, overrides.reset)
    modules = [module for found in files for module in found.values()]
    # Of two files, one may tell the direction.
    if overrides.go_backwards and not any("direction" in module.assumed or module.output_reversed for module in modules):
        names = " and ".join(labels)
        raise UsageError(f"`go_backwards` belongs to Keras' layers, and contradicts {names}: leave it out")


def _refuse_activation(label: str, modules: Modules, wanted: str | None) -> None:
    """Raises UsageError if another activation of gates is wanted than a file tells, or if nothing in it has gates."""
    gated = [module for module in modules.values() if module.spec.recurrent_activation is not None]
    if wanted is not None and not gated:
        raise UsageError(f"`recurrent_activation` belongs to LSTM and GRU, and {label} holds none: leave it out")
    for module in gated:
        found = module.spec.recurrent_activation
        if (
            wanted not in (None, found)
            and not module.leaves_open("recurrent_activation")
            and (wanted, found) != ("hard_sigmoid", module.hard_sigmoid)
        ):
            raise UsageError(f"`recurrent_activation={wanted}` contradicts {label}, which says {found}")


def _refuse_merge(label: str, modules: Modules, wanted: str | None) -> None:
    """Raises UsageError if directions are to be merged otherwise than a file tells, or if nothing in it has two."""
    both_ways = [module for module in modules.values() if module.spec.bidirectional]
    if wanted is not None and not both_ways:
        raise UsageError(f"`merge` joins two directions, and {label} holds no bidirectional module: leave it out")
    for module in both_ways:
        if wanted not in (None, module.spec.merge) and not module.leaves_open("merge"):
            raise UsageError(f"`merge={wanted}` contradicts {label}, which says {module.spec.merge}")


def _refuse_reset(label: str, modules: Modules, wanted: str | None) -> None:
    """Raises UsageError if the reset gate is to act elsewhere than a file tells, or if nothing in it has one."""
    if wanted not in (None, *RESETS):
        raise UsageError(f"`reset` is one of {', '.join(RESETS)}, and not {show(str(wanted))}")
    gated = [module for module in modules.values() if module.spec.family == "GRU"]
    if wanted is not None and not gated:
        raise UsageError(f"`reset` belongs to GRU, and {label} holds none: leave it out")
    for module in gated:
        found = RESETS[module.spec.reset_after]
        if wanted not in (None, found) and not module.leaves_open("reset_after"):
            raise UsageError(f"`reset={wanted}` contradicts {label}, which says {found}")


def as_merged(modules: Modules, overrides: FileOverrides) -> dict[str, Modules]:
    """The only module as if its directions were merged, by the name of each way; none if that is known, or there are others."""
    module = next(iter(modules.values()))
    if len(modules) > 1 or overrides.merge is not None or not module.spec.bidirectional or not module.leaves_open("merge"):
        return {}
    ways = {merge: replace(module.spec, merge=merge) for merge in MERGES if merge != CONCAT}
    return {merge: {prefix: replace(module, spec=spec) for prefix in modules} for merge, spec in ways.items()}


def _overridden(module: Module, overrides: FileOverrides) -> Module:
    spec = module.spec
    if (
        overrides.recurrent_activation is not None
        and spec.recurrent_activation is not None
        and module.leaves_open("recurrent_activation")
    ):
        # By this name each Keras means its own.
        named = module.hard_sigmoid if overrides.recurrent_activation == "hard_sigmoid" else overrides.recurrent_activation
        spec, module = replace(spec, recurrent_activation=named), replace(module, open="")
    if overrides.merge is not None and spec.bidirectional and module.leaves_open("merge"):
        spec = replace(spec, merge=overrides.merge)
    if overrides.reset is not None and spec.family == "GRU" and module.leaves_open("reset_after"):
        spec = replace(spec, reset_after=overrides.reset == RESETS[True])
        assumed = tuple(name for name in module.assumed if name != "reset_after")
        remarks = tuple(remark for remark in module.remarks if not remark.endswith(ASK_RESET))
        module = replace(module, assumed=assumed, remarks=remarks)
    if overrides.nonlinearity is not None and "nonlinearity" in module.assumed:
        spec = replace(spec, nonlinearity=overrides.nonlinearity)
    if not spec.is_cell:
        spec = replace(spec, batch_first=spec.batch_first or overrides.batch_first, dropout=overrides.dropout or spec.dropout)
    if overrides.go_backwards and "direction" in module.assumed:
        return replace(module, spec=replace(spec, reverse=True), weights=module.weights.reversed(), output_reversed=True)
    return replace(module, spec=spec)
