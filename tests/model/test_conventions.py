"""The conventions of frameworks: the recipe leads to torch's arrays, and what is said of torch is true."""

import json
import re

import numpy as np
import pytest
import torch

from rnntrace.cli.app import exit_code
from rnntrace.equations import cells
from rnntrace.model.conventions import CONVENTIONS, GRU, LSTM, Convention
from rnntrace.model.recipe import recipe

BY_NAME = [pytest.param(convention, id=convention.framework) for convention in CONVENTIONS]


@pytest.mark.parametrize("convention", BY_NAME)
def test_orders_are_permutations(convention: Convention) -> None:
    """An order has every gate once."""
    assert convention.lstm == "" or sorted(convention.lstm) == sorted(LSTM)
    assert convention.gru == "" or sorted(convention.gru) == sorted(GRU)
    assert convention.lstm or convention.gru
    assert convention.source


@pytest.mark.parametrize("convention", BY_NAME)
def test_the_blocks_of_the_recipe_give_torchs_order(convention: Convention) -> None:
    """Taking the blocks that the recipe names from an array in this order gives torch's."""
    for kind, order, torchs in (("LSTM", convention.lstm, LSTM), ("GRU", convention.gru, GRU)):
        steps = [step for found, step in recipe(convention) if found == kind]
        blocks = [re.search(r"blocks \[(.*)\]", step) for step in steps if step.startswith("reorder")]
        if order in ("", torchs):
            assert not blocks
            continue
        (match,) = blocks
        assert match is not None
        taken = np.array(list(order))[[int(number) for number in match[1].split(", ")]]
        assert "".join(taken) == torchs


def test_torch_is_as_it_is_said_to_be() -> None:
    """torch's own row needs nothing done, and its blocks are where the row says: a bias of one gate moves that gate alone."""
    torch_row = CONVENTIONS[0]
    assert [step for _, step in recipe(torch_row)] == ["the biases are bias_ih and bias_hh, blocks reordered alike"] * 2
    assert (torch_row.lstm, torch_row.gru) == ("".join(cells.LSTM.gates), "".join(cells.GRU.gates))
    lstm = torch.nn.LSTMCell(1, 1)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        # With i, f and g held open, c = 0·1 + 1·tanh(20) and h = o·tanh(c): only o's block, the last, may close h.
        lstm.bias_ih[:3] = 20.0
        lstm.bias_ih[3] = -20.0
        h, c = lstm(torch.zeros(1, 1))
    assert c.item() == pytest.approx(1.0)
    assert h.item() == pytest.approx(0.0, abs=1e-6)


def test_negating_the_update_gate_inverts_it() -> None:
    """The recipe for frameworks that keep the state by 1 - z rests on 1 - σ(a) = σ(-a)."""
    (haiku,) = [convention for convention in CONVENTIONS if convention.framework == "haiku"]
    assert any("negate the weights and biases of z" in step for _, step in recipe(haiku))
    a = np.linspace(-5, 5, 11)
    np.testing.assert_allclose(1 - 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(a)), rtol=1e-12)


@pytest.mark.parametrize("name", ["keras", "ONNX", "torch", "coreml", "mx"])
def test_a_framework_by_the_beginning_of_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Names are found in any case and by their beginning."""
    assert exit_code(["layouts", name, "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["frameworks"]
    assert found["recipe"]


def test_all_frameworks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One row a framework; an unknown one is answered with all names; sentences are broken, never cut."""
    assert exit_code(["layouts"]) == 0
    text = capsys.readouterr().out
    assert all(convention.framework in text for convention in CONVENTIONS)
    assert exit_code(["layouts", "abacus"]) == 2
    assert "choose one of PyTorch, Keras 3" in capsys.readouterr().err
    monkeypatch.setenv("COLUMNS", "60")
    assert exit_code(["layouts", "haiku"]) == 0
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 60
    assert "negate the weights and biases of z: what keeps the state here is 1 - z" in " ".join(narrow.split())
