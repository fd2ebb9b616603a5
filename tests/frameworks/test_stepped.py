"""`trace` with a cell of one's own beside a module for torch that somebody wrote: called for every step."""

from typing import Any

import pytest
import torch
from torch import nn

import rnntrace
from rnntrace.engine.judge.verdict import Verdict

MGU = """
f = σ(W_f x + U_f h[t-1] + b_f)
n = tanh(W_n x + U_n (f ⊙ h[t-1]) + b_n)
h = (1 - f) ⊙ h[t-1] + f ⊙ n
"""


class Gated(nn.Module):
    """A minimal gated unit, as one would write it; `mistaken` resets after the product."""

    def __init__(self, *, mistaken: bool = False) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.mistaken = mistaken
        for gate in "fn":
            self.register_parameter(f"W_{gate}", nn.Parameter(torch.randn(4, 3) / 2))
            self.register_parameter(f"U_{gate}", nn.Parameter(torch.randn(4, 4) / 2))
            self.register_parameter(f"b_{gate}", nn.Parameter(torch.randn(4) / 2))

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """One step."""
        w: dict[str, torch.Tensor] = dict(self.named_parameters())
        f = torch.sigmoid(x @ w["W_f"].T + h @ w["U_f"].T + w["b_f"])
        recurrent = f * (h @ w["U_n"].T) if self.mistaken else (f * h) @ w["U_n"].T
        return (1 - f) * h + f * torch.tanh(x @ w["W_n"].T + recurrent + w["b_n"])


@pytest.mark.parametrize(
    "hx", [None, torch.full((2, 4), 0.3), {"h0": torch.full((2, 4), 0.3)}], ids=["zeros", "tensor", "named"]
)
def test_a_module_that_does_what_the_text_says_passes(hx: Any) -> None:
    result = rnntrace.trace(Gated(), torch.randn(5, 2, 3), hx, cell=MGU)
    assert result.passed
    assert result.observation.path == "step by step"
    assert result.trace["f"].shape == (5, 2, 4)


def test_one_that_does_another_thing_fails_where_it_shows() -> None:
    """With h0 = 0 the reset acts from the second step on."""
    result = rnntrace.trace(Gated(mistaken=True), torch.randn(5, 2, 3), cell=MGU)
    assert result.verdict is Verdict.FAIL
    assert result.comparison.first_failure is not None
    assert (result.comparison.first_failure.symbol, result.comparison.first_failure.t) == ("h", 2)


def test_states_of_several_names_come_and_go_in_the_order_of_the_cell() -> None:
    """An LSTM's text beside torch's own step, called with (h, c)."""
    own = nn.LSTMCell(3, 4)
    blocks = {name: parameter.chunk(4) for name, parameter in own.named_parameters()}
    names = {"W_i": "weight_ih", "W_h": "weight_hh", "b_i": "bias_ih", "b_h": "bias_hh"}
    weights = {f"{stem}{gate}": blocks[name][k] for stem, name in names.items() for k, gate in enumerate("ifgo")}
    result = rnntrace.trace(own, torch.randn(6, 2, 3), cell=rnntrace.cells("lstm")["lstm"], weights=weights)
    assert result.passed
    assert {key[2] for key in result.observation.captured} == {"h", "c"}


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no parameters": (lambda x, h: h, {}, "`weights`"),
    "another shape": (lambda x, h: h[:1], {"weights": Gated()}, "give h of shape"),
    "another form": (lambda x, h: None, {"weights": Gated()}, "the state h back"),
    "lengths": (Gated(), {"lengths": (3, 2)}, "`lengths`"),
    "a state of nobody": (Gated(), {"hx": {"c0": torch.zeros(2, 4)}}, "the states of cell are h"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    module, options, words = REFUSED[name]
    if "weights" in options:
        options = {**options, "weights": dict(options["weights"].named_parameters())}
    with pytest.raises(rnntrace.RnnTraceError, match=words):
        rnntrace.trace(module, torch.randn(5, 2, 3), cell=MGU, **options)
