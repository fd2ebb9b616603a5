"""Gates at their ends, growth and overflow: the same words however long the trace is, and wherever it lies."""

import math
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from rnntrace.engine.judge.saturation import remarks
from rnntrace.engine.replay.trace import Trace
from rnntrace.model import windows
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key
from rnntrace.model.spec import ModuleSpec

VALUES = (0.0, 0.005, 0.5, 0.995, 1.0, -12.0, 12.0, 30.0, math.inf, -math.inf, math.nan)
SIGMOIDS = {"LSTM": "ifo", "GRU": "rz", "RNN": ""}


def trace_of(spec: ModuleSpec, columns: dict[Key, Array]) -> Trace:
    """A trace of these columns, on inputs that do not matter."""
    steps, batch, _ = next(iter(columns.values())).shape
    states = np.zeros((len(spec.layer_directions), batch, spec.hidden_size))
    return Trace(spec, Inputs(np.zeros((steps, batch, spec.input_size)), states, states), {"values": columns})


def drawn(spec: ModuleSpec, steps: int, batch: int, seed: int) -> dict[Key, Array]:
    """Columns of values that are worth a word, each with few different ones, and cell states that may grow."""
    generator = np.random.default_rng(seed)
    columns: dict[Key, Array] = {}
    for layer, direction in spec.layer_directions:
        for symbol in spec.cell.symbols:
            some = generator.choice(VALUES, generator.integers(1, 5))
            values = generator.choice(some, (steps, batch, spec.hidden_size))
            if symbol == "c" and generator.random() < 0.5:
                values[:] = 0 if generator.random() < 0.5 else values
                values[0] = generator.choice((0.0, math.inf, math.nan))
                values[steps // 2 :] += np.linspace(0, generator.choice((4, 9, 50)), steps - steps // 2)[:, None, None]
            columns[layer, direction, symbol] = values[::-1] if direction == "reverse" else values
    return columns


def in_words(trace: Trace) -> Iterable[str]:
    """The remarks, by a loop over single numbers."""
    for layer, direction in trace.spec.layer_directions:
        where = f"layer {layer}" + (f", {direction}" if trace.spec.bidirectional else "")
        held = {symbol: array.tolist() for (*column, symbol), array in trace.columns.items() if column == [layer, direction]}
        flat = {symbol: [v for step in steps for item in step for v in item] for symbol, steps in held.items()}
        ends = []
        for symbol in SIGMOIDS[trace.spec.family]:
            finite = [v for v in flat.get(symbol, []) if math.isfinite(v)]
            low, high = sum(v < 0.01 for v in finite), sum(v > 0.99 for v in finite)
            if finite and (low + high) / len(finite) > 0.5:
                sides = [(low, "below 0.01"), (high, "above 0.99")]
                ends.append(f"{symbol} " + " and ".join(f"{n / len(finite):.0%} {side}" for n, side in sides if n))
        if ends:
            yield f"{where}: saturated gates, {', '.join(ends)}"
        peaks = [max((abs(v) for item in step for v in item if math.isfinite(v)), default=0.0) for step in held.get("c", [])]
        peaks = peaks[::-1] if direction == "reverse" else peaks
        if len(peaks) >= 4 and peaks[-1] >= 10 and peaks[-1] >= 1.25 * peaks[len(peaks) // 2] and max(peaks[:-1]) < peaks[-1]:
            yield f"{where}: |c| is {peaks[-1]:.3g} after {len(peaks)} steps and still growing"
        for symbol in (symbol for symbol in trace.spec.cell.symbols if symbol in flat):
            if infinite := sum(map(math.isinf, flat[symbol])):
                yield f"{where}: {symbol} overflows at {infinite} of {len(flat[symbol])} values"
                break


@pytest.mark.slow
@examples(400)
@given(
    st.sampled_from(("RNN", "GRU", "LSTM")),
    st.booleans(),
    st.integers(1, 12),
    st.integers(1, 3),
    st.integers(0, 2**32),
    st.data(),
)
def test_in_parts_as_number_by_number(
    kind: str, bidirectional: bool, steps: int, batch: int, seed: int, data: st.DataObject
) -> None:
    """Whatever is held of a trace, and in parts of any length."""
    spec = ModuleSpec(kind=kind, input_size=1, hidden_size=2, num_layers=2, bidirectional=bidirectional, dtype="float64")
    columns = drawn(spec, steps, batch, seed)
    held = data.draw(st.sets(st.sampled_from(spec.cell.symbols), min_size=1))
    trace = trace_of(spec, {key: array for key, array in columns.items() if key[2] in held})
    expected = [*in_words(trace)][:4]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "PIECE", data.draw(st.integers(1, 30)))
        assert remarks(trace) == expected


def test_a_trace_in_a_file_is_gone_through_in_parts(tmp_path: Path) -> None:
    """Of 24 MB hardly any are held in memory at once, and the words are those of the arrays themselves."""
    spec = ModuleSpec(kind="LSTM", input_size=1, hidden_size=8)
    shape = (100_000, 1, 8)
    filed: dict[Key, Array] = {}
    for symbol, value in zip("ifgoch", (0.995, 0.5, 1.0, 0.001, 0.0, np.inf), strict=True):
        array = np.lib.format.open_memmap(tmp_path / f"{symbol}.npy", "w+", np.float32, shape)
        array[:] = np.linspace(0, 30, len(array), dtype=np.float32)[:, None, None] if symbol == "c" else value
        array.flush()
        filed[0, "forward", symbol] = np.load(tmp_path / f"{symbol}.npy", mmap_mode="r")
    trace = trace_of(spec, filed)
    tracemalloc.start()
    try:
        found = remarks(trace)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [
        "layer 0: saturated gates, i 100% above 0.99, o 100% below 0.01",
        "layer 0: |c| is 30 after 100000 steps and still growing",
        "layer 0: h overflows at 800000 of 800000 values",
    ]
    assert peak < 4e6
