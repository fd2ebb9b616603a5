"""From a framework's gradients to a verdict: the backward pass again, and each gradient beside the framework's own.

As in the forward pass every step is judged by itself where the framework's own gradients of states are known: it starts from
them, on the framework's own gates, so that what many steps amplify is not taken for a mistake. Gradients have the size of the
loss, which may be any: where they are all below 1, atol is taken in parts of the largest of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rnntrace.engine.backward.backward import backward
from rnntrace.engine.backward.clipping import NONE, Clipping, clipped, total_norm
from rnntrace.engine.backward.flow import added
from rnntrace.engine.backward.gradients import Gradients
from rnntrace.engine.backward.loss import Loss
from rnntrace.engine.backward.norms import back_of
from rnntrace.engine.diagnose.case import Description
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.pairing import Quantity, times
from rnntrace.engine.judge.rules import Format
from rnntrace.engine.judge.tally import Tally
from rnntrace.engine.judge.tolerance import Tolerance
from rnntrace.engine.judge.verdict import Comparison, Verdict, concluded
from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import VALUES, Trace
from rnntrace.equations.adjoint import adjoint, gradient
from rnntrace.errors import UsageError
from rnntrace.model.backward import HANDED_IN, NOTHING_GIVEN, BackwardObservation
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key
from rnntrace.model.layouts import parameters_of
from rnntrace.model.spec import FORWARD, ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

if TYPE_CHECKING:
    from rnntrace.engine.diagnose.blindness import Blindness

FACTORS = 3
"""So many factors a gradient has at most, apart from sums: what comes back, and two of a slope."""


@dataclass(frozen=True, repr=False)
class BackwardResult:
    """A replay of the backward pass beside a framework's, with the verdict.

    `trace` is the forward pass that was replayed, `loss` what everything starts from, `gradients` the replay's and
    `observation` the framework's own. Gradients of parameters had a 2-norm of `norm` before they were clipped. `comparison` is
    the verdict with its reasons; its quantities have the names of gradients, `∂f`, `∂f.pre`, `∂W_ih`, `∂x`. `mistakes` were
    made on purpose, and `blind` says which the gradients could not have shown.
    """

    spec: ModuleSpec
    weights: Weights
    inputs: Inputs
    trace: Trace
    loss: Loss
    gradients: Gradients
    observation: BackwardObservation
    comparison: Comparison
    truncate: int | None = None
    clipping: Clipping = NONE
    norm: float = 0.0
    seed: int | None = None
    origin: Mapping[str, str] | None = None
    warnings: tuple[str, ...] = ()
    mistakes: tuple[Description, ...] = ()
    blind: "Blindness | None" = None

    def __repr__(self) -> str:
        return f"<BackwardResult {self.verdict}: {self.trace.summary}>"

    @property
    def verdict(self) -> Verdict:
        """IDENTICAL, PASS, PASS (drift), FAIL or UNDECIDED."""
        return self.comparison.verdict

    @property
    def passed(self) -> bool:
        """Whether replay and framework agree."""
        return self.verdict.passed

    def added(self, t: int) -> dict[str, Array]:
        """What step t, from 1 to T, adds to the gradients of the parameters, by torch's names: over all items, before clipping.

        Raises UsageError for a step that there is not.
        """
        if not 1 <= t <= self.inputs.steps:
            raise UsageError(f"`t` is a step from 1 to {self.inputs.steps}, not {t}")
        columns = {
            column: LayerWeights(arrays=added(back_of(self.trace, self.weights, *column), self.gradients.steps(*column), t))
            for column in self.spec.layer_directions
        }
        return parameters_of(self.spec, Weights(columns))


def judge_backward(
    spec: ModuleSpec,
    weights: Weights,
    inputs: Inputs,
    loss: Loss,
    observation: BackwardObservation,
    options: JudgeOptions | None = None,
    *,
    truncate: int | None = None,
    clipping: Clipping | None = None,
) -> BackwardResult:
    """Replay a module forward and backward, and judge the gradients by what was observed.

    `clipping` is of the parameters' gradients: what was handed in has been clipped, and a framework's is here. Raises
    UsageError for options that are none.
    """
    options, clipping = options or JudgeOptions(), clipping or Clipping()
    dtype, tolerance = options.numpy_dtype(spec), options.tolerance_for(spec)
    rounding = Format.of(spec.precision, dtype, tolerance.lam) if tolerance.rounding else None
    if rounding:
        # A gradient is a sum of products of several factors, in any order: what is near zero is rounded there more than once.
        rounding = replace(rounding, underflow=FACTORS * rounding.underflow, any_order=True)
    trace = replay(spec, weights, inputs, dtype=dtype)
    free = backward(trace, weights, loss.gradients, truncate=truncate, dtype=dtype)
    norm = total_norm(free.parameters)
    if clipping and observation.parameters is not None and observation.framework != HANDED_IN:
        observation = replace(observation, parameters=clipped(observation.parameters, clipping))

    def as_clipped(gradients: Gradients) -> Gradients:
        return replace(gradients, parameters=clipped(gradients.parameters, clipping)) if clipping else gradients

    shown, judged = as_clipped(free), _Judged(spec, inputs, tolerance, observation)
    sound = not inputs.not_finite and all(np.isfinite(array).all() for array in weights.arrays)
    comparison = judged.compared(shown, shown, sound=sound, drift=options.drift)
    if comparison.verdict in (Verdict.FAIL, Verdict.DRIFT):
        known = _known(spec, observation)
        if known and not tolerance.of_trajectory:
            theirs = Trace(spec, inputs, {VALUES: dict(observation.forward)})
            single = backward(theirs, weights, loss.gradients, known=known, truncate=truncate, dtype=dtype, rounding=rounding)
        else:
            mine = replay(spec, weights, inputs, dtype=dtype, rounding=rounding)
            again = backward(mine, weights, loss.gradients, truncate=truncate, dtype=dtype, rounding=rounding)
            single = replace(free, bounds=again.bounds)
        comparison = judged.compared(shown, as_clipped(single), sound=sound, drift=options.drift)
    doubt = ""
    if not all(np.isfinite(values).all() for values in trace.outputs.values()):
        doubt = "the forward pass is not finite, and neither are its slopes"
    elif observation.framework != HANDED_IN and not _is_finite(inputs, observation):
        doubt = f"{observation.framework}'s gradients are not finite: they are too large for {spec.dtype}"
    elif observation.framework == NOTHING_GIVEN:
        doubt = f"nothing to judge by: {observation.not_captured}"
    if doubt:
        comparison = replace(comparison, verdict=Verdict.UNDECIDED, first_failure=None, doubt=doubt)
    return BackwardResult(spec, weights, inputs, trace, loss, shown, observation, comparison, truncate, clipping, norm)


def compared(result: BackwardResult, gradients: Gradients, tolerance: Tolerance) -> Comparison:
    """The verdict on other gradients beside what was observed, as they come out: no step is judged by itself."""
    judged = _Judged(result.spec, result.inputs, tolerance, result.observation)
    return judged.compared(gradients, gradients, sound=True, drift=False)


def _is_finite(inputs: Inputs, observation: BackwardObservation) -> bool:
    """Whether a framework's gradients are, at the steps that exist."""
    valid = inputs.valid
    columns = (values if valid is None else values[valid] for values in observation.columns.values())
    parameters = observation.parameters.arrays if observation.parameters else ()
    return all(np.isfinite(values).all() for values in (*columns, *parameters, *observation.signals.values()))


def _known(spec: ModuleSpec, observation: BackwardObservation) -> dict[Key, Array]:
    """The framework's own gradients that a step can start from: of every state, or of what a projection is taken of."""
    starts = {gradient(state) for state in spec.cell.states} | {"∂unprojected"}
    known = {key: values for key, values in observation.columns.items() if key[2] in starts}
    whole = len({symbol for *_, symbol in known}) * len(spec.layer_directions) == len(known) > 0
    return known if whole and observation.forward else {}


class _Judged:
    """Both sides, quantity by quantity."""

    def __init__(self, spec: ModuleSpec, inputs: Inputs, tolerance: Tolerance, observation: BackwardObservation) -> None:
        self.spec, self.inputs, self.tolerance, self.observation = spec, inputs, tolerance, observation

    def compared(self, free: Gradients, single: Gradients, *, sound: bool, drift: bool) -> Comparison:
        """The verdict on all gradients, in the order of the backward pass: from the last layer to the first, then the sums."""
        tallies, out = [], {}
        for quantity in self._quantities(free, single):
            size = float(np.abs(quantity.framework[np.isfinite(quantity.framework)]).max(initial=0.0))
            # Decimals are those of the number as it is written, however small it is.
            part = 1.0 if self.tolerance.kind == "decimals" else min(size, 1.0)
            tolerance = replace(self.tolerance, atol=self.tolerance.atol * part)
            tally = Tally(*quantity.key, tolerance, self.spec.precision, backwards=quantity.direction == FORWARD)
            out[quantity.key] = tally.add(quantity)
            tallies.append(tally)
        return concluded(tallies, self.tolerance, out, sound=sound, drift=drift)

    def _quantities(self, free: Gradients, single: Gradients) -> Iterator[Quantity]:
        theirs, bounds = self.observation, single.bounds
        t = times(slice(0, self.inputs.steps), self.inputs.batch)
        columns = [(layer, d) for layer in reversed(range(self.spec.num_layers)) for d in self.spec.directions]
        for layer, direction in columns:
            for symbol in adjoint(self.spec.cell_of(direction)).cell.symbols:
                key = (layer, direction, symbol)
                if key in theirs.columns:
                    bound = None if bounds is None else bounds.columns[key]
                    sides = free.columns[key], single.columns[key], theirs.columns[key]
                    yield Quantity(symbol, layer, direction, *sides, t, self.inputs.valid, bound, theirs.half_units.get(key))
        for layer, direction in columns:
            for name, values in theirs.parameters[layer, direction].arrays.items() if theirs.parameters else ():
                mine, once = (side.parameters[layer, direction].arrays[name] for side in (free, single))
                bound = None if bounds is None else bounds.parameters[layer, direction].arrays[name]
                half = theirs.half_units.get((layer, direction, gradient(name)))
                yield _whole(gradient(name), layer, direction, (mine, once, values), bound, half)
        for name, values in theirs.signals.items():
            rows = enumerate(self.spec.layer_directions) if name != "x" else [(slice(None), (0, self.spec.directions[0]))]
            for row, (layer, direction) in rows:
                bound = None if bounds is None else bounds.signals[name][row]
                sides = free.signals[name][row], single.signals[name][row], values[row]
                half = theirs.half_units.get((*self.spec.layer_directions[0], gradient(name)))
                half = None if half is None else half[row]
                if name == "x":
                    yield Quantity(gradient(name), layer, direction, *sides, t, bound=bound, half_unit=half)
                else:
                    yield _whole(gradient(name), layer, direction, sides, bound, half)


def _whole(
    name: str, layer: int, direction: str, sides: tuple[Array, ...], bound: Array | None, half_unit: Array | None
) -> Quantity:
    """A gradient that belongs to no step, (…, N), as one of t = 0: its rows stand where items do."""

    def rows(values: Array) -> Array:
        return values.reshape(1, -1, values.shape[-1])

    mine, once, theirs = map(rows, sides)
    t = np.zeros(mine.shape[:2], int)
    bound, half_unit = (None if values is None else rows(values) for values in (bound, half_unit))
    return Quantity(name, layer, direction, mine, once, theirs, t, bound=bound, half_unit=half_unit)
