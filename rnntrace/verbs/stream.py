"""A run over a sequence too long for memory, layer by layer, direction by direction and a window of steps at a time.

Whatever has the size of the trace lies in a file. torch too is called window by window.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnntrace.engine.judge.saturation import remarks
from rnntrace.engine.replay.trace import TERMS, VALUES, Trace
from rnntrace.engine.replay.windows import Window, initial_states, window_inputs
from rnntrace.model.dtypes import Array
from rnntrace.model.keys import LayerDirection
from rnntrace.model.signals import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.verbs.displayed import DisplayedResult
from rnntrace.verbs.judging import JudgeOptions, check_mode, not_finite, notes
from rnntrace.verbs.storage import Storage
from rnntrace.verbs.sweeps import Sweeps, Tell


def streamed(
    module: Any,
    spec: ModuleSpec,
    weights: Weights,
    inputs: Inputs,
    judging: JudgeOptions,
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
    for column in spec.layer_directions:
        run.observe(column)
        if run.free:
            run.replay(column)
    comparison = run.judged(sound=not unsound)
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


class _Run(Sweeps):
    """A run in the making."""

    def __init__(
        self,
        module: Any,
        spec: ModuleSpec,
        weights: Weights,
        inputs: Inputs,
        judging: JudgeOptions,
        folder: Path,
        tell: Tell | None,
    ) -> None:
        from rnntrace.frameworks.torch_windows import path_taken

        dtype = judging.numpy_dtype(spec)
        kept = (*judging.kept(spec.cell), *judging.kept_terms(spec.cell))
        super().__init__(spec, weights, inputs, judging, Storage.make(spec, inputs, kept, dtype, folder), dtype, tell)
        self.module, self.path = module, path_taken(module, spec, inputs)
        self.sweeps = len(spec.layer_directions) * (2 + self.free)

    def observe(self, column: LayerDirection) -> None:
        """torch's own h and output, and its last states."""
        from rnntrace.frameworks.torch_windows import Follower

        follow, states = Follower(self.module, self.spec, *column, self.path), initial_states(self.spec, self.inputs, column)
        for steps in self.windows("torch", column):
            read = window_inputs(self.spec, self.inputs, column, steps, self.stored.framework, states)
            h, states = follow(read)
            self.stored.framework[*column, "h"][steps] = h
            if self.is_last(column):
                self.stored.output("framework", self.spec, column[1])[steps] = h
        self.finals["framework"][column] = states

    def replay(self, column: LayerDirection) -> None:
        """The free-running replay."""
        for window in self.replayed("free replay", column, self.stored.replay, kept=True):
            self.see(column, window)

    @property
    def trace(self) -> Trace:
        """The replay that is shown."""
        columns = {key: values for key, values in self.stored.replay.items() if key[2] in self.kept}
        terms = {key: values for key, values in self.stored.replay.items() if key[2] in self.terms}
        return Trace(self.spec, self.inputs, {VALUES: columns, TERMS: terms})

    def outputs(self, side: str) -> dict[str, Array]:
        """output, h_n and, for an LSTM, c_n; time-major."""
        found = [self.finals[side][column] for column in self.spec.layer_directions]
        finals = {f"{state}_n": np.concatenate([states[state] for states in found]) for state in self.spec.cell.states}
        return {"output": self.stored.outputs[side], **finals}

    def see(self, column: LayerDirection, window: Window) -> None:
        """Put a window of the replay that is shown where it belongs."""
        for (_, _, symbol), values in (*window.trace.columns.items(), *window.trace.terms.items()):
            self.stored.replay[*column, symbol][window.steps] = values
        if self.is_last(column):
            self.stored.output("replay", self.spec, column[1])[window.steps] = window.trace.output
        self.finals["replay"][column] = window.states
