"""Whose part of which array, for variants: what `explain` says lies there is what lies there."""

from typing import Any

import numpy as np
import pytest
from own_cells import drawn

from rnntrace.model.blocks import blocks
from rnntrace.model.conventions import BY_NAME, ONNX, TORCH
from rnntrace.model.layouts import to_convention

VARIANTS: dict[str, dict[str, Any]] = {
    "peepholes": {"kind": "LSTM", "peepholes": True},
    "coupled": {"kind": "LSTM", "coupled": True},
    "both": {"kind": "LSTM", "peepholes": True, "coupled": True},
    "reset before": {"kind": "GRU", "reset_after": False},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_parts_of_onnxs_arrays(name: str) -> None:
    """B is both biases one behind the other; the block of a forget gate that is coupled is there and not used."""
    spec, weights, _ = drawn(None, **VARIANTS[name])
    own = weights[0, "forward"]
    found = to_convention(BY_NAME[ONNX], spec.cell, own)
    arrays = {"W[0]": found["W_ih"], "R[0]": found["W_hh"], "B[0]": np.concatenate([found["b_ih"], found["b_hh"]])}
    arrays |= {"P[0]": found["p"]} if "p" in found else {}
    seen = set()
    for block in blocks(spec, BY_NAME[ONNX]):
        seen.add(block.parameter)
        part = arrays[block.parameter][block.start : block.stop : block.step]
        np.testing.assert_array_equal(part, own.block(spec.cell, block.role, block.gate))
    assert seen == {*arrays}


@pytest.mark.parametrize(
    "options", [*VARIANTS.values(), {"kind": "LSTM", "layer_norm": True}, {"kind": "RNN", "layer_norm": True}]
)
def test_every_weight_has_its_part(options: dict[str, Any]) -> None:
    """Under torch's names all of an array is told, and each row of it once."""
    spec, weights, _ = drawn(None, **options)
    rows: dict[str, list[int]] = {}
    for block in blocks(spec, BY_NAME[TORCH]):
        rows.setdefault(block.parameter, []).extend(range(block.start, block.stop, block.step))
    expected = {name: array.shape[0] * array.shape[1] for name, array in weights[0, "forward"].arrays.items()}
    assert sorted(map(len, rows.values())) == sorted(expected.values())
    assert all(sorted(found) == [*range(len(found))] for found in rows.values())
