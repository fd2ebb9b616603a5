"""The judging protocol: replay, compare, and decide whether what differs is a mistake, rounding or drift.

It is the same for a run in memory, which is one of a single window, and for one whose arrays lie in files and are gone through
layer by layer, direction by direction and a window of steps at a time. In order:

1. The trajectory. Where every value of a free-running replay agrees, that is the verdict, and the replay forced with the
   framework's own states waits until somebody asks for the figures of single steps.
2. Single steps, where each layer's states are known: every step starts from the framework's own state before it.
3. What rounding, and digits that were not typed, can explain. It costs as much as a replay, so it is worked out only where rtol
   and atol do not settle it.
4. A trajectory that is out where no single step is may be drift; then each step of it must follow from its own state before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.pairing import HalfUnits, Quantity, times
from rnntrace.engine.judge.rounding import Typed
from rnntrace.engine.judge.rules import EXACT, Format
from rnntrace.engine.judge.tally import Tallies
from rnntrace.engine.judge.tolerance import Tolerance
from rnntrace.engine.judge.verdict import Comparison, Difference, Verdict, concluded
from rnntrace.engine.replay.trace import Trace
from rnntrace.engine.replay.windows import Replays, Window, merged
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.keys import Key, LayerDirection
from rnntrace.model.merges import LAST_OUTPUT, MERGED
from rnntrace.model.observation import Observation
from rnntrace.model.spec import FORWARD


class Judgement:
    """The judgement of one replay.

    `shown` is the replay, free-running or forced as the options say, with every gate and state that is compared, and `outputs`
    its output and final states, time-major; these come from the trajectory `behind` them where that is another one. `replays`
    says in which windows it is gone through, and replays them again. `typed` says which digits of weights and inputs are
    missing; it counts where those of the outputs are too. Values that are not `sound` prove nothing. Flags of what is out of
    tolerance go into the arrays of `out`, where there are any.
    """

    def __init__(
        self,
        shown: Trace,
        outputs: Mapping[str, Array],
        observation: Observation,
        options: JudgeOptions,
        replays: Replays,
        *,
        behind: Trace | None = None,
        typed: Typed | None = None,
        sound: bool = True,
        out: Mapping[Key, Flags] | None = None,
    ) -> None:
        self.spec, self.inputs = shown.spec, shown.inputs
        self.shown, self.outputs, self.behind = shown, outputs, behind or shown
        self.observation, self.replays, self.typed, self.sound, self.out = observation, replays, typed, sound, out or {}
        self.own = observation.values
        self.tolerance = options.tolerance_for(self.spec)
        self.free, self.drift, self.dtype = options.free, options.drift, options.numpy_dtype(self.spec)
        self.half_units: HalfUnits = observation.half_units if options.rounded and not options.pair else {}
        # Where not every layer's output is known, single steps cannot be judged, and the trajectory is.
        complete = all((*column, self.spec.cell.output) in self.own for column in self.spec.layer_directions)
        self.known = self.own if complete else None

    def judged(self) -> tuple[Comparison, bool]:
        """The comparison, and whether it is one of single steps."""
        # Steps that start from rounded states are off by more than the states are: what was typed is judged as it stands.
        single_steps = self.known is not None and not (self.free and (self.tolerance.of_trajectory or self.half_units))
        if single_steps and self.free:
            trajectory = self.compared(None)
            if trajectory.passed:
                return replace(trajectory, in_single_steps=self.in_single_steps), True
        comparison = self.decided(self.known if single_steps else None)
        if self.known and self.half_units and not (single_steps or self.tolerance.of_trajectory or comparison.passed):
            by_steps = self.decided(self.known)
            if by_steps.passed:
                return by_steps, True
        return comparison, single_steps

    def in_single_steps(self) -> Sequence[Difference]:
        """How far apart the two sides are, with the figures of single steps."""
        return self.decided(self.known).differences

    def decided(self, known: Mapping[Key, Array] | None) -> Comparison:
        """The comparison by the pair alone, and by what rounding and missing digits can do where that does not settle it."""
        comparison = self.compared(known)
        if not (self.tolerance.rounding or self.typed) or comparison.verdict not in (Verdict.FAIL, Verdict.DRIFT):
            return comparison
        comparison = self.compared(known, self.rounding)
        if comparison.verdict is Verdict.DRIFT and self.free and known:
            comparison = _if_drift(comparison, self.by_itself(self.rounding, self.tolerance))
        return comparison

    @property
    def rounding(self) -> Format:
        """How the two sides round together."""
        return Format.of(self.spec.precision, self.dtype, self.tolerance.lam)

    def compared(self, known: Mapping[Key, Array] | None, rounding: Format | None = None) -> Comparison:
        """Everything that the other side gave: the trajectory and, with `known` states, each step from the ones before it."""
        tallies = Tallies(self.tolerance, self.spec.precision, self.inputs.steps, self.out)
        doing = "bounds on rounding" if rounding else "forced replay" if known else "comparison"
        runs = {"gates": self.replays.none(doing)}
        if rounding or (known and self.free):
            runs["gates"] = self.replays.again(doing, known, {symbol for *_, symbol in self.own}, rounding)
            if known and self.observation.on_two_paths:
                # The gates come from another path than the outputs: each is forced with the states of its own path.
                runs["outputs"] = self.replays.again(doing, self.observation.hidden, (), rounding)
        if rounding and self.typed and self.half_units:
            runs["left open"] = self.replays.again(doing, None, (), EXACT, self.typed)
        ends: dict[str, tuple[Window, Window | None]] = {}
        for column in self.spec.layer_directions:
            for windows in zip(*(run(column) for run in runs.values()), strict=True):
                found = dict(zip(runs, windows, strict=True))
                gates, left_open = found["gates"], found.get("left open")
                outputs = found.get("outputs", gates)
                tallies.add(gates.steps, self._gates(column, gates, left_open))
                tallies.add(gates.steps, self._output(column, outputs, left_open))
            tallies.add(None, self._final_states(column, outputs, left_open))
            ends[column[1]] = outputs, left_open
        if self.spec.merges:
            (forward, open_forward), (reverse, open_reverse) = ends.values()
            both = merged(self.spec, forward, reverse, rounding)
            left_open = merged(self.spec, open_forward, open_reverse, EXACT) if open_forward and open_reverse else None
            column = self.spec.num_layers - 1, MERGED
            tallies.add(both.steps, self._output(column, both, left_open))
            tallies.add(None, self._last_output(column, both, left_open))
        counted = tallies.in_order
        out = {tally.key: tallies.out[tally.key] for tally in counted}
        return concluded(counted, self.tolerance, out, sound=self.sound, drift=self.drift)

    def by_itself(self, rounding: Format | None, tolerance: Tolerance) -> Comparison:
        """The replay that is shown beside one forced with its states: whether each step follows from those before it."""
        states = {key: values for key, values in self.shown.columns.items() if key[2] in self.spec.cell.states}
        known = states if self.free else self.own
        run = self.replays.again("replay by itself", known, {symbol for *_, symbol in self.shown.columns}, rounding)
        tallies = Tallies(tolerance, self.spec.precision, self.inputs.steps)
        for column in self.spec.layer_directions:
            for window in run(column):
                tallies.add(window.steps, self._follows(column, window))
        return concluded(tallies.in_order, tolerance, {}, sound=self.sound)

    def _follows(self, column: LayerDirection, window: Window) -> Iterator[Quantity]:
        """Gates and states as they follow from the step before, beside those that are shown."""
        t, valid = self._rows(window.steps)
        for symbol, again in window.values.items():
            if (*column, symbol) in self.shown.columns:
                shown = self.shown.columns[*column, symbol][window.steps]
                yield Quantity(symbol, *column, again, again, shown, t, valid, window.bounds.get(symbol))

    def _gates(self, column: LayerDirection, window: Window, left_open: Window | None) -> Iterator[Quantity]:
        """Gates and states of both sides in a window."""
        t, valid = self._rows(window.steps)
        for symbol in self.spec.cell.symbols:
            key = (*column, symbol)
            if key in self.own and key in self.shown.columns:
                shown = self.shown.columns[key][window.steps]
                yield Quantity(
                    symbol,
                    *column,
                    shown,
                    window.values.get(symbol, shown),
                    self.own[key][window.steps],
                    t,
                    valid,
                    window.bounds.get(symbol),
                    _part(self.half_units.get(key), window.steps),
                    left_open.bounds[symbol] if left_open else None,
                )

    def _output(self, column: LayerDirection, window: Window, left_open: Window | None) -> Iterator[Quantity]:
        """What this direction of the last layer, or both merged, give to the output: 0 at steps that do not exist."""
        expected, (layer, part) = self.observation.outputs.get("output"), column
        if expected is None or layer < self.spec.num_layers - 1 or part not in self.spec.output_parts:
            return
        t, valid = self._rows(window.steps)
        units, half_units = self.spec.output_units(part), self.half_units.get("output")
        h = self.spec.cell.output

        def padded(values: Array) -> Array:
            return values if valid is None else np.where(valid[..., None], values, values.dtype.type(0))

        shown = self.behind.output if part == MERGED else padded(self.behind.columns[*column, h][window.steps])
        yield Quantity(
            "output",
            *column,
            shown,
            padded(window.values[h]) if window.values else shown,
            expected[window.steps][..., units],
            t,
            bound=padded(window.bounds[h]) if window.bounds else None,
            half_unit=_part(half_units, np.s_[window.steps, :, units]),
            carried=padded(left_open.bounds[h]) if left_open else None,
        )

    def _final_states(self, column: LayerDirection, window: Window, left_open: Window | None) -> Iterator[Quantity]:
        """h_n and the like, behind the last window; what holds fewer rows than there are holds the last ones."""
        row, rows = self.spec.layer_directions.index(column), len(self.spec.layer_directions)
        t = self.shown.final_step(column[1])[None]
        for state in self.spec.cell.states:
            name = f"{state}_n"
            expected = self.observation.outputs.get(name)
            first = row - rows + len(expected) if expected is not None else -1
            if expected is None or first < 0:
                continue
            shown, theirs = self.outputs[name][row : row + 1], slice(first, first + 1)
            yield Quantity(
                name,
                *column,
                shown,
                window.final.get(state, shown),
                expected[theirs],
                t,
                bound=window.final_bounds.get(state),
                half_unit=_part(self.half_units.get(name), theirs),
                carried=left_open.final_bounds[state] if left_open else None,
            )

    def _last_output(self, column: LayerDirection, window: Window, left_open: Window | None) -> Iterator[Quantity]:
        """What both directions of the last layer give together at their final steps, where it is merged."""
        expected, h = self.observation.outputs.get(LAST_OUTPUT), self.spec.cell.output
        if expected is None:
            return
        shown = self.outputs[LAST_OUTPUT]
        yield Quantity(
            LAST_OUTPUT,
            *column,
            shown,
            window.final.get(h, shown),
            expected,
            self.shown.final_step(FORWARD)[None],
            bound=window.final_bounds.get(h),
            half_unit=self.half_units.get(LAST_OUTPUT),
            carried=left_open.final_bounds[h] if left_open else None,
        )

    def _rows(self, steps: slice) -> tuple[NDArray[np.int_], Flags | None]:
        """The times (T, B) of the rows of some steps, and which of them exist."""
        valid = self.inputs.valid
        return times(steps, self.inputs.batch), None if valid is None else valid[steps]


def _part(values: Array | None, where: Any) -> Array | None:
    return None if values is None else values[where]


def _if_drift(comparison: Comparison, steps: Comparison) -> Comparison:
    """Drift is rounding that the dynamics amplify, and nothing else: `steps` are those of a replay forced with the free one's.

    If a step of the free replay does not follow from its own state before, the trajectory went wrong by itself: FAIL.
    """
    place = steps.first_failure
    if place is None:
        return comparison
    swapped = replace(place, replay=place.framework, framework=place.replay)
    return replace(comparison, verdict=Verdict.FAIL, first_failure=swapped)
