"""Saved traces that are longer than memory: what is written in pieces, and what stays in the file when it is opened."""

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from commandline import all_in, ask
from hostile import flipped, zipped
from hostile_arrays import central_directory, npy_header
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from strategies import Case, cases, examples

import rnntrace
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.errors import FileError
from rnntrace.files import dump_tensors, map_tensors, npz, read_tensors
from rnntrace.files import safetensors as safetensors_file
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.given.sources import Sources, read_sources
from rnntrace.verbs.given.traces import is_trace
from rnntrace.verbs.run import build_and_trace as run

pytestmark = pytest.mark.usefixtures("folder")

SUFFIXES = (".npz", ".safetensors")
LONG = 2**15
"""So many float64 stay in a file."""


@pytest.fixture
def all_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """No array is so short that it is read."""
    for reader in (npz, safetensors_file):
        monkeypatch.setattr(reader, "SHORT", 1)


def long_result(**judging: Any) -> Result:
    """A run whose gates and states stay in the file."""
    return run(
        ModuleSpec(kind="LSTM", input_size=1, hidden_size=1), read_sources(steps=20_000), JudgeOptions(**judging), seed=1
    )


def without(path: str, *left_out: str) -> None:
    """Take arrays out of a saved .npz."""
    with np.load(path) as archive:
        kept = {name: archive[name] for name in archive.files if name not in left_out}
        assert len(kept) + len(left_out) == len(archive.files)
    np.savez(path, **kept)


# --- what is written --------------------------------------------------------------------------------------------------

LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda array: array,
    "transposed": lambda array: array.T,
    "with its axes swapped": lambda array: array.swapaxes(0, -1),
    "every other one": lambda array: array[::2],
    "backwards": lambda array: array[..., ::-1],
}


@pytest.mark.slow
@given(
    array=arrays(
        st.sampled_from(["f4", "f8", "u1"]), array_shapes(max_dims=4, min_side=0, max_side=7), elements=st.integers(0, 9)
    ),
    layout=st.sampled_from(sorted(LAYOUTS)),
    piece=st.integers(1, 60),
)
@examples(150)
def test_arrays_are_written_as_their_own_libraries_would(array: Any, layout: str, piece: int) -> None:
    """Whatever the layout and the size of pieces: the members of numpy.savez, and the library's .safetensors bit for bit."""
    array = LAYOUTS[layout](array)
    given = {"b": array, "replay/0/forward/é": array[..., None], "a": np.arange(3.0)}
    written = {}
    with pytest.MonkeyPatch.context() as patch:
        for module in ("rnntrace.model.windows", "rnntrace.files.writing"):
            patch.setattr(f"{module}.PIECE", piece)
        for suffix in SUFFIXES:
            write = dump_tensors(suffix, given, {"text": '\x07\n"\\ü\u2028'})
            assert callable(write)
            write(buffer := io.BytesIO())
            written[suffix] = buffer
    metadata = r'{"text": "\u0007\n\"\\\u00fc\u2028"}'
    theirs = {name: np.ascontiguousarray(values) for name, values in given.items()}
    assert written[".safetensors"].getvalue() == safetensors.numpy.save(theirs, {"rnntrace": metadata})
    np.savez(expected := io.BytesIO(), **{"metadata.json": np.frombuffer(metadata.encode(), np.uint8)}, **given)
    with zipfile.ZipFile(written[".npz"]) as ours, zipfile.ZipFile(expected) as numpys:
        assert ours.testzip() is None
        assert ours.namelist() == numpys.namelist()
        for name in ours.namelist():
            assert ours.read(name) == numpys.read(name), name


def test_numbers_in_an_npz_are_aligned() -> None:
    """They start at multiples of 64 bytes, where numpy and the processor take them as they are."""
    rnntrace.save(long_result(), "t.npz")
    for array in map_tensors(Path("t.npz")).arrays.values():
        assert array.flags.aligned
        assert not isinstance(array, np.memmap) or array.ctypes.data % 64 == 0


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_result_makes_the_same_file(suffix: str) -> None:
    """Saved twice, and saved once more from the file itself, which is replaced while it is read."""
    result = long_result(keep="terms")
    for name in ("a", "b"):
        rnntrace.save(result, name + suffix)
    first = Path("a" + suffix).read_bytes()
    assert Path("b" + suffix).read_bytes() == first
    rnntrace.save(rnntrace.open_trace("b" + suffix), "b" + suffix)
    assert Path("b" + suffix).read_bytes() == first


# --- what is opened ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("all_mapped")
@given(case=cases(), suffix=st.sampled_from(SUFFIXES), keep=st.sampled_from(["gates", "states", "terms"]))
@examples(60)
def test_every_trace_comes_back_from_its_file(case: Case, suffix: str, keep: str) -> None:
    """Of any module and signals: each array is what was saved, lies in the file and cannot be changed."""
    result = run(case.spec, Sources(case.request), JudgeOptions(keep=keep), seed=case.seed)
    rnntrace.save(result, f"t{suffix}")
    again = rnntrace.open_trace(f"t{suffix}")
    assert (again.spec, again.verdict, again.contradictions) == (result.spec, result.verdict, ())
    # What a trace does not keep cannot be judged again.
    kept = {name for *_, name in result.comparison.out_of_tolerance}
    differences = tuple(difference for difference in result.comparison.differences if difference.name in kept)
    assert again.comparison.differences == differences
    assert list(again.trace) == list(result.trace)
    pairs = [(again.trace.columns, result.trace.columns), (again.trace.terms, result.trace.terms)]
    pairs += [(again.framework_values, result.framework_values), (again.expected, result.expected)]
    pairs += [(again.outputs, result.outputs)]
    for mine, theirs in pairs:
        assert mine.keys() == theirs.keys()
        for key, values in theirs.items():
            np.testing.assert_array_equal(mine[key], values)
            assert isinstance(mine[key], np.memmap), key
            assert not mine[key].flags.writeable, key
    assert again.comparison.out_of_tolerance.keys() == result.comparison.out_of_tolerance.keys()
    for key, flags in again.comparison.out_of_tolerance.items():
        np.testing.assert_array_equal(flags, result.comparison.out_of_tolerance[key])
    np.testing.assert_array_equal(again.inputs.x, result.inputs.x)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_long_arrays_stay_in_the_file_and_short_ones_do_not(suffix: str) -> None:
    """Weights are read, gates and states are not, and neither is x or output."""
    rnntrace.save(long_result(), f"t{suffix}")
    opened = rnntrace.open_trace(f"t{suffix}")
    assert all(isinstance(values, np.memmap) for values in (*opened.trace.columns.values(), opened.inputs.x))
    assert isinstance(opened.outputs["output"], np.memmap)
    assert not any(isinstance(values, np.memmap) for values in opened.weights.arrays)


def test_a_single_direction_is_the_output_itself() -> None:
    """Without padding the last layer's h is not copied to be `output`."""
    rnntrace.save(long_result(), "t.npz")
    trace = rnntrace.open_trace("t.npz").trace
    assert trace.output is trace["h", 0, "forward"]


def test_a_trace_that_somebody_compressed_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    """numpy.savez_compressed of its arrays is the same trace, shown the same."""
    rnntrace.save(long_result(), "t.npz")
    with np.load("t.npz") as archive:
        np.savez_compressed("c.npz", **archive)
    opened, packed = rnntrace.open_trace("t.npz"), rnntrace.open_trace("c.npz")
    assert not any(isinstance(values, np.memmap) for values in packed.trace.columns.values())
    for key, values in opened.trace.columns.items():
        np.testing.assert_array_equal(packed.trace.columns[key], values)
    assert ask(capsys, "show", "c.npz", "--quiet") == ask(capsys, "show", "t.npz", "--quiet")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_states_may_be_all_that_a_trace_keeps(suffix: str) -> None:
    """Gates may be missing; what is there keeps the order of the cell."""
    rnntrace.save(long_result(), "t.npz")
    without("t.npz", *(f"replay/0/forward/{gate}" for gate in "ifgo"))
    opened = rnntrace.open_trace("t.npz")
    assert [symbol for *_, symbol in opened.trace] == ["c", "h"]
    rnntrace.save(opened, f"again{suffix}")
    again = rnntrace.open_trace(f"again{suffix}")
    assert [symbol for *_, symbol in again.trace] == ["c", "h"]
    assert np.array_equal(again.trace["h"], opened.trace["h"])


@pytest.mark.parametrize("lacking", ["0/forward/h", "1/forward/c", "1/forward/i"])
def test_states_must_be_there_and_gates_in_all_layers_or_none(lacking: str) -> None:
    """A trace of two layers without one state, or without a gate of one layer, is none."""
    rnntrace.save(run(ModuleSpec(kind="LSTM", input_size=1, hidden_size=1, num_layers=2), seed=1), "t.npz")
    without("t.npz", f"replay/{lacking}")
    with pytest.raises(FileError, match="holds no trace"):
        rnntrace.open_trace("t.npz")


def test_what_a_file_is_takes_none_of_its_arrays() -> None:
    """A trace whose arrays are all damaged is a trace, until they are read."""
    rnntrace.save(run(ModuleSpec(kind="LSTM", input_size=1, hidden_size=1), seed=1), "t.npz")
    with np.load("t.npz") as archive:
        np.savez_compressed("t.npz", **archive)
    content = bytearray(Path("t.npz").read_bytes())
    with zipfile.ZipFile("t.npz") as archive:
        for member in archive.infolist():
            if member.filename != "metadata.json.npy":
                content[member.header_offset + 30 + len(member.filename) + 20] ^= 0xFF
    Path("t.npz").write_bytes(content)
    assert is_trace("t.npz")
    with pytest.raises(FileError, match="not a readable"):
        rnntrace.open_trace("t.npz")


# --- caps and memory --------------------------------------------------------------------------------------------------


def limited(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and stderr of a command under limits of its own."""
    command = [sys.executable, "-m", "rnntrace", *arguments, "--quiet"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_not_read_has_no_limit(suffix: str) -> None:
    """A trace of 800 kB opens where 400 kB may be read; as a signal, and compressed, it does not, nor if all is too much."""
    rnntrace.save(long_result(), f"t{suffix}")
    assert Path(f"t{suffix}").stat().st_size > 800_000
    limits = {"RNNTRACE_MAX_BYTES": "400000", "RNNTRACE_MAX_VALUES": "20000"}
    assert limited("show", f"t{suffix}", **limits) == (0, "")
    np.savez_compressed("c.npz", **read_tensors(Path(f"t{suffix}")).arrays)
    refusals = [
        (("run", "lstm", "--input", f"t{suffix}"), "400000"),
        (("show", "c.npz"), "400000"),
        (("show", f"t{suffix}"), "1000"),
    ]
    for command, limit in refusals:
        code, line = limited(*command, RNNTRACE_MAX_BYTES=limit)
        assert (code, len(line.splitlines())) == (2, 1)
        assert "RNNTRACE_MAX_BYTES" in line


GROWTH = """
import sys, rnntrace
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
import rnntrace.verbs.save, rnntrace.engine.judge.rejudge, rnntrace.files.npz, rnntrace.files.safetensors
before = peak()
found = rnntrace.open_trace(sys.argv[1])
part = found.trace["h"][500_000:500_010]
assert part.shape == (10, 1, 8) and (part == 0.5).all()
assert found.passed, (found, found.contradictions)
opened = peak()
rnntrace.save(found, sys.argv[2])
saved = peak()
total = found.trace["h"].sum()
print(opened - before, saved - before, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process its peak")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_does_not_grow_with_the_file(suffix: str) -> None:
    """300 MB are opened, judged and saved again in a tenth of that; that reading all of one array shows proves the measure."""
    spec, steps = ModuleSpec(kind="RNN", input_size=1, hidden_size=8, batch_first=True), 2_000_000
    rnntrace.save(run(spec, read_sources(steps=2, batch_first=True), JudgeOptions(capture="off"), seed=1), "short.npz")
    source = read_tensors(Path("short.npz"))
    long: dict[str, Any] = {}
    for name, values in source.arrays.items():
        flags = name.startswith("out_of_tolerance")
        constant = np.full((), 0 if flags else 0.5, np.uint8 if flags else np.float32)
        # Of what there is for each step there is more.
        shape = tuple(steps if size == 2 and values.ndim == 3 else size for size in values.shape)
        long[name] = np.broadcast_to(constant, shape) if shape != values.shape else values.astype(constant.dtype)
    # Every step gives 1/2, whatever comes before it.
    for name, value in {"W_ih": 0, "W_hh": 0, "b_ih": np.arctanh(0.5), "b_hh": 0}.items():
        long[f"weights/0/forward/{name}"] = np.full_like(long[f"weights/0/forward/{name}"], value)
    long |= {name: np.full_like(long[name], 0.5) for name in ("outputs/h_n", "expected/h_n")}
    write = dump_tensors(suffix, long, json.loads(source.metadata))
    assert callable(write)
    with Path(f"long{suffix}").open("wb") as file:
        write(file)
    assert Path(f"long{suffix}").stat().st_size > 280_000_000
    asked = [sys.executable, "-c", GROWTH, f"long{suffix}", f"again{suffix}"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    opened, saved, read = map(int, done.stdout.split())
    assert opened < 30_000, done.stdout
    assert saved < 30_000, done.stdout
    assert read > 50_000, done.stdout
    # What is said of the arrays is as long, but for a few digits.
    assert abs(Path(f"again{suffix}").stat().st_size - Path(f"long{suffix}").stat().st_size) < 10_000


# --- files that are not what they say ---------------------------------------------------------------------------------

ARRAY = np.random.default_rng(0).random(LONG)


def npy(array: Any, **changed: Any) -> bytes:
    """A .npy, with another header in front of its numbers."""
    return npy_header(**{"shape": f"({len(array)},)", "data": 0, **changed}) + array.tobytes()


def archive(**members: bytes) -> bytes:
    """An .npz with nothing compressed."""
    return zipped({f"{name}.npy": content for name, content in members.items()})


def one_in_the_other() -> bytes:
    """An .npz whose second member lies within the numbers of the first."""
    inner = archive(b=npy(ARRAY))
    whole = bytearray(archive(a=npy(np.frombuffer(inner, np.uint8), descr="'|u1'"), b=npy(ARRAY)))
    second = whole.rfind(b"PK\x01\x02")
    struct.pack_into("<I", whole, second + 42, whole.find(b"PK\x03\x04", 4))
    return bytes(whole)


def sized(size: int) -> bytes:
    """An .npz whose directory gives its member another size."""
    return central_directory(central_directory(SOUND, 24, size, "<I"), 20, size, "<I")


def local(content: bytes, offset: int, value: int) -> bytes:
    """An archive with another value in the header in front of its first member."""
    changed = bytearray(content)
    struct.pack_into("<H", changed, offset, value)
    return bytes(changed)


def tensor(**changed: Any) -> bytes:
    """A .safetensors of one long tensor, described otherwise."""
    entry = {"dtype": "F64", "shape": [LONG], "data_offsets": [0, 8 * LONG], **changed}
    header = json.dumps({"x": entry}).encode()
    return len(header).to_bytes(8, "little") + header + ARRAY.tobytes()


SOUND = archive(x=npy(ARRAY))
LYING: dict[str, Callable[[], bytes]] = {
    "more values than bytes": lambda: archive(x=npy(ARRAY, shape=f"({LONG + 1},)")),
    "very many values": lambda: archive(x=npy(ARRAY, shape="(1099511627776,)")),
    "a huge shape of nothing": lambda: archive(x=npy(ARRAY, shape="(1099511627776, 1099511627776, 0)")),
    "a negative shape": lambda: archive(x=npy(ARRAY, shape="(-1,)")),
    "two negative sizes": lambda: archive(x=npy(ARRAY, shape="(-2, -16384)")),
    "a size that is a truth value": lambda: archive(x=npy(ARRAY, shape=f"({LONG}, True)")),
    "a size larger than the file": lambda: sized(2**31),
    "a size that reaches into the directory": lambda: sized(len(SOUND) - 64),
    "less than is there": lambda: sized(2**17),
    "two sizes": lambda: central_directory(SOUND, 20, 2**17, "<I"),
    "an offset beyond the end": lambda: central_directory(SOUND, 42, 2**31, "<I"),
    "an offset into the numbers": lambda: central_directory(SOUND, 42, 2**12, "<I"),
    "another name in front of the data": lambda: flipped(SOUND, 30),
    "a name that is longer there": lambda: local(SOUND, 26, 7),
    "blanks that are longer there": lambda: local(SOUND, 28, 2**15),
    "blanks that reach beyond the file": lambda: local(SOUND, 28, 2**16 - 1),
    "one in the other": one_in_the_other,
    "an encrypted member": lambda: central_directory(SOUND, 8, 1),
    "no magic": lambda: archive(x=bytes(2**17)),
    "a header without end": lambda: archive(x=b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 2**18),
    "cut off": lambda: SOUND[: len(SOUND) // 2],
    "a tensor that is longer": lambda: tensor(shape=[LONG + 1]),
    "a tensor that reaches beyond": lambda: tensor(shape=[LONG + 1], data_offsets=[0, 8 * LONG + 8]),
    "a tensor from behind": lambda: tensor(data_offsets=[8 * LONG, 0]),
    "a tensor before the file": lambda: tensor(data_offsets=[-8 * LONG, 0]),
    "a tensor of negative size": lambda: tensor(shape=[-LONG]),
    "a huge tensor of nothing": lambda: tensor(shape=[2**62, 2**62, 0]),
    "a tensor that is cut off": lambda: tensor()[:-1],
    "an archive behind something else": lambda: b"PK\x03\x04 and more" + SOUND,
}


@pytest.mark.parametrize("how", LYING)
def test_a_file_that_lies_is_refused_before_it_is_mapped(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Offsets and sizes are held against the file: one line, and no memory that is not there."""
    Path("lying").write_bytes(LYING[how]())
    with pytest.raises(FileError) as caught:
        map_tensors(Path("lying"))
    assert str(caught.value).isprintable()
    answer = ask(capsys, "show", "lying")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)


STRANGE: dict[str, Callable[[], bytes]] = {
    "big-endian": lambda: archive(x=npy(ARRAY.astype(">f8"), descr="'>f8'")),
    "float16": lambda: archive(x=npy(np.repeat(ARRAY, 2).astype("<f2"), descr="'<f2'")),
    "integers": lambda: archive(x=npy(np.arange(LONG), descr="'<i8'")),
    "truth values": lambda: archive(x=npy(np.repeat(ARRAY, 4) > 0.5, descr="'|b1'")),
    "a matrix in Fortran order": lambda: archive(x=npy(ARRAY, shape=f"(4, {LONG // 4})").replace(b"False", b"True ", 1)),
    "objects": lambda: archive(x=npy(ARRAY, descr="'|O'"), y=npy(ARRAY)),
    "records": lambda: archive(x=npy(ARRAY, descr="[('a', '<f4'), ('b', '<f4')]"), y=npy(ARRAY)),
    "without an axis": lambda: archive(x=npy(ARRAY, shape="()")),
    "numbers behind the numbers": lambda: archive(x=npy(ARRAY, shape="(3, 5)")),
    "bfloat16": lambda: tensor(dtype="BF16", shape=[4, LONG]),
    "integers as a tensor": lambda: tensor(dtype="I64"),
    "an unknown tensor": lambda: tensor(dtype="C64"),
}


@pytest.mark.parametrize("how", STRANGE)
def test_what_is_strange_is_mapped_as_it_is_read(how: str) -> None:
    """Whatever cannot stay in the file, and what can by chance, has the values that reading gives, and is refused as there."""
    Path("strange").write_bytes(STRANGE[how]())
    mapped, read = map_tensors(Path("strange")), read_tensors(Path("strange"))
    assert (mapped.dtypes, mapped.refused) == (read.dtypes, read.refused)
    assert mapped.arrays.keys() == read.arrays.keys()
    for name, values in read.arrays.items():
        np.testing.assert_array_equal(mapped.arrays[name], values)
        assert mapped.arrays[name].shape == values.shape
    if Path("strange").read_bytes().startswith(b"PK"):
        with np.load("strange") as numpys:
            for name, values in mapped.arrays.items():
                np.testing.assert_array_equal(values, numpys[name])


def test_sparse_files_of_many_gigabytes_are_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A directory, a header and an array that are larger than what may be read."""
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 2**31, 0, 0)
    for name, start, last in (
        ("directory", b"PK\x03\x04", end),
        ("header", (2**31).to_bytes(8, "little") + b"{", b"}"),
        ("array", b"\x93NUMPY\x01\x00", b"\x00"),
    ):
        with Path(name).open("wb") as file:
            file.write(start)
            file.seek(2**31)
            file.write(last)
        answer = ask(capsys, "show", name)
        assert answer.code == 2
        assert all_in((name, "over the limit of", "RNNTRACE_MAX_BYTES"), answer.err)
