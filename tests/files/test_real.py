"""Files as people have them: each is judged, or refused by a line that names what is in the way.

They are looked for in $RNNTRACE_REAL, then beside the repository in ../shared/real; README.md there has the right answers.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from commandline import all_in, ask, refused

from rnntrace.model.dtypes import Array

BESIDE = Path(__file__).parents[3] / "shared" / "real"
FOLDERS = [Path(os.environ.get("RNNTRACE_REAL") or BESIDE), BESIDE]
FOLDER = next((folder for folder in FOLDERS if (folder / "README.md").is_file()), None)

pytestmark = [
    pytest.mark.usefixtures("folder"),
    pytest.mark.slow,
    pytest.mark.skipif(FOLDER is None, reason="the files are not there: see RNNTRACE_REAL"),
]

JUDGED: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "onnx/plain.onnx": ("onnx/plain.onnx", "onnx/x.npz", "onnx/plain_y.npz", ()),
    **{
        f"onnx/{name}.onnx": (f"onnx/{name}.onnx", "onnx/x.npz", f"onnx/{name}_y.npz", ())
        for name in ("w_concat", "w_unsqueeze", "w_dequant", "h0_expand_learned", "h0_constofshape1", "dynq")
    },
    **{
        f"onnx/{name}.onnx, {branch}": (
            f"onnx/{name}.onnx",
            "onnx/x.npz",
            f"onnx/{name}_y.npz",
            ("--module", f"If.{branch}.lstm"),
        )
        for name in ("if_branch", "if_own_weights")
        for branch in ("then", "else")
    },
    "keras/hard.h5": ("keras/hard.h5", "keras/x.npz", "keras/hard_y.npz", ()),
    "keras/bisum.h5": ("keras/bisum.h5", "keras/x.npz", "keras/bisum_y.npz", ()),
    **{
        f"pt/{name}": (f"pt/{name}", "pt/x.npz", f"pt/{outputs}.npz", ("--batch-first",))
        for name, outputs in {
            "np_scalar.pt": "y_trained",
            "np_array.pt": "y_trained",
            "fairseq.pt": "y_trained",
            "model.safetensors.index.json": "y_trained",
            "weight_norm.pt": "weight_norm_y",
            "param_wn.pt": "param_wn_y",
            "awd_v1.pt": "awd_v1_y",
            "script.pt": "y",
            "trace.pt": "y",
            "export.pt2": "y",
            "np.pkl": "y_trained",
            "quant_sd.pt": "quant_sd_y",
        }.items()
    },
    "chars2vec, lower layer": (
        "packages/chars2vec-weights.h5",
        "packages/chars2vec-x.npy",
        "packages/chars2vec-lstm_1-output.npy",
        ("--module", "lstm_1"),
    ),
    "chars2vec, upper layer": (
        "packages/chars2vec-weights.h5",
        "packages/chars2vec-lstm_1-output.npy",
        "packages/chars2vec-lstm_2-output.npy",
        ("--module", "lstm_2"),
    ),
    "chars2vec, both layers": (
        "packages/chars2vec-weights.h5",
        "packages/chars2vec-x.npy",
        "packages/chars2vec-lstm_2-output.npy",
        (),
    ),
}
"""Weights, input, right outputs and flags of what can be judged."""

INSPECTED = {"pt/package.pt": ("LSTM", "1664")}
"""What inspect says of files without outputs."""
QUANTISED = ("pt/quant_sd.pt", "onnx/dynq.onnx")
"""Whose own rounding explains a little more."""

REFUSED: dict[str, tuple[str, ...]] = {
    "onnx/scan_rnn.onnx": ("no RNN, LSTM or GRU node", "a cell is spelled out in the body of a Scan"),
    "pt/list.pt": ("a list of 18 without names", "(64, 8), (64, 16), (64,)"),
    "pt/param_orth.pt": ("lstm.parametrizations.weight_hh_l0", "a parametrization"),
    "keras/stacked.h5": ("layer rnn", "StackedRNNCells"),
    "other/m.tflite": ("TensorFlow Lite", ".keras or .h5"),
    "other/tfjs/model.json": ("TensorFlow.js",),
    "packages/rnnmorph-eval_model.json": ("architecture of a Keras model", "without its weights"),
}
"""What the line about a file that is not read has in it."""


def file(name: str) -> str:
    """The path of one of the files."""
    assert FOLDER is not None
    return str(FOLDER / name)


def output(name: str) -> Array:
    """The outputs in one of the files."""
    found = np.load(file(name))
    return found if isinstance(found, np.ndarray) else found[found.files[0]]


@pytest.mark.parametrize("name", JUDGED)
def test_right_outputs_pass_and_others_fail(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the framework itself, and the same a little off at one place, and by the mean size of a value everywhere."""
    weights, x, y, flags = JUDGED[name]
    arguments = ("compare", file(weights), "--input", file(x), "-q", *flags, "--expected")
    assert ask(capsys, *arguments, file(y)).code == 0
    right = output(y)
    one = right.copy()
    one.flat[-1] += 0.3 if name in QUANTISED else 0.01
    for wrong in (one, right + np.abs(right).mean(dtype=right.dtype), np.zeros_like(right)):
        # A name keeps ONNX's order of axes.
        np.savez("wrong.npz", **{"Y" if right.ndim == 4 else "output": wrong})
        answer = ask(capsys, *arguments, "wrong.npz")
        assert (answer.code, answer.out.split()[0]) == (1, "FAIL")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By compare with and without outputs, whatever they are."""
    x = file(f"{name.split('/')[0]}/x.npz") if not name.startswith("packages") else file("packages/chars2vec-x.npy")
    assert all_in(REFUSED[name], refused(capsys, "compare", file(name)))
    assert all_in(REFUSED[name], refused(capsys, "compare", file(name), "--input", x, "--expected", x))


def test_every_file_has_its_answer() -> None:
    """A new file in the folder is no file that nobody looks at."""
    assert FOLDER is not None
    beside = (".npz", ".npy", ".md", ".bin", "-of-00002.safetensors")
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.*") if not path.name.endswith(beside)}
    assert found == {*REFUSED, *INSPECTED, *(weights for weights, *_ in JUDGED.values())}


@pytest.mark.parametrize("name", INSPECTED)
def test_what_has_no_outputs_beside_it_is_read(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told what it holds, and run beside torch."""
    assert all_in(INSPECTED[name], ask(capsys, "inspect", file(name)).out)
    assert ask(capsys, "compare", file(name), "--seed", "1", "-q").code == 0


def test_what_chars2vec_has_for_gates_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Keras 2.2.0 had the hard sigmoid by default; with the smooth one the right outputs are wrong."""
    weights, x, y, flags = JUDGED["chars2vec, lower layer"]
    arguments = ("compare", file(weights), "--input", file(x), "--expected", file(y), *flags)
    assert "not recorded in the file, assumed: forward, gates hard_sigmoid" in ask(capsys, *arguments).out
    assert ask(capsys, *arguments, "-q", "--recurrent-activation", "sigmoid").code == 1
