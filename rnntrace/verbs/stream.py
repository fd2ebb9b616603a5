"""A run over a sequence too long for memory, layer by layer, direction by direction and a window of steps at a time.

Whatever has the size of the trace lies in a file. torch too is called window by window. It is judged as any other: see
`engine.judge.protocol`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnntrace.engine.judge.judge import judged, not_finite
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.protocol import Judgement
from rnntrace.engine.replay.trace import TERMS, VALUES, Trace
from rnntrace.engine.replay.windows import InWindows, States, Tell, Window, initial_states, replay_windows, window_inputs
from rnntrace.files.spool import spooled
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key, LayerDirection
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.verbs.displayed import DisplayedResult, displayed


def streamed(
    module: Any,
    spec: ModuleSpec,
    weights: Weights,
    inputs: Inputs,
    options: JudgeOptions,
    folder: Path,
    tell: Tell | None = None,
    *,
    seed: int | None = None,
    origin: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> DisplayedResult:
    """Observe torch, replay and judge, as `judge` does, with arrays in a file of the folder.

    Raises FileError where the folder has no room.
    """
    from rnntrace.frameworks.torch.run import not_to_capture, observation
    from rnntrace.frameworks.torch.windows import Follower, path_taken

    dtype, output, path = options.numpy_dtype(spec), spec.cell.output, path_taken(module, spec, inputs)
    kept, terms = options.kept(spec.cell), options.kept_terms(spec.cell)
    stored = Storage.make(spec, inputs, (*kept, *terms), dtype, folder)
    # All arrays lie in one file, which is let go of as a whole.
    replays = InWindows(spec, weights, inputs, dtype, tell, [stored.outputs["replay"]], sweeps=3 * len(spec.layer_directions))
    for column in spec.layer_directions:
        follow, states = Follower(module, spec, *column, path), initial_states(spec, inputs, column)
        for steps in replays.steps("torch", column):
            h, states = follow(window_inputs(spec, inputs, column, steps, stored.framework, states))
            stored.keep("framework", column, Window(steps, {output: h}, final=states))
        doing, hidden, forced = (
            ("free replay", stored.replay, ()) if options.free else ("forced replay", stored.framework, (output,))
        )
        steps_of = replays.steps(doing, column)
        for window in replay_windows(
            spec, weights, inputs, column, steps_of, hidden, forced, dtype=dtype, keep=kept, keep_terms=bool(terms)
        ):
            stored.keep("replay", column, window)
    channels = {
        name: {key: values for key, values in stored.replay.items() if key[2] in symbols}
        for name, symbols in ((VALUES, kept), (TERMS, terms))
    }
    trace = Trace(spec, inputs, channels)
    reason = not_to_capture(spec, inputs, options.capture) or "this run was worked through in parts"
    seen = observation(module, path, stored.outputs_of("framework"), stored.framework, {}, reason)
    unsound = not_finite(inputs, weights)
    judgement = Judgement(trace, stored.outputs_of("replay"), seen, options, replays, sound=not unsound, out=stored.out)
    return displayed(judged(judgement, weights, trace, options, seed=seed, origin=origin, warnings=(*warnings, *unsound)))


@dataclass(frozen=True)
class Storage:
    """Arrays (T, B, ·) in a file: the replay, torch's h, both sides' output, and what is out of tolerance."""

    spec: ModuleSpec
    inputs: Inputs
    replay: dict[Key, Array]
    framework: dict[Key, Array]
    out: dict[Key, Flags]
    outputs: dict[str, Array]
    finals: dict[tuple[str, LayerDirection], States] = field(default_factory=dict)

    @classmethod
    def make(cls, spec: ModuleSpec, inputs: Inputs, symbols: Collection[str], dtype: np.dtype[Any], folder: Path) -> "Storage":
        """Raises FileError where the folder has no room for this and for what will be saved of it."""
        R, theirs, rows = spec.output_size, spec.precision.replay, (inputs.steps, inputs.batch)
        shapes: dict[tuple[str, Any], tuple[int, np.dtype[Any]]] = {}
        for layer, direction in spec.layer_directions:
            for symbol in symbols:
                shapes["replay", (layer, direction, symbol)] = spec.size_of(symbol), dtype
            shapes["framework", (layer, direction, spec.cell.output)] = R, theirs
            for name in (spec.cell.output, *(["output"] if layer == spec.num_layers - 1 else [])):
                shapes["out", (layer, direction, name)] = R, np.dtype(bool)
        for side, format in (("replay", dtype), ("framework", theirs)):
            shapes["outputs", side] = R * len(spec.directions), format
        arrays = spooled(folder, {name: ((*rows, size), format) for name, (size, format) in shapes.items()})
        groups = ("replay", "framework", "out", "outputs")
        found: Any = ({key: array for (group, key), array in arrays.items() if group == wanted} for wanted in groups)
        return cls(spec, inputs, *found)

    def keep(self, side: str, column: LayerDirection, window: Window) -> None:
        """Put what a window of one side holds where it belongs."""
        arrays = self.replay if side == "replay" else self.framework
        for symbol, values in (*window.values.items(), *window.terms.items()):
            # States that are not kept are there all the same.
            if (*column, symbol) in arrays:
                arrays[*column, symbol][window.steps] = values
        if column[0] == self.spec.num_layers - 1:
            h, valid = window.values[self.spec.cell.output], self.inputs.valid
            output = h if valid is None else np.where(valid[window.steps, :, None], h, 0)
            self.outputs[side][window.steps][..., self.spec.output_units(column[1])] = output
        self.finals[side, column] = window.final

    def outputs_of(self, side: str) -> dict[str, Array]:
        """output and final states of one side; time-major."""
        found = [self.finals[side, column] for column in self.spec.layer_directions]
        finals = {f"{state}_n": np.concatenate([states[state] for states in found]) for state in self.spec.cell.states}
        return {"output": self.outputs[side], **finals}
