"""A trace whose arrays lie in files, judged layer by layer, direction by direction and a window of steps at a time."""

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from rnntrace.engine.judge.pairing import Quantity, times
from rnntrace.engine.judge.rounding import Format
from rnntrace.engine.judge.tally import Tally
from rnntrace.engine.judge.tolerance import make_tolerance
from rnntrace.engine.judge.verdict import Comparison, Verdict, concluded
from rnntrace.engine.replay.trace import VALUES, Trace
from rnntrace.engine.replay.windows import States, Window, replay_windows, windows
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import Key, LayerDirection
from rnntrace.model.signals import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.model.windows import release
from rnntrace.verbs.judging import JudgeOptions, if_drift
from rnntrace.verbs.storage import Storage

Tell = Callable[[str, float], None]
"""Is told what is being done, and how far that is, from 0 to 1."""


class Sweeps:
    """The judgement of a trace, over all windows of one layer and direction after the other.

    `stored` holds both sides' values, and `finals` by side the states behind the last step of each layer and direction.
    """

    def __init__(
        self,
        spec: ModuleSpec,
        weights: Weights,
        inputs: Inputs,
        judging: JudgeOptions,
        stored: Storage,
        dtype: np.dtype[np.floating],
        tell: Tell | None = None,
    ) -> None:
        self.spec, self.weights, self.inputs, self.stored, self.dtype, self.tell = spec, weights, inputs, stored, dtype, tell
        self.free = judging.replay == "free"
        self.tolerance, self.drift = judging.tolerance_for(spec), judging.drift
        # With a tolerance of its own for every value, no step is taken from torch's states.
        self.single_steps = not (self.free and self.tolerance.of_trajectory)
        self.kept = judging.kept(spec.cell)
        self.terms = judging.kept_terms(spec.cell)
        self.finals: dict[str, dict[LayerDirection, States]] = {"replay": {}, "framework": {}}
        # How often all steps of a layer and direction are gone through, and how often they have been.
        self.sweeps, self.swept = len(spec.layer_directions), 0

    def judged(self, *, sound: bool) -> Comparison:
        """The verdict; what rounding can explain is worked out only where rtol and atol do not settle it."""
        comparison = self._compared(None, sound=sound)
        if not self.tolerance.rounding or comparison.verdict not in (Verdict.FAIL, Verdict.DRIFT):
            return comparison
        rounding = Format.of(self.spec.precision, self.dtype, self.tolerance.lam)
        self.sweeps += len(self.spec.layer_directions)
        comparison = self._compared(rounding, sound=sound)
        if comparison.verdict is Verdict.DRIFT and self.free:
            self.sweeps += len(self.spec.layer_directions)
            comparison = if_drift(comparison, self.compared_with_itself(rounding))
        return comparison

    def trajectory(self, *, sound: bool) -> Comparison:
        """The verdict on the trajectory alone, without another replay."""
        return self._compared(None, sound=sound, alone=True)

    def follows_from_itself(self) -> bool:
        """Whether each gate and state of the free replay follows, within rtol and atol, from its own states a step before."""
        tolerance = make_tolerance("torch", self.spec.dtype)
        for column in self.spec.layer_directions:
            for window in self._by_itself(column, None):
                for symbol in self.kept:
                    again, free = window.trace.columns[0, column[1], symbol], self.stored.replay[*column, symbol][window.steps]
                    with np.errstate(invalid="ignore"):
                        agree = np.abs(again - free) <= tolerance.atol + tolerance.rtol * np.abs(free)
                    if not (agree if window.trace.inputs.valid is None else agree[window.trace.inputs.valid]).all():
                        return False
        return True

    def see(self, column: LayerDirection, window: Window) -> None:
        """Is called with each window of a replay that is forced from the start, as it is compared."""

    def _compared(self, rounding: Format | None, *, sound: bool, alone: bool = False) -> Comparison:
        """Everything that torch gave, with each single step forced by torch's own state before it, or the trajectory alone."""
        tallies: dict[Key, Tally] = {}
        out = dict(self.stored.out)
        for column in self.spec.layer_directions:
            for steps, window in self._beside(column, rounding, alone=alone):
                for quantity in self._steps(column, steps, window):
                    tally = self._tally(tallies, quantity)
                    flags = tally.add(quantity)
                    # Arrays that start as zeros take no memory as long as nothing is written to them.
                    if rounding or flags.any():
                        out[tally.key][steps] = flags
            for quantity in self._last_states(column, window):
                tally = self._tally(tallies, quantity)
                out[tally.key] = tally.add(quantity)
        # In the order of computation, outputs behind all else.
        order = ["h", "output", *(f"{state}_n" for state in self.spec.cell.states)]
        found = sorted(tallies.values(), key=lambda tally: order.index(tally.name))
        by_key = {tally.key: out[tally.key] for tally in found}
        return concluded(found, self.tolerance, by_key, sound=sound, drift=self.drift)

    def _beside(self, column: LayerDirection, rounding: Format | None, *, alone: bool) -> Iterator[tuple[slice, Window | None]]:
        """All windows, each with a replay that is forced, or alone."""
        if alone:
            yield from ((steps, None) for steps in self.windows("comparison", column))
            return
        doing = "forced replay" if rounding is None else "bounds on rounding"
        for window in self.replayed(doing, column, self.stored.framework, ("h",), rounding, kept=not self.free):
            if not self.free:
                self.see(column, window)
            yield window.steps, window

    def _by_itself(self, column: LayerDirection, rounding: Format | None) -> Iterator[Window]:
        """The replay forced with the states of the free one."""
        forced = self.spec.cell.states
        return self.replayed("replay by itself", column, self.stored.replay, forced, rounding, kept=True)

    def compared_with_itself(self, rounding: Format) -> Comparison:
        """The free replay beside one that is forced with its states: whether each step follows from the one before."""
        tallies: dict[Key, Tally] = {}
        for column in self.spec.layer_directions:
            for window in self._by_itself(column, rounding):
                t = times(window.steps, self.inputs.batch)
                for symbol in self.kept:
                    key, bounds = (0, column[1], symbol), window.trace.bounds
                    again, free = window.trace.columns[key], self.stored.replay[*column, symbol][window.steps]
                    bound = bounds.columns[key] if bounds else None
                    quantity = Quantity(symbol, *column, again, again, free, t, window.trace.inputs.valid, bound)
                    self._tally(tallies, quantity).add(quantity)
        return concluded(list(tallies.values()), self.tolerance, {})

    def windows(self, doing: str, column: LayerDirection) -> Iterator[slice]:
        """Windows in the order of computation."""
        layer, direction = column
        done = 0
        for steps in windows(self.inputs, direction):
            if self.tell:
                self.tell(f"{doing}: layer {layer}, {direction}", (self.swept + done / self.inputs.steps) / self.sweeps)
            yield steps
            done += steps.stop - steps.start
            # Any array will do: all lie in one file, which is let go of as a whole.
            release(self.stored.outputs["replay"])
        self.swept += 1

    def replayed(
        self,
        doing: str,
        column: LayerDirection,
        hidden: Mapping[Key, Array],
        forced: Collection[str] = (),
        rounding: Format | None = None,
        *,
        kept: bool = False,
    ) -> Iterator[Window]:
        """The replay of a layer and direction, with what is kept of it or, where states are enough, without."""
        return replay_windows(
            self.spec,
            self.weights,
            self.inputs,
            column,
            self.windows(doing, column),
            hidden,
            forced,
            dtype=self.dtype,
            keep=self.kept if kept else (),
            keep_terms=kept and bool(self.terms),
            rounding=rounding,
        )

    def _steps(self, column: LayerDirection, steps: slice, window: Window | None) -> Iterator[Quantity]:
        """h of both sides in a window, and what of the output is theirs; at steps that do not exist the output is 0."""
        direction, stored = column[1], self.stored
        forced, bounds = (window.trace, window.trace.bounds) if window else (None, None)
        mine, theirs = stored.replay[*column, "h"][steps], stored.framework[*column, "h"][steps]
        own = forced.columns[0, direction, "h"] if forced and self.single_steps else mine
        bound = bounds.columns[0, direction, "h"] if bounds else None
        valid = None if self.inputs.valid is None else self.inputs.valid[steps]
        t = times(steps, self.inputs.batch)
        yield Quantity("h", *column, mine, own, theirs, t, valid, bound)
        if self.is_last(column):
            mine, theirs = (stored.output(side, self.spec, direction)[steps] for side in ("replay", "framework"))
            own = forced.output if forced and self.single_steps else mine
            yield Quantity("output", *column, mine, own, theirs, t, bound=bounds.output if bounds else None)

    def _last_states(self, column: LayerDirection, window: Window | None) -> Iterator[Quantity]:
        """h_n and c_n, after the last window."""
        mine, theirs = self.finals["replay"][column], self.finals["framework"][column]
        t = Trace(self.spec, self.inputs, {VALUES: {}}).final_step(column[1])[None]
        for state in self.spec.cell.states:
            own = window.states[state] if window and self.single_steps else mine[state]
            bound = window.bounds[state] if window and window.trace.bounds else None
            yield Quantity(f"{state}_n", *column, mine[state], own, theirs[state], t, bound=bound)

    def _tally(self, tallies: dict[Key, Tally], quantity: Quantity) -> Tally:
        """The tally of a quantity, new if this is the first of it."""
        tally = Tally(quantity.name, quantity.layer, quantity.direction, self.tolerance, self.spec.precision)
        return tallies.setdefault(tally.key, tally)

    def is_last(self, column: LayerDirection) -> bool:
        """Whether this is a column of the last layer, which gives the output."""
        return column[0] == self.spec.num_layers - 1
