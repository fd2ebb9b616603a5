"""`explain` with numbers put in: a module replayed, and what one unit of it computes at one step derived from the equations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rnntrace.engine.backward.backward import backward
from rnntrace.engine.backward.derivation import scene_of, step_after
from rnntrace.engine.derivation import Scene, step_before
from rnntrace.engine.judge.result import Result
from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import Trace
from rnntrace.model.conventions import TORCH
from rnntrace.model.inputs import Inputs
from rnntrace.model.module import Module
from rnntrace.model.signals import Draw, assemble
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.report.derivation import Explanation, derivation_report
from rnntrace.report.gradient_derivation import GradientExplanation, gradient_derivation_report
from rnntrace.report.table import Report
from rnntrace.verbs.given.gradients import loss_in
from rnntrace.verbs.given.place import position_in, units_of
from rnntrace.verbs.given.sources import Sources
from rnntrace.verbs.run import checked_seed
from rnntrace.verbs.shown import Shown

if TYPE_CHECKING:
    from rnntrace.verbs.page import Page


@dataclass(frozen=True, repr=False)
class ShownExplanation(Shown, Explanation):
    """A derivation that shows itself."""

    def report(self, digits: int = 4) -> Report:
        """Every equation with its numbers, to so many digits, and a table of the products."""
        return derivation_report(self, digits)

    def page(self, *, digits: int = 4) -> "Page":
        """An interactive page of the whole run that opens at this place. Raises UsageError if there is too much for one."""
        from rnntrace.verbs.page import page_of

        return page_of(self.report(digits), digits)


def derived_from(
    spec: ModuleSpec,
    own: Module | None,
    sources: Sources,
    place: Mapping[str, Any],
    *,
    dist: str,
    seed: int | None,
    top: int | None,
    back: int,
) -> ShownExplanation:
    """What is computed at a place with a module's `own` weights, or drawn ones, on these signals."""
    seed = checked_seed(seed) if own is None or sources.request.draws else None
    prepared, inputs = _prepared(spec, sources, own.weights if own else None, dist, seed)
    position_in(place, spec, inputs)
    trace = replay(spec, prepared, inputs)
    origin, warnings = sources.described(spec, dist), sources.warnings
    return _derived(trace, prepared, place, top=top, back=back, seed=seed, origin=origin, warnings=warnings)


def derived_of(result: Result, place: Mapping[str, Any], *, top: int | None, back: int) -> ShownExplanation:
    """What was computed at a place of a result."""
    return _derived(_trace_of(result), result.weights, place, top=top, back=back, seed=result.seed, origin=result.origin)


def _derived(
    trace: Trace,
    weights: Weights,
    place: Mapping[str, Any],
    *,
    top: int | None,
    back: int,
    seed: int | None,
    origin: Mapping[str, str],
    warnings: Sequence[str] = (),
) -> ShownExplanation:
    spec = trace.spec
    last, symbol = position_in(place, spec, trace.inputs)
    places = [last]
    while len(places) <= back and (t := step_before(trace, places[0])):
        places.insert(0, replace(places[0], t=t))
    steps = [
        step
        for step in spec.cell_of(last.direction).steps
        if symbol in (None, step.symbol) and last.unit < units_of(spec, step.symbol)
    ]
    scenes = (Scene.of(trace, weights, place) for place in places)
    moments = tuple(scene.moment([scene.derive(step, top) for step in steps]) for scene in scenes)
    return ShownExplanation(trace, moments, top, seed, origin, tuple(warnings), weights)


@dataclass(frozen=True, repr=False)
class ShownGradientExplanation(Shown, GradientExplanation):
    """A derivation of gradients that shows itself."""

    def report(self, digits: int = 4) -> Report:
        """The chain rule with its numbers, to so many digits, and a table of the products."""
        return gradient_derivation_report(self, digits)


def derived_gradients(
    spec: ModuleSpec,
    own: Module | None,
    sources: Sources,
    place: Mapping[str, Any],
    *,
    dist: str,
    seed: int | None,
    top: int | None,
    back: int,
    loss: str,
    target: Any,
    grad: Any,
    truncate: int | None,
) -> ShownGradientExplanation:
    """The gradients at a place, with a module's `own` weights, or drawn ones, on these signals; `back` steps after it first."""
    seed = checked_seed(seed) if own is None or sources.request.draws else None
    weights, inputs = _prepared(spec, sources, own.weights if own else None, dist, seed)
    first, symbol = position_in(place, spec, inputs)
    trace = replay(spec, weights, inputs)
    given = loss_in(spec, trace, loss, grad, target, own.layout if own else TORCH)
    found = backward(trace, weights, given.gradients, truncate=truncate)
    places = [first]
    while len(places) <= back and (t := step_after(trace, places[0], truncate)):
        places.insert(0, replace(places[0], t=t))
    moments = []
    for position in places:
        scene, equations = scene_of(trace, found, weights, given.gradients, position, truncate)
        asked = [
            (left, step)
            for left, step in equations
            if symbol in (None, step.symbol.removeprefix("∂").partition(".")[0]) and position.unit < len(scene.now[step.symbol])
        ]
        moments.append(scene.moment([scene.derive(step, top, left) for left, step in asked]))
    origin = sources.described(spec, dist)
    return ShownGradientExplanation(trace, tuple(moments), top, seed, origin, tuple(sources.warnings), loss=given)


def _trace_of(result: Result) -> Trace:
    """The trace of a result as its equations give it: that with mistakes, forced or without its gates is worked out again."""
    whole = {symbol for *_, symbol in result.trace.columns} >= {*result.spec.cell.symbols}
    if whole and result.replay == "free" and not result.mistakes:
        return result.trace
    return replay(result.spec, result.weights, result.inputs)


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
    return weights.rounded(spec.precision), assemble(spec, sources.request, draw).rounded(spec.precision)
