"""The report of a file of weights: which recurrent modules it holds."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnntrace.errors import show
from rnntrace.model.command_line import command_line, compare_line
from rnntrace.model.dtypes import Array
from rnntrace.model.module import Module, Refused
from rnntrace.model.neighbours import Neighbour
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.report.table import SCHEMA, Column, Line, Report, Scale, Table
from rnntrace.report.variant import variant

MOST = 12
"""Neighbours of modules that are listed."""
ASSUMED = {
    "nonlinearity": ("tanh from relu", "tanh"),
    "batch_first": ("time first from batch first", "time first"),
    "dropout": ("dropout", "none"),
    "direction": ("forward from go_backwards", "forward"),
    "merge": ("how directions are merged", "side by side"),
    "recurrent_activation": ("sigmoid from hard_sigmoid gates", ""),
    "reset_after": ("a reset before the matrix product from one after it", ""),
}
"""By field of a spec: what a file may not tell, and what is assumed then, empty where that differs from file to file."""


@dataclass(frozen=True)
class Inspection:
    """A file of weights: its name, its recurrent modules by prefix, how many tensors belong to none, and modules not judged.

    `neighbours` are other tensors that fit before or behind a module. `source` is what a command is given to read the same
    again, empty for weights in memory, with these `flags`.
    """

    file: str
    modules: Mapping[str, Module]
    other_tensors: int
    refused: Mapping[str, Refused] = field(default_factory=dict)
    neighbours: tuple[Neighbour, ...] = ()
    source: str = ""
    flags: Mapping[str, str | Sequence[str] | None] = field(default_factory=dict)

    def compare_line(self, prefix: str) -> str | None:
        """What to type to replay a module of the file; None for weights in memory.

        Where torch lacks the module, outputs of its own are asked for, and where the file leaves a question on which they hang,
        what is assumed is spelled out.
        """
        if not self.source:
            return None
        module = self.modules[prefix]
        several = len(self.modules) + len(self.refused) > 1
        own = {"input": "x.npz", "expected": "y.npz"} if module.spec.torch_lacks else {}
        assumed = {"recurrent_activation": module.spec.recurrent_activation} if module.open else {}
        return compare_line(self.source, {**self.flags, "module": prefix if several else None, **assumed, **own})


def inspect_report(inspection: Inspection, *, weights: bool = False) -> Report:
    """What a file holds; with `weights` also how the weights of each gate are spread."""
    modules = inspection.modules.values()
    tables = [_modules(inspection.modules)] if modules else []
    if weights:
        tables += [_spread(prefix, module.spec, module.weights) for prefix, module in inspection.modules.items()]
    layouts = tuple(dict.fromkeys(module.layout for module in modules))
    return Report(
        headline=(
            ((inspection.file,), layouts),
            *_assumption(inspection.modules.values()),
            *_remarks(inspection.modules),
            *_around(inspection.modules),
            *_beside(inspection.neighbours),
            *_not_judged(inspection.refused),
        ),
        tables=tuple(tables),
        conclusion=(
            _counted(len(modules), "recurrent module"),
            *([_counted(len(inspection.refused), "module") + " not judged"] if inspection.refused else []),
            _counted(inspection.other_tensors, "other tensor"),
        ),
        passed=None,
        document=_document(inspection, weights),
        hint=_next(inspection),
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number != 1 else "")


def _assumption(modules: Collection[Module]) -> tuple[Line, ...]:
    """What the file does not tell, and what is assumed."""
    open_questions = [name for name in ASSUMED if any(name in module.assumed for module in modules)]
    if not open_questions:
        return ()
    told, taken = map(list, zip(*(ASSUMED[name] for name in open_questions), strict=True))
    for number, name in enumerate(open_questions):
        if not taken[number]:
            taken[number] = " or ".join(sorted({_word(name, module.spec) for module in modules if name in module.assumed}))
    return ((("the file does not tell " + _enumerated(told, "or") + ": assumed " + _enumerated(taken, "and"),), ()),)


def _word(name: str, spec: ModuleSpec) -> str:
    """What a module was taken for in a field that the file does not tell."""
    return ("after" if spec.reset_after else "before") if name == "reset_after" else str(getattr(spec, name))


def _remarks(modules: Mapping[str, Module]) -> tuple[Line, ...]:
    """How the weights of a module were read, where it has others in their place."""
    return tuple(
        ((f"{show(prefix) or 'the module'}: {remark}",), ()) for prefix, module in modules.items() for remark in module.remarks
    )


def _around(modules: Mapping[str, Module]) -> tuple[Line, ...]:
    """What each module of a model reads, and what is made of its output."""
    return tuple(((f"{show(prefix)} {sentence}",), ()) for prefix, module in modules.items() for sentence in around(module))


def around(module: Module) -> Iterator[str]:
    """What a module of a model reads but the input, and what is made of its output, each as the rest of a sentence."""
    before, behind = module.before, module.behind
    if before and before.unknown:
        yield f"reads {before.unknown}, which is not replayed"
    elif before and (before.layer or before.through):
        through = f" through {', '.join(map(str, before.through))}" if before.through else ""
        yield f"reads {show(before.layer) or 'the input'}{through}" + (", as the sizes tell" if before.assumed else "")
    if behind.layers or behind.unknown:
        unknown = [f"{behind.unknown}, which is not replayed"] if behind.unknown else []
        yield f"is followed by {', '.join([*map(str, behind.layers), *unknown])}"


def _beside(neighbours: Sequence[Neighbour]) -> tuple[Line, ...]:
    """Other tensors that fit before or behind a module."""
    found = [
        f"{show(one.tensor)} {one.shape} fits a {one.what} {one.place} {show(one.module) or 'the module'}".replace(
            "a embed", "an embed"
        )
        for one in neighbours
    ]
    more = [f"{len(found) - MOST} more tensors fit before or behind a module"] if len(found) > MOST else []
    return tuple(((sentence,), ()) for sentence in (*found[:MOST], *more))


def _next(inspection: Inspection) -> str:
    """What to type next: the line of the first module."""
    for prefix, module in inspection.modules.items():
        line = inspection.compare_line(prefix)
        lack = module.spec.torch_lacks
        beside = f" (torch has no {lack.removeprefix('a ')}: y.npz are outputs of your own)" if lack else ""
        return f"to replay {show(prefix) or 'it'}: {line}{beside}" if line else ""
    return ""


def _not_judged(refused: Mapping[str, Refused]) -> tuple[Line, ...]:
    return tuple(((f"{found.where} is not judged: {found.reason}",), ()) for found in refused.values())


def _enumerated(words: Sequence[str], last: str) -> str:
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _options(module: Module) -> str:
    """What a module has that most have not, in words."""
    spec, held = module.spec, [*module.states, *(["lengths"] if module.lengths is not None else [])]
    options = {
        **dict.fromkeys(variant(spec), True),
        "no bias": not spec.bias,
        "reset before the product": not spec.reset_after,
        "reverse alone": spec.reverse,
        "batch first": spec.batch_first,
        f"masked by {show(module.mask.source)}" if module.mask else "": module.mask is not None,
        f"holds {', '.join(held)}": bool(held),
    }
    return ", ".join(option for option, there in options.items() if there)


def _modules(modules: Mapping[str, Module]) -> Table:
    specs = [module.spec for module in modules.values()]
    numbers = {
        "input": [spec.input_size for spec in specs],
        "hidden": [spec.hidden_size for spec in specs],
        "layers": [spec.num_layers for spec in specs],
        "directions": [len(spec.directions) for spec in specs],
        "projection": [spec.proj_size for spec in specs],
        "parameters": [module.parameters for module in modules.values()],
    }
    options = [_options(module) or "-" for module in modules.values()]
    return Table(
        "recurrent modules",
        (
            _names("module", [show(prefix) or "(no prefix)" for prefix in modules]),
            _names("kind", [spec.kind for spec in specs]),
            _names("dtype", [spec.dtype for spec in specs]),
            *(Column(heading, np.array(values), Scale.COUNT, "sizes", "sizes") for heading, values in numbers.items()),
            Column("options", np.array(options, object), Scale.WORD, "options", "options"),
        ),
    )


MEASURES: dict[str, Callable[[Array], np.floating]] = {
    "smallest": np.min,
    "largest": np.max,
    "mean": np.mean,
    "deviation": np.std,
}


def _statistics(spec: ModuleSpec, weights: Weights) -> list[dict[str, Any]]:
    """How the weights of each gate are spread, a row for each block of each layer and direction."""
    return [
        {"layer": layer, "direction": direction, "weights": name}
        | {measure: float(function(values)) for measure, function in MEASURES.items()}
        for (layer, direction), found in weights.columns.items()
        for name, values in found.by_gate(spec.cell)
    ]


def _spread(prefix: str, spec: ModuleSpec, weights: Weights) -> Table:
    rows = _statistics(spec, weights)
    return Table(
        f"weights of {show(prefix) or 'the module'}",
        (
            Column("layer", np.array([row["layer"] for row in rows]), Scale.INDEX),
            _names("direction", [row["direction"] for row in rows]),
            _names("weights", [row["weights"] for row in rows]),
            *(
                Column(measure, np.array([row[measure] for row in rows]), section="spread", group="spread")
                for measure in MEASURES
            ),
        ),
    )


def _names(heading: str, words: list[str]) -> Column:
    return Column(heading, np.array(words, object), Scale.NAME)


def _document(inspection: Inspection, weights: bool) -> dict[str, Any]:
    modules = []
    for prefix, module in inspection.modules.items():
        spec = module.spec
        entry: dict[str, Any] = {
            "prefix": prefix,
            "layout": module.layout,
            "spec": spec.document(),
            "parameters": module.parameters,
            "run": command_line(spec) or None,
            "compare": inspection.compare_line(prefix),
            "assumed": list(module.assumed),
            "mask": module.mask.source if module.mask else None,
            "remarks": list(module.remarks),
            "around": [*around(module)],
        }
        if weights:
            entry["statistics"] = _statistics(spec, module.weights)
        modules.append(entry)
    return {
        "schema": SCHEMA,
        "command": "inspect",
        "file": inspection.file,
        "modules": modules,
        "refused": [
            {"prefix": prefix, "nature": found.nature or None, "reason": found.reason}
            for prefix, found in inspection.refused.items()
        ],
        "other_tensors": inspection.other_tensors,
        "neighbours": [
            {"tensor": one.tensor, "shape": list(one.shape), "what": one.what, "place": one.place, "module": one.module}
            for one in inspection.neighbours
        ],
    }
