"""`explain --at`: replay a module with numpy alone, and derive one unit's values from the equations."""

from dataclasses import replace

import numpy as np

from rnntrace.engine.derivation import Position, Scene, step_before
from rnntrace.engine.replay.replay import replay
from rnntrace.errors import UsageError, show
from rnntrace.files import label
from rnntrace.model.module import Module
from rnntrace.model.signals import Draw, Inputs, assemble
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.report.derivation import Explanation
from rnntrace.verbs.given.overrides import FileOverrides, read_weights
from rnntrace.verbs.given.sources import Sources
from rnntrace.verbs.run import checked_seed
from rnntrace.verbs.trace import quantized

KEYS = ("layer", "direction", "t", "item", "unit", "gate")
_HOW = "write it as t=2,unit=1, with any of " + ", ".join(KEYS)


def explain(
    spec: ModuleSpec,
    at: str,
    sources: Sources | None = None,
    weights: Weights | None = None,
    *,
    distribution: str = "normal",
    seed: int | None = None,
    top: int | None = None,
    back: int = 0,
) -> Explanation:
    """Derive what one unit of `spec` computes at one step, on the signals of `sources`.

    `at` names the place, `layer=0,t=2,unit=1`; with a gate, `gate=f`, that quantity alone. `back` steps before it are derived
    too. `top` singles out as many terms, and 0 writes out all. What is not given is drawn from `seed`, the same as in `run`;
    only then torch is loaded. Raises RnnTraceError.
    """
    sources = sources or Sources()
    drawn = weights is None or sources.request.draws
    seed = checked_seed(seed) if drawn else None
    weights, inputs = _prepared(spec, sources, weights, distribution, seed)
    last, symbol = parse_place(at, spec, inputs)
    trace = replay(spec, weights, inputs)
    places = [last]
    while len(places) <= back and (t := step_before(trace, places[0])):
        places.insert(0, replace(places[0], t=t))
    steps = [step for step in spec.cell.steps if symbol in (None, step.symbol) and last.unit < _units(spec, step.symbol)]
    scenes = (Scene(trace, weights, place) for place in places)
    return Explanation(
        trace,
        tuple(scene.moment([scene.derive(step, top) for step in steps]) for scene in scenes),
        top,
        seed,
        sources.described(distribution),
        sources.warnings,
    )


def _prepared(
    spec: ModuleSpec, sources: Sources, weights: Weights | None, distribution: str, seed: int | None
) -> tuple[Weights, Inputs]:
    """Weights and signals in the module's format, drawn as `run` draws them where they are not given."""
    draw: Draw = np.zeros
    if seed is not None:
        from rnntrace.frameworks.torch import modules as framework

        draw = framework.drawing(spec, distribution)
        framework.seed(seed)
        # Drawn even if weights are given, as in `run`.
        drawn = framework.drawn_weights(spec)
        weights = weights or drawn
    assert weights is not None
    return weights.rounded(spec.precision), quantized(spec, assemble(spec, sources.request, draw))


def read_module(source: str, overrides: FileOverrides) -> Module:
    """The one recurrent module in a file or typed JSON. Raises FileError, WeightsError, and UsageError if there are more."""
    modules = read_weights(source, overrides)
    if len(modules) > 1:
        choices = ", ".join(show(prefix) or "(no prefix)" for prefix in modules)
        raise UsageError(f"{label(source)} holds {len(modules)} modules: choose one of {choices} with --module")
    return next(iter(modules.values()))


def parse_place(text: str, spec: ModuleSpec, inputs: Inputs) -> tuple[Position, str | None]:
    """A position from `layer=0,t=2,unit=1`, and the symbol of one quantity if a gate is named. Raises UsageError."""
    given: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in KEYS:
            raise UsageError(f"--at {part.strip()!r} names no place: {_HOW}")
        if key in given:
            raise UsageError(f"--at names {key} twice: leave one of them out")
        given[key] = value
    if "t" not in given:
        raise UsageError(f"--at needs a step from t=1 to t={inputs.steps}: {_HOW}")
    for key, choices in (("gate", spec.cell.symbols), ("direction", spec.directions)):
        if key in given and given[key] not in choices:
            raise UsageError(f"--at has {key}={given[key]}, and this {spec.kind} has {', '.join(choices)}")
    symbol = given.get("gate")
    item = _number(given, "item", 0, inputs.batch - 1)
    steps = inputs.lengths[item] if inputs.lengths else inputs.steps
    position = Position(
        layer=_number(given, "layer", 0, spec.num_layers - 1),
        direction=given.get("direction", spec.directions[0]),
        t=_number(given, "t", 1, steps),
        item=item,
        unit=_number(given, "unit", 0, _units(spec, symbol) - 1),
    )
    return position, symbol


def _number(given: dict[str, str], key: str, first: int, last: int) -> int:
    text = given.get(key, str(first))
    if not text.isdecimal() or not first <= int(text) <= last:
        raise UsageError(f"--at has {key}={text}, and {key} is a whole number from {first} to {last} here")
    return int(text)


def _units(spec: ModuleSpec, symbol: str | None) -> int:
    """Number of units of a quantity; a projection leaves fewer in h."""
    return spec.output_size if symbol == "h" else spec.hidden_size
