"""Which module of a file is meant: prefixes, nesting, several modules, and modules that the flags do not describe."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import all_in, document, refused
from formats import NAMED, drawn, lstm

import rnntrace
from rnntrace.errors import WeightsError

pytestmark = pytest.mark.usefixtures("folder")


def nested(state: dict[str, torch.Tensor]) -> dict[str, tuple[Any, str]]:
    """Files as people have them: what is saved, and how the prefix of its module ends."""
    prefixed = {f"encoder.lstm.{name}": tensor for name, tensor in state.items()}
    others = {"conv.weight": torch.ones(2, 2, 3), "linear.weight": torch.ones(4, 4), "steps": torch.tensor(7)}
    return {
        "bare": (state, ""),
        "ordered": (OrderedDict(state), ""),
        "of DataParallel": ({f"module.{name}": tensor for name, tensor in state.items()}, "module"),
        "of torch.compile": ({f"_orig_mod.{name}": tensor for name, tensor in state.items()}, "_orig_mod"),
        "of Lightning": ({"state_dict": {f"model.{k}": v for k, v in state.items()}, "epoch": 3}, "model"),
        "with a prefix": (prefixed, "encoder.lstm"),
        "among other layers": (prefixed | others, "encoder.lstm"),
        "under state_dict": ({"state_dict": prefixed}, "encoder.lstm"),
        "under model": ({"model": prefixed, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}}, "encoder.lstm"),
        "under model_state_dict": ({"model_state_dict": prefixed, "loss": 0.5, "name": "x"}, "encoder.lstm"),
        "under net": ({"net": state, "args": {"hidden": 2, "cells": ["lstm"]}, "best": None}, "net"),
        "deeper": ({"a": {"b": {"c": state}}}, "a.b.c"),
    }


@pytest.mark.parametrize("case", nested({}))
def test_a_checkpoint_is_found_its_way_through(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Prefixes, nesting and whatever else a checkpoint holds do not hide its one module."""
    module = lstm()
    content, prefix = nested(module.state_dict())[case]
    torch.save(content, "checkpoint.pt")
    ((found, (spec, weights)),) = rnntrace.load("checkpoint.pt").items()
    assert found == prefix or found.endswith("." + prefix)
    assert (spec.kind, spec.input_size, spec.hidden_size) == ("LSTM", 3, 2)
    assert np.array_equal(weights[0, "forward"].W_ih.reshape(8, 3), module.weight_ih_l0.detach().numpy())
    x = drawn(4, 1, 3)
    answer = document(capsys, "lstm", "--weights", "checkpoint.pt", "--input", json.dumps(x.tolist()))
    assert np.allclose(answer["outputs"]["output"], module(torch.from_numpy(x))[0].detach().numpy(), atol=1e-6)


def several() -> dict[str, torch.Tensor]:
    """A model with an LSTM, a GRU of two layers, a GRU cell and other layers."""
    torch.manual_seed(1)
    model = torch.nn.ModuleDict(
        {
            "encoder": torch.nn.LSTM(3, 2, bidirectional=True),
            "decoder": torch.nn.GRU(4, 5, num_layers=2, bias=False),
            "step": torch.nn.GRUCell(5, 5),
            "head": torch.nn.Linear(5, 7),
        }
    )
    return dict(model.state_dict())


@pytest.mark.parametrize("how", ["pt", "safetensors", "npz"])
def test_every_module_of_a_file_is_loaded(how: str) -> None:
    """Each under its prefix, with what its own parameters say of it; other layers are left aside."""
    Path("model").write_bytes(NAMED[how]({name: tensor.numpy() for name, tensor in several().items()}))
    found = rnntrace.load("model")
    specs = {prefix: (spec.kind, spec.input_size, spec.hidden_size) for prefix, (spec, _) in found.items()}
    assert specs == {"encoder": ("LSTM", 3, 2), "decoder": ("GRU", 4, 5), "step": ("GRUCell", 5, 5)}
    assert found["encoder"][0].bidirectional
    assert (found["decoder"][0].num_layers, found["decoder"][0].bias) == (2, False)


@pytest.mark.parametrize("how", NAMED)
def test_a_file_says_the_same_each_time(how: str) -> None:
    """The modules of a file come in one order, and so does what is said about them."""
    names = [f"layer{number}.weight_{part}_l0" for number in range(8) for part in ("ih", "hh")]
    Path("model").write_bytes(NAMED[how]({name: drawn(1, 1) for name in names}))
    assert list(rnntrace.load("model")) == [f"layer{number}" for number in range(8)]


def test_the_module_that_fits_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """Of several modules the flags pick the one they describe."""
    torch.save(several(), "model.pt")
    found = document(capsys, "gru-cell", "--weights", "model.pt", "-i", "5", "-H", "5")
    assert found["spec"]["kind"] == "GRUCell"


def test_a_file_without_the_module_says_what_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer is the flags that would fit each module in it."""
    torch.save(several(), "model.pt")
    line = refused(capsys, "run", "lstm", "--weights", "model.pt", "-H", "7")
    holds = ("encoder: run lstm -i 3 -H 2 --bidirectional", "decoder: run gru -i 4 -H 5 --layers 2 --no-bias")
    assert all_in(("model.pt", "no module that fits lstm -i 3 -H 7", *holds, "step: run gru-cell -i 5 -H 5"), line)


def test_two_modules_that_fit_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    """Which one was meant is not guessed."""
    state = lstm().state_dict()
    torch.save({f"{prefix}.{name}": tensor for prefix in ("left", "right") for name, tensor in state.items()}, "two.pt")
    line = refused(capsys, "run", "lstm", "--weights", "two.pt")
    assert all_in(("two.pt", "2 modules that fit", "one was expected", "left", "right"), line)


@pytest.mark.parametrize(
    ("flags", "asked_for"),
    [
        (("gru",), "gru -i 3 -H 2"),
        (("lstm-cell",), "lstm-cell -i 3 -H 2"),
        (("lstm", "-i", "4"), "lstm -i 4 -H 2"),
        (("lstm", "-H", "3"), "lstm -i 3 -H 3"),
        (("lstm", "-H", "4", "--proj-size", "2"), "lstm -i 3 -H 4 --proj-size 2"),
        (("lstm", "--layers", "2"), "lstm -i 3 -H 2 --layers 2"),
        (("lstm", "--bidirectional"), "lstm -i 3 -H 2 --bidirectional"),
        (("lstm", "--no-bias"), "lstm -i 3 -H 2 --no-bias"),
    ],
)
def test_weights_of_another_module_are_refused(
    flags: tuple[str, ...], asked_for: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line has the module asked for and the one in the file, as flags to type."""
    torch.save(lstm().state_dict(), "weights.pt")
    line = refused(capsys, "run", *flags, "--weights", "weights.pt", "--save", "out.npz")
    assert all_in(("weights.pt", f"no module that fits {asked_for};", "a state_dict: run lstm -i 3 -H 2"), line)


def test_a_part_of_the_weights_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A parameter that is missing is named with the shape it should have."""
    state = lstm().state_dict()
    del state["bias_hh_l0"]
    torch.save(state, "weights.pt")
    line = refused(capsys, "run", "lstm", "--weights", "weights.pt")
    assert all_in(("weights.pt", "LSTM(3, 2)", "bias_hh_l0", "(8,)", "none"), line)


@pytest.mark.parametrize("shape", [(), (2,), (2, 0), (0, 2), (2, 2)])
def test_a_projection_of_an_odd_shape_is_refused(shape: tuple[int, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A file with a weight_hr that cannot be is refused with its name and shape, like any other parameter."""
    torch.save({**lstm().state_dict(), "weight_hr_l0": torch.zeros(shape)}, "weights.pt")
    line = refused(capsys, "run", "lstm", "--weights", "weights.pt")
    assert all_in(("weights.pt", "weight_hr_l0", str(shape)), line)
    with pytest.raises(WeightsError, match="weight_hr_l0"):
        rnntrace.load("weights.pt")
