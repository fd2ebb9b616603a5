"""A run over a sequence too long for memory, layer by layer, direction by direction and a window of steps at a time.

Whatever has the size of the trace lies in a file. torch too is called window by window.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnntrace.api.displayed import DisplayedResult
from rnntrace.api.judging import Judging, check_mode, if_drift, not_finite, notes
from rnntrace.api.storage import Storage
from rnntrace.engine.compare import Comparison, Verdict, concluded
from rnntrace.engine.quantities import Quantity, times
from rnntrace.engine.rounding import Format
from rnntrace.engine.saturation import remarks
from rnntrace.engine.tally import Tally
from rnntrace.engine.trace import Key, Trace
from rnntrace.engine.windowed import Column, States, Window, initial_states, replay_windows, window_inputs, windows
from rnntrace.model.dtypes import Array
from rnntrace.model.signals import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.model.windows import release

Tell = Callable[[str, float], None]
"""Is told what is being done, and how far that is, from 0 to 1."""


def streamed(
    module: Any,
    spec: ModuleSpec,
    weights: Weights,
    inputs: Inputs,
    judging: Judging,
    folder: Path,
    tell: Tell | None = None,
    *,
    seed: int | None = None,
    origin: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> DisplayedResult:
    """Observe torch, replay, compare and say what there is to say, as `judged` does, with arrays in a file of the folder.

    Raises FileError where the folder has no room.
    """
    from rnntrace.frameworks.torch_observe import not_to_capture, observation

    check_mode(judging.replay)
    run = _Run(module, spec, weights, inputs, judging, folder, tell)
    unsound = not_finite(inputs, weights)
    for column in spec.columns:
        run.observe(column)
        if run.free:
            run.replay(column)
    comparison = run.compared(None, sound=not unsound)
    if run.tolerance.rounding and comparison.verdict in (Verdict.FAIL, Verdict.DRIFT):
        rounding = Format.of(spec.precision, run.dtype, run.tolerance.lam)
        run.sweeps += len(spec.columns)
        comparison = run.compared(rounding, sound=not unsound)
        if comparison.verdict is Verdict.DRIFT and run.free:
            run.sweeps += len(spec.columns)
            comparison = if_drift(comparison, run.compared_with_itself(rounding))
    trace = run.trace
    reason = not_to_capture(spec, inputs, judging.capture) or "this run was worked through in parts"
    seen = observation(module, run.path, run.outputs("framework"), run.stored.framework, {}, reason)
    return DisplayedResult(
        spec,
        weights,
        inputs,
        trace,
        run.outputs("replay"),
        seen,
        comparison,
        judging.replay,
        seed,
        dict(origin or {}),
        (*warnings, *unsound, *notes(spec, judging, seen), *comparison.remarks, *(() if unsound else remarks(trace))),
        single_steps=run.single_steps,
    )


class _Run:
    """A run in the making, over all windows of one layer and direction after the other."""

    def __init__(
        self, module: Any, spec: ModuleSpec, weights: Weights, inputs: Inputs, judging: Judging, folder: Path, tell: Tell | None
    ) -> None:
        from rnntrace.frameworks.torch_windows import path_taken

        self.module, self.spec, self.weights, self.inputs, self.tell = module, spec, weights, inputs, tell
        self.path = path_taken(module, spec, inputs)
        self.free = judging.replay == "free"
        self.dtype = judging.numpy_dtype(spec)
        self.tolerance, self.drift = judging.tolerance_for(spec), judging.drift
        # With a tolerance of its own for every value, no step is taken from torch's states.
        self.single_steps = not (self.free and self.tolerance.of_trajectory)
        self.kept = judging.kept(spec.cell)
        self.terms = judging.kept_terms(spec.cell)
        self.stored = Storage.make(spec, inputs, (*self.kept, *self.terms), self.dtype, folder)
        self.finals: dict[str, dict[Column, States]] = {"replay": {}, "framework": {}}
        # How often all steps of a layer and direction are gone through, and how often they have been.
        self.sweeps, self.swept = len(spec.columns) * (2 + self.free), 0

    def observe(self, column: Column) -> None:
        """torch's own h and output, and its last states."""
        from rnntrace.frameworks.torch_windows import Follower

        follow, states = Follower(self.module, self.spec, *column, self.path), initial_states(self.spec, self.inputs, column)
        for steps in self._windows("torch", column):
            read = window_inputs(self.spec, self.inputs, column, steps, self.stored.framework, states)
            h, states = follow(read)
            self.stored.framework[*column, "h"][steps] = h
            if self._is_last(column):
                self.stored.output("framework", self.spec, column[1])[steps] = h
        self.finals["framework"][column] = states

    def replay(self, column: Column) -> None:
        """The free-running replay."""
        for window in self._replayed("free replay", column, self.stored.replay, kept=True):
            self._put(column, window)

    def compared(self, rounding: Format | None, *, sound: bool) -> Comparison:
        """Everything that torch gave, with each single step forced by torch's own state before it."""
        tallies: dict[Key, Tally] = {}
        out = dict(self.stored.out)
        doing = "forced replay" if rounding is None else "bounds on rounding"
        for column in self.spec.columns:
            for window in self._replayed(doing, column, self.stored.framework, ("h",), rounding, kept=not self.free):
                if not self.free:
                    self._put(column, window)
                for quantity in self._steps(column, window):
                    tally = self._tally(tallies, quantity)
                    out[tally.key][window.steps] = tally.add(quantity)
            for quantity in self._last_states(column, window):
                tally = self._tally(tallies, quantity)
                out[tally.key] = tally.add(quantity)
        # In the order of computation, outputs behind all else.
        order = ["h", "output", *(f"{state}_n" for state in self.spec.cell.states)]
        found = sorted(tallies.values(), key=lambda tally: order.index(tally.name))
        by_key = {tally.key: out[tally.key] for tally in found}
        return concluded(found, self.tolerance, by_key, sound=sound, drift=self.drift)

    def compared_with_itself(self, rounding: Format) -> Comparison:
        """The free replay beside one that is forced with its states: whether each step follows from the one before."""
        tallies: dict[Key, Tally] = {}
        for column in self.spec.columns:
            forced = self.spec.cell.states
            for window in self._replayed("replay by itself", column, self.stored.replay, forced, rounding, kept=True):
                t = times(window.steps, self.inputs.batch)
                for symbol in self.kept:
                    key, bounds = (0, column[1], symbol), window.trace.bounds
                    again, free = window.trace.columns[key], self.stored.replay[*column, symbol][window.steps]
                    bound = bounds.columns[key] if bounds else None
                    quantity = Quantity(symbol, *column, again, again, free, t, window.trace.inputs.valid, bound)
                    self._tally(tallies, quantity).add(quantity)
        return concluded(list(tallies.values()), self.tolerance, {})

    @property
    def trace(self) -> Trace:
        """The replay that is shown."""
        columns = {key: values for key, values in self.stored.replay.items() if key[2] in self.kept}
        terms = {key: values for key, values in self.stored.replay.items() if key[2] in self.terms}
        return Trace(self.spec, self.inputs, columns, terms)

    def outputs(self, side: str) -> dict[str, Array]:
        """output, h_n and, for an LSTM, c_n; time-major."""
        found = [self.finals[side][column] for column in self.spec.columns]
        finals = {f"{state}_n": np.concatenate([states[state] for states in found]) for state in self.spec.cell.states}
        return {"output": self.stored.outputs[side], **finals}

    def _windows(self, doing: str, column: Column) -> Iterator[slice]:
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

    def _replayed(
        self,
        doing: str,
        column: Column,
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
            self._windows(doing, column),
            hidden,
            forced,
            dtype=self.dtype,
            keep=self.kept if kept else (),
            keep_terms=kept and bool(self.terms),
            rounding=rounding,
        )

    def _put(self, column: Column, window: Window) -> None:
        """Put a window of the replay that is shown where it belongs."""
        for (_, _, symbol), values in (*window.trace.columns.items(), *window.trace.terms.items()):
            self.stored.replay[*column, symbol][window.steps] = values
        if self._is_last(column):
            self.stored.output("replay", self.spec, column[1])[window.steps] = window.trace.output
        self.finals["replay"][column] = window.states

    def _steps(self, column: Column, window: Window) -> Iterator[Quantity]:
        """h of both sides in a window, and what of the output is theirs; at steps that do not exist the output is 0."""
        direction = column[1]
        forced, bounds, stored = window.trace, window.trace.bounds, self.stored
        shown, own, theirs = stored.replay[*column, "h"], forced.columns[0, direction, "h"], stored.framework[*column, "h"]
        bound = bounds.columns[0, direction, "h"] if bounds else None
        t = times(window.steps, self.inputs.batch)
        mine = shown[window.steps]
        sides = mine, own if self.single_steps else mine, theirs[window.steps]
        yield Quantity("h", *column, *sides, t, forced.inputs.valid, bound)
        if self._is_last(column):
            shown, theirs = (stored.output(side, self.spec, direction)[window.steps] for side in ("replay", "framework"))
            own = forced.output if self.single_steps else shown
            yield Quantity("output", *column, shown, own, theirs, t, bound=bounds.output if bounds else None)

    def _last_states(self, column: Column, window: Window) -> Iterator[Quantity]:
        """h_n and c_n, after the last window."""
        shown, theirs = self.finals["replay"][column], self.finals["framework"][column]
        t = Trace(self.spec, self.inputs, {}).final_step(column[1])[None]
        for state, own in window.states.items():
            bound = window.bounds[state] if window.trace.bounds else None
            sides = shown[state], own if self.single_steps else shown[state], theirs[state]
            yield Quantity(f"{state}_n", *column, *sides, t, bound=bound)

    def _tally(self, tallies: dict[Key, Tally], quantity: Quantity) -> Tally:
        """The tally of a quantity, new if this is the first of it."""
        tally = Tally(quantity.name, quantity.layer, quantity.direction, self.tolerance, self.spec.precision)
        return tallies.setdefault(tally.key, tally)

    def _is_last(self, column: Column) -> bool:
        return column[0] == self.spec.num_layers - 1
