"""What `inspect` says builds a module does build it."""

import json
from typing import Any

import pytest
from commandline import ask

from rnntrace.model.command_line import command_line
from rnntrace.model.spec import ModuleSpec

BOTH = {"bidirectional": True}
MODULES: dict[str, dict[str, Any]] = {
    "plain": {"kind": "GRUCell"},
    "of torch": {"kind": "LSTM", "num_layers": 2, **BOTH, "bias": False, "proj_size": 1},
    "relu": {"kind": "RNN", "nonlinearity": "relu"},
    "peepholes": {"kind": "LSTM", "peepholes": True, "coupled": True, "clip": 0.75},
    "activations": {"kind": "LSTM", "recurrent_activation": "hard_sigmoid:0.25", "activation": "elu:0.5"},
    "cell activation": {"kind": "LSTM", "activation": "softsign", "cell_activation": "relu"},
    "reset before": {"kind": "GRU", "reset_after": False, "recurrent_activation": "hard_sigmoid"},
    "in reverse": {"kind": "GRU", **BOTH, "reverse_activations": ("sigmoid", "relu")},
    "layer norm": {"kind": "RNN", "layer_norm": True},
    "independent": {"kind": "RNN", "independent": True, "nonlinearity": "leaky_relu:0.1"},
    "merged": {"kind": "LSTM", **BOTH, "merge": "sum"},
}


@pytest.mark.parametrize("name", MODULES)
def test_its_arguments_build_the_module(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`explain` takes the same flags as `run`, and needs no framework."""
    spec = ModuleSpec(input_size=3, hidden_size=2, **MODULES[name])
    answer = ask(capsys, "explain", *command_line(spec).split(), "--format", "json")
    assert json.loads(answer.out)["spec"] == json.loads(json.dumps(spec.document()))


def test_what_has_no_flags_has_no_arguments() -> None:
    for options in ({"reverse": True}, {**BOTH, "num_layers": 2, "inner_merge": "sum"}):
        assert command_line(ModuleSpec(kind="GRU", input_size=3, hidden_size=2, **options)) == ""
