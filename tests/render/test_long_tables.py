"""Long traces: what is made in part is part of the whole, the worst places are seen, and little memory is needed."""

import json
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from strategies import examples

from rnntrace.cli.syntax import parse_range
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.errors import UsageError
from rnntrace.model import windows
from rnntrace.model.spec import ModuleSpec
from rnntrace.render import Style, pieces, render
from rnntrace.render import json as as_json
from rnntrace.report import excerpt, panels
from rnntrace.report.outputs import output_tables
from rnntrace.report.plot import KINDS, picture
from rnntrace.report.run import run_report
from rnntrace.report.select import PARTS, View
from rnntrace.report.table import Report, Scale, Table
from rnntrace.report.trace import trace_tables
from rnntrace.verbs.given.sources import read_sources
from rnntrace.verbs.judged import judged
from rnntrace.verbs.run import build_and_trace as run

MODULES = {
    "LSTM": {"num_layers": 2, "bidirectional": True, "proj_size": 1},
    "GRU": {"batch_first": True},
    "RNN": {"bidirectional": True},
}
STEPS = 40


def result_of(kind: str) -> Result:
    """Two items of 40 and 23 steps; one value of torch's last hidden state in the middle is wrong, and of its output."""
    spec = ModuleSpec(kind=kind, input_size=2, hidden_size=3, **MODULES[kind])
    sources = read_sources(h0="random", steps=STEPS, batch=2, lengths=(STEPS, 23), batch_first=spec.batch_first)
    result = run(spec, sources, JudgeOptions(keep="terms"), seed=3)
    seen = result.observation
    key = spec.num_layers - 1, "forward", "h"
    spoilt, output = seen.captured[key].copy(), seen.outputs["output"].copy()
    spoilt[19, 0, 0] += 0.5
    output[19, 0, 0] += 0.5
    seen = replace(seen, captured={**seen.captured, key: spoilt}, outputs={**seen.outputs, "output": output})
    return judged(spec, result.weights, result.inputs, seen, JudgeOptions(keep="terms"))


RESULTS = {kind: result_of(kind) for kind in MODULES}
ALL = frozenset(PARTS)
VIEWS = [View(ALL), View(ALL, units=[0, 2], times=[*range(5, 30), 33]), View(frozenset({"states"}), items=[1], times=[0, 3])]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is long is short."""
    monkeypatch.setattr(excerpt, "LONG", 8)
    monkeypatch.setattr(excerpt, "ENDS", 9)
    monkeypatch.setattr(panels, "MAX_COLUMNS", 6)
    monkeypatch.setattr(windows, "PIECE", 10)


def tables(result: Result, view: View) -> list[Table]:
    """Those of steps and outputs."""
    return [*trace_tables(result, view), *output_tables(result, view)]


def places(table: Table) -> list[int]:
    """Which rows of the whole table those at hand are."""
    missing = np.zeros(table.rows, int)
    for row, steps in table.cuts.items():
        missing[row] = steps * table.step
    return (np.arange(table.rows) + np.cumsum(missing)).tolist()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", MODULES)
def test_rows_at_hand_are_rows_of_the_whole(kind: str, view: View, request: pytest.FixtureRequest) -> None:
    """Column by column and row by row, at the numbers that the cuts say; and those that must be seen are the same."""
    result = RESULTS[kind]
    whole = tables(result, view)
    request.getfixturevalue("short")
    parts = tables(result, view)
    assert any(part.cuts for part in parts) or view is VIEWS[2]
    for table, part in zip(whole, parts, strict=True):
        assert not table.cuts
        rows = places(part)
        assert rows[-1] == table.rows - 1
        for one, other in zip(table.columns, part.columns, strict=True):
            assert (one.heading, one.scale, one.group) == (other.heading, other.scale, other.group)
            np.testing.assert_array_equal(np.ma.filled(one.values, -7)[rows], np.ma.filled(other.values, -7))
            assert (np.ma.getmaskarray(one.values)[rows] == np.ma.getmaskarray(other.values)).all()
            if one.flagged is not None:
                np.testing.assert_array_equal(one.flagged[rows], other.flagged)
                assert one.flagged.any() == other.flagged.any()
            if one.scale is Scale.DIFFERENCE:
                # The worst of this very table is at hand, wherever the worst of all is.
                assert np.ma.filled(one.values, -1).max() == np.ma.filled(other.values, -1).max()
                if one.flagged is not None and one.flagged.any() and table.columns[0].heading == "t":
                    last = max if "reverse" in table.title else min
                    assert last(table.columns[0].values[one.flagged]) == last(part.columns[0].values[other.flagged])


def test_however_wide_a_table_its_ends_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one step alone has more rows than the part that is made, the first and the last steps are seen whole."""
    assert {0, 1, 48, 49} <= set(excerpt.part_of(50, excerpt.ENDS + 1, ()).tolist())
    monkeypatch.setattr(excerpt, "LONG", 8)
    monkeypatch.setattr(excerpt, "ENDS", 2)
    for table in trace_tables(RESULTS["GRU"], View(ALL)):
        times = np.ma.asarray(table.columns[0].values).tolist()
        last = 23 if "item 1" in table.title else STEPS
        assert [times.count(t) for t in (1, last - 1, last)] == [3, 3, 3]
        assert table.cuts


def report_of(*tables: Table) -> Report:
    return Report((), tables, ("fine",), None, {})


@cache
def whole_blocks(kind: str, width: int | None) -> list[dict[tuple[str, ...], list[str]]]:
    """The blocks of each table of the first layer, with all its rows."""
    whole = tables(RESULTS[kind], View(ALL, layers=[0]))
    return [_blocks(render(report_of(table), "table", Style(width, max_rows=0))) for table in whole]


@pytest.mark.slow
@pytest.mark.parametrize("width", [None, 28])
@pytest.mark.parametrize("most", [0, 1, 2, 7, 300])
@pytest.mark.parametrize("kind", MODULES)
def test_lines_say_how_many_rows_are_left_out(kind: str, most: int, width: int | None, request: pytest.FixtureRequest) -> None:
    """In each block rows and lines between them add up to the block of the whole table, and its rows are rows of that."""
    whole = whole_blocks(kind, width)
    request.getfixturevalue("short")
    for full, part in zip(whole, tables(RESULTS[kind], View(ALL, layers=[0])), strict=True):
        cut = _blocks(render(report_of(part), "table", Style(width, max_rows=most)))
        assert full.keys() == cut.keys()
        for headings, lines in cut.items():
            expected, at, told = full[headings], 0, 0
            remark = lines.pop() if " left out: " in lines[-1] else None
            for line in lines:
                if missing := re.fullmatch(r"… (\d+) rows?", line):
                    at += int(missing[1])
                    told += int(missing[1])
                else:
                    assert line.split() == expected[at].split()
                    at += 1
            assert at == len(expected)
            assert bool(remark) == bool(told)
            if remark:
                assert remark.startswith(f"… {told} of {len(expected)} rows left out: ")
                assert ("`max_rows=0`" in remark) == (not part.cuts)


@pytest.mark.usefixtures("short")
def test_units_that_a_projection_lacks_are_not_counted() -> None:
    """h alone, of one unit where there are three gates: 41 rows, one a step."""
    whole = RESULTS["LSTM"]
    columns = {key: values for key, values in whole.trace.columns.items() if key[2] == "h"}
    result = replace(whole, trace=whole.trace.replaced(values=columns, terms={}))
    table = next(iter(trace_tables(result, View())))
    lines = render(report_of(table), "table", Style()).split("\n")
    rows = [line for line in lines if "│" in line][1:]
    missing = [int(found[1]) for line in lines if (found := re.fullmatch(r"… (\d+) rows?", line))]
    assert missing
    assert len(rows) + sum(missing) == STEPS + 1
    assert f"… {sum(missing)} of {STEPS + 1} rows left out: " in "\n".join(lines)


def _blocks(text: str) -> dict[tuple[str, ...], list[str]]:
    """By headings the lines below them."""
    blocks: dict[tuple[str, ...], list[str]] = {}
    for paragraph in text.split("\n\n")[:-1]:
        lines = paragraph.strip("\n").split("\n")
        start = next((k for k, line in enumerate(lines) if "│" in line), 0)
        # In a narrow terminal the remark below takes several lines.
        remark = next((k for k, line in enumerate(lines) if re.match(r"… \d+ of", line)), len(lines))
        lines[remark:] = [" ".join(map(str.strip, lines[remark:]))] if remark < len(lines) else []
        blocks[tuple(lines[start].split())] = lines[start + 1 :]
    return blocks


CROSSES = {"table": "✗", "markdown": "✗", "html": 'class="cross"', "latex": r"\ensuremath{\times}", "plain": "!"}


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("format", CROSSES)
@pytest.mark.parametrize("kind", MODULES)
def test_what_fails_is_never_left_out(kind: str, format: str, long: bool, request: pytest.FixtureRequest) -> None:
    """The one wrong value, in the middle of 40 steps, is seen in the trace's table and in the output's."""
    if long:
        request.getfixturevalue("short")
    result = RESULTS[kind]
    assert result.verdict is Verdict.FAIL
    first = result.comparison.first_failure
    assert first is not None
    assert (first.t, first.item, first.unit) == (20, 0, 0)
    view = View(frozenset({"states"}), layers=[result.spec.num_layers - 1])
    (table,) = [t for t in trace_tables(result, view) if "forward" in t.title and "item 0" in t.title]
    output = next(output_tables(result, View(ALL)))
    for shown in (table, output):
        text = render(report_of(shown), format, Style(max_rows=2, width=80))
        # The value itself, and the difference of its row.
        assert text.count(CROSSES[format]) == 2
        if format != "plain":
            assert "rows left out" in text


def test_the_largest_difference_is_seen_in_a_table_that_passes() -> None:
    """Of 100 rows the one with the largest difference, and no other of the middle."""
    result = run(ModuleSpec(kind="RNN", input_size=2, hidden_size=1), read_sources(steps=100), JudgeOptions(), seed=1)
    (table,) = trace_tables(result, View())
    delta = table.columns[-1].values
    text = render(report_of(table), "table", Style(max_rows=4))
    shown = [int(line.split()[0]) for line in text.split("\n") if re.match(r" *\d", line)]
    assert shown == sorted({0, 1, 99, 100, int(delta.argmax())})


@pytest.mark.slow
@pytest.mark.parametrize("format", ["csv", "jsonl", "json"])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", MODULES)
def test_data_are_the_same_in_pieces(
    kind: str, view: View, format: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Letter for letter."""
    report = run_report(RESULTS[kind], view)
    whole = render(report, format, Style())
    request.getfixturevalue("short")
    monkeypatch.setattr(as_json, "LONG", 3)
    monkeypatch.setattr(as_json, "BUFFER", 5)
    assert render(report, format, Style()) == whole


floats = arrays.arrays(
    st.sampled_from([np.float32, np.float64]),
    arrays.array_shapes(min_dims=0, min_side=0, max_side=4),
    elements=st.floats(width=32),
)
documents = st.recursive(
    st.floats() | st.integers() | st.text() | st.none() | st.booleans() | floats | floats.map(np.ma.masked_invalid),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers() | st.booleans(), inner),
)


@pytest.mark.slow
@given(documents)
@examples(100)
def test_json_is_what_the_library_writes(document: object) -> None:
    """The text of the parts is that of `json.dumps` for the whole, but for what would act on a terminal."""
    expected = json.dumps(as_json.plain(document), ensure_ascii=False, allow_nan=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(as_json, "LONG", 2)
        patch.setattr(windows, "PIECE", 3)
        assert "".join(as_json._texts(document)) == expected
        printed = "".join(pieces(Report((), (), (), None, {"d": document}), "json", Style()))
    assert json.loads(printed, parse_constant=pytest.fail) == {"d": json.loads(expected)}


@pytest.mark.parametrize("kind", MODULES)
def test_a_picture_of_a_long_time_is_part_of_the_whole(kind: str, request: pytest.FixtureRequest) -> None:
    """Every seventh step as it is, the largest difference of each seven, and all values in a histogram."""
    result = RESULTS[kind]
    shown = {
        name: picture(result, View(items=[0, 1])).panels if name == "heatmap" else KINDS[name](result, View(items=[0, 1]))
        for name in ("heatmap", "difference", "histogram")
    }
    request.getfixturevalue("short")
    for whole, part in zip(shown["heatmap"], KINDS["heatmap"](result, View(items=[0, 1])), strict=True):
        assert part.x == whole.x[::7]
        assert part.values.tolist() == whole.values[:, ::7].tolist()
        assert part.x_name == whole.x_name + ", one in 7"
    for whole, part in zip(shown["difference"], KINDS["difference"](result, View(items=[0, 1])), strict=True):
        stretches = range(0, STEPS, 7)
        assert part.x == whole.x[::7]
        largest = [whole.values[0, k : k + 7].max() for k in stretches]
        assert part.values[0].tolist() == [None if size is np.ma.masked else size for size in largest]
        assert part.flagged is not None
        assert whole.flagged is not None
        assert part.flagged[0].tolist() == [bool(whole.flagged[0, k : k + 7].any()) for k in stretches]
        assert part.note == whole.note
        assert part.x_name == whole.x_name + ", the largest of each 7"
    for whole, part in zip(shown["histogram"], KINDS["histogram"](result, View(items=[0, 1])), strict=True):
        assert (part.x, part.values.tolist(), part.note) == (whole.x, whole.values.tolist(), whole.note)


def states_only(result: Result) -> Result:
    """As if the trace had kept no gate."""
    columns = {key: values for key, values in result.trace.columns.items() if key[2] in result.spec.cell.states}
    return replace(result, trace=result.trace.replaced(values=columns, terms={}))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_trace_of_states_alone(kind: str) -> None:
    """Shows what there is; gates that are asked for by name are refused, and so is what is made of gates."""
    whole, part = RESULTS[kind], states_only(RESULTS[kind])
    states = run_report(whole, View(frozenset({"states"})))
    for view in (View(), View(frozenset({"states"}))):
        found = run_report(part, view)
        assert render(replace(found, document={}), "plain", Style()) == render(replace(states, document={}), "plain", Style())
        assert render(found, "csv", Style()) == render(states, "csv", Style())
    with pytest.raises(UsageError, match="without its gates"):
        run_report(part, View(frozenset({"gates"})))
    with pytest.raises(UsageError, match="kept without them"):
        picture(part, View(), "saturation")
    for name in ("heatmap", "lines", "histogram", "difference"):
        panels_of_it = [
            panel for panel in picture(whole, View(), name, paged=True).panels if panel.symbol in whole.spec.cell.states
        ]
        assert [panel.symbol for panel in picture(part, View(), name).panels] == [panel.symbol for panel in panels_of_it]


def test_ranges_of_times_take_no_room() -> None:
    """A million times are a range; several parts are their numbers in order, once each."""
    assert parse_range("0:1000000", "--time", 0, 1_000_000) == range(1_000_001)
    assert parse_range("5,2:4,3", "--time", 0, 9) == [2, 3, 4, 5]


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A million steps of 64 units in files with holes: zeros, and one difference."""
    steps, size = 1_000_000, 64
    folder: Path = tmp_path_factory.mktemp("million")
    small = run(ModuleSpec(kind="RNN", input_size=3, hidden_size=size), read_sources(steps=2), JudgeOptions(), seed=1)

    def hollow(name: str, dtype: str, width: int = size) -> np.memmap[tuple[int, ...], np.dtype[np.float32]]:
        return np.memmap(folder / name, dtype, "w+", shape=(steps, 1, width))

    mine = {key: hollow("replay" + key[2], "f4") for key in small.trace.columns}
    theirs = {key: hollow("torch" + key[2], "f4") for key in mine}
    out = {key: hollow("out" + key[2], "u1") for key in mine}
    key = 0, "forward", "h"
    theirs[key][123_455, 0, 7], out[key][123_455, 0, 7] = 0.5, 1
    place = (
        replace(small.comparison.worst, symbol="h", t=123_456, unit=7, replay=0.0, framework=0.5)
        if small.comparison.worst
        else None
    )
    inputs = replace(small.inputs, x=hollow("x", "f4", 3))
    return replace(
        small,
        inputs=inputs,
        trace=replace(small.trace, inputs=inputs, channels={"values": mine}),
        replayed_outputs={**small.replayed_outputs, "output": mine[key]},
        observation=replace(small.observation, captured=theirs, outputs={**small.observation.outputs, "output": theirs[key]}),
        comparison=replace(small.comparison, verdict=Verdict.FAIL, first_failure=place, worst=place, out_of_tolerance=out),
    )


def _begun(result: Result, format: str, count: int) -> None:
    """So many pieces of text are asked for: more than there are in the first part of the arrays."""
    for _ in islice(pieces(run_report(result, View()), format, Style()), count):
        pass


WORK: dict[str, Callable[[Result], object]] = {
    **{
        format: lambda result, format=format: render(run_report(result, View()), format, Style())
        for format in ("table", "plain", "markdown", "html", "latex")
    },
    "outputs": lambda result: render(run_report(result, View(frozenset({"outputs"}))), "table", Style()),
    "heat": lambda result: render(run_report(result, View(frozenset({"heat"}))), "table", Style(80)),
    "csv": lambda result: _begun(result, "csv", 10),
    "jsonl": lambda result: _begun(result, "jsonl", 10),
    "json": lambda result: _begun(result, "json", 4),
    "heatmap": lambda result: picture(result, View()),
    "difference": lambda result: picture(result, View(times=range(100_000, 150_000)), "difference"),
}


@pytest.mark.slow
@pytest.mark.parametrize("work", WORK)
def test_a_million_steps_take_little_memory(work: str, million: Result) -> None:
    """An array of one value a step and unit would take 64 MB in the smallest format; nothing comes near."""
    tracemalloc.start()
    try:
        found = WORK[work](million)
        assert tracemalloc.get_traced_memory()[1] < 48e6
    finally:
        tracemalloc.stop()
    if work == "table":
        assert isinstance(found, str)
        assert re.search(r"\n +123456 +7 .* 5.0e-01 ✗\n", found)
        assert "of 64000064 rows left out: choose with `time`, or `format=csv` or jsonl for all" in found
