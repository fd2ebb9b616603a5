"""The gradients of a watched model: what comes back to each call is judged, and the model's own pass is as it would be."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnntrace
from rnntrace.errors import UsageError


class Model(nn.Module):
    """Two recurrent modules one above the other, a cell in a loop, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 5)
        self.lower = nn.LSTM(5, 4, batch_first=True, bidirectional=True)
        self.upper = nn.GRU(8, 3, batch_first=True)
        self.cell = nn.LSTMCell(3, 3)
        self.head = nn.Linear(3, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """A loss."""
        below, _ = self.lower(self.embedding(tokens))
        output, h = self.upper(below)
        output = output * output
        states = None
        for t in range(3):
            states = self.cell(output[:, t], states)
        assert states is not None
        loss: torch.Tensor = self.head(output).pow(2).sum() + states[0].pow(2).sum() + states[1].sum() + h.sum()
        return loss


def model() -> Model:
    """One with weights of its own."""
    torch.manual_seed(0)
    return Model()


TOKENS = torch.arange(10).reshape(2, 5)


def test_what_comes_back_is_judged() -> None:
    """Call by call, and the parameters' gradients are those of all calls together."""
    watched = model()
    with rnntrace.watch(watched, backward=True) as traces:
        watched(TOKENS).backward()
    gradients = traces.gradients
    assert gradients is not None
    assert [*gradients] == [("lower", 0), ("upper", 0), ("cell", 0), ("cell", 1), ("cell", 2)]
    assert (traces.passed, gradients.passed, gradients.not_judged, gradients.remarks) == (True, True, {}, {})
    assert "cell, call 2, backward   PASS" in repr(traces)
    lower = gradients["lower"]
    W_hh = watched.lower.weight_hh_l0_reverse.grad
    assert W_hh is not None
    np.testing.assert_allclose(lower.gradients.parameters[0, "reverse"].W_hh.reshape(16, 4), W_hh.numpy(), rtol=1e-4, atol=1e-6)


def test_the_models_own_pass_is_as_it_would_be() -> None:
    """Its gradients, its hooks and its graph, to the bit; a second pass too."""
    alone, watched = model(), model()
    watched.load_state_dict(alone.state_dict())
    losses = []
    for each in (alone, watched):
        seen: list[float] = []
        handle = each.upper.weight_hh_l0.register_hook(lambda grad, seen=seen: seen.append(float(grad.sum())))
        with rnntrace.watch(each, backward=True) if each is watched else torch.enable_grad():
            loss = each(TOKENS)
            loss.backward(retain_graph=True)
            loss.backward()
        losses.append((loss.item(), seen))
        handle.remove()
    assert losses[0] == losses[1]
    for mine, theirs in zip(alone.parameters(), watched.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert torch.equal(mine.grad, theirs.grad)
    assert not watched.upper.weight_hh_l0._backward_hooks
    assert not watched.lower._forward_hooks
    # Behind the block nothing is followed any more.
    watched(TOKENS).backward()


def test_two_passes_add_up() -> None:
    """Accumulated as torch accumulates; what was looked at in between is judged anew."""
    watched = model()
    with rnntrace.watch(watched, backward=True) as traces:
        loss = watched(TOKENS)
        loss.backward(retain_graph=True)
        assert traces.gradients is not None
        once = traces.gradients["upper"].gradients.parameters[0, "forward"].W_hh.copy()
        (2 * loss).backward()
        thrice = traces.gradients["upper"].gradients.parameters[0, "forward"].W_hh
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-5)
    assert traces.gradients.passed


class Packed(nn.Module):
    """A packed batch, as it is given back."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, num_layers=2, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A loss of what is there."""
        packed = pack_padded_sequence(x, torch.tensor([2, 5, 3]), enforce_sorted=False)
        output, h = self.gru(packed)
        return pad_packed_sequence(output)[0].pow(2).sum() + h.sum()


def test_a_packed_batch() -> None:
    """Steps that do not exist get nothing."""
    torch.manual_seed(0)
    watched, x = Packed(), torch.randn(5, 3, 3)
    with rnntrace.watch(watched, backward=True) as traces:
        watched(x).backward()
    assert traces.passed
    assert traces.gradients is not None
    back = traces.gradients["gru"].loss.gradients["output"]
    assert not back[3:, 0].any()
    assert back[4, 1].any()


def changed_weights(watched: Model, loss: torch.Tensor) -> torch.Tensor:
    """Weights that are others in the backward pass than they were in the forward pass."""
    watched.upper.weight_hh_l0.data.mul_(2)
    return loss


def read_elsewhere(watched: Model, loss: torch.Tensor) -> torch.Tensor:
    """A loss that reads the weights themselves."""
    return loss + watched.upper.weight_hh_l0.pow(2).sum()


@pytest.mark.parametrize("change", [changed_weights, read_elsewhere])
def test_parameters_whose_gradients_come_from_elsewhere(change: Callable[[Model, torch.Tensor], torch.Tensor]) -> None:
    """They are no longer those of the calls: named, and no pass."""
    watched = model()
    with rnntrace.watch(watched, backward=True) as traces:
        change(watched, watched(TOKENS)).backward()
    assert traces.gradients is not None
    assert not traces.passed
    (name,) = traces.gradients.remarks
    assert name == "upper"
    assert "got another gradient than its calls give together" in repr(traces)


def test_calls_without_gradients_say_why() -> None:
    """No pass, without gradients, with dropout between layers."""
    watched = model()
    with rnntrace.watch(watched, backward=True) as traces:
        watched(TOKENS)
    assert traces.gradients is not None
    assert not traces.passed
    assert set(traces.gradients.not_judged.values()) == {"nothing came back to it while the model was watched"}
    with pytest.raises(UsageError, match="upper, call 0, has no gradients: nothing came back"):
        traces.gradients["upper"]
    with pytest.raises(KeyError, match="is no call of a recurrent module"):
        traces.gradients["head"]
    stack = nn.LSTM(3, 4, 2, dropout=0.5).train()
    with rnntrace.watch(stack, backward=True) as traces:
        stack(torch.randn(4, 2, 3))[0].sum().backward()
    assert traces.gradients is not None
    assert "dropout acted" in traces.gradients.not_judged["", 0]


def test_gradients_are_not_followed_unless_asked() -> None:
    """There are none then."""
    watched = model()
    with rnntrace.watch(watched) as traces:
        watched(TOKENS).backward()
    assert traces.gradients is None
    assert traces.passed


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.GRUCell, nn.LSTMCell])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_kind(kind: Any, dtype: torch.dtype) -> None:
    """Alone, with a state that needs its gradient too."""
    torch.manual_seed(1)
    module = kind(3, 4).to(dtype)
    is_cell = kind.__name__.endswith("Cell")
    x = torch.randn(*(() if is_cell else (4,)), 2, 3, dtype=dtype, requires_grad=True)
    h0 = torch.randn(*(() if is_cell else (1,)), 2, 4, dtype=dtype, requires_grad=True)
    hx = (h0, h0.clone()) if "LSTM" in kind.__name__ else h0
    with rnntrace.watch(module, backward=True) as traces:
        returned = module(x, hx)
        first = returned[0] if isinstance(returned, tuple) else returned
        first.pow(2).sum().backward()
    assert traces.passed, repr(traces)
    assert copy.copy(traces.gradients) is not None
