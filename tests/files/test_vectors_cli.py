"""Published ONNX models through the command line: the files as they lie on disk, judged by the numbers published with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from commandline import all_in, ask, refused
from onnx import numpy_helper
from test_vectors import CASES, FOLDER, RESETTING_BEFORE

from rnntrace.model.dtypes import Array

MODELS = [name for name, case in CASES.items() if str(case.get("files", {}).get("model", "")).endswith(".onnx")]
OPTIONS = {"initial_h": "--h0", "initial_c": "--c0"}

pytestmark = [
    pytest.mark.usefixtures("folder"),
    pytest.mark.skipif(not CASES, reason="no test vectors in $RNNTRACE_VECTORS or ../shared/vectors"),
]


def model_of(name: str) -> Path:
    """The model of a case, where it lies."""
    assert FOLDER is not None
    found: Path = FOLDER.resolve() / CASES[name]["files"]["model"]
    return found


def published(name: str) -> dict[str, Array]:
    """Y, Y_h and Y_c, as far as they are published."""
    assert FOLDER is not None
    with np.load(FOLDER / CASES[name]["npz"]) as file:
        found = {key.removeprefix("exp_native/"): file[key] for key in file if key.startswith("exp_native/")}
    assert found
    assert not any(np.isnan(array).any() for array in found.values())
    return found


def judged(name: str, expected: dict[str, Array] | None = None) -> list[str]:
    """The arguments that give a model its published inputs, initial states and lengths, and judge it by its tolerance."""
    assert FOLDER is not None
    arguments = ["--rtol", str(CASES[name]["tolerance"]["rtol"]), "--atol", str(CASES[name]["tolerance"]["atol"])]
    with np.load(FOLDER / CASES[name]["npz"]) as file:
        native = {key.removeprefix("native/"): file[key] for key in file if key.startswith("native/")}
    np.save("X.npy", native["X"])
    np.savez("expected.npz", **(published(name) if expected is None else expected))
    for state, option in OPTIONS.items():
        if state in native:
            np.save(f"{state}.npy", native[state])
            arguments += [option, f"{state}.npy"]
    if "sequence_lens" in native:
        arguments += ["--lengths", ",".join(map(str, native["sequence_lens"]))]
    return [*arguments, "--input", "X.npy", "--expected", "expected.npz"]


def verdict(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """The JSON of a comparison, whatever its verdict."""
    answer = ask(capsys, "compare", *arguments, "--format", "json")
    found: dict[str, Any] = json.loads(answer.out)
    assert answer.code == (0 if found["passed"] else 1), answer
    return found


def test_no_model_was_lost() -> None:
    """Those of torch's kind, and ten with peepholes, clips, coupled gates, other activations or a sequence without steps."""
    assert len(MODELS) == 36


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_published_model_gives_the_published_numbers(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that is published is judged, and passes within the tolerance of its source."""
    found = verdict(capsys, model_of(name), *judged(name))
    assert found["passed"], found["first_failure"]
    torchs = {"Y": "output", "Y_h": "h_n", "Y_c": "c_n"}
    sizes = {torchs[key]: array.size for key, array in published(name).items()}
    assert {key: array for key, array in found["expected"].items() if array is not None}.keys() == sizes.keys()
    assert found["tolerance"]["rtol"] == CASES[name]["tolerance"]["rtol"]
    # Were an output not judged, a wrong one would pass as well.
    for key, array in published(name).items():
        wrong = array.copy()
        wrong.flat[0] += 0.01
        assert not verdict(capsys, model_of(name), *judged(name, published(name) | {key: wrong}))["passed"], key


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name in RESETTING_BEFORE])
def test_torch_is_not_asked_to_reset_before_the_product(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --expected ONNX Runtime stands beside the replay; torch is refused by name, with the way out."""
    found = verdict(capsys, model_of(name), "--seed", "1")
    assert (found["passed"], found["environment"]["framework"]) == (True, "onnxruntime")
    line = refused(capsys, "compare", model_of(name), "--framework", "torch")
    assert all_in(("resets", "torch has no", "onnxruntime", "--expected"), line)


# --- mistakes are seen ------------------------------------------------------------------------------------------------

BOTH_WAYS = "ort_tests__TestGRUOpBidirectionalLinearBeforeResetB2"
"""A GRU of two directions whose weights differ from gate to gate; H is 2, and the blocks are z, r, h."""
EACH_ITS_OWN = "ort_tests__RNN_bidirectional_zigged_batch"
"""An RNN whose two directions have weights of their own."""


def with_fault(name: str, fault: str) -> Path:
    """A model with one mistake in its W (2, G·H, I)."""
    model = onnx.load(model_of(name))
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "W")
    W = numpy_helper.to_array(tensor).copy()
    if fault == "blocks":
        W[1] = W[1].reshape(3, 2, -1)[[1, 0, 2]].reshape(W[1].shape)
    elif fault == "off by 1e-3":
        # The second unit of the candidate.
        W[0, 5, 0] += 1e-3
    else:
        W = W[::-1].copy()
    tensor.CopyFrom(numpy_helper.from_array(W, "W"))
    onnx.save(model, "fault.onnx")
    return Path("fault.onnx")


@pytest.mark.parametrize(
    ("name", "fault", "place"),
    [
        (BOTH_WAYS, "blocks", {"direction": "reverse"}),
        (BOTH_WAYS, "off by 1e-3", {"direction": "forward", "t": 1, "unit": 1}),
        (EACH_ITS_OWN, "directions", {"direction": "forward", "t": 1}),
    ],
)
def test_a_fault_in_the_weights_is_seen_where_it_is(
    name: str, fault: str, place: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A gate block swapped, one weight off by a thousandth, both directions swapped."""
    found = verdict(capsys, with_fault(name, fault), *judged(name))
    assert not found["passed"]
    assert {key: found["first_failure"][key] for key in place} == place


def test_a_wrong_final_state_alone_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    """Y may be right and Y_h wrong."""
    right = published(BOTH_WAYS)
    found = verdict(capsys, model_of(BOTH_WAYS), *judged(BOTH_WAYS, right | {"Y_h": right["Y_h"][::-1]}))
    assert {entry["name"] for entry in found["differences"] if not entry["passed"]} == {"h_n"}
    assert found["first_failure"]["symbol"] == "h_n"
