"""Saved traces: what was saved comes back, from either format, without torch; any other file is refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import rnntrace
from rnntrace.cli.app import exit_code
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.errors import FileError
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.given.sources import read_sources
from rnntrace.verbs.run import build_and_trace as run

MODULES = {
    "packed": ({"kind": "LSTM", "num_layers": 2, "bidirectional": True, "proj_size": 1}, {"lengths": (4, 2), "batch": 2}),
    "batch first": ({"kind": "GRU", "batch_first": True}, {"batch": 3, "batch_first": True}),
    "cell": ({"kind": "RNNCell"}, {"unbatched": True}),
    "half": ({"kind": "LSTM", "dtype": "bfloat16", "bias": False}, {}),
}


def result_of(name: str, **judging: object) -> Result:
    """A run with random states."""
    module, signals = MODULES[name]
    spec = ModuleSpec(input_size=3, hidden_size=2, **module)
    c0 = "random" if spec.has_cell_state else "zeros"
    return run(spec, read_sources(h0="random", c0=c0, **signals), JudgeOptions(**judging), seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("name", MODULES)
def test_what_was_saved_is_shown(name: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables, plain text and JSON of a saved trace are those of the run, in every view."""
    module, signals = MODULES[name]
    options = {**module, **signals}
    flags = [f"--{key.replace('_', '-')}" for key, value in options.items() if value is True]
    values = {"--layers": module.get("num_layers"), "--proj-size": module.get("proj_size"), "--dtype": module.get("dtype")}
    values |= {
        "--lengths": ",".join(map(str, signals.get("lengths", ()))),
        "--batch": signals.get("batch"),
        "--seed": 1,
        "--save": tmp_path / f"t{suffix}",
    }
    flags += [str(word) for pair in values.items() if pair[1] for word in pair]
    flags += ["--no-bias"] if "bias" in module else []
    for view in (["--show", "all"], ["--format", "plain"], ["--format", "json", "--show", "all"], ["--quiet"]):
        code = exit_code(["run", module["kind"], *flags, *view])
        first = capsys.readouterr()
        assert exit_code(["show", str(tmp_path / f"t{suffix}"), *view]) == code == 0
        again = capsys.readouterr()
        assert again.out.replace('"command": "show"', '"command": "run"') == first.out
        assert again.err == first.err


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("capture", ["on", "off"])
def test_a_result_comes_back_whole(suffix: str, capture: str, tmp_path: Path) -> None:
    """Every array, the comparison and the framework's side are those that were saved."""
    result = result_of("packed", capture=capture, keep="terms", tolerance="exact")
    rnntrace.save(result, tmp_path / f"t{suffix}")
    again = rnntrace.open_trace(tmp_path / f"t{suffix}")
    assert (again.spec, again.verdict, again.seed, again.origin) == (result.spec, result.verdict, result.seed, result.origin)
    assert again.comparison.differences == result.comparison.differences
    assert again.comparison.first_failure == result.comparison.first_failure
    pairs = [(again.trace.columns, result.trace.columns), (again.trace.terms, result.trace.terms)]
    pairs += [(again.framework_values, result.framework_values), (again.expected, result.expected)]
    pairs += [(again.comparison.out_of_tolerance, result.comparison.out_of_tolerance)]
    for mine, theirs in pairs:
        assert mine.keys() == theirs.keys()
        for key, values in theirs.items():
            np.testing.assert_array_equal(mine[key], values)
    for column, layer in result.weights.columns.items():
        for part, values in layer.arrays.items():
            np.testing.assert_array_equal(again.weights[column].arrays[part], values)


def test_a_failure_is_shown_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is that of the saved verdict, and wrong values are marked again."""
    rnntrace.save(result_of("cell", tolerance="exact"), tmp_path / "t.npz")
    assert exit_code(["show", str(tmp_path / "t.npz")]) == 1
    assert "✗" in capsys.readouterr().out


@pytest.mark.slow
def test_showing_needs_no_torch(tmp_path: Path) -> None:
    """A saved trace is shown without loading the framework."""
    rnntrace.save(result_of("packed"), tmp_path / "t.npz")
    code = (
        "import sys; from rnntrace.cli.app import exit_code; code = exit_code(sys.argv[1:])\n"
        "print('torch' in sys.modules, code, file=sys.stderr)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, "show", str(tmp_path / "t.npz")], capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.stderr.strip() == "False 0"


def spoilt(path: Path, **changes: object) -> Path:
    """A copy of a saved trace with keys of its metadata changed, or with arrays changed or left out (None)."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    metadata = json.loads(arrays["metadata.json"].tobytes())
    for name, value in changes.items():
        if "/" in name and value is None:
            del arrays[name]
        elif "/" in name:
            arrays[name] = value
        else:
            metadata[name] = value
    arrays["metadata.json"] = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    np.savez(path.with_name("spoilt.npz"), **arrays)
    return path.with_name("spoilt.npz")


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": {"kind": "LSTM"}},
        {"spec": None},
        {"verdict": "SPLENDID"},
        {"lengths": "all"},
        {"tolerance": {"kind": "torch"}},
        {"framework": {}},
        {"replay/0/forward/h": None},
        {"replay/0/forward/h": np.zeros((1, 1, 1))},
        {"replay/7/forward/h": np.zeros((4, 1, 2))},
        {"replay/x/forward/h": np.zeros((4, 1, 2))},
        {"inputs/x": np.zeros(3)},
        {"expected/output": np.zeros((9, 9))},
        {"weights/0/forward/W_ih": None},
    ],
    ids=str,
)
def test_spoilt_traces_are_refused(changes: dict[str, object], tmp_path: Path) -> None:
    """Metadata and arrays that contradict each other make one clear sentence, whatever is wrong."""
    rnntrace.save(result_of("cell"), tmp_path / "t.npz")
    with pytest.raises(FileError, match="holds no trace: expected a file that rnntrace has saved"):
        rnntrace.open_trace(spoilt(tmp_path / "t.npz", **changes))


def test_a_later_version_is_named(tmp_path: Path) -> None:
    """A trace of a later version is refused with both numbers."""
    rnntrace.save(result_of("cell"), tmp_path / "t.npz")
    with pytest.raises(
        FileError, match="is a trace of version 99, and this rnntrace reads versions up to 2: open it with a later"
    ):
        rnntrace.open_trace(spoilt(tmp_path / "t.npz", version=99))


def test_traces_of_the_first_version_open(tmp_path: Path) -> None:
    """Two that rnntrace 0.1.0 has saved: what stands in them, and their verdicts; saved again, one is of today's."""
    data = Path(__file__).parents[1] / "files" / "data"
    found = rnntrace.open_trace(data / "lstm-0.1.0.npz")
    assert (str(found.verdict), found.seed, found.inputs.lengths, found.warnings) == ("PASS", 1, (4, 3), ())
    assert (found.observation.framework, found.observation.captured_path) == ("torch", "native")
    module = torch.nn.LSTM(3, 2, 2)
    with torch.no_grad():
        for (layer, direction), weights in found.weights.columns.items():
            assert direction == "forward"
            for part, name in (("W_ih", "weight_ih"), ("W_hh", "weight_hh"), ("b_ih", "bias_ih"), ("b_hh", "bias_hh")):
                stacked = torch.tensor(np.concatenate([*weights.arrays[part]]))
                getattr(module, f"{name}_l{layer}").copy_(stacked)
        output, _ = module(torch.tensor(found.inputs.x))
    np.testing.assert_allclose(found.outputs["output"][:3], output[:3].numpy(), rtol=0, atol=1e-6)
    mistaken = rnntrace.open_trace(data / "mistake-0.1.0.npz")
    assert [mistake.id for mistake in mistaken.mistakes] == ["gru.equation.z-inverted"]
    place = mistaken.comparison.first_failure
    assert place is not None
    assert (str(mistaken.verdict), place.symbol, place.t, place.unit, mistaken.contradictions) == ("FAIL", "h", 1, 0, ())
    rnntrace.save(found, tmp_path / "again.npz")
    assert json.loads(np.load(tmp_path / "again.npz")["metadata.json"].tobytes())["version"] == 2
    assert rnntrace.open_trace(tmp_path / "again.npz").verdict is found.verdict


def test_foreign_words_are_made_fit_to_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Control codes in the metadata of a trace do not reach the terminal."""
    rnntrace.save(result_of("cell"), tmp_path / "t.npz")
    evil = "\x1b[31m\u202e"
    path = spoilt(tmp_path / "t.npz", origin={"x": evil}, warnings=[evil])
    assert exit_code(["show", str(path)]) == 0
    captured = capsys.readouterr()
    assert not any(char in captured.out + captured.err for char in evil[:1] + evil[-1:])


def test_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights are no trace."""
    np.savez(tmp_path / "weights.npz", weight_ih_l0=np.zeros((2, 3)))
    assert exit_code(["show", str(tmp_path / "weights.npz")]) == 2
    assert "holds no trace" in capsys.readouterr().err


def test_terms_that_were_not_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for by name they are refused in one line; among everything they are left out."""
    path = tmp_path / "t.npz"
    rnntrace.save(result_of("cell"), path)
    for request in (["show", str(path)], ["compare", str(path), str(path)]):
        assert exit_code([*request, "--show", "terms"]) == 2
        assert "kept without its terms" in capsys.readouterr().err
        assert exit_code([*request, "--show", "all"]) == 0
