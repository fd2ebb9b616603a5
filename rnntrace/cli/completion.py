"""What a shell completes: kinds, layouts, mistakes, parts of a table, files by their ending. Nothing heavy is loaded for it."""

from collections.abc import Callable, Iterable
from inspect import signature
from pathlib import Path
from typing import get_args, get_type_hints

import typer

Completion = Callable[..., list[str]]
WEIGHTS = (".pt", ".pth", ".safetensors", ".npz", ".json", ".onnx", ".keras", ".h5", ".mat")
ARRAYS = (".npy", ".npz", ".csv", ".txt", ".json", ".pt", ".safetensors", ".mat")
TRACES = (".npz", ".safetensors")


def completed(command: Callable[..., int]) -> Callable[..., int]:
    """The command, whose flags and arguments know how they are completed."""
    own = OF_COMMAND.get(command.__name__, {})
    hints = get_type_hints(command, include_extras=True)
    for name in signature(command).parameters:
        _, info = get_args(hints[name])
        info.autocompletion = own.get(name) or BY_NAME.get(name)
    return command


def _kinds(incomplete: str) -> list[str]:
    from rnntrace.model.kinds import KINDS, command_name

    return _beginning(incomplete, map(command_name, KINDS))


def _layouts(incomplete: str) -> list[str]:
    from rnntrace.model.conventions import CONVENTIONS

    return _beginning(incomplete, (convention.framework.lower() for convention in CONVENTIONS))


def _frameworks(incomplete: str) -> list[str]:
    from rnntrace.frameworks.registry import FRAMEWORKS

    return _beginning(incomplete, FRAMEWORKS)


def _mistakes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of the kind that the line has, or of all."""
    from rnntrace.verbs.mistakes import mistakes

    return _beginning(incomplete, (mistake.id for mistake in mistakes(_kind_of(ctx))))


def _families(ctx: typer.Context, incomplete: str) -> list[str]:
    from rnntrace.verbs.mistakes import mistakes

    return _beginning(incomplete, dict.fromkeys(mistake.family for mistake in mistakes(_kind_of(ctx))))


def _cells(incomplete: str) -> list[str]:
    from rnntrace.verbs.cells import BUILT_IN

    return _beginning(incomplete, BUILT_IN)


def _words(*choices: str) -> Completion:
    """Words between commas: see `_listed`."""
    return lambda incomplete: _listed(incomplete, choices)


def _listed(incomplete: str, choices: Iterable[str]) -> list[str]:
    """The last of several words between commas, completed to one that does not stand there yet."""
    before, comma, word = incomplete.rpartition(",")
    taken = before.split(",")
    return [f"{before}{comma}{choice}" for choice in choices if choice.startswith(word) and choice not in taken]


def _parts(incomplete: str) -> list[str]:
    from rnntrace.report.select import HEAT, PARTS

    return _listed(incomplete, (*PARTS, "all", HEAT))


def _gradient_parts(incomplete: str) -> list[str]:
    from rnntrace.report.backward import GRADIENT_PARTS

    return _listed(incomplete, (*GRADIENT_PARTS, "all"))


def _losses(incomplete: str) -> list[str]:
    from rnntrace.engine.backward.loss import LOSSES

    return _beginning(incomplete, LOSSES)


def _files(*endings: str) -> Completion:
    """Files with one of these endings, and folders."""

    def complete(incomplete: str) -> list[str]:
        folder, slash, beginning = incomplete.rpartition("/")
        try:
            found = sorted(Path(folder + slash or ".").iterdir())
        except OSError:
            return []
        shown = [path for path in found if path.name.startswith(beginning) and (beginning or path.name[:1] != ".")]
        return [f"{folder}{slash}{path.name}{'/' * path.is_dir()}" for path in shown if path.is_dir() or path.suffix in endings]

    return complete


def _kinds_and_files(incomplete: str) -> list[str]:
    return [*_kinds(incomplete), *_files(*WEIGHTS)(incomplete)]


def _kind_of(ctx: typer.Context) -> str | None:
    """The kind that the line has so far."""
    from rnntrace.model.kinds import is_kind

    kind = (ctx.params or {}).get("kind")
    return kind if kind and is_kind(kind) else None


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.lower().startswith(incomplete.lower())]


BY_NAME: dict[str, Completion] = {
    "kind": _kinds,
    "what": _kinds_and_files,
    "source": _kinds_and_files,
    "file": _files(*WEIGHTS),
    "other": _files(*WEIGHTS),
    "weights": _files(*WEIGHTS),
    "trace": _files(*TRACES),
    "expected": _files(*ARRAYS),
    "input": _files(*ARRAYS),
    "h0": _files(*ARRAYS),
    "c0": _files(*ARRAYS),
    "mask": _files(*ARRAYS),
    "target": _files(*ARRAYS),
    "grad": _files(*ARRAYS),
    "config": _files(".json"),
    "cell": _files(".cell", ".txt"),
    "exercise": _files(".toml"),
    "hand_ins": _files(".zip"),
    "roster": _files(".csv"),
    "fill": _files(".csv"),
    "name": _cells,
    "layout": _layouts,
    "framework": _frameworks,
    "mistake": _mistakes,
    "family": _families,
    "show": _parts,
    "require": _words("output", "h_n", "c_n"),
    "axes": _words("time", "batch", "unit"),
    "tolerance": _words("torch", "rounding", "exact", "ulp:", "decimals:"),
    "loss": _losses,
}
"""By the name of a parameter; choices and paths typer completes by itself."""
OF_COMMAND = {
    "layouts": {"framework": _layouts},
    "explain": {"framework": _layouts},
    "backward": {"show": _gradient_parts},
}
"""Parameters that mean something else in one command."""
