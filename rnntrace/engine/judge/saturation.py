"""Signs of a network that has stopped learning or is running away: gates at their ends, a state that grows, overflow."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from rnntrace.engine.replay.trace import Trace
from rnntrace.model.dtypes import Array
from rnntrace.model.spec import REVERSE
from rnntrace.model.windows import pieces, release

NEAR = 0.01
"""A sigmoid this near to 0 or 1 has a slope below 0.01: hardly any gradient passes."""
MOST = 0.5
"""From this share of a gate's values on it is worth a word."""
LARGE = 10.0
"""tanh(c) is 1 to within 4e-9 from there on."""
FEW, GROWN = 4, 1.25
"""Fewer steps show no growth; it is one if the last step has so many times what there was half way."""


AT_MOST = 4
"""So many remarks are made."""


def remarks(trace: Trace) -> list[str]:
    """Sentences on what is saturated, growing or infinite, the first few by layer and direction.

    What the trace does not hold is not asked about; what lies in files is read a part at a time.
    """
    return list(islice(_remarks(trace), AT_MOST))


def _remarks(trace: Trace) -> Iterator[str]:
    cell = trace.spec.cell
    for layer, direction in trace.spec.layer_directions:
        where = f"layer {layer}" + (f", {direction}" if trace.spec.bidirectional else "")
        held = [symbol for symbol in cell.symbols if (layer, direction, symbol) in trace.columns]
        columns = {symbol: trace.columns[layer, direction, symbol] for symbol in held}
        ends = [found for symbol in cell.sigmoids if symbol in columns and (found := _at_its_ends(symbol, columns[symbol]))]
        if ends:
            yield f"{where}: saturated gates, {', '.join(ends)}"
        for state in cell.states:
            if state != cell.output and state in columns and (growth := _growth(state, columns[state], direction)):
                yield f"{where}: {growth}"
        for symbol, values in columns.items():
            if infinite := sum(_infinite(part) for part in _parts(values)):
                yield f"{where}: {symbol} overflows at {infinite} of {values.size} values"
                break


def _parts(values: Array) -> Iterator[Array]:
    """The steps of an array, some at a time."""
    for piece in pieces(values.shape):
        yield values[piece]
        release(values)


def _infinite(values: Array) -> int:
    """How many values are infinite; the largest and the smallest are quicker to find than a flag for each."""
    if not values.size or -np.inf < values.min() <= values.max() < np.inf:
        return 0
    return int(np.count_nonzero(np.isinf(values)))


def _at_its_ends(symbol: str, values: Array) -> str:
    """The share of a gate's values that are near 0 or 1, if it is most of them."""
    inside, most = 0, MOST * values.size
    for part in _parts(values):
        inside += int(np.count_nonzero(part >= NEAR)) - int(np.count_nonzero(part > 1 - NEAR))
        if inside >= most:
            # Whatever comes, it is not most of them; the rest need not be read.
            return ""
    below = above = exist = 0
    for part in _parts(values):
        finite = np.isfinite(part)
        below += int(np.count_nonzero((part < NEAR) & finite))
        above += int(np.count_nonzero((part > 1 - NEAR) & finite))
        exist += int(np.count_nonzero(finite))
    low, high = below / max(1, exist), above / max(1, exist)
    if low + high <= MOST:
        return ""
    shares = [f"{share:.0%} {side}" for share, side in ((low, f"below {NEAR}"), (high, f"above {1 - NEAR}")) if share]
    return f"{symbol} {' and '.join(shares)}"


def _peaks(values: Array) -> Array:
    """The largest |value| (T,) of each step, of those that are finite."""
    found: Array = np.maximum(values.max(axis=(1, 2)), -values.min(axis=(1, 2)))
    if not np.isfinite(found).all():
        found = np.abs(values).max(axis=(1, 2), initial=0.0, where=np.isfinite(values))
    return found


def _growth(state: str, values: Array, direction: str) -> str:
    """That a cell state, |c|, has become large and has not stopped growing by the last step."""
    peaks = np.concatenate([_peaks(part) for part in _parts(values)])
    peaks = peaks[::-1] if direction == REVERSE else peaks
    if len(peaks) < FEW or peaks[-1] < LARGE or peaks[-1] < GROWN * peaks[len(peaks) // 2] or peaks.argmax() < len(peaks) - 1:
        return ""
    return f"|{state}| is {peaks[-1]:.3g} after {len(peaks)} steps and still growing"
