"""Test vectors that ONNX Runtime published for its own operators, models and all: those of torch's kind and all others.

The vectors are looked for as in test_vectors.
"""

from typing import Any

import numpy as np
import pytest
from test_vectors import CASES, FOLDER, MISPRINT

import rnntrace

MODELS = [name for name, case in CASES.items() if case["group"] == "ort_tests"]
SIGNALS = {"initial_h": "h0", "initial_c": "c0", "sequence_lens": "lengths"}

pytestmark = pytest.mark.skipif(not CASES, reason="no test vectors in $RNNTRACE_VECTORS or ../shared/vectors")


def judged(name: str, change: float = 0.0) -> Any:
    """The published model, fed with the published inputs, by the published outputs, the largest of which may be changed."""
    pytest.importorskip("onnx")
    assert FOLDER is not None
    case = CASES[name]
    with np.load(FOLDER / case["npz"]) as file:
        native = {key.removeprefix("native/"): array for key, array in file.items() if key.startswith("native/")}
        stated = {key.removeprefix("exp_native/"): array for key, array in file.items() if key.startswith("exp_native/")}
    first = next(iter(stated))
    place = np.unravel_index(np.abs(stated[first]).argmax(), stated[first].shape)
    stated[first][place] *= 1 + change
    signals = {word: native[key] for key, word in SIGNALS.items() if key in native}
    return rnntrace.compare(FOLDER / case["files"]["model"], native["X"], expected=stated, **case["tolerance"], **signals)


def test_there_are_thirty_six() -> None:
    assert len(MODELS) == 36
    assert MISPRINT[0] in MODELS


@pytest.mark.parametrize("name", MODELS)
def test_the_published_outputs_pass_and_others_fail(name: str) -> None:
    """Peepholes, clips, coupled gates, activations, both directions, lengths, also of 0."""
    assert judged(name).passed
    assert not judged(name, 0.01).passed
