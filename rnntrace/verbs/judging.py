"""From what a framework did to a verdict: replay free, replay forced, compare."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from rnntrace.engine.judge.pairing import OUTPUTS, pair_outputs, pair_up
from rnntrace.engine.judge.rounding import EXACT, Format, Typed
from rnntrace.engine.judge.saturation import remarks
from rnntrace.engine.judge.tolerance import Tolerance, make_tolerance
from rnntrace.engine.judge.verdict import Comparison, Verdict, judge
from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import Trace, term_symbols
from rnntrace.equations.cell import Cell
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key
from rnntrace.model.observation import Observation
from rnntrace.model.signals import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.verbs.displayed import DisplayedResult

AnyArray = TypeVar("AnyArray", Array, Flags)


@dataclass(frozen=True)
class JudgeOptions:
    """How a replay is run and judged, and what is kept of it; see the flags of the same names."""

    capture: str = "auto"
    tolerance: str = "torch"
    rtol: float | None = None
    atol: float | None = None
    lam: float | None = None
    replay: str = "free"
    replay_dtype: str | None = None
    keep: str = "gates"
    mistakes: tuple[str, ...] = ()
    blind: bool = False
    drift: bool = True
    rounded: bool = True

    def tolerance_for(self, spec: ModuleSpec) -> Tolerance:
        """How far apart values of a module may be. Raises UsageError."""
        return make_tolerance(self.tolerance, spec.dtype, self.rtol, self.atol, self.lam)

    def kept(self, cell: Cell) -> tuple[str, ...]:
        """The gates and states that are kept, in the order of computation."""
        return tuple(symbol for symbol in cell.symbols if self.keep != "states" or symbol in cell.states)

    def numpy_dtype(self, spec: ModuleSpec) -> np.dtype[np.floating]:
        """The format in which the replay computes."""
        return np.dtype(self.replay_dtype or spec.precision.replay)

    def kept_terms(self, cell: Cell) -> tuple[str, ...]:
        """The affine terms of gates that are kept beside them."""
        return term_symbols(cell) if self.keep == "terms" else ()

    def tolerance_of_mistakes(self, spec: ModuleSpec) -> Tolerance:
        """That for a mistaken trajectory, which has no bound on its rounding: none is needed to see the mistake."""
        own = self.tolerance_for(spec)
        return own if own.of_trajectory else make_tolerance("torch", spec.dtype)

    @property
    def pair(self) -> bool:
        """Whether rtol or atol were given: they alone decide."""
        return self.rtol is not None or self.atol is not None

    @property
    def needs_all(self) -> str:
        """The flag that needs the whole trace at once, and in memory; empty if there is none."""
        flags = {
            "--capture on": self.capture == "on",
            "--mistake": self.mistakes,
            "--blind": self.blind,
            f"--tolerance {self.tolerance}": self.tolerance.startswith("decimals"),
        }
        return next((flag for flag, given in flags.items() if given), "")


def judged(
    spec: ModuleSpec,
    weights: Weights,
    inputs: Inputs,
    observation: Observation,
    judging: JudgeOptions,
    *,
    seed: int | None = None,
    origin: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    typed: Typed | None = None,
    shown: Trace | None = None,
) -> DisplayedResult:
    """Replay free and, as far as the other side's states are known, forced; compare with what was observed.

    What rounding can explain costs as much as the replay, so it is worked out only where rtol and atol do not settle it.
    `typed` says which digits of weights and inputs are missing; it counts where those of the outputs are too. A replay that
    there is already can be `shown`, and is what is judged.
    """
    check_mode(judging.replay)
    tolerance = judging.tolerance_for(spec)
    dtype = judging.numpy_dtype(spec)
    own = observation.captured or observation.hidden
    half_units = observation.half_units if judging.rounded and not judging.pair else {}
    kept = judging.kept(spec.cell)
    # Where not every layer's h is known, single steps cannot be judged, and the trajectory is.
    known = own if all((*column, "h") in own for column in spec.layer_directions) else None
    compared_symbols = {symbol for *_, symbol in own}
    # What is not kept is held as long as it is compared.
    held = {*kept, *compared_symbols}

    def replayed(
        known: Mapping[Key, Array] | None, keep: Collection[str], rounding: Format | None = None, typed: Typed | None = None
    ) -> Trace:
        terms = judging.keep == "terms" and keep is held
        return replay(
            spec, weights, inputs, known=known, dtype=dtype, keep_terms=terms, rounding=rounding, typed=typed, keep=keep
        )

    free = (shown or replayed(None, held)) if judging.replay == "free" else None
    unsound = not_finite(inputs, weights)

    def compared(known: Mapping[Key, Array] | None, rounding: Format | None) -> tuple[Comparison, Trace, Trace]:
        """The comparison, and the forced replays of the states and of the outputs."""
        forced = replayed(known, compared_symbols if free else held, rounding) if known or rounding or not free else free
        # The gates may come from another path than the outputs: each is forced with the states of its own path.
        other_path = known and observation.captured_path not in ("", observation.path)
        forced_outputs = replayed(observation.hidden, (), rounding) if other_path else forced
        carried = replayed(None, (), EXACT, typed).bounds if rounding and typed and half_units else None
        digits = half_units, carried
        quantities = [
            *pair_up(shown or free or forced, forced, own, *digits),
            *pair_outputs(free or forced_outputs, forced_outputs, observation.outputs, None, *digits),
        ]
        found = judge(quantities, tolerance, spec.precision, sound=not unsound, drift=judging.drift)
        return found, forced, forced_outputs

    def decided(known: Mapping[Key, Array] | None) -> tuple[Comparison, Trace, Trace]:
        """The comparison by the pair alone, and by what rounding and missing digits can do where that does not settle it."""
        found = compared(known, None)
        if not (tolerance.rounding or typed) or found[0].verdict not in (Verdict.FAIL, Verdict.DRIFT):
            return found
        rounding = Format.of(spec.precision, dtype, tolerance.lam)
        comparison, *forced = compared(known, rounding)
        if comparison.verdict is Verdict.DRIFT and free and known:
            states = {key: values for key, values in free.columns.items() if key[2] in spec.cell.states}
            again = replayed(states, held, rounding)
            comparison = if_drift(comparison, judge(pair_up(again, again, free.columns), tolerance, spec.precision))
        return comparison, forced[0], forced[1]

    # Steps that start from rounded states are off by more than the states are: what was typed is judged as it stands.
    single_steps = known is not None and not (free and (tolerance.of_trajectory or half_units))
    comparison, forced, forced_outputs = decided(known if single_steps else None)
    if known and half_units and not (single_steps or tolerance.of_trajectory or comparison.passed):
        by_steps = decided(known)
        if by_steps[0].passed:
            single_steps, (comparison, forced, forced_outputs) = True, by_steps
    result = DisplayedResult(
        spec,
        weights,
        inputs,
        shown or free or forced,
        (free or forced_outputs).outputs,
        observation,
        comparison,
        judging.replay,
        seed,
        dict(origin or {}),
        (
            *warnings,
            *unsound,
            *notes(spec, judging, observation),
            *comparison.remarks,
            *(() if unsound else remarks(free or forced)),
        ),
        single_steps=single_steps,
    )
    if held > {*kept}:
        result = _of_what_is_kept(result, kept)
    return _asked_of(result, judging) if judging.mistakes or judging.blind else result


def _of_what_is_kept(result: DisplayedResult, kept: Collection[str]) -> DisplayedResult:
    """The result without the gates that were compared and are not kept, on either side."""

    def of_kept(arrays: Mapping[Key, AnyArray]) -> dict[Key, AnyArray]:
        return {key: array for key, array in arrays.items() if key[2] in kept or key[2] in OUTPUTS}

    return replace(
        result,
        trace=result.trace.replaced(values=of_kept(result.trace.columns)),
        observation=replace(result.observation, captured=of_kept(result.observation.captured)),
        comparison=replace(result.comparison, out_of_tolerance=of_kept(result.comparison.out_of_tolerance)),
    )


def _asked_of(result: DisplayedResult, judging: JudgeOptions) -> DisplayedResult:
    """The result with mistakes made on purpose, and with those that it could not have shown."""
    apart = {
        "--replay forced": judging.replay == "forced",
        "--replay-dtype": judging.replay_dtype,
        "--show terms": judging.keep == "terms",
        "--keep states": judging.keep == "states",
    }
    for option, given in apart.items():
        if judging.mistakes and given:
            raise UsageError(f"{option} does not go with --mistake, which replays in its own way: leave one of them out")
    tolerance = judging.tolerance_of_mistakes(result.spec)
    if judging.blind:
        from rnntrace.verbs.mistaken import with_blindness

        result = with_blindness(result, tolerance)
    if judging.mistakes:
        from rnntrace.verbs.mistaken import with_mistakes

        result = with_mistakes(result, judging.mistakes, tolerance)
    return result


def if_drift(comparison: Comparison, steps: Comparison) -> Comparison:
    """Drift is rounding that the dynamics amplify, and nothing else: `steps` are those of a replay forced with the free one's.

    If a step of the free replay does not follow from its own state before, the trajectory went wrong by itself: FAIL.
    """
    place = steps.first_failure
    if place is None:
        return comparison
    swapped = replace(place, replay=place.framework, framework=place.replay)
    return replace(comparison, verdict=Verdict.FAIL, first_failure=swapped)


def check_mode(mode: str) -> None:
    """Raises UsageError unless the mode of a replay is free or forced."""
    if mode not in ("free", "forced"):
        raise UsageError(f"unknown replay {mode!r}: choose free or forced")


def not_finite(inputs: Inputs, weights: Weights) -> list[str]:
    """What holds NaN or infinity, in sentences."""
    names = [*inputs.not_finite, *([] if all(np.isfinite(array).all() for array in weights.arrays) else ["a weight"])]
    return [f"{name} holds NaN or infinity" for name in names]


def notes(spec: ModuleSpec, judging: JudgeOptions, observation: Observation) -> list[str]:
    """Sentences on what was asked for and does nothing, or could not be done."""
    found = []
    if spec.dropout and spec.num_layers > 1:
        found.append(f"dropout {spec.dropout:g} acts between layers in training only: this is eval mode, where it does nothing")
    elif spec.dropout:
        found.append(f"dropout {spec.dropout:g} acts between layers, and there is one layer: it does nothing")
    if judging.capture == "on" and observation.not_captured:
        found.append(f"torch's gates could not be captured: {observation.not_captured}")
    return found
