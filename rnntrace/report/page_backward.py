"""What a page plays of a backward pass: the gradients of every step, above the forward pass that they go back over."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.backward.derivation import step_after
from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.engine.derivation import Position
from rnntrace.engine.judge.pairing import Place
from rnntrace.equations.adjoint import adjoint, handed_on
from rnntrace.model.backward import NOTHING_GIVEN
from rnntrace.model.dtypes import Array
from rnntrace.model.spec import REVERSE
from rnntrace.report.page import Back, Part, Play, Strip, Track, check_size, forward_tracks, largest, part_of
from rnntrace.report.select import View, selected
from rnntrace.report.table import Scale


def play_of_gradients(result: BackwardResult, view: View) -> Play:
    """A backward pass as a page plays it, as far as the view selects it. Raises UsageError as `play_of` does."""
    spec, inputs, seen = result.spec, result.inputs, result.observation
    part = part_of(spec, inputs, view)
    shown = [key for key in (*result.trace.columns, *result.gradients.columns) if selected(key[0], view.layers)]
    loss = np.asarray(result.loss.gradients.get("output", np.zeros((inputs.steps, inputs.batch, spec.width))))
    check_size(result.weights, inputs, part, len(shown) + sum(key in seen.columns for key in shown))
    back = [_track(result, layer, direction, part, view) for layer, direction in reversed(spec.layer_directions)]
    mse = 2 / np.count_nonzero(np.broadcast_to(_there(inputs.valid), loss.shape)) if result.loss.name == "mse" else 0.0
    return Play(
        name="",
        spec=spec,
        other="" if seen.framework == NOTHING_GIVEN else seen.framework,
        part=part,
        x=inputs.x[part.steps][:, part.items],
        valid=None if inputs.valid is None else inputs.valid[part.steps][:, part.items],
        merges=tuple(spec.merge_of(layer) for layer in range(spec.num_layers)),
        tracks=(*forward_tracks(result.trace, result.weights, part, view), *back),
        opens=_opens(result, part),
        back=Back(loss[part.steps][:, part.items], float(mse), result.truncate or 0, inputs.steps),
    )


def _track(result: BackwardResult, layer: int, direction: str, part: Part, view: View) -> Track:
    """One layer in one direction, going back."""
    found, weights = adjoint(result.spec.cell_of(direction)), result.weights[layer, direction]
    strips = tuple(_strips(result, layer, direction, part))
    limit = max(largest(strip.values) for strip in strips)
    start = _start(result, layer, direction, part)
    return Track(layer, direction, found.cell, weights, start, strips if selected(layer, view.layers) else (), limit, found)


def _there(valid: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    return np.ones((1, 1, 1), bool) if valid is None else valid[..., None]


def _strips(result: BackwardResult, layer: int, direction: str, part: Part) -> Iterator[Strip]:
    for symbol in adjoint(result.spec.cell_of(direction)).cell.symbols:
        key = layer, direction, symbol
        mine, theirs = result.gradients.columns[key], result.observation.columns.get(key)
        wrong = result.comparison.out_of_tolerance.get(key)
        yield Strip(
            symbol,
            Scale.SIGNED,
            part.of(mine),
            None if theirs is None else part.of(theirs),
            None if wrong is None or theirs is None else part.of(wrong),
        )


def _start(result: BackwardResult, layer: int, direction: str, part: Part) -> dict[str, Array]:
    """What comes back into the last step that is played, (B, N): from the step after, or from the loss."""
    spec, row = result.spec, result.spec.layer_directions.index((layer, direction))
    t = part.first if direction == REVERSE else part.last
    found = {}
    for state in spec.cell.states:
        handed = result.gradients.columns[layer, direction, handed_on(state)]
        ends = result.loss.gradients.get(f"{state}_n")
        rows: list[Array] = []
        for item in part.items:
            after = step_after(result.trace, Position(layer, direction, t, item, 0))
            nothing = np.zeros(handed.shape[2], handed.dtype)
            if after:
                rows.append(nothing if _cut(result, t, direction) else handed[after - 1, item])
            else:
                rows.append(nothing if ends is None else ends[row, item])
        found[handed_on(state)] = np.stack(rows)
    return found


def _cut(result: BackwardResult, t: int, direction: str) -> bool:
    """Whether truncation lets nothing back into this step."""
    return bool(result.truncate) and (t if direction != REVERSE else result.inputs.steps - t + 1) % (result.truncate or 1) == 0


def _opens(result: BackwardResult, part: Part) -> Place:
    """Where the first wrong gradient of a step is, or else the last step, from which it all goes back."""
    place = result.comparison.first_failure
    if place and part.holds(place) and (place.layer, place.direction, place.symbol) in result.gradients.columns:
        return place
    layer, direction = result.spec.layer_directions[-1]
    return Place(layer, direction, "", part.last, part.items[0], int(part.units[0]), 0.0, 0.0)
