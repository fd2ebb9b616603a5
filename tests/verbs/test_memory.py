"""How much memory there is, and how much a run takes."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Problem, examples, problems
from thorough import some

from rnntrace.engine.replay.replay import replay
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs import memory
from rnntrace.verbs.memory import free, is_short, needed, warning

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what there is, is Linux'")

# --- what there is ----------------------------------------------------------------------------------------------------

V2, V1 = "0::/a/b\n", "5:cpu,cpuacct:/other\n4:memory:/a/b\n"
GROUPS = {
    "no limit": (V2, {"a/b/memory.max": "max", "a/b/memory.current": "7000"}, 1_024_000),
    "its own": (V2, {"a/b/memory.max": "9000", "a/b/memory.current": "7000"}, 2000),
    "one above": (
        V2,
        {"a/b/memory.max": "9000", "a/b/memory.current": "100", "a/memory.max": "5000", "a/memory.current": "600"},
        4400,
    ),
    "a container's, which is on top": (V2, {"memory.max": "9000", "memory.current": "8000"}, 1000),
    "mounted beside version 1": (V2, {"unified/a/memory.max": "9000", "unified/a/memory.current": "8000"}, 1000),
    "files read before are given back": (
        V2,
        {"a/memory.max": "9000", "a/memory.current": "8000", "a/memory.stat": "anon 1\ninactive_file 500\nactive_file 20\n"},
        1500,
    ),
    "more than there is": (V2, {"a/b/memory.max": "9000000", "a/b/memory.current": "7000"}, 1_024_000),
    "over": (V2, {"memory.max": "9000", "memory.current": "9500"}, 0),
    "version 1": (V1, {"memory/a/memory.limit_in_bytes": "9000", "memory/a/memory.usage_in_bytes": "6000"}, 3000),
    "version 1, no limit": (
        V1,
        {"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "6000"},
        1_024_000,
    ),
    "version 1, another's": (
        V1,
        {"memory/other/memory.limit_in_bytes": "1", "memory/other/memory.usage_in_bytes": "0"},
        1_024_000,
    ),
}


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for /proc and /sys/fs/cgroup, without a limit of the address space."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(("membership", "files", "expected"), GROUPS.values(), ids=GROUPS)
def test_the_lowest_limit_counts(system: Path, membership: str, files: dict[str, str], expected: int) -> None:
    """1000 KiB are there, and control groups may leave less; written out as the kernel writes it."""
    write(system / "proc/meminfo", "MemTotal: 9000 kB\nMemFree:  10 kB\nMemAvailable:    1000 kB\n")
    write(system / "proc/self/cgroup", membership)
    for name, text in files.items():
        write(system / "cgroup" / name, text + "\n")
    assert free() == expected


@pytest.mark.usefixtures("system")
def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc, pages that are free; without these, nothing."""
    assert free() is not None
    monkeypatch.setattr(os, "sysconf", {"SC_AVPHYS_PAGES": 3, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert free() == 12288

    def unknown(_: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", unknown)
    assert free() is None


@pytest.mark.slow
def test_what_is_free_can_be_taken_and_no_more() -> None:
    """Below a limit of the address space, 90% of what is free can be had, and 110% not."""
    code = """
import resource
from rnntrace.verbs.memory import free
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 200_000_000, resource.RLIM_INFINITY))
some = free()
bytearray(int(0.9 * some))
try:
    bytearray(int(1.1 * some))
except MemoryError:
    print(some)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 100_000_000 < int(done.stdout) <= 200_000_000


# --- what a run takes -------------------------------------------------------------------------------------------------

RUN = """
import json, sys
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.verbs.run import build_and_trace as run
from rnntrace.verbs.given.sources import Sources
from rnntrace.model.inputs import SignalRequest
from rnntrace.model.spec import ModuleSpec

options, steps, batch, judging = json.loads(sys.argv[1])
def peak_of(steps, batch):
    request = Sources(SignalRequest(steps=steps, batch=batch))
    result = run(ModuleSpec(**options), request, JudgeOptions(capture="off", **judging), seed=0)
    assert str(result.verdict) == "PASS"
    # ru_maxrss would begin with what the process that started this one holds.
    return next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak_of(3, 2)
print(peak_of(steps, batch) - before)
"""
RUNS = {
    "LSTM": ({"kind": "LSTM", "input_size": 16, "hidden_size": 256}, 600, 50, {}),
    "LSTM, states alone": ({"kind": "LSTM", "input_size": 16, "hidden_size": 256}, 1000, 50, {"keep": "states"}),
    "LSTM, forced alone": ({"kind": "LSTM", "input_size": 16, "hidden_size": 256}, 600, 50, {"replay": "forced"}),
    "LSTM in bfloat16": ({"kind": "LSTM", "input_size": 16, "hidden_size": 32, "dtype": "bfloat16"}, 1000, 50, {}),
    "GRU of two layers": ({"kind": "GRU", "input_size": 8, "hidden_size": 256, "num_layers": 2}, 500, 40, {}),
    "RNN of many steps": ({"kind": "RNN", "input_size": 8, "hidden_size": 16}, 150_000, 1, {}),
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell what a process holds")
@pytest.mark.parametrize("name", some(RUNS, 2))
def test_the_estimate_against_real_runs(name: str) -> None:
    """Within a factor of 1.5 of what a process has taken at most, by the system's own count; runs of 150 to 300 MB."""
    options, steps, batch, judging = case = RUNS[name]
    spec = ModuleSpec(**options)
    kept = len(spec.cell.states if "keep" in judging else spec.cell.symbols)
    done = subprocess.run([sys.executable, "-c", RUN, json.dumps(case)], capture_output=True, text=True, check=True)
    found = needed(spec, steps, batch, kept=kept, itemsize=spec.precision.replay.itemsize)
    assert int(done.stdout) > 1.5e8
    assert found / 1.5 < int(done.stdout) < found * 1.5


@examples(100)
@given(problems(packed=(False,)), st.booleans())
def test_the_estimate_has_room_for_what_is_held(problem: Problem, states_alone: bool) -> None:
    """x, h of every layer and a trace of what is kept; less, if less is kept."""
    spec, inputs = problem.spec, problem.inputs
    trace = replay(spec, problem.weights, inputs)
    kept = spec.cell.states if states_alone else spec.cell.symbols

    def held(*symbols: str) -> int:
        return sum(array.nbytes for (*_, symbol), array in trace.columns.items() if symbol in symbols)

    estimate = needed(spec, inputs.steps, inputs.batch, kept=len(kept), itemsize=8)
    assert estimate >= inputs.x.nbytes + held("h") + held(*kept)


# --- what is said -----------------------------------------------------------------------------------------------------


def test_a_warning_from_half_of_what_is_free_on() -> None:
    """Half may be taken; a byte more is worth a sentence that names both and what to set."""
    assert not is_short(500, None)
    assert not is_short(500, 1000)
    assert is_short(501, 1000)
    assert warning(1_260_000_000, 999_000_000) == (
        "this run takes about 1.3 GB of memory, and 999.0 MB are free: `save=TRACE.npz` works through it in parts, on disk; "
        "`keep=states` keeps less; fewer `steps` or a smaller `batch` take less"
    )
    assert "without `blind` `save=TRACE.npz`" in warning(501, 1000, "`blind`")


def test_wider_replays_take_more() -> None:
    """--replay-dtype float64 beside a module in float32 doubles what the replay holds: here 6 quantities of 8 million."""
    spec = ModuleSpec(kind="LSTM", input_size=1, hidden_size=8)
    sizes = [needed(spec, 1_000_000, 1, kept=6, itemsize=size) for size in (4, 8)]
    replays = 6 * 8_000_000
    assert sizes[1] - sizes[0] == 4 * replays
    assert np.dtype(spec.precision.replay).itemsize == 4


def test_a_wide_x_is_held_twice() -> None:
    """Once by the replay, once by torch; beside it one unit hardly counts."""
    spec = ModuleSpec(kind="RNN", input_size=10_000, hidden_size=1)
    x = 1000 * 10_000 * 4
    assert 2 * x <= needed(spec, 1000, 1, kept=1, itemsize=4) < 2.1 * x
